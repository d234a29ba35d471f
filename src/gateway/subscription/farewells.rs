//! What of a SIP user ended while its stream was down: told when the stream stands again.

use std::collections::BTreeSet;

use crate::address::domain_of;
use crate::gateway::action::Action;

/// Ends that wait for the stream at the most; more are logged and left to the next probe.
const MAX_FAREWELLS: usize = 100_000;

/// Which domains have a stream, and what waits for those that have none.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// Domains of SIP users that have a stream. While one has none, states are kept and told afterwards.
    up: BTreeSet<String>,
    /// With the SIP user that each is about.
    waiting: Vec<(String, Action)>,
}

impl Farewells {
    /// The stream of a domain stands: what waited for it.
    pub(super) fn stream_up(&mut self, domain: &str, actions: &mut Vec<Action>) {
        self.up.insert(domain.to_owned());
        let (told, kept) = std::mem::take(&mut self.waiting).into_iter().partition(|(user, _)| domain_of(user) == domain);
        self.waiting = kept;
        let told: Vec<(String, Action)> = told;
        actions.extend(told.into_iter().map(|(_, farewell)| farewell));
    }

    /// The stream of a domain broke.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.up.remove(domain);
    }

    /// Whether there is a stream for this SIP user, a bare JID.
    pub(super) fn is_up(&self, user: &str) -> bool {
        self.up.contains(domain_of(user).as_ref())
    }

    /// Something of this SIP user ended: told now, or when the stream stands again.
    pub(super) fn say(&mut self, user: &str, farewell: Action, actions: &mut Vec<Action>) {
        if self.is_up(user) {
            actions.push(farewell);
        } else if self.waiting.len() < MAX_FAREWELLS {
            self.waiting.push((user.to_owned(), farewell));
        } else {
            log::warn!("more than {MAX_FAREWELLS} subscriptions and resources ended while the stream is down");
        }
    }
}
