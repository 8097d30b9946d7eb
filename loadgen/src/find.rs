//! The `find` command: search the largest load that still meets the objectives.
//!
//! The idea: a load test answers "how does it do at this load"; what an operator asks is "how
//! much load will it carry". So one flag of `run` is varied until the objectives are known to
//! hold at one value and to fail at another close to it. With `--frontier` the search is done
//! once for each of several values of a second flag.
//!
//! It knows nothing of sockets or latencies: a trial is a `run`, judged by its objectives and
//! its verdict. A run whose verdict is INVALID says nothing about the server and ends the search
//! upwards as the limit of the rig, which is not the same answer; unless it is INVALID because the
//! server took neither its subscribers nor its events. A server that stops answering, or accepts
//! less than 99 % of the events, does not carry that load, whatever the objectives say of the rest.

pub(crate) mod child;
mod search;
mod trial;

use std::process::ExitCode;

use serde::Serialize;

use crate::amount::{Count, Share};
use crate::cli;
use crate::report::file;
use crate::report::objective::Objective;
use crate::report::unit::count;
use search::{Answer, Limit, Outcome, Range, Search};
use trial::{Setting, Trial};

/// Exit code when not even the lowest value holds, as for objectives of a run.
const EXIT_BREACHED: u8 = 3;

/// Arguments of `downpour-load find`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 a value holds, 1 could not run, 2 wrong usage, 3 not even the lowest holds.

Example: how many subscribers get every event within 250 ms, at 10 and at 50 events/s?
  downpour-load find --from 1k --to 100k --slo 'last.p99<250ms' --slo 'lost==0' \\
      --frontier rate=10,50 --spawn 'downpour serve --listen 127.0.0.1:8080' \\
      -- http://127.0.0.1:8080 --duration 10s")]
pub(crate) struct Args {
    /// The flag of `run` to vary: subscribers, rate or size, or any other that takes a number
    #[arg(long, default_value = "subscribers", value_name = "FLAG")]
    vary: String,
    /// Lowest value of interest
    #[arg(long, value_name = "COUNT")]
    from: Count,
    /// Highest value of interest
    #[arg(long, value_name = "COUNT")]
    to: Count,
    /// An objective that a value must meet to hold; may be given many times
    #[arg(long = "slo", value_name = "OBJECTIVE", required = true)]
    objectives: Vec<Objective>,
    /// Stop when the limit is known this closely
    #[arg(long, default_value = "5%", value_parser = share, value_name = "SHARE")]
    precision: f64,
    /// Trials of each value; it holds if most of them do
    #[arg(long, default_value_t = 3, value_name = "N")]
    repeats: u32,
    /// Search again for each of these values of another flag of `run`
    #[arg(long, value_name = "FLAG=A,B,C")]
    frontier: Option<String>,
    /// Start this server for each trial and end it behind it, as `run --spawn`, so that no trial
    /// sees what another left behind
    #[arg(long, value_name = "COMMAND")]
    spawn: Option<String>,
    /// Run this before each trial
    #[arg(long, value_name = "COMMAND")]
    between: Option<String>,
    /// Write all trials and answers as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Arguments of `run` that stay the same, behind `--`
    #[arg(last = true, required = true, value_name = "RUN ARGUMENTS")]
    run: Vec<String>,
}

impl Args {
    /// What stays the same in the command line of every trial.
    fn arguments(&self) -> Vec<String> {
        let spawn = self.spawn.iter().flat_map(|line| ["--spawn".to_owned(), line.clone()]);
        self.run.iter().cloned().chain(spawn).collect()
    }

    /// What about the arguments cannot be.
    fn check(&self) -> Result<(), String> {
        let (Count(lowest), Count(highest)) = (self.from, self.to);
        if lowest == 0 || lowest > highest {
            return Err(format!("--from {lowest} --to {highest}: give 1 <= from <= to"));
        }
        if self.repeats == 0 {
            return Err("--repeats 0 tries nothing; give 1 or more".to_owned());
        }
        let flags = [format!("--{}", self.vary), lowest.to_string()];
        let fixed = frontier(self.frontier.as_deref())?;
        fixed.iter().try_for_each(|fixed| {
            let fixed = fixed.iter().flatten();
            let flags = flags.iter().chain(fixed.clone()).cloned();
            cli::check_run(&self.arguments().into_iter().chain(flags).collect::<Vec<_>>())
        })
    }
}

/// Everything that a search found out.
#[derive(Debug, Serialize)]
struct Found {
    schema_version: u32,
    vary: String,
    lowest: u64,
    highest: u64,
    precision: f64,
    repeats: u32,
    run: Vec<String>,
    searches: Vec<Searched>,
}

/// One search: the second flag, if any, and what came of it.
#[derive(Debug, Serialize)]
struct Searched {
    fixed: Option<String>,
    trials: Vec<Trial>,
    answer: Answer,
}

/// Version of the JSON form of [`Found`].
const SCHEMA_VERSION: u32 = 1;

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    if let Err(error) = args.check() {
        eprintln!("downpour-load find: {error}");
        return ExitCode::from(2);
    }
    let json = args.json.clone();
    let result = find(args).and_then(|found| {
        if let Some(path) = &json {
            let text = serde_json::to_string_pretty(&found).map_err(|error| error.to_string())?;
            file::write_text(&format!("{text}\n"), path)?;
        }
        Ok(found)
    });
    match result {
        Ok(found) if found.searches.iter().all(|one| matches!(one.answer, Answer::None { .. })) => {
            ExitCode::from(EXIT_BREACHED)
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("downpour-load find: {error}");
            ExitCode::from(1)
        }
    }
}

fn find(args: Args) -> Result<Found, String> {
    let (Count(lowest), Count(highest)) = (args.from, args.to);
    let range = Range { lowest, highest, precision: args.precision, repeats: args.repeats };
    let fixed = frontier(args.frontier.as_deref())?;
    let arguments = args.arguments();
    // A JSON document on standard output must stand there alone.
    let tell: fn(String) = match args.json.as_deref() {
        Some("-") => |line| eprintln!("{line}"),
        _ => |line| println!("{line}"),
    };
    let setting = Setting { between: args.between, objectives: args.objectives, arguments, tell };
    let mut searches = Vec::new();
    for fixed in &fixed {
        searches.push(search(&args.vary, range, &setting, fixed.as_ref())?);
    }
    if searches.len() > 1 {
        tell(format!("FRONTIER\n{}", summary(&searches, &args.vary)));
    }
    Ok(Found {
        schema_version: SCHEMA_VERSION,
        vary: args.vary,
        lowest: range.lowest,
        highest: range.highest,
        precision: range.precision,
        repeats: range.repeats,
        run: setting.arguments,
        searches,
    })
}

/// One search, told as it goes: it may last an hour.
fn search(
    vary: &str,
    range: Range,
    setting: &Setting,
    fixed: Option<&[String; 2]>,
) -> Result<Searched, String> {
    let label = fixed.map(|fixed| fixed.join(" "));
    (setting.tell)(format!("{vary} {}", label.as_deref().unwrap_or_default()));
    let (mut search, mut trials) = (Search::new(range), Vec::new());
    while let Some(value) = search.next() {
        let mut flags = vec![format!("--{vary}"), value.to_string()];
        flags.extend(fixed.into_iter().flatten().cloned());
        let trial = setting.trial(value, &flags, !trials.is_empty())?;
        (setting.tell)(row(&trial, &setting.objectives));
        search.record(trial.outcome);
        trials.push(trial);
    }
    let answer = search.answer().expect("the search is over");
    (setting.tell)(format!("{}\n", sentence(answer, vary)));
    Ok(Searched { fixed: label, trials, answer })
}

fn row(trial: &Trial, objectives: &[Objective]) -> String {
    let outcome = match trial.outcome {
        Outcome::Held => "holds",
        Outcome::Breached => "breached",
        Outcome::Invalid => "no result",
    };
    let figures = objectives.iter().zip(&trial.slo).map(|(objective, slo)| match slo.value {
        Some(value) => format!("{}: {}", slo.expr, objective.show(value)),
        None => format!("{}: unknown", slo.expr),
    });
    let figures: Vec<String> = figures.collect();
    // Where the objectives alone do not say why.
    let explained = trial.slo.iter().any(|slo| slo.ok == Some(false));
    let reason = match trial.outcome {
        Outcome::Held => None,
        Outcome::Breached if explained => None,
        _ => trial.reasons.first().map(|text| format!("   {text}")),
    };
    format!(
        "  {:>12}  {outcome:<9}  {}  {}{}",
        count(trial.value),
        figures.join("   "),
        trial.verdict,
        reason.unwrap_or_default()
    )
}

fn sentence(answer: Answer, vary: &str) -> String {
    let whose = |limit| match limit {
        Limit::Server => "the limit of the server",
        Limit::Rig => "the limit of this rig, not of the server",
    };
    match answer {
        Answer::None { fails, limit } => {
            format!("NONE   even {} {vary} fail: {}", count(fails), whose(limit))
        }
        Answer::Between { holds, fails, limit } => format!(
            "FOUND  {} {vary} hold, {} do not: {}",
            count(holds),
            count(fails),
            whose(limit)
        ),
        Answer::Beyond { holds } => {
            format!("BEYOND {} {vary} hold, the highest asked for", count(holds))
        }
    }
}

/// All answers under each other.
fn summary(searches: &[Searched], vary: &str) -> String {
    let rows = searches.iter().map(|one| {
        let fixed = one.fixed.as_deref().unwrap_or_default();
        format!("  {fixed:<16} {}\n", sentence(one.answer, vary))
    });
    rows.collect()
}

/// `rate=10,50` as the flags of two searches; nothing as one search without any.
fn frontier(text: Option<&str>) -> Result<Vec<Option<[String; 2]>>, String> {
    let Some(text) = text else {
        return Ok(vec![None]);
    };
    match text.split_once('=') {
        Some((flag, values)) if !flag.is_empty() && values.split(',').all(|it| !it.is_empty()) => {
            let flags = values.split(',').map(|value| [format!("--{flag}"), value.to_owned()]);
            Ok(flags.map(Some).collect())
        }
        _ => Err(format!("--frontier {text:?}: give a flag of run and its values, rate=10,50")),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse()? {
        Share::Part(part) if part > 0.0 => Ok(part),
        _ => Err("give a percentage above 0%, like 5%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontier_is_one_search_for_each_value() {
        let rate = |value: &str| Some(["--rate".to_owned(), value.to_owned()]);
        assert_eq!(frontier(Some("rate=10,50")), Ok(vec![rate("10"), rate("50")]));
        assert_eq!(frontier(None), Ok(vec![None]));
        for text in ["rate", "=10", "rate=", "rate=1,,2"] {
            assert!(frontier(Some(text)).is_err(), "{text}");
        }
    }
}
