//! Points in time at half the size of an [`Instant`]: there may be hundreds of thousands of dialogs, each with several.

use std::num::NonZeroU64;
use std::time::Duration;
use std::time::Instant;

/// Milliseconds since the notifier began, and one more: as zero is none, an `Option` of it takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(NonZeroU64);

impl Moment {
    /// That of an instant; what was before the beginning counts as the beginning.
    pub(super) fn of(instant: Instant, began: Instant) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis(instant.saturating_duration_since(began))))
    }

    /// The other way round.
    pub(super) fn instant(self, began: Instant) -> Instant {
        began.checked_add(Duration::from_millis(self.0.get().saturating_sub(1))).unwrap_or(began)
    }

    /// So much later.
    pub(super) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(millis(time)))
    }

    /// How long it is until then.
    pub(super) fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.get().saturating_sub(self.0.get()))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_half_the_room_and_keeps_the_order_and_the_distance_of_instants() {
        let began = Instant::now();
        let [one, other] = [3, 65].map(|seconds| began + Duration::from_secs(seconds));
        let [first, second] = [one, other].map(|instant| Moment::of(instant, began));
        assert!(first < second);
        assert_eq!((first.until(second), second.until(first)), (Duration::from_secs(62), Duration::ZERO));
        assert_eq!(first.after(Duration::from_secs(62)), second);
        assert_eq!((first.instant(began), second.instant(began)), (one, other));
        assert_eq!(size_of::<Option<Moment>>() * 2, size_of::<Option<Instant>>());
    }

    #[test]
    fn what_was_before_the_beginning_is_the_beginning() {
        let earlier = Instant::now();
        let began = earlier + Duration::from_secs(5);
        assert_eq!(Moment::of(earlier, began).instant(began), began);
    }
}
