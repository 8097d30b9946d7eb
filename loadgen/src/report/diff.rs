//! The `diff` command: two saved runs compared, with significance.
//!
//! The idea: a difference is worth a word only when it is larger than what the same server would
//! show against itself. With three or more repeats on both sides that is measured directly, run
//! against run; otherwise it is estimated from within the runs, by a bootstrap over events and
//! intervals, which does not see how one start of a server differs from the next.

mod change;
mod limit;

use std::process::ExitCode;

use super::figure::Figure;
use super::model::Run;
use super::model::plan::Plan;
use super::model::verdict::Status;
use super::{file, merge, text, unit};
use change::Change;
use limit::Limit;

/// Exit code of a breached limit, as for objectives.
const EXIT_BREACH: u8 = 3;

/// Arguments of `downpour-load diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The run to compare with, written by --json; several files with commas between them, or a
    /// file with several runs, are repeats of it
    base: String,

    /// The run to judge, or its repeats
    new: String,

    /// Exit with 3 when a figure changed more than this: 'delivery.p99>+5%',
    /// 'deliveries.rate<-2%', 'lost>+0'. A change that may be noise does not count,
    /// unless --strict
    #[arg(long, value_name = "LIMIT")]
    fail_if: Vec<Limit>,

    /// Figures to compare, such as last.p99 or lost; without it, a useful set
    #[arg(short, long, value_name = "FIGURE", value_parser = Figure::named)]
    figure: Vec<Figure>,

    /// Let limits count changes that may be noise, too
    #[arg(long)]
    strict: bool,

    /// Write a Markdown table
    #[arg(long)]
    markdown: bool,
}

/// What is compared when nothing else is asked for, before the scalar figures.
const USUAL: &[&str] = &[
    "delivery.p50",
    "delivery.p90",
    "delivery.p99",
    "delivery.p99.9",
    "delivery.max",
    "delivery.relative.p50",
    "delivery.relative.p99",
    "first.p50",
    "half.p50",
    "last.p50",
    "last.p99",
    "spread.p50",
    "spread.p99",
    "publish.ack.p50",
    "publish.ack.p99",
    "connect.ready.p50",
    "connect.ready.p99",
];

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    match args.compare() {
        Ok(breached) if breached => ExitCode::from(EXIT_BREACH),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("downpour-load diff: {error}");
            ExitCode::from(1)
        }
    }
}

impl Args {
    /// Prints the comparison; true when a limit is breached.
    fn compare(self) -> Result<bool, String> {
        let base = side(&self.base)?;
        let new = side(&self.new)?;
        let (report, breached) = self.report(&base, &new);
        file::write_text(&report, "-")?;
        Ok(breached)
    }

    fn report(&self, base: &Run, new: &Run) -> (String, bool) {
        let changes: Vec<Change> = self
            .figures()
            .into_iter()
            .map(|figure| Change::of(figure, base, new))
            .filter(|change| change.base.is_some() || change.new.is_some())
            .collect();
        let mut lines = head(base, new);
        if self.markdown {
            markdown(&mut lines, &changes);
        } else {
            table(&mut lines, &changes);
        }
        let mut breached = false;
        for limit in &self.fail_if {
            let change = Change::of(limit.figure.clone(), base, new);
            let outcome = limit.judge(&change, self.strict);
            breached |= outcome.breached;
            lines.push(outcome.text);
        }
        lines.push(String::new());
        (lines.join("\n"), breached)
    }

    fn figures(&self) -> Vec<Figure> {
        if !self.figure.is_empty() {
            return self.figure.clone();
        }
        let names = USUAL.iter().copied().chain(Figure::scalar_names());
        names.map(|name| Figure::named(name).expect("the usual figures have known names")).collect()
    }
}

/// The run of a side: its repeats in one, where there are several.
fn side(files: &str) -> Result<Run, String> {
    let files: Vec<String> = files.split(',').map(str::to_owned).collect();
    let runs = file::read_all(&files)?;
    merge::merge(&runs).map_err(|error| format!("{}: {error}", files.join(",")))
}

fn head(base: &Run, new: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    for (letter, run) in [("A", base), ("B", new)] {
        lines.push(format!(
            "{letter}  {}   {}   {}   {}",
            run.label(),
            run.verdict.status.word(),
            unit::utc(run.started_unix_ns),
            repeats(run)
        ));
    }
    for difference in differences(&base.plan, &new.plan) {
        lines.push(format!("!  not the same plan: {difference}"));
    }
    if base.target.loopback != new.target.loopback {
        lines.push("!  one of the runs is over loopback, the other is not".to_owned());
    }
    for (letter, run) in [("A", base), ("B", new)] {
        if run.verdict.status == Status::Invalid {
            lines.push(format!("!  {letter} is INVALID: its figures do not describe the server"));
        }
    }
    lines.push(String::new());
    lines
}

fn repeats(run: &Run) -> String {
    match run.runs.len() {
        0 => "one run".to_owned(),
        n => format!("{n} runs"),
    }
}

/// What differs between two plans and makes their figures hard to compare.
fn differences(a: &Plan, b: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    if a.subscribers != b.subscribers {
        found.push(format!("{} and {} subscribers", a.subscribers, b.subscribers));
    }
    if (&a.rate, &a.pace) != (&b.rate, &b.pace)
        || a.arrival != b.arrival
        || a.size != b.size
        || a.topics != b.topics
    {
        found.push(format!("{} and {}", text::load(a), text::load(b)));
    }
    if a.horizon_ns != b.horizon_ns {
        let (a, b) = (unit::time(a.horizon_ns), unit::time(b.horizon_ns));
        found.push(format!("horizon {a} and {b}"));
    }
    if a.stamp != b.stamp {
        found.push(format!("stamp {} and {}", a.stamp, b.stamp));
    }
    found
}

fn table(lines: &mut Vec<String>, changes: &[Change]) {
    lines.push(format!("{:<30}{:>12}{:>12}{:>12}   95 % interval", "", "A", "B", "change"));
    let (same, moved): (Vec<&Change>, Vec<&Change>) =
        changes.iter().partition(|change| change.is_exactly_same());
    for change in moved {
        let row = format!(
            "{:<30}{:>12}{:>12}{:>12}   {:<24}{}",
            change.figure.name,
            change.show(change.base),
            change.show(change.new),
            change.difference(),
            change.interval(),
            change.judgement()
        );
        lines.push(row.trim_end().to_owned());
    }
    for group in same.chunks(6) {
        let names: Vec<String> = group
            .iter()
            .map(|change| format!("{} {}", change.figure.name, change.show(change.base)))
            .collect();
        lines.push(format!("same: {}", names.join(", ")));
    }
    if moved_unsure(changes) {
        lines.push(
            "? one run on each side: repeat them to know the spread of this figure".to_owned(),
        );
    }
    lines.push(String::new());
}

fn moved_unsure(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.judgement().ends_with('?'))
}

fn markdown(lines: &mut Vec<String>, changes: &[Change]) {
    lines.push("| figure | A | B | change | 95 % interval | |".to_owned());
    lines.push("|---|---:|---:|---:|---:|---|".to_owned());
    for change in changes {
        lines.push(format!(
            "| `{}` | {} | {} | {} | {} | {} |",
            change.figure.name,
            change.show(change.base),
            change.show(change.new),
            change.difference(),
            change.interval(),
            change.judgement()
        ));
    }
    lines.push(String::new());
}

#[cfg(test)]
mod tests;
