//! The connection manager of a domain, as its host-meta names it (XEP-0156).

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use crate::address::ascii_domain;
use crate::net::http::Client;
use crate::net::http::HttpError;
use crate::net::http::Response;
use crate::net::http::Scheme;
use crate::net::http::Url;
use crate::xmpp::host_meta::connection_managers;

/// Asks for it over TLS: who could change the answer could read the password.
pub(super) async fn bosh_url(tls: &Arc<ClientConfig>, domain: &str) -> Result<String, String> {
    let Some(url) = host_meta(domain) else { return Err(format!("{domain} can have no host-meta")) };
    let found = document(url.clone(), async |url| Client::new(url, Arc::clone(tls)).get().await);
    let document = timeout(PATIENCE, found).await.map_err(|_| format!("{url}: no answer"))??;
    linked(&document).ok_or_else(|| format!("{url} names no connection manager"))
}

/// Where a domain has it.
fn host_meta(domain: &str) -> Option<Url> {
    Url::read(&format!("https://{}/.well-known/host-meta", ascii_domain(domain)?))
}

/// What is there, or where we are sent from there: over TLS all the way.
async fn document(mut url: Url, get: impl AsyncFn(Url) -> Result<Response, HttpError>) -> Result<Bytes, String> {
    for _ in 0..=MOST_REDIRECTS {
        let response = get(url.clone()).await.map_err(|error| format!("{url}: {error}"))?;
        match (response.status, response.location) {
            (200, _) => return Ok(response.body),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                let next = url.to(&location).filter(|next| next.scheme() == Scheme::Https);
                url = next.ok_or_else(|| format!("{url} sends on to what is no https: URL"))?;
            }
            (status, _) => return Err(format!("{url}: HTTP status {status}")),
        }
    }
    Err(format!("sent on from one URL to the next, at last to {url}"))
}

/// The link to it: one over TLS, if there is one.
fn linked(document: &[u8]) -> Option<String> {
    connection_managers(document).into_iter().find(|link| Url::read(link).is_some())
}

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often in succession servers may send us on.
const MOST_REDIRECTS: u32 = 3;

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

    /// Asks a web in which each URL has a status, and a location or a document; which of its URLs were asked.
    fn ask(url: &str, web: &[(&str, u16, &str)]) -> (Result<Bytes, String>, u32) {
        let asked = std::cell::Cell::new(0);
        let get = async |url: Url| {
            asked.update(|count: u32| count.saturating_add(1));
            let (_, status, text) = web.iter().find(|(known, ..)| *known == url.to_string()).unwrap();
            let location = (*status != 200).then(|| (*text).to_owned());
            Ok(Response { status: *status, location, body: Bytes::from((*text).to_owned()) })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let document = runtime.block_on(document(Url::read(url).unwrap(), get));
        (document, asked.get())
    }

    #[test]
    fn the_document_may_be_elsewhere() {
        let web = [
            ("https://example.com/.well-known/host-meta", 301, "https://www.example.com/.well-known/host-meta"),
            ("https://www.example.com/.well-known/host-meta", 302, "/meta/host"),
            ("https://www.example.com/meta/host", 308, "it.xml"),
            ("https://www.example.com/meta/it.xml", 200, "<XRD/>"),
        ];
        assert_eq!(ask("https://example.com/.well-known/host-meta", &web), (Ok(Bytes::from("<XRD/>")), 4));
    }

    #[test]
    fn not_everything_elsewhere_is_asked() {
        for (location, wrong) in [
            ("http://example.com/b", "https://example.com/a sends on to what is no https: URL"),
            ("ftp:x", "https://example.com/a sends on to what is no https: URL"),
            ("", "https://example.com/a sends on to what is no https: URL"),
            ("//user@example.com/", "https://example.com/a sends on to what is no https: URL"),
        ] {
            assert_eq!(ask("https://example.com/a", &[("https://example.com/a", 301, location)]), (Err(wrong.to_owned()), 1));
        }
        let (round, asked) = ask("https://example.com/a", &[("https://example.com/a", 301, "/a")]);
        assert_eq!((round.unwrap_err().contains("from one URL to the next"), asked), (true, 4));
        let (gone, _) = ask("https://example.com/a", &[("https://example.com/a", 404, "/b")]);
        assert_eq!(gone.unwrap_err(), "https://example.com/a: HTTP status 404");
    }

    #[test]
    fn a_domain_is_asked_under_its_name_in_dns() {
        let asked = |domain| host_meta(domain).map(|url| url.to_string());
        assert_eq!(asked("münchen.example").as_deref(), Some("https://xn--mnchen-3ya.example/.well-known/host-meta"));
        assert_eq!(asked("[2001:db8::1]").as_deref(), Some("https://[2001:db8::1]/.well-known/host-meta"));
        assert_eq!(asked("a/b"), None);
    }
}
