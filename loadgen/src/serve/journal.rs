//! What the server did, as one JSON object per line: the truth that a report is held against.
//!
//! The first line says where the server listens, the last one sums up; between them stands one
//! line for each injected fault. Times are nanoseconds of `CLOCK_REALTIME`, the clock that
//! stamps and kernel receive times use.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes of a payload that a line quotes: enough for the stamp at its start.
const QUOTE_BYTES: usize = 128;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum Line {
    Listening { address: SocketAddr, epoch: String },
    Injected(Injection),
    Summary(Summary),
}

/// One injected fault. Fields that do not apply are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Injection {
    pub(crate) fault: String,
    pub(crate) at_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subscriber: Option<u32>,
    /// The subscriber's end of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<u64>,
    /// How the payload of the event begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) told: Option<String>,
    /// How long a stall really lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lasted_ns: Option<u64>,
}

/// The whole run in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Events accepted.
    pub(crate) events: u64,
    /// Subscriptions accepted.
    pub(crate) subscriptions: u64,
    /// Events written to subscribers, faulty or not.
    pub(crate) deliveries: u64,
    /// Connections closed because their subscriber did not read.
    pub(crate) overflows: u64,
    /// The shortest and the longest time that an event was held by a `delay`.
    pub(crate) delay_ns: Option<(u64, u64)>,
    /// Injected faults by name.
    pub(crate) injected: BTreeMap<String, u64>,
}

/// Writes lines and keeps the sums.
pub(super) struct Journal {
    out: Box<dyn Write>,
    pub(super) summary: Summary,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl Journal {
    pub(super) fn new(out: Box<dyn Write>) -> Self {
        Self { out, summary: Summary::default() }
    }

    /// Writes and counts one injected fault.
    pub(super) fn injected(&mut self, injection: Injection) -> io::Result<()> {
        *self.summary.injected.entry(injection.fault.clone()).or_default() += 1;
        self.write(&Line::Injected(injection))
    }

    /// Notes how long an event was held by a `delay`.
    pub(super) fn delayed(&mut self, held: Duration) {
        let held = u64::try_from(held.as_nanos()).unwrap_or(u64::MAX);
        let (least, most) = self.summary.delay_ns.unwrap_or((held, held));
        self.summary.delay_ns = Some((least.min(held), most.max(held)));
    }

    /// Writes the last line.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let summary = self.summary.clone();
        self.write(&Line::Summary(summary))
    }

    /// Writes a line and hands it over at once, so that a reader never waits for one.
    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

/// The start of a payload, as text.
pub(super) fn quote(data: &[u8]) -> String {
    String::from_utf8_lossy(&data[..data.len().min(QUOTE_BYTES)]).into_owned()
}
