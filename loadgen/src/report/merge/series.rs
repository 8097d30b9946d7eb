//! Merging what lies on the axis of time: rows, ramps, phases, marks and events.
//!
//! Every offset is moved to the common start first. Side by side, rows of the same time add up;
//! repeats follow each other.

use std::collections::BTreeMap;

use super::Order;
use crate::report::model::event::{EventSampler, EventSamples};
use crate::report::model::metric::{self, HistogramBlob};
use crate::report::model::offence::{self, Offence};
use crate::report::model::plan::Phase;
use crate::report::model::series::{Interval, RampPoint};
use crate::report::model::{Mark, PhaseSpan, Run};

/// Points of a merged ramp at most.
const RAMP_POINTS_MAX: usize = 400;

fn shift(run: &Run, start: u64) -> u64 {
    run.started_unix_ns - start
}

/// The rows of all runs.
///
/// # Errors
/// A histogram that cannot be decoded.
pub(super) fn rows(runs: &[Run], start: u64, order: Order) -> Result<Vec<Interval>, String> {
    let moved = runs.iter().flat_map(|run| {
        let by = shift(run, start);
        run.series.iter().map(move |row| Interval { t_ns: row.t_ns + by, ..row.clone() })
    });
    let mut rows: Vec<Interval> = moved.collect();
    rows.sort_by_key(|row| row.t_ns);
    if order == Order::Repeats {
        return Ok(rows);
    }
    // Rows of different generators never begin at the same nanosecond; they belong together
    // when they begin within half an interval of each other.
    let length = rows.iter().map(|row| row.length_ns).max().unwrap_or(1).max(1);
    let mut slots: BTreeMap<(u64, Phase), Vec<Interval>> = BTreeMap::new();
    for row in rows {
        slots.entry(((row.t_ns + length / 2) / length, row.phase)).or_default().push(row);
    }
    slots.into_values().map(|rows| add(&rows)).collect()
}

pub(super) fn add(rows: &[Interval]) -> Result<Interval, String> {
    let sum = |read: fn(&Interval) -> u64| rows.iter().map(read).sum();
    let known = |read: fn(&Interval) -> Option<u64>| rows.iter().map(read).sum();
    let most = |read: fn(&Interval) -> Option<f64>| rows.iter().filter_map(read).reduce(f64::max);
    let mut row = Interval {
        t_ns: rows[0].t_ns,
        length_ns: rows.iter().map(|row| row.length_ns).max().unwrap_or(0),
        phase: rows[0].phase,
        up: sum(|row| row.up),
        connect_errors: sum(|row| row.connect_errors),
        events: sum(|row| row.events),
        deliveries: sum(|row| row.deliveries),
        wire_bytes: known(|row| row.wire_bytes),
        lost: known(|row| row.lost),
        duplicate: known(|row| row.duplicate),
        out_of_order: known(|row| row.out_of_order),
        client_cpu: most(|row| row.client_cpu),
        server_cpu: most(|row| row.server_cpu),
        server_cpu_waited: most(|row| row.server_cpu_waited),
        server_pss_bytes: rows.iter().filter_map(|row| row.server_pss_bytes).max(),
        server_kernel_bytes: rows.iter().filter_map(|row| row.server_kernel_bytes).max(),
        ..Interval::default()
    };
    let mut sums: BTreeMap<&str, hdrhistogram::Histogram<u64>> = BTreeMap::new();
    for (name, blob) in rows.iter().flat_map(|row| &row.histograms) {
        *sums.entry(name).or_insert_with(metric::new_histogram) += &HistogramBlob::decode(blob)?;
    }
    for (name, histogram) in &sums {
        row.record(name, histogram);
    }
    Ok(row)
}

/// The phases: side by side, from the first begin to the last end; of repeats, all of them.
pub(super) fn timeline(runs: &[Run], start: u64, order: Order) -> Vec<PhaseSpan> {
    let mut spans: Vec<PhaseSpan> = runs
        .iter()
        .flat_map(|run| {
            let by = shift(run, start);
            run.timeline
                .iter()
                .map(move |span| PhaseSpan { start_ns: span.start_ns + by, ..span.clone() })
        })
        .collect();
    spans.sort_by_key(|span| (span.start_ns, span.phase));
    if order == Order::Repeats {
        return spans;
    }
    let mut hull: BTreeMap<Phase, (u64, u64)> = BTreeMap::new();
    for span in spans {
        let end = span.start_ns + span.length_ns;
        let entry = hull.entry(span.phase).or_insert((span.start_ns, end));
        *entry = (entry.0.min(span.start_ns), entry.1.max(end));
    }
    hull.into_iter()
        .map(|(phase, (start_ns, end))| PhaseSpan { phase, start_ns, length_ns: end - start_ns })
        .collect()
}

/// The marks of all runs, each once.
pub(super) fn marks(runs: &[Run], start: u64) -> Vec<Mark> {
    let mut marks: Vec<Mark> = runs
        .iter()
        .flat_map(|run| {
            let by = shift(run, start);
            run.marks.iter().map(move |mark| Mark { t_ns: mark.t_ns + by, ..mark.clone() })
        })
        .collect();
    marks.sort_by_key(|mark| mark.t_ns);
    marks.dedup();
    marks
}

/// The first faults of all runs. A subscriber's number is that of its own run.
pub(super) fn offences(runs: &[Run], start: u64) -> Vec<Offence> {
    let moved = runs.iter().flat_map(|run| {
        let by = shift(run, start);
        let listed = run.counts.offences.iter();
        listed.map(move |one| Offence { at_ns: one.at_ns + by, ..*one })
    });
    offence::first(moved.collect())
}

/// The events of all runs, sampled down again. Runs that hold all of their events and runs that
/// hold a sample weigh by rows, which is exact as long as none was sampled.
pub(super) fn events(runs: &[Run], start: u64) -> Option<EventSamples> {
    let mut sampler = EventSampler::new(runs[0].seed);
    let mut total = 0;
    for run in runs {
        let Some(events) = &run.events else { continue };
        total += events.total;
        for mut row in events.rows() {
            row.at_ns += shift(run, start);
            sampler.push(row);
        }
    }
    let mut events = sampler.finish()?;
    events.total = total;
    Some(events)
}

/// The ramp: side by side the sum of all, of repeats the first.
pub(super) fn ramp(runs: &[Run], start: u64, order: Order) -> Vec<RampPoint> {
    if order == Order::Repeats {
        return runs[0].ramp.clone();
    }
    let moved: Vec<Vec<RampPoint>> = runs
        .iter()
        .map(|run| {
            let by = shift(run, start);
            run.ramp
                .iter()
                .map(|point| RampPoint { t_ns: point.t_ns + by, ..point.clone() })
                .collect()
        })
        .collect();
    let mut times: Vec<u64> = moved.iter().flatten().map(|point| point.t_ns).collect();
    times.sort_unstable();
    times.dedup();
    let step = times.len().div_ceil(RAMP_POINTS_MAX).max(1);
    let last = times.len().saturating_sub(1);
    times
        .iter()
        .enumerate()
        .filter(|(i, _)| i % step == 0 || *i == last)
        .map(|(_, &t_ns)| at(&moved, t_ns))
        .collect()
}

/// The sum of all ramps at a time; a ramp holds its value between its points.
fn at(ramps: &[Vec<RampPoint>], t_ns: u64) -> RampPoint {
    let mut sum = RampPoint { t_ns, planned: Some(0), up: 0, failed: 0 };
    for ramp in ramps {
        let after = ramp.partition_point(|point| point.t_ns <= t_ns);
        let Some(point) = after.checked_sub(1).map(|i| &ramp[i]) else {
            continue;
        };
        sum.planned = sum.planned.zip(point.planned).map(|(a, b)| a + b);
        sum.up += point.up;
        sum.failed += point.failed;
    }
    sum
}
