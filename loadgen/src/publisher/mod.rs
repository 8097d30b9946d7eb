//! The publishers: every event at its intended time, whatever the server does.
//!
//! The idea: open loop. One thread sends by the plan, over several connections, and never waits
//! for an answer; each connection has a thread of its own that reads the answers. When the plan
//! could not be kept, the event still counts from its intended time, and how late it was sent is
//! recorded as slip.
//!
//! An event is in one of five states at the end ([`Fate`]); only those that the server accepted
//! (or may have accepted) are due at subscribers.

mod answers;
mod link;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;

use hdrhistogram::Histogram;

use crate::client::course::Course;
use crate::client::tally::{add, enter};
use crate::clock;
use crate::profile::Recipe;
use crate::report::model::metric::new_histogram;
use crate::stamp::Stamp;
use link::{Link, Outgoing};

/// Events of one request at most, where a request may hold several.
const BATCH_EVENTS_MAX: usize = 256;

/// How long before the intended time the thread stops sleeping and spins: a wake-up comes late
/// by some ten microseconds, and how late is not known beforehand.
const SPIN_NS: u64 = 30_000;

/// Longest sleep, so that an ended run and unsent bytes are noticed.
const SLEEP_NS_MAX: u64 = 20_000_000;

/// Longest sleep while a connection has not taken all of its bytes.
const FLUSH_NS: u64 = 200_000;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// Never sent: the run ended before.
    Planned,
    /// Sent, and not answered.
    Sent,
    /// Accepted by the server.
    Accepted,
    /// Refused by the server: nobody is to receive it.
    Refused,
    /// Its connection failed before an answer: delivered or not, nobody knows.
    Failed,
}

/// The fates of all events. Relaxed throughout: they are read when the threads have been joined.
#[derive(Debug)]
pub(crate) struct Fates(Box<[AtomicU8]>);

impl Fates {
    fn new(events: usize) -> Fates {
        Fates(std::iter::repeat_with(|| AtomicU8::new(0)).take(events).collect())
    }

    /// Says what became of an event.
    pub(crate) fn set(&self, event: u32, fate: Fate) {
        self.0[event as usize].store(fate as u8, Ordering::Relaxed);
    }

    /// What became of an event.
    pub(crate) fn of(&self, event: usize) -> Fate {
        match self.0[event].load(Ordering::Relaxed) {
            0 => Fate::Planned,
            1 => Fate::Sent,
            2 => Fate::Accepted,
            3 => Fate::Refused,
            _ => Fate::Failed,
        }
    }
}

/// What the publishers measured, of the events of the measured window.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Intended time to actual send.
    pub(crate) slip: Histogram<u64>,
    /// Intended time to the server's answer.
    pub(crate) ack: Histogram<u64>,
    /// Refused events by status.
    pub(crate) refused: std::collections::BTreeMap<u16, u64>,
    /// Events that were due and at hand, and that the server's end of a connection did not take
    /// until the run ended.
    pub(crate) withheld: u64,
    /// Processor time of the sending thread, over the whole run.
    pub(crate) cpu_ns: u64,
}

impl Default for Measured {
    fn default() -> Measured {
        Measured {
            slip: new_histogram(),
            ack: new_histogram(),
            refused: std::collections::BTreeMap::new(),
            withheld: 0,
            cpu_ns: 0,
        }
    }
}

/// The running publishers.
#[derive(Debug)]
pub(crate) struct Publisher {
    sender: JoinHandle<Measured>,
    answers: Vec<JoinHandle<Measured>>,
    fates: Arc<Fates>,
}

impl Publisher {
    /// Connects `connections` and gets ready; sending begins when the course has a start.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached.
    pub(crate) fn start(
        course: &Arc<Course>,
        recipe: Recipe,
        connections: u32,
        cpu: Option<usize>,
    ) -> Result<Publisher, String> {
        let fates = Arc::new(Fates::new(course.schedule.events().len()));
        let mut links = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..connections {
            let (link, reader) = link::connect(course, &recipe, &fates)
                .map_err(|error| format!("cannot publish to {}: {error}", recipe.url))?;
            links.push(link);
            let thread = std::thread::Builder::new().name("answers".to_owned());
            answers.push(thread.spawn(move || reader.run()).map_err(|error| error.to_string())?);
        }
        let sender = Sender {
            next: vec![0; course.schedule.stream_count()],
            slip: Measured::default(),
            course: course.clone(),
            recipe,
            links,
        };
        let sender = std::thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || {
                clock::sharpen_timers();
                if let Some(cpu) = cpu {
                    clock::pin(cpu).expect("a processor that was checked");
                }
                sender.run()
            })
            .map_err(|error| error.to_string())?;
        Ok(Publisher { sender, answers, fates })
    }

    /// Waits for the threads to end (the course must have been stopped).
    ///
    /// # Panics
    ///
    /// If a thread panicked: its figures are gone.
    pub(crate) fn finish(self) -> (Measured, Arc<Fates>) {
        let mut measured = self.sender.join().expect("the publishing thread panicked");
        for thread in self.answers {
            let part = thread.join().expect("a thread that reads answers panicked");
            add(&mut measured.ack, &part.ack);
            for (status, count) in part.refused {
                *measured.refused.entry(status).or_default() += count;
            }
        }
        (measured, self.fates)
    }

    /// What has become of an event so far.
    pub(crate) fn fate(&self, event: usize) -> Fate {
        self.fates.of(event)
    }

    /// Events whose fate is not known yet, among the first `sent`.
    pub(crate) fn unanswered(&self, sent: usize) -> usize {
        (0..sent).filter(|&event| self.fates.of(event) == Fate::Sent).count()
    }
}

/// The sending thread.
struct Sender {
    course: Arc<Course>,
    recipe: Recipe,
    links: Vec<Link>,
    /// Next sequence of each stream.
    next: Vec<u32>,
    slip: Measured,
}

impl Sender {
    fn run(mut self) -> Measured {
        let course = self.course.clone();
        let Some(start_ns) = self.wait_for_start() else { return self.slip };
        let events = course.schedule.events();
        let mut own = (0..events.len()).filter(|&number| course.is_own(events[number].stream));
        let mut next = own.next();
        while let Some(number) = next {
            let planned_ns = start_ns + events[number].at_ns + self.recipe.gather_ns();
            if !self.wait_until(planned_ns) {
                break;
            }
            let batch;
            (batch, next) = self.batch(number, &mut own, start_ns);
            self.publish(&batch, start_ns, planned_ns);
        }
        while !course.is_stopped() {
            self.wait_until(clock::now_ns() + SLEEP_NS_MAX);
        }
        let is_measured = |event: &u32| course.window_ns.contains(&events[*event as usize].at_ns);
        let withheld = self.links.iter().flat_map(Link::withheld).filter(is_measured);
        self.slip.withheld = withheld.count() as u64;
        self.slip.cpu_ns = clock::thread_cpu_ns();
        self.slip
    }

    fn wait_for_start(&mut self) -> Option<u64> {
        loop {
            if let Some(start_ns) = self.course.start_ns() {
                return Some(start_ns);
            }
            if self.course.is_stopped() {
                return None;
            }
            clock::sleep_until(clock::now_ns() + SLEEP_NS_MAX / 20);
        }
    }

    /// Sleeps, then spins, until a time; false when the run was stopped.
    fn wait_until(&mut self, due_ns: u64) -> bool {
        loop {
            let now_ns = clock::now_ns();
            if now_ns >= due_ns {
                return true;
            }
            let mut sleep_ns = SLEEP_NS_MAX;
            for link in &mut self.links {
                link.flush(&mut self.slip.slip);
                if link.has_unsent() {
                    sleep_ns = FLUSH_NS;
                }
            }
            if self.course.is_stopped() {
                return false;
            }
            if due_ns - now_ns > SPIN_NS {
                clock::sleep_until((due_ns - SPIN_NS).min(now_ns + sleep_ns));
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// The events that go in one request: `number`, and where the server takes several, those of
    /// `behind` that are of the same connection and due by now; and the one that comes next.
    fn batch(
        &self,
        number: usize,
        behind: &mut impl Iterator<Item = usize>,
        start_ns: u64,
    ) -> (Vec<usize>, Option<usize>) {
        let mut batch = vec![number];
        let mut next = behind.next();
        if !self.recipe.batches() {
            return (batch, next);
        }
        let schedule = &self.course.schedule;
        let now_ns = clock::now_ns();
        let connection = schedule.publisher(schedule.events()[number].stream);
        while let Some(number) = next.filter(|_| batch.len() < BATCH_EVENTS_MAX) {
            let event = &schedule.events()[number];
            let is_due = start_ns + event.at_ns <= now_ns;
            if !is_due || schedule.publisher(event.stream) != connection {
                break;
            }
            batch.push(number);
            next = behind.next();
        }
        (batch, next)
    }

    fn publish(&mut self, numbers: &[usize], start_ns: u64, planned_ns: u64) {
        let schedule = &self.course.schedule;
        let events = numbers.iter().map(|&number| &schedule.events()[number]);
        let request: Vec<(u32, usize)> = events
            .clone()
            .map(|event| (schedule.topic(event.stream), event.size as usize))
            .collect();
        let mut outgoing = Outgoing { planned_ns, ..Outgoing::default() };
        self.recipe.write(&request, &mut outgoing.bytes, &mut outgoing.places);
        for (event, &number) in events.zip(numbers) {
            let sequence = &mut self.next[event.stream as usize];
            outgoing.stamps.push(Stamp {
                run: self.course.run,
                stream: event.stream,
                sequence: *sequence,
                intended_ns: start_ns + event.at_ns,
                slip_ns: 0,
            });
            *sequence += 1;
            outgoing.events.push(number as u32);
        }
        let stream = schedule.events()[numbers[0]].stream;
        let link = &mut self.links[schedule.publisher(stream) as usize];
        link.queue(outgoing);
        link.flush(&mut self.slip.slip);
    }
}

/// Enters a value if its event belongs to the measured window.
fn enter_measured(course: &Course, histogram: &mut Histogram<u64>, event: u32, value_ns: u64) {
    let at_ns = course.schedule.events()[event as usize].at_ns;
    if course.window_ns.contains(&at_ns) {
        enter(histogram, value_ns);
    }
}

#[cfg(test)]
mod tests;
