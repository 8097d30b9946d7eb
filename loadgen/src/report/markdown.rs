//! The report as GitHub Markdown, for a job summary or a pull request.
//!
//! One run becomes a verdict, a table of latencies and a table of objectives; several runs become
//! one table with a column for each server.

use std::collections::BTreeSet;

use super::comparison::{Comparison, Subject};
use super::model::Run;
use super::model::metric::{self, Per};
use super::model::verdict::Reason;
use super::{text, unit};

/// Columns of the latency table.
const COLUMNS: [&str; 4] = ["50", "90", "99", "99.9"];

/// The report of one or several runs.
pub(crate) fn report(runs: &[Run]) -> String {
    match runs {
        [run] => single(run),
        runs => comparison(runs),
    }
}

fn single(run: &Run) -> String {
    let mut out = format!("## {}: {}\n\n", cell(&run.label()), run.verdict.status.word());
    for reason in &run.verdict.reasons {
        out += &format!("- {}: {}\n", code(&reason.code), cell(&reason.text));
    }
    if !run.verdict.reasons.is_empty() {
        out.push('\n');
    }
    if run.interrupted {
        out += "The run was ended before its plan was done; only objectives that it could no longer \
                meet were judged.\n\n";
    }
    out += &format!("{}  \n{}\n\n", cell(&text::target(run)), cell(&text::plan(&run.plan)));
    out += &latencies(run);
    out += &counts(run);
    out + &objectives(run)
}

fn latencies(run: &Run) -> String {
    let shown = metric::DEFINITIONS.iter().filter(|one| one.per != Per::Rig);
    let rows: Vec<String> = shown
        .filter_map(|definition| {
            let metric = run.metrics.get(definition.name)?;
            let values =
                COLUMNS.iter().map(|name| metric.percentile(name)).chain([Some(metric.max)]);
            let cells: Vec<String> =
                values.map(|ns| ns.map_or_else(|| "n/a".to_owned(), unit::time)).collect();
            Some(format!(
                "| `{}` | {} | {} | {} |\n",
                definition.name,
                cells.join(" | "),
                unit::count(metric.n),
                definition.text
            ))
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let names: Vec<String> = COLUMNS.iter().map(|name| format!("p{name}")).collect();
    format!(
        "| latency | {} | max | samples | meaning |\n|---|{}---:|---:|---|\n{}\n",
        names.join(" | "),
        "---:|".repeat(COLUMNS.len()),
        rows.concat()
    )
}

fn counts(run: &Run) -> String {
    let counts = &run.counts;
    let mut parts = vec![
        format!(
            "{} of {} subscribers up",
            unit::count(run.connect.up),
            unit::count(run.connect.asked)
        ),
        format!("{} events", unit::count(counts.events)),
        format!("{} deliveries", unit::count(counts.unique)),
        format!("lost {}", unit::count_or_unknown(counts.lost)),
        format!("duplicate {}", unit::count_or_unknown(counts.duplicate)),
        format!("out of order {}", unit::count_or_unknown(counts.out_of_order)),
    ];
    if let Some(rate) = run.rates.deliveries {
        parts.push(format!("{} deliveries/s", unit::short(rate)));
    }
    let cost = run.server.as_ref().and_then(|server| server.cpu_per_delivery_ns);
    parts.extend(cost.map(|ns| format!("{} CPU per delivery", unit::time(ns.round() as u64))));
    format!("{}\n\n", parts.join(" · "))
}

fn objectives(run: &Run) -> String {
    if run.slo.is_empty() {
        return String::new();
    }
    let mut out = String::from("| objective | outcome | value |\n|---|---|---:|\n");
    for slo in &run.slo {
        let (outcome, value) = text::outcome(slo);
        out += &format!("| {} | **{outcome}** | {} |\n", code(&slo.expr), cell(&value));
    }
    out + "\n"
}

/// Servers side by side: a column each, a row for each figure, and what is to be said of them.
pub(crate) fn comparison(runs: &[Run]) -> String {
    let comparison = Comparison::of(runs);
    let subjects = &comparison.subjects;
    let each = |read: &dyn Fn(&Subject<'_>) -> String| subjects.iter().map(read).collect();
    let mut rows: Vec<(String, Vec<String>)> = vec![(String::new(), each(&|one| cell(&one.name)))];
    for row in comparison.rows() {
        rows.push((row.title.to_owned(), each(&|one| comparison.cell(one, row))));
    }
    rows.push(("lost".to_owned(), each(&|one| unit::count_or_unknown(one.lost()))));
    if subjects.iter().any(|one| one.cut() > 0) {
        rows.push(("subscribers cut".to_owned(), each(&|one| unit::count(one.cut()))));
    }
    rows.push(("deliveries measured".to_owned(), each(&|one| unit::count(one.deliveries()))));
    rows.push(("verdict".to_owned(), each(&|one| one.verdict())));
    aligned(&rows) + "\n" + &remarks(&comparison)
}

/// A table whose source can be read as well: columns are as wide as their widest cell.
fn aligned(rows: &[(String, Vec<String>)]) -> String {
    let width = |text: &str| text.chars().count();
    let titles = rows.iter().map(|(title, _)| width(title)).max().unwrap_or(0);
    let columns = rows[0].1.len();
    let wide = |i: usize| rows.iter().map(|(_, cells)| width(&cells[i])).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(wide).collect();
    let mut out = String::new();
    for (n, (title, cells)) in rows.iter().enumerate() {
        out += &format!("| {title:<titles$} |");
        for (text, width) in cells.iter().zip(&widths) {
            out += &format!(" {text:>width$} |");
        }
        out.push('\n');
        if n == 0 {
            let rules = widths.iter().map(|width| format!(" {}: |", "-".repeat(width - 1)));
            out += &format!("| {} |{}\n", "-".repeat(titles), rules.collect::<String>());
        }
    }
    out
}

/// What a reader of the table has to know: how sure it is, and what speaks against it.
fn remarks(comparison: &Comparison<'_>) -> String {
    let mut out = String::new();
    let plans =
        comparison.subjects.iter().flat_map(|one| &one.runs).map(|run| text::plan(&run.plan));
    match plans.collect::<BTreeSet<String>>() {
        plans if plans.len() == 1 => {
            out.extend(plans.iter().map(|plan| cell(&plan.replace(" | ", ", ")) + "."));
        }
        _ => out += "The plans differ, so the columns cannot be compared as they stand.",
    }
    match comparison.rounds() {
        0 | 1 => {}
        n => out += &format!(" Medians of {n} rounds."),
    }
    if let Some(floor) = comparison.floor() {
        let name = cell(&floor.name);
        out += &format!(" × is the ratio to {name} in the same round");
        let apart = comparison.rows().filter_map(|row| {
            let spread = comparison.spread(row).filter(|_| SPREADS.contains(&row.title))?;
            Some(format!("{} ({})", unit::percent(spread), row.title))
        });
        let apart: Vec<String> = apart.collect();
        if !apart.is_empty() {
            out += &format!("; {name} differs from itself by {}", apart.join(" and "));
        }
        out.push('.');
    }
    out + "\n" + &doubts(comparison)
}

/// The figures whose spread is told: the rows of the table that are quoted most.
const SPREADS: [&str; 2] = ["deliveries per CPU-second", "to each subscriber, p99"];

/// What speaks against the runs: each reason once, with those that it is said of.
fn doubts(comparison: &Comparison<'_>) -> String {
    let mut said: Vec<(&Reason, Vec<String>)> = Vec::new();
    for subject in &comparison.subjects {
        for reason in subject.reasons() {
            let name = cell(&subject.name);
            match said.iter_mut().find(|(it, _)| it.code == reason.code && it.text == reason.text) {
                Some((_, names)) => names.push(name),
                None => said.push((reason, vec![name])),
            }
        }
    }
    let line = |(reason, names): &(&Reason, Vec<String>)| {
        let (names, what) = (names.join(", "), cell(&reason.text));
        format!("- {}, {names}: {what}\n", code(&reason.code))
    };
    let lines: String = said.iter().map(line).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Text in a code span, where only the bar of a table needs escaping.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|"))
}

/// Text that cannot break out of a table cell or become markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // A lone bar outside a table is harmless, and one rule for both is simpler.
            '|' | '\\' | '`' | '*' | '_' | '<' | '[' => out.extend(['\\', letter]),
            '\n' | '\r' => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    /// Fields of a table row, with escaped bars taken as text.
    fn fields(line: &str) -> usize {
        line.replace("\\|", "").matches('|').count()
    }

    #[test]
    fn every_row_of_a_table_has_the_columns_of_its_head() {
        for publisher in [true, false] {
            let run = Sample { publisher, ..Sample::default() }.run();
            let runs = [run.clone(), run];
            for text in [report(&runs[..1]), report(&runs)] {
                let mut columns = 0;
                for line in text.lines() {
                    let fields = fields(line);
                    assert!(columns == 0 || fields == 0 || fields == columns, "{line}");
                    columns = fields;
                }
            }
        }
    }

    #[test]
    fn a_name_cannot_break_the_table() {
        let mut run = Sample::default().run();
        run.name = Some("a|b\n<script>`".to_owned());
        let text = report(&[run.clone(), run]);
        assert!(text.lines().next().unwrap().contains("a\\|b \\<script>\\` | "), "{text}");
    }

    #[test]
    fn a_comparison_leaves_out_what_no_run_has() {
        let run = Sample { publisher: false, ..Sample::default() }.run();
        let text = report(&[run.clone(), run]);
        assert!(text.contains("first to last, p50") && !text.contains("to the last"), "{text}");
    }
}
