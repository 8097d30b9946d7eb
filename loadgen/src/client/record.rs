//! What the events of one thread's subscribers mean.
//!
//! The idea: every event is held against the plan. Its stamp says which planned event it is; the
//! subscriber's ledger says whether it is new; then it enters the histograms, the event's cell
//! and the subscriber's moments. An arrival that no plan explains is counted as what it is.
//!
//! Who was due for which event is entered when a session ends (or the run does): a subscriber is
//! due for the events planned between its opening (and a guard) and its end (less the horizon),
//! and in any case for all that it received in between.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::cells::Cells;
use super::course::Course;
use super::tally::{Bank, Tally, enter};
use crate::ledger::{Arrival, Ledger};
use crate::report::model::fairness::Moments;
use crate::report::model::plan::Phase;
use crate::stamp::{Found, Stamp};

/// The measuring state of one thread.
#[derive(Debug)]
pub(super) struct Recorder {
    course: Arc<Course>,
    finder: Finder<'static>,
    measured: std::ops::Range<usize>,
    /// `streams_per_topic` ledgers for each subscriber.
    ledgers: Vec<Ledger>,
    moments: Vec<Moments>,
    cells: Cells,
    /// Subscribers due per event as differences: see [`Recorder::due_place`].
    due: Vec<i32>,
    /// Deliveries of measured events for which the run ended within the horizon.
    in_flight: u64,
    /// The interval's counts.
    pub(super) tally: Tally,
    /// First arrivals that count, since the start.
    pub(super) unique: u64,
    /// How long the slow subscribers lasted that the server cut off.
    pub(super) slow_cut_ns: Vec<u64>,
}

/// Where and when an event arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The subscriber, counted on this thread.
    pub(super) local: usize,
    /// The same, counted over all threads in connect order.
    pub(super) order: u32,
    pub(super) topic: u32,
    /// When its stream opened.
    pub(super) opened_ns: u64,
    /// When user space read the event.
    pub(super) read_ns: u64,
    /// When the kernel received it, if it stamps.
    pub(super) stamp_ns: Option<u64>,
}

/// What one thread has when the run is over.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// By subscriber of this thread.
    pub(crate) moments: Vec<Moments>,
    pub(crate) cells: Cells,
    /// Subscribers due, by event number.
    pub(crate) due: Vec<u32>,
    pub(crate) in_flight: u64,
    /// How long the slow subscribers lasted that the server cut off.
    pub(crate) slow_cut_ns: Vec<u64>,
}

impl Recorder {
    pub(super) fn new(course: Arc<Course>, subscribers: usize) -> Recorder {
        let schedule = &course.schedule;
        let measured = course.measured();
        Recorder {
            finder: Stamp::finder(),
            ledgers: vec![Ledger::default(); subscribers * schedule.streams_per_topic()],
            moments: vec![Moments::default(); subscribers],
            cells: Cells::new(measured.len()),
            due: vec![0; schedule.events().len() + schedule.stream_count() + 1],
            in_flight: 0,
            tally: Tally::default(),
            unique: 0,
            slow_cut_ns: Vec::new(),
            measured,
            course,
        }
    }

    /// The bank of things that are seen now and have no intended time.
    pub(super) fn bank_now(&mut self) -> &mut Bank {
        match self.course.phase() {
            Phase::Measure | Phase::Drain => &mut self.tally.measured,
            _ => &mut self.tally.other,
        }
    }

    /// Enters an event.
    pub(super) fn event(&mut self, place: &Place, name: &[u8], data: &[u8]) {
        let stamp = match Stamp::find(&self.finder, data) {
            Found::Stamp(stamp) if stamp.run == self.course.run => stamp,
            other if self.course.relative.is_none() || name == b"gap" => {
                return self.unplanned(other, name);
            }
            _ => return self.relative(place, name, data),
        };
        let schedule = &self.course.schedule;
        let number = schedule.number(stamp.stream, stamp.sequence);
        let Some(number) = number.filter(|_| schedule.topic(stamp.stream) == place.topic) else {
            return self.unplanned(Found::None, name);
        };
        let number = number as usize;
        let streams = schedule.streams_per_topic();
        let ledger = place.local * streams + stamp.stream as usize % streams;
        let arrival = self.ledgers[ledger].enter(u64::from(stamp.sequence));
        let is_measured = self.measured.contains(&number);
        let bank = if is_measured { &mut self.tally.measured } else { &mut self.tally.other };
        bank.events += 1;
        if arrival == Arrival::OutOfOrder {
            bank.out_of_order += 1;
        }
        let ambiguous = stamp.intended_ns < place.opened_ns + self.course.guard_ns;
        match arrival {
            Arrival::Duplicate => bank.duplicate += 1,
            Arrival::TooOld => bank.ambiguous += 1,
            _ if ambiguous => bank.ambiguous += 1,
            Arrival::New | Arrival::OutOfOrder => {
                self.delivery(place, &stamp, number, data.len());
            }
        }
    }

    fn delivery(&mut self, place: &Place, stamp: &Stamp, number: usize, bytes: usize) {
        let is_measured = self.measured.contains(&number);
        let bank = if is_measured { &mut self.tally.measured } else { &mut self.tally.other };
        let received_ns = place.stamp_ns.unwrap_or(place.read_ns);
        let latency_ns = received_ns.saturating_sub(stamp.intended_ns);
        if latency_ns > self.course.horizon_ns {
            bank.late += 1;
            return;
        }
        self.unique += 1;
        bank.unique += 1;
        bank.payload_bytes += bytes as u64;
        enter(&mut bank.delivery, latency_ns);
        enter(&mut bank.sent, latency_ns.saturating_sub(stamp.slip_ns));
        if place.stamp_ns.is_some() {
            enter(&mut bank.hold, place.read_ns.saturating_sub(received_ns));
            enter(&mut bank.user, place.read_ns.saturating_sub(stamp.intended_ns));
        }
        if is_measured {
            self.cells.enter(number - self.measured.start, latency_ns, place.order);
            add_to(&mut self.moments[place.local], latency_ns);
        }
    }

    /// Enters an event of a run without a plan, against its first arrival anywhere.
    fn relative(&mut self, place: &Place, name: &[u8], data: &[u8]) {
        let Some(relative) = &self.course.relative else { return };
        let window = self.course.window();
        let received_ns = place.stamp_ns.unwrap_or(place.read_ns);
        let (latency_ns, first_ns) = relative.enter(name, data, received_ns, &window);
        let is_measured = window.contains(&first_ns);
        let bank = if is_measured { &mut self.tally.measured } else { &mut self.tally.other };
        self.unique += 1;
        bank.events += 1;
        bank.unique += 1;
        bank.payload_bytes += data.len() as u64;
        enter(&mut bank.relative, latency_ns);
        if place.stamp_ns.is_some() {
            enter(&mut bank.hold, place.read_ns.saturating_sub(received_ns));
        }
        if is_measured {
            add_to(&mut self.moments[place.local], latency_ns);
        }
    }

    /// Enters an event that the plan does not explain.
    fn unplanned(&mut self, found: Found, name: &[u8]) {
        let bank = self.bank_now();
        bank.events += 1;
        match found {
            _ if name == b"gap" => bank.gaps_announced += 1,
            Found::Corrupt => bank.corrupt += 1,
            _ => bank.foreign += 1,
        }
    }

    /// Ends a session of a subscriber that was due since `opened_ns`, at `now_ns`; `drained`: the
    /// run has waited for everything that was due.
    pub(super) fn end_session(
        &mut self,
        local: usize,
        topic: u32,
        opened_ns: u64,
        now_ns: u64,
        drained: bool,
    ) {
        let Some(start_ns) = self.course.start_ns() else { return };
        let schedule = &self.course.schedule;
        let streams = schedule.streams_per_topic();
        let since = |time_ns: u64| time_ns as i64 - start_ns as i64;
        let from_ns = since(opened_ns + self.course.guard_ns);
        let settled_ns = since(now_ns) - self.course.horizon_ns as i64;
        for place in 0..streams {
            let stream = topic * streams as u32 + place as u32;
            let ledger = &mut self.ledgers[local * streams + place];
            let from = schedule.due_before(stream, from_ns);
            let planned = schedule.due_before(stream, since(now_ns));
            let settled = if drained {
                planned
            } else {
                schedule.due_before(stream, settled_ns).max(ledger.next() as u32)
            };
            let to = settled.max(from);
            let base = schedule.place(stream);
            self.due[base + from as usize] += 1;
            self.due[base + to as usize] -= 1;
            let open = &schedule.stream(stream)[to.min(planned) as usize..planned as usize];
            let measured = |&&n: &&u32| self.measured.contains(&(n as usize));
            self.in_flight += open.iter().filter(measured).count() as u64;
            *ledger = Ledger::default();
        }
    }

    /// Gives up the state for the sums over all threads.
    pub(super) fn finish(&mut self) -> Outcome {
        let schedule = &self.course.schedule;
        let mut due = vec![0; schedule.events().len()];
        for stream in 0..schedule.stream_count() as u32 {
            let base = schedule.place(stream);
            let mut subscribers = 0;
            for (sequence, &number) in schedule.stream(stream).iter().enumerate() {
                subscribers += self.due[base + sequence];
                due[number as usize] = u32::try_from(subscribers).expect("never more ends");
            }
        }
        Outcome {
            moments: std::mem::take(&mut self.moments),
            cells: std::mem::take(&mut self.cells),
            due,
            in_flight: self.in_flight,
            slow_cut_ns: std::mem::take(&mut self.slow_cut_ns),
        }
    }
}

fn add_to(moments: &mut Moments, latency_ns: u64) {
    moments.n += 1;
    moments.sum_ns += latency_ns;
    moments.max_ns = moments.max_ns.max(latency_ns);
}

#[cfg(test)]
mod tests;
