//! The `compare` command over real servers: the scripted one, whose truth is known.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A run of a second: a comparison makes many.
const RUN: &str = "--rate 100 --duration 1s --warmup 100ms --settle 100ms --horizon 500ms -c 20";

/// A server that starts where it is told to; `fault` goes to `serve`.
fn server(name: &str, fault: &str) -> String {
    let program = env!("CARGO_BIN_EXE_downpour-load");
    format!("{name}={program} serve --listen 127.0.0.1:{{port}} {fault}")
}

fn compare(out: &Path, arguments: &[&str], run: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["compare", "--out"])
        .arg(out)
        .args(arguments)
        .arg("--")
        .args(RUN.split(' '))
        .args(run)
        .output()
        .expect("the binary under test starts")
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder of the results");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|it| it == ending));
    found.sort();
    found
}

/// The cells of a row of the table, behind its title.
fn row<'a>(table: &'a str, title: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(&format!("| {title}")));
    let line = line.unwrap_or_else(|| panic!("no row {title:?} in\n{table}"));
    line.trim_matches('|').split('|').skip(1).map(str::trim).collect()
}

#[test]
fn servers_are_measured_in_turn_and_end_in_one_table_and_one_page() {
    let out = tempfile::tempdir().expect("a folder");
    let servers =
        [server("bare", ""), server("fair", ""), server("lossy", "--fault drop:every=10")];
    let [bare, fair, lossy] = servers.each_ref().map(String::as_str);
    let arguments =
        ["--server", bare, "--server", fair, "--server", lossy, "--floor", "bare", "--rounds", "2"];
    let output = compare(out.path(), &arguments, &[]);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let names: Vec<String> = files(out.path(), "json")
        .iter()
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    let first = ["01-0-bare", "01-1-fair", "01-2-lossy", "01-3-bare"];
    let second = ["02-0-bare", "02-1-lossy", "02-2-fair", "02-3-bare"];
    assert_eq!(names, [first, second].concat(), "{complaints}");

    let table = std::fs::read_to_string(out.path().join("summary.md")).expect("the table");
    assert!(String::from_utf8_lossy(&output.stdout).contains(&table), "it is printed as well");
    let head = table.lines().next().expect("a head");
    assert!(head.contains("bare |") && head.contains("fair |") && head.contains("lossy |"));
    let cost = row(&table, "deliveries per CPU-second");
    assert!(!cost[0].contains('×') && cost[1].contains('×') && cost[2].contains('×'), "{table}");
    let lost = row(&table, "lost");
    assert_eq!(&lost[..2], ["0", "0"], "{table}");
    assert_ne!(lost[2], "0", "{table}");
    assert!(table.contains("Medians of 2 rounds"), "{table}");

    let page = std::fs::read_to_string(out.path().join("compare.html")).expect("the page");
    assert!(page.contains("<title>bare, fair, lossy compared</title>"));
}

#[test]
fn a_server_that_does_not_start_ends_the_comparison_with_what_it_said() {
    let out = tempfile::tempdir().expect("a folder");
    let command = "broken=echo the disk is gone >&2; exit 3";
    let output = compare(out.path(), &["--server", command, "--rounds", "1"], &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("broken") && said.contains("the disk is gone"), "{said}");
}

#[test]
fn a_file_is_understood_and_flags_behind_it_win() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("contest.toml");
    let program = env!("CARGO_BIN_EXE_downpour-load");
    let text = format!(
        "rounds = 1\n[plan]\nsubscribers = 7\nname = 'overwritten'\n\
         [[server]]\nname = 'one'\nversion = 'echo version one'\n\
         spawn = '{program} serve --listen 127.0.0.1:{{port}}'\n"
    );
    std::fs::write(&file, text).expect("written");
    let out = folder.path().join("out");
    let output = compare(&out, &[file.to_str().expect("text")], &["-c", "9"]);
    let saved = std::fs::read_to_string(out.join("01-0-one.json")).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let run: Value = serde_json::from_str(&saved).expect("a run");
    assert_eq!(run["plan"]["subscribers"], 9);
    assert_eq!(run["name"], "one");
    assert_eq!(run["labels"]["version"], "version one");
    assert_eq!(run["labels"]["round"], "1");
}
