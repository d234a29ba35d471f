//! The connection manager of a domain, as its host-meta names it (XEP-0156).

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::address::ascii_domain;
use crate::net::connector::Connector;
use crate::net::http::Client;
use crate::net::http::HttpError;
use crate::net::http::Response;
use crate::net::http::Scheme;
use crate::net::http::Url;
use crate::xmpp::host_meta::connection_managers;

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

impl Missing {
    fn of(url: &Url, error: &HttpError) -> Self {
        if error.is_out_of_files() { Self::OutOfFiles } else { Self::Because(format!("{url}: {error}")) }
    }
}

impl Found {
    /// The URL of a domain's connection manager.
    pub(super) async fn bosh_url(&self, connector: &Rc<Connector>, domain: &str) -> Result<String, Missing> {
        self.known_or(domain, bosh_url(connector, domain)).await
    }

    /// What was answered lately, or is now.
    pub(super) async fn known_or(
        &self,
        domain: &str,
        ask: impl Future<Output = Result<String, Missing>>,
    ) -> Result<String, Missing> {
        let known = self.of(domain);
        let mut answer = known.lock().await;
        if let Some((at, found)) = &*answer
            && at.elapsed() < if found.is_ok() { FRESH } else { FRESH_FAILURE }
        {
            return found.clone();
        }
        let found = ask.await;
        // It says nothing of the domain.
        if found != Err(Missing::OutOfFiles) {
            *answer = Some((Instant::now(), found.clone()));
        }
        found
    }

    /// Whatever is asked for next is asked anew: the table was read again, and somebody may have mended the host-meta.
    pub(super) fn clear(&self) {
        self.domains.borrow_mut().clear();
    }

    /// What was found there makes no session: it is asked for anew, if it was not just now.
    pub(super) fn doubt(&self, domain: &str, now: Instant) {
        let mut domains = self.domains.borrow_mut();
        let is_old = |known: &Rc<Domain>| match known.try_lock().as_deref() {
            Ok(Some((at, _))) => now.saturating_duration_since(*at) >= FRESH_FAILURE,
            // Somebody asks.
            Ok(None) | Err(_) => false,
        };
        if domains.get(domain).is_some_and(is_old) {
            domains.remove(domain);
        }
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
async fn bosh_url(connector: &Rc<Connector>, domain: &str) -> Result<String, Missing> {
    let because = |why: String| Missing::Because(why);
    let Some(url) = host_meta(domain) else { return Err(because(format!("{domain} can have no host-meta"))) };
    let found = document(url.clone(), async |url| Client::new(url, Rc::clone(connector)).get().await);
    let document = timeout(PATIENCE, found).await.map_err(|_| because(format!("{url}: no answer")))??;
    linked(&document).ok_or_else(|| because(format!("{url} names no connection manager")))
}

/// Where a domain has it.
fn host_meta(domain: &str) -> Option<Url> {
    Url::read(&format!("https://{}/.well-known/host-meta", ascii_domain(domain)?))
}

/// What is there, or where we are sent from there: over TLS all the way.
async fn document(mut url: Url, get: impl AsyncFn(Url) -> Result<Response, HttpError>) -> Result<Vec<u8>, Missing> {
    for _ in 0..=MOST_REDIRECTS {
        let response = get(url.clone()).await.map_err(|error| Missing::of(&url, &error))?;
        match (response.status, response.location) {
            (200, _) => return Ok(response.body),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                let next = url.to(&location).filter(|next| next.scheme() == Scheme::Https);
                url = next.ok_or_else(|| Missing::Because(format!("{url} sends on to what is no https: URL")))?;
            }
            (status, _) => return Err(Missing::Because(format!("{url}: HTTP status {status}"))),
        }
    }
    Err(Missing::Because(format!("sent on from one URL to the next, at last to {url}")))
}

/// The link to it: one over TLS, if there is one.
fn linked(document: &[u8]) -> Option<String> {
    connection_managers(document).into_iter().find(|link| Url::read(link).is_some())
}

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long an answer holds, and how long there being none, or one that is of no use.
const FRESH: Duration = Duration::from_secs(10 * 60);
const FRESH_FAILURE: Duration = Duration::from_secs(30);

/// Domains whose answers are kept.
const MOST_DOMAINS: usize = 1024;
/// How often in succession servers may send us on.
const MOST_REDIRECTS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::http::response::After;

    #[test]
    fn a_domain_is_asked_once_for_all_its_accounts() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for (answer, most) in [
                (Ok("https://a/".to_owned()), 1),
                (Err(Missing::Because("no answer".to_owned())), 1),
                // What is a matter of this process alone is no answer.
                (Err(Missing::OutOfFiles), 4),
            ] {
                let (found, asked) = (Found::default(), std::cell::Cell::new(0));
                let ask = || {
                    found.known_or("a", async {
                        asked.update(|count: u32| count.saturating_add(1));
                        tokio::task::yield_now().await;
                        answer.clone()
                    })
                };
                let all = tokio::join!(ask(), ask(), ask());
                assert_eq!(all, (answer.clone(), answer.clone(), answer.clone()));
                assert_eq!((ask().await, asked.get()), (answer.clone(), most));
            }
        });
    }

    #[test]
    fn what_is_of_no_use_is_asked_for_anew() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let found = Found::default();
            let at = async |url: &str| found.known_or("a", async { Ok(url.to_owned()) }).await.unwrap();
            assert_eq!(at("https://old/").await, "https://old/");
            let now = Instant::now();
            found.doubt("a", now);
            assert_eq!(at("https://new/").await, "https://old/", "all its accounts fail at once, and ask once");
            found.doubt("b", now + FRESH_FAILURE);
            assert_eq!(at("https://new/").await, "https://old/", "another domain");
            found.doubt("a", now + FRESH_FAILURE);
            assert_eq!(at("https://new/").await, "https://new/");
            found.clear();
            assert_eq!(at("https://newest/").await, "https://newest/");
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

    /// Asks a web in which each URL has a status, and a location or a document; which of its URLs were asked.
    fn ask(url: &str, web: &[(&str, u16, &str)]) -> (Result<Vec<u8>, Missing>, u32) {
        let asked = std::cell::Cell::new(0);
        let get = async |url: Url| {
            asked.update(|count: u32| count.saturating_add(1));
            let (_, status, text) = web.iter().find(|(known, ..)| *known == url.to_string()).unwrap();
            let location = (*status != 200).then(|| (*text).to_owned());
            Ok(Response { status: *status, location, body: text.as_bytes().to_vec(), after: After::Over })
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
        assert_eq!(ask("https://example.com/.well-known/host-meta", &web), (Ok(b"<XRD/>".to_vec()), 4));
    }

    #[test]
    fn not_everything_elsewhere_is_asked() {
        for (location, wrong) in [
            ("http://example.com/b", "https://example.com/a sends on to what is no https: URL"),
            ("ftp:x", "https://example.com/a sends on to what is no https: URL"),
            ("", "https://example.com/a sends on to what is no https: URL"),
            ("//user@example.com/", "https://example.com/a sends on to what is no https: URL"),
        ] {
            assert_eq!(
                ask("https://example.com/a", &[("https://example.com/a", 301, location)]),
                (Err(Missing::Because(wrong.to_owned())), 1)
            );
        }
        let (round, asked) = ask("https://example.com/a", &[("https://example.com/a", 301, "/a")]);
        let Err(Missing::Because(why)) = round else { panic!("{round:?}") };
        assert_eq!((why.contains("from one URL to the next"), asked), (true, 4));
        let (gone, _) = ask("https://example.com/a", &[("https://example.com/a", 404, "/b")]);
        assert_eq!(gone, Err(Missing::Because("https://example.com/a: HTTP status 404".to_owned())));
    }

    #[test]
    fn a_domain_is_asked_under_its_name_in_dns() {
        let asked = |domain| host_meta(domain).map(|url| url.to_string());
        assert_eq!(asked("münchen.example").as_deref(), Some("https://xn--mnchen-3ya.example/.well-known/host-meta"));
        assert_eq!(asked("[2001:db8::1]").as_deref(), Some("https://[2001:db8::1]/.well-known/host-meta"));
        assert_eq!(asked("a/b"), None);
    }
}
