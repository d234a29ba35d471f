//! The presence of one XMPP resource (RFC 6121 §4.7) as a tuple (RFC 8048 §6.2).

use jid::Jid;
use jiff::Timestamp;

use super::Availability;
use super::PresenceError;
use super::priority;
use crate::address::AddressError;
use crate::address::to_gruu;
use crate::sip::pidf::Basic;
use crate::sip::pidf::Contact;
use crate::sip::pidf::Extended;
use crate::sip::pidf::MAX_NOTE;
use crate::sip::pidf::MAX_NOTES;
use crate::sip::pidf::Note;
use crate::sip::pidf::Show;
use crate::sip::pidf::Tuple;
use crate::sip::pidf::UserInput;
use crate::sip::pidf::date_time;
use crate::translate::contact_lamp::Signs;
use crate::translate::tuple_id;
use crate::xmpp::activity::Activity;
use crate::xmpp::element::Element;
use crate::xmpp::ns;
use crate::xmpp::stanza::PresenceType;

/// What the last `<presence/>` of a resource says. Whose resource it is, is for its owner to know: there may be hundreds of thousands of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourcePresence {
    /// Empty for a user without resources, as other gateways have them, and for a user as a whole.
    resource: Box<str>,
    pub(super) availability: Availability,
    pub(super) show: Option<Show>,
    /// `None` if it has none, or one that is out of range: as 0 in all but that it is not written.
    pub(super) priority: Option<i8>,
    notes: Box<[Note]>,
    /// Somebody is on the phone (XEP-0108).
    pub on_the_phone: bool,
    /// Since when nobody uses it (XEP-0319).
    idle_since: Option<Timestamp>,
    /// When it said so: what the stanza tells (XEP-0203), else for who received it to fill in.
    pub changed: Option<Timestamp>,
}

impl ResourcePresence {
    /// Reads a `<presence/>` without type or of type `unavailable`. `from` is its sender.
    pub fn read(presence: &Element, from: &Jid) -> Result<Self, PresenceError> {
        let availability = availability(presence)?;
        let while_there = |text: Option<String>| text.filter(|_| availability == Availability::Available);
        let child = |name| presence.child(name, ns::CLIENT).map(|child| child.text().into_owned());
        let time = |name, ns, attribute| presence.child(name, ns).and_then(|child| child.attribute(attribute)).map(str::to_owned);
        Ok(Self {
            resource: from.resource().map_or("", |resource| resource.as_str()).into(),
            availability,
            show: while_there(child("show")).and_then(|show| Show::from_name(&show)),
            priority: child("priority").and_then(|priority| priority.trim().parse().ok()),
            notes: notes(presence),
            on_the_phone: availability == Availability::Available && Activity::of(presence) == Some(Activity::OnThePhone),
            idle_since: while_there(time("idle", ns::IDLE, "since")).and_then(|since| date_time(&since)),
            changed: time("delay", ns::DELAY, "stamp").and_then(|stamp| date_time(&stamp)),
        })
    }

    /// That of a resource, or with an empty one of a user as a whole, that is not there (any more).
    pub fn gone(resource: &str) -> Self {
        let (show, priority, idle_since, changed) = (None, None, None, None);
        let (resource, availability, notes) = (resource.into(), Availability::Unavailable, Box::default());
        Self { resource, availability, show, priority, notes, on_the_phone: false, idle_since, changed }
    }

    /// Which resource it is of; empty for a user without resources, and for a user as a whole.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Whether the resource is there.
    pub fn availability(&self) -> Availability {
        self.availability
    }

    /// What of it may light a lamp.
    pub fn signs(&self) -> Signs {
        Signs { show: self.show, on_the_phone: self.on_the_phone }
    }

    /// Whether both say the same to who sees presence, whenever they said it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said = |presence: &Self| Self { changed: None, on_the_phone: false, ..presence.clone() };
        said(self) == said(other)
    }

    /// Octets of its notes: all else is small.
    pub fn note_octets(&self) -> usize {
        self.notes.iter().map(|note| note.text.len()).sum()
    }

    /// The same without a word.
    #[must_use]
    pub fn without_notes(self) -> Self {
        Self { notes: Box::default(), ..self }
    }

    /// `user` is the SIP URI of the user.
    pub(super) fn to_tuple(&self, user: &str) -> Result<Tuple, AddressError> {
        Ok(Tuple {
            id: self.tuple_id(),
            basic: Some(match self.availability {
                Availability::Available => Basic::Open,
                Availability::Unavailable => Basic::Closed,
            }),
            show: self.show,
            extended: Some(extended(self.availability, self.show)),
            user_input: self.idle_since.map(|since| UserInput::Idle { since: Some(since) }),
            contact: Some(Contact {
                uri: to_gruu(user.to_owned(), &self.resource)?,
                priority: self.priority.and_then(priority::to_thousandths),
            }),
            notes: self.notes.to_vec(),
            timestamp: self.changed,
            ..Tuple::default()
        })
    }

    pub(super) fn tuple_id(&self) -> String {
        tuple_id::tuple_id(&self.resource)
    }
}

fn availability(presence: &Element) -> Result<Availability, PresenceError> {
    match PresenceType::of(presence) {
        Some(PresenceType::Available) => Ok(Availability::Available),
        Some(PresenceType::Unavailable) => Ok(Availability::Unavailable),
        Some(
            PresenceType::Error
            | PresenceType::Probe
            | PresenceType::Subscribe
            | PresenceType::Subscribed
            | PresenceType::Unsubscribe
            | PresenceType::Unsubscribed,
        )
        | None => Err(PresenceError::NotState),
    }
}

/// For SIP clients that know Blink's states and not `<show/>`.
fn extended(availability: Availability, show: Option<Show>) -> Extended {
    match (availability, show) {
        (Availability::Unavailable, _) => Extended::Offline,
        (Availability::Available, None | Some(Show::Chat)) => Extended::Available,
        (Availability::Available, Some(Show::Away)) => Extended::Away,
        (Availability::Available, Some(Show::Xa)) => Extended::ExtendedAway,
        (Availability::Available, Some(Show::Dnd)) => Extended::Busy,
    }
}

/// One note per language, the first: two statuses in one are no valid presence (RFC 6121 §4.7.2.2).
fn notes(presence: &Element) -> Box<[Note]> {
    let statuses = presence.children().filter(|child| child.is("status", ns::CLIENT) && !child.text().is_empty());
    let note = |status: &Element| Note {
        language: status.attribute("xml:lang").or_else(|| presence.attribute("xml:lang")).map(str::to_owned),
        text: status.text().into_owned(),
    };
    let mut notes: Vec<Note> = Vec::new();
    for note in statuses.map(note).filter(|note| note.text.len() <= MAX_NOTE) {
        if notes.len() < MAX_NOTES && notes.iter().all(|earlier| earlier.language != note.language) {
            notes.push(note);
        }
    }
    notes.into_boxed_slice()
}
