//! The course of a run over time: what is only known at its end, and the ramp of connections.

use super::super::phases::Evidence;
use super::events::Summary;
use crate::client::tally::enter;
use crate::report::model::plan::Phase;
use crate::report::model::series::{Interval, RampPoint};
use crate::report::model::{Run, metric};

/// Points of the ramp at most: as fine as a picture can show.
const RAMP_POINTS_MAX: usize = 1_000;

/// The rows, with the times to the last subscriber by intended time.
pub(super) fn rows(evidence: &mut Evidence, summary: &Summary) -> Vec<Interval> {
    let mut rows = std::mem::take(&mut evidence.rows);
    if let Some(row) = rows.last_mut() {
        let ended_ns = evidence.ended_ns - evidence.course.began_ns;
        row.length_ns = ended_ns.saturating_sub(row.t_ns).min(row.length_ns);
    }
    let Some(start_ns) = evidence.course.start_ns() else { return rows };
    let offset_ns = start_ns - evidence.course.began_ns;
    let measured = evidence.course.measured();
    let events = &evidence.course.schedule.events()[measured];
    let mut cells = events.iter().zip(summary.cells.all()).peekable();
    for row in &mut rows {
        let mut last = metric::new_histogram();
        while let Some((event, cell)) =
            cells.next_if(|(event, _)| offset_ns + event.at_ns < row.t_ns + row.length_ns)
        {
            if cell.count > 0 && evidence.course.is_own(event.stream) {
                enter(&mut last, cell.last_ns);
            }
        }
        row.record(metric::LAST, &last);
    }
    rows
}

/// Of the reading thread that would have used a processor most, the share of the measured window
/// in which it did, and the share in which it waited for one.
pub(super) fn busiest_thread(evidence: &Evidence, run: &Run) -> Option<[f64; 2]> {
    let span = run.span(Phase::Measure)?;
    let interval_ns = evidence.course.interval_ns;
    // Whole intervals within the window; a window shorter than that takes the one it lies in.
    let from = span.start_ns.div_ceil(interval_ns);
    let to = ((span.start_ns + span.length_ns) / interval_ns).max(from + 1);
    let shares = (0..evidence.thread_count).map(|thread| {
        let demands =
            (from..to).filter_map(|interval| evidence.collector.demand.get(&(interval, thread)));
        let sums = demands.fold([0, 0], |[cpu_ns, waited_ns], demand| {
            [cpu_ns + demand.cpu_ns, waited_ns + demand.waited_ns]
        });
        sums.map(|ns| ns as f64 / ((to - from) * interval_ns) as f64)
    });
    shares.max_by(|a, b| f64::total_cmp(&(a[0] + a[1]), &(b[0] + b[1])))
}

/// A ramp of bounded length, first and last point kept.
pub(super) fn thinned(ramp: Vec<RampPoint>) -> Vec<RampPoint> {
    let stride = ramp.len().div_ceil(RAMP_POINTS_MAX).max(1);
    let last = ramp.len().saturating_sub(1);
    let keep = |&(place, _): &(usize, RampPoint)| place % stride == 0 || place == last;
    ramp.into_iter().enumerate().filter(keep).map(|(_, point)| point).collect()
}
