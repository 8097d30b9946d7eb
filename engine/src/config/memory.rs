//! The memory that a configuration bounds, as a sum anyone can check.
//!
//! The idea: every limit of the configuration appears here times what one unit of it costs. The
//! sum is an upper bound that is only met when everything is full at once; it is what to compare
//! with the machine before traffic does.
//!
//! Invariants: a term for everything that grows with traffic. What is constant (code, stacks,
//! tables of a few KiB) is one term.
//!
//! Knows nothing of the machine (`doctor`).

use std::fmt;

use super::{Config, REQUESTS_PER_WORKER_MAX};
use crate::event::{Frame, TOPIC_BYTES_MAX};
use crate::selector::REGEXES_BYTES_MAX;
use crate::topic::{EVENT_OVERHEAD_BYTES, FORGOTTEN_OVERHEAD_BYTES, TOPIC_OVERHEAD_BYTES, Topics};

/// User memory of one subscriber: its slot, its place in its topic's list, its file index.
pub const SUBSCRIBER_BYTES: usize = 128;

/// Kernel memory of one idle TCP socket (socket, inode, dentry, file; Linux 6.18: 3.9 KiB).
pub const SOCKET_KERNEL_BYTES: usize = 4 << 10;

/// Kernel memory of what notices a subscriber's end: its registration with epoll (208 B on Linux
/// 6.18) and its place in a table of fixed files (32 B).
pub const WATCH_KERNEL_BYTES: usize = 240;

/// Text of the shortest frame in its memory: a one-byte topic, room for an id, `data:` lines.
const FRAME_TEXT_BYTES_MIN: usize = 48;

/// A connection that is not a stream: its head (16 KiB) and its task (4 KiB).
const REQUEST_BYTES: usize = 20 << 10;

/// Table in which the requests of addresses, or of tokens, are counted.
pub const RATES_BYTES: usize = 1 << 20;

/// What does not grow: code, thread stacks in use, io_uring queues, the allocator's slack. Per
/// worker, rounded up.
const WORKER_BYTES: usize = 16 << 20;

/// Whose memory a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This process's own (RSS).
    User,
    /// The kernel's on our behalf; not in RSS.
    Kernel,
}

/// One product of the sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub side: Side,
    /// What it is, in a few words.
    pub what: &'static str,
    /// How it comes about.
    pub how: String,
    pub bytes: usize,
}

/// The sum. `Display` prints it as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryBound {
    pub terms: Vec<Term>,
    /// What one subscriber that stopped reading adds to the kernel's part, at most; `None` = as
    /// much as `tcp_wmem` allows.
    pub stalled_subscriber_bytes: Option<usize>,
}

impl Config {
    /// What this configuration can cost when all of its limits are reached at once.
    #[must_use]
    pub fn memory_bound(&self) -> MemoryBound {
        let mut terms = self.user_terms();
        terms.extend(self.request_terms());
        terms.extend(self.kernel_terms());
        // The kernel doubles SO_SNDBUF for its own bookkeeping (socket(7)).
        let stalled_subscriber_bytes = self.socket_send_bytes.map(|bytes| bytes * 2);
        MemoryBound { terms, stalled_subscriber_bytes }
    }

    /// Whether `--topics-max` leaves room for so many new topics with so many bytes of names. Long
    /// names take the room of several, so that what is printed holds.
    #[must_use]
    pub fn has_room_for(&self, count: usize, bytes: usize, topics: &Topics) -> bool {
        let count_after = topics.count() + topics.view_count() + count;
        let bytes_after = topics.name_bytes() + bytes;
        count == 0
            || (count_after <= self.topics_max
                && bytes_after <= self.topics_max.saturating_mul(TOPIC_BYTES_MAX))
    }

    fn user_terms(&self) -> Vec<Term> {
        let workers = self.workers;
        let histories = self.history_bytes_total;
        // The text of a frame is shared by all workers; only the handles are each worker's own.
        let handles = histories / (FRAME_TEXT_BYTES_MIN + EVENT_OVERHEAD_BYTES)
            * EVENT_OVERHEAD_BYTES
            * (workers - 1);
        let topic = TOPIC_OVERHEAD_BYTES + TOPIC_BYTES_MAX;
        // Private topics have a table of their own, and only Mercure has private topics.
        let forgotten = self.topics_max * if self.mercure.is_some() { 2 } else { 1 };
        let name = FORGOTTEN_OVERHEAD_BYTES + TOPIC_BYTES_MAX;
        let slot = size_of::<Frame>() + size_of::<usize>();
        let term = |what, bytes, how| Term { side: Side::User, what, how, bytes };
        vec![
            term(
                "subscribers",
                self.connections_max * SUBSCRIBER_BYTES,
                format!("{} connections × {SUBSCRIBER_BYTES} B", self.connections_max),
            ),
            term("histories", histories, "--history-bytes-total".into()),
            term(
                "handles of the other workers",
                handles,
                format!("{} × the share of a history that is not text, at most", workers - 1),
            ),
            term(
                "topics",
                self.topics_max * workers * topic,
                format!("{} topics × {workers} workers × {topic} B at most", self.topics_max),
            ),
            term(
                "names of forgotten topics",
                forgotten * workers * name,
                format!("{forgotten} names × {workers} workers × {name} B at most"),
            ),
            term(
                "what selectors match",
                workers * self.views_bytes_max(),
                format!("{workers} workers × a quarter of the histories"),
            ),
            term(
                "regular expressions of selectors",
                workers * REGEXES_BYTES_MAX,
                format!("{workers} workers × {}, compiled ones", Amount(REGEXES_BYTES_MAX)),
            ),
            term(
                "rings",
                workers * self.ring_events * slot,
                format!("{workers} workers × {} events × {slot} B", self.ring_events),
            ),
            term(
                "events on the rings",
                self.ring_bytes_max(),
                "a quarter of the histories, at least one event".into(),
            ),
            term(
                "half-sent frames",
                self.pinned_bytes_max(),
                "a quarter of the histories, at least one event".into(),
            ),
            term(
                "the workers themselves",
                workers * WORKER_BYTES,
                format!("{workers} × {}", Amount(WORKER_BYTES)),
            ),
        ]
    }

    /// What publishers, and connections before their stream, take.
    fn request_terms(&self) -> [Term; 3] {
        let workers = self.workers;
        let term = |what, bytes, how| Term { side: Side::User, what, how, bytes };
        [
            term(
                "request heads",
                workers * REQUESTS_PER_WORKER_MAX * REQUEST_BYTES,
                format!("{workers} workers × {REQUESTS_PER_WORKER_MAX} × {REQUEST_BYTES} B"),
            ),
            term(
                "bodies being read",
                workers * self.bodies_bytes_max(),
                format!("{workers} workers × {}", Amount(self.bodies_bytes_max())),
            ),
            term(
                "rates of requests",
                self.rates.count() * RATES_BYTES,
                "a table for each of --requests-per-address-max and --requests-per-token-max"
                    .into(),
            ),
        ]
    }

    fn kernel_terms(&self) -> [Term; 2] {
        let connections = self.connections_max;
        let term = |what, bytes: usize| Term {
            side: Side::Kernel,
            what,
            how: format!("{connections} connections × {bytes} B"),
            bytes: connections * bytes,
        };
        [term("sockets", SOCKET_KERNEL_BYTES), term("watches", WATCH_KERNEL_BYTES)]
    }
}

impl MemoryBound {
    /// The sum of one side, in bytes.
    #[must_use]
    pub fn total(&self, side: Side) -> usize {
        self.terms.iter().filter(|term| term.side == side).map(|term| term.bytes).sum()
    }
}

impl fmt::Display for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, name) in [(Side::User, "user"), (Side::Kernel, "kernel")] {
            let total = Amount(self.total(side)).to_string();
            writeln!(f, "memory bound, {name}: {total}")?;
            for term in self.terms.iter().filter(|term| term.side == side) {
                let amount = Amount(term.bytes).to_string();
                writeln!(f, "  {amount:>10}  {}: {}", term.what, term.how)?;
            }
        }
        match self.stalled_subscriber_bytes {
            Some(bytes) => write!(
                f,
                "  and up to {} for each subscriber that stops reading (2 × --socket-send-bytes), \
                 until --write-timeout closes it",
                Amount(bytes)
            ),
            None => write!(
                f,
                "  and up to the maximum of net.ipv4.tcp_wmem for each subscriber that stops \
                 reading, until --write-timeout closes it"
            ),
        }
    }
}

/// A number of bytes for a reader: three or four digits and a unit.
#[derive(Debug, Clone, Copy)]
pub struct Amount(pub usize);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for larger in ["KiB", "MiB", "GiB", "TiB"] {
            if value < 1024.0 {
                break;
            }
            (value, unit) = (value / 1024.0, larger);
        }
        match value {
            _ if unit == "B" => f.pad(&format!("{value:.0} B")),
            v if v < 10.0 => f.pad(&format!("{v:.1} {unit}")),
            v => f.pad(&format!("{v:.0} {unit}")),
        }
    }
}
