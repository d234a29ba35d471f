//! Who is in a call, and how: of all dialogs of a user the one that says most.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use super::Rendering;
use super::Side;
use super::address_of_record;
use super::call::Branch;
use super::call::Call;
use super::publisher::MAX_CALLS;
use super::publisher::Name;
use crate::sip::dialog_info::NameAddress;
use crate::sip::dialog_state::DialogState;
use crate::translate::call::Phase;
use crate::translate::call::UserCall;

/// All users who are in a call, by SIP URI.
#[derive(Debug, Default)]
pub(super) struct Users {
    calls: HashMap<String, BTreeMap<Name, UserCall>>,
    /// Whose call each dialog is.
    owners: HashMap<Name, String>,
    changed: BTreeSet<String>,
    /// Whose change somebody could not be told of.
    untold: BTreeSet<String>,
    kept: BTreeSet<String>,
}

impl Users {
    /// A dialog of a user has changed, or has not.
    pub(super) fn see(&mut self, name: Name, call: &Call, branch: &Branch, side: Side) {
        let state = user_call(call, branch, side);
        if state.is_none() && !self.owners.contains_key(&name) {
            return;
        }
        let owner = state.as_ref().and_then(|_| address_of_record(&call.identity(branch, side).uri)).map(|uri| uri.to_string());
        if self.owners.get(&name) != owner.as_ref() {
            self.forget(name);
        }
        let (Some(owner), Some(state)) = (owner, state) else { return };
        let calls = self.calls.entry(owner.clone()).or_default();
        let before = calls.values().max().cloned();
        calls.insert(name, state);
        if calls.values().max() != before.as_ref() {
            self.changed.insert(owner.clone());
        }
        self.owners.insert(name, owner);
    }

    fn forget(&mut self, name: Name) {
        let Some(owner) = self.owners.remove(&name) else { return };
        if let Some(calls) = self.calls.get_mut(&owner) {
            calls.remove(&name);
            if calls.is_empty() {
                self.calls.remove(&owner);
            }
        }
        self.changed.insert(owner);
    }

    /// Those whose call is another one than before, or over.
    pub(super) fn take_changed(&mut self) -> Vec<(String, Option<UserCall>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|user| self.with_call(user)).collect()
    }

    /// The call of this user is to be told later; whose end finds no place is not.
    pub(super) fn tell_later(&mut self, user: &str) {
        if self.untold.len() < MAX_UNTOLD {
            self.untold.insert(user.to_owned());
        }
    }

    /// So are those of all.
    pub(super) fn tell_all_later(&mut self) {
        self.untold.extend(self.calls.keys().cloned());
    }

    /// One who is to be told of, with the call as it is now.
    pub(super) fn take_untold(&mut self) -> Option<(String, Option<UserCall>)> {
        self.untold.pop_first().map(|user| self.with_call(user))
    }

    pub(super) fn are_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    fn with_call(&self, user: String) -> (String, Option<UserCall>) {
        let call = self.calls.get(&user).and_then(|calls| calls.values().max().cloned());
        (user, call)
    }

    /// A request within the call of a dialog shows that it goes on. Before it is answered that means nothing.
    pub(super) fn keep(&mut self, name: Name) {
        let Some(owner) = self.owners.get(&name) else { return };
        let phase = self.calls.get(owner).and_then(|calls| calls.get(&name)).map(|call| call.phase);
        if matches!(phase, Some(Phase::Talking | Phase::OnHold)) {
            self.kept.insert(owner.clone());
        }
    }

    /// Those of whose calls that was shown.
    pub(super) fn take_kept(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.kept)
    }

    /// All are told again.
    pub(super) fn change_all(&mut self) {
        self.changed.extend(self.calls.keys().cloned());
    }
}

/// Users of as many calls as there may be.
const MAX_UNTOLD: usize = 2 * MAX_CALLS;

fn user_call(call: &Call, branch: &Branch, side: Side) -> Option<UserCall> {
    if !call.shows(branch, side) {
        return None;
    }
    let is_held = || Side::BOTH.into_iter().any(|side| call.rendering(side) == Some(Rendering::No));
    let (phase, other) = match (branch.state(side), side) {
        (DialogState::Early, Side::Caller) => (Phase::Calling, Side::Callee),
        (DialogState::Early, Side::Callee) => (Phase::Ringing, Side::Caller),
        (DialogState::Confirmed, Side::Caller) => (if is_held() { Phase::OnHold } else { Phase::Talking }, Side::Callee),
        (DialogState::Confirmed, Side::Callee) => (if is_held() { Phase::OnHold } else { Phase::Talking }, Side::Caller),
        (DialogState::Trying | DialogState::Proceeding | DialogState::Terminated(_), _) => return None,
    };
    Some(UserCall { phase, other: name_of(call.identity(branch, other)) })
}

fn name_of(NameAddress { uri, display }: NameAddress) -> String {
    display.unwrap_or_else(|| {
        let address = uri.split_once(':').map_or(&*uri, |(_, address)| address);
        address.split(['@', ';']).next().unwrap_or(address).to_owned()
    })
}
