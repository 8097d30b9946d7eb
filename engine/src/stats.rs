//! Counters and histograms of the running engine, written by their one thread, read by whoever
//! serves `/metrics`.
//!
//! Every cell has one writer, so an increment is a load and a store, not a locked instruction.
//! All accesses are Relaxed: figures for people order nothing.
//!
//! This module knows the close reasons and no other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::close::CloseReason;

/// A number that one thread changes and any thread reads.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds; only the owning thread may.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Subtracts; only the owning thread may.
    pub fn sub(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(amount), Relaxed);
    }

    /// Replaces the number.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of a [`TimeHistogram`]'s buckets, in nanoseconds; the last bucket has none.
/// From 10 µs (a wake) to 10 s (a broadcast to millions), about three a decade.
pub const TIME_BOUNDS_NS: [u64; 19] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct TimeHistogram {
    /// Counts by bucket, not cumulative.
    pub buckets: [Cell; TIME_BOUNDS_NS.len() + 1],
    /// Sum of all times, in nanoseconds.
    pub sum_ns: Cell,
}

impl TimeHistogram {
    /// Records that `count` things took `ns` nanoseconds each.
    pub fn record(&self, ns: u64, count: u64) {
        let bucket = TIME_BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.buckets[bucket].add(count);
        self.sum_ns.add(ns.saturating_mul(count));
    }
}

/// What one worker counts. Aligned so that two workers never write to one cache line.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Connections accepted.
    pub accepted: Cell,
    /// Connections before their stream, or publishing.
    pub connections: Cell,
    /// Subscribers with an open stream.
    pub subscribers: Cell,
    /// Subscribers whose socket is full.
    pub blocked: Cell,
    /// Connections ended, by reason.
    pub closed: [Cell; CloseReason::ALL.len()],
    /// Events taken off the ring.
    pub events: Cell,
    /// Events written to subscribers: one for each event and subscriber.
    pub deliveries: Cell,
    /// Bytes written to subscribers.
    pub bytes: Cell,
    /// Sends that carried deliveries; deliveries divided by sends is the mean batch.
    pub sends: Cell,
    /// Sends that met a full socket or were written in part.
    pub sends_short: Cell,
    /// Heartbeats written.
    pub heartbeats: Cell,
    /// Gaps announced.
    pub gaps: Cell,
    /// Events that subscribers missed, as far as the number is known.
    pub missed: Cell,
    /// Streams begun.
    pub streams: Cell,
    /// Events replayed to subscribers that resumed.
    pub replayed: Cell,
    /// Events accepted from publishers of this worker.
    pub published: Cell,
    /// Publishes refused because a ring was full.
    pub overloads: Cell,
    /// Requests refused as malformed, by any rule.
    pub refused: Cell,
    /// Requests that came too soon from their address.
    pub too_soon_by_address: Cell,
    /// Requests that came too soon for their token.
    pub too_soon_by_token: Cell,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_failures: Cell,
    /// Topics in the table.
    pub topics: Cell,
    /// Distinct sets of topics that have subscribers.
    pub topic_sets: Cell,
    /// Events kept for replay.
    pub history_events: Cell,
    /// Bytes of the events kept for replay.
    pub history_bytes: Cell,
    /// Bytes of evicted events that half-sent writes still need.
    pub pinned_bytes: Cell,
    /// Bytes of bodies that are being read.
    pub body_bytes: Cell,
    /// Bytes of the tables of slots, topics and sets.
    pub table_bytes: Cell,
    /// Times that events waited on the ring because healthy subscribers had not got older ones.
    pub stalls: Cell,
    /// Sequence of the newest event taken off the ring.
    pub head: Cell,
    /// When the worker last turned its loop, in nanoseconds of the engine's clock.
    pub turned_at: Cell,
    /// Time of one turn of the delivery lane.
    pub turn_time: TimeHistogram,
    /// Time from an event's number to its write, one record for each delivery.
    pub publish_to_written: TimeHistogram,
}

impl WorkerStats {
    /// Counts a connection's end.
    pub fn close(&self, reason: CloseReason) {
        self.closed[reason as usize].add(1);
    }
}

/// What the whole engine counts, and its clock.
#[derive(Debug)]
pub struct Stats {
    /// Zero of the engine's monotonic clock.
    pub started: Instant,
    /// One for each worker.
    pub workers: Box<[WorkerStats]>,
    /// Sequence of the newest numbered event.
    pub sequence: Cell,
    /// True from the moment that the engine stops taking connections.
    pub draining: AtomicBool,
}

impl Stats {
    /// Counters of `workers` workers, all zero, and a clock that starts now.
    #[must_use]
    pub fn new(workers: usize) -> Stats {
        Stats {
            started: Instant::now(),
            workers: (0..workers).map(|_| WorkerStats::default()).collect(),
            sequence: Cell::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// Nanoseconds since the engine started.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_the_bucket_whose_bound_it_does_not_exceed() {
        let histogram = TimeHistogram::default();
        histogram.record(10_000, 1);
        histogram.record(10_001, 2);
        histogram.record(u64::MAX / 4, 3);
        assert_eq!(histogram.buckets[0].get(), 1);
        assert_eq!(histogram.buckets[1].get(), 2);
        assert_eq!(histogram.buckets[TIME_BOUNDS_NS.len()].get(), 3);
    }
}
