//! The `compare` command: the same plan against several servers, in rounds, as one table and one
//! page.
//!
//! The idea: absolute times of a machine do not repeat, ratios within a short time do. So every
//! round measures each server once, freshly started, in an order that turns from round to round,
//! with the floor (a bare loop that does only the kernel's part) first and last. A measurement is
//! `downpour-load run` as a child process: the program that a user starts, and nothing of the
//! comparison in it.
//!
//! Invariants: one server runs at a time; whatever was started is ended, also when the comparison
//! is interrupted; every raw result is on disk before the next run begins, so that an interrupted
//! comparison can still be reported from its files.

mod course;
mod file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::report::model::Run;
use crate::report::model::verdict::Status;
use crate::report::{self, html, markdown, unit};
use course::Course;
use file::{Contest, Server};

/// Rounds unless said otherwise: the fewest of which a median says something.
const ROUNDS: u32 = 3;

/// Arguments of `downpour-load compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each round runs every server once, and the floor first and last. Servers are started for each run,
on a port that replaces {port} in their command, and ended behind it.

Exit codes: 0 measured, 1 could not run, 2 wrong usage, 4 a measurement is INVALID, 130 and 143
interrupted (the report covers what was measured).

Examples:
  downpour-load compare benches/scenarios/compare.toml
  downpour-load compare --server 'mine=./server --port {port}' \\
      --server 'downpour=downpour serve --listen 127.0.0.1:{port}' -- -c 5k --rate 20
  downpour-load compare --server old=http://127.0.0.1:8080 --server new=http://127.0.0.1:8081")]
pub(crate) struct Args {
    /// A file with the plan and the servers; benches/scenarios/compare.toml explains its keys
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A server, as the command that starts it or the URL where it runs; beside those of the file
    #[arg(long, value_name = "NAME=COMMAND|URL")]
    server: Vec<Server>,
    /// Only these servers of the file
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// The server that the others are compared with; it runs first and last in each round
    #[arg(long, value_name = "NAME")]
    floor: Option<String>,
    /// Rounds
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Folder of the results: table, page, and a file of each run; named by the time unless given
    #[arg(short, long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Arguments of `run` for all servers, behind `--`; they win over those of the file
    #[arg(last = true, value_name = "RUN ARGUMENTS")]
    run: Vec<String>,
}

/// What a comparison came to.
struct Finished {
    runs: Vec<Run>,
    /// The signal that ended it early.
    signal: Option<i32>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    let contest = match Contest::new(args.file.as_deref(), args.server) {
        Ok(contest) => contest,
        Err(error) => return failed(&error, 2),
    };
    let contest = Contest {
        rounds: args.rounds.or(contest.rounds),
        floor: args.floor.or(contest.floor),
        flags: contest.flags.into_iter().chain(args.run).collect(),
        ..contest
    };
    let contest = match contest.only(&args.only).and_then(Contest::checked) {
        Ok(contest) => contest,
        Err(error) => return failed(&error, 2),
    };
    let out = args.out.unwrap_or_else(folder_by_time);
    match compare(&contest, &out) {
        Ok(Finished { signal: Some(signal), .. }) => ExitCode::from(128 + signal as u8),
        Ok(Finished { runs, .. }) => {
            let invalid = runs.iter().any(|run| run.verdict.status == Status::Invalid);
            ExitCode::from(if invalid { 4 } else { 0 })
        }
        Err(error) => failed(&error, 1),
    }
}

fn failed(error: &str, code: u8) -> ExitCode {
    eprintln!("downpour-load compare: {error}");
    ExitCode::from(code)
}

/// `compare-2026-11-21-130405`, in the folder where the command is run.
fn folder_by_time() -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = unit::utc(now.as_nanos() as u64).replace(" UTC", "").replace(':', "");
    PathBuf::from(format!("compare-{}", text.replace(' ', "-")))
}

fn compare(contest: &Contest, out: &Path) -> Result<Finished, String> {
    std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut course = Course::new(contest, out)?;
    course.set_up()?;
    let mut runs = Vec::new();
    let rounds = contest.rounds.unwrap_or(ROUNDS);
    'rounds: for round in 1..=rounds {
        for (place, server) in contest.order(round).into_iter().enumerate() {
            eprint!("round {round} of {rounds}, {}: ", server.name);
            let Some(run) = course.measure(server, round, place)? else { break 'rounds };
            eprintln!("{}", in_short(&run));
            runs.push(run);
        }
    }
    if runs.is_empty() {
        return Err("interrupted before anything was measured".to_owned());
    }
    present(&runs, out)?;
    Ok(Finished { runs, signal: course.signal() })
}

/// One run on one line, to see early that something is wrong.
fn in_short(run: &Run) -> String {
    let lost = run.counts.lost.filter(|lost| *lost > 0);
    let parts = [
        run.headline()
            .and_then(|(_, it)| it.percentile("99"))
            .map(|ns| format!("p99 {}", unit::time(ns))),
        run.server
            .as_ref()
            .and_then(|server| server.cpu_per_delivery_ns)
            .map(|ns| format!("{} CPU per delivery", unit::time(ns.round() as u64))),
        lost.map(|lost| format!("{} lost", unit::count(lost))),
        Some(run.verdict.status.word().to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<String>>().join(", ")
}

/// Writes table and page, and prints the table.
fn present(runs: &[Run], out: &Path) -> Result<(), String> {
    let table = markdown::comparison(runs);
    let path = |name: &str| out.join(name).to_string_lossy().into_owned();
    report::file::write_text(&table, &path("summary.md"))?;
    report::file::write_text(&html::page(runs)?, &path("compare.html"))?;
    println!("\n{table}");
    println!("With curves and every single run: {}", path("compare.html"));
    Ok(())
}
