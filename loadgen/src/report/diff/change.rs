//! The change of one figure from run A to run B, and how sure it is.

use crate::report::confidence::{self, Resampler};
use crate::report::figure::{Better, Figure, Unit};
use crate::report::model::Run;
use crate::report::unit;

/// Repeats on both sides from which runs are compared as wholes.
const REPEATS_MIN: usize = 3;

/// A figure in both runs.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) figure: Figure,
    pub(super) base: Option<f64>,
    pub(super) new: Option<f64>,
    /// 95 % interval of the relative change (0.05 = 5 % more); `None` where chance has no part
    /// in the figure, or cannot be estimated.
    pub(super) interval95: Option<[f64; 2]>,
}

impl Change {
    /// The figure read from both runs.
    pub(super) fn of(figure: Figure, base: &Run, new: &Run) -> Change {
        let interval95 = if base.runs.len() >= REPEATS_MIN && new.runs.len() >= REPEATS_MIN {
            between_runs(&figure, &base.runs, &new.runs)
        } else {
            within_runs(&figure, base, new)
        };
        Change { base: figure.read(base), new: figure.read(new), figure, interval95 }
    }

    /// The relative change; `None` when a side is missing or the base is zero.
    pub(super) fn relative(&self) -> Option<f64> {
        let (base, new) = (self.base?, self.new?);
        (base != 0.0).then(|| new / base - 1.0)
    }

    /// The absolute change.
    pub(super) fn absolute(&self) -> Option<f64> {
        Some(self.new? - self.base?)
    }

    /// Whether the change is more than chance. A figure without an interval is taken as exact:
    /// one lost delivery more is one more.
    pub(super) fn significant(&self) -> bool {
        match self.interval95 {
            Some([low, high]) => low > 0.0 || high < 0.0,
            None => self.absolute().is_some_and(|change| change != 0.0),
        }
    }

    /// Whether both sides have the same value and chance has no part in it.
    pub(super) fn is_exactly_same(&self) -> bool {
        self.interval95.is_none() && self.absolute() == Some(0.0)
    }

    /// A side as text.
    pub(super) fn show(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "n/a".to_owned(), |value| self.figure.show(value))
    }

    /// The change as text: relative where it can be, else absolute.
    pub(super) fn difference(&self) -> String {
        match (self.relative(), self.absolute()) {
            (Some(share), _) => percent(share),
            (None, Some(0.0)) => "0".to_owned(),
            (None, Some(change)) => {
                let sign = if change > 0.0 { "+" } else { "" };
                format!("{sign}{}", self.figure.show(change))
            }
            (None, None) => "n/a".to_owned(),
        }
    }

    /// The interval as text.
    pub(super) fn interval(&self) -> String {
        self.interval95.map_or_else(String::new, |[low, high]| {
            format!("{} to {}", percent(low), percent(high))
        })
    }

    /// The change in a word.
    pub(super) fn judgement(&self) -> &'static str {
        let Some(change) = self.absolute() else {
            return "";
        };
        if change == 0.0 {
            return "same";
        }
        if !self.significant() {
            return "may be noise";
        }
        // A figure of one run each, whose own spread nobody has seen.
        let unsure = self.interval95.is_none() && self.figure.unit() != Unit::Count;
        match (self.figure.better(), change > 0.0, unsure) {
            (Better::Neither, ..) => "changed",
            (Better::Lower, true, false) | (Better::Higher, false, false) => "WORSE",
            (Better::Lower, false, false) | (Better::Higher, true, false) => "better",
            (Better::Lower, true, true) | (Better::Higher, false, true) => "worse?",
            (Better::Lower, false, true) | (Better::Higher, true, true) => "better?",
        }
    }
}

/// A relative change as text; per cents of a multiple would be hard to read.
fn percent(share: f64) -> String {
    if share >= 9.0 {
        format!("x {}", unit::digits(share + 1.0))
    } else {
        format!("{:+.1} %", share * 100.0)
    }
}

/// From within the runs: the ratio of resamples of both.
fn within_runs(figure: &Figure, base: &Run, new: &Run) -> Option<[f64; 2]> {
    let (metric, statistic) = figure.statistic()?;
    figure.read(base).and(figure.read(new))?;
    let a = Resampler::of(base, metric)?.replicates(&[statistic], base.seed);
    // Another stream of random numbers: the same run on both sides must not agree with itself
    // resample by resample.
    let b = Resampler::of(new, metric)?.replicates(&[statistic], !new.seed);
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    let ratios = pairs.filter(|(a, _)| **a > 0.0).map(|(a, b)| b / a - 1.0);
    confidence::interval95(ratios.collect())
}

/// From run to run: the difference of two means with unequal variances (Welch, 1947). A
/// bootstrap over so few runs would promise too much.
fn between_runs(figure: &Figure, base: &[Run], new: &[Run]) -> Option<[f64; 2]> {
    let a: Vec<f64> = base.iter().filter_map(|run| figure.read(run)).collect();
    let b: Vec<f64> = new.iter().filter_map(|run| figure.read(run)).collect();
    if a.len() < REPEATS_MIN || b.len() < REPEATS_MIN {
        return None;
    }
    let (mean_a, error_a) = mean_and_error(&a);
    let (mean_b, error_b) = mean_and_error(&b);
    if mean_a == 0.0 {
        return None;
    }
    let error = error_a + error_b;
    let freedom = error * error
        / (error_a * error_a / (a.len() - 1) as f64 + error_b * error_b / (b.len() - 1) as f64);
    let half = if error > 0.0 { student_975(freedom) * error.sqrt() } else { 0.0 };
    let difference = mean_b - mean_a;
    Some([(difference - half) / mean_a, (difference + half) / mean_a])
}

/// The mean, and the squared standard error of it.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (n - 1.0) / n)
}

/// The 97.5 % quantile of Student's t for at least that many degrees of freedom; between two
/// entries the wider one is taken.
fn student_975(freedom: f64) -> f64 {
    const TABLE: [(f64, f64); 15] = [
        (1.0, 12.706),
        (2.0, 4.303),
        (3.0, 3.182),
        (4.0, 2.776),
        (5.0, 2.571),
        (6.0, 2.447),
        (7.0, 2.365),
        (8.0, 2.306),
        (9.0, 2.262),
        (10.0, 2.228),
        (12.0, 2.179),
        (15.0, 2.131),
        (20.0, 2.086),
        (30.0, 2.042),
        (60.0, 2.000),
    ];
    let below = TABLE.iter().rev().find(|(entry, _)| *entry <= freedom);
    below.map_or(TABLE[0].1, |(_, quantile)| *quantile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_quantile_is_never_narrower_than_the_truth() {
        assert_eq!(student_975(0.5), 12.706);
        assert_eq!(student_975(4.0), 2.776);
        assert_eq!(student_975(11.9), 2.228);
        assert_eq!(student_975(1e9), 2.0);
    }

    #[test]
    fn the_standard_error_is_that_of_the_textbook() {
        let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0, 4.0]);
        assert!((mean - 2.5).abs() < 1e-12);
        assert!((error - 5.0 / 3.0 / 4.0).abs() < 1e-12);
    }
}
