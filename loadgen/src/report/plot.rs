//! The `plot` command: saved runs as one self-contained HTML page.

use std::process::ExitCode;

/// Arguments of `downpour-load plot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load plot: not part of this build");
    ExitCode::from(1)
}
