//! The `find` command: search the largest load that still meets the objectives.

use std::process::ExitCode;

/// Arguments of `downpour-load find`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load find: not part of this build");
    ExitCode::from(1)
}
