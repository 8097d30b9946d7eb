//! The `calibrate` command: a plan against the built-in server, stored as this rig's floor.
//!
//! The server is a process of its own, as one under test would be, and the run is the very
//! program that a user starts.

use std::path::Path;
use std::process::ExitCode;

use crate::find::child;
use crate::report::{file, model::metric, unit};
use crate::run::floor;
use crate::selftest::rig::Server;

/// Arguments of `downpour-load calibrate`.
#[derive(Debug, clap::Args)]
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
        Err(error) => {
            eprintln!("downpour-load calibrate: {error}");
            ExitCode::from(1)
        }
    }
}

fn calibrate(args: Args) -> Result<String, String> {
    let default = || floor::default_path().map(|path| path.to_string_lossy().into_owned());
    let path = args.output.or_else(default).ok_or("no HOME to store it in; give --output FILE")?;
    let server = Server::start(&[])?;
    let url = format!("http://{}", server.address);
    let arguments: Vec<String> = [url].into_iter().chain(args.run).collect();
    let finished = child::run(&arguments)?;
    server.end()?;
    let run = finished.run?;
    let delivery = run.metrics.get(metric::DELIVERY);
    let p99 = delivery.and_then(|delivery| delivery.percentile("99"));
    let p99 = p99.ok_or("too few deliveries for a p99; measure longer")?;
    if let Some(folder) = Path::new(&path).parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{path}: {error}"))?;
    }
    file::write(&run, &path)?;
    let verdict = run.verdict.status.word();
    Ok(format!("rig floor p99 {} ({verdict}), stored in {path}", unit::time(p99)))
}
