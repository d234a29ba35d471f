//! Counts what any stranger can make happen as often as they like, and keeps it from filling the log.

use std::time::Duration;
use std::time::Instant;

/// Time between two log lines about the same kind of thing.
pub(crate) const PAUSE: Duration = Duration::from_secs(60);

/// How often one kind of thing happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    total: u64,
    said: Option<Instant>,
}

impl Tally {
    /// It happened again. `Some`: it is time for a log line, with this total in it.
    pub(crate) fn count(&mut self, now: Instant) -> Option<u64> {
        self.total = self.total.saturating_add(1);
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < PAUSE) {
            return None;
        }
        self.said = Some(now);
        Some(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_rest_once_a_minute_with_all_of_them_counted() {
        let start = Instant::now();
        let mut tally = Tally::default();
        let said: Vec<u64> = (0..600).filter_map(|n| tally.count(start + Duration::from_millis(n * 500))).collect();
        assert_eq!(said, [1, 121, 241, 361, 481]);
    }
}
