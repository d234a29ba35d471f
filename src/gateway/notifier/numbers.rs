//! The numbers of the dialogs on one virtual subscription. Mostly there is one, and it takes no memory of its own.

/// Some numbers, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Numbers {
    One(u64),
    /// None, or several.
    Many(Box<[u64]>),
}

impl Numbers {
    pub(super) fn push(&mut self, number: u64) {
        *self = match self.as_slice() {
            [] => Self::One(number),
            numbers => Self::Many(numbers.iter().copied().chain([number]).collect()),
        };
    }

    pub(super) fn remove(&mut self, number: u64) {
        let left: Box<[u64]> = self.as_slice().iter().copied().filter(|other| *other != number).collect();
        *self = match *left {
            [number] => Self::One(number),
            _ => Self::Many(left),
        };
    }

    pub(super) fn as_slice(&self) -> &[u64] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::Many(numbers) => numbers,
        }
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Many(Box::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_and_go_in_their_order() {
        let mut numbers = Numbers::default();
        let mut seen = vec![numbers.as_slice().to_vec()];
        for number in [7, 8, 9] {
            numbers.push(number);
            seen.push(numbers.as_slice().to_vec());
        }
        for number in [8, 8, 7, 9] {
            numbers.remove(number);
            seen.push(numbers.as_slice().to_vec());
        }
        let wanted: [&[u64]; 8] = [&[], &[7], &[7, 8], &[7, 8, 9], &[7, 9], &[7, 9], &[9], &[]];
        assert_eq!(seen, wanted);
        assert_eq!(numbers, Numbers::default());
    }
}
