//! The same run several times: `--runs N`.
//!
//! The idea: a server that was started anew settles elsewhere, and a machine is never twice the
//! same; how far a figure moves from run to run is part of the figure. So a plan is carried out
//! several times, with a spawned server started anew each time and `--between` in between, each run
//! has a report of its own, and the summary shows the smallest, the middle and the largest of each
//! figure. Histograms are merged; percentiles are never averaged.
//!
//! It knows nothing of how a run is made.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Args, Finished};
use crate::failure::Failure;
use crate::report::comparison::ROUND;
use crate::report::model::Run;
use crate::report::{merge, output};

/// Runs of one command at most: beyond that it is a typing error rather than a plan.
pub(super) const RUNS_COUNT_MAX: u32 = 1_000;

/// All runs of a command, in order; at least one.
pub(super) struct Repeated {
    pub(super) each: Vec<Finished>,
}

/// Carries out a plan as often as its flags say, as far as no signal ends it. Of several runs each
/// is told as soon as it is over.
///
/// # Errors
///
/// Why nothing could be measured, or why there was no next run.
pub(super) fn carry_out(
    args: &Args,
    measure: impl Fn(&Args) -> Result<Finished, Failure>,
    tell: impl Fn(&Run),
) -> Result<Repeated, Failure> {
    let mut repeated = Repeated { each: Vec::new() };
    for round in 1..=args.runs {
        if let Some(command) = args.between.as_ref().filter(|_| round > 1) {
            between(command)?;
        }
        let mut finished = measure(args)?;
        if args.runs > 1 {
            finished.run.labels.entry(ROUND.to_owned()).or_insert_with(|| round.to_string());
            output_of(&args.output, round).write(&finished.run).map_err(Failure::Broken)?;
            tell(&finished.run);
        }
        repeated.each.push(finished);
        if repeated.signal().is_some() {
            break;
        }
    }
    Ok(repeated)
}

impl Repeated {
    /// The signal that ended the last run early.
    pub(super) fn signal(&self) -> Option<i32> {
        self.each.last()?.signal
    }

    /// One run made of all.
    ///
    /// # Errors
    ///
    /// If a histogram cannot be decoded.
    pub(super) fn summary(&self) -> Result<Run, Failure> {
        let runs: Vec<Run> = self.each.iter().map(|finished| finished.run.clone()).collect();
        let mut merged = merge::merge(&runs).map_err(Failure::Broken)?;
        merged.name.clone_from(&runs[0].name);
        Ok(merged)
    }
}

fn between(command: &str) -> Result<(), Failure> {
    let broken = |why: String| Failure::Broken(format!("--between {command:?}: {why}"));
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null());
    match shell.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(broken(status.to_string())),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// Where the files of one run go: `report.json` of the summary is `report-2.json` of the second.
fn output_of(all: &output::Args, round: u32) -> output::Args {
    let own = |path: &Option<String>| {
        let path = path.as_deref().filter(|path| *path != "-")?;
        let (path, name) = (Path::new(path), Path::new(path));
        let stem = name.file_stem()?.to_string_lossy().into_owned();
        let ending = name.extension().map(|it| format!(".{}", it.to_string_lossy()));
        let file = format!("{stem}-{round}{}", ending.unwrap_or_default());
        Some(path.with_file_name(file).to_string_lossy().into_owned())
    };
    output::Args {
        json: own(&all.json),
        html: own(&all.html),
        hgrm: own(&all.hgrm),
        hlog: own(&all.hlog),
        // Objectives and tables are the summary's.
        junit: None,
        md: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_files_beside_those_of_the_summary() {
        let all = output::Args {
            json: Some("/tmp/a.b/run.json".to_owned()),
            html: Some("page".to_owned()),
            hgrm: Some("-".to_owned()),
            junit: Some("all.xml".to_owned()),
            ..output::Args::default()
        };
        let own = output_of(&all, 2);
        assert_eq!(own.json.as_deref(), Some("/tmp/a.b/run-2.json"));
        assert_eq!(own.html.as_deref(), Some("page-2"));
        assert!(own.hgrm.is_none() && own.junit.is_none() && own.md.is_none());
    }
}
