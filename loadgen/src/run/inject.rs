//! Faults put upon the server on purpose: `--inject sigstop:1.4s@30s`.
//!
//! The idea: a server that stands still for a known time is the oldest test of a load generator.
//! One that counts latency from its own sends hardly sees it; here every event that was due
//! meanwhile is charged. The times that a mark states are those at which the signals really went
//! out, which is when the run looked around, up to 20 ms after the plan.
//!
//! Invariant: a process that was stopped goes on, at the latest when the injector is dropped.

use std::fmt;

use std::time::Duration;

use super::procfs;
use crate::amount::Span;
use crate::clock;
use crate::report::model::Mark;
use crate::report::unit;
use crate::serve::process::{self, Signal};

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// It stands still for so long.
    Stop { length_ns: u64 },
    /// It ends at once.
    Kill,
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Injection {
    act: Act,
    /// From the start of the measured window.
    at_ns: u64,
}

impl std::str::FromStr for Injection {
    type Err = String;
    fn from_str(text: &str) -> Result<Injection, String> {
        let wrong =
            || format!("{text:?}: give sigstop:LENGTH@TIME, as sigstop:1.4s@30s, or sigkill@TIME");
        let (act, at) = text.split_once('@').ok_or_else(wrong)?;
        let act = match act.split_once(':') {
            Some(("sigstop", length)) => match length.parse()? {
                Span(length) if length.is_zero() => {
                    return Err(format!("{text:?} stops for no time; give one, as 1.4s"));
                }
                Span(length) => Act::Stop { length_ns: clock::ns(length) },
            },
            None if act == "sigkill" => Act::Kill,
            _ => return Err(wrong()),
        };
        let Span(at) = at.parse()?;
        Ok(Injection { act, at_ns: clock::ns(at) })
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |ns| unit::length(ns).replace(' ', "");
        let at = text(self.at_ns);
        match self.act {
            Act::Stop { length_ns } => write!(f, "sigstop:{}@{at}", text(length_ns)),
            Act::Kill => write!(f, "sigkill@{at}"),
        }
    }
}

impl Injection {
    /// Refuses a fault whose time never comes.
    ///
    /// # Errors
    ///
    /// What it says, and what it may say.
    pub(super) fn check(&self, window: Duration) -> Result<(), String> {
        let window_ns = clock::ns(window);
        if self.at_ns < window_ns {
            return Ok(());
        }
        Err(format!(
            "--inject {self}: the measured window is over by then; give a time before {}, or a \
             longer --duration",
            unit::length(window_ns)
        ))
    }
}

/// Carries faults out as their times come.
#[derive(Debug)]
pub(super) struct Injector {
    pid: Option<u32>,
    /// What is still to come, the next one last.
    planned: Vec<Injection>,
    /// Processes that stand still, since when and until when.
    stopped: Option<(Vec<u32>, u64, u64)>,
    marks: Vec<Mark>,
}

impl Injector {
    pub(super) fn new(pid: Option<u32>, planned: &[Injection]) -> Injector {
        let mut planned = planned.to_vec();
        planned.sort_by_key(|injection| std::cmp::Reverse(injection.at_ns));
        Injector { pid, planned, stopped: None, marks: Vec::new() }
    }

    /// Does what is due; the window began at `window_ns`, the run at `began_ns`.
    pub(super) fn look(&mut self, now_ns: u64, window_ns: u64, began_ns: u64) {
        if self.stopped.as_ref().is_some_and(|(_, _, until_ns)| now_ns >= *until_ns) {
            self.go_on(now_ns, began_ns);
        }
        // One at a time: a fault that falls into another waits for its end.
        let due = |next: &Injection| window_ns + next.at_ns <= now_ns;
        if self.stopped.is_some() || !self.planned.last().is_some_and(due) {
            return;
        }
        let (Some(injection), Some(pid)) = (self.planned.pop(), self.pid) else { return };
        let all = procfs::processes(pid);
        let signal = match injection.act {
            Act::Stop { .. } => Signal::Stop,
            Act::Kill => Signal::Kill,
        };
        let reached = all.iter().filter(|&&pid| process::send(pid, signal).is_ok()).count();
        let text = match (injection.act, reached) {
            (_, 0) => format!("{injection}: the server's process is gone"),
            (Act::Kill, _) => "server killed (SIGKILL)".to_owned(),
            (Act::Stop { length_ns }, _) => {
                self.stopped = Some((all, now_ns, now_ns + length_ns));
                return;
            }
        };
        self.marks.push(Mark { t_ns: now_ns - began_ns, text });
    }

    fn go_on(&mut self, now_ns: u64, began_ns: u64) {
        let Some((_, since_ns, _)) = &self.stopped else { return };
        let (since_ns, length) = (*since_ns, unit::length(now_ns - *since_ns));
        self.release();
        let text = format!("server stopped for {length} (SIGSTOP)");
        self.marks.push(Mark { t_ns: since_ns - began_ns, text });
    }

    fn release(&mut self) {
        for pid in self.stopped.take().into_iter().flat_map(|(all, _, _)| all) {
            // One that ended meanwhile needs it no more.
            let _ = process::send(pid, Signal::Continue);
        }
    }

    /// What was done, and when; what still stands goes on.
    pub(super) fn finish(&mut self, now_ns: u64, began_ns: u64) -> Vec<Mark> {
        self.go_on(now_ns, began_ns);
        std::mem::take(&mut self.marks)
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_written() {
        let stop = Injection { act: Act::Stop { length_ns: 1_400_000_000 }, at_ns: 30_000_000_000 };
        assert_eq!("sigstop:1.4s@30s".parse(), Ok(stop));
        assert_eq!(stop.to_string(), "sigstop:1.4s@30s");
        let kill = Injection { act: Act::Kill, at_ns: 2_000_000_000 };
        assert_eq!("sigkill@2s".parse(), Ok(kill));
        for text in [
            "sigstop@3s",
            "sigkill:1s@3s",
            "sigstop:1s",
            "sigstop:0s@1s",
            "sigterm@1s",
            "sigkill@-1s",
            "sigkill@",
            "",
        ] {
            assert!(text.parse::<Injection>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_fault_behind_the_window_is_refused() {
        let kill: Injection = "sigkill@10s".parse().expect("a fault");
        assert_eq!(kill.check(Duration::from_secs(11)), Ok(()));
        let error = kill.check(Duration::from_secs(10)).unwrap_err();
        assert!(error.contains("sigkill@10") && error.contains("before 10"), "{error}");
    }

    #[test]
    fn a_stopped_process_goes_on_when_its_time_is_over_and_is_marked() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("sleep");
        let plan =
            ["sigstop:100ms@1s".parse().expect("a fault"), "sigkill@3s".parse().expect("one")];
        let mut injector = Injector::new(Some(child.id()), &plan);
        const S: u64 = 1_000_000_000;
        injector.look(10 * S, 10 * S, 5 * S);
        assert!(injector.stopped.is_none(), "nothing is due yet");
        injector.look(11 * S, 10 * S, 5 * S);
        assert!(injector.stopped.is_some());
        injector.look(11 * S + S / 5, 10 * S, 5 * S);
        assert!(injector.stopped.is_none());
        injector.look(13 * S, 10 * S, 5 * S);
        let marks = injector.finish(13 * S, 5 * S);
        assert_eq!(marks.iter().map(|mark| mark.t_ns).collect::<Vec<_>>(), [6 * S, 8 * S]);
        assert!(!child.wait().expect("killed").success());
    }
}
