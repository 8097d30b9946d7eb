//! Per event, over all subscribers: how many got it, and when the first, half and the last did.
//!
//! The idea: each thread keeps one cell for each measured event, 24 bytes; the cells of all
//! threads are merged when the run is over. When half of the subscribers had an event cannot be
//! merged from halves, so some thousand events, spread evenly, also get a histogram of 200
//! buckets, an eighth of a power of two each.

/// Events with a histogram at most: 800 bytes each and thread.
const SKETCHES_MAX: usize = 4_096;

/// Buckets of a sketch.
const BUCKETS: usize = 200;

/// Powers of two below this exponent share the first buckets: 2^11 ns = 2 µs.
const EXPONENT_MIN: u32 = 11;

/// One event on one thread, or merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Latency of the first arrival, from the intended time.
    pub(crate) first_ns: u64,
    /// Latency of the last.
    pub(crate) last_ns: u64,
    /// Arrivals, each subscriber once.
    pub(crate) count: u32,
    /// The subscriber of the last arrival.
    pub(crate) last_subscriber: u32,
}

/// The cells of all measured events.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    cells: Vec<Cell>,
    sketches: Vec<u32>,
    /// Every so many events have a sketch.
    stride: usize,
}

impl Cells {
    /// Cells for `events` events. Memory is touched only as events arrive.
    pub(crate) fn new(events: usize) -> Cells {
        let stride = events.div_ceil(SKETCHES_MAX).max(1);
        Cells {
            cells: vec![Cell::default(); events],
            sketches: vec![0; events.div_ceil(stride) * BUCKETS],
            stride,
        }
    }

    /// Enters an arrival of event `event` (counted from the first measured one).
    pub(crate) fn enter(&mut self, event: usize, latency_ns: u64, subscriber: u32) {
        let cell = &mut self.cells[event];
        if cell.count == 0 || latency_ns < cell.first_ns {
            cell.first_ns = latency_ns;
        }
        if latency_ns >= cell.last_ns {
            cell.last_ns = latency_ns;
            cell.last_subscriber = subscriber;
        }
        cell.count += 1;
        if event.is_multiple_of(self.stride) {
            self.sketches[event / self.stride * BUCKETS + bucket(latency_ns)] += 1;
        }
    }

    /// Adds the cells of another thread.
    ///
    /// # Panics
    ///
    /// If the two are of different plans.
    pub(crate) fn merge(&mut self, other: &Cells) {
        assert_eq!(self.cells.len(), other.cells.len(), "cells of one plan");
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            if theirs.count == 0 {
                continue;
            }
            if mine.count == 0 || theirs.first_ns < mine.first_ns {
                mine.first_ns = theirs.first_ns;
            }
            if mine.count == 0 || theirs.last_ns > mine.last_ns {
                mine.last_ns = theirs.last_ns;
                mine.last_subscriber = theirs.last_subscriber;
            }
            mine.count += theirs.count;
        }
        for (mine, theirs) in self.sketches.iter_mut().zip(&other.sketches) {
            *mine += theirs;
        }
    }

    /// All cells, by event.
    pub(crate) fn all(&self) -> &[Cell] {
        &self.cells
    }

    /// When `half` of the subscribers had an event, to some percent; `None` if it was not
    /// followed or that many never had it.
    pub(crate) fn half_ns(&self, event: usize, half: u32) -> Option<u64> {
        if !event.is_multiple_of(self.stride) || half == 0 {
            return None;
        }
        let cell = &self.cells[event];
        let sketch = &self.sketches[event / self.stride * BUCKETS..][..BUCKETS];
        let mut below = 0;
        for (bucket, &count) in sketch.iter().enumerate() {
            if below + count >= half {
                // Arrivals within a bucket are taken as evenly spread.
                let share = f64::from(half - below) / f64::from(count);
                let (low, high) = (start(bucket), start(bucket + 1));
                let at = low as f64 + (high - low) as f64 * share;
                return Some((at as u64).clamp(cell.first_ns, cell.last_ns));
            }
            below += count;
        }
        None
    }
}

fn bucket(latency_ns: u64) -> usize {
    let exponent = latency_ns.max(1).ilog2().max(EXPONENT_MIN);
    // The three bits behind the leading one: eight buckets for each power of two.
    let eighth = if latency_ns >> exponent == 0 {
        return 0;
    } else {
        (latency_ns >> (exponent - 3)) & 7
    };
    (((exponent - EXPONENT_MIN) as usize) * 8 + eighth as usize).min(BUCKETS - 1)
}

fn start(bucket: usize) -> u64 {
    if bucket == 0 {
        return 0;
    }
    let (exponent, eighth) = (EXPONENT_MIN as usize + bucket / 8, bucket as u64 % 8);
    (8 + eighth) << (exponent - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_its_bucket() {
        for power in 0..36 {
            for latency in [1u64 << power, (1 << power) + 1, (3 << power) / 2, (2 << power) - 1] {
                let bucket = bucket(latency);
                assert!(start(bucket) <= latency, "{latency}");
                assert!(bucket == BUCKETS - 1 || latency < start(bucket + 1), "{latency}");
            }
        }
    }

    #[test]
    fn merged_threads_are_one_thread() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut one = Cells::new(5);
        let mut parts = [Cells::new(5), Cells::new(5), Cells::new(5)];
        for subscriber in 0..3_000 {
            for event in 0..4 {
                let latency = random.u64(1..1 << 30) * 8 + u64::from(subscriber % 8);
                one.enter(event, latency, subscriber);
                parts[subscriber as usize % 3].enter(event, latency, subscriber);
            }
        }
        let [mut merged, second, third] = parts;
        merged.merge(&second);
        merged.merge(&third);
        assert_eq!(merged.all(), one.all());
        assert_eq!(merged.half_ns(2, 1_500), one.half_ns(2, 1_500));
        assert_eq!(merged.all()[4], Cell::default());
    }

    #[test]
    fn half_is_the_median_to_some_percent() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut cells = Cells::new(1);
        let mut all: Vec<u64> = (0..10_001).map(|_| random.u64(100_000..50_000_000)).collect();
        for &latency in &all {
            cells.enter(0, latency, 0);
        }
        all.sort_unstable();
        let half = cells.half_ns(0, 5_001).unwrap();
        assert!(half.abs_diff(all[5_000]) * 20 < all[5_000], "{half} against {}", all[5_000]);
        assert_eq!(cells.half_ns(0, 10_002), None);
    }
}
