//! A distribution as bars of text: latency on a 1-2-5 scale, one bar per step.

use hdrhistogram::Histogram;

use super::unit;

/// Widest bar.
const WIDTH: f64 = 40.0;

/// Parts of a character cell, for bars finer than a letter.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// One bar: the range of values up to `to_ns`, and how many samples lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) count: u64,
}

/// The bars from the smallest to the largest sample; none for an empty histogram.
pub(crate) fn bars(histogram: &Histogram<u64>) -> Vec<Bar> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let mut bars = Vec::new();
    let (mut from_ns, mut seen) = (0, 0);
    for to_ns in steps() {
        let below = histogram.count_between(0, to_ns - 1);
        if below > 0 {
            bars.push(Bar { from_ns, to_ns, count: below - seen });
        }
        (from_ns, seen) = (to_ns, below);
        if below == histogram.len() {
            break;
        }
    }
    bars
}

/// 1, 2, 5, 10, 20, 50 ... from a microsecond to beyond any latency.
fn steps() -> impl Iterator<Item = u64> {
    (0..17).flat_map(|power| {
        let base = 1_000 * 10u64.pow(power.min(15));
        [base, base.saturating_mul(2), base.saturating_mul(5)]
    })
}

/// The bars as lines of text.
pub(crate) fn lines(histogram: &Histogram<u64>) -> Vec<String> {
    let bars = bars(histogram);
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0);
    let total = histogram.len();
    bars.iter()
        .map(|bar| {
            let range = format!("{} – {}", unit::time(bar.from_ns), unit::time(bar.to_ns));
            let share = bar.count as f64 / total as f64;
            let drawn = blocks(bar.count as f64 / most as f64 * WIDTH);
            let count = unit::count(bar.count);
            format!("{range:>21} {count:>14} {:>8}  {drawn}", unit::percent(share))
                .trim_end()
                .to_owned()
        })
        .collect()
}

/// A bar of the given length in letters, in steps of an eighth.
pub(crate) fn blocks(length: f64) -> String {
    let eighths = (length * 8.0).round() as usize;
    let mut bar: String = std::iter::repeat_n('█', eighths / 8).collect();
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::metric;

    #[test]
    fn every_sample_is_in_exactly_one_bar() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut histogram = metric::new_histogram();
        for _ in 0..10_000 {
            histogram.record(1 << random.u32(0..50)).unwrap();
        }
        histogram.record(0).unwrap();
        let bars = bars(&histogram);
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), histogram.len());
        assert!(bars.windows(2).all(|pair| pair[0].to_ns == pair[1].from_ns));
    }

    #[test]
    fn an_empty_histogram_has_no_bars() {
        assert!(lines(&metric::new_histogram()).is_empty());
    }

    #[test]
    fn a_bar_grows_in_eighths() {
        assert_eq!(blocks(0.0), "");
        assert_eq!(blocks(0.125), "▏");
        assert_eq!(blocks(2.5), "██▌");
    }
}
