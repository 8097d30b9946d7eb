//! When what happens: the five phases of a run.
//!
//! The idea: the threads run freely; this one sleeps from moment to moment, moves the shared
//! phase, looks at the server and the machine, and shows progress. A signal skips to the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::args::Args;
use super::collect::Collector;
use super::observe::Observer;
use super::plan::Plan;
use super::rig::Hiccups;
use super::show::Show;
use super::verdict::Circumstances;
use crate::client::course::Course;
use crate::client::fleet::Fleet;
use crate::client::record::Outcome;
use crate::client::tally::Bank;
use crate::clock::{self, StepWatch};
use crate::publisher::{Fate, Fates, Measured, Publisher};
use crate::report::model::PhaseSpan;
use crate::report::model::metric;
use crate::report::model::plan::Phase;
use crate::report::model::series::{Interval, RampPoint};
use crate::report::snapshot::Snapshot;
use crate::schedule::Outline;
use crate::serve::process::ServerProcess;
use hdrhistogram::Histogram;

/// How often this thread looks around.
const LOOK_NS: u64 = 20_000_000;

/// From fixing the start to the start: every thread sees it before it is due.
const LEAD_NS: u64 = 50_000_000;

/// What everything saw.
pub(super) struct Evidence {
    pub(super) course: Arc<Course>,
    pub(super) outline: Outline,
    pub(super) urls: Vec<crate::profile::Url>,
    pub(super) publish_url: Option<String>,
    pub(super) publisher_count: u32,
    pub(super) source_count: usize,
    pub(super) thread_count: usize,
    pub(super) stamped: bool,
    pub(super) timeline: Vec<PhaseSpan>,
    pub(super) ramp: Vec<RampPoint>,
    /// Open streams when the measured window began, and the fewest within it.
    pub(super) up: u64,
    pub(super) min_up: Option<u64>,
    /// From the first connect to the last open stream.
    pub(super) connect_ns: u64,
    pub(super) collector: Collector,
    pub(super) rows: Vec<Interval>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) published: Option<(Measured, Arc<Fates>)>,
    pub(super) observer: Observer,
    pub(super) hiccups: Histogram<u64>,
    pub(super) clock_step_ns: Option<i64>,
    pub(super) signal: Option<i32>,
    pub(super) refused_but_delivered: u64,
    pub(super) ended_ns: u64,
}

impl Evidence {
    pub(super) fn circumstances(&self) -> Circumstances {
        Circumstances {
            clock_step_ns: self.clock_step_ns,
            kernel_stamps: self.stamped,
            refused_but_delivered: self.refused_but_delivered,
        }
    }
}

/// Carries out a plan.
///
/// # Errors
///
/// Why nothing could be measured.
pub(super) fn carry_out(args: &Args, mut plan: Plan) -> Result<Evidence, String> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)
            .map_err(|error| format!("signals: {error}"))?;
    }
    let server = spawn(args, &plan)?;
    let pid = args.pid.or(server.as_ref().map(ServerProcess::id));
    let mut observer = Observer::new(pid);
    observer.before = Some(observer.look(0));
    let packs = plan.packs(args)?;
    let readers = plan.readers(&packs[0], args.subscribers.0 as usize);
    let cpus = args.cpus.as_ref().map(|cpus| cpus.0.as_slice()).unwrap_or_default();
    let course = plan.course(args, clock::now_ns());
    let hiccups = Hiccups::start(&course).map_err(|error| format!("a thread: {error}"))?;
    let thread_count = packs.len();
    let fleet = Fleet::start(&course, packs, cpus)?;
    let mut stage = Stage {
        args,
        course: course.clone(),
        fleet,
        publisher: None,
        observer,
        signal,
        watch: StepWatch::start(),
        outline: plan.outline.clone(),
        shown_interval: 0,
        since_ns: clock::now_ns(),
        timeline: Vec::new(),
        ramp: Vec::new(),
        collector: Collector::new(thread_count, course.interval_ns),
        rows: Vec::new(),
        up_by_interval: BTreeMap::new(),
        show: Show::new(args)?,
        min_up: None,
        readers,
    };
    let recipe = plan.recipe.take();
    let publish_url = recipe.as_ref().map(|recipe| recipe.url.clone());
    let connect_ns = stage.connect();
    if let Some(recipe) = recipe {
        let started =
            Publisher::start(&course, recipe, plan.outline.publishers, args.publisher_cpu);
        stage.publisher = Some(started.inspect_err(|_| course.stop())?);
    }
    let up = stage.go_through();
    course.stop();
    let ended_ns = clock::now_ns();
    if stage.is_interrupted() {
        stage.show.say("interrupted: the report covers what was measured");
    }
    let Stage { fleet, publisher, observer, watch, signal, timeline, ramp, min_up, .. } = stage;
    let (mut collector, mut rows) = (stage.collector, stage.rows);
    stage.show.finish();
    let published = publisher.map(Publisher::finish);
    let reports = fleet.reports.clone();
    let outcomes = fleet.finish();
    reports.try_iter().for_each(|report| collector.take(&report));
    while let Some((_, row)) = collector.close(true) {
        rows.push(Interval { phase: Phase::Drain, up, ..row });
    }
    if let Some(server) = server {
        server.end().map_err(|error| format!("--spawn: {error}"))?;
    }
    Ok(Evidence {
        course,
        urls: plan.urls,
        publish_url,
        publisher_count: plan.outline.publishers,
        outline: plan.outline,
        source_count: plan.sources.count(),
        thread_count,
        stamped: plan.stamped,
        timeline,
        ramp,
        up,
        min_up,
        connect_ns,
        collector,
        rows,
        outcomes,
        published,
        observer,
        hiccups: hiccups.finish(),
        clock_step_ns: watch.step_ns(),
        signal: Some(signal.load(Ordering::Relaxed) as i32).filter(|&signal| signal > 0),
        refused_but_delivered: 0,
        ended_ns,
    })
}

fn spawn(args: &Args, plan: &Plan) -> Result<Option<ServerProcess>, String> {
    let Some(line) = &args.spawn else { return Ok(None) };
    let explain = |error: std::io::Error| format!("--spawn {line:?}: {error}");
    let mut server = ServerProcess::shell(line).map_err(explain)?;
    server.wait_for(plan.urls[0].address).map_err(explain)?;
    Ok(Some(server))
}

/// A run on its way.
struct Stage<'a> {
    args: &'a Args,
    course: Arc<Course>,
    fleet: Fleet,
    publisher: Option<Publisher>,
    observer: Observer,
    signal: Arc<AtomicUsize>,
    watch: StepWatch,
    outline: Outline,
    shown_interval: u64,
    since_ns: u64,
    timeline: Vec<PhaseSpan>,
    ramp: Vec<RampPoint>,
    collector: Collector,
    rows: Vec<Interval>,
    /// Phase and open streams at the end of the intervals that are not closed yet.
    up_by_interval: BTreeMap<u64, (Phase, u64)>,
    show: Show,
    min_up: Option<u64>,
    /// Subscribers by topic, the slow ones left out.
    readers: Vec<u64>,
}

impl Stage<'_> {
    /// Waits until all subscribers are up, or no more come; how long that took.
    fn connect(&mut self) -> u64 {
        let asked = self.args.subscribers.0;
        let patience_ns = clock::ns(self.args.connect_timeout.0);
        let mut last = (0, clock::now_ns());
        loop {
            let now_ns = self.rest(LOOK_NS);
            let up = self.fleet.sum(|gauges| &gauges.up);
            let reached = (up, self.fleet.sum(|gauges| &gauges.started));
            if reached.0 + reached.1 > last.0 {
                last = (reached.0 + reached.1, now_ns);
            }
            self.mark_ramp(now_ns, up);
            let stuck = now_ns - last.1 > patience_ns;
            if up >= asked || stuck || self.is_interrupted() {
                return last.1 - self.course.began_ns;
            }
        }
    }

    fn mark_ramp(&mut self, now_ns: u64, up: u64) {
        let t_ns = now_ns - self.course.began_ns;
        let planned = self
            .args
            .connect_rate
            .map(|rate| ((t_ns as f64 / 1e9 * rate.from) as u64).min(self.args.subscribers.0));
        let failed = self.fleet.sum(|gauges| &gauges.failed);
        self.ramp.push(RampPoint { t_ns, planned, up, failed });
    }

    /// Settle, warm-up, measure, drain; returns the streams open when the window began.
    fn go_through(&mut self) -> u64 {
        self.enter(Phase::Settle);
        let settled_ns = clock::now_ns() + clock::ns(self.args.settle.0);
        self.rest_until(settled_ns);
        let unique = self.fleet.sum(|gauges| &gauges.unique);
        self.observer.idle = Some(self.observer.look(unique));
        let start_ns = clock::now_ns() + LEAD_NS;
        self.course.set_start(start_ns);
        let window = self.course.window_ns.clone();
        self.rest_until(start_ns);
        self.enter(Phase::Warmup);
        self.rest_until(start_ns + window.start);
        self.enter(Phase::Measure);
        let up = self.fleet.sum(|gauges| &gauges.up);
        self.min_up = Some(up);
        self.observer.window.0 = Some(self.look());
        self.rest_until(start_ns + window.end);
        self.observer.window.1 = Some(self.look());
        self.enter(Phase::Drain);
        self.drain(start_ns + window.end + self.course.horizon_ns);
        self.enter(Phase::Drain);
        up
    }

    fn look(&mut self) -> super::observe::Look {
        let unique = self.fleet.sum(|gauges| &gauges.unique);
        self.observer.look(unique)
    }

    /// Waits for what is still under way, at most to the horizon of the last event.
    fn drain(&mut self, deadline_ns: u64) {
        let planned = self.course.schedule.events().len();
        let mut last = (u64::MAX, 0);
        while !self.is_interrupted() {
            let now_ns = self.rest(LOOK_NS);
            let unique = self.fleet.sum(|gauges| &gauges.unique);
            if unique != last.0 {
                last = (unique, now_ns);
            }
            let answered = self.publisher.as_ref().is_none_or(|one| one.unanswered(planned) == 0);
            let quiet = now_ns > last.1 + LOOK_NS;
            if now_ns >= deadline_ns || (answered && quiet && self.is_complete(unique)) {
                self.course.set_drained();
                return;
            }
        }
    }

    /// Whether every subscriber has every event that was not refused; of a fleet that changes
    /// on the way nobody can tell.
    fn is_complete(&self, unique: u64) -> bool {
        let Some(publisher) = &self.publisher else { return true };
        let events = self.course.schedule.events().iter().enumerate();
        let expected: u64 = events
            .filter(|(number, _)| publisher.fate(*number) != Fate::Refused)
            .map(|(_, event)| self.readers[self.course.schedule.topic(event.stream) as usize])
            .sum();
        unique >= expected
    }

    fn is_interrupted(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// Ends the phase the run is in and begins another.
    fn enter(&mut self, phase: Phase) {
        let now_ns = clock::now_ns();
        self.timeline.push(PhaseSpan {
            phase: self.course.phase(),
            start_ns: self.since_ns - self.course.began_ns.min(self.since_ns),
            length_ns: now_ns - self.since_ns,
        });
        self.since_ns = now_ns;
        self.course.set_phase(phase);
    }

    fn rest_until(&mut self, deadline_ns: u64) {
        while !self.is_interrupted() {
            let now_ns = clock::now_ns();
            if now_ns >= deadline_ns {
                return;
            }
            self.rest((deadline_ns - now_ns).min(LOOK_NS));
        }
    }

    /// Sleeps a while and looks around.
    fn rest(&mut self, sleep_ns: u64) -> u64 {
        clock::sleep_until(clock::now_ns() + sleep_ns);
        let now_ns = clock::now_ns();
        self.watch.look();
        let up = self.fleet.sum(|gauges| &gauges.up);
        let phase = self.course.phase();
        if phase == Phase::Measure {
            self.min_up = self.min_up.map(|least| least.min(up));
        }
        let interval = self.course.interval(now_ns);
        self.up_by_interval.insert(interval, (phase, up));
        if interval != self.shown_interval {
            self.observer.second(self.shown_interval, phase != Phase::Measure);
            self.shown_interval = interval;
        }
        self.collect();
        now_ns
    }

    /// Takes the threads' reports, and closes the intervals that are complete.
    fn collect(&mut self) {
        for report in self.fleet.reports.try_iter() {
            self.collector.take(&report);
        }
        while let Some((interval, row)) = self.collector.close(false) {
            let row = self.complete(interval, row);
            self.show.row(&row);
            self.rows.push(row);
            let snapshot = self.snapshot();
            self.show.snapshot(snapshot);
        }
    }

    /// Fills in what the reading threads do not know of an interval.
    fn complete(&mut self, interval: u64, row: Interval) -> Interval {
        let (phase, up) = self.up_by_interval.remove(&interval).unwrap_or((self.course.phase(), 0));
        let second = self.observer.seconds.remove(&interval).unwrap_or_default();
        let offset_ns = self.course.start_ns().map_or(0, |start| start - self.course.began_ns);
        let events = self.course.schedule.events();
        let due = |t_ns: u64| events.partition_point(|event| offset_ns + event.at_ns < t_ns);
        let count = match self.course.start_ns() {
            Some(_) => due(row.t_ns + row.length_ns) - due(row.t_ns),
            None => 0,
        };
        Interval {
            phase,
            up,
            events: count as u64,
            server_cpu: second.cores,
            server_pss_bytes: second.pss_bytes,
            server_kernel_bytes: second.kernel_bytes,
            ..row
        }
    }

    fn snapshot(&self) -> Snapshot {
        let now_ns = clock::now_ns();
        let total = &self.collector.total;
        let measured = self.course.phase() >= Phase::Measure;
        let bank = if measured { &total.measured } else { &total.other };
        let sum = |of: fn(&Bank) -> u64| Some(of(&total.measured) + of(&total.other));
        let metrics = [
            (metric::DELIVERY, &bank.delivery),
            (metric::DELIVERY_RELATIVE, &bank.relative),
            (metric::DELIVERY_SENT, &bank.sent),
            (metric::CLIENT_HOLD, &bank.hold),
            (metric::CONNECT_READY, &total.connects.ready),
        ];
        let filled = metrics.into_iter().filter(|(_, histogram)| !histogram.is_empty());
        let start_ns = self.course.start_ns();
        let outline_ns = start_ns.map(|start| now_ns.saturating_sub(start));
        Snapshot {
            label: self.args.name.clone().unwrap_or_else(|| self.args.urls.join(" ")),
            phase: self.course.phase(),
            elapsed_ns: now_ns - self.course.began_ns,
            phase_elapsed_ns: now_ns.saturating_sub(self.since_ns),
            phase_length_ns: self.phase_length_ns(),
            asked: self.args.subscribers.0,
            up: self.fleet.sum(|gauges| &gauges.up),
            connecting: self.fleet.sum(|gauges| &gauges.connecting),
            connect_errors: self.fleet.sum(|gauges| &gauges.failed),
            disconnects: self.fleet.sum(|gauges| &gauges.dropped),
            events: self.rows.iter().map(|row| row.events).sum(),
            events_planned_rate: outline_ns.and_then(|at_ns| self.outline.rate_at(at_ns)),
            deliveries: self.fleet.sum(|gauges| &gauges.unique),
            wire_bytes: total.wire_bytes,
            lost: None,
            duplicate: sum(|bank| bank.duplicate),
            out_of_order: sum(|bank| bank.out_of_order),
            client_cpu: self.rows.last().and_then(|row| row.client_cpu),
            server_cpu: self.rows.last().and_then(|row| row.server_cpu),
            server_pss_bytes: self.rows.last().and_then(|row| row.server_pss_bytes),
            metrics: filled.map(|(name, histogram)| (name, histogram.clone())).collect(),
            recent: self.collector.recent.clone(),
        }
    }

    fn phase_length_ns(&self) -> Option<u64> {
        match self.course.phase() {
            Phase::Connect => None,
            Phase::Settle => Some(clock::ns(self.args.settle.0)),
            Phase::Warmup => Some(clock::ns(self.args.warmup.0)),
            Phase::Measure => Some(clock::ns(self.args.duration.0)),
            Phase::Drain => Some(clock::ns(self.args.horizon.0)),
        }
    }
}
