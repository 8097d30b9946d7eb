//! The one clock of a run: CLOCK_REALTIME, in nanoseconds since the UNIX epoch.
//!
//! The idea: the kernel stamps received data with CLOCK_REALTIME, so intended times, sends and
//! reads use the same clock and every latency is a plain difference. That clock may be stepped
//! from outside; [`StepWatch`] compares it with CLOCK_MONOTONIC, and a run with a step is void.

#![expect(unsafe_code, reason = "absolute sleeps and thread settings exist only in libc")]

use std::time::Duration;

/// A step of the wall clock that is larger than this is no adjustment of its rate any more:
/// NTP slews by at most 500 parts per million, 50 µs between two looks at 100 ms.
const STEP_NS_MAX: i64 = 1_000_000;

/// The time now: nanoseconds since the UNIX epoch.
pub(crate) fn now_ns() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// CPU time of the calling thread, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// How long the calling thread has been ready to run and had no processor, in nanoseconds; `None`
/// if the kernel does not count it (Documentation/scheduler/sched-stats.rst).
pub(crate) fn thread_waited_ns() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes one timespec to a valid, exclusive place. The clock ids used
    // in this file exist on every Linux, so it cannot fail; a failure would leave zeros.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "clock {clock} cannot be read");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps until the clock shows `deadline_ns`; returns early only if a signal arrives.
pub(crate) fn sleep_until(deadline_ns: u64) {
    let time = libc::timespec {
        tv_sec: (deadline_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (deadline_ns % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: clock_nanosleep reads one timespec; the remainder pointer may be null for an
    // absolute time. Nanoseconds are below 10^9 by the division above.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_REALTIME,
            libc::TIMER_ABSTIME,
            &raw const time,
            std::ptr::null_mut(),
        );
    }
}

/// Lets timers of the calling thread fire on time: by default the kernel may delay a sleep by
/// 50 µs to fire several together.
pub(crate) fn sharpen_timers() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and changes the calling thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

/// Pins the calling thread to one processor.
///
/// # Errors
///
/// If the processor does not exist or is not allowed to this process.
pub(crate) fn pin(cpu: usize) -> std::io::Result<()> {
    stay_on(&[cpu])
}

/// Lets the calling thread, and the threads and processes that it starts from now on, run on these
/// processors alone.
///
/// # Errors
///
/// If one is beyond the kernel's masks, or none of them is allowed to this process.
pub(crate) fn stay_on(cpus: &[usize]) -> std::io::Result<()> {
    if cpus.iter().any(|&cpu| cpu >= libc::CPU_SETSIZE as usize) {
        return Err(std::io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: an all-zero cpu_set_t is the empty set; CPU_SET writes within it because the
    // indices were checked above; sched_setaffinity reads it for its whole size. 0 = this thread.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cpus.iter().for_each(|&cpu| libc::CPU_SET(cpu, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A span of time in nanoseconds.
pub(crate) fn ns(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Notices a wall clock that was set while it was being measured with.
#[derive(Debug)]
pub(crate) struct StepWatch {
    offset_ns: i64,
    largest_step_ns: i64,
}

impl StepWatch {
    /// Starts from the clocks as they are now.
    pub(crate) fn start() -> StepWatch {
        StepWatch { offset_ns: offset(), largest_step_ns: 0 }
    }

    /// Compares the clocks again; to be called every 100 ms or so.
    pub(crate) fn look(&mut self) {
        self.compare(offset());
    }

    fn compare(&mut self, offset_ns: i64) {
        let step = offset_ns - self.offset_ns;
        if step.abs() > self.largest_step_ns.abs() {
            self.largest_step_ns = step;
        }
        self.offset_ns = offset_ns;
    }

    /// The largest step seen, if one was more than a slew.
    pub(crate) fn step_ns(&self) -> Option<i64> {
        (self.largest_step_ns.abs() > STEP_NS_MAX).then_some(self.largest_step_ns)
    }
}

/// CLOCK_REALTIME minus CLOCK_MONOTONIC. The tightest of three readings counts: a thread that
/// loses its processor between the two clocks would see a step that is none.
fn offset() -> i64 {
    let one = || {
        let before = read(libc::CLOCK_MONOTONIC);
        let wall = read(libc::CLOCK_REALTIME);
        let after = read(libc::CLOCK_MONOTONIC);
        (after - before, wall as i64 - (before + (after - before) / 2) as i64)
    };
    [one(), one(), one()].into_iter().min().expect("three readings").1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_never_ends_before_its_deadline() {
        for microseconds in [0, 1, 50, 500] {
            let deadline = now_ns() + microseconds * 1_000;
            sleep_until(deadline);
            assert!(now_ns() >= deadline);
        }
    }

    #[test]
    fn a_step_is_told_from_a_slew() {
        let mut watch = StepWatch { offset_ns: 0, largest_step_ns: 0 };
        for look in 1..100 {
            watch.compare(look * 50_000);
        }
        assert_eq!(watch.step_ns(), None);
        watch.compare(99 * 50_000 - 2_000_000);
        assert_eq!(watch.step_ns(), Some(-2_000_000));
    }

    #[test]
    fn a_processor_that_does_not_exist_is_refused() {
        assert!(pin(1_000_000).is_err());
        assert!(pin(libc::CPU_SETSIZE as usize - 1).is_err());
    }
}
