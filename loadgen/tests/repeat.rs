//! Runs that are repeated, and subscribers that come and go within one, as users ask for them.

mod scripted;

use std::path::Path;
use std::process::{Command, Output};

use scripted::own_address;
use serde_json::Value;

fn load(test: u8, flags: &[&str]) -> Output {
    let (program, address) = (env!("CARGO_BIN_EXE_downpour-load"), own_address(test));
    let spawn = format!("exec {program} serve --listen {address}");
    Command::new(program)
        .args(["run", &format!("http://{address}"), "--spawn", &spawn, "--quiet"])
        .args("--rate 200 --warmup 100ms --settle 100ms".split(' '))
        .args(flags)
        .env("XDG_STATE_HOME", "/nonexistent")
        .output()
        .expect("the binary under test starts")
}

fn saved(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn each_of_several_runs_is_reported_and_all_of_them_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let (json, noted) = (folder.path().join("run.json"), folder.path().join("noted"));
    let between = format!("echo between >> {}", noted.display());
    let flags = ["-c", "10", "--duration", "500ms", "--runs", "3", "--between", &between];
    let output = load(0, &[&flags[..], &["--json", json.to_str().expect("UTF-8")]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("VERDICT").count(), 4, "three runs and all of them: {said}");
    assert!(said.contains("3 runs") && said.contains("smallest"), "{said}");
    assert_eq!(std::fs::read_to_string(noted).expect("it ran").lines().count(), 2);

    let all = saved(&json);
    let each: Vec<Value> =
        (1..=3).map(|round| saved(&folder.path().join(format!("run-{round}.json")))).collect();
    assert_eq!(all["runs"].as_array().expect("a list").len(), 3);
    assert_eq!(all["counts"]["unique"], 3 * 1_000);
    for (round, run) in each.iter().enumerate() {
        assert_eq!(run["labels"]["round"], (round + 1).to_string());
        assert_eq!(run["counts"]["unique"], 1_000);
    }
    // Its histogram is that of all: the largest of the runs is its largest.
    let largest = |run: &Value| run["metrics"]["delivery"]["max"].as_u64().expect("a time");
    assert_eq!(Some(largest(&all)), each.iter().map(largest).max());
}

#[test]
fn the_worst_run_decides_how_several_end() {
    let flags = ["-c", "5", "--duration", "300ms", "--runs", "2", "--slo", "duplicate==1"];
    let output = load(1, &flags);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn subscribers_with_lives_come_anew_and_miss_nothing_that_they_were_due_for() {
    let output = load(2, &["-c", "50", "--duration", "2s", "--life", "exp:200ms", "--json", "-"]);
    let run: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(output.status.code(), Some(0), "{}", run["verdict"]);
    assert_eq!(run["plan"]["life"], "exp:0.2s");
    // 250 lives end in a second, of which there are more than two; 50 came before.
    let connects = run["metrics"]["connect.ready"]["n"].as_u64().expect("a count");
    assert!(connects > 400, "{connects}");
    assert_eq!((&run["counts"]["lost"], &run["counts"]["duplicate"]), (&0.into(), &0.into()));
    assert_eq!(run["counts"]["disconnects"], serde_json::json!({}));
    assert!(run["counts"]["unique"].as_u64().expect("a count") > 10_000);
}
