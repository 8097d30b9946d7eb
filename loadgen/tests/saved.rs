//! What is done with saved runs: real ones are merged, compared and reported.

mod scripted;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scripted::Server;
use serde_json::Value;

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(arguments)
        .output()
        .expect("the binary under test starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Saves a run of 1,000 deliveries against a server with these faults.
fn save(folder: &Path, name: &str, faults: &[&str]) -> PathBuf {
    let server = Server::start(faults);
    let path = folder.join(format!("{name}.json"));
    let url = format!("http://{}", server.address);
    let file = path.to_str().expect("text");
    let output = load(&[
        "run",
        &url,
        "--quiet",
        "--json",
        file,
        "--name",
        name,
        "-c",
        "10",
        "--rate",
        "100",
        "--duration",
        "1s",
        "--warmup",
        "100ms",
        "--horizon",
        "1s",
    ]);
    // 4: a short run on a busy machine is no good measurement, and a report all the same.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", said(&output));
    path
}

fn saves(folder: &Path, name: &str, faults: &[&str]) -> String {
    let files = (0..3).map(|round| save(folder, &format!("{name}-{round}"), faults));
    files.map(|path| path.display().to_string()).collect::<Vec<_>>().join(",")
}

/// The line of a comparison that begins with a figure's name.
fn line<'a>(text: &'a str, figure: &str) -> &'a str {
    let begins = |line: &&str| line.split_whitespace().next() == Some(figure);
    text.lines().find(begins).unwrap_or_else(|| panic!("no {figure} in:\n{text}"))
}

#[test]
fn merged_runs_have_the_counts_and_the_histograms_of_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let fast = save(folder.path(), "fast", &["--fault", "drop:event=60,subscriber=3"]);
    let slow = save(folder.path(), "slow", &["--fault", "delay:by=40ms"]);
    let merged = folder.path().join("merged.json");
    let files = [fast.to_str().unwrap(), slow.to_str().unwrap()];
    let output = load(&["merge", files[0], files[1], "-o", merged.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let read = |path: &Path| -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON")
    };
    let (merged, fast, slow) = (read(&merged), read(&fast), read(&slow));
    for count in ["expected", "unique", "lost", "lost_silent", "late", "unread", "events"] {
        let of = |run: &Value| run["counts"][count].as_u64().expect("a count");
        assert_eq!(of(&merged), of(&fast) + of(&slow), "{count}");
    }
    assert_eq!(merged["counts"]["lost"], 1);
    assert_eq!(merged["runs"].as_array().map(Vec::len), Some(2));
    let percentile = |run: &Value, p: &str| {
        run["metrics"]["delivery"]["p"][p].as_u64().expect("a percentile of a thousand samples")
    };
    assert_eq!(merged["metrics"]["delivery"]["n"], 2_000);
    // Half of the samples are late by 40 ms: those of the slower run are the upper half. No mean
    // of the two medians would say so.
    assert!(percentile(&merged, "90") >= 40_000_000);
    assert!(percentile(&merged, "90") >= percentile(&slow, "50"));
    let report = load(&["report", folder.path().join("merged.json").to_str().unwrap()]);
    assert!(said(&report).contains("2 runs, their histograms merged"), "{}", said(&report));
}

#[test]
fn a_difference_of_tenfold_is_found_and_a_run_does_not_differ_from_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let fast = saves(folder.path(), "fast", &[]);
    let slow = saves(folder.path(), "slow", &["--fault", "delay:by=200ms"]);
    let limit = ["--fail-if", "delivery.p50>+50%"];
    let worse = load(&["diff", &fast, &slow, limit[0], limit[1]]);
    assert_eq!(worse.status.code(), Some(3), "{}", said(&worse));
    assert!(line(&said(&worse), "delivery.p50").ends_with("WORSE"), "{}", said(&worse));
    let better = load(&["diff", &slow, &fast, limit[0], limit[1]]);
    assert_eq!(better.status.code(), Some(0), "{}", said(&better));
    assert!(line(&said(&better), "delivery.p50").ends_with("better"), "{}", said(&better));
    // One run of each is enough for a figure that has one sample an event.
    let one = |files: &str| files.split(',').next().expect("a file").to_owned();
    let worse = load(&["diff", &one(&fast), &one(&slow)]);
    assert!(line(&said(&worse), "first.p50").ends_with("WORSE"), "{}", said(&worse));
    for files in [&fast, &one(&fast)] {
        let same = load(&["diff", files, files, "--fail-if", "delivery.p50>+0%"]);
        assert_eq!(same.status.code(), Some(0), "{}", said(&same));
        for word in ["WORSE", "better", "worse?"] {
            assert!(!said(&same).contains(word), "{}", said(&same));
        }
    }
}

#[test]
fn lost_deliveries_are_a_difference_without_an_interval() {
    let folder = tempfile::tempdir().expect("a folder");
    let right = save(folder.path(), "right", &[]);
    let lossy = save(folder.path(), "lossy", &["--fault", "drop:event=60"]);
    let files = [right.to_str().unwrap(), lossy.to_str().unwrap()];
    let output = load(&["diff", files[0], files[1], "--fail-if", "lost>+0"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(line(&said(&output), "lost").ends_with("WORSE"), "{}", said(&output));
}
