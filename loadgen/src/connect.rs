//! The `connect` command: handshakes per second and the latency of each connect phase.

use std::process::ExitCode;

/// Arguments of `downpour-load connect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load connect: not part of this build");
    ExitCode::from(1)
}
