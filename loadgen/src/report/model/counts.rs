//! What was counted: connects, publishes, deliveries, and the special populations of a run
//! (slow readers, a storm).
//!
//! Invariant: `expected = unique + late + unread + lost + in_flight`, where `expected` is known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::offence::Offence;

/// How the subscribers came up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Connect {
    /// Subscribers asked for.
    pub(crate) asked: u64,
    /// Subscribers with an open stream when the measured window began.
    pub(crate) up: u64,
    /// The fewest open streams at any time in the measured window.
    pub(crate) min_up: Option<u64>,
    /// From the first connect to the last open stream.
    pub(crate) length_ns: Option<u64>,
    /// Connects per second achieved over that time.
    pub(crate) achieved_rate: Option<f64>,
    /// Connects that failed, by cause.
    pub(crate) errors: ConnectErrors,
    /// SYN segments sent again: each is a connect latency of 1, 3 or 7 s that the server's
    /// accept queue caused.
    pub(crate) syn_retrans: Option<u64>,
}

/// Failed connects by cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ConnectErrors {
    /// Connection refused.
    pub(crate) refused: u64,
    /// Reset by the server.
    pub(crate) reset: u64,
    /// No answer in time.
    pub(crate) timeout: u64,
    /// Answers with a status other than 200, by status.
    #[serde(default)]
    pub(crate) status: BTreeMap<String, u64>,
    /// Answers that were not `text/event-stream`.
    pub(crate) mime: u64,
    /// Closed by the server before the response head was complete.
    #[serde(default)]
    pub(crate) closed: u64,
    /// Errors of this machine: no port, no descriptor, no memory.
    #[serde(default)]
    pub(crate) local: u64,
}

impl ConnectErrors {
    /// All failed connects.
    pub(crate) fn total(&self) -> u64 {
        let status: u64 = self.status.values().sum();
        self.refused + self.reset + self.timeout + status + self.mime + self.closed + self.local
    }
}

/// What the publishers did in the measured window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Publish {
    /// Events whose intended time lies in the window.
    pub(crate) planned: u64,
    /// Events handed to the kernel.
    pub(crate) sent: u64,
    /// Events the server accepted.
    pub(crate) acked: u64,
    /// Events refused by the server, by status.
    #[serde(default)]
    pub(crate) refused: BTreeMap<String, u64>,
    /// Events whose connection failed before an answer: delivered or not, nobody knows.
    #[serde(default)]
    pub(crate) failed: u64,
    /// Events that were due and never sent, because the server had stopped reading or its
    /// connection could not be made again.
    #[serde(default)]
    pub(crate) withheld: u64,
}

/// What was delivered and what was not, in the measured window. Null = could not be known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Counts {
    /// Distinct events of the window.
    pub(crate) events: u64,
    /// Deliveries due: for each event its confirmed subscribers that stayed to the horizon.
    pub(crate) expected: Option<u64>,
    /// Deliveries received, each (event, subscriber) once.
    pub(crate) unique: u64,
    /// Due, and never received, though everything that came was read.
    pub(crate) lost: Option<u64>,
    /// Received again by the same subscriber.
    pub(crate) duplicate: Option<u64>,
    /// Received after a later event of the same stream.
    pub(crate) out_of_order: Option<u64>,
    /// Received with a payload whose checksum does not hold.
    pub(crate) corrupt: Option<u64>,
    /// Events that carry no stamp of this run.
    pub(crate) foreign: Option<u64>,
    /// Streams that broke the rules of HTTP framing or of the event stream format.
    pub(crate) malformed: Option<u64>,
    /// Received, but after the horizon.
    pub(crate) late: Option<u64>,
    /// Due, past the horizon, and still on the way when the run ended: bytes lay unread in the
    /// subscriber's socket, or deliveries still came. Neither received nor lost.
    #[serde(default)]
    pub(crate) unread: Option<u64>,
    /// Bytes in the sockets of subscribers that had not received everything, at the end.
    #[serde(default)]
    pub(crate) unread_bytes: Option<u64>,
    /// Deliveries whose subscriber was just connecting: neither due nor lost.
    pub(crate) ambiguous: Option<u64>,
    /// Due, and still inside the horizon when the run ended.
    pub(crate) in_flight: Option<u64>,
    /// Events that not every expected subscriber received within the horizon.
    pub(crate) incomplete_events: Option<u64>,
    /// Reads that returned several events, so that only the last one's kernel stamp is exact.
    pub(crate) coalesced_reads: Option<u64>,
    /// Deliveries that were sent 5 ms or more behind the one before at the same subscriber; counted
    /// at some thousand subscribers at most.
    #[serde(default)]
    pub(crate) spaced: Option<u64>,
    /// Of these, deliveries that arrived together with the one before, within a tenth of that time:
    /// something gathers events before it sends them on.
    #[serde(default)]
    pub(crate) bunched: Option<u64>,
    /// Gaps that the server itself announced in a stream.
    pub(crate) gaps_announced: Option<u64>,
    /// Of these, gaps announced only after an event from behind them had been delivered: the
    /// subscriber went on without knowing.
    #[serde(default)]
    pub(crate) gaps_late: Option<u64>,
    /// Of these, gaps announced although nothing was missing.
    #[serde(default)]
    pub(crate) gaps_unfounded: Option<u64>,
    /// Lost deliveries that no gap announced, in time or late.
    #[serde(default)]
    pub(crate) lost_silent: Option<u64>,
    /// Streams that ended before the run wanted it, by close reason.
    #[serde(default)]
    pub(crate) disconnects: BTreeMap<String, u64>,
    /// Faults by subscriber and sequence: the first hundred of each kind, by time.
    #[serde(default)]
    pub(crate) offences: Vec<Offence>,
}

/// Rates over the measured window, per second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Rates {
    /// Events per second.
    pub(crate) events: Option<f64>,
    /// Deliveries per second.
    pub(crate) deliveries: Option<f64>,
    /// Bytes of event data delivered per second.
    pub(crate) payload_bytes: Option<f64>,
    /// Bytes read from sockets per second, HTTP and event stream framing included.
    pub(crate) wire_bytes: Option<f64>,
    /// Events sent over events planned: 1 when the load generator kept its plan.
    pub(crate) achieved_ratio: Option<f64>,
}

/// Subscribers that read slowly or not at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Slow {
    /// How many.
    pub(crate) subscribers: u64,
    /// Bytes per second each reads; 0 = it reads nothing.
    pub(crate) read_bytes_per_second: u64,
    /// p99 delivery of the other subscribers over that of the same subscribers alone; null when
    /// only one of the two was measured.
    pub(crate) isolation: Option<f64>,
    /// That p99 without slow subscribers.
    #[serde(default)]
    pub(crate) p99_without_ns: Option<u64>,
    /// How many the server disconnected.
    pub(crate) cut: u64,
    /// Median time until it did.
    pub(crate) cut_after_ns: Option<u64>,
    /// Bytes still in this machine's socket buffers at the end: neither delivered nor lost.
    pub(crate) unread_bytes: Option<u64>,
}

/// A reconnect storm: a part of the subscribers is dropped and comes back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Storm {
    /// The waves in order.
    #[serde(default)]
    pub(crate) waves: Vec<Wave>,
    /// Events missing across the cut: neither before nor after, and not announced as a gap.
    pub(crate) replay_gap: Option<u64>,
    /// Events received both before and after the cut.
    pub(crate) replay_duplicate: Option<u64>,
}

/// One wave of a storm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Wave {
    /// When the connections were dropped, from the start of the run.
    pub(crate) at_ns: u64,
    /// How many were dropped.
    pub(crate) dropped: u64,
    /// How many came back.
    pub(crate) back: u64,
    /// Until half of them were back.
    pub(crate) back_50_ns: Option<u64>,
    /// Until 99 % were back.
    pub(crate) back_99_ns: Option<u64>,
    /// Until all were back; null when some never came.
    pub(crate) back_all_ns: Option<u64>,
}
