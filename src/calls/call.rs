//! One call: its branches, and where each of them stands.

use std::collections::BTreeMap;

use super::Begun;
use super::Ending;
use super::Parties;
use super::Peer;
use super::Rendering;
use super::Side;
use super::Streams;
use super::What;
use crate::sip::dialog_info::NameAddress;
use crate::sip::dialog_state::Cause;
use crate::sip::dialog_state::DialogState;
use crate::sip::dialog_state::End;
use crate::sip::dialog_state::Event;

/// The most branches of a call that are followed: a host makes no more.
const MAX_BRANCHES: usize = 32;

/// A call, and what is known of it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) begun: Begun,
    pub(super) branches: BTreeMap<u16, Branch>,
    /// Of caller and callee, as their last offers and answers have it.
    rendering: [Offered; 2],
    /// Another call takes its place (RFC 3891).
    is_replaced: bool,
    /// Branches below this number have failed.
    failed: u16,
    pub(super) is_over: bool,
}

/// What a side last offered.
#[derive(Debug, Clone, Copy, Default)]
struct Offered {
    cseq: u32,
    rendering: Option<Rendering>,
}

/// A branch: a dialog each for caller and callee.
#[derive(Debug)]
pub(super) struct Branch {
    /// As the caller sees it.
    state: DialogState,
    pub(super) peer: Peer,
    /// Who is called there, if it is not who was called first.
    callee: Option<NameAddress>,
    muted: Parties,
}

impl Default for Branch {
    fn default() -> Self {
        Self { state: DialogState::Trying, peer: Peer::default(), callee: None, muted: Parties::NONE }
    }
}

impl Call {
    pub(super) fn new(begun: Begun) -> Self {
        let mut call = Self {
            begun,
            branches: BTreeMap::new(),
            rendering: Default::default(),
            is_replaced: false,
            failed: 0,
            is_over: false,
        };
        // Of one that was answered before a restart, nothing else is left.
        match call.begun.answered.take() {
            Some((branch, peer)) => call.answered(branch, peer),
            None => _ = call.branch(0),
        }
        call
    }

    /// What happened next.
    pub(super) fn event(&mut self, what: What) {
        match what {
            What::Begun(_) => {}
            What::Shown(parties) => self.begun.shown = parties,
            What::Callee { branch, callee } => {
                if let Some(branch) = self.branch(branch) {
                    branch.callee = callee;
                }
            }
            What::Muted { branch, parties } => {
                if let Some(branch) = self.branch(branch) {
                    branch.muted = parties;
                }
            }
            What::Provisional { branch, status, peer } => {
                // Some phones ring without a tag.
                let event = match status {
                    100 => return,
                    101..180 if peer.tag.is_empty() => Event::ProvisionalWithoutTag,
                    _ => Event::ProvisionalWithTag,
                };
                if let Some(branch) = self.branch(branch) {
                    branch.state = branch.state.after(event);
                    branch.met(peer);
                }
            }
            What::Refused { branch, status } => {
                if let Some(branch) = self.branch(branch) {
                    branch.state = branch.state.after(refused(status));
                }
            }
            What::Failed { branches, status } => {
                self.failed = self.failed.max(branches);
                self.end(refused(status), |number, _| number < branches);
            }
            What::Answered { branch, peer, lifetime } => {
                self.begun.lifetime = lifetime;
                self.answered(branch, peer);
            }
            What::Offer { from, cseq, rendering, lifetime } => {
                self.begun.lifetime = lifetime;
                self.offered(from, cseq, rendering);
            }
            What::Answer { from, streams, lifetime } => {
                self.begun.lifetime = lifetime;
                self.answers(from, streams);
            }
            What::Kept { lifetime } => self.begun.lifetime = lifetime,
            What::Ended(ending) => {
                let event = match ending {
                    Ending::Bye(_) if self.is_replaced => Event::End(End::new(Some(Cause::Replaced), None)),
                    Ending::Bye(Side::Caller) => Event::End(End::new(Some(Cause::LocalBye), None)),
                    Ending::Bye(Side::Callee) => Event::End(End::new(Some(Cause::RemoteBye), None)),
                    Ending::Refused(status) => refused(status),
                    // The host sent each side a BYE in the other's name.
                    Ending::Server => Event::End(End::new(Some(Cause::RemoteBye), None)),
                    Ending::Expired => Event::End(End::new(Some(Cause::Timeout), None)),
                };
                // What was refused on a branch is no end of one that was answered: it is heard late.
                let is_late = matches!(ending, Ending::Refused(_)) && self.is_answered();
                if !is_late {
                    self.end(event, |_, _| true);
                    self.is_over = true;
                }
            }
        }
    }

    /// Another call takes its place: when it ends, that is why.
    pub(super) fn replace(&mut self) {
        self.is_replaced = true;
    }

    pub(super) fn is_answered(&self) -> bool {
        self.branches.values().any(|branch| branch.state == DialogState::Confirmed)
    }

    /// Whose dialog this is.
    pub(super) fn identity(&self, branch: &Branch, side: Side) -> NameAddress {
        match side {
            Side::Caller => self.begun.caller.clone(),
            Side::Callee => branch.callee.as_ref().unwrap_or(&self.begun.callee).clone(),
        }
    }

    /// Whether the watchers of this side are to see the branch.
    pub(super) fn shows(&self, branch: &Branch, side: Side) -> bool {
        self.begun.shown.has(side) && !branch.muted.has(side)
    }

    pub(super) fn rendering(&self, side: Side) -> Option<Rendering> {
        let [caller, callee] = self.rendering;
        match side {
            Side::Caller => caller.rendering,
            Side::Callee => callee.rendering,
        }
    }

    fn offered(&mut self, from: Side, cseq: u32, rendering: Rendering) {
        let [caller, callee] = &mut self.rendering;
        let offered = match from {
            Side::Caller => caller,
            Side::Callee => callee,
        };
        if cseq >= offered.cseq {
            *offered = Offered { cseq, rendering: Some(rendering) };
        }
    }

    /// An answer can offer less than it was offered, and then it is no wish of its own (RFC 3264 §6.1): who is held has to say `inactive`.
    fn answers(&mut self, from: Side, streams: Streams) {
        let [caller, callee] = &mut self.rendering;
        let (own, other) = match from {
            Side::Caller => (caller, callee),
            Side::Callee => (callee, caller),
        };
        own.rendering = match (streams, own.rendering) {
            (Streams::Played, Some(_)) => Some(Rendering::Yes),
            (Streams::Played, None) => None,
            (Streams::Sent, _) => Some(Rendering::No),
            (Streams::Inactive, before) if other.rendering == Some(Rendering::No) => before,
            (Streams::Inactive, _) => Some(Rendering::No),
        };
    }

    /// The other branches are cancelled by whoever forked.
    fn answered(&mut self, answered: u16, peer: Peer) {
        if let Some(branch) = self.branch(answered) {
            branch.state = branch.state.after(Event::Success);
            branch.met(peer);
        }
        self.end(Event::End(End::new(Some(Cause::Cancelled), None)), |number, branch| {
            number != answered && branch.state != DialogState::Confirmed
        });
    }

    fn end(&mut self, event: Event, which: impl Fn(u16, &Branch) -> bool) {
        for (number, branch) in &mut self.branches {
            if which(*number, branch) {
                branch.state = branch.state.after(event);
            }
        }
    }

    /// A branch that is heard of for the first time when the call is over, or has been answered on another, came late: it is over too.
    fn branch(&mut self, number: u16) -> Option<&mut Branch> {
        let is_new = !self.branches.contains_key(&number);
        if is_new && (self.branches.len() >= MAX_BRANCHES || self.is_over || self.is_answered() || number < self.failed) {
            return None;
        }
        Some(self.branches.entry(number).or_default())
    }
}

impl Branch {
    /// Where it stands, as this side sees it.
    pub(super) fn state(&self, side: Side) -> DialogState {
        match (self.state, side) {
            (DialogState::Terminated(end), Side::Callee) => {
                DialogState::Terminated(End::new(end.cause().map(mirrored), end.code()))
            }
            (state, _) => state,
        }
    }

    fn met(&mut self, peer: Peer) {
        if !peer.tag.is_empty() {
            self.peer.tag = peer.tag;
        }
        if peer.target.is_some() {
            self.peer.target = peer.target;
        }
    }
}

fn refused(status: u16) -> Event {
    let cause = if status == 487 { Cause::Cancelled } else { Cause::Rejected };
    Event::End(End::new(Some(cause), Some(status)))
}

/// The same cause, as the other side sees it.
fn mirrored(cause: Cause) -> Cause {
    match cause {
        Cause::LocalBye => Cause::RemoteBye,
        Cause::RemoteBye => Cause::LocalBye,
        Cause::Rejected | Cause::Cancelled | Cause::Error | Cause::Timeout | Cause::Replaced => cause,
    }
}
