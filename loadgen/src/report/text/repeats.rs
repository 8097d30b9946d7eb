//! The block of a run that was made of several: how far each figure moved from run to run.
//!
//! Percentiles are those of single runs, the smallest, a middle one and the largest; nothing here
//! is a mean of percentiles.

use super::layout::{CELL, block, blocks};
use crate::report::comparison::{ROWS, Row};
use crate::report::model::Run;
use crate::report::unit;

/// Width of a figure's name.
const NAME: usize = 42;

/// Runs of which every one is named; of more only the worst is.
const NAMED_MAX: usize = 12;

pub(super) fn spread(lines: &mut Vec<String>, run: &Run) {
    let runs = run.runs.as_slice();
    if runs.len() < 2 {
        return;
    }
    lines.push(String::new());
    let mut parts = vec![format!("{} runs", runs.len())];
    if runs.len() <= NAMED_MAX {
        let each = |read: &dyn Fn(&Run) -> String| {
            runs.iter().map(read).collect::<Vec<String>>().join(", ")
        };
        parts.push(format!("verdicts {}", each(&|run| run.verdict.status.word().to_owned())));
        let lost = |run: &Run| run.counts.lost.map_or("n/a".to_owned(), unit::count);
        parts.push(format!("lost {}", each(&lost)));
    }
    blocks(lines, "RUNS", &parts);
    let heads = ["smallest", "middle", "largest", "ratio"].map(|head| format!("{head:>CELL$}"));
    lines.push(format!("{:NAME$}{}", "", heads.concat()));
    lines.extend(ROWS.iter().filter_map(|row| line(runs, row)));
    lines.push(block("", "of single runs each; the figures above and below are of all together"));
}

/// A figure's line, if at least two of the runs have it.
fn line(runs: &[Run], row: &Row) -> Option<String> {
    let mut values: Vec<f64> = runs.iter().filter_map(row.read).collect();
    values.sort_by(f64::total_cmp);
    let [smallest, .., largest] = values.as_slice() else { return None };
    let middle = values[(values.len() - 1) / 2];
    let mut line = format!("  {:<width$}", row.title, width = NAME - 2);
    for value in [*smallest, middle, *largest] {
        line += &format!("{:>CELL$}", (row.show)(value));
    }
    if *smallest > 0.0 {
        line += &format!("{:>CELL$}", format!("{:.2}", largest / smallest));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::merge;
    use crate::report::sample::Sample;

    #[test]
    fn the_spread_is_that_of_single_runs_and_a_run_alone_has_none() {
        let run = |seed, hour: u64| {
            let mut run = Sample { seed, ..Sample::default() }.run();
            run.started_unix_ns += hour * 3_600_000_000_000;
            run
        };
        let runs = [run(1, 0), run(2, 1), run(3, 2)];
        let merged = merge::merge(&runs).unwrap();
        let mut lines = Vec::new();
        spread(&mut lines, &merged);
        let text = lines.join("\n");
        assert!(text.contains("3 runs") && text.contains("lost 0, 0, 0"), "{text}");
        let row = ROWS.iter().find(|row| row.title == "to each subscriber, p99").unwrap();
        let mut values: Vec<f64> = runs.iter().filter_map(row.read).collect();
        values.sort_by(f64::total_cmp);
        let told = lines.iter().find(|line| line.contains(row.title)).expect("it is told");
        let shown = values.iter().map(|value| (row.show)(*value)).collect::<Vec<_>>();
        let places: Vec<usize> = shown.iter().map(|value| told.find(value).expect(told)).collect();
        assert!(places.is_sorted(), "{told}");
        let mut none = Vec::new();
        spread(&mut none, &runs[0]);
        assert!(none.is_empty());
    }
}
