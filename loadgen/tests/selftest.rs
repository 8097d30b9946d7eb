//! The `selftest` command: the cases that take least time and show most. The whole list is for
//! `downpour-load selftest`.

use std::process::{Command, Output};

use serde_json::Value;

fn selftest(only: &str) -> (Output, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["selftest", "--json", "-", "--only", only])
        .output()
        .expect("the binary under test starts");
    let results = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, results)
}

fn passes(only: &str) {
    let (output, results) = selftest(only);
    assert_eq!(results.as_array().map(Vec::len), Some(1), "{only} is one case");
    assert_eq!(results[0]["pass"], true, "{results:#}");
    assert!(output.status.success());
}

#[test]
fn one_fault_of_each_kind_is_reported_exactly() {
    passes("one fault of each kind");
}

#[test]
fn a_stall_of_the_server_is_in_the_tail_and_not_only_in_the_maximum() {
    passes("a stall of 100 ms");
}

#[test]
fn a_name_that_no_case_has_is_an_error() {
    let (output, _) = selftest("no such case");
    assert_eq!(output.status.code(), Some(2));
}
