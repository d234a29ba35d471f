//! Which decision of an XMPP user gets a place in the table that all workers read.
//!
//! The table forgets nothing, so strangers are not to fill it. A decision is kept for XMPP users whom a SIP user has asked for, and of
//! theirs: the answers to questions, whatever changes one that is kept, and a few that nobody asked for.

use crate::gateway::action::Authorization;
use crate::gateway::action::Occasion;
use crate::gateway::share::Shares;
use crate::link::shared::Shared;

/// Decisions that are kept although no question was open, and those of one XMPP user. Such are rare: a permission is taken back after a
/// restart of ours, or the question was dropped for newer ones.
const MAX_UNASKED: usize = 100_000;
const MAX_UNASKED_PER_USER: usize = 100;

/// The table, from the side that fills it.
pub(super) struct Decisions<'a> {
    shared: &'a Shared,
    /// Who has places of those that nobody asked for. What is in the table stays: none is given back.
    unasked: Shares,
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is in the table: the presence server has to look again.
    Changed,
    /// Nothing has changed: it was decided so before, or is not kept.
    AsBefore,
}

impl<'a> Decisions<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, unasked: Shares::new(MAX_UNASKED_PER_USER, MAX_UNASKED) }
    }

    /// Whether this XMPP user has not decided on this SIP user. The presence server tells of one who waits more than once, and may do so
    /// after the answer has come: nobody is to be asked again for that.
    pub(super) fn is_open(&self, watcher: &str, presentity: &str) -> bool {
        self.shared.authorization(watcher, presentity) == Authorization::Pending
    }

    /// Keeps what this XMPP user decided on this SIP user, both bare JIDs.
    pub(super) fn keep(&mut self, watcher: &str, presentity: &str, decision: Authorization, occasion: Occasion) -> Kept {
        if !self.shared.answers_for(presentity) {
            log::debug!("nobody asked who may see {presentity}: a decision on {watcher} is dropped");
        } else if occasion == Occasion::Hiding && !self.is_hiding(watcher, presentity, decision) {
            log::debug!("{presentity} has not let {watcher} in, or hides from nobody");
        } else if self.shared.authorization(watcher, presentity) == decision {
            log::debug!("{presentity} decided on {watcher} as before");
        } else if !self.may_have_place(watcher, presentity, occasion) {
            log::debug!("nobody asked {presentity} about {watcher}, nor about many others: the decision is dropped");
        } else if !self.shared.authorize(watcher, presentity, decision) {
            log::error!("no place to keep what {presentity} decided on {watcher}");
        } else {
            return Kept::Changed;
        }
        Kept::AsBefore
    }

    /// Whether this follows what was decided: nobody is let in by it.
    fn is_hiding(&self, watcher: &str, presentity: &str, decision: Authorization) -> bool {
        match decision {
            Authorization::Hidden => self.shared.authorization(watcher, presentity) == Authorization::Allowed,
            Authorization::Allowed => self.shared.authorization(watcher, presentity) == Authorization::Hidden,
            Authorization::Pending | Authorization::Refused | Authorization::NoResource => false,
        }
    }

    fn may_have_place(&mut self, watcher: &str, presentity: &str, occasion: Occasion) -> bool {
        match occasion {
            Occasion::Asked | Occasion::Hiding => true,
            Occasion::Unasked => self.shared.knows(watcher, presentity) || self.unasked.take(presentity).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROMEO: &str = "romeo@example.net";

    /// How many of these decisions of Romeo on invented SIP users are kept.
    fn kept(decisions: &mut Decisions<'_>, count: usize, occasion: Occasion) -> usize {
        let decide = |n| decisions.keep(&format!("u{n}@sip.example.com"), ROMEO, Authorization::Allowed, occasion);
        (0..count).map(decide).filter(|kept| *kept == Kept::Changed).count()
    }

    #[test]
    fn what_nobody_asked_for_takes_few_places_and_answers_as_many_as_there_are_questions() {
        let shared = Shared::new().unwrap();
        shared.answer_for(ROMEO);
        let mut decisions = Decisions::new(&shared);
        assert_eq!(kept(&mut decisions, 1000, Occasion::Unasked), MAX_UNASKED_PER_USER);
        assert_eq!(kept(&mut decisions, 1000, Occasion::Unasked), 0);
        assert_eq!(kept(&mut decisions, 1000, Occasion::Asked), 1000 - MAX_UNASKED_PER_USER);
    }

    #[test]
    fn a_decision_that_is_kept_can_always_be_changed() {
        let shared = Shared::new().unwrap();
        shared.answer_for(ROMEO);
        let mut decisions = Decisions::new(&shared);
        kept(&mut decisions, 1000, Occasion::Unasked);
        for decision in [Authorization::Refused, Authorization::Allowed, Authorization::NoResource] {
            for _ in 0..1000 {
                decisions.keep("u1@sip.example.com", ROMEO, decision, Occasion::Unasked);
            }
            assert_eq!(shared.authorization("u1@sip.example.com", ROMEO), decision);
        }
    }

    #[test]
    fn who_hides_lets_nobody_in() {
        let shared = Shared::new().unwrap();
        shared.answer_for(ROMEO);
        let mut decisions = Decisions::new(&shared);
        let mut decide = |decision, occasion| {
            decisions.keep("u1@sip.example.com", ROMEO, decision, occasion);
            shared.authorization("u1@sip.example.com", ROMEO)
        };
        for refused in [Authorization::Refused, Authorization::NoResource, Authorization::Pending] {
            decide(refused, Occasion::Asked);
            for decision in [Authorization::Hidden, Authorization::Allowed] {
                assert_eq!(decide(decision, Occasion::Hiding), refused);
            }
        }
        decide(Authorization::Allowed, Occasion::Asked);
        for decision in [Authorization::Hidden, Authorization::Allowed] {
            assert_eq!(decide(decision, Occasion::Hiding), decision);
        }
    }

    #[test]
    fn nothing_is_kept_for_a_user_whom_nobody_asked_for() {
        let shared = Shared::new().unwrap();
        assert_eq!(kept(&mut Decisions::new(&shared), 10, Occasion::Asked), 0);
        assert!(!shared.knows("u1@sip.example.com", ROMEO));
    }
}
