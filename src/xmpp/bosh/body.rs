//! `<body/>`: what a request says, and what a response says (XEP-0124 §7 to §17, XEP-0206).

use std::fmt::Write;

use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::fault::Fault;
use crate::xmpp::framer::Limits;
use crate::xmpp::ns;

/// What a response may be at most; a connection manager may put many stanzas into one.
const LIMITS: Limits = Limits { stanza_bytes: 1024 * 1024, depth: 65, skipped_bytes: 0 };

/// The version of XEP-0124 that is spoken. From 1.6 on errors are conditions in a body, not status codes.
const VERSION: &str = "1.6";

/// What is asked for when a session is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The XMPP domain.
    pub to: String,
    /// The bare JID that logs in. It is a hint for the server (RFC 6120 §4.7.1), so it is only given where TLS hides it.
    pub from: Option<String>,
    /// How long the connection manager may keep a request unanswered, seconds.
    pub wait: u32,
}

/// A request that makes a session.
pub(super) fn creation(rid: u64, ask: &Ask) -> String {
    let mut xml = open(rid, None);
    xml.attribute("to", &ask.to).attribute_if("from", ask.from.as_deref()).attribute("ver", VERSION);
    xml.attribute("hold", "1").attribute("wait", &ask.wait.to_string()).attribute("content", "text/xml; charset=utf-8");
    xml.attribute("xml:lang", "en").attribute("xmlns:xmpp", ns::XBOSH).attribute("xmpp:version", "1.0");
    xml.finish()
}

/// A request with these stanzas, or with none: to have one that can be held.
pub(super) fn payload(rid: u64, sid: &str, stanzas: &str) -> String {
    let mut xml = open(rid, Some(sid));
    if !stanzas.is_empty() {
        xml.element(stanzas);
    }
    xml.finish()
}

/// A request for a new stream in the same session, after SASL (XEP-0206 §5).
pub(super) fn restart(rid: u64, sid: &str, to: &str) -> String {
    let mut xml = open(rid, Some(sid));
    xml.attribute("to", to).attribute("xml:lang", "en").attribute("xmlns:xmpp", ns::XBOSH).attribute("xmpp:restart", "true");
    xml.finish()
}

/// A request to keep the session for so many seconds without any other request (XEP-0124 §10).
pub(super) fn pause(rid: u64, sid: &str, seconds: u32) -> String {
    let mut xml = open(rid, Some(sid));
    xml.attribute("pause", &seconds.to_string());
    xml.finish()
}

/// The last request, with what is still to be said.
pub(super) fn terminate(rid: u64, sid: &str, stanzas: &str) -> String {
    let mut xml = open(rid, Some(sid));
    xml.attribute("type", "terminate");
    if !stanzas.is_empty() {
        xml.element(stanzas);
    }
    xml.finish()
}

fn open(rid: u64, sid: Option<&str>) -> XmlWriter {
    let mut xml = XmlWriter::new();
    xml.open("body").attribute("rid", &rid.to_string()).attribute_if("sid", sid).attribute("xmlns", ns::HTTPBIND);
    xml
}

/// Appends a stanza as it stands in a body: in `jabber:client`, not in the namespace of the body (XEP-0206 §2).
pub(super) fn push_stanza(payload: &mut String, stanza: &str) {
    let named = ["<iq", "<message", "<presence"].into_iter().find_map(|name| Some((name, stanza.strip_prefix(name)?)));
    match named {
        Some((name, rest)) if rest.starts_with([' ', '/', '>']) => {
            // Writing to a String cannot fail.
            let _ = write!(payload, "{name} xmlns='{}'{rest}", ns::CLIENT);
        }
        Some(_) | None => payload.push_str(stanza),
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body(Element);

/// What a response is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A usual one.
    Usual,
    /// `type='error'`: a request was not understood as it came; the requests without response are to be sent again (§17.3).
    Recoverable,
    /// `type='terminate'`: the session is over.
    Terminal,
}

/// Why there is no body in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is no XML, or XML that XMPP does not permit.
    Fault(Fault),
    /// It is XML, and no body: a page of a proxy for one.
    NoBody,
}

impl Body {
    /// Reads a response.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let element = Element::read(without_declaration(bytes), LIMITS).map_err(Unreadable::Fault)?;
        if element.is("body", ns::HTTPBIND) { Ok(Self(element)) } else { Err(Unreadable::NoBody) }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.0.attribute("type") {
            Some("terminate") => Kind::Terminal,
            Some("error") => Kind::Recoverable,
            Some(_) | None => Kind::Usual,
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.0.attribute(name)
    }

    /// An attribute that is a number; one that is none is as good as missing.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.0.attribute(name)?.trim().parse().ok()
    }

    /// Where to go instead (`see-other-uri`).
    pub(super) fn uri(&self) -> Option<String> {
        Some(self.0.child("uri", ns::HTTPBIND)?.text().trim().to_owned())
    }

    /// What stands in it.
    pub(super) fn payload(&self) -> impl Iterator<Item = &Element> {
        self.0.children().filter(|child| child.ns() != ns::HTTPBIND)
    }
}

/// Streams may not have an XML declaration in their midst; a response is a document and may have one.
fn without_declaration(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    if !bytes.starts_with(b"<?xml") {
        return bytes;
    }
    memchr::memmem::find(bytes, b"?>").and_then(|at| bytes.get(at.checked_add(2)?..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_is_in_the_namespace_of_clients() {
        let mut payload = String::new();
        for stanza in ["<presence/>", "<iq type='get'/>", "<message>", "<auth xmlns='urn:sasl'/>", "<iqx/>"] {
            push_stanza(&mut payload, stanza);
        }
        assert_eq!(
            payload,
            "<presence xmlns='jabber:client'/><iq xmlns='jabber:client' type='get'/><message xmlns='jabber:client'><auth xmlns='urn:sasl'/><iqx/>"
        );
    }

    #[test]
    fn a_response_is_read_with_or_without_a_declaration() {
        let body = "<body xmlns='http://jabber.org/protocol/httpbind' sid='1' wait='x' hold='2'><presence xmlns='jabber:client'/></body>";
        for text in [body.to_owned(), format!("<?xml version='1.0'?>\n{body}"), format!("\n {body}\n")] {
            let read = Body::read(text.as_bytes()).unwrap();
            assert_eq!((read.attribute("sid"), read.number("wait"), read.number("hold")), (Some("1"), None, Some(2)));
            assert!(read.payload().eq([&Element::parse("<presence/>").unwrap()]));
        }
    }

    #[test]
    fn what_is_no_body_is_unreadable() {
        let fault = |text: &str| Body::read(text.as_bytes()).unwrap_err();
        assert_eq!(fault("<html xmlns='http://www.w3.org/1999/xhtml'><body/></html>"), Unreadable::NoBody);
        assert_eq!(fault("<body xmlns='urn:other'/>"), Unreadable::NoBody);
        for text in
            ["", "<?xml", "502 Bad Gateway", "<body xmlns='http://jabber.org/protocol/httpbind'>", "<!DOCTYPE html><html/>"]
        {
            assert!(matches!(fault(text), Unreadable::Fault(_)), "{text}");
        }
    }
}
