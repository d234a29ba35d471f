//! Lines that have panicked: a fault of ours that is met again by the next line of the account is not met each second.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use crate::process::backoff::Backoff;
use crate::process::backoff::dice;

/// By user, how often its lines have, and how long the last one stood.
#[derive(Debug, Default)]
pub(super) struct Falls(HashMap<String, Backoff>);

impl Falls {
    /// A line of the user has panicked: how long to wait for the next one, 1 s to 60 s.
    pub(super) fn fell(&mut self, now: Instant, user: &str) -> Duration {
        self.0.entry(user.to_owned()).or_default().pause(now, Duration::ZERO, dice())
    }

    /// A line of the user stands.
    pub(super) fn up(&mut self, now: Instant, user: &str) {
        if let Some(backoff) = self.0.get_mut(user) {
            backoff.up(now);
        }
    }

    /// The user has another account now, or none.
    pub(super) fn forget(&mut self, user: &str) {
        self.0.remove(user);
    }
}
