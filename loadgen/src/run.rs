//! The `run` command: one plan against one server.

use std::process::ExitCode;

/// Arguments of `downpour-load run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load run: not part of this build");
    ExitCode::from(1)
}
