//! Rates that change over a run, as users ask for them: what is published, and what the report says
//! of the plan.

mod scripted;

use std::process::Command;

use scripted::{own_address, saved};
use serde_json::{Value, json};

/// A run against a server that it starts; gives what it saved.
fn run(test: u8, flags: &[&str]) -> Value {
    let (program, address) = (env!("CARGO_BIN_EXE_downpour-load"), own_address(test));
    let spawn = format!("exec {program} serve --listen {address}");
    let (code, run) = saved(
        Command::new(program)
            .args([
                "run",
                &format!("http://{address}"),
                "--spawn",
                &spawn,
                "--quiet",
                "--json",
                "-",
            ])
            .args("-c 10 --warmup 200ms --settle 100ms".split(' '))
            .args(flags),
    );
    assert_eq!(code, Some(0), "{}", run["verdict"]);
    assert_eq!(run["rates"]["achieved_ratio"], 1.0);
    assert_eq!(run["counts"]["lost"], 0);
    run
}

#[test]
fn steps_last_as_long_as_they_say_and_are_marked() {
    let run = run(0, &["--rate", "100/500ms,300/1s,50:150/1s"]);
    let plan = &run["plan"];
    assert_eq!(plan["phases"]["measure_ns"], 2_500_000_000u64);
    assert_eq!(plan["pace"], "100/500ms,300/1s,50:150/1s");
    let rate = [[0.0, 100.0], [0.2, 100.0], [0.7, 100.0], [0.7, 300.0]];
    assert_eq!(plan["rate"].as_array().expect("a list")[..4], rate.map(|it| json!(it)));
    assert_eq!(run["publish"]["planned"], 50 + 300 + 100);
    assert_eq!(run["counts"]["unique"], 450 * 10);
    let marks = run["marks"].as_array().expect("a list");
    let texts: Vec<&Value> = marks.iter().map(|mark| &mark["text"]).collect();
    assert_eq!(texts, ["100 events/s", "300 events/s", "50 to 150 events/s"]);
    let at = |place: usize| marks[place]["t_ns"].as_u64().expect("a time");
    assert_eq!((at(1) - at(0), at(2) - at(1)), (500_000_000, 1_000_000_000));
    assert_eq!(run["notes"], json!([]), "a step is nothing unusual");
}

#[test]
fn a_trace_is_replayed_event_by_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace");
    // A burst of a hundred every 100 ms, as a log of a clock would have it.
    let lines = (0..1_000).map(|k| format!("{:.3}\n", 1_700_000_000.0 + f64::from(k / 100) * 0.1));
    std::fs::write(&file, lines.collect::<String>()).expect("room on the disk");
    let run = run(1, &["--rate", &format!("@{}", file.display())]);
    assert_eq!(run["publish"]["planned"], 1_000);
    assert_eq!(run["counts"]["unique"], 10_000);
    assert_eq!(run["plan"]["phases"]["measure_ns"], 900_900_900u64);
    let pace = run["plan"]["pace"].as_str().expect("text");
    assert!(pace.starts_with('@') && pace.ends_with("/trace"), "{pace}");
}
