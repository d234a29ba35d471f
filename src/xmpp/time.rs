//! Entity time (XEP-0202), in the form of XEP-0082.

use std::time::SystemTime;

use jiff::Timestamp;

use crate::xml::XmlWriter;
use crate::xmpp::ns;

/// `<time/>`: now in UTC, to the second. The offset is that of UTC, too: where a gateway stands is not to be seen from it. `None` for a
/// clock that is thousands of years off.
pub fn to_xml(now: SystemTime) -> Option<String> {
    let now = Timestamp::try_from(now).ok()?;
    let mut xml = XmlWriter::new();
    xml.open("time").attribute("xmlns", ns::TIME);
    xml.open("tzo").text("+00:00").close();
    xml.open("utc").text(&format!("{now:.0}")).close();
    Some(xml.finish())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_is_in_utc_to_the_second() {
        // The time of the example in XEP-0202 §3; `date -u -d @1166551115` says the same.
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_166_551_115_999);
        let expected = "<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2006-12-19T17:58:35Z</utc></time>";
        assert_eq!(to_xml(now).as_deref(), Some(expected));
    }

    #[test]
    fn a_clock_far_off_is_no_panic() {
        for now in [
            SystemTime::UNIX_EPOCH - Duration::from_secs(1),
            SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX)),
            SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60),
        ] {
            assert!(to_xml(now).is_none_or(|xml| xml.contains("Z</utc>")), "{now:?}");
        }
    }
}
