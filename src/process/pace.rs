//! Gathers what the workers send, when they send much.
//!
//! Waking this process for every datagram costs the worker that sends it more than the datagram itself. Under load it therefore
//! sleeps for a moment before it reads: whoever sends meanwhile wakes nobody, and one read and one write carry many stanzas. What
//! comes seldom is read at once.

use std::thread;
use std::time::Duration;
use std::time::Instant;

/// Datagrams in one [`WINDOW`] from which on they are gathered: 5000 per second.
const MANY: usize = 50;

/// Over which time they are counted.
const WINDOW: Duration = Duration::from_millis(10);

/// How long they are gathered: a tenth of a millisecond is nothing to a request under load.
const MOMENT: Duration = Duration::from_micros(100);

/// Counts datagrams.
#[derive(Debug)]
pub(super) struct Pace {
    window_ends: Instant,
    taken: usize,
    load: Load,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Light,
    Heavy,
}

impl Pace {
    /// Nothing has come yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { window_ends: now.checked_add(WINDOW).unwrap_or(now), taken: 0, load: Load::Light }
    }

    /// Before a read: waits for more, if more is coming.
    pub(super) fn gather(&mut self) {
        self.turn_over(Instant::now());
        if self.load == Load::Heavy {
            thread::sleep(MOMENT);
        }
    }

    /// So many datagrams were read.
    pub(super) fn took(&mut self, count: usize) {
        self.taken = self.taken.saturating_add(count);
    }

    fn turn_over(&mut self, now: Instant) {
        if now >= self.window_ends {
            let late = now.saturating_duration_since(self.window_ends);
            self.load = if self.taken >= MANY && late < WINDOW { Load::Heavy } else { Load::Light };
            self.taken = 0;
            self.window_ends = now.checked_add(WINDOW).unwrap_or(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_in_one_window_are_gathered_until_few_come() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.took(MANY);
        pace.turn_over(start + WINDOW);
        assert_eq!(pace.load, Load::Heavy);
        pace.took(MANY - 1);
        pace.turn_over(start + 2 * WINDOW);
        assert_eq!(pace.load, Load::Light);
    }

    #[test]
    fn what_came_long_ago_is_no_load() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.took(1000);
        pace.turn_over(start + Duration::from_secs(5));
        assert_eq!(pace.load, Load::Light);
    }
}
