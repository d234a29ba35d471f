//! The connection manager of a domain, as its host-meta names it (XEP-0156).

use std::sync::Arc;
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::net::http::Client;
use crate::net::http::Url;

/// Asks for it over TLS: who could change the answer could read the password.
pub(super) async fn bosh_url(tls: &Arc<ClientConfig>, domain: &str) -> Result<String, String> {
    let url = format!("https://{domain}/.well-known/host-meta");
    let asked = Url::read(&url).ok_or_else(|| format!("{domain} can have no host-meta"))?;
    let answer = timeout(PATIENCE, Client::new(asked, Arc::clone(tls)).get()).await;
    let response = answer.map_err(|_| format!("{url}: no answer"))?.map_err(|error| format!("{url}: {error}"))?;
    if response.status != 200 {
        return Err(format!("{url}: HTTP status {}", response.status));
    }
    linked(&response.body).ok_or_else(|| format!("{url} names no connection manager"))
}

/// The link to it in an XRD document: one over TLS, if there is one.
fn linked(document: &[u8]) -> Option<String> {
    let mut reader = Reader::from_reader(document);
    let mut found: Option<String> = None;
    loop {
        let link = match reader.read_event().ok()? {
            Event::Start(tag) | Event::Empty(tag) => link(&tag),
            Event::Eof => return found,
            Event::Text(_)
            | Event::End(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::GeneralRef(_) => None,
            // Nobody needs one here, and what it could hold is not to be met.
            Event::DocType(_) => return None,
        };
        if let Some(link) = link.filter(|link| Url::read(link).is_some())
            && (found.is_none() || link.starts_with("https:"))
        {
            found = Some(link);
        }
    }
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

const RELATION: &str = "urn:xmpp:alt-connections:xbosh";

const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_over_tls_is_preferred() {
        let document = "<?xml version='1.0'?><!-- ours --><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\
            <Link rel='urn:xmpp:alt-connections:websocket' href='wss://web.example.com/ws'/>\
            <Link rel='urn:xmpp:alt-connections:xbosh' href='http://web.example.com/bosh'/>\
            <Link rel='urn:xmpp:alt-connections:xbosh' href='https://web.example.com:5281/bosh?a=1&amp;b=2'></Link></XRD>";
        assert_eq!(linked(document.as_bytes()).as_deref(), Some("https://web.example.com:5281/bosh?a=1&b=2"));
        let clear = document.replace("https:", "ftp:");
        assert_eq!(linked(clear.as_bytes()).as_deref(), Some("http://web.example.com/bosh"));
    }

    #[test]
    fn what_has_no_link_names_none() {
        let hostile = "<!DOCTYPE x [<!ENTITY a 'b'>]><XRD><Link rel='urn:xmpp:alt-connections:xbosh' href='https://a/'/></XRD>";
        for document in
            ["", "<html><Link", "<XRD/>", "{\"links\":[]}", hostile, "<XRD><Link rel='urn:xmpp:alt-connections:xbosh'/></XRD>"]
        {
            assert_eq!(linked(document.as_bytes()), None, "{document}");
        }
    }
}
