//! The `calibrate` command: what it stores, and what later runs make of it.

mod scripted;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scripted::Server;
use serde_json::Value;

/// A plan of some thousand deliveries within a second: enough for a p99.
const PLAN: &str = "-c 10 --rate 400 --duration 500ms --warmup 100ms --settle 100ms";

/// The program, with a state directory of its own.
fn load(state: &Path, arguments: &[&str], plan: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(arguments)
        .args(plan.split_whitespace())
        .env("XDG_STATE_HOME", state)
        .output()
        .expect("the binary under test starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Calibrates with [`PLAN`]; gives the folder of the state and the stored floor.
fn calibrated() -> (tempfile::TempDir, PathBuf) {
    let state = tempfile::tempdir().expect("a folder");
    let output = load(state.path(), &["calibrate", "--"], PLAN);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    let stored = state.path().join("downpour-load/floor.json");
    assert!(
        said.starts_with("rig floor p99 ") && said.contains(stored.to_str().unwrap()),
        "{said}"
    );
    (state, stored)
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a saved run");
    serde_json::from_str(&text).expect("JSON")
}

/// A run against a server of its own; gives what it saved and what it printed.
fn run(state: &Path, arguments: &[&str], plan: &str) -> (Value, String) {
    let server = Server::start(&[]);
    let (url, saved) = (format!("http://{}", server.address), state.join("run.json"));
    let own = ["run", &url, "--quiet", "--json", saved.to_str().expect("UTF-8")];
    let output = load(state, &[&own[..], arguments].concat(), plan);
    assert!(output.status.success(), "{}", text(&output.stderr));
    (json(&saved), text(&output.stdout))
}

#[test]
fn a_like_run_shows_the_stored_floor_and_another_says_why_not() {
    let (state, stored) = calibrated();
    let p99 = json(&stored)["metrics"]["delivery"]["p"]["99"].clone();
    assert!(p99.is_u64(), "{p99}");
    let (like, said) = run(state.path(), &[], PLAN);
    assert_eq!(like["rig"]["floor"]["p99"], p99);
    assert_eq!(like["rig"]["floor"]["source"], stored.to_str().unwrap());
    assert!(said.contains("rig floor p99 "), "{said}");

    let unlike = PLAN.replace("-c 10", "-c 11").replace("400", "300");
    let (other, said) = run(state.path(), &[], &unlike);
    assert!(other["rig"]["floor"].is_null());
    let note = other["notes"][0].as_str().expect("a note");
    assert!(note.contains("subscribers 10 there, 11 here; events/s 400 there, 300 here"), "{note}");
    assert!(!said.contains("rig floor p99 "), "{said}");

    let (asked, said) = run(state.path(), &["--floor", stored.to_str().unwrap()], &unlike);
    assert_eq!(asked["rig"]["floor"]["p99"], p99);
    assert!(asked["notes"][0].as_str().expect("a note").contains("another plan"), "{said}");
}

#[test]
fn a_floor_that_cannot_be_read_is_a_note_unless_it_was_asked_for() {
    let state = tempfile::tempdir().expect("a folder");
    let stored = state.path().join("downpour-load/floor.json");
    std::fs::create_dir_all(stored.parent().unwrap()).expect("a folder");
    std::fs::write(&stored, "no floor").expect("written");
    let (run, _) = run(state.path(), &[], PLAN);
    let note = run["notes"][0].as_str().expect("a note");
    assert!(note.contains("cannot be used") && note.contains("not JSON"), "{note}");

    let floor = ["run", "http://127.0.0.1:1", "--floor", stored.to_str().unwrap()];
    let output = load(state.path(), &floor, PLAN);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--floor"), "{}", text(&output.stderr));
}

#[test]
fn a_floor_goes_where_it_is_told_to_and_wrong_arguments_store_none() {
    let state = tempfile::tempdir().expect("a folder");
    let told = state.path().join("new/folder/mine.json");
    let output = load(state.path(), &["calibrate", "-o", told.to_str().unwrap(), "--"], PLAN);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(json(&told)["plan"]["subscribers"], 10);
    for (wrong, word) in [
        ("--rate 0", "--rate"),
        ("--nonsense", "--nonsense"),
        ("http://h:1", "URL"),
        ("-c 0", "-c"),
    ] {
        let output = load(state.path(), &["calibrate", "--"], wrong);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {said}");
        assert!(said.contains(word) || said.contains("--subscribers 0"), "{wrong}: {said}");
    }
    assert!(!state.path().join("downpour-load").exists(), "only what was measured is stored");
}
