//! The hiccup meter: how long this machine makes a thread wait that wants to run now and then.
//!
//! The idea: a thread sleeps to a fixed time again and again and records how late it woke. What
//! it sees, every thread of the load generator suffers too; a delivery as late as a hiccup may
//! be the rig's fault and not the server's.

use std::sync::Arc;
use std::thread::JoinHandle;

use hdrhistogram::Histogram;

use crate::client::course::Course;
use crate::client::tally::enter;
use crate::clock;
use crate::report::model::metric::new_histogram;
use crate::report::model::plan::Phase;

/// How often the meter wakes. Stalls below this are seen in part; a tighter one would be load.
const TICK_NS: u64 = 2_000_000;

/// The running meter.
#[derive(Debug)]
pub(super) struct Hiccups(JoinHandle<Histogram<u64>>);

impl Hiccups {
    /// Starts the meter; it records while the run measures and ends when the run does.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub(super) fn start(course: &Arc<Course>) -> std::io::Result<Hiccups> {
        let course = course.clone();
        let thread = std::thread::Builder::new().name("hiccups".to_owned());
        thread.spawn(move || measure(&course)).map(Hiccups)
    }

    /// The stalls; the course must have been stopped.
    pub(super) fn finish(self) -> Histogram<u64> {
        self.0.join().expect("the hiccup meter panicked")
    }
}

fn measure(course: &Course) -> Histogram<u64> {
    clock::sharpen_timers();
    let mut hiccups = new_histogram();
    let mut next_ns = clock::now_ns() + TICK_NS;
    while !course.is_stopped() {
        clock::sleep_until(next_ns);
        let late_ns = clock::now_ns().saturating_sub(next_ns);
        if course.phase() == Phase::Measure {
            enter(&mut hiccups, late_ns);
        }
        next_ns += TICK_NS + late_ns / TICK_NS * TICK_NS;
    }
    hiccups
}
