//! Watcher information (RFC 3858): who watches a user, or wants to.

use super::xml_body::BodyError;
use super::xml_body::Ns;
use super::xml_body::Start;
use super::xml_body::XmlBody;

/// The most watchers that one document may have, all lists together.
pub const MAX_WATCHERS: usize = 1024;

/// The most lists that one document may have.
pub const MAX_LISTS: usize = 64;

/// An `application/watcherinfo+xml` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Goes up by one with each document of a subscription.
    pub version: u32,
    /// Whether it replaces what was known.
    pub state: State,
    /// The watchers of each resource and package.
    pub lists: Vec<WatcherList>,
}

/// Whether a document replaces what was known (RFC 3858 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All watchers.
    Full,
    /// Only those that changed.
    Partial,
}

/// The watchers of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherList {
    /// Whom they watch: a SIP URI.
    pub resource: String,
    /// The event package they subscribed to: `presence`.
    pub package: String,
    /// They themselves.
    pub watchers: Vec<Watcher>,
}

/// One watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// Who it is: a SIP URI.
    pub uri: String,
    /// Its name for humans.
    pub display_name: Option<String>,
    /// Where its subscription stands.
    pub status: Status,
    /// What brought it there; `None` for one unknown here.
    pub event: Option<Event>,
}

/// Where a watcher's subscription stands (RFC 3857 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Waits for a decision.
    Pending,
    /// Sees the resource.
    Active,
    /// Went away before a decision was made.
    Waiting,
    /// Over.
    Terminated,
}

/// What moved a watcher's subscription (RFC 3857 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It subscribed.
    Subscribe,
    /// It was let in.
    Approved,
    /// It was told to subscribe again.
    Deactivated,
    /// It was told to subscribe again later.
    Probation,
    /// It was refused.
    Rejected,
    /// It did not refresh.
    Timeout,
    /// No decision came in time.
    Giveup,
    /// The resource is gone.
    Noresource,
}

impl Document {
    /// Reads a document. A watcher with an unknown status is left out: it cannot be one that waits for a decision.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let (mut body, root) = XmlBody::new(body)?;
        if root.ns != Ns::Watcherinfo || root.name() != "watcherinfo" {
            return Err(BodyError::Root);
        }
        let version = root.attribute("version")?.and_then(|version| version.trim().parse().ok()).ok_or(BodyError::Attribute)?;
        let state = match root.attribute("state")?.as_deref() {
            Some("full") => State::Full,
            Some("partial") => State::Partial,
            _ => return Err(BodyError::Attribute),
        };
        let mut document = Self { version, state, lists: Vec::new() };
        let mut room = MAX_WATCHERS;
        while let Some(child) = body.child()? {
            if child.ns != Ns::Watcherinfo || child.name() != "watcher-list" {
                body.skip()?;
                continue;
            }
            if document.lists.len() >= MAX_LISTS {
                return Err(BodyError::TooMany);
            }
            document.lists.push(WatcherList::parse(&child, &mut body, &mut room)?);
        }
        Ok(document)
    }
}

impl WatcherList {
    fn parse(start: &Start<'_>, body: &mut XmlBody<'_>, room: &mut usize) -> Result<Self, BodyError> {
        let mut list = Self {
            resource: start.attribute("resource")?.ok_or(BodyError::Attribute)?,
            package: start.attribute("package")?.ok_or(BodyError::Attribute)?,
            watchers: Vec::new(),
        };
        while let Some(child) = body.child()? {
            if child.ns != Ns::Watcherinfo || child.name() != "watcher" {
                body.skip()?;
                continue;
            }
            *room = room.checked_sub(1).ok_or(BodyError::TooMany)?;
            let status = match child.attribute("status")?.as_deref() {
                Some("pending") => Status::Pending,
                Some("active") => Status::Active,
                Some("waiting") => Status::Waiting,
                Some("terminated") => Status::Terminated,
                Some(_) => {
                    body.skip()?;
                    continue;
                }
                None => return Err(BodyError::Attribute),
            };
            let event = child.attribute("event")?.and_then(|name| Event::from_name(&name));
            let display_name = child.attribute("display-name")?;
            let uri = body.text()?.trim().to_owned();
            list.watchers.push(Watcher { uri, display_name, status, event });
        }
        Ok(list)
    }
}

impl Event {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "subscribe" => Self::Subscribe,
            "approved" => Self::Approved,
            "deactivated" => Self::Deactivated,
            "probation" => Self::Probation,
            "rejected" => Self::Rejected,
            "timeout" => Self::Timeout,
            "giveup" => Self::Giveup,
            "noresource" => Self::Noresource,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Event;
    use super::*;

    /// The shape of RFC 3858 §5, with a comment and an element of another namespace in it.
    const EXAMPLE: &str = r#"<?xml version="1.0"?>
<!-- from a presence server -->
<w:watcherinfo xmlns:w="urn:ietf:params:xml:ns:watcherinfo" version="1" state="partial">
  <w:watcher-list resource="sip:professor@example.net" package="presence">
    <x xmlns="urn:other"><watcher status="pending">sip:no@example.net</watcher></x>
    <w:watcher id="8ajksjda7s" duration-subscribed="509" status="active" event="approved">sip:userA@example.net</w:watcher>
    <w:watcher id="hh8juja87s997-ass7" display-name="Mr. &amp; Subscriber" status="pending" event="subscribe">
      sip:userB@example.org
    </w:watcher>
    <w:watcher id="3" status="dreaming" event="subscribe">sip:userC@example.org</w:watcher>
    <w:watcher id="4" status="waiting" event="giveup"/>
  </w:watcher-list>
</w:watcherinfo>"#;

    fn watcher(uri: &str, display_name: Option<&str>, status: Status, event: Event) -> Watcher {
        Watcher { uri: uri.into(), display_name: display_name.map(str::to_owned), status, event: Some(event) }
    }

    #[test]
    fn the_example_is_read() {
        let watchers = vec![
            watcher("sip:userA@example.net", None, Status::Active, Event::Approved),
            watcher("sip:userB@example.org", Some("Mr. & Subscriber"), Status::Pending, Event::Subscribe),
            watcher("", None, Status::Waiting, Event::Giveup),
        ];
        let list = WatcherList { resource: "sip:professor@example.net".into(), package: "presence".into(), watchers };
        assert_eq!(Document::parse(EXAMPLE.as_bytes()), Ok(Document { version: 1, state: State::Partial, lists: vec![list] }));
    }

    #[test]
    fn every_truncation_is_an_error() {
        for end in 0..EXAMPLE.len() {
            assert!(Document::parse(&EXAMPLE.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..20), at in 0usize..900) {
            let mut body = EXAMPLE.as_bytes().to_vec();
            let at = at.min(body.len());
            body.splice(at..at, noise);
            let _ = Document::parse(&body);
        }
    }

    #[test]
    fn what_is_no_watcherinfo_is_refused() {
        let many = format!(
            "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='full'>\
             <watcher-list resource='a' package='presence'>{}</watcher-list></watcherinfo>",
            "<watcher status='active'/>".repeat(MAX_WATCHERS + 1)
        );
        for (body, error) in [
            ("<watcherinfo version='0' state='full'/>", BodyError::Root),
            ("<presence xmlns='urn:ietf:params:xml:ns:watcherinfo'/>", BodyError::Root),
            ("<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' state='full'/>", BodyError::Attribute),
            ("<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='-1' state='full'/>", BodyError::Attribute),
            ("<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='half'/>", BodyError::Attribute),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><watcherinfo/>", BodyError::Doctype),
            (&many, BodyError::TooMany),
        ] {
            assert_eq!(Document::parse(body.as_bytes()), Err(error), "{body}");
        }
    }
}
