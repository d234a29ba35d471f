//! What an XMPP contact is doing, as the lamp of a telephone: a document of dialogs (RFC 4235) with one virtual dialog.
//!
//! Our choice, as no RFC has it. A show counts where it is that of the resource that stands for the user: who is available somewhere may be called.
//! On the phone is a person, so there any resource counts.

use crate::config::ContactLamp;
use crate::config::ContactState;
use crate::sip::dialog_info::Dialog;
use crate::sip::dialog_info::Direction;
use crate::sip::dialog_info::Document;
use crate::sip::dialog_info::NameAddress;
use crate::sip::dialog_info::Participant;
use crate::sip::dialog_info::State;
use crate::sip::dialog_state::DialogState;
use crate::sip::dialog_state::End;
use crate::sip::pidf;
use crate::sip::pidf::Show;
use crate::translate::presence::Rank;

/// A lamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lamp {
    /// The contact is there and in one of the states.
    Lit,
    /// It is in another state, or not there.
    Dark,
}

/// What a resource says that may light a lamp.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// Its show.
    pub show: Option<Show>,
    /// Its presence has that activity.
    pub on_the_phone: bool,
}

impl Signs {
    /// Those that were published: an activity is in no PIDF of ours.
    pub fn of_pidf(document: &pidf::Document) -> Self {
        Self { show: document.tuples.first().and_then(|tuple| tuple.show), on_the_phone: false }
    }
}

/// The id of the virtual dialog: a contact has one at the most.
const ID: &str = "xmpp";

/// The lamp of a contact with these resources, all of which are there. `on_the_phone` is what PEP says of the user.
pub fn lamp<'a>(lights: &ContactLamp, resources: impl Iterator<Item = (&'a Rank, Signs)>, on_the_phone: bool) -> Lamp {
    let (mut best, mut talks, mut is_there) = (None, on_the_phone, false);
    for (rank, signs) in resources {
        is_there = true;
        talks |= signs.on_the_phone;
        if best.is_none_or(|(best, _)| rank > best) {
            best = Some((rank, signs.show));
        }
    }
    let state = best.and_then(|(_, show)| match show? {
        Show::Away => Some(ContactState::Away),
        Show::Xa => Some(ContactState::Xa),
        Show::Dnd => Some(ContactState::Dnd),
        Show::Chat => None,
    });
    let is_lit = state.is_some_and(|state| lights.shows(state)) || talks && lights.shows(ContactState::OnThePhone);
    if is_there && is_lit { Lamp::Lit } else { Lamp::Dark }
}

/// The document of that lamp; `None`: it may not be seen, or is not known. `entity` is the SIP URI of the contact.
pub fn document(entity: &str, version: u32, lamp: Option<Lamp>) -> String {
    let dialog = |state| Dialog {
        // There is no call to pick up, and phones expect to be told which side it is.
        direction: Some(Direction::Recipient),
        local: Some(Participant {
            identity: Some(NameAddress { uri: entity.to_owned(), display: None }),
            ..Participant::default()
        }),
        ..Dialog::new(ID.to_owned(), state)
    };
    let state = lamp.map(|lamp| match lamp {
        Lamp::Lit => DialogState::Confirmed,
        // Many phones leave a lamp as it is where there is no dialog at all.
        Lamp::Dark => DialogState::Terminated(End::default()),
    });
    Document { version, state: State::Full, entity: entity.to_owned(), dialogs: state.map(dialog).into_iter().collect() }.to_xml()
}
