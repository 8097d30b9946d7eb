//! The `report` command: print the report of a saved run.

use std::process::ExitCode;

/// Arguments of `downpour-load report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load report: not part of this build");
    ExitCode::from(1)
}
