//! The `storm` command: drop a part of the subscribers and check that they come back without a gap.

use std::process::ExitCode;

/// Arguments of `downpour-load storm`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load storm: not part of this build");
    ExitCode::from(1)
}
