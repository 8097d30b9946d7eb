//! Runs that end early because an objective is out of reach, as users ask for them.

mod scripted;

use std::process::Command;

use scripted::{Server, saved};
use serde_json::{Value, json};

/// A run of up to 20 s against a server with faults; gives its exit code and what it saved.
fn run(faults: &[&str], flags: &str) -> (Option<i32>, Value) {
    let server = Server::start(faults);
    saved(
        Command::new(env!("CARGO_BIN_EXE_downpour-load"))
            .args(["run", &format!("http://{}", server.address), "--quiet", "--json", "-"])
            .args("-c 10 --rate 100 --duration 20s --warmup 100ms --settle 100ms".split(' '))
            .args(flags.split_whitespace()),
    )
}

fn codes(run: &Value) -> Vec<&str> {
    let reasons = run["verdict"]["reasons"].as_array().expect("a list").iter();
    reasons.map(|reason| reason["code"].as_str().expect("text")).collect()
}

#[test]
fn an_objective_out_of_reach_ends_the_run_with_the_report_of_what_there_was() {
    let slo = "--slo delivery.p50<1s --slo duplicate==0 --abort-on-breach --strict";
    let (code, run) = run(&["--fault", "duplicate:every=50"], slo);
    assert_eq!(code, Some(3), "{}", run["verdict"]);
    assert_eq!((&run["interrupted"], &run["breached"]), (&json!(true), &json!(["duplicate==0"])));
    assert!(codes(&run).contains(&"breach"), "{}", run["verdict"]);
    // The other objective might still have been missed: it is not judged.
    let judged: Vec<&Value> = run["slo"].as_array().unwrap().iter().map(|it| &it["ok"]).collect();
    assert_eq!(judged, [&Value::Null, &json!(false)]);
    assert!(run["slo"][1]["value"].as_f64().expect("a count") >= 1.0);
    let spans = run["timeline"].as_array().expect("a list");
    let measured = spans.iter().find(|span| span["phase"] == "measure").expect("it was measured");
    assert!(measured["length_ns"].as_u64().expect("a time") < 19_000_000_000, "{measured}");
    assert!(run["counts"]["unique"].as_u64().expect("a count") > 0);
}

#[test]
fn deliveries_that_stay_away_end_the_run_when_nobody_would_wait_for_them_any_more() {
    let slo = "--slo lost==0 --abort-on-breach --horizon 1s";
    let (code, run) = run(&["--fault", "drop:every=50"], slo);
    assert_eq!((code, &run["breached"]), (Some(3), &json!(["lost==0"])), "{}", run["verdict"]);
    assert!(run["counts"]["lost"].as_u64().expect("a count") > 0);
}

#[test]
fn a_run_within_its_objectives_goes_on_to_its_end() {
    let slo = "--slo lost==0 --slo delivery.p99<5s --slo last.p50<5s --abort-on-breach \
               --duration 2s";
    let (code, run) = run(&[], slo);
    assert_eq!(code, Some(0), "{}", run["verdict"]);
    assert_eq!((&run["interrupted"], &run["breached"]), (&json!(false), &json!([])));
    assert_eq!(run["counts"]["unique"], 2_000);
}
