//! Per event: who was due, who got it, and when.

use hdrhistogram::Histogram;

use super::super::phases::Evidence;
use crate::client::cells::Cells;
use crate::client::tally::enter;
use crate::publisher::Fate;
use crate::report::model::event::{EventSample, EventSampler};
use crate::report::model::metric::new_histogram;
use crate::report::model::offence::{self, Kind, Offence};

/// All measured events together.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) cells: Cells,
    /// Events that the server accepted, or that somebody received.
    pub(super) events: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
    /// Of these, lost without a word of the server.
    pub(super) lost_silent: u64,
    /// Events that not everybody due received.
    pub(super) incomplete: u64,
    pub(super) refused_but_delivered: u64,
    pub(super) first: Histogram<u64>,
    pub(super) half: Histogram<u64>,
    pub(super) last: Histogram<u64>,
    pub(super) spread: Histogram<u64>,
    pub(super) sampler: EventSampler,
}

/// Puts together what the threads have of each event.
pub(super) fn summarize(evidence: &mut Evidence) -> Summary {
    let measured = evidence.course.measured();
    let mut cells = Cells::new(measured.len());
    let (mut due, mut told) = (vec![0u32; measured.len()], vec![0u32; measured.len()]);
    for outcome in evidence.outcomes.iter().filter(|outcome| !outcome.due.is_empty()) {
        cells.merge(&outcome.cells);
        for (sum, part) in due.iter_mut().zip(&outcome.due[measured.clone()]) {
            *sum += part;
        }
        for (sum, part) in told.iter_mut().zip(outcome.told.get(measured.clone()).unwrap_or(&[])) {
            *sum += part;
        }
    }
    let mut summary = Summary {
        cells,
        events: 0,
        received: 0,
        lost: 0,
        lost_silent: 0,
        incomplete: 0,
        refused_but_delivered: 0,
        first: new_histogram(),
        half: new_histogram(),
        last: new_histogram(),
        spread: new_histogram(),
        sampler: EventSampler::new(u64::from(evidence.course.run)),
    };
    for (event, (&due, &told)) in due.iter().zip(&told).enumerate() {
        let fate = match &evidence.published {
            Some((_, fates)) => fates.of(measured.start + event),
            None => Fate::Planned,
        };
        let row = summary.event(event, [due, told], fate, evidence.course.horizon_ns);
        if let Some(row) = row {
            let at_ns = evidence.course.schedule.events()[measured.start + event].at_ns;
            let began_ns = evidence.course.began_ns;
            let start_ns = evidence.course.start_ns().unwrap_or(began_ns);
            summary.sampler.push(EventSample { at_ns: start_ns - began_ns + at_ns, ..row });
        }
    }
    summary
}

impl Summary {
    /// Enters an event that so many were due for, and so many were told to miss; its row, but for
    /// the time.
    fn event(
        &mut self,
        event: usize,
        [due, told]: [u32; 2],
        fate: Fate,
        horizon_ns: u64,
    ) -> Option<EventSample> {
        let cell = self.cells.all()[event];
        let due = match fate {
            Fate::Accepted | Fate::Sent => due.max(cell.count),
            // Nobody knows whether the server took it, unless somebody received it.
            Fate::Failed if cell.count > 0 => due.max(cell.count),
            Fate::Failed => 0,
            // Nobody was to receive it.
            Fate::Refused | Fate::Planned => cell.count,
        };
        self.refused_but_delivered += u64::from(fate == Fate::Refused && cell.count > 0);
        if due == 0 {
            return None;
        }
        let lost = due - cell.count;
        self.events += 1;
        self.received += u64::from(cell.count);
        self.lost += u64::from(lost);
        self.lost_silent += u64::from(lost.saturating_sub(told));
        self.incomplete += u64::from(lost > 0);
        let half_ns = self.cells.half_ns(event, due.div_ceil(2));
        if cell.count > 0 {
            enter(&mut self.first, cell.first_ns);
            enter(&mut self.spread, cell.last_ns - cell.first_ns);
        }
        if let Some(half_ns) = half_ns {
            enter(&mut self.half, half_ns);
        }
        // An event that somebody never got has not reached its last subscriber in time.
        enter(&mut self.last, if lost > 0 { horizon_ns } else { cell.last_ns });
        let some = |ns: u64| (cell.count > 0).then_some(ns);
        Some(EventSample {
            at_ns: 0,
            first_ns: some(cell.first_ns),
            half_ns,
            last_ns: some(cell.last_ns).filter(|_| lost == 0),
            spread_ns: some(cell.last_ns - cell.first_ns),
            received: u64::from(cell.count),
            expected: Some(u64::from(due)),
        })
    }
}

/// The faults of all threads, those lost left out that nobody was due for after all: what the
/// server refused, or perhaps never had.
pub(super) fn offences(evidence: &Evidence, summary: &Summary) -> Vec<Offence> {
    let all = evidence.outcomes.iter().flat_map(|outcome| outcome.offences.iter().copied());
    let Some((_, fates)) = &evidence.published else { return offence::first(all.collect()) };
    let (schedule, measured) = (&evidence.course.schedule, evidence.course.measured());
    let was_due = |stream: u32, sequence: u64| {
        let number = schedule.number(stream, sequence as u32).map(|number| number as usize);
        number.is_some_and(|number| match fates.of(number) {
            Fate::Accepted | Fate::Sent => true,
            Fate::Failed => summary.cells.all()[number - measured.start].count > 0,
            Fate::Refused | Fate::Planned => false,
        })
    };
    let judged = all.filter_map(|one| {
        let from = one.expected.filter(|_| one.kind == Kind::Lost);
        let Some(from) = from else { return Some(one) };
        let due = (from..from + one.count).filter(|&sequence| was_due(one.stream, sequence));
        let count = due.count() as u64;
        (count > 0).then_some(Offence { count, ..one })
    });
    offence::first(judged.collect())
}
