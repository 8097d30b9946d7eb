//! How far a figure can be trusted: bootstrap over what is independent.
//!
//! The idea: the deliveries of one event share its fate, so resampling deliveries would promise
//! far too much. The per-event metrics are resampled over events; delivery itself is resampled
//! over the intervals of the window and the drain, each a block of whole events. Connects and
//! publishes are taken as independent of each other.
//!
//! What it does not know: slow drifts within the window, and differences from one start of the
//! server to the next. For those, repeat the run.

use hdrhistogram::Histogram;

use super::figure::Statistic;
use super::model::Run;
use super::model::event::EventSamples;
use super::model::metric::{self, HistogramBlob, Per};
use super::model::plan::Phase;

/// Resamples per figure: the ends of a 95 % interval then rest on 25 values each.
const RESAMPLES: usize = 1_000;

/// Fewer blocks or events than this cannot show their own variation.
const BLOCKS_MIN: usize = 10;

/// Intervals of a long run are taken together to at most so many blocks: more would not narrow
/// the result, and longer blocks keep more of what makes neighbours alike.
const BLOCKS_MAX: usize = 100;

/// Percentiles that get an interval in a report.
const INTERVALS_FOR: [&str; 5] = ["50", "90", "99", "99.9", "99.99"];

/// Fills in the 95 % intervals of all metrics of a run, seeded by the run.
pub(crate) fn annotate(run: &mut Run) {
    let mut found = Vec::new();
    for (name, metric) in &run.metrics {
        let Some(resampler) = Resampler::of(run, name) else { continue };
        let given = INTERVALS_FOR.iter().filter(|key| metric.percentile(key).is_some());
        let keys: Vec<&str> = given.copied().collect();
        let percent = |key: &&str| key.parse().expect("INTERVALS_FOR holds numbers");
        let statistics: Vec<Statistic> =
            keys.iter().map(|key| Statistic::Percentile(percent(key))).collect();
        let columns = resampler.replicates(&statistics, run.seed);
        for (key, values) in keys.into_iter().zip(columns) {
            if let Some([low, high]) = interval95(values) {
                found.push((name.clone(), key, [low as u64, high as u64]));
            }
        }
    }
    for (name, percentile, interval) in found {
        if let Some(metric) = run.metrics.get_mut(&name) {
            metric.ci95.insert(percentile.to_owned(), interval);
        }
    }
}

/// The middle 95 % of resampled values; `None` when there are none.
pub(crate) fn interval95(mut values: Vec<f64>) -> Option<[f64; 2]> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    Some([at(0.025), at(0.975)])
}

/// What a metric is resampled from.
#[derive(Debug)]
pub(crate) enum Resampler {
    /// Whole events or intervals, drawn with replacement.
    Parts(Parts),
    /// Samples that are independent one by one.
    Samples(Histogram<u64>),
}

impl Resampler {
    /// The resampler of a metric of a run; `None` when too little of it is independent.
    pub(crate) fn of(run: &Run, name: &str) -> Option<Resampler> {
        match metric::definition(name)?.per {
            Per::Event => Parts::of_events(run.events.as_ref()?, name).map(Resampler::Parts),
            Per::Delivery => Parts::of_intervals(run, name).map(Resampler::Parts),
            Per::Connection | Per::Publish => {
                let histogram = run.metrics.get(name)?.histogram.decode().ok()?;
                (histogram.len() >= BLOCKS_MIN as u64).then_some(Resampler::Samples(histogram))
            }
            Per::Rig => None,
        }
    }

    /// Each statistic in each of a thousand resamples; empty for one that a bootstrap cannot
    /// judge (an extreme, a count).
    pub(crate) fn replicates(&self, statistics: &[Statistic], seed: u64) -> Vec<Vec<f64>> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut columns = vec![Vec::with_capacity(RESAMPLES); statistics.len()];
        let mut counts = Vec::new();
        for _ in 0..RESAMPLES {
            if let Resampler::Parts(parts) = self {
                parts.draw(&mut counts, &mut random);
            }
            for (statistic, column) in statistics.iter().zip(&mut columns) {
                if matches!(statistic, Statistic::Percentile(_) | Statistic::Mean) {
                    column.push(match self {
                        Resampler::Parts(parts) => parts.statistic(*statistic, &counts),
                        Resampler::Samples(histogram) => redraw(histogram, *statistic, &mut random),
                    });
                }
            }
        }
        columns
    }
}

/// The statistic of one resample of independent samples, without drawing them: the number of
/// resampled values below a percentile is binomial, and a mean is normal.
fn redraw(histogram: &Histogram<u64>, statistic: Statistic, random: &mut fastrand::Rng) -> f64 {
    let n = histogram.len() as f64;
    let deviation = normal(random);
    match statistic {
        Statistic::Percentile(percent) => {
            let share = percent / 100.0;
            let moved = share + deviation * f64::sqrt(share * (1.0 - share) / n);
            histogram.value_at_quantile(moved.clamp(0.0, 1.0)) as f64
        }
        _ => histogram.mean() + deviation * histogram.stdev() / n.sqrt(),
    }
}

/// A standard normal number (Box and Muller, 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = f64::sqrt(-2.0 * (1.0 - random.f64()).ln());
    radius * f64::cos(std::f64::consts::TAU * random.f64())
}

/// The independent parts of a metric, each a set of (value, count).
#[derive(Debug)]
pub(crate) struct Parts {
    /// Distinct values, ascending.
    values: Vec<u64>,
    /// Per part: index into `values`, and how many samples.
    parts: Vec<Vec<(u32, u64)>>,
}

impl Parts {
    fn of_events(events: &EventSamples, name: &str) -> Option<Parts> {
        let column = match name {
            metric::FIRST => &events.first_ns,
            metric::HALF => &events.half_ns,
            metric::LAST => &events.last_ns,
            metric::SPREAD => &events.spread_ns,
            _ => return None,
        };
        Parts::build(&column.iter().flatten().map(|&ns| vec![(ns, 1)]).collect::<Vec<_>>())
    }

    fn of_intervals(run: &Run, name: &str) -> Option<Parts> {
        // A delivery stands in the row in which it came, and slow ones come in the drain.
        let counts = |phase| matches!(phase, Phase::Measure | Phase::Drain);
        let rows = run.series.iter().filter(|row| counts(row.phase));
        let blobs: Vec<&HistogramBlob> = rows.filter_map(|row| row.histograms.get(name)).collect();
        let mut parts = Vec::new();
        for block in blobs.chunks(blobs.len().div_ceil(BLOCKS_MAX).max(1)) {
            let mut sum = metric::new_histogram();
            for blob in block {
                sum += &blob.decode().ok()?;
            }
            parts.push(recorded(&sum));
        }
        Parts::build(&parts)
    }

    fn build(parts: &[Vec<(u64, u64)>]) -> Option<Parts> {
        if parts.len() < BLOCKS_MIN {
            return None;
        }
        let mut values: Vec<u64> = parts.iter().flatten().map(|(value, _)| *value).collect();
        values.sort_unstable();
        values.dedup();
        let index = |value: u64| values.binary_search(&value).expect("every value is listed");
        let numbered = |part: &Vec<(u64, u64)>| {
            part.iter().map(|(value, n)| (index(*value) as u32, *n)).collect()
        };
        Some(Parts { parts: parts.iter().map(numbered).collect(), values })
    }

    /// One resample: as many parts as there are, drawn with replacement, their counts added up.
    fn draw(&self, counts: &mut Vec<u64>, random: &mut fastrand::Rng) {
        counts.clear();
        counts.resize(self.values.len(), 0);
        for _ in 0..self.parts.len() {
            for &(index, n) in &self.parts[random.usize(..self.parts.len())] {
                counts[index as usize] += n;
            }
        }
    }

    fn statistic(&self, statistic: Statistic, counts: &[u64]) -> f64 {
        let total: u64 = counts.iter().sum();
        if let Statistic::Percentile(percent) = statistic {
            let rank = ((percent / 100.0 * total as f64).ceil() as u64).clamp(1, total);
            let mut seen = 0;
            for (value, n) in self.values.iter().zip(counts) {
                seen += n;
                if seen >= rank {
                    return *value as f64;
                }
            }
        }
        let weighted = self.values.iter().zip(counts).map(|(value, n)| *value as f64 * *n as f64);
        weighted.sum::<f64>() / total as f64
    }
}

/// The values of a histogram with their counts.
fn recorded(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram
        .iter_recorded()
        .map(|step| (histogram.highest_equivalent(step.value_iterated_to()), step.count_at_value()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::event::EventSample;

    fn uniform_events(n: usize, seed: u64) -> Run {
        let mut random = fastrand::Rng::with_seed(seed);
        let rows: Vec<EventSample> = (0..n)
            .map(|i| EventSample {
                at_ns: i as u64,
                last_ns: Some(random.u64(..1_000_000)),
                ..EventSample::default()
            })
            .collect();
        let mut run = Run::new(Vec::new(), seed, 0);
        let mut histogram = metric::new_histogram();
        for row in &rows {
            histogram.record(row.last_ns.unwrap()).unwrap();
        }
        run.record(metric::LAST, &histogram, Some(n as u64));
        run.events = Some(EventSamples::from_rows(rows, n as u64));
        run
    }

    #[test]
    fn the_interval_of_a_median_holds_the_truth_about_95_times_in_100() {
        let covered = (0..200)
            .filter(|&seed| {
                let mut run = uniform_events(400, seed);
                annotate(&mut run);
                let [low, high] = run.metrics[metric::LAST].ci95["50"];
                low <= 500_000 && 500_000 <= high
            })
            .count();
        // Binomial with p = 0.95 and n = 200: 180 is more than three deviations below.
        assert!((180..=200).contains(&covered), "covered {covered} of 200");
    }

    #[test]
    fn independent_samples_get_the_interval_that_theory_gives_them() {
        let mut histogram = metric::new_histogram();
        for value in 0..10_000u64 {
            histogram.record(1_000_000 + value * 100).unwrap();
        }
        let mut run = Run::new(Vec::new(), 1, 0);
        run.record(metric::CONNECT_TCP, &histogram, None);
        annotate(&mut run);
        let [low, high] = run.metrics[metric::CONNECT_TCP].ci95["50"];
        // A median of n uniform samples: half the width is 1.96 * range / (2 * sqrt(n)).
        let half = (high - low) as f64 / 2.0;
        assert!((half / 9_800.0 - 1.0).abs() < 0.2, "half width {half}");
    }

    #[test]
    fn deliveries_of_few_slow_intervals_widen_the_interval() {
        use crate::report::model::series::Interval;
        let interval = |slow: bool| {
            let mut histogram = metric::new_histogram();
            histogram.record_n(if slow { 900_000 } else { 1_000 }, 100_000).unwrap();
            let mut row = Interval { phase: Phase::Measure, ..Interval::default() };
            row.record(metric::DELIVERY, &histogram);
            row
        };
        let mut run = Run::new(Vec::new(), 1, 0);
        run.series = (0..30).map(|i| interval(i % 15 == 0)).collect();
        let parts = Resampler::of(&run, metric::DELIVERY).unwrap();
        let mut columns = parts.replicates(&[Statistic::Percentile(95.0)], 3);
        let [low, high] = interval95(columns.remove(0)).unwrap();
        // 2 of 30 intervals are slow: 3 million deliveries, and yet p95 is not known at all.
        assert!(low < 2_000.0 && high > 890_000.0, "{low} to {high}");
    }

    #[test]
    fn too_few_blocks_give_no_interval() {
        let mut run = uniform_events(BLOCKS_MIN - 1, 1);
        annotate(&mut run);
        assert!(run.metrics[metric::LAST].ci95.is_empty());
        assert!(interval95(Vec::new()).is_none());
    }

    #[test]
    fn extremes_are_not_bootstrapped() {
        let run = uniform_events(100, 1);
        let resampler = Resampler::of(&run, metric::LAST).unwrap();
        let columns = resampler.replicates(&[Statistic::Max, Statistic::Mean], 1);
        assert_eq!(columns.iter().map(Vec::len).collect::<Vec<_>>(), [0, RESAMPLES]);
    }
}
