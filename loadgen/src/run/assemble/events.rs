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
    /// Deliveries after the horizon.
    pub(super) late: u64,
    /// Deliveries that were still to be read when the run ended.
    pub(super) unread: u64,
    pub(super) lost: u64,
    /// Of these, lost without a word of the server.
    pub(super) lost_silent: u64,
    /// Events that not everybody due received within the horizon.
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
    let mut fates = vec![Reached::default(); measured.len()];
    for outcome in evidence.outcomes.iter().filter(|outcome| !outcome.due.is_empty()) {
        cells.merge(&outcome.cells);
        let mut add = |parts: Option<&[u32]>, of: fn(&mut Reached) -> &mut u32| {
            for (reached, part) in fates.iter_mut().zip(parts.unwrap_or_default()) {
                *of(reached) += part;
            }
        };
        add(outcome.due.get(measured.clone()), |reached| &mut reached.due);
        add(outcome.told.get(measured.clone()), |reached| &mut reached.told);
        add(outcome.unread.get(measured.clone()), |reached| &mut reached.unread);
        add(Some(&outcome.late), |reached| &mut reached.late);
    }
    let mut summary = Summary::of(cells, u64::from(evidence.course.run));
    for (event, reached) in fates.into_iter().enumerate() {
        let fate = match &evidence.published {
            Some((_, fates)) => fates.of(measured.start + event),
            None => Fate::Planned,
        };
        let row = summary.event(event, reached, fate, evidence.course.horizon_ns);
        if let Some(row) = row {
            let at_ns = evidence.course.schedule.events()[measured.start + event].at_ns;
            let began_ns = evidence.course.began_ns;
            let start_ns = evidence.course.start_ns().unwrap_or(began_ns);
            summary.sampler.push(EventSample { at_ns: start_ns - began_ns + at_ns, ..row });
        }
    }
    summary
}

/// Subscribers of one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reached {
    /// Those that were to receive it.
    due: u32,
    /// Those that received it after the horizon.
    late: u32,
    /// Those that left it unread, if it came.
    unread: u32,
    /// Those that were told that it is missing.
    told: u32,
}

impl Summary {
    /// Nothing but what the subscribers received.
    fn of(cells: Cells, seed: u64) -> Summary {
        Summary {
            cells,
            events: 0,
            received: 0,
            late: 0,
            unread: 0,
            lost: 0,
            lost_silent: 0,
            incomplete: 0,
            refused_but_delivered: 0,
            first: new_histogram(),
            half: new_histogram(),
            last: new_histogram(),
            spread: new_histogram(),
            sampler: EventSampler::new(seed),
        }
    }

    /// Deliveries that were due and did not come within the horizon.
    pub(super) fn missing(&self) -> u64 {
        self.late + self.unread + self.lost
    }

    /// Enters an event; its row, but for the time.
    fn event(
        &mut self,
        event: usize,
        reached: Reached,
        fate: Fate,
        horizon_ns: u64,
    ) -> Option<EventSample> {
        let cell = self.cells.all()[event];
        let came = cell.count + reached.late;
        let due = match fate {
            Fate::Accepted => reached.due.max(came),
            // Without an answer nobody knows whether the server took it, unless somebody
            // received it.
            Fate::Sent | Fate::Failed if came > 0 => reached.due.max(came),
            Fate::Sent | Fate::Failed => 0,
            // Nobody was to receive it.
            Fate::Refused | Fate::Planned => came,
        };
        self.refused_but_delivered += u64::from(fate == Fate::Refused && came > 0);
        if due == 0 {
            return None;
        }
        let missing = due - cell.count;
        let unread = reached.unread.min(due - came);
        let lost = due - came - unread;
        self.events += 1;
        self.received += u64::from(cell.count);
        self.late += u64::from(reached.late);
        self.unread += u64::from(unread);
        self.lost += u64::from(lost);
        self.lost_silent += u64::from(lost.saturating_sub(reached.told));
        self.incomplete += u64::from(missing > 0);
        let half_ns = self.cells.half_ns(event, due.div_ceil(2));
        if cell.count > 0 {
            enter(&mut self.first, cell.first_ns);
            enter(&mut self.spread, cell.last_ns - cell.first_ns);
        }
        if let Some(half_ns) = half_ns {
            enter(&mut self.half, half_ns);
        }
        // An event that somebody never got has not reached its last subscriber in time.
        enter(&mut self.last, if missing > 0 { horizon_ns } else { cell.last_ns });
        let some = |ns: u64| (cell.count > 0).then_some(ns);
        Some(EventSample {
            at_ns: 0,
            first_ns: some(cell.first_ns),
            half_ns,
            last_ns: some(cell.last_ns).filter(|_| missing == 0),
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
            Fate::Accepted => true,
            Fate::Sent | Fate::Failed => summary.cells.all()[number - measured.start].count > 0,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten subscribers were due, and so many received the event in time.
    fn entered(in_time: u32, reached: Reached, fate: Fate) -> (Summary, Option<EventSample>) {
        let mut cells = Cells::new(1);
        (0..in_time).for_each(|subscriber| cells.enter(0, 5_000, subscriber));
        let mut summary = Summary::of(cells, 1);
        let row = summary.event(0, Reached { due: 10, ..reached }, fate, 1_000_000);
        (summary, row)
    }

    fn counts(summary: &Summary) -> [u64; 6] {
        let Summary { received, late, unread, lost, lost_silent, incomplete, .. } = *summary;
        [received, late, unread, lost, lost_silent, incomplete]
    }

    #[test]
    fn what_was_due_is_received_late_unread_or_lost() {
        let reached = Reached { late: 2, unread: 3, told: 1, ..Reached::default() };
        let (summary, row) = entered(1, reached, Fate::Accepted);
        assert_eq!(counts(&summary), [1, 2, 3, 4, 3, 1]);
        assert_eq!(summary.missing(), 9);
        assert_eq!(row.unwrap().last_ns, None, "it has not reached everybody in time");
        assert!(summary.last.max() >= 1_000_000, "so its last arrival is at the horizon");
        let (summary, _) = entered(10, Reached::default(), Fate::Accepted);
        assert_eq!(counts(&summary), [10, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_event_that_the_server_may_not_have_taken_is_due_only_if_it_came() {
        let nobody = Reached { unread: 4, ..Reached::default() };
        assert_eq!(counts(&entered(0, nobody, Fate::Failed).0), [0; 6]);
        assert_eq!(counts(&entered(0, nobody, Fate::Sent).0), [0; 6], "it may lie in a socket");
        assert_eq!(counts(&entered(0, nobody, Fate::Refused).0), [0; 6]);
        let late = Reached { late: 1, ..Reached::default() };
        assert_eq!(counts(&entered(0, late, Fate::Failed).0), [0, 1, 0, 9, 9, 1]);
        let refused = entered(3, Reached::default(), Fate::Refused).0;
        assert_eq!((counts(&refused), refused.refused_but_delivered), ([3, 0, 0, 0, 0, 0], 1));
    }
}
