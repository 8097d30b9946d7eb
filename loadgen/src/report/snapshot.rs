//! A running test at one moment: what the live view and the Prometheus listener show.
//!
//! The core makes one some times per second and hands it over; nothing here reaches back into
//! the run, so a slow terminal or a slow scrape can never delay the measurement.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::model::plan::Phase;

/// The state of a run. Counts are totals since its start; `None` = cannot be known.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Name or target of the run.
    pub(crate) label: String,
    /// The phase it is in.
    pub(crate) phase: Phase,
    /// Time since its start.
    pub(crate) elapsed_ns: u64,
    /// Time in this phase.
    pub(crate) phase_elapsed_ns: u64,
    /// Planned length of this phase; `None` when it ends by a condition.
    pub(crate) phase_length_ns: Option<u64>,
    /// Subscribers asked for.
    pub(crate) asked: u64,
    /// Open streams.
    pub(crate) up: u64,
    /// Connects under way.
    pub(crate) connecting: u64,
    /// Connects failed.
    pub(crate) connect_errors: u64,
    /// Streams that ended before the run wanted it.
    pub(crate) disconnects: u64,
    /// Events published (or seen, when others publish).
    pub(crate) events: u64,
    /// Planned events per second right now; `None` when this run publishes nothing.
    pub(crate) events_planned_rate: Option<f64>,
    /// Deliveries received.
    pub(crate) deliveries: u64,
    /// Bytes read from sockets.
    pub(crate) wire_bytes: u64,
    /// Deliveries lost.
    pub(crate) lost: Option<u64>,
    /// Deliveries received again.
    pub(crate) duplicate: Option<u64>,
    /// Deliveries out of order.
    pub(crate) out_of_order: Option<u64>,
    /// Busy share of the load generator's busiest thread, 0 to 1.
    pub(crate) client_cpu: Option<f64>,
    /// CPU cores the server keeps busy.
    pub(crate) server_cpu: Option<f64>,
    /// Memory of the server's process.
    pub(crate) server_pss_bytes: Option<u64>,
    /// Histograms by metric name: of the measured window once it has begun, of the current
    /// phase before.
    pub(crate) metrics: BTreeMap<&'static str, Histogram<u64>>,
    /// Delivery (or relative delivery) since the snapshot before.
    pub(crate) recent: Histogram<u64>,
}
