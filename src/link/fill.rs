//! How full the queue of each peer domain is, as every worker sees it without asking.
//!
//! A worker takes a [`Place`] for a stanza before it sends it to the XMPP process, and so knows at once whether the stanza will be
//! kept; the XMPP process gives the place back when the stanza leaves the queue, however it leaves. No bound is ever passed by what
//! was let in here. Domains are told apart by a keyed digest: of a thousand domains that are queued for at the same time, some fifteen share
//! their bound with another.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::config::MOST_QUEUED;

/// Bytes that may wait for one peer domain, as [`cost`] counts them.
pub const DOMAIN_BYTES: u32 = 4 * 1024 * 1024;

/// Bytes that may wait for all of them together, as [`cost`] counts them.
pub const TOTAL_BYTES: u32 = 16 * 1024 * 1024;

/// Entries of the table: 512 KiB, resident as far as used.
const DOMAINS: usize = 1 << 16;

/// What a stanza that waits takes beside its own bytes: list entry, addresses, and what the allocator needs.
const OVERHEAD: usize = 192;

/// The memory that a stanza of this length takes while it waits, in bytes.
pub fn cost(length: usize) -> usize {
    length.saturating_add(OVERHEAD)
}

/// The table. All zeroes: nothing waits.
#[derive(Debug)]
#[repr(C)]
pub struct Fill {
    total: Level,
    domains: [Level; DOMAINS],
}

impl Fill {
    /// Takes a place in the queue of a domain, of which at most `stanzas` may be taken. `None`: it is full, or all together are.
    pub(super) fn take(&self, digest: u64, length: usize, stanzas: u32) -> Option<Place<'_>> {
        let place = self.place(digest, length);
        let total = Load { stanzas: MOST_QUEUED, bytes: TOTAL_BYTES };
        let domain = Load { stanzas: stanzas.min(MOST_QUEUED), bytes: DOMAIN_BYTES };
        if !place.total.add_within(place.bytes, total) {
            place.keep();
            return None;
        }
        if !place.domain.is_some_and(|level| level.add_within(place.bytes, domain)) {
            place.total.subtract(place.bytes);
            place.keep();
            return None;
        }
        Some(place)
    }

    /// Takes a place whether there is one or not: for what was promised already.
    pub(super) fn take_anyway(&self, digest: u64, length: usize) -> Place<'_> {
        let place = self.place(digest, length);
        let unbounded = Load { stanzas: u32::MAX, bytes: u32::MAX };
        for level in std::iter::once(place.total).chain(place.domain) {
            level.add_within(place.bytes, unbounded);
        }
        place
    }

    /// The place that another process took and kept for this stanza.
    pub(super) fn taken(&self, digest: u64, length: usize) -> Place<'_> {
        self.place(digest, length)
    }

    /// Stanzas that wait for all domains, or are on their way to the queue.
    pub fn stanzas(&self) -> u32 {
        self.total.load().stanzas
    }

    fn place(&self, digest: u64, length: usize) -> Place<'_> {
        let index = usize::try_from(digest).unwrap_or(0) % DOMAINS;
        let bytes = u32::try_from(cost(length)).unwrap_or(u32::MAX);
        Place { total: &self.total, domain: self.domains.get(index), bytes }
    }
}

/// Room for one stanza in the queue. Dropped, it is free again.
#[derive(Debug)]
#[must_use = "a place that is dropped is free again"]
pub struct Place<'a> {
    total: &'a Level,
    domain: Option<&'a Level>,
    bytes: u32,
}

impl Place<'_> {
    /// Leaves it taken: from now on it is the business of the process that gets the stanza.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.total.subtract(self.bytes);
        if let Some(domain) = self.domain {
            domain.subtract(self.bytes);
        }
    }
}

/// Stanzas in the upper half, bytes in the lower: both change in one step.
#[derive(Debug)]
#[repr(transparent)]
struct Level(AtomicU64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    stanzas: u32,
    bytes: u32,
}

impl Level {
    /// Adds one stanza of so many bytes, unless that passes a bound.
    fn add_within(&self, bytes: u32, bound: Load) -> bool {
        self.update(|load| {
            let more = Load { stanzas: load.stanzas.checked_add(1)?, bytes: load.bytes.checked_add(bytes)? };
            (more.stanzas <= bound.stanzas && more.bytes <= bound.bytes).then_some(more)
        })
    }

    /// Never below nothing: a place too many would otherwise make all that follow full.
    fn subtract(&self, bytes: u32) {
        self.update(|load| Some(Load { stanzas: load.stanzas.saturating_sub(1), bytes: load.bytes.saturating_sub(bytes) }));
    }

    fn update(&self, change: impl Fn(Load) -> Option<Load>) -> bool {
        let change = |level| change(Load::unpacked(level)).map(Load::packed);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }

    fn load(&self) -> Load {
        Load::unpacked(self.0.load(Ordering::Acquire))
    }
}

impl Load {
    fn unpacked(level: u64) -> Self {
        let half = |level: u64| u32::try_from(level & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self { stanzas: half(level >> 32), bytes: half(level) }
    }

    fn packed(self) -> u64 {
        u64::from(self.stanzas) << 32 | u64::from(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::link::shared::Shared;

    fn loads(shared: &Shared, domain: &str) -> (Load, Load) {
        let place = shared.place_taken(domain, 0);
        let loads = (place.total.load(), place.domain.unwrap().load());
        place.keep();
        loads
    }

    const NOTHING: Load = Load { stanzas: 0, bytes: 0 };

    #[test]
    fn a_domain_that_is_full_leaves_room_for_others() {
        let shared = Shared::new().unwrap();
        let places: Vec<_> = (0..3).map(|_| shared.take_place("full.example", 100, 3).unwrap()).collect();
        assert!(shared.take_place("full.example", 100, 3).is_none());
        let other = shared.take_place("other.example", 100, 3);
        assert!(other.is_some());
        drop(places);
        assert!(shared.take_place("full.example", 100, 3).is_some());
        drop(other);
        assert_eq!(loads(&shared, "full.example"), (NOTHING, NOTHING));
    }

    #[test]
    fn bytes_are_bounded_for_one_and_for_all() {
        let shared = Shared::new().unwrap();
        let fill = |domain: &str| std::iter::from_fn(|| shared.take_place(domain, 99_808, MOST_QUEUED)).collect::<Vec<_>>();
        let one = fill("domain0.example");
        assert_eq!(one.len(), 41);
        let all: Vec<_> = (1..8).flat_map(|number| fill(&format!("domain{number}.example"))).collect();
        assert_eq!(one.len() + all.len(), 167);
        drop(one);
        drop(all);
        assert_eq!(loads(&shared, "domain0.example").0, NOTHING);
    }

    #[test]
    fn a_place_is_kept_until_the_other_process_gives_it_back() {
        let shared = Shared::new().unwrap();
        shared.take_place("a.example", 10, 1).unwrap().keep();
        assert!(shared.take_place("a.example", 10, 1).is_none());
        drop(shared.place_taken("a.example", 10));
        assert!(shared.take_place("a.example", 10, 1).is_some());
    }

    #[test]
    fn what_was_promised_counts_beyond_the_bound() {
        let shared = Shared::new().unwrap();
        let promised: Vec<_> = (0..5).map(|_| shared.take_place_anyway("a.example", 10)).collect();
        assert!(shared.take_place("a.example", 10, 5).is_none());
        drop(promised);
        assert!(shared.take_place("a.example", 10, 5).is_some());
        assert_eq!(loads(&shared, "a.example"), (NOTHING, NOTHING));
    }

    /// Workers take at the same time as the XMPP process gives back.
    #[test]
    fn no_bound_is_passed_whoever_is_quicker() {
        const BOUND: u32 = 50;
        let shared = Arc::new(Shared::new().unwrap());
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for _ in 0..5_000 {
                        let places: Vec<_> = (0..40).map_while(|_| shared.take_place("a.example", 7, BOUND)).collect();
                        assert!(loads(&shared, "a.example").1.stanzas <= BOUND);
                        drop(places);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(loads(&shared, "a.example"), (NOTHING, NOTHING));
    }
}
