//! The objectives as a JUnit file, for build servers.
//!
//! Each run is a test suite; its verdict is the first test case, each objective one more. A
//! breached objective is a failure; a measurement that cannot be believed is an error; an
//! objective that was not judged is skipped.

use super::model::Run;
use super::model::plan::Phase;
use super::model::verdict::Status;
use super::{text, unit};

/// The file for some runs.
pub(crate) fn text(runs: &[Run]) -> String {
    let suites: String = runs.iter().map(suite).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n{suites}</testsuites>\n")
}

fn suite(run: &Run) -> String {
    let failures = run.slo.iter().filter(|slo| slo.ok == Some(false)).count();
    let skipped = run.slo.iter().filter(|slo| slo.ok.is_none()).count();
    let errors = usize::from(run.verdict.status == Status::Invalid);
    let seconds = run.span(Phase::Measure).map_or(0.0, |span| span.length_ns as f64 / 1e9);
    // The format wants ISO 8601 without a zone.
    let started = unit::utc(run.started_unix_ns).replacen(' ', "T", 1).replace(" UTC", "");
    let mut out = format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{skipped}\" time=\"{seconds:.3}\" timestamp=\"{started}\">\n",
        escape(&run.label()),
        run.slo.len() + 1,
    );
    out += &verdict(run);
    for slo in &run.slo {
        let line = escape(&text::objective(slo));
        let body = match slo.ok {
            Some(true) => String::new(),
            Some(false) => format!("<failure message=\"{line}\"/>"),
            None => "<skipped message=\"not judged\"/>".to_owned(),
        };
        out += &case(run, &slo.expr, &body);
    }
    out + "  </testsuite>\n"
}

fn verdict(run: &Run) -> String {
    let reasons: Vec<String> = run
        .verdict
        .reasons
        .iter()
        .map(|reason| format!("{}: {}", reason.code, reason.text))
        .collect();
    let reasons = escape(&reasons.join("; "));
    let body = match run.verdict.status {
        Status::Valid => String::new(),
        Status::Suspect => format!("<system-out>{reasons}</system-out>"),
        Status::Invalid => format!("<error message=\"{reasons}\"/>"),
    };
    case(run, "the measurement can be believed", &body)
}

fn case(run: &Run, name: &str, body: &str) -> String {
    format!(
        "    <testcase classname=\"downpour-load.{}\" name=\"{}\">{body}</testcase>\n",
        escape(&run.plan.scenario),
        escape(name)
    )
}

/// Text inside an XML attribute or element (XML 1.0, section 2.4); characters that XML cannot
/// hold at all (section 2.2) become U+FFFD.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out += "&#10;",
            '\t' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => out.push(letter),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::verdict::{Reason, SloResult};
    use crate::report::sample::Sample;

    #[test]
    fn outcomes_become_cases_failures_and_skips() {
        let mut run = Sample { lose_every: Some(10), ..Sample::default() }.run();
        run.slo.push(SloResult { expr: "connect.tls.p50<1s".to_owned(), value: None, ok: None });
        run.verdict.add(Reason {
            code: "client_cpu".to_owned(),
            status: Status::Invalid,
            value: Some(0.97),
            limit: Some(0.8),
            text: "the busiest thread was at 97 %".to_owned(),
        });
        let text = text(&[run]);
        assert!(text.contains("tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\""), "{text}");
        assert!(text.contains("name=\"lost==0\"><failure message=\"FAIL"), "{text}");
        assert!(text.contains("timestamp=\"2026-11-21T09:06:35\""), "{text}");
        assert_eq!(text.matches("<testcase").count(), text.matches("</testcase>").count());
    }

    #[test]
    fn names_are_escaped_for_xml() {
        assert_eq!(escape("a<b & \"c\"\n\u{1}"), "a&lt;b &amp; &quot;c&quot;&#10;\u{fffd}");
    }
}
