//! Per event: who was due, who got it, and when.
//!
//! An event that another machine published is counted as any other, and its spread recorded; it is
//! neither an event of ours nor timed.

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
    /// Events of ours that the server accepted, or that somebody received.
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
    /// Which of the measured events these are.
    pub(super) incomplete_events: Vec<bool>,
    /// Deliveries of events of ours that were due and did not come within the horizon.
    pub(super) own_missing: u64,
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
        let planned = evidence.course.schedule.events()[measured.start + event];
        let account = Account {
            fate: match &evidence.published {
                Some((_, fates)) => fates.of(measured.start + event),
                None => Fate::Planned,
            },
            own: evidence.course.is_own(planned.stream),
            elsewhere: evidence.elsewhere.get(event) == Some(&true),
        };
        let row = summary.event(event, reached, account, evidence.course.horizon_ns);
        if let Some(row) = row {
            let at_ns = planned.at_ns;
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

/// What is known of an event beside who received it here.
#[derive(Debug, Clone, Copy)]
struct Account {
    fate: Fate,
    /// Whether this machine published it.
    own: bool,
    /// Whether somebody received it on another machine.
    elsewhere: bool,
}

impl Summary {
    /// Nothing but what the subscribers received.
    fn of(cells: Cells, seed: u64) -> Summary {
        Summary {
            incomplete_events: vec![false; cells.all().len()],
            own_missing: 0,
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
        account: Account,
        horizon_ns: u64,
    ) -> Option<EventSample> {
        let Account { fate, own, elsewhere } = account;
        let cell = self.cells.all()[event];
        let came = cell.count + reached.late;
        let due = match fate {
            Fate::Accepted => reached.due.max(came),
            // Without an answer nobody knows whether the server took it, unless somebody
            // received it.
            Fate::Sent | Fate::Failed if came > 0 || elsewhere => reached.due.max(came),
            Fate::Sent | Fate::Failed => 0,
            // Nobody was to receive it.
            Fate::Refused | Fate::Planned => came,
        };
        let delivered = came > 0 || elsewhere;
        self.refused_but_delivered += u64::from(own && fate == Fate::Refused && delivered);
        if due == 0 {
            return None;
        }
        let missing = due - cell.count;
        let unread = reached.unread.min(due - came);
        let lost = due - came - unread;
        self.received += u64::from(cell.count);
        self.late += u64::from(reached.late);
        self.unread += u64::from(unread);
        self.lost += u64::from(lost);
        self.lost_silent += u64::from(lost.saturating_sub(reached.told));
        self.incomplete += u64::from(missing > 0);
        self.incomplete_events[event] = missing > 0;
        if cell.count > 0 {
            enter(&mut self.spread, cell.last_ns - cell.first_ns);
        }
        if !own {
            return None;
        }
        self.events += 1;
        self.own_missing += u64::from(missing);
        let half_ns = self.cells.half_ns(event, due.div_ceil(2));
        if cell.count > 0 {
            enter(&mut self.first, cell.first_ns);
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
/// server refused, or perhaps never had. Subscribers are numbered from `first` on.
pub(super) fn offences(evidence: &Evidence, summary: &Summary, first: u32) -> Vec<Offence> {
    let all = evidence.outcomes.iter().flat_map(|outcome| outcome.offences.iter().copied());
    let all = all.map(|one| Offence { subscriber: one.subscriber + u64::from(first), ..one });
    let Some((_, fates)) = &evidence.published else { return offence::first(all.collect()) };
    let (schedule, measured) = (&evidence.course.schedule, evidence.course.measured());
    let was_due = |stream: u32, sequence: u64| {
        let number = schedule.number(stream, sequence as u32).map(|number| number as usize);
        number.is_some_and(|number| match fates.of(number) {
            Fate::Accepted => true,
            Fate::Sent | Fate::Failed => {
                let place = number - measured.start;
                let elsewhere = evidence.elsewhere.get(place) == Some(&true);
                summary.cells.all()[place].count > 0 || elsewhere
            }
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
        let account = Account { fate, own: true, elsewhere: false };
        let row = summary.event(0, Reached { due: 10, ..reached }, account, 1_000_000);
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

    #[test]
    fn what_another_machine_received_is_due_here_as_well() {
        let reached = Reached { due: 10, ..Reached::default() };
        for (fate, elsewhere, lost) in [
            (Fate::Failed, true, 10),
            (Fate::Failed, false, 0),
            (Fate::Sent, true, 10),
            (Fate::Accepted, false, 10),
            (Fate::Refused, true, 0),
            (Fate::Planned, true, 0),
        ] {
            let mut summary = Summary::of(Cells::new(1), 1);
            summary.event(0, reached, Account { fate, own: false, elsewhere }, 1_000_000);
            assert_eq!(summary.lost, lost, "{fate:?}, received elsewhere: {elsewhere}");
        }
    }

    #[test]
    fn an_event_of_another_machine_is_counted_and_not_timed() {
        let mut cells = Cells::new(1);
        (0..9).for_each(|subscriber| cells.enter(0, 5_000 + subscriber, subscriber as u32));
        let mut summary = Summary::of(cells, 1);
        let reached = Reached { due: 10, ..Reached::default() };
        let account = Account { fate: Fate::Accepted, own: false, elsewhere: false };
        assert_eq!(summary.event(0, reached, account, 1_000_000), None);
        assert_eq!(counts(&summary), [9, 0, 0, 1, 1, 1]);
        assert_eq!((summary.events, summary.own_missing, summary.spread.max()), (0, 0, 8));
        assert!(summary.first.is_empty() && summary.last.is_empty() && summary.half.is_empty());
        assert_eq!(summary.incomplete_events, [true]);
    }
}
