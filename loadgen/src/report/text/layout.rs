//! How the text report is laid out: named blocks, wrapped lines, tables of latencies.

use crate::report::model::Run;
use crate::report::model::metric::{self, Definition, Metric};
use crate::report::unit;

/// Columns of the percentile tables.
const COLUMNS: [&str; 5] = ["50", "90", "99", "99.9", "99.99"];

/// Width of a figure's cell.
pub(super) const CELL: usize = 10;

/// Width of the first column.
pub(super) const TITLE: usize = 15;

/// Lines longer than this are wrapped between their parts.
const WIDTH: usize = 120;

/// Sentences are wrapped earlier: long lines of words are hard to read.
const PROSE: usize = 92;

/// A line that begins a block.
pub(super) fn block(name: &str, text: &str) -> String {
    format!("{name:<TITLE$}{text}").trim_end().to_owned()
}

/// A block of parts that wrap between each other, never within.
pub(super) fn blocks(lines: &mut Vec<String>, name: &str, parts: &[String]) {
    let mut name = name;
    let mut text = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let width = text.chars().count() + 3 + part.chars().count();
        if !text.is_empty() && TITLE + width > WIDTH {
            lines.push(block(name, &text));
            (name, text) = ("", String::new());
        }
        if !text.is_empty() {
            text += "   ";
        }
        text += part;
    }
    if !text.is_empty() || !name.is_empty() {
        lines.push(block(name, &text));
    }
}

/// A block of words that wrap.
pub(super) fn wrapped(name: &str, text: &str) -> Vec<String> {
    fold(text, PROSE - TITLE)
        .iter()
        .enumerate()
        .map(|(i, line)| block(if i == 0 { name } else { "" }, line))
        .collect()
}

/// A name and what it means, in words that wrap.
pub(super) fn defined(name: &str, text: &str) -> Vec<String> {
    const NAME: usize = 22;
    fold(text, PROSE - NAME)
        .iter()
        .enumerate()
        .map(|(i, line)| format!("  {:<NAME$}{line}", if i == 0 { name } else { "" }))
        .collect()
}

/// Text in lines of at most `width` letters, broken between words.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            *line = word.to_owned();
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            *line += " ";
            *line += word;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A table of the metrics that the run has, among those chosen.
pub(super) fn table(lines: &mut Vec<String>, run: &Run, chosen: impl Fn(&Definition) -> bool) {
    let rows: Vec<(&Definition, &Metric)> = metric::DEFINITIONS
        .iter()
        .filter(|definition| chosen(definition))
        .filter_map(|definition| Some((definition, run.metrics.get(definition.name)?)))
        .collect();
    if rows.is_empty() {
        return;
    }
    let names = COLUMNS.iter().map(|name| format!("p{name}")).chain(["max".to_owned()]);
    let cells: String = names.map(|name| format!("{name:>CELL$}")).collect();
    lines.push(format!("{:TITLE$}{cells}", ""));
    for (definition, metric) in rows {
        lines.push(row(definition, metric));
        lines.extend(interval(definition, metric));
    }
}

fn row(definition: &Definition, metric: &Metric) -> String {
    let values = COLUMNS.iter().map(|name| metric.percentile(name));
    let cells: String = values
        .chain([Some(metric.max)])
        .map(|value| value.map_or_else(|| "n/a".to_owned(), unit::time))
        .map(|text| format!("{text:>CELL$}"))
        .collect();
    let mut note = definition.short.to_owned();
    if metric.censored > 0 {
        note += &format!(", {} cut at the horizon", unit::count(metric.censored));
    }
    let title = if definition.name == metric::LAST { "LAST" } else { definition.title };
    format!("  {title:<w$}{cells}   {note}", w = TITLE - 2)
}

/// The confidence line below the two headline rows.
fn interval(definition: &Definition, metric: &Metric) -> Option<String> {
    let shown = [metric::DELIVERY, metric::LAST, metric::SPREAD, metric::DELIVERY_RELATIVE];
    if !shown.contains(&definition.name) {
        return None;
    }
    let (name, [low, high]) =
        ["99", "90", "50"].iter().find_map(|name| Some((name, metric.ci95.get(*name)?)))?;
    let events =
        metric.n_events.map_or_else(String::new, |n| format!(", {} events", unit::count(n)));
    Some(format!(
        "{:TITLE$}{:>CELL$}95 % interval of p{name}: {} to {} (bootstrap{events})",
        "",
        "",
        unit::time(*low),
        unit::time(*high)
    ))
}
