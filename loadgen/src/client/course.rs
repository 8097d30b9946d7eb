//! What all threads of a run share: the plan, the moment it starts, the phase it is in.
//!
//! Everything but the start, the phase and the gauges is fixed before the threads start. These
//! atomics carry numbers that nothing else depends on and are Relaxed: a thread that sees a phase
//! a moment late loses nothing. Only `stop` orders: its Release store pairs with the Acquire load
//! of the threads, so that a thread that sees it also sees whether the run was drained.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use super::relative::Relative;
use crate::report::model::plan::Phase;
use crate::schedule::Schedule;

/// Longest time beyond the horizon in which deliveries are read that still come. They are late all
/// the same, but not lost; and what was received in time and not read yet is neither.
pub(crate) const LATE_NS_MAX: u64 = 10_000_000_000;

/// The shared state of a run: its plan, and how far it has come.
#[derive(Debug)]
pub(crate) struct Course {
    plan: Plan,
    /// Length of a reporting interval.
    pub(crate) interval_ns: u64,
    /// Events known by content; only where the run publishes nothing itself.
    pub(crate) relative: Option<Relative>,
    /// Start of the warm-up; 0 while it is not known.
    start_ns: AtomicU64,
    phase: AtomicU8,
    stop: AtomicBool,
    drained: AtomicBool,
}

/// What is fixed before the threads start.
#[derive(Debug)]
pub(crate) struct Plan {
    /// All planned events.
    pub(crate) schedule: Schedule,
    /// The number that marks this run's stamps.
    pub(crate) run: u32,
    /// Which of the machines that publish this one is.
    pub(crate) machine: u32,
    /// The measured window, from the start of the warm-up.
    pub(crate) window_ns: std::ops::Range<u64>,
    /// A subscriber is due for the events that are planned this long after its stream opened:
    /// many servers send the head before they have registered the subscriber.
    pub(crate) guard_ns: u64,
    /// A delivery that takes longer is lost.
    pub(crate) horizon_ns: u64,
    /// When the run began; intervals count from here.
    pub(crate) began_ns: u64,
    /// Whether events are known by their content instead of our stamp.
    pub(crate) relative: bool,
}

/// A course is read as its plan is.
impl std::ops::Deref for Course {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

impl Course {
    /// A run in its connect phase.
    pub(crate) fn new(plan: Plan) -> Course {
        Course {
            interval_ns: 1_000_000_000,
            relative: plan.relative.then(|| Relative::new(plan.horizon_ns)),
            start_ns: AtomicU64::new(0),
            phase: AtomicU8::new(Phase::Connect as u8),
            stop: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            plan,
        }
    }

    /// The start of the warm-up, once it is known.
    pub(crate) fn start_ns(&self) -> Option<u64> {
        Some(self.start_ns.load(Ordering::Relaxed)).filter(|&start| start > 0)
    }

    /// Whether this machine publishes a stream. The clock of another one is not ours.
    pub(crate) fn is_own(&self, stream: u32) -> bool {
        self.schedule.machine(stream) == self.machine
    }

    /// When an event is due by our clock, whoever publishes it: each machine counts from its own
    /// start. While ours is not known, that is long ago.
    pub(crate) fn due_ns(&self, number: usize) -> u64 {
        self.start_ns().unwrap_or(0) + self.schedule.events()[number].at_ns
    }

    /// Fixes the start of the warm-up.
    pub(crate) fn set_start(&self, start_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Relaxed);
    }

    /// The phase the run is in.
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Connect,
            1 => Phase::Settle,
            2 => Phase::Warmup,
            3 => Phase::Measure,
            _ => Phase::Drain,
        }
    }

    /// Moves the run on.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Whether the threads shall end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether the run waited for everything that was due.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Says that the run has waited for everything that was due; before [`Course::stop`].
    pub(crate) fn set_drained(&self) {
        self.drained.store(true, Ordering::Relaxed);
    }

    /// Ends the threads.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// The numbers of the measured events.
    pub(crate) fn measured(&self) -> std::ops::Range<usize> {
        let events = self.schedule.events();
        let place = |at_ns| events.partition_point(|event| event.at_ns < at_ns);
        place(self.window_ns.start)..place(self.window_ns.end)
    }

    /// The measured window on the clock; empty while the start is not known.
    pub(crate) fn window(&self) -> std::ops::Range<u64> {
        let start_ns = self.start_ns().unwrap_or(0);
        if start_ns == 0 {
            0..0
        } else {
            start_ns + self.window_ns.start..start_ns + self.window_ns.end
        }
    }

    /// The interval that a time belongs to.
    pub(crate) fn interval(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.began_ns) / self.interval_ns
    }
}

/// What a reading thread shows while it runs. Relaxed: only read to be shown, or to see whether
/// a phase can end.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// Open streams.
    pub(crate) up: AtomicU64,
    /// Connects under way.
    pub(crate) connecting: AtomicU64,
    /// Connects that failed, each attempt counted.
    pub(crate) failed: AtomicU64,
    /// Subscribers that will not be tried again.
    pub(crate) given_up: AtomicU64,
    /// Subscribers that were started at least once.
    pub(crate) started: AtomicU64,
    /// Streams that ended before the run wanted it.
    pub(crate) dropped: AtomicU64,
    /// First arrivals that count.
    pub(crate) unique: AtomicU64,
    /// First arrivals after the horizon.
    pub(crate) late: AtomicU64,
    /// Measured deliveries that have been missing for longer than a run would wait for them, as far
    /// as they are followed by name.
    pub(crate) missing: AtomicU64,
}
