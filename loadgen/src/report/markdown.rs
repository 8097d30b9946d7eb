//! The report as GitHub Markdown, for a job summary or a pull request.
//!
//! One run becomes a verdict, a table of latencies and a table of objectives; several runs become
//! one table with a row each, so that servers can be set side by side.

use super::model::Run;
use super::model::metric::{self, Per};
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
        out += "The run was interrupted; objectives were not judged.\n\n";
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

/// The figures of a comparison: heading, and how to read one.
type Column = (&'static str, fn(&Run) -> Option<String>);

const COMPARED: &[Column] = &[
    ("verdict", |run| Some(run.verdict.status.word().to_owned())),
    ("subscribers", |run| Some(unit::count(run.connect.up))),
    ("delivery p50", |run| percentile(run, metric::DELIVERY, "50")),
    ("delivery p99", |run| percentile(run, metric::DELIVERY, "99")),
    ("last p50", |run| percentile(run, metric::LAST, "50")),
    ("spread p50", |run| percentile(run, metric::SPREAD, "50")),
    ("deliveries/s", |run| run.rates.deliveries.map(unit::short)),
    ("lost", |run| run.counts.lost.map(unit::count)),
    ("CPU/delivery", |run| {
        let cost = run.server.as_ref()?.cpu_per_delivery_ns?;
        Some(unit::time(cost.round() as u64))
    }),
    ("user memory/connection", |run| run.server.as_ref()?.mem_per_conn.pss.map(unit::bytes)),
];

fn percentile(run: &Run, name: &str, percentile: &str) -> Option<String> {
    run.metrics.get(name)?.percentile(percentile).map(unit::time)
}

fn comparison(runs: &[Run]) -> String {
    // A column that no run can fill says nothing.
    let columns: Vec<&Column> =
        COMPARED.iter().filter(|(_, read)| runs.iter().any(|run| read(run).is_some())).collect();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut out =
        format!("| run | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(columns.len()));
    for run in runs {
        let cells: Vec<String> =
            columns.iter().map(|(_, read)| read(run).unwrap_or_else(|| "n/a".to_owned())).collect();
        out += &format!("| {} | {} |\n", cell(&run.label()), cells.join(" | "));
    }
    out
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
        assert!(text.contains("| a\\|b \\<script>\\` | SUSPECT |"), "{text}");
    }

    #[test]
    fn a_comparison_leaves_out_what_no_run_has() {
        let run = Sample { publisher: false, ..Sample::default() }.run();
        let text = report(&[run.clone(), run]);
        assert!(text.contains("spread p50") && !text.contains("delivery p99"), "{text}");
    }
}
