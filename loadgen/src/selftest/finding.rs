//! One comparison of the report with the truth, and how it is said.

use serde::Serialize;

use crate::report::figure::Figure;
use crate::report::model::Run;

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
    fn what_the_run_does_not_know_holds_nothing() {
        let run = Run::default();
        assert!(!exactly(&run, "lost", 0).holds);
        assert!(!at_least(&run, "delivery.p99", 0.0).holds);
        assert!(!at_most(&run, "delivery.p99", 1e12).holds);
    }
}
