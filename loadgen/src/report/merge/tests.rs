//! Merging against what the same samples give when they are recorded together.

use super::*;
use crate::report::sample::Sample;

fn two() -> [Run; 2] {
    let one = Sample { seed: 1, lose_every: Some(13), ..Sample::default() }.run();
    let two = Sample { seed: 2, subscribers: 300, delivery_ns: 9_000, ..Sample::default() }.run();
    [one, two]
}

#[test]
fn percentiles_of_a_merge_are_those_of_the_summed_histogram() {
    let runs = two();
    let merged = merge(&runs).unwrap();
    for (name, metric) in &merged.metrics {
        let mut sum = metric::new_histogram();
        for run in &runs {
            sum += &run.metrics[name].histogram.decode().unwrap();
        }
        assert_eq!(metric.histogram.decode().unwrap(), sum, "{name}");
        assert_eq!(metric.percentile("50"), Some(sum.value_at_percentile(50.0)), "{name}");
    }
}

#[test]
fn counts_add_and_unknown_stays_unknown() {
    let mut runs = two();
    let merged = merge(&runs).unwrap();
    assert_eq!(merged.counts.unique, runs[0].counts.unique + runs[1].counts.unique);
    assert_eq!(merged.counts.lost, runs[0].counts.lost);
    runs[1].counts.lost = None;
    assert_eq!(merge(&runs).unwrap().counts.lost, None);
}

#[test]
fn generators_side_by_side_add_their_rates_and_subscribers() {
    let runs = two();
    let merged = merge(&runs).unwrap();
    assert_eq!(merged.connect.up, 500);
    assert_eq!(merged.plan.subscribers, 500);
    let rate = |run: &Run| run.rates.deliveries.unwrap();
    assert!((rate(&merged) - rate(&runs[0]) - rate(&runs[1])).abs() < 1e-6);
    let measured = merged.series.iter().filter(|row| row.phase == Phase::Measure).count();
    assert_eq!(measured, 10, "rows of the same second are one row");
    let deliveries: u64 = merged
        .series
        .iter()
        .filter(|row| row.phase == Phase::Measure)
        .map(|row| row.deliveries)
        .sum();
    assert_eq!(deliveries, merged.counts.unique);
    assert!(merged.notes.iter().any(|note| note.contains("side by side")));
}

#[test]
fn repeats_keep_their_rate_and_follow_each_other() {
    let mut runs = two();
    runs[1].started_unix_ns += 60_000_000_000;
    let merged = merge(&runs).unwrap();
    assert_eq!(merged.connect.up, 200);
    let rate = |run: &Run| run.rates.deliveries.unwrap();
    let mean = (rate(&runs[0]) + rate(&runs[1])) / 2.0;
    assert!((rate(&merged) - mean).abs() < 1e-6);
    let measured = merged.series.iter().filter(|row| row.phase == Phase::Measure).count();
    assert_eq!(measured, 20);
    assert!(merged.series.is_sorted_by_key(|row| row.t_ns));
    assert!(!merged.notes.iter().any(|note| note.contains("side by side")));
}

#[test]
fn repeats_of_different_plans_are_pointed_out() {
    let mut runs = two();
    runs[1].started_unix_ns += 60_000_000_000;
    assert!(merge(&runs).unwrap().notes[0].contains("not follow the same plan"));
    runs[1] = Run { started_unix_ns: runs[1].started_unix_ns, ..runs[0].clone() };
    assert!(merge(&runs).unwrap().notes.is_empty());
}

#[test]
fn objectives_are_judged_again_on_the_merged_figures() {
    let merged = merge(&two()).unwrap();
    let lost = merged.slo.iter().find(|slo| slo.expr == "lost==0").unwrap();
    assert_eq!(lost.ok, Some(false));
    assert_eq!(merged.slo.len(), 2);
}

#[test]
fn a_merge_of_merges_holds_the_plain_runs() {
    let runs = two();
    let merged = merge(&runs).unwrap();
    let again = merge(&[merged, runs[0].clone()]).unwrap();
    assert_eq!(again.runs.len(), 3);
    assert!(again.runs.iter().all(|run| run.runs.is_empty() && run.series.is_empty()));
}

#[test]
fn one_run_is_its_own_merge_and_none_is_refused() {
    let run = Sample::default().run();
    assert!(merge(std::slice::from_ref(&run)).unwrap() == run);
    assert!(merge(&[]).is_err());
}
