//! Presence: PIDF and `<presence/>` (RFC 8048 §6).
//!
//! Who may see whom, and when something is sent, is not decided here.

mod activity;
mod composition;
mod priority;
mod resource;

use std::borrow::Cow;

use jid::Jid;
use jid::ResourcePart;

use super::tuple_id;
use super::uri;
use crate::address::AddressError;
use crate::address::Addresses;
use crate::sip::Publish;
use crate::sip::pidf::Basic;
use crate::sip::pidf::Document;
use crate::sip::pidf::Extended;
use crate::sip::pidf::MAX_TUPLES;
use crate::sip::pidf::Note;
use crate::sip::pidf::Show;
use crate::sip::pidf::Tuple;
use crate::sip::pidf::UserInput;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;

pub use self::composition::Rank;
pub use self::composition::most_available;
pub use self::resource::ResourcePresence;

/// The presence of one tuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuplePresence {
    /// The resource of its `from`; empty for the bare JID.
    pub resource: String,
    /// Whether the tuple can be reached.
    pub availability: Availability,
    /// The finished stanza.
    pub stanza: String,
}

/// Whether a resource is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It is: no `type`.
    Available,
    /// It is not: `type='unavailable'`.
    Unavailable,
}

/// One stanza per tuple, in their order (RFC 8048 §6.3). `from` is the bare JID of the presentity, `to` that of the watcher,
/// `language` the Content-Language of the NOTIFY, `caps` a finished `<c/>` (XEP-0115), which available presence gets. Of two tuples
/// that give the same resource the first counts.
pub fn to_xmpp(document: &Document, from: &str, to: &str, language: Option<&str>, caps: Option<&str>) -> Vec<TuplePresence> {
    let mut presences: Vec<TuplePresence> = Vec::with_capacity(document.tuples.len());
    for tuple in &document.tuples {
        let resource = resource_of(tuple);
        if presences.iter().any(|known| known.resource == resource) {
            continue;
        }
        let availability = availability(tuple);
        let stanza = stanza(document, tuple, availability, &Frame { from, resource: &resource, to, language, caps });
        presences.push(TuplePresence { resource: resource.into_owned(), availability, stanza });
    }
    presences
}

/// The publication for a `<presence/>` without type; one of type `unavailable` takes it away. `from` is the sender's JID.
pub fn to_sip(presence: &Element, from: &Jid, addresses: &Addresses, expires: u32) -> Result<Publish, PresenceError> {
    to_publication(ResourcePresence::read(presence, from)?, from, addresses, expires).map_err(PresenceError::From)
}

/// The same for a presence that was read.
pub fn to_publication(
    mut resource: ResourcePresence,
    from: &Jid,
    addresses: &Addresses,
    expires: u32,
) -> Result<Publish, AddressError> {
    // The answer to a probe says when the state began, and the same stanza before did not: that is no change to be published.
    resource.changed = None;
    let id = resource.tuple_id();
    let presentity = uri(addresses.jid_to_sip(from))?;
    Ok(match resource.availability {
        Availability::Available => {
            let body = to_pidf(from, [&resource], addresses)?;
            Publish { presentity, id, body: Some(body.into_bytes()), expires }
        }
        Availability::Unavailable => Publish { presentity, id, body: None, expires: 0 },
    })
}

/// The PIDF of an XMPP user, with a tuple for each resource (RFC 8048 §6.2): the most available first, and of too many the least
/// available left out. The person does what the first one says. No two are of the same resource.
pub fn to_pidf<'a>(
    user: &Jid,
    resources: impl IntoIterator<Item = &'a ResourcePresence>,
    addresses: &Addresses,
) -> Result<String, AddressError> {
    let entity = addresses.jid_to_sip(user)?;
    let mut resources: Vec<&ResourcePresence> = resources.into_iter().collect();
    resources.sort_by(|one, other| composition::by_availability(one, other));
    resources.truncate(MAX_TUPLES);
    let show = resources.first().and_then(|resource| resource.show);
    let tuples: Result<Vec<Tuple>, AddressError> = resources.into_iter().map(|resource| resource.to_tuple(&entity)).collect();
    let document = Document {
        tuples: tuples?,
        entity,
        activities: show.and_then(activity::of_show).into_iter().collect(),
        ..Document::default()
    };
    Ok(document.to_xml())
}

/// The id of a publication that stands for all resources of a user: that of a user without any.
pub const COMPOSED_ID: &str = "ID-";

/// Why a `<presence/>` has no PIDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceError {
    /// It tells no state: its type is another than `unavailable`.
    NotState,
    /// Its sender has no SIP address.
    From(AddressError),
}

impl std::fmt::Display for PresenceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotState => f.write_str("the presence tells no state"),
            Self::From(error) => write!(f, "`from`: {error}"),
        }
    }
}

impl std::error::Error for PresenceError {}

impl TuplePresence {
    /// Gives the finished stanza other addresses: `from` and `to`, bare, as they are and as they become.
    pub(crate) fn readdress(&mut self, is: (&str, &str), becomes: (&str, &str)) {
        let [old, new] = [is, becomes].map(|(from, to)| start_tag(from, &self.resource, to));
        if let Some(rest) = self.stanza.strip_prefix(&old) {
            self.stanza = [&new, rest].concat();
        }
    }
}

/// What every stanza of this module begins with.
fn start_tag(from: &str, resource: &str, to: &str) -> String {
    let mut xml = XmlWriter::new();
    address(&mut xml, from, resource, to);
    let mut empty = xml.finish();
    // It ends in `/>`: attributes may follow.
    empty.truncate(empty.len().saturating_sub(2));
    empty
}

fn address(xml: &mut XmlWriter, from: &str, resource: &str, to: &str) {
    xml.open("presence");
    match resource {
        "" => xml.attribute("from", from),
        resource => xml.attribute("from", &[from, "/", resource].concat()),
    };
    xml.attribute("to", to);
}

/// What a presence has that is not of its tuple.
struct Frame<'a> {
    from: &'a str,
    resource: &'a str,
    to: &'a str,
    language: Option<&'a str>,
    caps: Option<&'a str>,
}

fn stanza(document: &Document, tuple: &Tuple, availability: Availability, frame: &Frame<'_>) -> String {
    let mut xml = XmlWriter::new();
    address(&mut xml, frame.from, frame.resource, frame.to);
    if availability == Availability::Unavailable {
        xml.attribute("type", "unavailable");
    }
    xml.attribute_if("xml:lang", frame.language);
    if let Some(show) = show(document, tuple).filter(|_| availability == Availability::Available) {
        xml.open("show").text(show.name()).close();
    }
    write_statuses(if tuple.notes.is_empty() { &document.notes } else { &tuple.notes }, &mut xml);
    let priority = tuple.contact.as_ref().and_then(|contact| contact.priority).map_or(0, priority::of_thousandths);
    if priority > 0 && availability == Availability::Available {
        xml.open("priority").text(&priority.to_string()).close();
    }
    if let Some(UserInput::Idle { since: Some(since) }) = tuple.user_input.or(document.user_input)
        && availability == Availability::Available
    {
        xml.open("idle").attribute("xmlns", ns::IDLE).attribute("since", &format!("{since:.0}")).close();
    }
    if let Some(caps) = frame.caps.filter(|_| availability == Availability::Available) {
        xml.element(caps);
    }
    xml.finish()
}

/// One status per language: further ones are no valid presence (RFC 6121 §4.7.2.2).
fn write_statuses(notes: &[Note], xml: &mut XmlWriter) {
    for (index, note) in notes.iter().enumerate() {
        if notes.iter().take(index).all(|earlier| earlier.language != note.language) {
            xml.open("status").attribute_if("xml:lang", note.language.as_deref()).text(&note.text).close();
        }
    }
}

/// The resource that a tuple stands for; none if its id makes no valid one.
fn resource_of(tuple: &Tuple) -> Cow<'_, str> {
    match tuple_id::resource(&tuple.id) {
        Cow::Borrowed(resource) => match ResourcePart::new(resource) {
            Ok(Cow::Borrowed(_)) => Cow::Borrowed(resource),
            Ok(Cow::Owned(resource)) => Cow::Owned(resource.into_inner()),
            Err(_) => Cow::Borrowed(""),
        },
        Cow::Owned(resource) => match ResourcePart::new(&resource) {
            Ok(resource) => Cow::Owned(resource.into_owned().into_inner()),
            Err(_) => Cow::Borrowed(""),
        },
    }
}

/// A tuple that says nothing of itself is unavailable (RFC 8048 §6.3 leaves it open).
fn availability(tuple: &Tuple) -> Availability {
    let open = match (tuple.basic, tuple.extended) {
        (Some(Basic::Closed), _) | (_, Some(Extended::Offline)) => false,
        (Some(Basic::Open), _) => true,
        (None, extended) => tuple.show.is_some() || extended.is_some(),
    };
    if open { Availability::Available } else { Availability::Unavailable }
}

/// The most exact source counts: `<show/>`, the status extension, activities of the tuple, those of the person. Never a note.
fn show(document: &Document, tuple: &Tuple) -> Option<Show> {
    if tuple.show.is_some() {
        return tuple.show;
    }
    match tuple.extended {
        Some(Extended::Available | Extended::Offline) => None,
        Some(Extended::Away) => Some(Show::Away),
        Some(Extended::ExtendedAway) => Some(Show::Xa),
        Some(Extended::Busy) => Some(Show::Dnd),
        None => activity::to_show(&tuple.activities).or_else(|| activity::to_show(&document.activities)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scheme;

    fn addresses() -> Addresses {
        Addresses::new(Scheme::Transparent).unwrap()
    }

    #[test]
    fn the_answer_to_a_probe_is_no_change() {
        let from = Jid::new("romeo@example.net/orchard").unwrap();
        let publish = |delay: &str| {
            let stanza = Element::parse(&format!("<presence><status>here</status>{delay}</presence>")).unwrap();
            to_sip(&stanza, &from, &addresses(), 3600)
        };
        assert_eq!(publish("<delay xmlns='urn:xmpp:delay' stamp='2026-11-21T03:00:00Z'/>"), publish(""));
    }

    #[test]
    fn the_least_available_of_too_many_resources_are_left_out() {
        let resource = |number: usize| {
            let jid = Jid::new(&format!("romeo@example.net/{number:03}")).unwrap();
            let stanza = Element::parse(&format!("<presence><priority>{number}</priority></presence>")).unwrap();
            ResourcePresence::read(&stanza, &jid).unwrap()
        };
        let resources: Vec<_> = (0..=MAX_TUPLES).map(resource).collect();
        let user = Jid::new("romeo@example.net").unwrap();
        let document = Document::parse(to_pidf(&user, &resources, &addresses()).unwrap().as_bytes()).unwrap();
        let ids: Vec<_> = document.tuples.iter().map(|tuple| tuple.id.clone()).collect();
        assert_eq!(ids, (1..=MAX_TUPLES).rev().map(|number| format!("ID-{number:03}")).collect::<Vec<_>>());
    }
}
