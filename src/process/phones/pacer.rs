//! How many sessions log in at once: so many a second, in the order in which they ask.

use std::time::Duration;
use std::time::Instant;

/// Turns to log in.
#[derive(Debug)]
pub(super) struct Pacer {
    gap: Duration,
    next: Option<Instant>,
}

impl Pacer {
    /// So many a second; none at all would never end, so it is one at the least.
    pub(super) fn new(rate: u32) -> Self {
        Self { gap: Duration::from_secs(1).checked_div(rate.max(1)).unwrap_or(Duration::from_secs(1)), next: None }
    }

    /// How long to wait for a turn. It is taken.
    pub(super) fn turn(&mut self, now: Instant) -> Duration {
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = at.checked_add(self.gap);
        at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_the_rate() {
        let mut pacer = Pacer::new(20);
        let now = Instant::now();
        let waits: Vec<u128> = (0..4).map(|_| pacer.turn(now).as_millis()).collect();
        assert_eq!(waits, [0, 50, 100, 150]);
        let later = now.checked_add(Duration::from_secs(10)).unwrap();
        assert_eq!(pacer.turn(later), Duration::ZERO, "what nobody took is not made up for");
        assert_eq!(pacer.turn(later).as_millis(), 50);
        assert_eq!(Pacer::new(0).gap, Duration::from_secs(1));
    }
}
