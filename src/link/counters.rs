//! What became of stanzas that could not be sent at once, counted over all processes since the start.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// The counters. All zeroes at the start; they only grow.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    /// MESSAGEs that a worker refused because the queue of their domain, or the whole queue, was full, or because the XMPP server of their
    /// component did not read.
    pub refused: Counter,
    /// Stanzas that waited until the stream stood again, and were sent.
    pub delayed: Counter,
    /// Stanzas that waited longer than `queue_ttl`.
    pub expired: Counter,
    /// Stanzas that were dropped because even the last bound was reached.
    pub dropped: Counter,
    /// Stanzas that still waited when the server stopped, or when a bug ended the XMPP process's life.
    pub abandoned: Counter,
    /// What happened to calls, and found the link full.
    pub calls: Counter,
}

/// One number.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds so many. The total is returned when it passes a power of two: then a log line is worth its place.
    pub fn add(&self, count: u64) -> Option<u64> {
        let before = self.0.fetch_add(count, Ordering::Relaxed);
        let total = before.saturating_add(count);
        (total.checked_ilog2() != before.checked_ilog2()).then_some(total)
    }

    /// How many so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_told_when_it_passes_a_power_of_two() {
        let counter = Counter::default();
        let told: Vec<u64> = (0..20).filter_map(|_| counter.add(1)).collect();
        assert_eq!(told, [1, 2, 4, 8, 16]);
        assert_eq!(counter.add(0), None);
        assert_eq!(counter.add(100), Some(120));
        assert_eq!(counter.total(), 120);
    }
}
