//! Which dialogs have ended: what all workers remember, so that a document that comes late, or is published again, lights no lamp.
//!
//! A table of fixed size in memory that all processes share, atomics only. An entry is the digest of a dialog and the time of its end. Of
//! more ends than fit near each other the oldest is forgotten first: then a document that still says otherwise is believed again.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Ends that are remembered at one time. 8 MiB, resident as far as used.
pub const ENDED: usize = 1 << 20;

/// How far from its own place an end may stand.
const PROBES: usize = 16;

const EMPTY: u64 = 0;

/// The lower bits of an entry: seconds, which come around after half a year.
const TIME: u64 = (1 << 24) - 1;

/// The table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended(&'static [AtomicU64]);

impl Ended {
    /// Over [`ENDED`] words, all zero at first.
    pub(super) fn over(words: &'static [AtomicU64]) -> Self {
        Self(words)
    }

    /// A dialog ended, or one that did is still spoken of.
    pub(super) fn remember(&self, digest: u64, now: u32) {
        let wanted = entry(digest, now);
        // Another process may take the place that was chosen; nobody waits for it more than this often.
        for _ in 0..PROBES {
            let mut chosen: Option<(&AtomicU64, u64, u32)> = None;
            for place in self.near(digest) {
                let found = place.load(Ordering::Acquire);
                // The older, the better; what is empty is the best but for the dialog itself.
                let worth = match found {
                    EMPTY => u32::MAX.saturating_sub(1),
                    same if same | TIME == wanted | TIME => u32::MAX,
                    other => age(other, now),
                };
                if chosen.is_none_or(|(_, _, best)| worth > best) {
                    chosen = Some((place, found, worth));
                }
                if worth >= u32::MAX.saturating_sub(1) {
                    break;
                }
            }
            let Some((place, found, _)) = chosen else { return };
            if place.compare_exchange(found, wanted, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    /// How many seconds ago a dialog ended; `None` if that is not remembered.
    pub(super) fn age(&self, digest: u64, now: u32) -> Option<u32> {
        let wanted = entry(digest, 0);
        let entries = self.near(digest).map(|place| place.load(Ordering::Acquire));
        entries.take_while(|found| *found != EMPTY).find(|found| found | TIME == wanted | TIME).map(|found| age(found, now))
    }

    fn near(&self, digest: u64) -> impl Iterator<Item = &'static AtomicU64> {
        let start = usize::try_from(digest >> 40).unwrap_or(0);
        let words = self.0;
        (0..PROBES).filter_map(move |step| words.get(start.wrapping_add(step).checked_rem(words.len())?))
    }
}

/// Never [`EMPTY`].
fn entry(digest: u64, now: u32) -> u64 {
    (digest | 1 << 63) & !TIME | u64::from(now) & TIME
}

fn age(entry: u64, now: u32) -> u32 {
    let age = u64::from(now).wrapping_sub(entry) & TIME;
    u32::try_from(age).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(words: usize) -> Ended {
        Ended::over(Vec::leak((0..words).map(|_| AtomicU64::new(0)).collect()))
    }

    #[test]
    fn an_end_is_remembered_with_its_time() {
        let ended = ended(64);
        assert_eq!(ended.age(7 << 40, 100), None);
        ended.remember(7 << 40, 100);
        assert_eq!(ended.age(7 << 40, 130), Some(30));
        ended.remember(7 << 40, 130);
        assert_eq!(ended.age(7 << 40, 130), Some(0));
        assert_eq!(ended.age(8 << 40, 130), None);
    }

    #[test]
    fn the_clock_may_come_around() {
        let ended = ended(64);
        ended.remember(7 << 40, (1 << 24) - 1);
        assert_eq!(ended.age(7 << 40, (1 << 24) + 4), Some(5));
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let ended = ended(PROBES);
        for number in 0..=16_u32 {
            ended.remember(u64::from(number) << 40, number);
        }
        assert_eq!(ended.age(0, 20), None);
        for number in 1..=16_u32 {
            assert_eq!(ended.age(u64::from(number) << 40, 20), Some(20 - number));
        }
    }

    #[test]
    fn all_processes_remember_the_same() {
        let ended = ended(1024);
        std::thread::scope(|scope| {
            for process in 0..4_u64 {
                scope.spawn(move || (0..100).for_each(|number| ended.remember((process << 8 | number) << 40, 1)));
            }
        });
        for process in 0..4_u64 {
            assert!((0..100).all(|number| ended.age((process << 8 | number) << 40, 1) == Some(0)), "{process}");
        }
    }
}
