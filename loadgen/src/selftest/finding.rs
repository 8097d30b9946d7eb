//! One comparison of the report with the truth, and how it is said.

use std::ops::Range;

use serde::Serialize;

use crate::report::figure::Figure;
use crate::report::model::Run;
use crate::report::model::offence::{Kind, Offence};
use crate::serve::journal::Injection;
use crate::stamp::{Found, Stamp};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) holds: bool,
    pub(super) text: String,
}

impl Finding {
    /// A finding in words.
    pub(super) fn new(holds: bool, text: impl Into<String>) -> Self {
        Self { holds, text: text.into() }
    }
}

/// A named figure must be exactly `truth`.
pub(super) fn exactly(run: &Run, name: &str, truth: u64) -> Finding {
    let (figure, value) = read(run, name);
    let reported = value.map_or_else(|| "unknown".to_owned(), |value| figure.show(value));
    let holds = value == Some(truth as f64);
    let text = if holds {
        format!("{name} {reported}")
    } else {
        format!("{name} {reported}, injected {truth}")
    };
    Finding::new(holds, text)
}

/// A named figure must be at least `bound`.
pub(super) fn at_least(run: &Run, name: &str, bound: f64) -> Finding {
    compared(run, name, "at least", bound, |value| value >= bound)
}

/// A named figure must be at most `bound`.
pub(super) fn at_most(run: &Run, name: &str, bound: f64) -> Finding {
    compared(run, name, "at most", bound, |value| value <= bound)
}

/// The value of a named figure; 0 where the run does not have it.
pub(super) fn value(run: &Run, name: &str) -> f64 {
    read(run, name).1.unwrap_or(0.0)
}

/// Who met which fault at which sequence, and how many events it was.
type Name = (Kind, u64, u64, u64);

/// The faults that the report names must be those that the server injected, each with its
/// subscriber and its sequence; `measured` are the sequences of the window.
pub(super) fn named(run: &Run, injections: &[Injection], measured: &Range<u64>) -> Finding {
    let mut truth: Vec<Name> = injections.iter().flat_map(injected).collect();
    truth.retain(|(_, _, sequence, _)| measured.contains(sequence));
    let mut names: Vec<Option<Name>> = run.counts.offences.iter().map(listed).collect();
    truth.sort_unstable();
    names.sort_unstable();
    let holds = names.iter().copied().eq(truth.iter().copied().map(Some));
    let text = match holds {
        true => format!("{} named exactly", truth.len()),
        false => format!("named {names:?}, injected {truth:?}"),
    };
    Finding::new(holds, text)
}

fn listed(one: &Offence) -> Option<Name> {
    let sequence = match one.kind {
        Kind::Duplicate | Kind::OutOfOrder => one.met,
        _ => one.expected,
    };
    Some((one.kind, one.subscriber, sequence?, one.count))
}

/// What an injected fault is to be called. The event is known by the stamp in its payload.
fn injected(injection: &Injection) -> Vec<Name> {
    let data = injection.data.as_deref().unwrap_or_default();
    let Found::Stamp(stamp) = Stamp::find(&Stamp::finder(), data.as_bytes()) else {
        return Vec::new();
    };
    let Some(subscriber) = injection.subscriber.map(u64::from) else { return Vec::new() };
    let missing = injection.missing.unwrap_or(1);
    let name = |kind, count| (kind, subscriber, u64::from(stamp.sequence), count);
    let lost = name(Kind::Lost, missing);
    match (injection.fault.as_str(), injection.told.as_deref()) {
        ("drop", _) | ("gap", Some("never")) => vec![lost],
        ("gap", Some("late")) => vec![lost, name(Kind::GapLate, missing)],
        ("gap", _) => vec![lost, name(Kind::Gap, missing)],
        // What cannot be read has not arrived.
        ("corrupt", _) => vec![lost, name(Kind::Corrupt, 1)],
        ("duplicate", _) => vec![name(Kind::Duplicate, 1)],
        ("swap", _) => vec![name(Kind::OutOfOrder, 1)],
        _ => Vec::new(),
    }
}

fn compared(
    run: &Run,
    name: &str,
    relation: &str,
    bound: f64,
    holds: impl Fn(f64) -> bool,
) -> Finding {
    let (figure, value) = read(run, name);
    let bound = figure.show(bound);
    match value {
        Some(value) if holds(value) => {
            Finding::new(true, format!("{name} {} ({relation} {bound})", figure.show(value)))
        }
        Some(value) => Finding::new(
            false,
            format!("{name} {}, expected {relation} {bound}", figure.show(value)),
        ),
        None => Finding::new(false, format!("{name} unknown, expected {relation} {bound}")),
    }
}

fn read(run: &Run, name: &str) -> (Figure, Option<f64>) {
    let figure = Figure::named(name).expect("the cases name figures that exist");
    let value = figure.read(run);
    (figure, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let mut run = Run::default();
        run.counts.lost = Some(3);
        run
    }

    #[test]
    fn a_count_holds_only_if_it_is_exactly_the_truth() {
        let holds: Vec<bool> = (2..5).map(|truth| exactly(&run(), "lost", truth).holds).collect();
        assert_eq!(holds, [false, true, false]);
    }

    #[test]
    fn a_bound_holds_on_its_own_side_and_at_itself() {
        for (bound, least, most) in [(2.0, true, false), (3.0, true, true), (4.0, false, true)] {
            assert_eq!(at_least(&run(), "lost", bound).holds, least, "{bound}");
            assert_eq!(at_most(&run(), "lost", bound).holds, most, "{bound}");
        }
    }

    #[test]
    fn a_name_holds_only_with_its_own_kind_subscriber_and_sequence() {
        let stamp = Stamp { run: 1, stream: 0, sequence: 300, intended_ns: 5, slip_ns: 0 };
        let mut payload = vec![0; 128];
        stamp.write(&mut payload);
        let injection = Injection {
            fault: "drop".to_owned(),
            subscriber: Some(3),
            data: Some(String::from_utf8(payload).unwrap()),
            ..Injection::default()
        };
        let right = Offence { subscriber: 3, expected: Some(300), count: 1, ..Offence::default() };
        let holds = |offences: Vec<Offence>| {
            let mut run = Run::default();
            run.counts.offences = offences;
            named(&run, std::slice::from_ref(&injection), &(100..900)).holds
        };
        assert!(holds(vec![right]));
        for wrong in [
            Offence { subscriber: 4, ..right },
            Offence { expected: Some(299), ..right },
            Offence { expected: None, ..right },
            Offence { count: 2, ..right },
            Offence { kind: Kind::Corrupt, ..right },
        ] {
            assert!(!holds(vec![wrong]), "{wrong:?}");
        }
        assert!(!holds(vec![]) && !holds(vec![right, right]));
    }

    #[test]
    fn what_the_run_does_not_know_holds_nothing() {
        let run = Run::default();
        assert!(!exactly(&run, "lost", 0).holds);
        assert!(!at_least(&run, "delivery.p99", 0.0).holds);
        assert!(!at_most(&run, "delivery.p99", 1e12).holds);
    }
}
