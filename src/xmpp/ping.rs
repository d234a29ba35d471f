//! XMPP Ping (XEP-0199), sent to see whether a silent stream still lives.

use crate::xml::XmlWriter;
use crate::xmpp::element::Element;

/// The namespace.
pub const PING: &str = "urn:xmpp:ping";

/// A ping of the component `domain` to itself: whatever domains the server serves, it routes this one, and back to us. A server that
/// would rather answer it with an error has given the same sign of life.
pub fn request(domain: &str, number: u64) -> String {
    let mut xml = XmlWriter::new();
    xml.open("iq").attribute("type", "get").attribute("from", domain).attribute("to", domain);
    xml.attribute("id", &id(number)).open("ping").attribute("xmlns", PING);
    xml.finish()
}

/// Whether this is that ping come back, or what a server has made of it. It has done its work by coming.
pub fn is_back(stanza: &Element, domain: &str, number: u64) -> bool {
    let is = |name, value| stanza.attribute(name) == Some(value);
    stanza.name() == "iq"
        && is("to", domain)
        && is("id", &id(number))
        && stanza.attribute("from").is_none_or(|from| from == domain)
}

fn id(number: u64) -> String {
    format!("ping-{number}")
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

    #[test]
    fn only_our_own_ping_is_taken_for_ours() {
        let back = |xml: &str| is_back(&Element::parse(xml).unwrap(), "sip.example.com", 7);
        assert!(back(&request("sip.example.com", 7)));
        assert!(back("<iq type='error' from='sip.example.com' to='sip.example.com' id='ping-7'/>"));
        assert!(!back("<iq type='get' from='romeo@example.net/o' to='sip.example.com' id='ping-7'/>"));
        assert!(!back("<iq type='get' from='sip.example.com' to='sip.example.com' id='ping-6'/>"));
        assert!(!back("<message from='sip.example.com' to='sip.example.com' id='ping-7'/>"));
    }
}
