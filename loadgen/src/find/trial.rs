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
    /// Runs one trial with `flags` added to the fixed arguments.
    ///
    /// # Errors
    ///
    /// Why there is no result at all: what comes between failed, or the run could not be made.
    pub(super) fn trial(&self, value: u64, flags: &[String]) -> Result<Trial, String> {
        if let Some(between) = &self.between {
            let status = Command::new("sh").args(["-c", between]).status();
            if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
                return Err(format!("--between {between:?}: {status:?}"));
            }
        }
        Ok(self.judge(value, &self.run(flags)?))
    }

    fn run(&self, flags: &[String]) -> Result<Run, String> {
        let arguments = [self.arguments.as_slice(), flags].concat();
        child::run(&arguments)?.run.map_err(|error| format!("run {}: {error}", flags.join(" ")))
    }

    fn judge(&self, value: u64, run: &Run) -> Trial {
        let slo: Vec<SloResult> =
            self.objectives.iter().map(|objective| objective.judge(run)).collect();
        let outcome = if run.verdict.status == Status::Invalid {
            Outcome::Invalid
        } else if slo.iter().any(|slo| slo.ok == Some(false)) {
            Outcome::Breached
        } else if slo.iter().all(|slo| slo.ok == Some(true)) {
            Outcome::Held
        } else {
            Outcome::Invalid
        };
        Trial {
            value,
            outcome,
            slo,
            verdict: run.verdict.status.word().to_owned(),
            reasons: run.verdict.reasons.iter().map(|reason| reason.text.clone()).collect(),
        }
    }
}
