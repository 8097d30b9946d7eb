//! The `merge` command: the saved runs of several generators as one.

use std::process::ExitCode;

/// Arguments of `downpour-load merge`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load merge: not part of this build");
    ExitCode::from(1)
}
