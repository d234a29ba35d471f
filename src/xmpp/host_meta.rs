//! Where else a server is to be reached, as its host-meta says: links to connection managers (XEP-0156) in an XRD document.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

/// The links to connection managers in a document, those over TLS first; of one that ends too early, or has what none should have, none.
pub fn connection_managers(document: &[u8]) -> Vec<String> {
    let mut reader = Reader::from_reader(document);
    let mut found = Vec::new();
    while found.len() < MOST_LINKS {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => found.extend(link(&tag)),
            Ok(Event::Eof) => break,
            Ok(
                Event::Text(_)
                | Event::End(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::GeneralRef(_),
            ) => {}
            // Nobody needs a document type here, and what it could hold is not to be met.
            Ok(Event::DocType(_)) | Err(_) => return Vec::new(),
        }
    }
    found.sort_by_key(|link| !link.starts_with("https:"));
    found
}

fn link(tag: &BytesStart<'_>) -> Option<String> {
    if tag.local_name().as_ref() != "Link" {
        return None;
    }
    let value = |name: &str| {
        let attribute = tag.try_get_attribute(name).ok()??;
        Some(attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
    };
    value("href").filter(|_| value("rel").as_deref() == Some(RELATION))
}

/// Links that are looked at.
pub const MOST_LINKS: usize = 16;

const RELATION: &str = "urn:xmpp:alt-connections:xbosh";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_over_tls_come_first() {
        let document = "<?xml version='1.0'?><!-- ours --><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\
            <Link rel='urn:xmpp:alt-connections:websocket' href='wss://web.example.com/ws'/>\
            <Link rel='urn:xmpp:alt-connections:xbosh' href='http://web.example.com/bosh'/>\
            <Link rel='urn:xmpp:alt-connections:xbosh' href='https://web.example.com:5281/bosh?a=1&amp;b=2'></Link></XRD>";
        let expected = ["https://web.example.com:5281/bosh?a=1&b=2", "http://web.example.com/bosh"];
        assert_eq!(connection_managers(document.as_bytes()), expected);
    }

    #[test]
    fn what_has_no_link_names_none() {
        let hostile = "<!DOCTYPE x [<!ENTITY a 'b'>]><XRD><Link rel='urn:xmpp:alt-connections:xbosh' href='https://a/'/></XRD>";
        for document in
            ["", "<html><Link", "<XRD/>", "{\"links\":[]}", hostile, "<XRD><Link rel='urn:xmpp:alt-connections:xbosh'/></XRD>"]
        {
            assert!(connection_managers(document.as_bytes()).is_empty(), "{document}");
        }
    }

    #[test]
    fn links_have_an_end() {
        let many = "<Link rel='urn:xmpp:alt-connections:xbosh' href='https://a/'/>".repeat(100);
        assert_eq!(connection_managers(format!("<XRD>{many}</XRD>").as_bytes()).len(), MOST_LINKS);
    }
}
