//! The `doctor` command: what this machine can open, and the settings that would raise it.

use std::process::ExitCode;

/// Arguments of `downpour-load doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load doctor: not part of this build");
    ExitCode::from(1)
}
