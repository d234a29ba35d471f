//! What each subscription was told: the version of its next document, which dialogs it knows, and what its watcher is given.
//!
//! The host counts NOTIFYs, of which some may bring no document; and RFC 4235 §4.1 has a watcher that misses a version ask for the whole state
//! again. So versions are counted here, from 0 and by one. The host counts when it chooses the CSeq, before it asks us, and another worker may
//! come between: who is asked out of turn gets the version that its turn has, so that versions are in the order of CSeq. That holds from the
//! first one on, as the host counts from 0 itself: before it are only NOTIFYs to who waits for a decision, which bring no document.
//!
//! A table of fixed size in memory that all processes share, atomics only: whichever worker sends a NOTIFY goes on where the one before it
//! stopped. A subscription is known by its watcher's half, Call-ID and From tag.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Subscriptions that are remembered at one time; of more, the oldest is forgotten.
pub const SUBSCRIPTIONS: usize = 1 << 17;

/// Words of one subscription: key, state, time, and what was told.
const ENTRY: usize = 16;

/// What the table takes. 16 MiB, resident as far as used.
pub const WORDS: usize = SUBSCRIPTIONS * ENTRY;

/// How far from its own place a subscription may stand.
const PROBES: usize = 16;

/// A subscription that was told something in so many seconds keeps its place.
const KEPT: u32 = 60;

/// Of more dialogs than this it is not known whether the watcher was told of them.
pub(super) const TOLD: usize = 26;

const EMPTY: u64 = 0;

const KEY: usize = 0;
const STATE: usize = 1;
const TIME: usize = 2;
const FIRST_TOLD: usize = 3;

/// State: the next version in the upper half; below it, the lower bits of what the host will have counted then, the number of the profile plus
/// one, and flags.
const COUNTED: u64 = 1;
const FULL: u64 = 2;
const FRESH: u64 = 4;
const WAITS: u64 = 8;
const PROFILE: u64 = 0xff << 8;
const COUNT: u64 = 0xffff << 16;
const ONE_COUNTED: u64 = 1 << 16;

/// As many workers may be between the count of the host and its question. What it counts beyond that are NOTIFYs without a document.
const AT_ONCE: i16 = 16;

/// The table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscriptions(&'static [AtomicU64]);

/// One subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscription(&'static [AtomicU64]);

/// Which SUBSCRIBE it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscribe {
    /// It begins a subscription, or fetches the state once.
    First,
    /// It goes on with one, or ends it.
    Refresh,
}

/// What kind of document comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The first: of what is over the watcher never knew.
    First,
    /// The whole state, for it has asked.
    Full,
    /// What has changed.
    Change,
}

impl Subscriptions {
    /// Over [`WORDS`] words, all zero at first.
    pub(super) fn over(words: &'static [AtomicU64]) -> Self {
        Self(words)
    }

    /// The place of a subscription. `None`: all around it are in use, and nothing is known of it.
    pub(super) fn enter(&self, digest: u64, now: u32) -> Option<Subscription> {
        let key = digest | 1;
        let mut oldest: Option<(Subscription, u64, u32)> = None;
        for place in self.near(digest) {
            let found = place.load(KEY);
            if found == key {
                place.store(TIME, u64::from(now));
                return Some(place);
            }
            let age = if found == EMPTY { u32::MAX } else { now.wrapping_sub(lower_half(place.load(TIME))) };
            if oldest.is_none_or(|(_, _, oldest)| age > oldest) {
                oldest = Some((place, found, age));
            }
            if found == EMPTY {
                break;
            }
        }
        let (place, found, _) = oldest.filter(|(_, _, age)| *age > KEPT)?;
        place.word(KEY)?.compare_exchange(found, key, Ordering::AcqRel, Ordering::Acquire).ok()?;
        (STATE..ENTRY).for_each(|word| place.store(word, 0));
        place.store(TIME, u64::from(now));
        Some(place)
    }

    fn near(&self, digest: u64) -> impl Iterator<Item = Subscription> {
        let entries = self.0.len().checked_div(ENTRY).unwrap_or(0);
        let start = usize::try_from(digest >> 32).unwrap_or(0);
        let words = self.0;
        (0..PROBES).filter_map(move |step| {
            let first = start.wrapping_add(step).checked_rem(entries)?.checked_mul(ENTRY)?;
            words.get(first..first.checked_add(ENTRY)?).map(Subscription)
        })
    }
}

impl Subscription {
    /// A SUBSCRIBE: the next document is a full one. One that begins a subscription begins everything.
    pub(super) fn subscribed(self, request: Subscribe, profile: u8) {
        let profile = u64::from(profile).saturating_add(1) << 8 & PROFILE;
        match request {
            Subscribe::First => {
                (FIRST_TOLD..ENTRY).for_each(|word| self.store(word, 0));
                self.store(STATE, FULL | FRESH | profile);
            }
            Subscribe::Refresh => {
                self.change(|state| state & !(PROFILE | WAITS) | FULL | profile);
            }
        }
    }

    /// Nobody has decided on this watcher: what its SUBSCRIBE brings it is a NOTIFY without a document. Said more than once of one SUBSCRIBE
    /// it is the same NOTIFY.
    pub(super) fn waits(self) {
        self.change(|state| match state & (FRESH | WAITS) {
            FRESH => state & !COUNT | state.wrapping_add(ONE_COUNTED) & COUNT | WAITS,
            _ => state,
        });
    }

    /// The number of the profile that was found when the watcher subscribed.
    pub(super) fn profile(self) -> Option<usize> {
        usize::try_from((self.load(STATE) & PROFILE) >> 8).ok()?.checked_sub(1)
    }

    /// The version of the document that is sent now, and its kind. `counted` is the host's count: where ours is not known, since the server
    /// or the table has forgotten it, that one is as great at least, and no version comes twice.
    pub(super) fn next(self, counted: u32) -> (u32, Due) {
        let before = self.change(|state| {
            let ahead = ahead(state, counted);
            let version = version(state, counted);
            let (next, count) = match ahead {
                // Its turn is over already: what comes next stays as it is.
                Some(..0) => (upper_half(state), state & COUNT),
                _ => (version.wrapping_add(1), u64::from(counted.wrapping_add(1)) << 16 & COUNT),
            };
            u64::from(next) << 32 | count | COUNTED | state & PROFILE
        });
        let due = match before {
            state if state & FRESH != 0 => Due::First,
            // Who is not known was told something by somebody: all of it once more.
            state if state & FULL != 0 || state & COUNTED == 0 => Due::Full,
            // It may be the first, which was asked for late.
            state if ahead(state, counted).is_some_and(i16::is_negative) => Due::Full,
            _ => Due::Change,
        };
        (version(before, counted), due)
    }

    /// What the watcher knows: marks of dialogs.
    pub(super) fn told(self) -> [u32; TOLD] {
        let mut marks = [0; TOLD];
        for (pair, word) in marks.chunks_mut(2).zip(FIRST_TOLD..ENTRY) {
            let word = self.load(word);
            for (mark, half) in pair.iter_mut().zip([upper_half(word), lower_half(word)]) {
                *mark = half;
            }
        }
        marks
    }

    /// What the watcher knows from now on.
    pub(super) fn tell(self, marks: impl Iterator<Item = u32>) {
        let mut marks = marks.fuse();
        for word in FIRST_TOLD..ENTRY {
            let [upper, lower] = [marks.next(), marks.next()].map(Option::unwrap_or_default);
            self.store(word, u64::from(upper) << 32 | u64::from(lower));
        }
    }

    fn change(self, change: impl Fn(u64) -> u64) -> u64 {
        let Some(word) = self.word(STATE) else { return 0 };
        match word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| Some(change(state))) {
            Ok(before) | Err(before) => before,
        }
    }

    fn load(self, word: usize) -> u64 {
        self.word(word).map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store(self, word: usize, value: u64) {
        if let Some(word) = self.word(word) {
            word.store(value, Ordering::Release);
        }
    }

    fn word(self, word: usize) -> Option<&'static AtomicU64> {
        self.0.get(word)
    }
}

/// The version of the document that the host has counted so.
fn version(state: u64, counted: u32) -> u32 {
    match ahead(state, counted) {
        // Of a count that is lower than the first, 0 is what comes nearest.
        Some(ahead) => upper_half(state).saturating_add_signed(i32::from(ahead)),
        None if state & (COUNTED | FRESH) == 0 => counted,
        None => upper_half(state),
    }
}

/// How many turns that is before or after the one that comes next. `None`: the host's count says nothing of it.
fn ahead(state: u64, counted: u32) -> Option<i16> {
    if state & (COUNTED | FRESH) == 0 {
        return None;
    }
    let expected = u16::try_from((state & COUNT) >> 16).ok()?;
    let counted = u16::try_from(counted & u32::from(u16::MAX)).ok()?;
    let ahead = counted.wrapping_sub(expected).cast_signed();
    let before = if state & FRESH == 0 { -AT_ONCE } else { 0 };
    (before..=AT_ONCE).contains(&ahead).then_some(ahead)
}

fn upper_half(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or_default()
}

fn lower_half(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(places: usize) -> Subscriptions {
        Subscriptions::over(Vec::leak((0..places.saturating_mul(ENTRY)).map(|_| AtomicU64::new(0)).collect()))
    }

    #[test]
    fn versions_begin_with_0_and_go_up_by_one_wherever_the_host_begins_to_count() {
        let table = table(64);
        table.enter(2, 0).unwrap().subscribed(Subscribe::First, 0);
        let next = |counted| table.enter(2, 0).unwrap().next(counted);
        assert_eq!([next(500), next(501), next(502)], [(0, Due::First), (1, Due::Change), (2, Due::Change)]);
        table.enter(2, 0).unwrap().subscribed(Subscribe::Refresh, 0);
        // Where it has begun anew.
        assert_eq!([next(70_000), next(70_001)], [(3, Due::Full), (4, Due::Change)]);
        table.enter(2, 0).unwrap().subscribed(Subscribe::First, 0);
        assert_eq!(next(0), (0, Due::First));
    }

    #[test]
    fn who_is_asked_out_of_turn_gets_the_version_of_its_turn() {
        let table = table(64);
        table.enter(2, 0).unwrap().subscribed(Subscribe::First, 0);
        let next = |counted| table.enter(2, 0).unwrap().next(counted).0;
        assert_eq!([0, 2, 1].map(next), [0, 2, 1]);
        table.enter(2, 0).unwrap().subscribed(Subscribe::First, 0);
        assert_eq!([65_534, 65_536, 65_535, 65_539, 65_537, 65_540, 65_538].map(next), [0, 2, 1, 5, 3, 6, 4]);
    }

    #[test]
    fn no_worker_that_is_late_gets_a_version_before_the_first() {
        let table = table(64);
        let next = |counted| table.enter(2, 0).unwrap().next(counted);
        table.enter(2, 0).unwrap().subscribed(Subscribe::First, 0);
        // The NOTIFY of a PUBLISH overtakes that of the SUBSCRIBE.
        assert_eq!([next(1), next(0), next(2)], [(1, Due::First), (0, Due::Full), (2, Due::Change)]);
        // Where the host does not count from 0, the first of all is not known.
        table.enter(2, 0).unwrap().subscribed(Subscribe::First, 0);
        assert_eq!([next(301), next(300), next(302)], [(0, Due::First), (0, Due::Full), (1, Due::Change)]);
    }

    #[test]
    fn who_waited_for_a_decision_is_told_from_version_0_on() {
        let table = table(64);
        let subscription = || table.enter(2, 0).unwrap();
        let next = |counted| subscription().next(counted).0;
        subscription().subscribed(Subscribe::First, 0);
        subscription().waits();
        subscription().waits();
        subscription().subscribed(Subscribe::Refresh, 0);
        subscription().waits();
        // Two SUBSCRIBEs had their NOTIFY.
        assert_eq!([next(3), next(2), next(4)], [1, 0, 2]);
        // Who has had a document is counted by documents.
        subscription().waits();
        assert_eq!(next(5), 3);
    }

    #[test]
    fn who_was_forgotten_goes_on_from_what_the_host_counted() {
        let subscription = table(64).enter(2, 0).unwrap();
        assert_eq!([subscription.next(7), subscription.next(8)], [(7, Due::Full), (8, Due::Change)]);
        let refreshed = table(64).enter(4, 0).unwrap();
        refreshed.subscribed(Subscribe::Refresh, 3);
        assert_eq!(refreshed.next(7), (7, Due::Full));
    }

    #[test]
    fn what_was_told_and_the_profile_are_kept() {
        let subscription = table(64).enter(2, 0).unwrap();
        assert_eq!((subscription.profile(), subscription.told()), (None, [0; TOLD]));
        subscription.subscribed(Subscribe::First, 254);
        subscription.tell([1, u32::MAX, 3].into_iter());
        assert_eq!(subscription.profile(), Some(254));
        subscription.next(0);
        assert_eq!(subscription.profile(), Some(254));
        assert_eq!(subscription.told()[..4], [1, u32::MAX, 3, 0]);
        subscription.subscribed(Subscribe::Refresh, 0);
        assert_eq!((subscription.profile(), subscription.told()[1]), (Some(0), u32::MAX));
    }

    #[test]
    fn the_oldest_gives_its_place_but_none_that_is_in_use() {
        let table = table(PROBES);
        for number in 0..16_u32 {
            assert!(table.enter(u64::from(number) << 32, number).is_some());
        }
        assert!(table.enter(16 << 32, 16).is_none());
        table.enter(16 << 32, KEPT + 2).unwrap().subscribed(Subscribe::First, 0);
        // Number 1 is the oldest that is left, and comes back as somebody unknown in place of another.
        assert_eq!(table.enter(1 << 32, KEPT + 2).unwrap().next(5), (5, Due::Full));
    }

    #[test]
    fn two_workers_never_give_one_version_twice() {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let table = table(64);
        table.enter(2, 0).unwrap().subscribed(Subscribe::First, 0);
        let mut versions: Vec<u32> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    // The host's lock, under which it counts, is let go before it asks.
                    scope.spawn(move || {
                        (0..100)
                            .map(|_| table.enter(2, 0).unwrap().next(COUNT.fetch_add(1, Ordering::SeqCst)).0)
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        versions.sort_unstable();
        assert_eq!(versions, (0..400).collect::<Vec<_>>());
    }
}
