//! Several servers side by side: which runs belong together, and the table of their figures.
//!
//! The idea: one run says little of a server, because machine and server differ from one start to
//! the next. So the runs of one server in several rounds are one [`Subject`], its figure is the
//! median of its runs, and where a floor ran in the same rounds, the comparison with it is taken
//! within each round, because a machine changes more between rounds than within one.
//!
//! Invariant: the page computes the same table from the runs it carries; a figure that is added
//! here is added in `assets/report/compare.js`.

use std::collections::BTreeSet;

use super::model::Run;
use super::model::metric;
use super::model::verdict::{Reason, Status};
use super::unit;

/// The label that says in which round a run was made; runs of one name that carry it are repeats.
pub(crate) const ROUND: &str = "round";

/// The label of a run of the floor, that others are compared with.
pub(crate) const FLOOR: &str = "floor";

/// One server, with all of its runs.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) name: String,
    /// In the order given; at least one.
    pub(crate) runs: Vec<&'a Run>,
    pub(crate) is_floor: bool,
}

/// Servers side by side, the floor first.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) subjects: Vec<Subject<'a>>,
}

/// A row of the table: a figure that every run has one value of.
pub(crate) struct Row {
    /// What stands before the row.
    pub(crate) title: &'static str,
    /// The figure in one run; `None` where a run does not have it.
    pub(crate) read: fn(&Run) -> Option<f64>,
    /// The figure as text, with its unit.
    pub(crate) show: fn(f64) -> String,
    /// Whether the comparison with the floor says something: not for memory, where the floor has
    /// next to none.
    has_ratio: bool,
}

/// The rows that are medians over rounds, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    row("deliveries per CPU-second", per_cpu_second, unit::short, true),
    row("CPU cores busy", |run| run.server.as_ref()?.cores, unit::digits, false),
    row("to each subscriber, p50", |run| headline(run, "50"), time, true),
    row("to each subscriber, p99", |run| headline(run, "99"), time, true),
    row("to each subscriber, p99.9", |run| headline(run, "99.9"), time, true),
    row("to the last subscriber, p50", |run| percentile(run, metric::LAST, "50"), time, true),
    row("to the last subscriber, p90", |run| percentile(run, metric::LAST, "90"), time, true),
    row("first to last, p50", spread_alone, time, true),
    row(
        "user memory per subscriber",
        |run| run.server.as_ref()?.mem_per_conn.pss,
        unit::bytes,
        false,
    ),
    row(
        "kernel memory per subscriber, both ends",
        |run| run.server.as_ref()?.mem_per_conn.kernel,
        unit::bytes,
        true,
    ),
    row("bytes on the wire per delivery", wire_bytes, unit::bytes, false),
];

const fn row(
    title: &'static str,
    read: fn(&Run) -> Option<f64>,
    show: fn(f64) -> String,
    has_ratio: bool,
) -> Row {
    Row { title, read, show, has_ratio }
}

fn time(ns: f64) -> String {
    unit::time(ns.round() as u64)
}

fn per_cpu_second(run: &Run) -> Option<f64> {
    run.server.as_ref()?.cpu_per_delivery_ns.filter(|ns| *ns > 0.0).map(|ns| 1e9 / ns)
}

fn percentile(run: &Run, name: &str, percentile: &str) -> Option<f64> {
    run.metrics.get(name)?.percentile(percentile).map(|ns| ns as f64)
}

fn headline(run: &Run, percentile: &str) -> Option<f64> {
    run.headline()?.1.percentile(percentile).map(|ns| ns as f64)
}

/// The spread, where nothing says when the last subscriber had an event.
fn spread_alone(run: &Run) -> Option<f64> {
    match run.metrics.contains_key(metric::LAST) {
        true => None,
        false => percentile(run, metric::SPREAD, "50"),
    }
}

fn wire_bytes(run: &Run) -> Option<f64> {
    let deliveries = run.rates.deliveries.filter(|rate| *rate > 0.0)?;
    Some(run.rates.wire_bytes? / deliveries)
}

/// The middle value; the mean of the two middle ones of an even number.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

impl<'a> Subject<'a> {
    /// The figure of the row: the median of the runs that have it.
    pub(crate) fn figure(&self, row: &Row) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| (row.read)(run)).collect())
    }

    /// Deliveries that were due and did not come, over all runs; `None` if no run could know.
    pub(crate) fn lost(&self) -> Option<u64> {
        self.runs.iter().map(|run| run.counts.lost).sum()
    }

    /// Streams that ended before the runs wanted it.
    pub(crate) fn cut(&self) -> u64 {
        self.runs.iter().flat_map(|run| run.counts.disconnects.values()).sum()
    }

    /// Deliveries received, over all runs.
    pub(crate) fn deliveries(&self) -> u64 {
        self.runs.iter().map(|run| run.counts.unique).sum()
    }

    /// The verdict: the worst of all runs, and how many share it where not all do.
    pub(crate) fn verdict(&self) -> String {
        let worst = self.worst();
        let alike = self.runs.iter().filter(|run| run.verdict.status == worst).count();
        match alike == self.runs.len() {
            true => worst.word().to_owned(),
            false => format!("{} ({alike} of {})", worst.word(), self.runs.len()),
        }
    }

    /// The worst verdict of its runs.
    pub(crate) fn worst(&self) -> Status {
        self.runs.iter().map(|run| run.verdict.status).max().unwrap_or_default()
    }

    /// What speaks against its runs, each reason once. That both ends share a machine is said of
    /// the whole comparison, not of one server.
    pub(crate) fn reasons(&self) -> Vec<&'a Reason> {
        let mut known = BTreeSet::new();
        let all = self.runs.iter().flat_map(|run| &run.verdict.reasons);
        all.filter(|reason| reason.status > Status::Valid)
            .filter(|reason| known.insert(reason.code.as_str()))
            .collect()
    }

    fn in_round(&self, round: Option<&str>, row: &Row) -> Vec<f64> {
        let runs = self.runs.iter().filter(|run| round_of(run) == round);
        runs.filter_map(|run| (row.read)(run)).collect()
    }
}

fn round_of(run: &Run) -> Option<&str> {
    run.labels.get(ROUND).map(String::as_str)
}

impl<'a> Comparison<'a> {
    /// Puts runs together: those of one name that carry a round are one server's, any other run
    /// stands alone.
    pub(crate) fn of(runs: &'a [Run]) -> Comparison<'a> {
        let mut subjects: Vec<Subject<'a>> = Vec::new();
        for run in runs {
            let name = run.label();
            let known = subjects.iter_mut().find(|subject| {
                subject.name == name
                    && round_of(run).is_some()
                    && round_of(subject.runs[0]).is_some()
            });
            match known {
                Some(subject) => subject.runs.push(run),
                None => {
                    let is_floor = run.labels.contains_key(FLOOR);
                    subjects.push(Subject { name, runs: vec![run], is_floor });
                }
            }
        }
        subjects.sort_by_key(|subject| !subject.is_floor);
        Comparison { subjects }
    }

    /// What the others are compared with, if there is one.
    pub(crate) fn floor(&self) -> Option<&Subject<'a>> {
        self.subjects.first().filter(|subject| subject.is_floor)
    }

    /// A server's figure over the floor's: the median of the ratios within each round.
    pub(crate) fn ratio(&self, subject: &Subject<'_>, row: &Row) -> Option<f64> {
        let floor = self.floor().filter(|floor| row.has_ratio && floor.name != subject.name)?;
        let rounds: BTreeSet<Option<&str>> = subject.runs.iter().map(|run| round_of(run)).collect();
        let ratios = rounds.into_iter().filter_map(|round| {
            let mean = |values: Vec<f64>| {
                (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
            };
            let below = mean(floor.in_round(round, row)).filter(|below| *below > 0.0)?;
            Some(mean(subject.in_round(round, row))? / below)
        });
        median(ratios.collect())
    }

    /// How much the floor differs from itself within a round, as a share: nothing smaller can be
    /// told apart. `None` unless it ran at least twice in some round.
    pub(crate) fn spread(&self, row: &Row) -> Option<f64> {
        let floor = self.floor()?;
        let rounds: BTreeSet<Option<&str>> = floor.runs.iter().map(|run| round_of(run)).collect();
        let differences = rounds.into_iter().filter_map(|round| {
            let values = floor.in_round(round, row);
            let (first, last) = (*values.first()?, *values.last()?);
            (values.len() > 1 && first > 0.0).then(|| (last / first - 1.0).abs())
        });
        median(differences.collect())
    }

    /// The rows that any server has a value for.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Row> + '_ {
        ROWS.iter().filter(|row| self.subjects.iter().any(|one| one.figure(row).is_some()))
    }

    /// A cell of the table: the figure and its ratio to the floor's, or `n/a`.
    pub(crate) fn cell(&self, subject: &Subject<'_>, row: &Row) -> String {
        let Some(value) = subject.figure(row) else { return "n/a".to_owned() };
        let shown = (row.show)(value);
        match self.ratio(subject, row) {
            Some(ratio) => format!("{shown} ({ratio:.2} ×)"),
            None => shown,
        }
    }

    /// How many rounds there were; 1 for runs that are no repeats.
    pub(crate) fn rounds(&self) -> usize {
        let rounds = |subject: &Subject<'_>| {
            let rounds: BTreeSet<Option<&str>> =
                subject.runs.iter().map(|it| round_of(it)).collect();
            rounds.len()
        };
        self.subjects.iter().map(rounds).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
