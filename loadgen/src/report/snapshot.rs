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
    /// CPU cores it is ready for and does not get.
    pub(crate) server_cpu_waited: Option<f64>,
    /// Memory of the server's process.
    pub(crate) server_pss_bytes: Option<u64>,
    /// Histograms by metric name: of the measured window once it has begun, of the current
    /// phase before.
    pub(crate) metrics: BTreeMap<&'static str, Histogram<u64>>,
    /// Delivery (or relative delivery) since the snapshot before.
    pub(crate) recent: Histogram<u64>,
}

/// A snapshot for tests, with figures that follow from a seed.
#[cfg(test)]
pub(crate) fn sample(seed: u64) -> Snapshot {
    use super::model::metric;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut delivery = metric::new_histogram();
    for _ in 0..5_000 {
        delivery.record(1_000_000 + random.u64(..4_000_000)).unwrap();
    }
    Snapshot {
        label: "sample".to_owned(),
        phase: Phase::Measure,
        elapsed_ns: 17_000_000_000,
        phase_elapsed_ns: 12_000_000_000,
        phase_length_ns: Some(30_000_000_000),
        asked: 5_000,
        up: 5_000,
        connecting: 0,
        connect_errors: 0,
        disconnects: 0,
        events: 240,
        events_planned_rate: Some(20.0),
        deliveries: 1_200_000,
        wire_bytes: 175_200_000,
        lost: Some(0),
        duplicate: Some(0),
        out_of_order: Some(0),
        client_cpu: Some(0.41),
        server_cpu: Some(0.62),
        server_cpu_waited: Some(0.013),
        server_pss_bytes: Some(4_400_000),
        recent: delivery.clone(),
        metrics: BTreeMap::from([(metric::DELIVERY, delivery.clone()), (metric::LAST, delivery)]),
    }
}
