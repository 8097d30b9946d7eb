//! What the minimal client has received: deliveries, latencies, and what is missing.
//!
//! Latency counts from an event's due time to the read that brought it, and only events due in
//! the measured window count. "Last" is the latency of the last subscriber of each event: the
//! figure a fan-out is judged by, with one sample per event, because deliveries of one event are
//! not independent. Missing deliveries are counted over the whole run.

use std::ops::Range;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::stamp::Stamp;

/// Latencies above this are recorded as this: a minute late is as bad as lost.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// An event number above this is no event of ours: it would make the ledger too large.
const EVENT_COUNT_MAX: u64 = 1 << 26;

/// Counts deliveries as they come.
#[derive(Debug)]
pub struct Tally {
    /// Due times, in monotonic nanoseconds, whose events count for latency.
    window_ns: Range<u64>,
    deliveries: Histogram<u64>,
    events: Vec<Event>,
    malformed_count: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Event {
    delivery_count: u32,
    is_measured: bool,
    last_ns: u64,
}

/// Percentiles of one latency, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    sample_count: u64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
}

/// What a whole run delivered, against what it should have.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// Latency over all deliveries of the window.
    to_each: Option<Latency>,
    /// Latency to the last subscriber, over the events of the window.
    to_last: Option<Latency>,
    /// Deliveries that never came, over the whole run.
    lost_count: u64,
    /// Deliveries that came more than once.
    surplus_count: u64,
    /// Marks followed by something else than a stamp of ours.
    malformed_count: u64,
}

impl Tally {
    /// An empty tally that measures events due within `window_ns`.
    pub fn new(window_ns: Range<u64>) -> Self {
        Self { window_ns, deliveries: histogram(), events: Vec::new(), malformed_count: 0 }
    }

    /// Counts what a scanner found in a read that returned at `now_ns`.
    pub fn record(&mut self, found: Option<Stamp>, now_ns: u64) {
        let Some(stamp) = found.filter(|stamp| stamp.number < EVENT_COUNT_MAX) else {
            self.malformed_count += 1;
            return;
        };
        let index = stamp.number as usize;
        if index >= self.events.len() {
            self.events.resize(index + 1, Event::default());
        }
        let event = &mut self.events[index];
        let latency_ns = now_ns.saturating_sub(stamp.due_ns);
        event.delivery_count += 1;
        event.last_ns = event.last_ns.max(latency_ns);
        event.is_measured = self.window_ns.contains(&stamp.due_ns);
        if event.is_measured {
            self.deliveries.saturating_record(latency_ns);
        }
    }

    /// Ends the run, in which `published_count` events went to `subscriber_count` subscribers.
    pub fn summary(&self, published_count: u64, subscriber_count: u64) -> Summary {
        let mut last = histogram();
        for event in self.events.iter().filter(|event| event.is_measured) {
            last.saturating_record(event.last_ns);
        }
        let delivered = |event: &Event| u64::from(event.delivery_count);
        let unseen_count = published_count.saturating_sub(self.events.len() as u64);
        let lost = self.events.iter().map(|e| subscriber_count.saturating_sub(delivered(e)));
        let surplus = self.events.iter().map(|e| delivered(e).saturating_sub(subscriber_count));
        Summary {
            to_each: Latency::of(&self.deliveries),
            to_last: Latency::of(&last),
            lost_count: lost.sum::<u64>() + unseen_count * subscriber_count,
            surplus_count: surplus.sum(),
            malformed_count: self.malformed_count,
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            sample_count: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        })
    }
}

fn histogram() -> Histogram<u64> {
    // Three digits: an error of at most 0.1 %, far below the spread between two runs.
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u64, due_ns: u64) -> Option<Stamp> {
        Some(Stamp { number, due_ns })
    }

    #[test]
    fn lost_surplus_and_malformed_deliveries_are_told_apart() {
        let mut tally = Tally::new(0..u64::MAX);
        for number in [0, 0, 1, 2, 2, 2] {
            tally.record(stamp(number, 0), 10);
        }
        tally.record(None, 10);
        tally.record(stamp(EVENT_COUNT_MAX, 0), 10);
        let summary = tally.summary(4, 2);
        assert_eq!(summary.lost_count, 1 + 2, "one of event 1, both of event 3");
        assert_eq!(summary.surplus_count, 1, "event 2 came three times");
        assert_eq!(summary.malformed_count, 2);
    }

    #[test]
    fn only_events_due_in_the_window_count_for_latency() {
        let mut tally = Tally::new(1_000..2_000);
        tally.record(stamp(0, 999), 50_000);
        tally.record(stamp(1, 1_000), 1_500);
        tally.record(stamp(1, 1_000), 1_700);
        tally.record(stamp(2, 2_000), 50_000);
        let summary = tally.summary(3, 2);
        let each = summary.to_each.expect("two deliveries were measured");
        let last = summary.to_last.expect("one event was measured");
        assert_eq!((each.sample_count, each.max_ns), (2, 700));
        assert_eq!((last.sample_count, last.max_ns), (1, 700));
    }

    #[test]
    fn without_a_measured_event_there_is_no_latency() {
        assert!(Tally::new(0..1).summary(0, 9).to_each.is_none());
    }
}
