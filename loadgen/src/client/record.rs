//! What the events of one thread's subscribers mean.
//!
//! The idea: every event is held against the plan. Its stamp says which planned event it is; the
//! subscriber's ledger says whether it is new; then it enters the histograms, the event's cell
//! and the subscriber's moments. An arrival that no plan explains is counted as what it is.
//!
//! Of a run on several machines, every event is held against the plan, and only those that this
//! machine published are timed: the stamp of another one is by another clock. What such an event
//! is due, and whether it came in time, goes by our own start; how far its arrivals lie apart
//! needs no publisher's clock at all.
//!
//! Who was due for which event is entered when a session ends (or the run does): a subscriber is
//! due for the events planned between its opening (and a guard) and its end (less the horizon),
//! and in any case for all that it received in between. What it was due for and had not received
//! while its stream had more to be read is **unread**: it may have been delivered to this machine.

use std::sync::Arc;

use memchr::memmem::Finder;

use super::bursts::Bursts;
use super::cells::Cells;
use super::course::{Course, LATE_NS_MAX};
use super::latencies::Latencies;
use super::offence::{Ended, Offences, Step, Whose};
use super::tally::{Bank, Tally, enter};
use crate::ledger::{Arrival, Ledger};
use crate::report::model::offence::Offence;
use crate::report::model::plan::Phase;
use crate::schedule::Schedule;
use crate::stamp::{Found, Stamp};

/// The measuring state of one thread.
#[derive(Debug)]
pub(super) struct Recorder {
    course: Arc<Course>,
    finder: Finder<'static>,
    measured: std::ops::Range<usize>,
    /// Whether the subscribers of this thread are probes: read at once, and nobody else with them.
    probing: bool,
    /// `streams_per_topic` ledgers for each subscriber.
    ledgers: Vec<Ledger>,
    latencies: Vec<Latencies>,
    bursts: Bursts,
    cells: Cells,
    /// Subscribers due per event, as differences along each stream, by [`Schedule::place`].
    due: Vec<i32>,
    /// Deliveries of measured events for which the run ended within the horizon.
    in_flight: u64,
    offences: Offences,
    /// Subscribers that were told of an event that it is missing, as `due`; empty until one was.
    told: Vec<i32>,
    /// Subscribers that left an event unread, as `due`; empty until one did.
    unread: Vec<i32>,
    /// Subscribers that received an event after the horizon, by place among the measured events;
    /// empty until one did.
    late: Vec<u32>,
    /// The interval's counts.
    pub(super) tally: Tally,
    /// First arrivals that count, since the start.
    pub(super) unique: u64,
    /// First arrivals after the horizon, since the start.
    pub(super) late_count: u64,
    /// When the last of either was read.
    pub(super) heard_ns: u64,
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

/// An open stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    /// As in [`Place`].
    pub(super) local: usize,
    pub(super) order: u32,
    pub(super) topic: u32,
    /// When it opened: its subscriber is due from a guard behind that.
    pub(super) opened_ns: u64,
    /// Whether it had more to be read when it ended.
    pub(super) unread: bool,
}

/// What one thread has when the run is over.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// By subscriber of this thread.
    pub(crate) latencies: Vec<Latencies>,
    pub(crate) cells: Cells,
    /// Subscribers due, by event number.
    pub(crate) due: Vec<u32>,
    pub(crate) in_flight: u64,
    /// Subscribers that were told of its loss, by event number; empty if nobody was.
    pub(crate) told: Vec<u32>,
    /// Subscribers that left it unread, by event number; empty if nobody did.
    pub(crate) unread: Vec<u32>,
    /// Subscribers that received it after the horizon, by place among the measured events; empty
    /// if nobody did.
    pub(crate) late: Vec<u32>,
    /// Faults by name.
    pub(crate) offences: Vec<Offence>,
    pub(crate) gaps_late: u64,
    pub(crate) gaps_unfounded: u64,
    /// How long the slow subscribers lasted that the server cut off.
    pub(crate) slow_cut_ns: Vec<u64>,
    /// Bytes in the sockets of slow subscribers at the end; `None` if that is not known.
    pub(crate) slow_unread_bytes: Option<u64>,
    /// Bytes in the sockets of the others that had not received everything; as above.
    pub(crate) unread_bytes: Option<u64>,
}

impl Recorder {
    pub(super) fn new(course: Arc<Course>, subscribers: usize, probing: bool) -> Recorder {
        let schedule = &course.schedule;
        let measured = course.measured();
        Recorder {
            finder: Stamp::finder(),
            ledgers: vec![Ledger::default(); subscribers * schedule.streams_per_topic()],
            latencies: vec![Latencies::default(); subscribers],
            bursts: Bursts::new(subscribers),
            cells: Cells::new(measured.len()),
            due: vec![0; schedule.events().len() + schedule.stream_count() + 1],
            in_flight: 0,
            offences: Offences::default(),
            told: Vec::new(),
            unread: Vec::new(),
            late: Vec::new(),
            tally: Tally::default(),
            unique: 0,
            late_count: 0,
            heard_ns: 0,
            slow_cut_ns: Vec::new(),
            probing,
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
                return self.unplanned(other, place, name);
            }
            _ => return self.relative(place, name, data),
        };
        let schedule = &self.course.schedule;
        let number = schedule.number(stamp.stream, stamp.sequence);
        let Some(number) = number.filter(|_| schedule.topic(stamp.stream) == place.topic) else {
            return self.unplanned(Found::None, place, name);
        };
        let number = number as usize;
        let stamp = match self.course.is_own(stamp.stream) {
            true => stamp,
            false => Stamp { intended_ns: self.course.due_ns(number), slip_ns: 0, ..stamp },
        };
        let streams = schedule.streams_per_topic();
        let ledger = place.local * streams + stamp.stream as usize % streams;
        let next = self.ledgers[ledger].next() as u32;
        let arrival = self.ledgers[ledger].enter(u64::from(stamp.sequence));
        let is_measured = self.measured.contains(&number);
        if stamp.sequence != next || !self.offences.is_idle() {
            self.unusual(place, &stamp, next, arrival, is_measured);
        }
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
        self.heard_ns = place.read_ns;
        if latency_ns > self.course.horizon_ns {
            return self.late(place, stamp, number);
        }
        self.unique += 1;
        bank.unique += 1;
        bank.payload_bytes += bytes as u64;
        if place.stamp_ns.is_some() {
            enter(&mut bank.hold, place.read_ns.saturating_sub(received_ns));
        }
        if !self.course.is_own(stamp.stream) {
            if is_measured {
                // Its machine may have started before us; by the guard at most, and spread does
                // not see it.
                let shifted_ns = received_ns + self.course.guard_ns;
                let since_ns = shifted_ns.saturating_sub(stamp.intended_ns);
                self.cells.enter(number - self.measured.start, since_ns, place.order);
            }
            return;
        }
        enter(&mut bank.delivery, latency_ns);
        enter(&mut bank.sent, latency_ns.saturating_sub(stamp.slip_ns));
        if place.stamp_ns.is_some() {
            enter(&mut bank.user, place.read_ns.saturating_sub(stamp.intended_ns));
        }
        if self.probing {
            enter(&mut bank.probe, place.read_ns.saturating_sub(stamp.intended_ns));
        }
        self.bursts.enter(place.local, stamp.intended_ns + stamp.slip_ns, received_ns, bank);
        if is_measured {
            self.cells.enter(number - self.measured.start, latency_ns, place.order);
            self.latencies[place.local].enter(latency_ns);
        }
    }

    /// Enters an arrival after the horizon.
    fn late(&mut self, place: &Place, stamp: &Stamp, number: usize) {
        self.late_count += 1;
        let is_measured = self.measured.contains(&number);
        if is_measured {
            self.late.resize(self.measured.len(), 0);
            self.late[number - self.measured.start] += 1;
        }
        let whose = self.whose(place, stamp.stream, is_measured);
        self.offences.late(&whose, stamp.sequence);
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
            self.latencies[place.local].enter(latency_ns);
        }
    }

    /// Enters an event that the plan does not explain.
    fn unplanned(&mut self, found: Found, place: &Place, name: &[u8]) {
        let bank = self.bank_now();
        bank.events += 1;
        let streams = self.course.schedule.streams_per_topic();
        let measured = self.course.phase() >= Phase::Measure;
        let whose = self.whose(place, place.topic * streams as u32, measured);
        match found {
            _ if name == b"gap" => {
                self.bank_now().gaps_announced += 1;
                self.offences.gap(&whose, streams);
            }
            Found::Corrupt => {
                self.bank_now().corrupt += 1;
                // Among several streams nobody can tell whose event it was.
                let ledger = self.ledgers.get(place.local).filter(|_| streams == 1);
                self.offences.corrupt(&whose, ledger.map(|ledger| ledger.next() as u32));
            }
            _ => self.bank_now().foreign += 1,
        }
    }

    fn whose(&self, place: &Place, stream: u32, measured: bool) -> Whose {
        Whose {
            local: place.local as u32,
            order: place.order,
            topic: place.topic,
            stream,
            at_ns: place.read_ns.saturating_sub(self.course.began_ns),
            measured,
        }
    }

    /// Notes an arrival that is not simply the next event of its stream.
    fn unusual(
        &mut self,
        place: &Place,
        stamp: &Stamp,
        next: u32,
        arrival: Arrival,
        measured: bool,
    ) {
        let schedule = &self.course.schedule;
        let place_in_topic = stamp.stream as usize % schedule.streams_per_topic();
        // What was planned before a subscriber is due is not missing before its first event.
        let from_ns = (place.opened_ns + self.course.guard_ns) as i64
            - self.course.start_ns().unwrap_or_default() as i64;
        let first = if next == 0 { schedule.due_before(stamp.stream, from_ns) } else { 0 };
        let step = Step { arrival, expected: next.max(first), sequence: stamp.sequence };
        let whose = self.whose(place, stamp.stream, measured);
        self.offences.arrived(&whose, place_in_topic, &step);
        self.note_told();
    }

    /// Enters what the server has said to be missing.
    fn note_told(&mut self) {
        let schedule = &self.course.schedule;
        for told in std::mem::take(&mut self.offences.told) {
            self.told.resize(self.due.len(), 0);
            let base = schedule.place(told.stream);
            self.told[base + told.sequences.start as usize] += told.by;
            self.told[base + told.sequences.end as usize] -= told.by;
        }
    }

    /// Whether an open subscriber has not received all that was planned until `now_ns`.
    pub(super) fn lacks(&self, local: usize, topic: u32, now_ns: u64) -> bool {
        let Some(start_ns) = self.course.start_ns() else { return false };
        let schedule = &self.course.schedule;
        let streams = schedule.streams_per_topic();
        (0..streams).any(|place| {
            let stream = topic * streams as u32 + place as u32;
            let planned = schedule.due_before(stream, now_ns as i64 - start_ns as i64);
            self.ledgers[local * streams + place].next() < u64::from(planned)
        })
    }

    /// Ends a session at `now_ns`; `drained`: the run has waited for everything that was due.
    pub(super) fn end_session(&mut self, whose: Session, now_ns: u64, drained: bool) {
        let Session { local, order, topic, opened_ns, unread } = whose;
        let Some(start_ns) = self.course.start_ns() else { return };
        let schedule = &self.course.schedule;
        let streams = schedule.streams_per_topic();
        let since = |time_ns: u64| time_ns as i64 - start_ns as i64;
        let from_ns = since(opened_ns + self.course.guard_ns);
        let settled_ns = since(now_ns) - self.course.horizon_ns as i64;
        let mut ended = Vec::with_capacity(streams);
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
            let next = ledger.next() as u32;
            let mut until = to.min(planned.max(from));
            if unread && next.max(from) < until {
                self.unread.resize(self.due.len(), 0);
                self.unread[base + next.max(from) as usize] += 1;
                self.unread[base + until as usize] -= 1;
                until = next.max(from);
            }
            *ledger = Ledger::default();
            let measured = self.measured_of(stream);
            ended.push(Ended { next, due: from..until, unread, measured });
        }
        let whose = Whose {
            local: local as u32,
            order,
            topic,
            stream: topic * streams as u32,
            at_ns: now_ns.saturating_sub(self.course.began_ns),
            measured: true,
        };
        self.offences.end(&whose, &ended);
        self.note_told();
    }

    /// Measured deliveries that are lost, or have been missing for as long as a run would wait.
    pub(super) fn missing(&self, now_ns: u64) -> u64 {
        let patience_ns = self.course.horizon_ns + LATE_NS_MAX;
        let since_ns = now_ns.saturating_sub(self.course.began_ns + patience_ns);
        self.offences.missing(since_ns, |stream| self.measured_of(stream))
    }

    /// The sequences of a stream that are measured.
    fn measured_of(&self, stream: u32) -> std::ops::Range<u32> {
        let numbers = self.course.schedule.stream(stream);
        let bound = |number: usize| numbers.partition_point(|&n| (n as usize) < number) as u32;
        bound(self.measured.start)..bound(self.measured.end)
    }

    /// Gives up the state for the sums over all threads.
    pub(super) fn finish(&mut self) -> Outcome {
        let schedule = &self.course.schedule;
        let any = |differences: &[i32]| match differences {
            [] => Vec::new(),
            some => sums(schedule, some),
        };
        Outcome {
            latencies: std::mem::take(&mut self.latencies),
            cells: std::mem::take(&mut self.cells),
            due: sums(schedule, &self.due),
            in_flight: self.in_flight,
            told: any(&self.told),
            unread: any(&self.unread),
            late: std::mem::take(&mut self.late),
            offences: self.offences.finish(),
            gaps_late: self.offences.gaps_late,
            gaps_unfounded: self.offences.gaps_unfounded,
            slow_cut_ns: std::mem::take(&mut self.slow_cut_ns),
            slow_unread_bytes: None,
            unread_bytes: None,
        }
    }
}

/// Numbers of subscribers by event, from their differences along each stream.
fn sums(schedule: &Schedule, differences: &[i32]) -> Vec<u32> {
    let mut by_event = vec![0; schedule.events().len()];
    for stream in 0..schedule.stream_count() as u32 {
        let base = schedule.place(stream);
        let mut subscribers = 0;
        for (sequence, &number) in schedule.stream(stream).iter().enumerate() {
            subscribers += differences[base + sequence];
            by_event[number as usize] = u32::try_from(subscribers).expect("never more ends");
        }
    }
    by_event
}

#[cfg(test)]
mod tests;
