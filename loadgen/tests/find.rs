//! The `find` command, with objectives whose limit is known beforehand.

mod scripted;

use std::process::Command;

use scripted::{Server, saved};
use serde_json::Value;

/// A run of a second: a search makes many.
const RUN: [&str; 8] =
    ["--rate", "100", "--duration", "1s", "--warmup", "100ms", "--settle", "100ms"];

fn find(arguments: &[&str], url: &str) -> (Option<i32>, Value) {
    find_with(arguments, url, &RUN)
}

fn find_with(arguments: &[&str], url: &str, run: &[&str]) -> (Option<i32>, Value) {
    saved(
        Command::new(env!("CARGO_BIN_EXE_downpour-load"))
            .args(["find", "--repeats", "1", "--json", "-"])
            .args(arguments)
            .args(["--", url])
            .args(run),
    )
}

#[test]
fn the_largest_number_of_subscribers_is_found_exactly() {
    let server = Server::start(&[]);
    let url = format!("http://{}", server.address);
    let limit = ["--slo", "connect.up<=10", "--precision", "1%"];
    let (code, found) = find(&[&["--from", "8", "--to", "16"][..], &limit].concat(), &url);
    let answer = &found["searches"][0]["answer"];
    assert_eq!(answer["found"], "between", "{found:#}");
    assert_eq!((&answer["holds"], &answer["fails"]), (&Value::from(10), &Value::from(11)));
    assert_eq!(answer["limit"], "server");
    assert_eq!(code, Some(0));
}

#[test]
fn a_frontier_has_an_answer_for_each_of_its_values() {
    let server = Server::start(&[]);
    let url = format!("http://{}", server.address);
    // `events` counts the events of the window, which the second flag doubles.
    let arguments =
        ["--from", "5", "--to", "5", "--slo", "events<=150", "--frontier", "rate=100,200"];
    let (code, found) = find(&arguments, &url);
    let answers: Vec<&Value> = (0..2).map(|at| &found["searches"][at]["answer"]["found"]).collect();
    assert_eq!(answers, ["beyond", "none"], "{found:#}");
    assert_eq!(code, Some(0));
}

#[test]
fn a_server_that_refuses_subscribers_is_at_its_limit() {
    let server = Server::start(&["--fault", "status:code=503"]);
    let url = format!("http://{}", server.address);
    let arguments = ["--from", "5", "--to", "50", "--slo", "lost==0"];
    let (code, found) = find(&arguments, &url);
    let answer = &found["searches"][0]["answer"];
    assert_eq!(answer["found"], "none", "{found:#}");
    assert_eq!(answer["limit"], "server", "{found:#}");
    assert_eq!(code, Some(3));
}

/// Payloads so large that the kernel's buffers are full long before the server reads again.
const LARGE: [&str; 4] = ["--size", "128k", "--horizon", "1s"];

#[test]
fn a_server_that_stops_reading_its_publisher_is_at_its_own_limit() {
    let server = Server::start(&["--fault", "stall:by=60s,event=40"]);
    let url = format!("http://{}", server.address);
    let limit = ["--vary", "rate", "--from", "100", "--to", "100", "--slo", "delivery.p50<10s"];
    let (code, found) = find_with(&limit, &url, &[&RUN[2..], &LARGE].concat());
    let answer = &found["searches"][0]["answer"];
    assert_eq!(answer["found"], "none", "{found:#}");
    assert_eq!(answer["limit"], "server", "{found:#}");
    assert_eq!(code, Some(3));
}
