//! Ends of calls that are not known yet: an end goes past a link that is full, and the beginning may still wait in it.

use std::collections::HashSet;
use std::mem;
use std::time::Duration;
use std::time::Instant;

use super::MAX_CALLS;

/// Nothing waits in the link for so long.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Digests of calls, each remembered for a minute or two, and as many as there can be calls.
#[derive(Debug, Default)]
pub(super) struct Overtaken {
    newer: HashSet<u64>,
    older: HashSet<u64>,
    /// When the newer ones become the older ones.
    due: Option<Instant>,
}

impl Overtaken {
    /// This call has ended before it was heard of.
    pub(super) fn add(&mut self, now: Instant, call: u64) {
        if self.newer.len() >= MAX_CALLS {
            self.grow_older();
        }
        self.due = self.due.or_else(|| now.checked_add(REMEMBERED));
        self.newer.insert(call);
    }

    /// Whether this call, which begins, has ended; it is forgotten.
    pub(super) fn take(&mut self, call: u64) -> bool {
        self.newer.remove(&call) || self.older.remove(&call)
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.grow_older();
            self.due = (!self.older.is_empty()).then(|| now.checked_add(REMEMBERED)).flatten();
        }
    }

    fn grow_older(&mut self) {
        self.older = mem::take(&mut self.newer);
    }
}
