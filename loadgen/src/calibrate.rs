//! The `calibrate` command: a plan against the built-in server, stored as this rig's floor.
//!
//! The server is a process of its own, as one under test would be, and the run is the very
//! program that a user starts.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli;
use crate::failure::Failure;
use crate::find::child;
use crate::report::model::metric;
use crate::report::model::verdict::Status;
use crate::report::{file, unit};
use crate::run::floor;
use crate::selftest::rig::Server;

/// Arguments of `downpour-load calibrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 stored, 1 could not run, 2 wrong usage, 4 the measurement is INVALID (nothing stored).

Later runs with the same subscribers, rate, size, topics and threads show the floor's p99 beside
their own:
  downpour-load calibrate -- -c 5k --rate 20 --duration 30s
  downpour-load run http://127.0.0.1:8080 -c 5k --rate 20 --duration 30s")]
pub(crate) struct Args {
    /// Store the floor here instead of where later runs look for it
    #[arg(short, long, value_name = "FILE")]
    output: Option<String>,
    /// Arguments of `run`, the URL left out, behind `--`
    #[arg(last = true, value_name = "RUN ARGUMENTS")]
    run: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    match calibrate(args) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(failure) => failure.tell("calibrate"),
    }
}

fn calibrate(args: Args) -> Result<String, Failure> {
    if args.run.iter().any(|word| !word.starts_with('-') && word.contains("://")) {
        let text = "the built-in server is measured; leave the URL out";
        return Err(Failure::Usage(text.to_owned()));
    }
    // The server is started only for arguments that `run` takes; its address is not known before.
    let with = |url: String| [url].into_iter().chain(args.run.iter().cloned()).collect::<Vec<_>>();
    cli::check_run(&with("http://127.0.0.1".to_owned())).map_err(Failure::Usage)?;
    let path = place(args.output)?;
    let server = Server::start(&[])?;
    let finished = child::run(&with(format!("http://{}", server.address)))?;
    server.end()?;
    let run = finished.run?;
    let reasons = run.verdict.reasons.iter().filter(|it| it.status != Status::Valid);
    let reasons: Vec<&str> = reasons.map(|reason| reason.text.as_str()).collect();
    let reasons = reasons.join("; ");
    if run.verdict.status == Status::Invalid {
        return Err(Failure::Invalid(format!("INVALID, nothing is stored: {reasons}")));
    }
    if run.interrupted {
        return Err(Failure::Broken("interrupted; nothing is stored".to_owned()));
    }
    let delivery = run.metrics.get(metric::DELIVERY);
    let p99 = delivery.and_then(|delivery| delivery.percentile("99"));
    let p99 = p99.ok_or_else(|| "too few deliveries for a p99; measure longer".to_owned())?;
    file::write(&run, &path)?;
    let text = format!("rig floor p99 {}, stored in {path}", unit::time(p99));
    Ok(match run.verdict.status {
        Status::Valid => text,
        _ => format!("{text}\nSUSPECT: {reasons}"),
    })
}

/// Where the floor goes, in a folder that is there.
fn place(output: Option<String>) -> Result<String, Failure> {
    let path = match output {
        Some(path) => PathBuf::from(path),
        None => floor::default_path().ok_or_else(|| {
            Failure::Usage("there is no HOME to store the floor in; give --output FILE".to_owned())
        })?,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::Usage(format!("--output {}: {error}", path.display())))?;
    }
    Ok(path.to_string_lossy().into_owned())
}
