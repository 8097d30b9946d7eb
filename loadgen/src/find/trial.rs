//! One trial: one run, and what came of it.
//!
//! The run is a child process, the same program a user would start, so that a trial measures
//! nothing else than `downpour-load run` with these arguments does.

use std::process::Command;

use serde::Serialize;

use super::child;
use super::search::Outcome;
use crate::report::model::Run;
use crate::report::model::verdict::{SloResult, Status};
use crate::report::objective::Objective;

/// How trials are made.
#[derive(Debug)]
pub(super) struct Setting {
    /// Command line run before each trial.
    pub(super) between: Option<String>,
    pub(super) objectives: Vec<Objective>,
    /// The arguments of `run` that never change.
    pub(super) arguments: Vec<String>,
    /// Where the search is told as it goes.
    pub(super) tell: fn(String),
}

/// One finished trial.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Trial {
    pub(super) value: u64,
    pub(super) outcome: Outcome,
    pub(super) slo: Vec<SloResult>,
    /// The run's verdict and its reasons, as words.
    pub(super) verdict: String,
    pub(super) reasons: Vec<String>,
}

impl Setting {
    /// Runs one trial with `flags` added to the fixed arguments. `proven`: a run with such
    /// arguments has been made before, so that one that cannot be made is the server's failure.
    ///
    /// # Errors
    ///
    /// Why there is no result at all: what comes between failed, or the run could not be made.
    pub(super) fn trial(
        &self,
        value: u64,
        flags: &[String],
        proven: bool,
    ) -> Result<Trial, String> {
        if let Some(between) = &self.between {
            let status = Command::new("sh").args(["-c", between]).status();
            if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
                return Err(format!("--between {between:?}: {status:?}"));
            }
        }
        match self.run(flags) {
            Ok(run) => Ok(self.judge(value, &run)),
            Err(error) if proven => Ok(Trial {
                value,
                outcome: Outcome::Breached,
                slo: Vec::new(),
                verdict: "no run".to_owned(),
                reasons: vec![error],
            }),
            Err(error) => Err(error),
        }
    }

    fn run(&self, flags: &[String]) -> Result<Run, String> {
        let arguments = [self.arguments.as_slice(), flags].concat();
        child::run(&arguments)?.run.map_err(|error| format!("run {}: {error}", flags.join(" ")))
    }

    fn judge(&self, value: u64, run: &Run) -> Trial {
        let slo: Vec<SloResult> =
            self.objectives.iter().map(|objective| objective.judge(run)).collect();
        let unserved = unserved(run);
        let breached = unserved.is_some()
            || run.verdict.status == Status::Invalid
            || slo.iter().any(|slo| slo.ok == Some(false));
        let outcome = if !says_something(run) {
            Outcome::Invalid
        } else if breached {
            Outcome::Breached
        } else if slo.iter().all(|slo| slo.ok == Some(true)) {
            Outcome::Held
        } else {
            Outcome::Invalid
        };
        let reasons = run.verdict.reasons.iter().map(|reason| reason.text.clone());
        Trial {
            value,
            outcome,
            slo,
            verdict: run.verdict.status.word().to_owned(),
            reasons: unserved.into_iter().chain(reasons).collect(),
        }
    }
}

/// Share of the planned events that a server may leave unaccepted: beyond it, it does not carry
/// the load, whatever the latencies of the rest.
const UNACCEPTED_SHARE_MAX: f64 = 0.01;

/// Why the server did not carry the load that it was given, if it did not take the events.
fn unserved(run: &Run) -> Option<String> {
    let publish = run.publish.as_ref().filter(|publish| publish.planned > 0)?;
    let left = publish.planned.saturating_sub(publish.acked);
    let share = left as f64 / publish.planned as f64;
    (share > UNACCEPTED_SHARE_MAX).then(|| {
        format!("the server accepted only {} of {} events", publish.acked, publish.planned)
    })
}

/// Whether a run says something about the server. One that is INVALID does not, with two
/// exceptions: a server that does not take its events, or its subscribers, has reached its limit,
/// unless it was this machine that had no port or descriptor left for them.
fn says_something(run: &Run) -> bool {
    let mut invalid = run.verdict.reasons.iter().filter(|it| it.status == Status::Invalid);
    invalid.all(|reason| match reason.code.as_str() {
        "connections" => run.connect.errors.local == 0,
        "publish_blocked" | "refused" => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::counts::Publish;
    use crate::report::model::verdict::Reason;

    fn outcome(lost: Option<u64>, invalid: Option<&str>, local: u64) -> Outcome {
        let mut run = Run::default();
        run.counts.lost = lost;
        run.connect.errors.local = local;
        if let Some(code) = invalid {
            run.verdict.add(reason(code));
        }
        setting().judge(1, &run).outcome
    }

    fn reason(code: &str) -> Reason {
        Reason {
            code: code.to_owned(),
            status: Status::Invalid,
            value: None,
            limit: None,
            text: String::new(),
        }
    }

    fn setting() -> Setting {
        let objectives = vec!["lost==0".parse().expect("an objective")];
        Setting { between: None, objectives, arguments: Vec::new(), tell: drop }
    }

    #[test]
    fn objectives_decide_only_where_the_measurement_is_worth_something() {
        assert_eq!(outcome(Some(0), None, 0), Outcome::Held);
        assert_eq!(outcome(Some(1), None, 0), Outcome::Breached);
        assert_eq!(outcome(None, None, 0), Outcome::Invalid);
        assert_eq!(outcome(Some(0), Some("rate"), 0), Outcome::Invalid);
        assert_eq!(outcome(Some(1), Some("rate"), 0), Outcome::Invalid);
    }

    #[test]
    fn a_server_that_does_not_take_its_events_is_at_its_limit() {
        let judged = |acked: u64, code: Option<&str>| {
            let publish = Publish { planned: 1_000, sent: 1_000, acked, ..Publish::default() };
            let mut run = Run { publish: Some(publish), ..Run::default() };
            run.counts.lost = Some(0);
            if let Some(code) = code {
                run.verdict.add(reason(code));
            }
            setting().judge(1, &run)
        };
        assert_eq!(judged(1_000, None).outcome, Outcome::Held);
        assert_eq!(judged(990, None).outcome, Outcome::Held);
        let refused = judged(989, None);
        assert_eq!(refused.outcome, Outcome::Breached);
        assert!(refused.reasons[0].contains("989 of 1000"), "{:?}", refused.reasons);
        assert_eq!(judged(500, Some("publish_blocked")).outcome, Outcome::Breached);
        assert_eq!(judged(500, Some("rate")).outcome, Outcome::Invalid);
    }

    #[test]
    fn a_server_that_takes_no_more_subscribers_is_at_its_limit_and_a_full_machine_is_not() {
        assert_eq!(outcome(Some(0), Some("connections"), 0), Outcome::Breached);
        assert_eq!(outcome(Some(0), Some("connections"), 3), Outcome::Invalid);
    }
}
