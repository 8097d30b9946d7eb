//! Per-event times: the independent samples of a fan-out.
//!
//! A million deliveries of ten events are ten samples of "how slow is an event". Confidence is
//! therefore bootstrapped over events, and for that some thousands of events are kept one by
//! one, drawn uniformly from the whole window.

use serde::{Deserialize, Serialize};

/// Events kept at most: enough for p99.9 (10,000 and a margin), and less than 1 MB of JSON.
pub(crate) const EVENT_SAMPLES_MAX: usize = 16_384;

/// One event over all of its subscribers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EventSample {
    /// Intended publish time (first arrival where no publisher's clock is known), from the start
    /// of the run.
    pub(crate) at_ns: u64,
    /// From the intended time to the first arrival.
    pub(crate) first_ns: Option<u64>,
    /// From the intended time until half of the expected subscribers had it.
    pub(crate) half_ns: Option<u64>,
    /// From the intended time to the last arrival; null when a subscriber never got it.
    pub(crate) last_ns: Option<u64>,
    /// From the first to the last arrival.
    pub(crate) spread_ns: Option<u64>,
    /// Subscribers that got it.
    pub(crate) received: u64,
    /// Subscribers that should have.
    pub(crate) expected: Option<u64>,
}

/// The kept events by column, ordered by `at_ns`; row i of every column is one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct EventSamples {
    /// Events of the window, of which the rows are a uniform sample (or all).
    pub(crate) total: u64,
    /// Intended publish time, from the start of the run.
    pub(crate) at_ns: Vec<u64>,
    /// Time to the first arrival.
    pub(crate) first_ns: Vec<Option<u64>>,
    /// Time until half of the subscribers had it.
    pub(crate) half_ns: Vec<Option<u64>>,
    /// Time to the last arrival; null when a subscriber never got it.
    pub(crate) last_ns: Vec<Option<u64>>,
    /// Last minus first arrival.
    pub(crate) spread_ns: Vec<Option<u64>>,
    /// Subscribers that got it.
    pub(crate) received: Vec<u64>,
    /// Subscribers that should have.
    pub(crate) expected: Vec<Option<u64>>,
}

impl EventSamples {
    /// Puts rows into columns, ordered by time. `total` is the number they were drawn from.
    pub(crate) fn from_rows(mut rows: Vec<EventSample>, total: u64) -> EventSamples {
        rows.sort_by_key(|row| row.at_ns);
        let mut columns = EventSamples { total, ..EventSamples::default() };
        for row in rows {
            columns.at_ns.push(row.at_ns);
            columns.first_ns.push(row.first_ns);
            columns.half_ns.push(row.half_ns);
            columns.last_ns.push(row.last_ns);
            columns.spread_ns.push(row.spread_ns);
            columns.received.push(row.received);
            columns.expected.push(row.expected);
        }
        columns
    }

    /// The rows again. Columns of a damaged file are cut to the shortest.
    pub(crate) fn rows(&self) -> Vec<EventSample> {
        (0..self.len())
            .map(|i| EventSample {
                at_ns: self.at_ns[i],
                first_ns: self.first_ns[i],
                half_ns: self.half_ns[i],
                last_ns: self.last_ns[i],
                spread_ns: self.spread_ns[i],
                received: self.received[i],
                expected: self.expected[i],
            })
            .collect()
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        [
            self.at_ns.len(),
            self.first_ns.len(),
            self.half_ns.len(),
            self.last_ns.len(),
            self.spread_ns.len(),
            self.received.len(),
            self.expected.len(),
        ]
        .into_iter()
        .min()
        .unwrap_or(0)
    }
}

/// Draws a uniform sample of bounded size from a stream of events (reservoir sampling: each
/// event seen is kept with the same chance, without knowing how many will come).
#[derive(Debug)]
pub(crate) struct EventSampler {
    rows: Vec<EventSample>,
    seen: u64,
    random: fastrand::Rng,
}

impl EventSampler {
    /// A sampler whose choices follow from `seed`.
    pub(crate) fn new(seed: u64) -> EventSampler {
        EventSampler { rows: Vec::new(), seen: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// Offers one event.
    pub(crate) fn push(&mut self, row: EventSample) {
        self.seen += 1;
        if self.rows.len() < EVENT_SAMPLES_MAX {
            self.rows.push(row);
            return;
        }
        let slot = self.random.u64(..self.seen);
        if slot < EVENT_SAMPLES_MAX as u64 {
            self.rows[slot as usize] = row;
        }
    }

    /// The sample; `None` when no event was offered.
    pub(crate) fn finish(self) -> Option<EventSamples> {
        (self.seen > 0).then(|| EventSamples::from_rows(self.rows, self.seen))
    }
}
