//! The document of one branch of a call for one of its two users.

use super::CallKey;
use super::Rendering;
use super::Side;
use super::call::Branch;
use super::call::Call;
use crate::config::CallDocuments;
use crate::sip::Uri;
use crate::sip::dialog_info::Dialog;
use crate::sip::dialog_info::Direction;
use crate::sip::dialog_info::Document;
use crate::sip::dialog_info::NameAddress;
use crate::sip::dialog_info::Parameter;
use crate::sip::dialog_info::Participant;
use crate::sip::dialog_info::State;
use crate::sip::dialog_info::Target;
use crate::sip::dialog_state::DialogState;

/// Which one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) key: &'a CallKey,
    pub(super) call: &'a Call,
    pub(super) branch: &'a Branch,
    pub(super) side: Side,
}

impl Subject<'_> {
    /// Where the dialog stands for its user's watchers.
    pub(super) fn state(&self, wanted: &CallDocuments) -> DialogState {
        let state = self.branch.state(self.side);
        let shows_early_as_confirmed = wanted.caller_confirmed && self.side == Side::Caller;
        if state == DialogState::Early && shows_early_as_confirmed { DialogState::Confirmed } else { state }
    }

    /// Writes it, under this id and in this state.
    pub(super) fn document(&self, id: String, state: DialogState, entity: &Uri, wanted: &CallDocuments) -> String {
        let mut dialog = Dialog::new(id, state);
        let begun = &self.call.begun;
        dialog.direction = Some(match self.side {
            Side::Caller => Direction::Initiator,
            Side::Callee => Direction::Recipient,
        });
        if wanted.include_callid {
            dialog.call_id = Some(self.key.call_id.clone());
        }
        let other = self.other();
        if wanted.include_tags {
            dialog.local_tag = self.tag(self.side);
            dialog.remote_tag = self.tag(other);
        }
        if wanted.include_callid && wanted.include_tags && self.side == Side::Callee {
            dialog.replaces.clone_from(&begun.replaces);
        }
        if wanted.include_localremote {
            dialog.local = Some(self.participant(self.side));
            dialog.remote = Some(self.participant(other));
            dialog.referred_by.clone_from(&begun.referred_by);
        }
        Document { version: 0, state: State::Partial, entity: entity.to_string(), dialogs: vec![dialog] }.to_xml()
    }

    fn other(&self) -> Side {
        match self.side {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }

    fn tag(&self, side: Side) -> Option<String> {
        let tag = match side {
            Side::Caller => &self.key.from_tag,
            Side::Callee => &self.branch.peer.tag,
        };
        Some(tag.clone()).filter(|tag| !tag.is_empty())
    }

    fn participant(&self, side: Side) -> Participant {
        let identity = self.call.identity(self.branch, side);
        let contact = match side {
            Side::Caller => self.call.begun.target.clone(),
            Side::Callee => self.branch.peer.target.clone(),
        };
        let parameters = match self.call.rendering(side) {
            None => Vec::new(),
            Some(rendering) => {
                let value = match rendering {
                    Rendering::Yes => "yes",
                    Rendering::No => "no",
                };
                vec![Parameter { name: "+sip.rendering".to_owned(), value: value.to_owned() }]
            }
        };
        let target = Target { uri: contact.unwrap_or_else(|| identity.uri.clone()), parameters };
        Participant {
            identity: Some(NameAddress { uri: without_parameters(&identity.uri), ..identity }),
            target: Some(target),
            cseq: None,
        }
    }
}

/// Who somebody is does not depend on how they are reached.
fn without_parameters(uri: &str) -> String {
    super::address_of_record(uri).map_or_else(|| uri.to_owned(), |address| address.to_string())
}
