//! The command line: which commands exist and which module answers each.
//!
//! Arguments are declared beside the command that reads them, so this file stays a table.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Load generator for Server-Sent-Events servers: honest fan-out latency, proof of delivery.
#[derive(Debug, Parser)]
#[command(name = "downpour-load", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One plan against one server: connect, settle, warm up, measure, drain
    Run(Box<crate::run::Args>),
    /// Make load for a run that is started on another machine ('run --agents')
    Agent(crate::agent::Args),
    /// How fast a server takes connections, and how long each phase of a connect lasts
    Connect(Box<crate::connect::Args>),
    /// Drop a part of the subscribers and check that they come back without a gap
    Storm(crate::storm::Args),
    /// The same plan against several servers, in rounds: one table and one page
    Compare(crate::compare::Args),
    /// Search the largest load that still meets the objectives
    Find(crate::find::Args),
    /// Measure the built-in server, and store the least that this machine can measure
    Calibrate(crate::calibrate::Args),
    /// Print the report of a saved run
    Report(crate::report::show::Args),
    /// Turn saved runs into one self-contained HTML page
    Plot(crate::report::plot::Args),
    /// Merge the saved runs of several generators into one
    Merge(crate::report::merge::Args),
    /// Compare two saved runs, with significance
    Diff(crate::report::diff::Args),
    /// Put the rules of event streams to a server, one by one, and show what breaks them
    Conform(Box<crate::conform::Args>),
    /// Check this tool against a server with known faults
    Selftest(crate::selftest::Args),
    /// A scripted server with faults on demand, to test load generators
    Serve(crate::serve::Args),
    /// What this machine can open, and what limits it
    Doctor(crate::doctor::Args),
}

impl Cli {
    /// Reads a command line; one that asks for help gets it, and one that is wrong the reason.
    ///
    /// # Errors
    ///
    /// What is to be told, and how to end.
    pub(crate) fn read(words: Vec<OsString>) -> Result<Cli, clap::Error> {
        let mut command = Cli::command().mut_subcommand("connect", crate::connect::narrowed);
        let matches = command.try_get_matches_from_mut(words)?;
        if let Some(("connect", matches)) = matches.subcommand() {
            crate::connect::check(matches)
                .map_err(|text| command.error(clap::error::ErrorKind::UnknownArgument, text))?;
        }
        Cli::from_arg_matches(&matches)
    }

    /// Runs the chosen command and returns its exit code.
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            Command::Run(args) => crate::run::run(&args),
            Command::Agent(args) => crate::agent::run(&args),
            Command::Connect(args) => crate::connect::run(*args),
            Command::Storm(args) => crate::storm::run(args),
            Command::Compare(args) => crate::compare::run(args),
            Command::Find(args) => crate::find::run(args),
            Command::Calibrate(args) => crate::calibrate::run(args),
            Command::Report(args) => crate::report::show::run(args),
            Command::Plot(args) => crate::report::plot::run(args),
            Command::Merge(args) => crate::report::merge::run(args),
            Command::Diff(args) => crate::report::diff::run(args),
            Command::Conform(args) => crate::conform::run(&args),
            Command::Selftest(args) => crate::selftest::run(args),
            Command::Serve(args) => crate::serve::run(args),
            Command::Doctor(args) => crate::doctor::run(&args),
        }
    }
}

/// The command line as a report keeps it: what authorises requests is left out.
pub(crate) fn command() -> Vec<String> {
    let words = std::env::args_os();
    words.map(|word| crate::profile::field::without_secrets(&word.to_string_lossy())).collect()
}

/// Whether `run` takes these arguments, its URL among them.
///
/// # Errors
///
/// What it would say.
pub(crate) fn check_run(arguments: &[String]) -> Result<(), String> {
    let words = crate::scenario::expand(of_run(arguments.iter().map(OsString::from)))?;
    parse(words)?.check()
}

/// What `run` makes of these arguments, its URL among them. No scenario file is read.
///
/// # Errors
///
/// What it would say.
pub(crate) fn parse_run(
    arguments: impl Iterator<Item = OsString>,
) -> Result<crate::run::Args, String> {
    parse(of_run(arguments))
}

fn of_run(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    ["downpour-load", "run"].into_iter().map(OsString::from).chain(arguments).collect()
}

fn parse(words: Vec<OsString>) -> Result<crate::run::Args, String> {
    let parsed = Cli::read(words);
    // Its last paragraph points to the help of a command that was not given.
    let text = |error: clap::Error| {
        let text = error.to_string();
        let text = text.split("\n\nFor more information").next().unwrap_or_default();
        text.trim_start_matches("error: ").trim_end().to_owned()
    };
    match parsed.map_err(text)?.command {
        Command::Run(args) => Ok(*args),
        _ => unreachable!("the command is run"),
    }
}

/// What a command line that has been read gives for these flags, as it was written, and in order of
/// the flags.
///
/// # Errors
///
/// If it cannot be read a second time: its scenario file is gone.
pub(crate) fn given(
    command: Vec<OsString>,
    names: &[&str],
) -> Result<Vec<(String, String)>, String> {
    let cli = Cli::command();
    let words = crate::scenario::expand(command)?;
    let matches = cli.clone().try_get_matches_from(words).map_err(|error| error.to_string())?;
    let Some((name, matches)) = matches.subcommand() else { return Ok(Vec::new()) };
    let flags = cli.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
    let mut given = Vec::new();
    for flag in flags {
        let (id, long) = (flag.get_id().as_str(), flag.get_long().unwrap_or_default());
        let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
        if is_given && names.contains(&long) {
            let values = matches.get_raw(id).into_iter().flatten();
            given.extend(values.map(|it| (long.to_owned(), it.to_string_lossy().into_owned())));
        }
    }
    Ok(given)
}

/// The names of all flags of `run`.
#[cfg(test)]
pub(crate) fn run_flags() -> Vec<String> {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").expect("the command");
    run.get_arguments().filter_map(|flag| flag.get_long().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(line: &str) -> String {
        let error = Cli::read(line.split(' ').map(OsString::from).collect()).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp);
        error.to_string()
    }

    #[test]
    fn the_command_table_is_consistent() {
        Cli::command().mut_subcommand("connect", crate::connect::narrowed).debug_assert();
    }

    #[test]
    fn connect_shows_the_flags_that_it_takes_and_no_others() {
        let (run, connect) =
            (help("downpour-load run --help"), help("downpour-load connect --help"));
        for flag in ["--rate", "--size", "--publish-header", "--slow", "--probes", "--ts", "{data}"]
        {
            assert!(run.contains(flag) && !connect.contains(flag), "{flag}");
        }
        for flag in ["--connect-rate", "--token-file", "--duration", "--spawn", "--slo", "--json"] {
            assert!(run.contains(flag) && connect.contains(flag), "{flag}");
        }
        let words = |flags: &str| format!("downpour-load connect http://h:1 {flags}");
        let read = |line: String| Cli::read(line.split(' ').map(OsString::from).collect());
        assert!(read(words("-c 5")).is_ok());
        let error = read(words("--rate 5")).unwrap_err().to_string();
        assert!(error.contains("--rate") && error.contains("publishes nothing"), "{error}");
    }

    #[test]
    fn flags_are_given_as_they_were_written_wherever_they_stand() {
        let line = "downpour-load run http://h:1 -r 20 --size=64:4k -H A:1 --header B:2 -c 5 -r 30";
        let words = line.split(' ').map(OsString::from).collect();
        let given = given(words, &["rate", "size", "header", "topics"]).unwrap();
        let given: Vec<String> =
            given.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(given, ["rate=30", "size=64:4k", "header=A:1", "header=B:2"]);
    }
}
