//! How long things took, in buckets.

use std::sync::atomic::{AtomicU64, Ordering};

/// The most bounds that a histogram has.
const BOUNDS_MAX: usize = 11;

/// Counts durations by upper bounds. One add for the bucket and one for the sum, so that the audio thread can do it.
#[derive(Debug)]
pub struct Histogram {
    bounds_us: &'static [u64],
    counts: [AtomicU64; BOUNDS_MAX + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// With these bounds in microseconds, ascending, at most eleven.
    pub const fn new(bounds_us: &'static [u64]) -> Self {
        assert!(bounds_us.len() <= BOUNDS_MAX, "more bounds than buckets");
        Histogram {
            bounds_us,
            counts: [const { AtomicU64::new(0) }; BOUNDS_MAX + 1],
            sum_us: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub fn observe(&self, us: u64) {
        let bucket = self.bounds_us.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn distribution(&self) -> Distribution {
        Distribution {
            bounds_us: self.bounds_us,
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

/// What a histogram counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    bounds_us: &'static [u64],
    counts: [u64; BOUNDS_MAX + 1],
    sum_us: u64,
}

impl Distribution {
    /// Adds what another one with the same bounds counted.
    pub(crate) fn add(&mut self, other: &Distribution) {
        if self.bounds_us.is_empty() {
            self.bounds_us = other.bounds_us;
        }
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_us += other.sum_us;
    }

    /// Each upper bound with how many were no greater.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let below = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.bounds_us.iter().copied().zip(below)
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

#[test]
fn each_value_is_counted_under_the_bounds_that_it_does_not_exceed() {
    let histogram = Histogram::new(&[10, 20, 30]);
    for us in [0, 10, 11, 20, 30, 31, 1000] {
        histogram.observe(us);
    }
    let mut twice = histogram.distribution();
    twice.add(&histogram.distribution());
    let buckets: Vec<_> = twice.cumulative().collect();
    assert_eq!(buckets, [(10, 4), (20, 8), (30, 10)]);
    assert_eq!((twice.count(), twice.sum_us()), (14, 2 * 1102));
}
