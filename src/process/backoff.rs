//! How long to wait before the next try to connect.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::time::Duration;
use std::time::Instant;

/// The shortest pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest, for what needs the operator, too.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// A stream that stood so long was a good one: the next pause is the shortest again.
const STABLE: Duration = Duration::from_secs(60);

/// Pauses of 1 s, 2 s, 4 s ... 60 s, each shortened by up to a quarter at random, so that many gateways do not come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
    up_since: Option<Instant>,
}

impl Backoff {
    /// The stream stands.
    pub(super) fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// How long the last stream stood, if the last try made one.
    pub(super) fn stood(&self, now: Instant) -> Stood {
        match self.up_since {
            None => Stood::Never,
            Some(since) if now.saturating_duration_since(since) >= STABLE => Stood::Stable,
            Some(_) => Stood::Shortly,
        }
    }

    /// A try failed, or the stream broke: how long to wait, and not less than `least`. `dice` is any number.
    pub(super) fn pause(&mut self, now: Instant, least: Duration, dice: u64) -> Duration {
        if self.stood(now) == Stood::Stable {
            self.tries = 0;
        }
        self.up_since = None;
        let whole = FIRST.saturating_mul(1u32.checked_shl(self.tries.min(16)).unwrap_or(u32::MAX)).max(least).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        shortened(whole, dice)
    }

    /// The shortest pause, whatever was before; it counts as a try.
    pub(super) fn quick_pause(&mut self, dice: u64) -> Duration {
        self.up_since = None;
        self.tries = self.tries.saturating_add(1);
        shortened(FIRST, dice)
    }
}

/// What had become of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stood {
    /// It was not accepted.
    Never,
    /// It was, and broke within [`STABLE`].
    Shortly,
    /// It was a good one.
    Stable,
}

fn shortened(whole: Duration, dice: u64) -> Duration {
    let part = u32::try_from(dice % 256).unwrap_or(0);
    whole.saturating_sub(whole.saturating_mul(part).checked_div(1024).unwrap_or_default())
}

/// A number for [`Backoff::pause`], from the keys that the standard library draws for its maps.
pub(crate) fn dice() -> u64 {
    RandomState::new().hash_one(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let pauses: Vec<u64> = (0..8).map(|_| backoff.pause(now, Duration::ZERO, 0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_stable_minute_starts_anew_and_a_shorter_stream_does_not() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        for _ in 0..4 {
            backoff.pause(start, Duration::ZERO, 0);
        }
        backoff.up(start);
        assert_eq!(backoff.pause(start + Duration::from_secs(59), Duration::ZERO, 0).as_secs(), 16);
        backoff.up(start);
        assert_eq!(backoff.pause(start + Duration::from_secs(60), Duration::ZERO, 0).as_secs(), 1);
    }

    #[test]
    fn jitter_takes_away_at_most_a_quarter() {
        for dice in 0..512 {
            let pause = Backoff::default().pause(Instant::now(), Duration::ZERO, dice);
            assert!((Duration::from_millis(750)..=Duration::from_secs(1)).contains(&pause));
        }
    }
}
