//! Objectives: `last.p99<80ms`, `lost==0`, `deliveries.rate>=1M`.
//!
//! An objective names a figure, compares it with a bound, and holds or does not. One that cannot
//! be judged (the figure is missing, the run was interrupted) is neither met nor breached.

use super::figure::{Figure, Unit};
use super::model::Run;
use super::model::verdict::SloResult;

/// How a figure is compared with its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Longer signs first: `<=` must not be read as `<`.
const SIGNS: [(&str, Comparison); 6] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Comparison {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Comparison::Less => value < bound,
            Comparison::LessOrEqual => value <= bound,
            Comparison::Greater => value > bound,
            Comparison::GreaterOrEqual => value >= bound,
            Comparison::Equal => value == bound,
            Comparison::NotEqual => value != bound,
        }
    }
}

/// A figure, a comparison and a bound.
#[derive(Debug, Clone)]
pub(crate) struct Objective {
    expr: String,
    figure: Figure,
    comparison: Comparison,
    bound: f64,
}

impl std::str::FromStr for Objective {
    type Err = String;

    fn from_str(expr: &str) -> Result<Objective, String> {
        Objective::parse(expr)
    }
}

impl Objective {
    /// Reads an objective.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it and how one looks.
    pub(crate) fn parse(expr: &str) -> Result<Objective, String> {
        let (name, comparison, bound) = split(expr).ok_or_else(|| {
            format!(
                "{expr:?} compares nothing: an objective looks like 'last.p99<80ms' or 'lost==0', \
                 with one of < <= > >= == !="
            )
        })?;
        let figure = Figure::named(name)?;
        let bound = quantity(bound, figure.unit())?;
        Ok(Objective { expr: expr.to_owned(), figure, comparison, bound })
    }

    /// A value of the objective's figure as text.
    pub(crate) fn show(&self, value: f64) -> String {
        self.figure.show(value)
    }

    /// Judges the objective on a run. An interrupted run is not judged, because its figures cover a
    /// part of the plan only; unless it was ended for this objective, which it could no longer meet.
    pub(crate) fn judge(&self, run: &Run) -> SloResult {
        let value = self.figure.read(run);
        let judged = value.filter(|_| !run.interrupted);
        let ok = match run.breached.contains(&self.expr) {
            true => Some(false),
            false => judged.map(|value| self.comparison.holds(value, self.bound)),
        };
        SloResult { expr: self.expr.clone(), value, ok }
    }

    /// The objective as it was given.
    pub(crate) fn expr(&self) -> &str {
        &self.expr
    }

    /// Its figure.
    pub(crate) fn figure(&self) -> &Figure {
        &self.figure
    }

    /// Whether a figure that only grows misses it for good once it does: an upper bound, or an
    /// exact value, which a bound from above is part of.
    pub(crate) fn is_upper_bound(&self) -> bool {
        matches!(self.comparison, Comparison::Less | Comparison::LessOrEqual | Comparison::Equal)
    }

    /// Whether a figure that can only grow has passed the bound at this value.
    pub(crate) fn is_passed(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Equal | Comparison::LessOrEqual => value > self.bound,
            Comparison::Less => value >= self.bound,
            _ => false,
        }
    }
}

fn split(expr: &str) -> Option<(&str, Comparison, &str)> {
    let at = expr.find(['<', '>', '=', '!'])?;
    let (name, rest) = expr.split_at(at);
    let (sign, comparison) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    Some((name.trim(), *comparison, rest[sign.len()..].trim()))
}

/// Reads `80ms`, `1.5s`, `0`, `10k`, `4KiB`, `99%` as the base unit of a figure.
///
/// # Errors
/// A sentence that names the text and the suffixes allowed for the unit.
pub(crate) fn quantity(text: &str, unit: Unit) -> Result<f64, String> {
    let suffixes: &[(&str, f64)] = match unit {
        Unit::Time => {
            &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9)]
        }
        Unit::Bytes | Unit::ByteRate => {
            &[("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0), ("B", 1.0)]
        }
        Unit::Ratio => &[("%", 0.01)],
        Unit::Count | Unit::Rate => &[("k", 1e3), ("M", 1e6), ("G", 1e9)],
    };
    let found =
        suffixes.iter().find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, *scale)));
    // A bare 80 for a time could be meant in any unit; only zero is the same in all.
    let needs_unit = unit == Unit::Time && found.is_none() && text.trim() != "0";
    let (number, scale) = found.unwrap_or((text, 1.0));
    match number.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && !needs_unit => Ok(value * scale),
        _ => {
            let names: Vec<&str> = suffixes.iter().map(|(suffix, _)| *suffix).collect();
            Err(format!("{text:?} is not a value: a number with one of {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    #[test]
    fn an_objective_is_judged_on_the_figure_it_names() {
        let run = Sample { lose_every: Some(50), ..Sample::default() }.run();
        let judge = |expr: &str| Objective::parse(expr).unwrap().judge(&run).ok;
        assert_eq!(judge("delivery.p99<10s"), Some(true));
        assert_eq!(judge("delivery.p99 < 1us"), Some(false));
        assert_eq!(judge("lost==0"), Some(false));
        assert_eq!(judge("lost!=0"), Some(true));
        assert_eq!(judge("lost<=80"), Some(run.counts.lost.unwrap() <= 80));
        assert_eq!(judge("deliveries.rate>=1k"), Some(true));
        assert_eq!(judge("achieved_ratio>=99%"), Some(true));
        assert_eq!(judge("connect.tls.p99<1s"), None, "the run has no TLS");
    }

    #[test]
    fn an_interrupted_run_is_not_judged() {
        let mut run = Sample::default().run();
        run.interrupted = true;
        let result = Objective::parse("lost==0").unwrap().judge(&run);
        assert_eq!((result.value, result.ok), (Some(0.0), None));
        run.breached = vec!["lost==0".to_owned()];
        assert_eq!(Objective::parse("lost==0").unwrap().judge(&run).ok, Some(false));
        assert_eq!(Objective::parse("lost<=1").unwrap().judge(&run).ok, None);
    }

    #[test]
    fn a_malformed_objective_is_refused_with_a_reason() {
        for expr in ["", "lost", "lost=0", "p99<1ms", "delivery.p99<80", "delivery.p99<", "lost<x"]
        {
            assert!(Objective::parse(expr).is_err(), "{expr}");
        }
    }

    #[test]
    fn quantities_are_read_in_the_unit_of_their_figure() {
        let ok = [
            ("80ms", Unit::Time, 80e6),
            ("1.5 s", Unit::Time, 1.5e9),
            ("0", Unit::Time, 0.0),
            ("2m", Unit::Time, 120e9),
            ("4KiB", Unit::Bytes, 4096.0),
            ("128", Unit::Bytes, 128.0),
            ("5%", Unit::Ratio, 0.05),
            ("10k", Unit::Count, 10_000.0),
        ];
        for (text, unit, value) in ok {
            assert!((quantity(text, unit).unwrap() - value).abs() < 1e-6, "{text}");
        }
        for (text, unit) in [("80", Unit::Time), ("ms", Unit::Time), ("nan", Unit::Ratio)] {
            assert!(quantity(text, unit).is_err(), "{text}");
        }
    }
}
