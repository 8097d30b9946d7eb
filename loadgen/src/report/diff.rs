//! The `diff` command: two saved runs compared, with significance.

use std::process::ExitCode;

/// Arguments of `downpour-load diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: Args) -> ExitCode {
    eprintln!("downpour-load diff: not part of this build");
    ExitCode::from(1)
}
