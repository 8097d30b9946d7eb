//! The `doctor` command: what this machine can open, and the settings that would raise it.
//!
//! The idea: each limit is read where the kernel keeps it, turned into a number of subscribers,
//! and shown with the command that raises it. The smallest number is the answer. `limits` does the
//! arithmetic, on readings that `machine` takes; this file knows the arguments and the lines.

mod limits;
mod machine;

use std::process::ExitCode;

use crate::amount::Count;
use limits::{Demand, Finding};
use machine::Machine;

/// Arguments of `downpour-load doctor`.
#[derive(Debug, clap::Args)]
#[group(id = "doctor")]
pub(crate) struct Args {
    /// Subscribers that are to be opened
    #[arg(short = 'c', long, default_value = "100k", value_name = "N")]
    subscribers: Count,
    /// The server runs elsewhere
    #[arg(long)]
    remote: bool,
}

/// Runs the command: exit code 0 if the subscribers can be opened, 1 if not.
pub(crate) fn run(args: &Args) -> ExitCode {
    let demand = Demand { subscribers: args.subscribers.0, local: !args.remote };
    let findings = limits::findings(&Machine::look(), &demand);
    for finding in &findings {
        println!("{}", row(finding, demand.subscribers));
    }
    let least = findings.iter().filter_map(|it| Some((it.allows?, it.name))).min();
    let (most, name) = least.expect("memory bounds every machine");
    let wanted = demand.subscribers;
    if most < wanted {
        println!("\n{wanted} subscribers cannot be opened here: {name} allows {most}.");
        return ExitCode::from(1);
    }
    println!("\n{wanted} subscribers can be opened here, and up to {most} ({name}).");
    ExitCode::SUCCESS
}

fn row(finding: &Finding, wanted: u64) -> String {
    let allows = finding.allows.map_or_else(|| "-".to_owned(), |most| most.to_string());
    let mark = match (&finding.cure, finding.allows) {
        (_, Some(most)) if most < wanted => "SHORT",
        (Some(_), None) => "note",
        _ => "ok",
    };
    let mut row = format!("{mark:<6}{:<31}{:<31}{allows:>12}", finding.name, finding.value);
    for line in &finding.detail {
        row.push_str(&format!("\n        {line}"));
    }
    if let Some(cure) = finding.cure.as_ref().filter(|_| mark != "ok") {
        row.push_str(&format!("\n      > {cure}"));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_limit_is_shown_with_its_cure() {
        let finding = Finding {
            allows: Some(10),
            cure: Some("do that".to_owned()),
            ..Finding::new("x", "1".to_owned())
        };
        assert!(row(&finding, 11).contains("SHORT") && row(&finding, 11).contains("> do that"));
        assert!(row(&finding, 10).starts_with("ok") && !row(&finding, 10).contains("do that"));
        let note = Finding { allows: None, ..finding };
        assert!(row(&note, 10).starts_with("note") && row(&note, 10).contains("> do that"));
    }

    #[test]
    fn every_limit_of_this_machine_can_be_read() {
        let demand = Demand { subscribers: 1, local: true };
        for finding in limits::findings(&Machine::look(), &demand) {
            assert_ne!(finding.value, "", "{}", finding.name);
            assert!(finding.allows.is_none_or(|most| most > 0), "{finding:?}");
        }
    }
}
