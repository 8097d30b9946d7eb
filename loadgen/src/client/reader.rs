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
mod start;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::course::{Course, Gauges};
use super::fleet::Pack;
use super::record::{Outcome, Place, Recorder, Session};
use super::ring::{Completion, Kind, Ring, Tag};
use super::subscriber::{End, Progress, Stage, Subscriber};
use super::tally::{Tally, enter};
use super::watch::Watch;
use crate::clock;
use crate::decoder::Item;

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
    request: Vec<u8>,
    /// Reused from turn to turn.
    harvest: Vec<Completion>,
    random: fastrand::Rng,
    churned_ns: u64,
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
        let mut left = pack.count;
        while left > 0 {
            let slots = left.min(pack.slots_max);
            rings.push(
                Ring::new(slots as u32, &targets, pack.setup.stamped).map_err(|it| explain(&it))?,
            );
            left -= slots;
        }
        let watch = match rings.len() {
            0 | 1 => None,
            _ => Some(Watch::new(&rings).map_err(|it| explain(&it))?),
        };
        let subscribers = std::iter::repeat_with(Subscriber::default).take(pack.count).collect();
        Ok(Reader {
            recorder: Recorder::new(course.clone(), pack.count),
            random: fastrand::Rng::with_seed(pack.seed),
            interval: course.interval(clock::now_ns()),
            cpu_ns: clock::thread_cpu_ns(),
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
            churned_ns: 0,
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
            self.read_slow(now_ns);
            self.turn(now_ns);
            self.tick(clock::now_ns(), reports);
        }
        self.end(reports)
    }

    /// Hands over, waits, and works through what came back.
    fn turn(&mut self, now_ns: u64) {
        let timeout_ns = self.next_start().saturating_sub(now_ns).min(WAIT_NS_MAX);
        let mut harvest = std::mem::take(&mut self.harvest);
        if let Some(watch) = &mut self.watch {
            for ring in &mut self.rings {
                ring.submit();
            }
            watch.wait(timeout_ns);
        }
        let single = self.watch.is_none();
        for ring in 0..self.rings.len() {
            let gather_ns = self.pack.gather_ns.min(timeout_ns);
            let (timeout_ns, gather_ns) = if single { (timeout_ns, gather_ns) } else { (0, 0) };
            self.rings[ring].wait(timeout_ns, gather_ns);
            self.rings[ring].harvest(&mut harvest);
            for completion in harvest.drain(..) {
                self.complete(ring, &completion);
                if let Some(buffer) = completion.buffer {
                    self.rings[ring].recycle(buffer);
                }
            }
        }
        self.harvest = harvest;
    }

    /// The subscriber's place in the connect order of all threads.
    fn order(&self, local: usize) -> u32 {
        (local * self.pack.threads + self.pack.thread) as u32
    }

    fn session(&self, local: usize, opened_ns: u64) -> Session {
        let order = self.order(local);
        Session { local, order, topic: self.pack.topics.of(order as usize), opened_ns }
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
            Kind::Send | Kind::Cancel | Kind::Close => {}
        }
    }

    fn connected(&mut self, local: usize) {
        let now_ns = clock::now_ns();
        let (ring, slot) = self.slot(local);
        let subscriber = &mut self.subscribers[local];
        enter(&mut self.recorder.tally.connects.tcp, now_ns - subscriber.since_ns.min(now_ns));
        subscriber.stage = Stage::Head(Vec::new());
        self.request.clear();
        let topic = self.pack.topics.of(self.order(local) as usize);
        self.pack.request.write(topic, &mut self.request);
        let (send, receive) = (self.tag(Kind::Send, local), self.tag(Kind::Receive, local));
        self.rings[ring].send(slot, &self.request, send);
        if self.pack.is_slow(self.order(local) as usize) {
            // A slow subscriber counts as connected, and for nothing else: when it gets an event
            // is its own doing. Whether it is open only its reading would show, and a stopped one never reads.
            self.subscribers[local].stage = Stage::Slow;
            self.connecting -= 1;
            self.gauges.connecting.fetch_sub(1, Ordering::Relaxed);
            self.gauges.up.fetch_add(1, Ordering::Relaxed);
            self.slow.push(local as u32);
        } else {
            self.rings[ring].receive(slot, receive);
        }
    }

    fn received(&mut self, ring: usize, local: usize, completion: &Completion) {
        let Some(content) = self.rings[ring].content(completion) else {
            return self.nothing_received(ring, local, completion);
        };
        let read_ns = clock::now_ns();
        let bytes = content.bytes.len() as u64;
        let order = self.order(local);
        let subscriber = &mut self.subscribers[local];
        let was_open = subscriber.is_open();
        if matches!(&subscriber.stage, Stage::Head(text) if text.is_empty()) {
            let ttfb_ns = read_ns.saturating_sub(subscriber.since_ns);
            enter(&mut self.recorder.tally.connects.ttfb, ttfb_ns);
        }
        let place = Place {
            local,
            order,
            topic: self.pack.topics.of(order as usize),
            opened_ns: if was_open { subscriber.since_ns } else { read_ns },
            read_ns,
            stamp_ns: content.stamp_ns,
        };
        let recorder = &mut self.recorder;
        let mut events = 0;
        let progress = subscriber.take(content.bytes, |item| {
            if let Item::Event { name, data } = item {
                events += 1;
                recorder.event(&place, name, data);
            }
        });
        recorder.tally.wire_bytes += bytes;
        let bank = recorder.bank_now();
        bank.wire_bytes += bytes;
        bank.coalesced_reads += u64::from(events > 1);
        if events > 0 {
            self.gauges.unique.store(recorder.unique, Ordering::Relaxed);
            if !subscriber.has_event {
                subscriber.has_event = true;
                let first_ns = read_ns.saturating_sub(subscriber.planned_ns);
                enter(&mut recorder.tally.connects.first_event, first_ns);
            }
        }
        match progress {
            Progress::Opened => {
                self.opened(local, read_ns);
                if self.subscribers[local].is_over() {
                    return self.finish(local, End::Closed);
                }
            }
            Progress::Ended(end) => return self.finish(local, end),
            Progress::Going => {}
        }
        if !completion.more {
            self.receive_again(local);
        }
    }

    fn nothing_received(&mut self, ring: usize, local: usize, completion: &Completion) {
        let _ = ring;
        match completion.result {
            // All buffers were taken: they are back by the next turn.
            result if result == -libc::ENOBUFS => self.receive_again(local),
            result if result < 0 => self.finish(local, end_of(-result)),
            // A stamped receive of nothing still has a header, so 0 and a bare header are both
            // the end of the stream.
            _ => {
                let end = self.subscribers[local].end_of_input();
                self.finish(local, end);
            }
        }
    }

    fn receive_again(&mut self, local: usize) {
        let (ring, slot) = self.slot(local);
        let tag = self.tag(Kind::Receive, local);
        self.rings[ring].receive(slot, tag);
    }

    fn opened(&mut self, local: usize, now_ns: u64) {
        let subscriber = &mut self.subscribers[local];
        let connects = &mut self.recorder.tally.connects;
        enter(&mut connects.ready, now_ns.saturating_sub(subscriber.planned_ns));
        connects.opened += 1;
        subscriber.since_ns = now_ns;
        self.connecting -= 1;
        self.gauges.connecting.fetch_sub(1, Ordering::Relaxed);
        self.gauges.up.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a session. A stream that was open is not opened again, unless this program closed
    /// it; a connect that failed is tried again while subscribers are still coming up.
    fn finish(&mut self, local: usize, end: End) {
        let now_ns = clock::now_ns();
        let (ring, slot) = self.slot(local);
        let receive = self.tag(Kind::Receive, local);
        self.rings[ring].close(slot, receive);
        let subscriber = &mut self.subscribers[local];
        let (was_open, opened_ns) = (subscriber.is_open(), subscriber.since_ns);
        let was_slow = matches!(subscriber.stage, Stage::Slow);
        subscriber.stage = Stage::Idle;
        subscriber.session = subscriber.session.wrapping_add(1);
        if was_slow {
            self.slow.retain(|&one| one as usize != local);
            self.gauges.up.fetch_sub(1, Ordering::Relaxed);
            if end != End::Wanted {
                self.recorder.slow_cut_ns.push(now_ns.saturating_sub(opened_ns));
            }
            return;
        }
        if was_open {
            self.gauges.up.fetch_sub(1, Ordering::Relaxed);
            let session = self.session(local, opened_ns);
            self.recorder.end_session(session, now_ns, false);
            if end != End::Wanted {
                self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
                let bank = self.recorder.bank_now();
                bank.malformed += u64::from(matches!(end, End::Malformed | End::Cut));
                *bank.disconnects.entry(end.reason()).or_default() += 1;
            }
            return;
        }
        self.connecting -= 1;
        self.gauges.connecting.fetch_sub(1, Ordering::Relaxed);
        self.gauges.failed.fetch_add(1, Ordering::Relaxed);
        self.recorder.tally.connects.fail(end);
        if self.pack.retry {
            self.again.push_back((now_ns + RETRY_NS, local as u32));
        } else {
            self.gauges.given_up.fetch_add(1, Ordering::Relaxed);
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
        // Nobody listens any more only when the run was given up.
        let _ = reports.send(Report { interval: self.interval, thread: self.pack.thread, tally });
    }

    fn time_out(&mut self, now_ns: u64) {
        if self.connecting == 0 {
            return;
        }
        for local in 0..self.next {
            let subscriber = &self.subscribers[local];
            let waits = matches!(subscriber.stage, Stage::Connecting | Stage::Head(_));
            if waits && now_ns.saturating_sub(subscriber.since_ns) > self.pack.connect_timeout_ns {
                self.finish(local, End::Timeout);
            }
        }
    }

    fn end(mut self, reports: &crossbeam_channel::Sender<Report>) -> Outcome {
        let now_ns = clock::now_ns();
        for local in 0..self.subscribers.len() {
            if self.subscribers[local].is_open() {
                let session = self.session(local, self.subscribers[local].since_ns);
                self.recorder.end_session(session, now_ns, self.course.is_drained());
            }
        }
        self.report(reports);
        self.recorder.finish()
    }
}

/// What an errno of a connect, a send or a receive means for the session.
fn end_of(errno: i32) -> End {
    match errno {
        libc::ECONNREFUSED => End::Refused,
        libc::ECONNRESET | libc::EPIPE => End::Reset,
        libc::ETIMEDOUT => End::Timeout,
        _ => End::Local,
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
