//! SUBSCRIBEs of ours that are on their way, so that a NOTIFY is known before the 2xx has been seen (RFC 6665 §4.1.2.4).
//!
//! pua knows a dialog once it has read the 2xx. The notifier sends its first NOTIFY right behind it, and another worker may read that
//! first; a fetch (Expires: 0) never gets a dialog in pua at all. Answering 481 there would end the subscription. So the Call-ID and
//! the tag of every SUBSCRIBE are kept here for as long as its transaction may last.
//!
//! A table of fixed size in the host's shared memory, atomics only, as no process may wait for another. An entry holds part of a
//! keyed digest, and the time; where there is no room, the oldest goes.

use std::ffi::c_ulong;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::iter;
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::sys;

/// How many there may be; 512 KiB.
const ENTRIES: usize = 1 << 16;

/// How far from its own place an entry may stand.
const PROBES: usize = 16;

/// Timer F (RFC 3261 §17.1.2.2): a SUBSCRIBE without a reply is over after 64 * T1.
const LIFETIME: u64 = 32;

/// The low bits of an entry are its time in seconds, the others belong to the digest. 24 bits last 194 days.
const TIME: u64 = (1 << 24) - 1;

/// The table.
pub(super) struct Pending {
    entries: &'static [AtomicU64],
    keys: RandomState,
    start: Instant,
}

impl Pending {
    /// Takes the memory, in mod_init. `None`: the host has none left.
    pub(super) fn new() -> Option<Self> {
        let size = ENTRIES.checked_mul(size_of::<AtomicU64>())?;
        // SAFETY: [H1] the host's allocator, in mod_init.
        let block = unsafe { sys::host_shm_malloc(c_ulong::try_from(size).ok()?) }.cast::<AtomicU64>();
        if block.is_null() {
            return None;
        }
        // SAFETY: [H5] the block is fresh and has that size.
        unsafe { ptr::write_bytes(block, 0, ENTRIES) };
        // SAFETY: [H4][H5] initialised, aligned as any block of the host, never given back, and shared with all processes.
        let entries = unsafe { slice::from_raw_parts(block, ENTRIES) };
        Some(Self::over(entries))
    }

    fn over(entries: &'static [AtomicU64]) -> Self {
        Self { entries, keys: RandomState::new(), start: Instant::now() }
    }

    /// A SUBSCRIBE with this Call-ID and From-tag goes out.
    pub(super) fn insert(&self, call_id: &[u8], tag: &[u8]) {
        let (digest, now) = (self.digest(call_id, tag), self.now());
        // An entry that is free counts as the oldest.
        let age = |entry: &&AtomicU64| match entry.load(Ordering::Relaxed) {
            0 => u64::MAX,
            held => age(held, now),
        };
        if let Some(oldest) = self.places(digest).max_by_key(age) {
            oldest.store((digest & !TIME) | now, Ordering::Release);
        }
    }

    /// Whether one is on its way whose NOTIFY has this Call-ID and To-tag.
    pub(super) fn contains(&self, call_id: &[u8], tag: &[u8]) -> bool {
        let (digest, now) = (self.digest(call_id, tag), self.now());
        self.places(digest).any(|entry| {
            let held = entry.load(Ordering::Acquire);
            held != 0 && held & !TIME == digest & !TIME && age(held, now) <= LIFETIME
        })
    }

    fn digest(&self, call_id: &[u8], tag: &[u8]) -> u64 {
        self.keys.hash_one((call_id, tag))
    }

    fn places(&self, digest: u64) -> impl Iterator<Item = &AtomicU64> {
        // The low bits choose the place: the entry itself holds the others.
        let first = usize::try_from(digest & TIME).unwrap_or(0) & ENTRIES.wrapping_sub(1);
        let indices = iter::successors(Some(first), |index| Some(index.wrapping_add(1) & ENTRIES.wrapping_sub(1)));
        indices.take(PROBES).filter_map(|index| self.entries.get(index))
    }

    /// Seconds, never 0: an entry of 0 is a free one.
    fn now(&self) -> u64 {
        (self.start.elapsed().as_secs() & TIME).max(1)
    }
}

/// How old an entry is, in seconds.
fn age(entry: u64, now: u64) -> u64 {
    now.wrapping_sub(entry & TIME) & TIME
}
