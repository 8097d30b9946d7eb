//! The `connect` command: handshakes per second and the latency of each connect phase.
//!
//! The idea: a run without events. The subscribers come up, stay for a while, and the report
//! says how fast they came and what each phase took. Its flags are those of `run`, and those of
//! [`OF_EVENTS`], which would mean nothing here, are neither shown nor taken.

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::run;

/// Flags of `run` that concern events, or what becomes of them.
const OF_EVENTS: [&str; 20] = [
    "rate",
    "horizon",
    "size",
    "arrival",
    "slow",
    "isolation",
    "slow_rcvbuf",
    "no_publish",
    "publish",
    "publish_body",
    "publish_header",
    "publishers",
    "publish_batch",
    "publish_dist",
    "publisher_cpu",
    "probes",
    "link",
    "floor",
    "abort_on_breach",
    "ts",
];

/// Arguments of `downpour-load connect`: those of `run`, without what concerns events.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "connect")]
pub(crate) struct Args {
    #[command(flatten)]
    run: run::Args,
}

/// The command with the flags that it has, and what they mean to it.
pub(crate) fn narrowed(command: Command) -> Command {
    let hidden =
        |command: Command, flag: &&'static str| command.mut_arg(*flag, |arg| arg.hide(true));
    let help = |command: Command, flag: &'static str, text: &'static str| {
        command.mut_arg(flag, |arg| arg.help(text))
    };
    let command = OF_EVENTS.iter().fold(command, hidden);
    let command = help(command, "duration", "How long they stay [default: 10s]");
    let command = help(command, "warmup", "How long they stay before that");
    let command = help(command, "settle", "How long they stay before that, once the last is up");
    let profile = "Server profile, which says where to subscribe: downpour, mercure, nchan, \
                   centrifugo, generic, or a FILE that describes a server";
    help(command, "profile", profile).after_help(
        "Exit codes: 0 all is well, 1 could not run, 2 wrong usage, 3 an objective was missed, 4 \
         the\nmeasurement is INVALID (with --strict also SUSPECT), 130 and 143 interrupted.\n\n\
         Placeholders: {topic}, {subscriber} and {token} in the URL and in --header.",
    )
}

/// Refuses flags that mean nothing here, wherever they were given.
///
/// # Errors
///
/// The flag, and where it belongs.
pub(crate) fn check(matches: &ArgMatches) -> Result<(), String> {
    let given = |flag: &&&str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    match OF_EVENTS.iter().find(given) {
        Some(flag) => Err(format!(
            "unexpected argument --{}: connect opens streams and publishes nothing; measure \
             events with run",
            flag.replace('_', "-")
        )),
        None => Ok(()),
    }
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    let mut args = args.run;
    args.no_publish = true;
    args.scenario_kind = "connect";
    run::run(&args)
}
