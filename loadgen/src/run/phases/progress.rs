//! What a run shows while it lasts: rows as intervals end, and the state right now.

use super::super::breach::SoFar;
use super::Stage;
use crate::agent::protocol::Say;
use crate::client::tally::Bank;
use crate::clock;
use crate::publisher::Fate;
use crate::report::model::metric;
use crate::report::model::plan::Phase;
use crate::report::model::series::Interval;
use crate::report::snapshot::Snapshot;

impl Stage<'_> {
    /// Takes the threads' reports, and closes the intervals that are complete.
    pub(super) fn collect(&mut self) {
        for report in self.fleet.reports.try_iter() {
            self.collector.take(&report);
        }
        while let Some((interval, row)) = self.collector.close(false) {
            let row = self.complete(interval, row);
            self.show.row(&row);
            if let Some(cue) = self.cue {
                cue.say(Say::Row(Box::new(row.clone())));
            }
            self.rows.push(row);
            let snapshot = self.snapshot();
            self.show.snapshot(snapshot);
            if self.course.phase() == Phase::Measure {
                let lost = if self.breach.asks_for_loss() { self.lost_at_least() } else { 0 };
                self.breach.look(&SoFar { total: &self.collector.total, lost });
            }
        }
    }

    /// Deliveries that are lost for certain: those missing that no event explains of which it is not
    /// known that the server took it.
    fn lost_at_least(&self) -> u64 {
        let missing = self.fleet.sum(|gauges| &gauges.missing);
        let Some(publisher) = self.publisher.as_ref().filter(|_| missing > 0) else { return 0 };
        let measured = self.course.measured();
        let events = measured.clone().zip(&self.course.schedule.events()[measured]);
        // What was never sent has left no hole yet.
        let refused = events.filter(|(number, _)| {
            !matches!(publisher.fate(*number), Fate::Accepted | Fate::Planned)
        });
        let excused = refused
            .map(|(_, event)| self.readers[self.course.schedule.topic(event.stream) as usize]);
        missing.saturating_sub(excused.sum())
    }

    /// Fills in what the reading threads do not know of an interval.
    fn complete(&mut self, interval: u64, row: Interval) -> Interval {
        let (phase, up) = self.up_by_interval.remove(&interval).unwrap_or((self.course.phase(), 0));
        let second = self.observer.seconds.remove(&interval).unwrap_or_default();
        let offset_ns = self.course.start_ns().map_or(0, |start| start - self.course.began_ns);
        let events = self.course.schedule.events();
        let due = |t_ns: u64| events.partition_point(|event| offset_ns + event.at_ns < t_ns);
        let count = match self.course.start_ns() {
            Some(_) => events[due(row.t_ns)..due(row.t_ns + row.length_ns)]
                .iter()
                .filter(|event| self.course.is_own(event.stream))
                .count(),
            None => 0,
        };
        Interval {
            phase,
            up,
            events: count as u64,
            server_cpu: second.cores,
            server_cpu_waited: second.cores_waited,
            server_pss_bytes: second.pss_bytes,
            server_kernel_bytes: second.kernel_bytes,
            ..row
        }
    }

    fn snapshot(&self) -> Snapshot {
        let now_ns = clock::now_ns();
        let total = &self.collector.total;
        let measured = self.course.phase() >= Phase::Measure;
        let bank = if measured { &total.measured } else { &total.other };
        let sum = |of: fn(&Bank) -> u64| Some(of(&total.measured) + of(&total.other));
        let metrics = [
            (metric::DELIVERY, &bank.delivery),
            (metric::DELIVERY_RELATIVE, &bank.relative),
            (metric::DELIVERY_SENT, &bank.sent),
            (metric::CLIENT_HOLD, &bank.hold),
            (metric::CONNECT_READY, &total.connects.ready),
        ];
        let filled = metrics.into_iter().filter(|(_, histogram)| !histogram.is_empty());
        let start_ns = self.course.start_ns();
        let outline_ns = start_ns.map(|start| now_ns.saturating_sub(start));
        Snapshot {
            label: self.args.name.clone().unwrap_or_else(|| self.args.urls.join(" ")),
            phase: self.course.phase(),
            elapsed_ns: now_ns - self.course.began_ns,
            phase_elapsed_ns: now_ns.saturating_sub(self.since_ns),
            phase_length_ns: self.phase_length_ns(),
            asked: self.args.subscribers.0,
            up: self.fleet.sum(|gauges| &gauges.up),
            connecting: self.fleet.sum(|gauges| &gauges.connecting),
            connect_errors: self.fleet.sum(|gauges| &gauges.failed),
            disconnects: self.fleet.sum(|gauges| &gauges.dropped),
            events: self.rows.all().iter().map(|row| row.events).sum(),
            events_planned_rate: outline_ns
                .and_then(|at_ns| self.outline.curve.as_ref().map(|curve| curve.rate_at(at_ns))),
            deliveries: self.fleet.sum(|gauges| &gauges.unique),
            wire_bytes: total.wire_bytes,
            lost: None,
            duplicate: sum(|bank| bank.duplicate),
            out_of_order: sum(|bank| bank.out_of_order),
            client_cpu: self.rows.all().last().and_then(|row| row.client_cpu),
            server_cpu: self.rows.all().last().and_then(|row| row.server_cpu),
            server_cpu_waited: self.rows.all().last().and_then(|row| row.server_cpu_waited),
            server_pss_bytes: self.rows.all().last().and_then(|row| row.server_pss_bytes),
            metrics: filled.map(|(name, histogram)| (name, histogram.clone())).collect(),
            recent: self.collector.recent.clone(),
        }
    }

    fn phase_length_ns(&self) -> Option<u64> {
        match self.course.phase() {
            Phase::Connect => None,
            Phase::Settle => Some(clock::ns(self.args.settle.0)),
            Phase::Warmup => Some(clock::ns(self.args.warmup.0)),
            Phase::Measure => Some(clock::ns(self.args.window())),
            Phase::Drain => Some(clock::ns(self.args.horizon.0)),
        }
    }
}
