//! A run over time: one row per interval, and the ramp of connections.
//!
//! A row carries the histograms of its interval, so that any stretch of time can be read again
//! with true percentiles and a run can be drawn as a heat map.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::metric::{self, HistogramBlob};
use super::plan::Phase;

/// One reporting interval. Counts are of this interval alone; null = could not be known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Interval {
    /// When it began, from the start of the run.
    pub(crate) t_ns: u64,
    /// How long it was.
    pub(crate) length_ns: u64,
    /// The phase it belongs to.
    pub(crate) phase: Phase,
    /// Open streams at its end.
    pub(crate) up: u64,
    /// Connects that failed.
    #[serde(default)]
    pub(crate) connect_errors: u64,
    /// Events published (or, when others publish, first seen).
    pub(crate) events: u64,
    /// Deliveries received.
    pub(crate) deliveries: u64,
    /// Bytes read from sockets.
    pub(crate) wire_bytes: Option<u64>,
    /// Deliveries found lost.
    pub(crate) lost: Option<u64>,
    /// Deliveries received again.
    pub(crate) duplicate: Option<u64>,
    /// Deliveries out of order.
    pub(crate) out_of_order: Option<u64>,
    /// Median delivery (relative delivery where no publisher's clock is known).
    pub(crate) p50_ns: Option<u64>,
    /// p99 delivery.
    pub(crate) p99_ns: Option<u64>,
    /// Largest delivery.
    pub(crate) max_ns: Option<u64>,
    /// Largest time to the last subscriber among the events of the interval.
    pub(crate) last_max_ns: Option<u64>,
    /// Busy share of the load generator's busiest thread, 0 to 1.
    pub(crate) client_cpu: Option<f64>,
    /// CPU cores the server kept busy.
    pub(crate) server_cpu: Option<f64>,
    /// CPU cores the server was ready for and did not get: the time that its threads waited for a
    /// processor over wall time.
    #[serde(default)]
    pub(crate) server_cpu_waited: Option<f64>,
    /// Memory of the server's process (proportional set size).
    pub(crate) server_pss_bytes: Option<u64>,
    /// Kernel memory of sockets on the server's machine.
    pub(crate) server_kernel_bytes: Option<u64>,
    /// Histograms of the interval by metric name; usually `delivery`, `delivery.sent`, `last`.
    #[serde(default)]
    pub(crate) histograms: BTreeMap<String, HistogramBlob>,
}

impl Interval {
    /// Stores the interval's histogram of a metric and reads the row's own figures from it.
    pub(crate) fn record(&mut self, name: &str, histogram: &Histogram<u64>) {
        if histogram.is_empty() {
            return;
        }
        match name {
            metric::DELIVERY => self.read_delivery(histogram),
            metric::DELIVERY_RELATIVE if self.p50_ns.is_none() => self.read_delivery(histogram),
            metric::LAST => self.last_max_ns = Some(histogram.max()),
            _ => {}
        }
        self.histograms.insert(name.to_owned(), HistogramBlob::encode(histogram));
    }

    /// Takes the interval that follows into this one: counts and histograms add, gauges are those
    /// of the later one, shares of processors are weighed by time.
    ///
    /// # Errors
    ///
    /// If a histogram cannot be decoded.
    pub(crate) fn absorb(&mut self, next: &Interval) -> Result<(), String> {
        let (mine, theirs) = (self.length_ns as f64, next.length_ns as f64);
        let mean = |a: Option<f64>, b: Option<f64>| -> Option<f64> {
            Some((a? * mine + b? * theirs) / (mine + theirs).max(1.0))
        };
        self.client_cpu = mean(self.client_cpu, next.client_cpu);
        self.server_cpu = mean(self.server_cpu, next.server_cpu);
        self.server_cpu_waited = mean(self.server_cpu_waited, next.server_cpu_waited);
        self.length_ns = (next.t_ns + next.length_ns).saturating_sub(self.t_ns);
        self.up = next.up;
        self.connect_errors += next.connect_errors;
        self.events += next.events;
        self.deliveries += next.deliveries;
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        self.wire_bytes = sum(self.wire_bytes, next.wire_bytes);
        self.lost = sum(self.lost, next.lost);
        self.duplicate = sum(self.duplicate, next.duplicate);
        self.out_of_order = sum(self.out_of_order, next.out_of_order);
        self.server_pss_bytes = next.server_pss_bytes.or(self.server_pss_bytes);
        self.server_kernel_bytes = next.server_kernel_bytes.or(self.server_kernel_bytes);
        let mut sums = BTreeMap::new();
        for (name, blob) in self.histograms.iter().chain(&next.histograms) {
            *sums.entry(name.clone()).or_insert_with(metric::new_histogram) += &blob.decode()?;
        }
        (self.p50_ns, self.p99_ns, self.max_ns) = (None, None, None);
        sums.iter().for_each(|(name, histogram)| self.record(name, histogram));
        Ok(())
    }

    fn read_delivery(&mut self, histogram: &Histogram<u64>) {
        self.p50_ns = metric::percentile(histogram, 50.0);
        self.p99_ns = metric::percentile(histogram, 99.0);
        self.max_ns = Some(histogram.max());
    }
}

/// A point of the connection ramp.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RampPoint {
    /// When, from the start of the run.
    pub(crate) t_ns: u64,
    /// Connects that the plan had started by then; null without a plan.
    pub(crate) planned: Option<u64>,
    /// Open streams.
    pub(crate) up: u64,
    /// Connects failed so far.
    pub(crate) failed: u64,
}
