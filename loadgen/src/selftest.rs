//! The `selftest` command: this tool against a server with known faults.

use std::process::ExitCode;

/// Arguments of `downpour-load selftest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load selftest: not part of this build");
    ExitCode::from(1)
}
