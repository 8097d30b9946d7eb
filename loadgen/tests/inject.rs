//! Faults put upon a server on purpose: what they do to the figures, and what the report says.

mod scripted;

use std::process::Command;

use scripted::{own_address, saved};
use serde_json::Value;

const MS: u64 = 1_000_000;

/// A run of a second against a server that it starts; gives its exit code and what it saved.
fn run(test: u8, faults: &[&str]) -> (Option<i32>, Value) {
    let (program, address) = (env!("CARGO_BIN_EXE_downpour-load"), own_address(test));
    let spawn = format!("exec {program} serve --listen {address}");
    saved(
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
            .args("-c 10 --rate 200 --duration 1s --warmup 200ms --settle 100ms".split(' '))
            .args(faults.iter().flat_map(|fault| ["--inject", fault])),
    )
}

fn marks(run: &Value) -> Vec<&str> {
    let marks = run["marks"].as_array().expect("a list").iter();
    marks.map(|mark| mark["text"].as_str().expect("text")).collect()
}

#[test]
fn a_server_that_stands_still_is_charged_with_what_was_due_and_loses_nothing() {
    let (code, run) = run(0, &["sigstop:300ms@200ms"]);
    assert_eq!(code, Some(0), "{}", run["verdict"]);
    assert_eq!(run["plan"]["injected"], serde_json::json!(["sigstop:300ms@200ms"]));
    let marks = marks(&run);
    assert!(marks.len() == 1 && marks[0].starts_with("server stopped for 3"), "{marks:?}");
    assert_eq!(run["notes"][0], format!("injected: {}", marks[0]));
    // An event was due every 5 ms; the first of those within the stall waited nearly all of it.
    let delivery = &run["metrics"]["delivery"];
    assert!(delivery["max"].as_u64().unwrap() >= 290 * MS, "{}", delivery["max"]);
    // Of 200 events 60 were due in the stall, the median one of these for half of its length.
    assert!(delivery["p"]["90"].as_u64().unwrap() >= 150 * MS, "{}", delivery["p"]);
    assert_eq!(run["counts"]["lost"], 0);
    assert_eq!(run["counts"]["unique"], 10 * 200);
}

#[test]
fn faults_come_one_after_the_other_whatever_their_order() {
    let (code, run) = run(1, &["sigkill@700ms", "sigstop:100ms@100ms", "sigstop:100ms@150ms"]);
    // What was due behind the end of the server could not be sent.
    assert_eq!(code, Some(4));
    let codes = run["verdict"]["reasons"].as_array().expect("a list").iter();
    assert!(codes.map(|reason| &reason["code"]).any(|code| code == "publish_blocked"));
    let marks = marks(&run);
    assert!(marks[0].contains("SIGSTOP") && marks[1].contains("SIGSTOP"), "{marks:?}");
    assert_eq!(marks[2..], ["server killed (SIGKILL)"]);
    assert_eq!(run["counts"]["disconnects"]["closed"], 10);
}
