//! The `.hgrm` file: a percentile spectrum that the HdrHistogram plotter reads.
//!
//! The format is that of HdrHistogram's `outputPercentileDistribution`, in milliseconds: a
//! legend, lines of `Value Percentile TotalCount 1/(1-Percentile)`, and three lines of `#[...]`.
//! The plotter takes every line with four fields whose first and fourth are numbers; the line of
//! 100 % therefore has three fields, never an `Infinity` in the fourth.
//!
//! Values have six decimals where Java writes three: nanoseconds stay whole.

use hdrhistogram::Histogram;

/// Steps per halving of the distance to 100 %, as in the HdrHistogram tools.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Nanoseconds per millisecond, the unit of the file.
const SCALE: f64 = 1e6;

/// Sub-buckets of a histogram with three significant digits, as the Java library reports it.
const SUB_BUCKETS: u32 = 2_048;

/// The spectrum of a histogram of nanoseconds.
pub(crate) fn text(histogram: &Histogram<u64>) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = step.value_iterated_to() as f64 / SCALE;
        out += &format!("{value:12.6} {quantile:2.12} {total:10}");
        if quantile < 1.0 {
            out += &format!(" {:14.2}", 1.0 / (1.0 - quantile));
        }
        out.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / SCALE, histogram.stdev() / SCALE);
    out += &format!("#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]\n");
    let max = histogram.max() as f64 / SCALE;
    out += &format!("#[Max     = {max:12.6}, Total count    = {:12}]\n", histogram.len());
    let buckets = histogram.buckets();
    out + &format!("#[Buckets = {buckets:12}, SubBuckets     = {SUB_BUCKETS:12}]\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::metric;

    /// The rule of the plotter: four fields, the first and the fourth numbers, no comment.
    fn plotted(text: &str) -> Vec<(f64, f64)> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let [value, _, _, inverse] = fields.as_slice() else {
                    return None;
                };
                Some((value.parse().ok()?, inverse.parse().ok()?))
            })
            .collect()
    }

    #[test]
    fn the_plotter_reads_a_rising_curve_without_infinities() {
        let mut histogram = metric::new_histogram();
        for value in 1..=10_000u64 {
            histogram.record(value * 1_000).unwrap();
        }
        let points = plotted(&text(&histogram));
        assert!(points.len() > 40, "{}", points.len());
        assert!(points.iter().all(|(value, inverse)| value.is_finite() && inverse.is_finite()));
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        for (value, inverse) in points {
            let expected = 10.0 * (1.0 - 1.0 / inverse);
            assert!((value - expected).abs() <= 0.012, "{value} at {inverse}");
        }
    }

    #[test]
    fn the_last_lines_carry_the_totals() {
        let mut histogram = metric::new_histogram();
        histogram.record_n(2_000_000, 4).unwrap();
        let text = text(&histogram);
        let max = histogram.max() as f64 / 1e6;
        assert!(text.contains(&format!("#[Max     = {max:12.6}, Total count    =            4]")));
        assert!(
            text.lines().any(|line| {
                line.split_whitespace().collect::<Vec<_>>() == ["2.000895", "1.000000000000", "4"]
            }),
            "{text}"
        );
    }

    #[test]
    fn an_empty_histogram_makes_a_file_without_points() {
        assert!(plotted(&text(&metric::new_histogram())).is_empty());
    }
}
