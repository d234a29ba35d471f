//! Latencies in constant memory: 64 buckets for each power of two of nanoseconds, so a percentile is off by 1.6 % at most.

use std::time::Duration;

/// Buckets for each power of two.
const STEPS: u32 = 6;

/// Counts of durations.
#[derive(Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; 64 << STEPS], count: 0 }
    }

    /// Counts one duration.
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
    }

    /// Adds all counts of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, count) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += count;
        }
        self.count += other.count;
    }

    /// The duration that `share` (0 to 1) of all do not exceed; zero if there are none.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(upper_end(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let exponent = nanoseconds.max(1).ilog2();
    if exponent < STEPS {
        return nanoseconds as usize;
    }
    let step = (nanoseconds >> (exponent - STEPS)) as usize & ((1 << STEPS) - 1);
    ((exponent as usize) << STEPS) | step
}

fn upper_end(bucket: usize) -> u64 {
    let exponent = (bucket >> STEPS) as u32;
    if exponent < STEPS {
        return bucket as u64;
    }
    let step = (bucket & ((1 << STEPS) - 1)) as u64;
    ((1 << STEPS) + step + 1) << (exponent - STEPS)
}
