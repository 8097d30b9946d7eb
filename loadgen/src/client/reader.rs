//! One thread that holds subscribers: connects them, reads them, hands on what it counted.
//!
//! The idea: one loop. Start the connects that are due, hand everything to the kernel in one
//! call, wait, and work through what came back. A thread has one ring, or several where the
//! limit on descriptors makes a table too small for its subscribers.
//!
//! Invariant: every harvested buffer is recycled in the turn that harvested it.
//!
//! Rules live below: `subscriber` (bytes to items), `record` (what items mean).

mod disturb;
mod session;
mod start;
mod unread;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::course::{Course, Gauges};
use super::fleet::Pack;
use super::life::Lives;
use super::record::{Outcome, Recorder, Session};
use super::ring::{Completion, Kind, Ring, Tag};
use super::subscriber::{End, Subscriber};
use super::tally::Tally;
use super::watch::Watch;
use crate::clock;
use session::end_of;

/// Longest wait: how late a thread may notice that the run goes on or ends.
const WAIT_NS_MAX: u64 = 20_000_000;

/// Pause before a failed connect is tried again.
const RETRY_NS: u64 = 1_000_000_000;

/// A thread's report of one interval.
#[derive(Debug)]
pub(crate) struct Report {
    /// The interval, counted from the start of the run.
    pub(crate) interval: u64,
    /// The thread.
    pub(crate) thread: usize,
    pub(crate) tally: Tally,
}

/// One reading thread.
pub(super) struct Reader {
    course: Arc<Course>,
    pack: Pack,
    gauges: Arc<Gauges>,
    rings: Vec<Ring>,
    /// Tells which rings have work; only with several.
    watch: Option<Watch>,
    subscribers: Vec<Subscriber>,
    recorder: Recorder,
    /// The next subscriber that was never started.
    next: usize,
    /// Subscribers to be started (again), with the time: in order of time.
    again: std::collections::VecDeque<(u64, u32)>,
    connecting: u64,
    interval: u64,
    cpu_ns: u64,
    waited_ns: u64,
    request: Vec<u8>,
    /// Reused from turn to turn.
    harvest: Vec<Completion>,
    /// When the completions that are worked through were harvested: from then on this program
    /// had their bytes, whatever comes before them in line.
    harvested_ns: u64,
    random: fastrand::Rng,
    churned_ns: u64,
    lives: Option<Lives>,
    /// Open subscribers that read slowly, and when they last did.
    slow: Vec<u32>,
    slow_ns: u64,
}

impl Reader {
    /// Sets up the thread's rings and state; to be called on the thread itself, because a ring
    /// belongs to the thread that made it.
    ///
    /// # Errors
    ///
    /// What the machine refuses, with what would help.
    pub(super) fn new(
        course: Arc<Course>,
        pack: Pack,
        gauges: Arc<Gauges>,
    ) -> Result<Reader, String> {
        let targets: Vec<_> = pack.targets.iter().map(|&target| target.into()).collect();
        let mut rings = Vec::new();
        let mut left = pack.count();
        while left > 0 {
            let slots = left.min(pack.slots_max);
            rings.push(
                Ring::new(slots as u32, &targets, pack.setup.stamped, pack.event_bytes)
                    .map_err(|it| explain(&it))?,
            );
            left -= slots;
        }
        let watch = match rings.len() {
            0 | 1 => None,
            _ => Some(Watch::new(&rings).map_err(|it| explain(&it))?),
        };
        let lives = pack.life.map(|life| Lives::new(life, pack.seed));
        let subscribers = std::iter::repeat_with(Subscriber::default).take(pack.count()).collect();
        Ok(Reader {
            recorder: Recorder::new(course.clone(), pack.count(), pack.is_probing()),
            random: fastrand::Rng::with_seed(pack.seed),
            interval: course.interval(clock::now_ns()),
            cpu_ns: clock::thread_cpu_ns(),
            waited_ns: clock::thread_waited_ns().unwrap_or(0),
            subscribers,
            rings,
            watch,
            course,
            pack,
            gauges,
            next: 0,
            again: std::collections::VecDeque::new(),
            connecting: 0,
            request: Vec::new(),
            harvest: Vec::new(),
            harvested_ns: 0,
            churned_ns: 0,
            lives,
            slow: Vec::new(),
            slow_ns: 0,
        })
    }

    /// Reads until the run is over.
    pub(super) fn run(mut self, reports: &crossbeam_channel::Sender<Report>) -> Outcome {
        while !self.course.is_stopped() {
            let now_ns = clock::now_ns();
            self.start_due(now_ns);
            self.churn(now_ns);
            self.end_lives(now_ns);
            self.read_slow(now_ns);
            self.turn(now_ns);
            self.tick(clock::now_ns(), reports);
        }
        self.end(reports)
    }

    /// Hands over, waits, and works through what came back.
    fn turn(&mut self, now_ns: u64) {
        let timeout_ns = self.next_start().saturating_sub(now_ns).min(WAIT_NS_MAX);
        let gather_ns = self.pack.gather_ns.min(timeout_ns);
        let Some(watch) = &mut self.watch else {
            self.rings[0].wait(timeout_ns, gather_ns);
            return self.work_through(0);
        };
        self.rings.iter_mut().for_each(Ring::submit);
        if !self.rings.iter_mut().any(Ring::has_work) {
            watch.wait(timeout_ns);
        }
        for ring in 0..self.rings.len() {
            if self.rings[ring].has_work() {
                self.rings[ring].wait(gather_ns, gather_ns);
                self.work_through(ring);
            }
        }
    }

    fn work_through(&mut self, ring: usize) {
        let mut harvest = std::mem::take(&mut self.harvest);
        self.rings[ring].harvest(&mut harvest);
        self.harvested_ns = clock::now_ns();
        for completion in harvest.drain(..) {
            self.complete(ring, &completion);
            if let Some(buffer) = completion.buffer {
                self.rings[ring].recycle(buffer);
            }
        }
        self.harvest = harvest;
    }

    /// The subscriber's place in the connect order of all threads.
    fn order(&self, local: usize) -> u32 {
        self.pack.deal.order(self.pack.thread, local) as u32
    }

    fn session(&self, local: usize, opened_ns: u64) -> Session {
        let order = self.order(local);
        let topic = self.pack.topic(order as usize);
        Session { local, order, topic, opened_ns, unread: false }
    }

    fn slot(&self, local: usize) -> (usize, u32) {
        (local / self.pack.slots_max, (local % self.pack.slots_max) as u32)
    }

    fn tag(&self, kind: Kind, local: usize) -> Tag {
        let session = self.subscribers[local].session;
        Tag { kind, session, slot: self.slot(local).1 }
    }

    fn complete(&mut self, ring: usize, completion: &Completion) {
        let local = ring * self.pack.slots_max + completion.tag.slot as usize;
        if completion.tag.session != self.subscribers[local].session {
            return;
        }
        let result = completion.result;
        match completion.tag.kind {
            Kind::Connect if result < 0 => self.finish(local, end_of(-result)),
            Kind::Connect => self.connected(local),
            Kind::Send if result < 0 => self.finish(local, end_of(-result)),
            Kind::Receive => self.received(ring, local, completion),
            Kind::Read => self.read_slowly(ring, local, completion),
            Kind::Send | Kind::Cancel | Kind::Close | Kind::Unread => {}
        }
    }

    /// Hands on the interval's counts when it is over, and gives up connects that take too long.
    fn tick(&mut self, now_ns: u64, reports: &crossbeam_channel::Sender<Report>) {
        let interval = self.course.interval(now_ns);
        if interval == self.interval {
            return;
        }
        self.time_out(now_ns);
        self.report(reports);
        self.interval = interval;
    }

    fn report(&mut self, reports: &crossbeam_channel::Sender<Report>) {
        let cpu_ns = clock::thread_cpu_ns();
        let mut tally = std::mem::take(&mut self.recorder.tally);
        tally.cpu_ns = cpu_ns - self.cpu_ns;
        self.cpu_ns = cpu_ns;
        let waited_ns = clock::thread_waited_ns().unwrap_or(0);
        tally.waited_ns = waited_ns - self.waited_ns;
        self.waited_ns = waited_ns;
        let missing = self.recorder.missing(clock::now_ns());
        self.gauges.missing.store(missing, Ordering::Relaxed);
        // Nobody listens any more only when the run was given up.
        let _ = reports.send(Report { interval: self.interval, thread: self.pack.thread, tally });
    }

    fn time_out(&mut self, now_ns: u64) {
        if self.connecting == 0 {
            return;
        }
        for local in 0..self.next {
            let since_ns = self.subscribers[local].opening().map(|opening| opening.since_ns);
            let waited = |since_ns| now_ns.saturating_sub(since_ns);
            if since_ns.is_some_and(|since_ns| waited(since_ns) > self.pack.connect_timeout_ns) {
                self.finish(local, End::Timeout);
            }
        }
    }

    fn end(mut self, reports: &crossbeam_channel::Sender<Report>) -> Outcome {
        let now_ns = clock::now_ns();
        let (unread, slow) = (self.unread(now_ns), self.unread_of_slow());
        for local in 0..self.subscribers.len() {
            if self.subscribers[local].is_open() {
                let session = self.session(local, self.subscribers[local].opened_ns);
                let session = Session { unread: unread.has(local), ..session };
                self.recorder.end_session(session, now_ns, self.course.is_drained());
            }
        }
        self.report(reports);
        Outcome {
            slow_unread_bytes: slow.bytes(),
            unread_bytes: unread.bytes(),
            ..self.recorder.finish()
        }
    }
}

fn explain(error: &std::io::Error) -> String {
    let help = match error.raw_os_error() {
        Some(libc::EPERM) => {
            " (io_uring is disabled here: kernel.io_uring_disabled or a seccomp \
                              profile, as in Docker by default)"
        }
        Some(libc::ENOMEM) => " (locked memory: raise RLIMIT_MEMLOCK)",
        Some(libc::EMFILE) => " (descriptors: raise RLIMIT_NOFILE)",
        Some(libc::EINVAL) => " (Linux 6.1 or newer is needed)",
        _ => "",
    };
    format!("io_uring: {error}{help}")
}
