//! The `connect` command: handshakes per second and the latency of each connect phase.
//!
//! The idea: a run without events. The subscribers come up, stay for a while, and the report
//! says how fast they came and what each phase took.

use std::process::ExitCode;

use crate::run;

/// Arguments of `downpour-load connect`: those of `run`, without what concerns events.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "connect")]
pub(crate) struct Args {
    #[command(flatten)]
    run: run::Args,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    let mut args = args.run;
    args.no_publish = true;
    args.scenario_kind = "connect";
    run::run(&args)
}
