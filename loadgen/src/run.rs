//! The `run` command: one plan against one server.
//!
//! The idea: five phases, connect, settle, warm-up, measure and drain, each timed on its own;
//! only what belongs to the measured window enters the figures. The threads of `client` and
//! `publisher` do the work, this module moves them from phase to phase and makes one
//! [`Run`] of what they saw.
//!
//! | module | knows |
//! | --- | --- |
//! | `args` | the flags |
//! | `repeat` | the same run several times |
//! | `plan` | from flags to what the threads are given |
//! | `phases` | when what happens |
//! | `collect`, `rows`, `show` | what the threads report meanwhile: sums, rows, progress |
//! | `observe` | the server's process and this machine, meanwhile |
//! | `procfs`, `rig`, `link` | where such figures come from |
//! | `floor` | what this rig cannot get below |
//! | `inject` | faults put upon the server meanwhile |
//! | `breach` | when a run can no longer meet its objectives |
//! | `assemble` | from what the threads saw to the figures |
//! | `verdict` | whether they can be believed |

pub(crate) mod args;
mod assemble;
mod breach;
mod collect;
pub(crate) mod floor;
mod inject;
mod link;
mod observe;
mod phases;
mod plan;
pub(crate) mod procfs;
mod repeat;
mod rig;
mod rows;
mod show;
mod verdict;

use std::process::ExitCode;

pub(crate) use args::Args;
use repeat::Repeated;

use crate::failure::Failure;
use crate::report::model::verdict::Status;
use crate::report::model::{Run, metric};
use crate::report::{confidence, shape, text};

/// Runs the command.
pub(crate) fn run(args: &Args) -> ExitCode {
    let carried_out = args.check().map_err(Failure::Usage).and_then(|()| {
        repeat::carry_out(&args.apart(), measure, |run| {
            if !args.output.takes_stdout() {
                print!("{}", text::shown(text::report(run, args.latency)));
            }
        })
    });
    let presented = carried_out.and_then(|repeated| present(args, &repeated));
    presented.unwrap_or_else(|failure| failure.tell(args.scenario_kind))
}

/// A run, and the signal that ended it early.
pub(crate) struct Finished {
    pub(crate) run: Run,
    pub(crate) signal: Option<i32>,
}

/// Carries out a run, and with `--isolation` one without its slow subscribers before it.
///
/// # Errors
///
/// Why nothing could be measured.
fn measure(args: &Args) -> Result<Finished, Failure> {
    let floor = floor::Stored::read(args.floor.as_deref()).map_err(Failure::Usage)?;
    let alone = match args.isolation {
        true => Some(once(&args.without_slow())?).filter(|alone| alone.signal.is_none()),
        false => None,
    };
    let mut finished = once(args)?;
    if let Some(floor) = floor {
        floor.enter(&mut finished.run);
    }
    let p99 = |run: &Run| run.metrics.get(metric::DELIVERY)?.percentile("99");
    let without = alone.and_then(|alone| p99(&alone.run));
    let with = p99(&finished.run);
    if let Some(slow) = &mut finished.run.slow {
        slow.p99_without_ns = without;
        slow.isolation = with.zip(without).map(|(with, without)| with as f64 / without as f64);
    }
    Ok(finished)
}

fn once(args: &Args) -> Result<Finished, Failure> {
    let plan = plan::Plan::new(args)?;
    let mut evidence = phases::carry_out(args, plan)?;
    let signal = evidence.signal;
    let mut run = assemble::run(args, &mut evidence);
    verdict::judge(&mut run, &evidence.circumstances());
    confidence::annotate(&mut run);
    shape::annotate(&mut run);
    run.slo = args.slo.iter().map(|objective| objective.judge(&run)).collect();
    Ok(Finished { run, signal })
}

/// Shows what all runs make together; the worst of them decides how the command ends.
fn present(args: &Args, repeated: &Repeated) -> Result<ExitCode, Failure> {
    let run = repeated.summary()?;
    let written = args.output.write(&run);
    if !args.output.takes_stdout() {
        print!("{}", text::shown(text::report(&run, args.latency)));
    }
    written.map_err(Failure::Broken)?;
    if let Some(signal) = repeated.signal() {
        return Ok(ExitCode::from(128 + signal as u8));
    }
    let codes = repeated.each.iter().map(|finished| exit_code(&finished.run, args.strict));
    Ok(ExitCode::from(codes.max().unwrap_or(0)))
}

/// The exit codes of the help text, but for those of signals.
fn exit_code(run: &Run, strict: bool) -> u8 {
    let unbelievable = match run.verdict.status {
        Status::Invalid => true,
        // That it was ended early is what such a run was asked for.
        Status::Suspect => strict && run.breached.is_empty(),
        Status::Valid => false,
    };
    if unbelievable {
        return 4;
    }
    let missed = run.slo.iter().any(|slo| slo.ok == Some(false));
    if missed { 3 } else { 0 }
}
