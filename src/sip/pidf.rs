//! Presence documents: PIDF (RFC 3863) with the person and devices of RFC 4479, the activities and the user input of RPID (RFC 4480)
//! and the name of CIPID (RFC 4482).
//!
//! Read: what the peers send, drafts included. Written: what the schema of RFC 3863 allows, in its order. No mapping is made here;
//! that is `translate::presence`.

mod activity;
mod parse;
mod write;

use jiff::Timestamp;

pub use self::activity::Activity;

/// The most tuples that one document may have.
pub const MAX_TUPLES: usize = 32;

/// The most notes that are kept of one tuple, person or document; further ones are passed over.
pub const MAX_NOTES: usize = 8;

/// The longest note, in octets. A longer one is passed over.
pub const MAX_NOTE: usize = 4096;

/// The longest name of a person, in octets. A longer one is passed over.
pub const MAX_NAME: usize = 256;

/// An `application/pidf+xml` document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Whose presence it is: a URI.
    pub entity: String,
    /// One for each device or service.
    pub tuples: Vec<Tuple>,
    /// What the person is called: `<display-name/>` of the person, else of the first tuple that has one (RFC 4482). It is not written.
    pub display_name: Option<String>,
    /// What the person does.
    pub activities: Vec<Activity>,
    /// Whether the person uses any device.
    pub user_input: Option<UserInput>,
    /// Notes on the whole, then those on the person.
    pub notes: Vec<Note>,
}

/// The presence of one device or service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Its name within the document.
    pub id: String,
    /// Whether it can be reached.
    pub basic: Option<Basic>,
    /// `<show xmlns='jabber:client'/>` (RFC 8048 §6.2).
    pub show: Option<Show>,
    /// `<extended/>` of Blink and SylkServer.
    pub extended: Option<Extended>,
    /// Activities in the tuple or its status, as drafts of RPID had them.
    pub activities: Vec<Activity>,
    /// Whether somebody uses it: what it says itself, else its device.
    pub user_input: Option<UserInput>,
    /// Where it can be reached.
    pub contact: Option<Contact>,
    /// What the person is called who uses it.
    pub display_name: Option<String>,
    /// Notes on it.
    pub notes: Vec<Note>,
    /// When its state changed. It is written to the second.
    pub timestamp: Option<Timestamp>,
}

/// Whether a tuple can be reached (RFC 3863 §4.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basic {
    /// It can.
    Open,
    /// It cannot.
    Closed,
}

/// The availability of XMPP (RFC 6121 §4.7.2.1); an available user may have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Away for a while.
    Away,
    /// Interested in chatting.
    Chat,
    /// Busy: do not disturb.
    Dnd,
    /// Away for long.
    Xa,
}

impl Show {
    /// Its name in XMPP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Chat => "chat",
            Self::Dnd => "dnd",
            Self::Xa => "xa",
        }
    }

    /// The availability of this name, spaces around it allowed.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Away, Self::Chat, Self::Dnd, Self::Xa].into_iter().find(|show| show.name() == name.trim())
    }
}

/// The states of Blink's and SylkServer's status extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// Available.
    Available,
    /// Away for a while.
    Away,
    /// Away for long.
    ExtendedAway,
    /// Busy.
    Busy,
    /// Not there.
    Offline,
}

/// Whether somebody uses a device or service (RFC 4480 §3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserInput {
    /// Somebody does.
    Active,
    /// Nobody does.
    Idle {
        /// When somebody did last. It is written to the second.
        since: Option<Timestamp>,
    },
}

/// Text for humans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its language.
    pub language: Option<String>,
    /// The text, every space of it.
    pub text: String,
}

/// Where a tuple can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// A URI.
    pub uri: String,
    /// Its priority in thousandths, 0 to 1000 (RFC 3863 §4.1.5).
    pub priority: Option<u16>,
}

/// Reads a date and time (RFC 3339, which XEP-0082 is a profile of), spaces around it allowed. `None` for one that has no offset from
/// UTC, or could not be written as one of our era.
pub(crate) fn date_time(text: &str) -> Option<Timestamp> {
    let time: Timestamp = text.trim().parse().ok()?;
    time.to_string().starts_with(|c: char| c.is_ascii_digit()).then_some(time)
}

#[cfg(test)]
mod tests;
