//! The priority of a resource (RFC 6121 §4.7.2.3) as that of a contact (RFC 3863 §4.1.5), and back (RFC 8048 §6.2).

/// The priority of a contact, in thousandths: p/127, the digits after the third cut off. A negative priority must not be mapped.
pub(super) fn to_thousandths(priority: i8) -> Option<u16> {
    let scaled = u32::try_from(priority).ok()?.checked_mul(1000)?.checked_div(127)?;
    u16::try_from(scaled).ok()
}

/// The inverse: rounded, it gives each of the 128 priorities back.
pub(super) fn of_thousandths(thousandths: u16) -> u16 {
    let scaled = u32::from(thousandths.min(1000)).saturating_mul(127).saturating_add(500);
    u16::try_from(scaled.checked_div(1000).unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_priority_comes_back() {
        for value in 0..=127 {
            assert_eq!(to_thousandths(value).map(of_thousandths), u16::try_from(value).ok());
        }
        for (priority, mapped) in [(1, Some(7)), (2, Some(15)), (126, Some(992)), (127, Some(1000)), (-1, None), (-128, None)] {
            assert_eq!(to_thousandths(priority), mapped);
        }
    }
}
