//! When what happens: the five phases of a run.
//!
//! The idea: the threads run freely; this one sleeps from moment to moment, moves the shared
//! phase, looks at the server and the machine, and shows progress. A signal skips to the end. The
//! machines of a run of several wait for each other twice: when all subscribers are up, and when
//! nothing is under way any more.

mod progress;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::args::{Args, Cpus};
use super::breach::Breach;
use super::collect::Collector;
use super::cue::Cue;
use super::inject::Injector;
use super::observe::Observer;
use super::plan::Plan;
use super::rig::Hiccups;
use super::rows::Rows;
use super::show::Show;
use super::verdict::Circumstances;
use crate::agent::protocol::Say;
use crate::client::course::{Course, LATE_NS_MAX};
use crate::client::deal::Deal;
use crate::client::fleet::Fleet;
use crate::client::record::Outcome;
use crate::clock::{self, StepWatch};
use crate::profile::Url;
use crate::publisher::{Fate, Fates, Measured, Publisher};
use crate::report::model::plan::Phase;
use crate::report::model::series::{Interval, RampPoint};
use crate::report::model::{Mark, PhaseSpan};
use crate::report::objective::Objective;
use crate::schedule::Outline;
use crate::serve::process::ServerProcess;
use hdrhistogram::Histogram;

/// How often this thread looks around.
pub(super) const LOOK_NS: u64 = 20_000_000;

/// From fixing the start to the start: every thread sees it before it is due.
pub(super) const LEAD_NS: u64 = 50_000_000;

/// A run that has received nothing for this long receives nothing any more ...
const QUIET_NS: u64 = 500_000_000;

/// ... or for this long, with publishes that have no answer.
const UNANSWERED_NS_MAX: u64 = 3_000_000_000;

/// What everything saw.
pub(super) struct Evidence {
    pub(super) course: Arc<Course>,
    pub(super) outline: Outline,
    pub(super) urls: Vec<Url>,
    pub(super) publish_url: Option<String>,
    pub(super) publisher_count: u32,
    pub(super) source_count: usize,
    pub(super) thread_count: usize,
    pub(super) deal: Deal,
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
    /// The objectives that it could no longer meet, if that ended it.
    pub(super) breached: Vec<String>,
    pub(super) marks: Vec<Mark>,
    pub(super) refused_but_delivered: u64,
    /// Which of the measured events somebody received on another machine; empty if there is none.
    pub(super) elsewhere: Vec<bool>,
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

/// Carries out a plan; the part of one machine among several has a cue.
///
/// # Errors
///
/// Why nothing could be measured.
pub(super) fn carry_out(
    args: &Args,
    mut plan: Plan,
    cue: Option<&Cue>,
) -> Result<Evidence, String> {
    let signal = cue.map_or_else(signals, |cue| Ok(cue.signal.clone()))?;
    let server = spawn(args, &plan.urls)?;
    let pid = args.pid.or(server.as_ref().map(ServerProcess::id));
    let mut observer = Observer::new(pid);
    observer.before = Some(observer.look(0));
    let packs = plan.packs(args);
    let readers = plan.readers(&packs[0], args.subscribers.0 as usize);
    let cpus = args.cpus.as_ref().map(|cpus| cpus.0.as_slice()).unwrap_or_default();
    let course = plan.course(args, clock::now_ns());
    let hiccups = Hiccups::start(&course).map_err(|error| format!("a thread: {error}"))?;
    let (thread_count, deal) = (packs.len(), packs[0].deal);
    let fleet = Fleet::start(&course, packs, cpus)?;
    let mut stage = Stage {
        args,
        cue,
        course: course.clone(),
        fleet,
        publisher: None,
        observer,
        injector: Injector::new(pid, &args.inject),
        signal,
        watch: StepWatch::start(),
        outline: plan.outline.clone(),
        shown_interval: 0,
        since_ns: clock::now_ns(),
        timeline: Vec::new(),
        ramp: Vec::new(),
        collector: Collector::new(thread_count, course.interval_ns),
        rows: Rows::new(course.interval_ns),
        up_by_interval: BTreeMap::new(),
        show: Show::new(args)?,
        min_up: None,
        breach: Breach::new(watched(args), deliveries(&course, &readers)),
        readers,
        deal,
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
    let hiccups = hiccups.finish();
    let mut evidence = stage.finish(plan, hiccups);
    evidence.publish_url = publish_url;
    evidence.up = up;
    evidence.connect_ns = connect_ns;
    if let Some(server) = server {
        server.end().map_err(|error| format!("--spawn: {error}"))?;
    }
    Ok(evidence)
}

/// The objectives that may end the run.
fn watched(args: &Args) -> &[Objective] {
    if args.abort_on_breach { &args.slo } else { &[] }
}

/// Deliveries of the measured window, if every subscriber is there all the time.
fn deliveries(course: &Course, readers: &[u64]) -> u64 {
    let events = &course.schedule.events()[course.measured()];
    events.iter().map(|event| readers[course.schedule.topic(event.stream) as usize]).sum()
}

/// A number that becomes the signal's when this process is asked to end.
///
/// # Errors
///
/// If the system does not let us.
pub(crate) fn signals() -> Result<Arc<AtomicUsize>, String> {
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)
            .map_err(|error| format!("signals: {error}"))?;
    }
    Ok(signal)
}

/// Starts the server, if it is to be started; else it must be there.
pub(super) fn spawn(args: &Args, urls: &[Url]) -> Result<Option<ServerProcess>, String> {
    let Some(line) = &args.spawn else {
        return urls.iter().try_for_each(Url::is_there).map(|()| None);
    };
    urls.iter().try_for_each(|url| url.is_free_for(line))?;
    let explain = |error: std::io::Error| format!("--spawn {line:?}: {error}");
    let list = |cpus: &Option<Cpus>| cpus.as_ref().map_or_else(Vec::new, |cpus| cpus.0.clone());
    let (theirs, ours) = (list(&args.server_cpus), list(&args.cpus));
    let mut server = ServerProcess::shell_on(line, &theirs, &ours).map_err(explain)?;
    for url in urls {
        server.wait_for(url.address).map_err(explain)?;
    }
    Ok(Some(server))
}

/// A run on its way.
struct Stage<'a> {
    args: &'a Args,
    cue: Option<&'a Cue>,
    course: Arc<Course>,
    fleet: Fleet,
    publisher: Option<Publisher>,
    observer: Observer,
    injector: Injector,
    signal: Arc<AtomicUsize>,
    watch: StepWatch,
    outline: Outline,
    shown_interval: u64,
    since_ns: u64,
    timeline: Vec<PhaseSpan>,
    ramp: Vec<RampPoint>,
    collector: Collector,
    rows: Rows,
    /// Phase and open streams at the end of the intervals that are not closed yet.
    up_by_interval: BTreeMap<u64, (Phase, u64)>,
    show: Show,
    min_up: Option<u64>,
    breach: Breach,
    /// Subscribers by topic, the slow ones left out.
    readers: Vec<u64>,
    deal: Deal,
}

impl Stage<'_> {
    /// Waits until all subscribers are up, or no more come; how long that took.
    fn connect(&mut self) -> u64 {
        let asked = self.args.subscribers.0;
        let patience_ns = clock::ns(self.args.connect_timeout.0);
        // A picture of the ramp begins where nobody is up.
        self.mark_ramp(self.course.began_ns, 0);
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
            .map(|rate| ((t_ns as f64 / 1e9 * rate.0) as u64).min(self.args.subscribers.0));
        let failed = self.fleet.sum(|gauges| &gauges.failed);
        self.ramp.push(RampPoint { t_ns, planned, up, failed });
    }

    /// Waits until the other machines have come as far, if there are any; when the word came.
    fn gather(&mut self, here: Say) -> u64 {
        let Some(cue) = self.cue else { return clock::now_ns() };
        cue.say(here);
        while !self.is_interrupted() {
            if let Some(at_ns) = cue.heard_ns() {
                return at_ns;
            }
            self.rest(LOOK_NS);
        }
        clock::now_ns()
    }

    /// Settle, warm-up, measure, drain; returns the streams open when the window began.
    fn go_through(&mut self) -> u64 {
        let up = self.fleet.sum(|gauges| &gauges.up);
        let begun_ns = self.gather(Say::Up(up));
        self.enter(Phase::Settle);
        let settled_ns = begun_ns + clock::ns(self.args.settle.0);
        self.rest_until(settled_ns);
        let unique = self.fleet.sum(|gauges| &gauges.unique);
        self.observer.idle = Some(self.observer.look(unique));
        // Machines start together: so long after the word, whatever the look took.
        let start_ns = self.cue.map_or_else(clock::now_ns, |_| settled_ns) + LEAD_NS;
        self.course.set_start(start_ns);
        let window = self.course.window_ns.clone();
        self.rest_until(start_ns);
        self.enter(Phase::Warmup);
        self.rest_until(start_ns + window.start);
        self.enter(Phase::Measure);
        let mut up = self.fleet.sum(|gauges| &gauges.up);
        self.min_up = Some(up);
        if self.args.churn.is_some() || self.args.life.is_some() {
            // Who is between two sessions has come up.
            up += self.fleet.sum(|gauges| &gauges.connecting);
        }
        self.observer.window.0 = Some(self.look());
        self.rest_until(start_ns + window.end);
        self.observer.window.1 = Some(self.look());
        self.enter(Phase::Drain);
        self.drain(start_ns + window.end + self.course.horizon_ns);
        self.gather(Say::Drained);
        self.enter(Phase::Drain);
        up
    }

    /// Puts together what everything saw; the course must have been stopped.
    fn finish(mut self, plan: Plan, hiccups: Histogram<u64>) -> Evidence {
        let ended_ns = clock::now_ns();
        let marks = self.injector.finish(ended_ns, self.course.began_ns);
        if self.is_interrupted() && self.cue.is_none() {
            self.show.say(&match self.breach.found.is_empty() {
                true => "interrupted: the report covers what was measured".to_owned(),
                false => format!("{} can no longer be met", self.breach.found.join(", ")),
            });
        }
        let up = self.fleet.sum(|gauges| &gauges.up);
        self.show.finish();
        let published = self.publisher.map(Publisher::finish);
        let reports = self.fleet.reports.clone();
        let thread_count = self.fleet.gauges.len();
        let outcomes = self.fleet.finish();
        reports.try_iter().for_each(|report| self.collector.take(&report));
        while let Some((_, row)) = self.collector.close(true) {
            self.rows.push(Interval { phase: Phase::Drain, up, ..row });
        }
        let signal = self.signal.load(Ordering::Relaxed) as i32;
        Evidence {
            course: self.course,
            urls: plan.urls,
            publish_url: None,
            publisher_count: plan.outline.publishers,
            outline: plan.outline,
            source_count: plan.sources.count(),
            thread_count,
            deal: self.deal,
            stamped: plan.stamped,
            timeline: self.timeline,
            ramp: self.ramp,
            up: 0,
            min_up: self.min_up,
            connect_ns: 0,
            collector: self.collector,
            rows: self.rows.finish(),
            outcomes,
            published,
            observer: self.observer,
            hiccups,
            clock_step_ns: self.watch.step_ns(),
            signal: Some(signal).filter(|&signal| signal > 0),
            breached: self.breach.found,
            refused_but_delivered: 0,
            elsewhere: Vec::new(),
            marks,
            ended_ns,
        }
    }

    fn look(&mut self) -> super::observe::Look {
        let unique = self.fleet.sum(|gauges| &gauges.unique);
        self.observer.look(unique)
    }

    /// Waits for what is still under way: to the horizon of the last event, and then as long as
    /// deliveries still come, but not for ever.
    fn drain(&mut self, deadline_ns: u64) {
        let planned = self.course.schedule.events().len();
        let mut last = (u64::MAX, 0);
        while !self.is_interrupted() {
            let now_ns = self.rest(LOOK_NS);
            let unique = self.fleet.sum(|gauges| &gauges.unique);
            let came = unique + self.fleet.sum(|gauges| &gauges.late);
            if came != last.0 {
                last = (came, now_ns);
            }
            let answered = self.publisher.as_ref().is_none_or(|one| one.unanswered(planned) == 0);
            let complete = answered && now_ns > last.1 + LOOK_NS && self.is_complete(came);
            // A run without a plan does not know what it waits for.
            let patience_ns = if self.publisher.is_some() { LATE_NS_MAX } else { 0 };
            // While a publish has no answer, its event may not have got to the server.
            let quiet_ns = if answered { QUIET_NS } else { UNANSWERED_NS_MAX };
            let over = now_ns >= deadline_ns
                && (now_ns > last.1 + quiet_ns || now_ns >= deadline_ns + patience_ns);
            if over || complete {
                self.course.set_drained();
                return;
            }
        }
    }

    /// Whether every subscriber has every event that was not refused; of a fleet that changes
    /// on the way nobody can tell.
    fn is_complete(&self, came: u64) -> bool {
        let Some(publisher) = &self.publisher else { return true };
        let events = self.course.schedule.events().iter().enumerate();
        let expected: u64 = events
            .filter(|(number, _)| publisher.fate(*number) != Fate::Refused)
            .map(|(_, event)| self.readers[self.course.schedule.topic(event.stream) as usize])
            .sum();
        came >= expected
    }

    fn is_interrupted(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0 || !self.breach.found.is_empty()
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
        if let Some(start_ns) = self.course.start_ns() {
            let window_ns = start_ns + self.course.window_ns.start;
            self.injector.look(now_ns, window_ns, self.course.began_ns);
        }
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
}
