//! A limit on a change: `delivery.p99>+5%`, `deliveries.rate<-2%`, `lost>+0`.

use std::str::FromStr;

use super::change::Change;
use crate::report::figure::Figure;
use crate::report::objective::quantity;

/// How far a figure may move.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    expr: String,
    pub(super) figure: Figure,
    /// True for `>`: a larger change breaches.
    above: bool,
    bound: Bound,
}

/// The size of the change allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// As a share of the base.
    Relative(f64),
    /// In the unit of the figure.
    Absolute(f64),
}

/// The outcome of a limit.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) breached: bool,
    pub(super) text: String,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(expr: &str) -> Result<Limit, String> {
        let shape = || {
            format!(
                "{expr:?} is not a limit on a change: it looks like 'delivery.p99>+5%' or \
                 'lost>+0', with a sign before the number"
            )
        };
        let at = expr.find(['<', '>']).ok_or_else(shape)?;
        let figure = Figure::named(expr[..at].trim())?;
        let text = expr[at + 1..].trim();
        let sign = match text.chars().next() {
            Some('+') => 1.0,
            Some('-') => -1.0,
            _ => return Err(shape()),
        };
        let size = &text[1..];
        let bound = match size.strip_suffix('%') {
            Some(number) => {
                let percent: f64 = number.trim().parse().map_err(|_| shape())?;
                Bound::Relative(sign * percent / 100.0)
            }
            None => Bound::Absolute(sign * quantity(size, figure.unit())?),
        };
        Ok(Limit { expr: expr.to_owned(), figure, above: expr[at..].starts_with('>'), bound })
    }
}

impl Limit {
    /// Judges a change. One that cannot be computed breaches: a figure that has vanished must
    /// not pass a gate. With `strict`, a change that may be noise counts.
    pub(super) fn judge(&self, change: &Change, strict: bool) -> Outcome {
        let measured = match self.bound {
            Bound::Relative(bound) => change.relative().map(|value| (value, bound)),
            Bound::Absolute(bound) => change.absolute().map(|value| (value, bound)),
        };
        let Some((value, bound)) = measured.or_else(|| self.against_zero(change)) else {
            let text = format!("FAIL    {}   cannot be judged: a side has no value", self.expr);
            return Outcome { breached: true, text };
        };
        let beyond = if self.above { value > bound } else { value < bound };
        let breached = beyond && (strict || change.significant());
        let word = match (breached, beyond) {
            (true, _) => "FAIL",
            (false, true) => "NOISE",
            (false, false) => "PASS",
        };
        let text = format!("{word:<7} {}   changed {}", self.expr, change.difference());
        Outcome { breached, text }
    }

    /// From a base of zero every growth is beyond any share, and standing still is none.
    fn against_zero(&self, change: &Change) -> Option<(f64, f64)> {
        let Bound::Relative(bound) = self.bound else {
            return None;
        };
        let change = change.absolute()?;
        Some((if change == 0.0 { 0.0 } else { f64::INFINITY.copysign(change) }, bound))
    }
}
