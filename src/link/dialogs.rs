//! Which dialogs of SIP watchers are alive: a worker has to know at once whether a SUBSCRIBE in a dialog is answered with 200 or 481.
//!
//! A worker enters a dialog before it answers, the XMPP process takes it out when it is over. A table of digests, each near the place that its
//! value names; one that comes back is entered once.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::gateway::notifier::bounds::MAX_DIALOGS;

/// Places: twice as many as the gateway takes, and more. 4 MiB, resident as far as used.
const PLACES: usize = 1 << 19;

const _: () = assert!(PLACES > 2 * MAX_DIALOGS);

/// How far from its own place a dialog may stand.
const PROBES: usize = 64;

const EMPTY: u64 = 0;

/// The table, in memory that all processes share.
#[repr(C)]
pub struct Dialogs {
    places: [AtomicU64; PLACES],
}

impl Dialogs {
    /// Enters one. False: there is no place near its own.
    pub(super) fn begin(&self, digest: u64) -> bool {
        let entry = entry(digest);
        if self.is_alive(digest) {
            return true;
        }
        self.near(entry).any(|place| place.compare_exchange(EMPTY, entry, Ordering::AcqRel, Ordering::Acquire).is_ok())
    }

    pub(super) fn is_alive(&self, digest: u64) -> bool {
        let entry = entry(digest);
        self.near(entry).any(|place| place.load(Ordering::Acquire) == entry)
    }

    /// Takes one out. Two workers may have entered it at once, so all there are.
    pub(super) fn end(&self, digest: u64) {
        let entry = entry(digest);
        for place in self.near(entry) {
            // Who took it out meanwhile has done what was to be done.
            let _ = place.compare_exchange(entry, EMPTY, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Takes all out.
    pub(super) fn end_all(&self) {
        for place in &self.places {
            // What was never used stays without memory of its own.
            if place.load(Ordering::Acquire) != EMPTY {
                place.store(EMPTY, Ordering::Release);
            }
        }
    }

    fn near(&self, entry: u64) -> impl Iterator<Item = &AtomicU64> {
        let start = usize::try_from(entry >> 24).unwrap_or(0);
        (0..PROBES).filter_map(move |step| self.places.get(start.wrapping_add(step) % PLACES))
    }
}

fn entry(digest: u64) -> u64 {
    digest | 1
}
