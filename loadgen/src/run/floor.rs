//! The rig floor: what this machine measures of a server that does next to nothing.
//!
//! The idea: `calibrate` stores a run against the built-in server; later runs of a like plan show
//! its p99 beside their own. It is never subtracted. A floor of another plan says nothing, so one
//! that was found by itself is left out then, and one that was asked for is shown with a note.

use std::path::PathBuf;

use crate::report::file;
use crate::report::model::host::RigFloor;
use crate::report::model::plan::Plan;
use crate::report::model::{Run, metric};
use crate::report::text;

/// Where `calibrate` stores a floor unless told otherwise; `None` without a home.
pub(crate) fn default_path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
    let state = set("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
    Some(state.join("downpour-load/floor.json"))
}

/// A stored run that floors are taken from.
#[derive(Debug)]
pub(super) enum Stored {
    /// One that has what is needed.
    Sound { floor: RigFloor, plan: Box<Plan>, asked_for: bool },
    /// One that was found and cannot be used, and why.
    Unsound(String),
}

impl Stored {
    /// Reads the floor that was asked for, or else the one of this machine, if there is one.
    ///
    /// # Errors
    ///
    /// If one was asked for and cannot be used.
    pub(super) fn read(asked_for: Option<&str>) -> Result<Option<Stored>, String> {
        let path = match (asked_for, default_path().filter(|path| path.exists())) {
            (Some(path), _) => path.to_owned(),
            (None, Some(path)) => path.to_string_lossy().into_owned(),
            (None, None) => return Ok(None),
        };
        match (one(&path), asked_for) {
            (Ok((floor, plan)), _) => {
                let (plan, asked_for) = (Box::new(plan), asked_for.is_some());
                Ok(Some(Stored::Sound { floor, plan, asked_for }))
            }
            (Err(error), Some(_)) => Err(format!("--floor {error}")),
            (Err(error), None) => Ok(Some(Stored::Unsound(error))),
        }
    }

    /// Puts the floor into a report, or says why it does not fit.
    pub(super) fn enter(self, run: &mut Run) {
        if run.plan.rate.is_empty() {
            // A floor is one of published events.
            return;
        }
        let (floor, plan, asked_for) = match self {
            Stored::Sound { floor, plan, asked_for } => (floor, plan, asked_for),
            Stored::Unsound(why) => {
                run.notes.push(format!("the rig floor cannot be used: {why}"));
                return;
            }
        };
        let unlike = unlike(&plan, &run.plan);
        if !unlike.is_empty() {
            let source = &floor.source;
            run.notes.push(format!("the rig floor of {source} is of another plan: {unlike}"));
        }
        if unlike.is_empty() || asked_for {
            run.rig.floor = Some(floor);
        }
    }
}

fn one(path: &str) -> Result<(RigFloor, Plan), String> {
    let run = file::read_one(path)?;
    let delivery = run.metrics.get(metric::DELIVERY);
    let p99 = delivery.and_then(|delivery| delivery.percentile("99"));
    let p99 = p99.ok_or_else(|| format!("{path}: the run has no p99 of delivery"))?;
    Ok((RigFloor { source: path.to_owned(), p99 }, run.plan))
}

/// In what two plans differ that moves a floor; empty if in nothing.
fn unlike(floor: &Plan, run: &Plan) -> String {
    let sizes = |plan: &Plan| plan.size.as_ref().map_or_else(String::new, text::sizes);
    let pairs = [
        ("subscribers", floor.subscribers.to_string(), run.subscribers.to_string()),
        ("events/s", rate(floor), rate(run)),
        ("sizes", sizes(floor), sizes(run)),
        ("topics", floor.topics.to_string(), run.topics.to_string()),
        ("threads", floor.threads.to_string(), run.threads.to_string()),
    ];
    let differing = pairs.iter().filter(|(_, there, here)| there != here);
    let texts: Vec<String> =
        differing.map(|(name, there, here)| format!("{name} {there} there, {here} here")).collect();
    texts.join("; ")
}

/// The rates of a plan as on the command line.
fn rate(plan: &Plan) -> String {
    if let Some(pace) = &plan.pace {
        return pace.clone();
    }
    let rates: Vec<String> = plan.rate.iter().map(|[_, rate]| rate.to_string()).collect();
    rates.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(subscribers: u64) -> Plan {
        Plan { subscribers, rate: vec![[0.0, 20.0]], ..Plan::default() }
    }

    fn stored(subscribers: u64, asked_for: bool) -> Stored {
        let floor = RigFloor { source: "floor.json".to_owned(), p99: 210_000 };
        Stored::Sound { floor, plan: Box::new(plan(subscribers)), asked_for }
    }

    #[test]
    fn a_floor_of_another_plan_is_shown_only_if_it_was_asked_for() {
        for (subscribers, asked_for, shown, noted) in
            [(0, false, true, false), (7, false, false, true), (7, true, true, true)]
        {
            let mut run = Run { plan: plan(0), ..Run::default() };
            stored(subscribers, asked_for).enter(&mut run);
            assert_eq!((run.rig.floor.is_some(), !run.notes.is_empty()), (shown, noted));
        }
    }

    #[test]
    fn a_run_that_publishes_nothing_has_no_floor_and_no_word_about_one() {
        let mut run = Run::default();
        stored(7, false).enter(&mut run);
        Stored::Unsound("floor.json: not JSON".to_owned()).enter(&mut run);
        assert!(run.rig.floor.is_none() && run.notes.is_empty(), "{:?}", run.notes);
    }
}
