//! XMPP Ping (XEP-0199), sent to see whether a silent stream still lives.

use crate::xml::XmlWriter;

/// The namespace.
pub const PING: &str = "urn:xmpp:ping";

/// A ping of the component `domain` to itself: whatever domains the server serves, it routes this one, and back to us. A server that
/// would rather answer it with an error has given the same sign of life.
pub fn request(domain: &str, number: u64) -> String {
    let mut xml = XmlWriter::new();
    xml.open("iq").attribute("type", "get").attribute("from", domain).attribute("to", domain);
    xml.attribute("id", &format!("ping-{number}")).open("ping").attribute("xmlns", PING);
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_names_both_sides() {
        assert_eq!(
            request("sip.example.com", 7),
            "<iq type='get' from='sip.example.com' to='sip.example.com' id='ping-7'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
    }
}
