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

/// Sentences are wrapped earlier: long lines of words are hard to read, and these fit the narrowest
/// terminal in use.
const PROSE: usize = 79;

/// Terminals below this get the lines of this one: nothing sensible fits there.
const COLUMNS_MIN: usize = 40;

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

/// Lines for a terminal of so many columns: those that are longer go on below, indented, and
/// begin anew between two figures, or else between two words.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let columns = columns.max(COLUMNS_MIN);
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line.to_owned();
        while let Some(at) = end_within(rest.trim_end(), columns) {
            out += rest[..at].trim_end();
            out.push('\n');
            rest = format!("{:TITLE$}{}", "", rest[at..].trim_start());
        }
        out += &rest;
    }
    out
}

/// Where a line that is too long is broken, in bytes; `None` if it fits or has no such place.
fn end_within(line: &str, columns: usize) -> Option<usize> {
    let (limit, _) = line.char_indices().nth(columns)?;
    let indent = TITLE.max(line.len() - line.trim_start().len());
    let last = |gap: &str| {
        let places = line.match_indices(gap).map(|(at, _)| at);
        places.filter(|&at| at > indent && at <= limit && !line[..at].ends_with(' ')).last()
    };
    last("   ").or_else(|| last(" "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_too_long_for_the_terminal_goes_on_between_two_figures() {
        let row = format!("  to each{:>71}   from the planned publish time\nshort\n", "24.6 ms");
        let fitted = fit(&row, 82);
        let lines: Vec<&str> = fitted.lines().collect();
        assert!(lines[0].ends_with("24.6 ms"), "{fitted}");
        assert_eq!(lines[1..], ["               from the planned publish time", "short"]);
        assert_eq!(fit(&row, 200), row);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_unless_it_cannot_be_broken() {
        let run = crate::report::sample::Sample::default().run();
        let text = crate::report::text::report(&run, true);
        for columns in [60, 79, 80, 100, 132] {
            let fitted = fit(&text, columns);
            for line in fitted.lines().filter(|line| line.chars().count() > columns) {
                assert_eq!(end_within(line, columns), None, "{columns}: {line}");
            }
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&fitted), words(&text), "nothing is lost");
        }
    }
}
