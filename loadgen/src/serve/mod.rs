//! The `serve` command: a scripted server with faults on demand.

use std::process::ExitCode;

/// Arguments of `downpour-load serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load serve: not part of this build");
    ExitCode::from(1)
}
