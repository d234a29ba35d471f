//! The connection manager of a domain, as its host-meta names it (XEP-0156).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use std::time::Instant;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::net::connector::Connector;
use crate::net::http::Client;
use crate::net::http::Url;

/// What was found out lately, by domain: many accounts have the same one, and log in one after the other.
#[derive(Debug, Default)]
pub(super) struct Found {
    domains: RefCell<HashMap<String, Rc<Domain>>>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Missing {
    /// This process has as many files open as it may.
    OutOfFiles,
    /// The server, or the way to it.
    Because(String),
}

/// What was answered, and when. Who asks while somebody else does waits for that answer.
type Domain = Mutex<Option<(Instant, Result<String, Missing>)>>;

impl Found {
    /// The URL of a domain's connection manager.
    pub(super) async fn bosh_url(&self, connector: &Rc<Connector>, domain: &str) -> Result<String, Missing> {
        let known = self.of(domain);
        let mut answer = known.lock().await;
        if let Some((at, found)) = &*answer
            && at.elapsed() < if found.is_ok() { FRESH } else { FRESH_FAILURE }
        {
            return found.clone();
        }
        let found = ask(connector, domain).await;
        // It says nothing of the domain.
        if found != Err(Missing::OutOfFiles) {
            *answer = Some((Instant::now(), found.clone()));
        }
        found
    }

    fn of(&self, domain: &str) -> Rc<Domain> {
        let mut domains = self.domains.borrow_mut();
        if let Some(known) = domains.get(domain) {
            return Rc::clone(known);
        }
        // It is soon found out again. Who asks just now has a hold of what is asked for.
        if domains.len() >= MOST_DOMAINS {
            domains.clear();
        }
        Rc::clone(domains.entry(domain.to_owned()).or_default())
    }
}

/// Asks for it over TLS: who could change the answer could read the password.
async fn ask(connector: &Rc<Connector>, domain: &str) -> Result<String, Missing> {
    let url = format!("https://{domain}/.well-known/host-meta");
    let because = |why: String| Missing::Because(why);
    let asked = Url::read(&url).ok_or_else(|| because(format!("{domain} can have no host-meta")))?;
    let answer = timeout(PATIENCE, Client::new(asked, Rc::clone(connector)).get()).await;
    let response = answer.map_err(|_| because(format!("{url}: no answer")))?;
    let response = response
        .map_err(|error| if error.is_out_of_files() { Missing::OutOfFiles } else { because(format!("{url}: {error}")) })?;
    if response.status != 200 {
        return Err(because(format!("{url}: HTTP status {}", response.status)));
    }
    linked(&response.body).ok_or_else(|| because(format!("{url} names no connection manager")))
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

/// How long an answer holds, and how long there being none.
const FRESH: Duration = Duration::from_secs(10 * 60);
const FRESH_FAILURE: Duration = Duration::from_secs(30);

/// Domains whose answers are kept.
const MOST_DOMAINS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio_rustls::rustls::RootCertStore;

    #[test]
    fn a_domain_is_asked_once_for_all_its_accounts() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        runtime.block_on(async {
            let connector = Rc::new(Connector::new(&Arc::new(RootCertStore::empty())).unwrap());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let domain = listener.local_addr().unwrap().to_string();
            let found = Found::default();
            let ask = || found.bosh_url(&connector, &domain);
            // No TLS is agreed on; a second connection would wait for an answer that never comes.
            let refuse = async { drop(listener.accept().await.unwrap()) };
            let (first, second, third, ()) = tokio::join!(ask(), ask(), ask(), refuse);
            assert!(matches!(&first, Err(Missing::Because(why)) if why.contains("host-meta")), "{first:?}");
            assert_eq!((&second, &third), (&first, &first));
            assert_eq!(ask().await, first);
        });
    }

    #[test]
    fn no_more_domains_are_kept_than_there_is_room_for() {
        let found = Found::default();
        for number in 0..=MOST_DOMAINS {
            found.of(&number.to_string());
        }
        assert_eq!(found.domains.borrow().len(), 1);
    }

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
