//! What the reading threads report, added up as it comes.
//!
//! The idea: the counts of an interval are held apart only until all threads have reported it.
//! Then they become a row, whose histograms are compressed, and part of the totals; so a run of
//! hours takes little more memory than one of seconds.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::client::reader::Report;
use crate::client::tally::{Bank, Tally, add};
use crate::report::model::metric;
use crate::report::model::series::Interval;

/// Sums and rows.
#[derive(Debug)]
pub(super) struct Collector {
    threads: usize,
    interval_ns: u64,
    open: BTreeMap<u64, Open>,
    /// All closed intervals.
    pub(super) total: Tally,
    /// What each thread used of a processor, and would have, by interval and thread.
    pub(super) demand: BTreeMap<(u64, usize), Demand>,
    /// Latencies of the interval that was closed last.
    pub(super) recent: Histogram<u64>,
}

/// A thread's use of a processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) cpu_ns: u64,
    /// Ready to run, without a processor.
    pub(super) waited_ns: u64,
}

/// An interval that not all threads have reported.
#[derive(Debug, Default)]
struct Open {
    tally: Tally,
    reported: usize,
    busiest_ns: u64,
}

impl Collector {
    pub(super) fn new(threads: usize, interval_ns: u64) -> Collector {
        Collector {
            threads,
            interval_ns,
            open: BTreeMap::new(),
            total: Tally::default(),
            demand: BTreeMap::new(),
            recent: metric::new_histogram(),
        }
    }

    /// Takes a thread's report of an interval.
    pub(super) fn take(&mut self, report: &Report) {
        let open = self.open.entry(report.interval).or_default();
        open.tally.merge(&report.tally);
        open.reported += 1;
        open.busiest_ns = open.busiest_ns.max(report.tally.cpu_ns);
        let demand = self.demand.entry((report.interval, report.thread)).or_default();
        demand.cpu_ns += report.tally.cpu_ns;
        demand.waited_ns += report.tally.waited_ns;
    }

    /// Closes the oldest interval that all threads have reported (or, with `all`, any) and gives
    /// its row, in which only the threads' own figures are filled in.
    pub(super) fn close(&mut self, all: bool) -> Option<(u64, Interval)> {
        let oldest = self.open.first_entry()?;
        if !all && oldest.get().reported < self.threads {
            return None;
        }
        let (interval, open) = oldest.remove_entry();
        self.total.merge(&open.tally);
        let (row, delivery) = self.row(interval, &open);
        self.recent = delivery;
        Some((interval, row))
    }

    fn row(&self, interval: u64, open: &Open) -> (Interval, Histogram<u64>) {
        let banks = [&open.tally.measured, &open.tally.other];
        let sum = |of: fn(&Bank) -> u64| banks.iter().map(|bank| of(bank)).sum();
        let mut row = Interval {
            t_ns: interval * self.interval_ns,
            length_ns: self.interval_ns,
            connect_errors: open.tally.connects.errors.total(),
            deliveries: sum(|bank| bank.unique),
            wire_bytes: Some(open.tally.wire_bytes),
            duplicate: Some(sum(|bank| bank.duplicate)),
            out_of_order: Some(sum(|bank| bank.out_of_order)),
            client_cpu: Some(open.busiest_ns as f64 / self.interval_ns as f64),
            ..Interval::default()
        };
        let both = |of: fn(&Bank) -> &Histogram<u64>| {
            let mut histogram = of(banks[0]).clone();
            add(&mut histogram, of(banks[1]));
            histogram
        };
        let (mut delivery, mut name) = (both(|bank| &bank.delivery), metric::DELIVERY);
        if delivery.is_empty() {
            (delivery, name) = (both(|bank| &bank.relative), metric::DELIVERY_RELATIVE);
        }
        row.record(name, &delivery);
        row.record(metric::DELIVERY_SENT, &both(|bank| &bank.sent));
        row.record(metric::DELIVERY_USER, &both(|bank| &bank.user));
        row.record(metric::CLIENT_HOLD, &both(|bank| &bank.hold));
        (row, delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tally::enter;

    fn report(interval: u64, thread: usize, latencies: &[u64]) -> Report {
        let mut tally = Tally { cpu_ns: 100, ..Tally::default() };
        for &latency in latencies {
            tally.measured.unique += 1;
            enter(&mut tally.measured.delivery, latency);
        }
        Report { interval, thread, tally }
    }

    #[test]
    fn an_interval_is_closed_when_all_threads_have_reported_it() {
        let mut collector = Collector::new(2, 1_000);
        collector.take(&report(4, 0, &[10]));
        collector.take(&report(5, 0, &[30]));
        assert!(collector.close(false).is_none());
        collector.take(&report(4, 1, &[20, 25]));
        let (interval, row) = collector.close(false).unwrap();
        assert_eq!((interval, row.t_ns, row.deliveries, row.max_ns), (4, 4_000, 3, Some(25)));
        assert_eq!(row.client_cpu, Some(0.1));
        assert!(collector.close(false).is_none());
        assert_eq!(collector.close(true).unwrap().1.deliveries, 1);
        assert!(collector.close(true).is_none());
        assert_eq!(collector.total.measured.unique, 4);
    }
}
