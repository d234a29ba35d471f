//! How many sessions log in at once: so many a second, in the order in which they ask.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio::time::sleep_until;

use crate::process::backoff::dice;

/// Turns to log in.
#[derive(Debug)]
pub(super) struct Pacer {
    gap: Duration,
    /// When the next turn is. Who holds the lock waits for it, and all others for the lock, which they get in the order in which they came.
    next: Mutex<Instant>,
}

impl Pacer {
    /// So many a second; none at all would never end, so it is one at the least.
    pub(super) fn new(rate: u32) -> Self {
        let gap = Duration::from_secs(1).checked_div(rate.max(1)).unwrap_or(Duration::from_secs(1));
        Self { gap, next: Mutex::new(Instant::now()) }
    }

    /// Waits for a turn. Who waits no longer has taken none.
    pub(super) async fn turn(&self) {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        *next = after(*next, Instant::now(), jittered(self.gap, dice()));
    }
}

/// The turn after the one that was due then. Timers are late by a millisecond or two, and a busy process by more: a little of that is made up for,
/// turns that nobody took are not.
fn after(due: Instant, now: Instant, gap: Duration) -> Instant {
    let due = due.max(now.checked_sub(MADE_UP).unwrap_or(now));
    due.checked_add(gap).unwrap_or(now)
}

/// From half of it to one and a half: servers that start at once do not keep step.
fn jittered(gap: Duration, dice: u64) -> Duration {
    let part = u32::try_from(dice % 1024).unwrap_or(0);
    let half = gap.checked_div(2).unwrap_or(gap);
    half.saturating_add(gap.saturating_mul(part).checked_div(1024).unwrap_or_default())
}

/// How late turns may be for the next ones to come sooner.
const MADE_UP: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;
    use std::task::Waker;

    #[test]
    fn turns_come_at_the_rate() {
        let (gap, start) = (Duration::from_millis(50), Instant::now());
        assert_eq!(Pacer::new(20).gap, gap);
        assert_eq!(Pacer::new(0).gap, Duration::from_secs(1));
        assert_eq!(after(start, start, gap), start + gap);
        assert_eq!(after(start, start + Duration::from_millis(20), gap), start + gap, "what a timer is late by is made up for");
        let later = start + Duration::from_secs(10);
        assert_eq!(after(start, later, gap), later, "what nobody took is not, but for one turn");
        assert_eq!(after(later, later, gap), later + gap);
    }

    #[test]
    fn gaps_differ_and_are_right_in_the_mean() {
        let gap = Duration::from_millis(1000);
        let gaps: Vec<Duration> = (0..1024).map(|dice| jittered(gap, dice)).collect();
        assert!(gaps.iter().all(|some| (gap / 2..gap * 3 / 2).contains(some)));
        let mean = gaps.iter().sum::<Duration>() / 1024;
        assert!(mean.abs_diff(gap) < Duration::from_millis(1), "{mean:?}");
    }

    #[test]
    fn who_waits_no_longer_takes_no_turn() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let pacer = Pacer::new(1);
            pacer.turn().await;
            let next = *pacer.next.lock().await;
            for _ in 0..3 {
                let mut waiting = pin!(pacer.turn());
                assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            assert_eq!(*pacer.next.lock().await, next);
        });
    }
}
