//! NOTIFYs that may have overtaken each other.
//!
//! A worker that has a PUBLISH stores its document, reads all of them, and tells the watchers. Two workers do this at the same time, and who read
//! first may tell last: the watchers would be left with what was true before. No worker waits for another here, and the host asks us for
//! nothing before it reads. But it can be seen that two were at the same presentity at once. Then the last of them to end, when all that
//! was published in between is stored, has the watchers told once more; should somebody cross that, it is again the last to end who does it.
//!
//! | at once | the watchers are told again |
//! | --- | --- |
//! | two PUBLISHes, or a PUBLISH and a SUBSCRIBE | yes |
//! | two SUBSCRIBEs | no: they were told the same |
//!
//! A table of presentities that somebody is at, in memory that all processes share, atomics only. Where it has no room, nothing is seen. Two
//! that enter a presentity in the same instant, while a third leaves the place before it, may take two places, and do not see each other.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Presentities that somebody can be at.
const PLACES: usize = 1 << 14;

/// Words of one: state and time.
const ENTRY: usize = 2;

/// What the table takes. 256 KiB.
pub const WORDS: usize = PLACES * ENTRY;

/// How far from its own place a presentity may stand.
const PROBES: usize = 8;

/// Nobody is at a presentity for so many seconds: who did not say that it left has been forgotten.
const LONGEST: u32 = 30;

/// State: a digest in the upper bits; below it, flags, and how many are there.
const KEY: u64 = !0xffff;
const CHANGES: u64 = 0x100;
const CROSSED: u64 = 0x200;
const COUNT: u64 = 0xff;

const EMPTY: u64 = 0;

/// What somebody is at a presentity for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It changes what is published, and tells the watchers.
    Publish,
    /// It reads what is published, and tells one watcher or all.
    Tell,
}

/// Whether the watchers have to be told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// They may have heard the older state last.
    Yes,
    /// They know the newest, or somebody else is still there.
    No,
}

/// The table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crossings(&'static [AtomicU64]);

/// Somebody is at a presentity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stay {
    key: u64,
    state: &'static AtomicU64,
}

impl Crossings {
    /// Over [`WORDS`] words, all zero at first.
    pub(super) fn over(words: &'static [AtomicU64]) -> Self {
        Self(words)
    }

    /// Somebody comes to the presentity of this digest. `None`: there is no place near its own.
    pub(super) fn enter(&self, digest: u64, act: Act, now: u32) -> Option<Stay> {
        let key = (digest & KEY).max(1 << 16);
        let act = if act == Act::Publish { CHANGES } else { 0 };
        // It fails where another was quicker; who tried so often in vain has company enough that one of the others sees it.
        for _ in 0..PROBES {
            let (state, time) = self.place(digest, key, now)?;
            let before = state.load(Ordering::Acquire);
            let is_known = before & KEY == key && !is_over(time, now);
            let after = match is_known {
                true if before & COUNT == COUNT => return None,
                true => before.wrapping_add(1) | CROSSED | act,
                false if before == EMPTY || is_over(time, now) => key | act | 1,
                false => continue,
            };
            if before == EMPTY {
                // Whoever finds us there must not take us for one who has been forgotten.
                time.store(u64::from(now), Ordering::Release);
            }
            if state.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                time.store(u64::from(now), Ordering::Release);
                return Some(Stay { key, state });
            }
        }
        None
    }

    /// The place of this presentity, or else a free one.
    fn place(&self, digest: u64, key: u64, now: u32) -> Option<(&'static AtomicU64, &'static AtomicU64)> {
        let start = usize::try_from(digest >> 20).unwrap_or(0);
        let places = self.0.len().checked_div(ENTRY)?;
        let words = self.0;
        let near = (0..PROBES).filter_map(|step| {
            let first = start.wrapping_add(step).checked_rem(places)?.checked_mul(ENTRY)?;
            words.get(first..)?.split_first_chunk().map(|([state, time], _)| (state, time))
        });
        // Each is looked at once: what is free now and taken in a moment is still where all who come at once meet.
        let mut free = None;
        for (state, time) in near {
            let there = state.load(Ordering::Acquire);
            if there & KEY == key {
                return Some((state, time));
            }
            if there == EMPTY || is_over(time, now) {
                free = free.or(Some((state, time)));
            }
        }
        free
    }
}

impl Stay {
    /// It leaves: what it told is sent.
    pub(super) fn leave(self) -> Again {
        let mut before = self.state.load(Ordering::Acquire);
        loop {
            // Somebody took it for forgotten.
            if before & KEY != self.key || before & COUNT == 0 {
                return Again::No;
            }
            let after = if before & COUNT == 1 { EMPTY } else { before.wrapping_sub(1) };
            match self.state.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if after == EMPTY && before & CHANGES != 0 && before & CROSSED != 0 => return Again::Yes,
                Ok(_) => return Again::No,
                Err(now) => before = now,
            }
        }
    }
}

fn is_over(time: &AtomicU64, now: u32) -> bool {
    let time = u32::try_from(time.load(Ordering::Acquire)).unwrap_or_default();
    now.wrapping_sub(time) > LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(places: usize) -> Crossings {
        Crossings::over(Vec::leak((0..places.saturating_mul(ENTRY)).map(|_| AtomicU64::new(0)).collect()))
    }

    #[test]
    fn who_was_alone_tells_nobody_again_and_of_two_the_last_does() {
        let table = table(64);
        let enter = |act| table.enter(7 << 20, act, 0).unwrap();
        assert_eq!(enter(Act::Publish).leave(), Again::No);
        for (first, second, wanted) in [
            (Act::Publish, Act::Publish, Again::Yes),
            (Act::Publish, Act::Tell, Again::Yes),
            (Act::Tell, Act::Publish, Again::Yes),
            (Act::Tell, Act::Tell, Again::No),
        ] {
            for first_leaves_first in [true, false] {
                let mut stays = [enter(first), enter(second)];
                if !first_leaves_first {
                    stays.reverse();
                }
                assert_eq!(stays.map(Stay::leave), [Again::No, wanted], "{first:?} {second:?}");
            }
        }
        assert_eq!(enter(Act::Publish).leave(), Again::No, "the next one is alone again");
    }

    #[test]
    fn who_tells_again_and_is_crossed_tells_again() {
        let table = table(64);
        let enter = |act| table.enter(7 << 20, act, 0).unwrap();
        let (again, publish) = (enter(Act::Tell), enter(Act::Publish));
        assert_eq!([publish.leave(), again.leave()], [Again::No, Again::Yes]);
    }

    #[test]
    fn presentities_that_stand_at_one_place_do_not_cross() {
        let table = table(8);
        let stays: Vec<Stay> = (1..9_u64).map(|other| table.enter(other << 40, Act::Publish, 5).unwrap()).collect();
        assert!(table.enter(9 << 40, Act::Publish, 5).is_none());
        assert!(stays.into_iter().all(|stay| stay.leave() == Again::No));
        assert!(table.enter(9 << 40, Act::Publish, 5).is_some());
    }

    #[test]
    fn who_never_leaves_is_forgotten() {
        let table = table(1);
        let stay = table.enter(1 << 40, Act::Publish, 5).unwrap();
        assert!(table.enter(2 << 40, Act::Publish, 5 + LONGEST).is_none());
        let other = table.enter(2 << 40, Act::Publish, 6 + LONGEST).unwrap();
        assert_eq!([stay.leave(), other.leave()], [Again::No; 2]);
        table.enter(1 << 40, Act::Publish, 100).unwrap();
        assert_eq!(table.enter(1 << 40, Act::Publish, 101 + LONGEST).unwrap().leave(), Again::No);
    }

    /// Whoever comes and goes, the last word is said by somebody who read when all was stored.
    #[test]
    fn of_four_that_publish_at_once_somebody_always_tells_the_newest_last() {
        use std::sync::Mutex;
        let table = table(64);
        for _ in 0..300 {
            let (stored, told) = (AtomicU64::new(0), Mutex::new(0));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let mut stay = table.enter(3 << 40, Act::Publish, 0).unwrap();
                        stored.fetch_add(1, Ordering::SeqCst);
                        loop {
                            let read = stored.load(Ordering::SeqCst);
                            std::thread::yield_now();
                            *told.lock().unwrap() = read;
                            if stay.leave() == Again::No {
                                break;
                            }
                            stay = table.enter(3 << 40, Act::Tell, 0).unwrap();
                        }
                    });
                }
            });
            assert_eq!(*told.lock().unwrap(), 4);
        }
    }

    /// Else a second one that comes at this moment would take the place for forgotten.
    #[test]
    fn whoever_is_seen_at_a_place_is_seen_to_have_come_just_now() {
        let (today, has_ended) = (AtomicU64::new(0), AtomicU64::new(0));
        let words: &'static [AtomicU64; ENTRY] = Box::leak(Box::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let [state, time] = words;
        let table = Crossings::over(words);
        let seen_too_early = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let mut seen_too_early = 0;
                while has_ended.load(Ordering::SeqCst) == 0 {
                    let before = today.load(Ordering::SeqCst);
                    let is_there = state.load(Ordering::SeqCst) != EMPTY;
                    let seems_forgotten = is_over(time, u32::try_from(before).unwrap());
                    seen_too_early += u32::from(is_there && seems_forgotten && today.load(Ordering::SeqCst) == before);
                }
                seen_too_early
            });
            for round in 1..=500_000 {
                let now = round * 2 * LONGEST;
                today.store(u64::from(now), Ordering::SeqCst);
                table.enter(1 << 40, Act::Publish, now).unwrap().leave();
            }
            has_ended.store(1, Ordering::SeqCst);
            watch.join().unwrap()
        });
        assert_eq!(seen_too_early, 0);
    }

    #[test]
    fn two_that_come_at_once_meet_at_one_place() {
        const ROUNDS: u32 = 30_000;
        let (table, arrived, told_again) = (table(64), AtomicU64::new(0), AtomicU64::new(0));
        let wait_for = |all: u64| {
            arrived.fetch_add(1, Ordering::SeqCst);
            for spins in 0_u64.. {
                if arrived.load(Ordering::SeqCst) >= all {
                    return;
                }
                if spins > 200 {
                    std::thread::yield_now();
                }
            }
        };
        let rounds = || {
            for round in 1..=u64::from(ROUNDS) {
                wait_for(round * 4 - 2);
                let stay = table.enter(3 << 40, Act::Publish, 0).unwrap();
                wait_for(round * 4);
                told_again.fetch_add(u64::from(stay.leave() == Again::Yes), Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| [scope.spawn(rounds), scope.spawn(rounds)].map(|thread| thread.join().unwrap()));
        assert_eq!(told_again.into_inner(), u64::from(ROUNDS));
    }
}
