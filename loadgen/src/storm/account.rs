//! What happened to a fleet, in numbers.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::tracker::Proof;
use crate::report::model::metric::new_histogram;

/// What happened to the fleet, in numbers.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) proof: Proof,
    /// From the loss of a connection to the open stream of its successor.
    pub(super) recover: Histogram<u64>,
    /// From the open stream to the event that was newest at that moment.
    pub(super) catch_up: Histogram<u64>,
    /// Connections lost without a plan.
    pub(super) lost: u64,
    pub(super) refused: u64,
    pub(super) reset: u64,
    pub(super) timeout: u64,
    pub(super) malformed: u64,
    /// Subscribers that were told never to come back.
    pub(super) gone: u64,
    /// Why the first of them was.
    pub(super) gone_reason: Option<String>,
    pub(super) bytes: u64,
}

/// What became of the subscribers chosen for a wave.
#[derive(Debug, Default)]
pub(super) struct WaveAccount {
    /// Those who have yet to lose their connection, or to be back.
    pub(super) pending: u64,
    /// Those who have lost it.
    pub(super) dropped: u64,
    /// When their streams were open again.
    pub(super) back: Vec<Instant>,
}

impl Account {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        Self {
            proof: Proof::default(),
            recover: new_histogram(),
            catch_up: new_histogram(),
            lost: 0,
            refused: 0,
            reset: 0,
            timeout: 0,
            malformed: 0,
            gone: 0,
            gone_reason: None,
            bytes: 0,
        }
    }

    /// Notes that a stream is open again, this long after its predecessor was lost.
    pub(super) fn recovered(&mut self, after: Duration) {
        note(&mut self.recover, after);
    }

    /// Notes that a stream has reached the event that was newest when it opened.
    pub(super) fn caught_up(&mut self, after: Duration) {
        note(&mut self.catch_up, after);
    }
}

fn note(histogram: &mut Histogram<u64>, time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    // It fails only where a histogram has a fixed range.
    histogram.record(nanos).expect("these histograms grow");
}
