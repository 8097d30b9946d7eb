//! The course of a run over time: a row for each interval, the ramp of connections.

use super::super::phases::Evidence;
use super::events::Summary;
use crate::client::tally::{Bank, Tally, add, enter};
use crate::publisher::Fate;
use crate::report::model::plan::Phase;
use crate::report::model::series::{Interval, RampPoint};
use crate::report::model::{PhaseSpan, Run, metric};

/// Points of the ramp at most: as fine as a picture can show.
const RAMP_POINTS_MAX: usize = 1_000;

/// One row for each interval in which anything was counted.
pub(super) fn rows(evidence: &Evidence, summary: &Summary) -> Vec<Interval> {
    let length_ns = evidence.course.interval_ns;
    let ended_ns = evidence.ended_ns - evidence.course.began_ns;
    let mut rows: Vec<Interval> = evidence
        .tallies
        .iter()
        .map(|(&interval, tally)| {
            let t_ns = interval * length_ns;
            row(evidence, interval, t_ns, length_ns.min(ended_ns.saturating_sub(t_ns)), tally)
        })
        .collect();
    add_events(&mut rows, evidence, summary);
    rows
}

fn row(evidence: &Evidence, interval: u64, t_ns: u64, length_ns: u64, tally: &Tally) -> Interval {
    let banks = [&tally.measured, &tally.other];
    let sum = |of: fn(&Bank) -> u64| banks.iter().map(|bank| of(bank)).sum();
    let busiest = evidence
        .cpu_ns
        .range((interval, 0)..(interval + 1, 0))
        .map(|(_, &cpu_ns)| cpu_ns)
        .max()
        .unwrap_or(0);
    let second = evidence.observer.seconds.get(&interval).copied().unwrap_or_default();
    let mut row = Interval {
        t_ns,
        length_ns,
        phase: phase_at(evidence, t_ns + length_ns / 2),
        up: evidence.up_by_interval.get(&interval).copied().unwrap_or(0),
        connect_errors: tally.connects.errors.total(),
        deliveries: sum(|bank| bank.unique),
        wire_bytes: Some(tally.wire_bytes),
        duplicate: Some(sum(|bank| bank.duplicate)),
        out_of_order: Some(sum(|bank| bank.out_of_order)),
        client_cpu: (length_ns > 0).then(|| busiest as f64 / length_ns as f64),
        server_cpu: second.cores,
        server_pss_bytes: second.pss_bytes,
        server_kernel_bytes: second.kernel_bytes,
        ..Interval::default()
    };
    let (mut delivery, mut sent) = (metric::new_histogram(), metric::new_histogram());
    for bank in banks {
        add(&mut delivery, &bank.delivery);
        add(&mut sent, &bank.sent);
    }
    row.record(metric::DELIVERY, &delivery);
    row.record(metric::DELIVERY_SENT, &sent);
    row
}

fn phase_at(evidence: &Evidence, t_ns: u64) -> Phase {
    let spans: &[PhaseSpan] = &evidence.timeline;
    let holds = |span: &&PhaseSpan| (span.start_ns..span.start_ns + span.length_ns).contains(&t_ns);
    spans.iter().find(holds).map_or(Phase::Drain, |span| span.phase)
}

/// Counts published events into the rows of their intended times, with their losses and their
/// times to the last subscriber.
fn add_events(rows: &mut [Interval], evidence: &Evidence, summary: &Summary) {
    let Some((_, fates)) = &evidence.published else { return };
    let Some(start_ns) = evidence.course.start_ns() else { return };
    let offset_ns = start_ns - evidence.course.began_ns;
    let measured = evidence.course.measured();
    let mut lasts = std::collections::BTreeMap::new();
    for (number, event) in evidence.course.schedule.events().iter().enumerate() {
        if fates.of(number) == Fate::Planned {
            continue;
        }
        let interval = (offset_ns + event.at_ns) / evidence.course.interval_ns;
        let place = rows.partition_point(|row| row.t_ns / evidence.course.interval_ns < interval);
        if let Some(row) = rows.get_mut(place) {
            row.events += 1;
        }
        if measured.contains(&number) {
            let cell = summary.cells.all()[number - measured.start];
            if cell.count > 0 {
                let last = lasts.entry(place).or_insert_with(metric::new_histogram);
                enter(last, cell.last_ns);
            }
        }
    }
    for (place, last) in lasts {
        if let Some(row) = rows.get_mut(place) {
            row.record(metric::LAST, &last);
        }
    }
}

/// Busy share of the busiest reading thread over the measured window.
pub(super) fn busiest_thread(evidence: &Evidence, run: &Run) -> Option<f64> {
    let span = run.span(Phase::Measure)?;
    let interval_ns = evidence.course.interval_ns;
    // Whole intervals within the window; a window shorter than that takes the one it lies in.
    let from = span.start_ns.div_ceil(interval_ns);
    let to = ((span.start_ns + span.length_ns) / interval_ns).max(from + 1);
    let shares = (0..evidence.thread_count).map(|thread| {
        let cpu_ns: u64 =
            (from..to).filter_map(|interval| evidence.cpu_ns.get(&(interval, thread))).sum();
        cpu_ns as f64 / ((to - from) * interval_ns) as f64
    });
    shares.max_by(f64::total_cmp)
}

/// A ramp of bounded length, first and last point kept.
pub(super) fn thinned(ramp: Vec<RampPoint>) -> Vec<RampPoint> {
    let stride = ramp.len().div_ceil(RAMP_POINTS_MAX).max(1);
    let last = ramp.len().saturating_sub(1);
    let keep = |&(place, _): &(usize, RampPoint)| place % stride == 0 || place == last;
    ramp.into_iter().enumerate().filter(keep).map(|(_, point)| point).collect()
}
