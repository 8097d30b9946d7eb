//! The results as text, TAP, JUnit and Markdown.
//!
//! Every form has the same points in the same order; failures carry the bytes that show them.

use super::point::{Judged, Level, Outcome};
use crate::report::junit::escape;

/// What came of the points of a level, in numbers.
fn count(judged: &[Judged], level: Level, outcome: Outcome) -> usize {
    judged.iter().filter(|one| one.point.level == level && one.outcome() == outcome).count()
}

/// One line for all: what passed of what could.
pub(super) fn summary(judged: &[Judged]) -> String {
    let of = |level: Level| {
        let passed = count(judged, level, Outcome::Pass);
        let all = passed + count(judged, level, Outcome::Fail);
        format!("{} {passed} of {all}", level.name())
    };
    let absent = judged.iter().filter(|one| one.outcome() == Outcome::Absent).count();
    format!("{}, {}, not checked {absent}", of(Level::Must), of(Level::Should))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Note => "note",
        Outcome::Absent => "-",
    }
}

fn indented(log: &str, by: &str) -> String {
    log.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// What was seen, or what is missing.
fn seen(one: &Judged) -> String {
    match one.outcome() {
        Outcome::Absent => format!("not checked: {}", one.words()),
        _ => one.words().to_owned(),
    }
}

/// One point as text.
pub(super) fn row(one: &Judged) -> String {
    let (point, outcome) = (one.point, word(one.outcome()));
    let seen = seen(one);
    let mut text = format!(
        "{outcome:<5} {:<5} {:<7} {}\n{:20}{seen}\n",
        point.id,
        point.level.name(),
        point.rule,
        ""
    );
    if one.outcome() == Outcome::Fail {
        text += &format!("{:20}rule: {}\n", "", point.source);
        text += &indented(one.log(), "                    ");
    }
    text
}

/// TAP version 14 (testanything.org).
pub(super) fn tap(judged: &[Judged]) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", judged.len());
    for (place, one) in judged.iter().enumerate() {
        let (number, point) = (place + 1, one.point);
        // `#` begins a directive and a backslash escapes it.
        let rule = point.rule.replace('\\', "\\\\").replace('#', "\\#");
        let name = format!("{} {} {rule}", point.id, point.level.name());
        let words = one.words().replace(['\r', '\n'], " ");
        text += &match one.outcome() {
            Outcome::Fail => format!(
                "not ok {number} - {name}\n  ---\n  message: {}\n  source: {}\n  log: |\n{}  ...\n",
                serde_json::Value::from(words),
                serde_json::Value::from(point.source),
                indented(one.log(), "    ")
            ),
            Outcome::Absent => format!("ok {number} - {name} # SKIP {words}\n"),
            Outcome::Pass | Outcome::Note => format!("ok {number} - {name}\n"),
        };
    }
    text
}

/// JUnit XML, for build servers.
pub(super) fn junit(judged: &[Judged], url: &str) -> String {
    let of = |outcome| judged.iter().filter(|one| one.outcome() == outcome).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" \
         tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">\n",
        escape(url),
        judged.len(),
        of(Outcome::Fail),
        of(Outcome::Absent)
    );
    for one in judged {
        let (point, words) = (one.point, escape(one.words()));
        let body = match one.outcome() {
            Outcome::Fail => {
                format!("<failure message=\"{words}\">{}</failure>", escape(one.log()))
            }
            Outcome::Absent => format!("<skipped message=\"{words}\"/>"),
            Outcome::Pass | Outcome::Note => format!("<system-out>{words}</system-out>"),
        };
        text += &format!(
            "    <testcase classname=\"conform.{}\" name=\"{} {}\" time=\"{:.3}\">{body}</testcase>\n",
            point.level.name(),
            point.id,
            escape(point.rule),
            one.took.as_secs_f64()
        );
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// A table in GitHub Markdown, with the logs of failures below it.
pub(super) fn markdown(judged: &[Judged], url: &str) -> String {
    let cell = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;");
        text.replace(['\r', '\n'], " ")
    };
    let mut text = format!("## Conformance of {}\n\n{}\n\n", cell(url), summary(judged));
    text += "| | point | level | rule | seen | source |\n| --- | --- | --- | --- | --- | --- |\n";
    for one in judged {
        let point = one.point;
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            word(one.outcome()),
            point.id,
            point.level.name(),
            cell(point.rule),
            cell(&seen(one)),
            cell(point.source)
        );
    }
    for one in judged.iter().filter(|one| !one.log().is_empty()) {
        text += &format!("\n{}: {}\n\n", one.point.id, cell(one.words()));
        text += &indented(one.log(), "    ");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conform::point::{Broken, all};

    fn judged() -> Vec<Judged> {
        let log = "> GET / HTTP/1.1\\r\\n\n< a|b <c>\n".to_owned();
        let outcomes = [
            Ok("200".to_owned()),
            Err(Broken::Fails { what: "it is | odd".to_owned(), log }),
            Err(Broken::absent("no recipe")),
        ];
        let judge = |(point, checked)| Judged { point, checked, took: Duration::from_millis(5) };
        all().zip(outcomes).map(judge).collect()
    }

    #[test]
    fn every_form_tells_passes_failures_and_what_does_not_apply() {
        let judged = judged();
        assert_eq!(summary(&judged), "MUST 1 of 1, SHOULD 0 of 1, not checked 1");
        let tap = tap(&judged);
        assert!(tap.starts_with("TAP version 14\n1..3\nok 1 - H1 MUST"), "{tap}");
        assert!(tap.contains("not ok 2 - H2") && tap.contains("# SKIP no recipe"), "{tap}");
        let junit = junit(&judged, "http://x/?a&b");
        assert!(junit.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{junit}");
        assert!(junit.contains("a|b &lt;c&gt;") && junit.contains("x/?a&amp;b"), "{junit}");
        let markdown = markdown(&judged, "http://x");
        assert!(markdown.contains("| FAIL | H2 | SHOULD |"), "{markdown}");
        assert!(markdown.contains("it is \\| odd"), "{markdown}");
        assert!(markdown.contains("\n    > GET / HTTP/1.1"), "{markdown}");
    }
}
