//! Comparisons with a known answer.

use super::*;
use crate::report::merge;
use crate::report::sample::Sample;

fn sample(seed: u64, delivery_ns: u64) -> Run {
    Sample { seed, delivery_ns, measure_seconds: 20, subscribers: 100, ..Sample::default() }.run()
}

fn args(limits: &[&str]) -> Args {
    Args {
        base: String::new(),
        new: String::new(),
        fail_if: limits.iter().map(|limit| limit.parse().unwrap()).collect(),
        figure: Vec::new(),
        strict: false,
        markdown: false,
    }
}

fn change(name: &str, base: &Run, new: &Run) -> Change {
    Change::of(Figure::named(name).unwrap(), base, new)
}

#[test]
fn a_slower_server_is_called_worse_and_the_interval_holds_the_truth() {
    let (base, new) = (sample(1, 5_000), sample(2, 6_000));
    for name in ["delivery.p50", "delivery.p99", "last.p50"] {
        let change = change(name, &base, &new);
        assert_eq!(change.judgement(), "WORSE", "{name} {}", change.interval());
        let [low, high] = change.interval95.unwrap();
        let value = change.relative().unwrap();
        assert!(low <= value && value <= high, "{name}: {value} in {low} to {high}");
    }
    assert_eq!(change("delivery.p50", &new, &base).judgement(), "better");
}

#[test]
fn the_same_server_with_another_seed_is_mostly_noise() {
    let base = sample(1, 5_000);
    let called: usize = (2..22)
        .filter(|&seed| change("delivery.p50", &base, &sample(seed, 5_000)).significant())
        .count();
    // At 95 % one of twenty is expected; six would have a chance below 0.1 %.
    assert!(called < 6, "{called} of 20 differences called significant");
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let run = sample(1, 5_000);
    let (report, breached) = args(&["delivery.p99>+0%", "lost>+0"]).report(&run, &run);
    assert!(!breached, "{report}");
    assert!(!report.contains("WORSE") && !report.contains("better"), "{report}");
}

#[test]
fn repeats_are_compared_run_against_run() {
    let series = |seeds: std::ops::Range<u64>, cost| {
        let runs: Vec<Run> = seeds
            .map(|seed| {
                let mut run = sample(seed, cost);
                run.started_unix_ns += seed * 60_000_000_000;
                run
            })
            .collect();
        merge::merge(&runs).unwrap()
    };
    let (base, new) = (series(0..5, 5_000), series(10..15, 5_500));
    let change = change("last.p50", &base, &new);
    let [low, high] = change.interval95.unwrap();
    assert!(low > 0.0 && low < 0.1 && high > 0.1 && high < 0.2, "{low} to {high}");
    assert!(args(&[]).report(&base, &new).0.contains("5 runs"));
}

#[test]
fn files_of_one_side_are_its_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut files = Vec::new();
    for seed in 0..3 {
        let mut run = sample(seed, 5_000);
        run.started_unix_ns += seed * 60_000_000_000;
        files.push(path(&format!("{seed}.json")));
        file::write(&run, files.last().unwrap()).unwrap();
    }
    let base = side(&files.join(",")).unwrap();
    assert_eq!(base.runs.len(), 3);
    // The same runs one after the other in one file are the same side.
    let all: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    std::fs::write(path("all.json"), all).unwrap();
    assert!(side(&path("all.json")).unwrap() == base);
    assert!(args(&[]).report(&base, &base).0.contains("3 runs"));
    assert!(side(&format!("{},/nonexistent", files[0])).unwrap_err().contains("/nonexistent"));
}

#[test]
fn limits_are_breached_only_by_what_is_more_than_noise() {
    let (base, new) = (sample(1, 5_000), sample(2, 6_000));
    let judge = |limit: &str| {
        let limit: Limit = limit.parse().unwrap();
        limit.judge(&Change::of(limit.figure.clone(), &base, &new), false).breached
    };
    assert!(judge("delivery.p50>+5%"));
    assert!(!judge("delivery.p50>+50%"));
    assert!(judge("delivery.p50>+10us"));
    assert!(!judge("delivery.p50<-5%"));
    assert!(judge("server.cpu_per_delivery>+1%"));
    assert!(!judge("lost>+0"));
    assert!(judge("connect.tls.p50>+5%"), "a missing figure must not pass");
}

#[test]
fn one_stall_in_one_run_is_noise_unless_the_limit_is_strict() {
    let base = sample(1, 5_000);
    // Six of 400 events, all in one second: one block of twenty.
    let stall_ns = 300_000_000;
    let sample = Sample { seed: 2, delivery_ns: 5_000, measure_seconds: 20, ..Sample::default() };
    let new = Sample { subscribers: 100, stall_ns, ..sample }.run();
    let limit: Limit = "delivery.p99>+5%".parse().unwrap();
    let change = change("delivery.p99", &base, &new);
    assert!(change.relative().unwrap() > 10.0);
    assert!(!limit.judge(&change, false).breached);
    assert!(limit.judge(&change, true).breached);
}

#[test]
fn growth_from_zero_breaches_every_relative_limit() {
    let base = sample(1, 5_000);
    let new = Sample { lose_every: Some(100), ..Sample::default() }.run();
    let limit: Limit = "lost>+1000%".parse().unwrap();
    assert!(limit.judge(&change("lost", &base, &new), false).breached);
    assert!(!limit.judge(&change("lost", &base, &base), true).breached);
}

#[test]
fn a_malformed_limit_is_refused() {
    for text in ["", "delivery.p99", "delivery.p99>5%", "delivery.p99>+", "p99>+5%", "lost>+x%"] {
        assert!(text.parse::<Limit>().is_err(), "{text}");
    }
}

#[test]
fn different_plans_are_pointed_out() {
    let base = sample(1, 5_000);
    let new = Sample { subscribers: 50, events_per_second: 30, ..Sample::default() }.run();
    let (report, _) = args(&[]).report(&base, &new);
    assert!(
        report.contains("100 and 50 subscribers") && report.contains("30 events/s"),
        "{report}"
    );
}

#[test]
fn runs_without_a_publisher_are_compared_by_what_they_have() {
    let sample = |seed| Sample { seed, publisher: false, ..Sample::default() }.run();
    let (report, _) = args(&[]).report(&sample(1), &sample(2));
    assert!(report.contains("delivery.relative.p99") && report.contains("spread.p50"), "{report}");
    assert!(!report.contains("last.p99") && !report.contains("\nlost"), "{report}");
}

#[test]
fn markdown_rows_have_as_many_columns_as_their_head() {
    let (base, new) = (sample(1, 5_000), sample(2, 6_000));
    let (report, _) = Args { markdown: true, ..args(&[]) }.report(&base, &new);
    let rows = report.lines().filter(|line| line.starts_with('|'));
    assert!(rows.map(|line| line.matches('|').count()).all(|bars| bars == 7), "{report}");
}
