//! The `selftest` command: this tool against a server with known faults.
//!
//! The idea: an instrument is trusted for what it has been seen to find. Each case runs the real
//! `serve` and the real `run` as a user would, and holds the report against the journal of what
//! was injected: a calibration certificate, to be made anew on every machine and version.

mod case;
mod cases;
mod finding;
pub(crate) mod rig;

use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

use crate::report::file;
use case::Case;
use finding::Finding;

/// Arguments of `downpour-load selftest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 every case passes, 1 one does not, 2 wrong usage. The whole list takes six minutes.")]
pub(crate) struct Args {
    /// Only the cases that matter most, in less than a minute
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Say which cases there are, and run none
    #[arg(long)]
    list: bool,
    /// Show every comparison, not only those that fail
    #[arg(short, long)]
    verbose: bool,
    /// Write the results as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
}

/// What became of a case.
#[derive(Debug, Serialize)]
struct Judged {
    case: &'static str,
    pass: bool,
    seconds: f64,
    findings: Vec<Finding>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { quick, only, list, verbose, json } = args;
    let wanted = |case: &Case| {
        let named = only.is_empty() || only.iter().any(|text| case.name.contains(text));
        named && (!quick || case.quick)
    };
    if list {
        cases::all().iter().filter(|case| wanted(case)).for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    let mut judged = Vec::new();
    for case in cases::all().into_iter().filter(wanted) {
        let one = judge(&case);
        if json.as_deref() != Some("-") {
            print!("{}", row(&one, verbose));
        }
        judged.push(one);
    }
    let failed = judged.iter().filter(|one| !one.pass).count();
    if judged.is_empty() {
        eprintln!("downpour-load selftest: no case has such a name; --list shows all of them");
        return ExitCode::from(2);
    }
    if let Some(path) = json
        && let Err(error) = save(&judged, &path)
    {
        eprintln!("downpour-load selftest: {error}");
        return ExitCode::from(1);
    }
    eprintln!("{} of {} cases pass", judged.len() - failed, judged.len());
    ExitCode::from(u8::from(failed > 0))
}

fn judge(case: &Case) -> Judged {
    let start = Instant::now();
    let findings = match rig::carry_out(case) {
        Ok(evidence) => (case.check)(&evidence),
        Err(error) => vec![Finding::new(false, error)],
    };
    Judged {
        case: case.name,
        pass: findings.iter().all(|finding| finding.holds),
        seconds: start.elapsed().as_secs_f64(),
        findings,
    }
}

fn row(judged: &Judged, verbose: bool) -> String {
    let outcome = if judged.pass { "PASS" } else { "FAIL" };
    let mut text = format!("{outcome}  {:<32} {:>5.1} s", judged.case, judged.seconds);
    let shown: Vec<&Finding> =
        judged.findings.iter().filter(|finding| verbose || !finding.holds).collect();
    if shown.is_empty() {
        let all: Vec<&str> = judged.findings.iter().map(|it| it.text.as_str()).collect();
        text += &format!("   {}", all.join(", "));
    }
    for finding in shown {
        let mark = if finding.holds { "holds" } else { "FAILS" };
        text += &format!("\n      {mark}  {}", finding.text);
    }
    text + "\n"
}

fn save(judged: &[Judged], path: &str) -> Result<(), String> {
    let text = serde_json::to_string_pretty(judged).map_err(|error| error.to_string())?;
    file::write_text(&format!("{text}\n"), path)
}
