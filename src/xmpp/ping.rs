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

/// Whether this is one of the first `sent` pings come back, or what a server has made of it. It has done its work by coming, be it
/// long after the next one was sent.
pub fn is_back(stanza: &Element, domain: &str, sent: u64) -> bool {
    stanza.name() == "iq"
        && stanza.attribute("to") == Some(domain)
        && stanza.attribute("from").is_none_or(|from| from == domain)
        && stanza.attribute("id").and_then(number).is_some_and(|number| (1..=sent).contains(&number))
}

fn id(number: u64) -> String {
    format!("{ID}{number}")
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix(ID)?.parse().ok()
}

const ID: &str = "ping-";

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
        assert!(!back("<iq type='get' from='sip.example.com' to='sip.example.com' id='ping-8'/>"), "not sent yet");
        assert!(!back("<iq type='get' from='sip.example.com' to='sip.example.com' id='ping-0'/>"));
        assert!(!back("<iq type='get' from='sip.example.com' to='sip.example.com' id='ping-'/>"));
        assert!(!back("<message from='sip.example.com' to='sip.example.com' id='ping-7'/>"));
    }

    #[test]
    fn a_ping_that_comes_back_after_the_next_was_sent_is_still_ours() {
        for late in [1, 6] {
            assert!(is_back(&Element::parse(&request("sip.example.com", late)).unwrap(), "sip.example.com", 7), "{late}");
        }
    }
}
