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

/// Where `calibrate` stores a floor unless told otherwise; `None` without a home.
pub(crate) fn default_path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
    let state = set("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
    Some(state.join("downpour-load/floor.json"))
}

/// A stored run that floors are taken from.
#[derive(Debug)]
pub(super) struct Stored {
    floor: RigFloor,
    plan: Plan,
    asked_for: bool,
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
                Ok(Some(Stored { floor, plan, asked_for: asked_for.is_some() }))
            }
            (Err(error), Some(_)) => Err(format!("--floor {error}")),
            (Err(_), None) => Ok(None),
        }
    }

    /// Puts the floor into a report, or says why it does not fit.
    pub(super) fn enter(self, run: &mut Run) {
        let unlike = unlike(&self.plan, &run.plan);
        if !unlike.is_empty() {
            let source = &self.floor.source;
            run.notes.push(format!("the rig floor of {source} is of another plan: {unlike}"));
        }
        if unlike.is_empty() || self.asked_for {
            run.rig.floor = Some(self.floor);
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
    let bytes = |plan: &Plan| plan.size.as_ref().map_or(0, |size| size.max_bytes);
    let pairs = [
        ("subscribers", floor.subscribers.to_string(), run.subscribers.to_string()),
        ("rate", format!("{:?}", ends(floor)), format!("{:?}", ends(run))),
        ("bytes", bytes(floor).to_string(), bytes(run).to_string()),
        ("topics", floor.topics.to_string(), run.topics.to_string()),
        ("threads", floor.threads.to_string(), run.threads.to_string()),
    ];
    let differing = pairs.iter().filter(|(_, there, here)| there != here);
    let texts: Vec<String> =
        differing.map(|(name, there, here)| format!("{name} {there} there, {here} here")).collect();
    texts.join("; ")
}

/// The rates at both ends of a plan.
fn ends(plan: &Plan) -> Vec<f64> {
    plan.rate.iter().map(|[_, rate]| *rate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(subscribers: u64, asked_for: bool) -> Stored {
        let floor = RigFloor { source: "floor.json".to_owned(), p99: 210_000 };
        Stored { floor, plan: Plan { subscribers, ..Plan::default() }, asked_for }
    }

    #[test]
    fn a_floor_of_another_plan_is_shown_only_if_it_was_asked_for() {
        for (subscribers, asked_for, shown, noted) in
            [(0, false, true, false), (7, false, false, true), (7, true, true, true)]
        {
            let mut run = Run::default();
            stored(subscribers, asked_for).enter(&mut run);
            assert_eq!((run.rig.floor.is_some(), !run.notes.is_empty()), (shown, noted));
        }
    }
}
