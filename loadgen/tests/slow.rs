//! Slow subscribers: what they leave unread, and what they do to the others.

mod scripted;

use std::process::Command;

use scripted::Server;
use serde_json::Value;

fn run(arguments: &[&str], url: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["run", url, "--quiet", "--json", "-"])
        .args(["-c", "10", "--rate", "200", "--duration", "1s", "--warmup", "100ms"])
        .args(arguments)
        .output()
        .expect("the binary under test starts");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn what_a_stopped_subscriber_leaves_in_its_buffer_is_counted() {
    let server = Server::start(&[]);
    let url = format!("http://{}", server.address);
    let saved = run(&["--slow", "30%:0", "--isolation", "--link", "1G"], &url);
    let slow = &saved["slow"];
    assert_eq!(slow["subscribers"], 3);
    // Each of three was sent 220 events of more than 128 bytes, or as many as its buffer takes.
    assert!(slow["unread_bytes"].as_u64().unwrap() >= 3 * 1_024, "{slow}");
    assert_eq!(saved["counts"]["expected"], 7 * 200);
    assert_eq!(saved["counts"]["lost"], 0);
    let with = saved["metrics"]["delivery"]["p"]["99"].as_f64().unwrap();
    let without = slow["p99_without_ns"].as_f64().unwrap();
    assert_eq!(slow["isolation"].as_f64().unwrap(), with / without);
    // Seven deliveries of some 150 bytes through 1 Gbit/s.
    let floor_ns = saved["rig"]["bandwidth_floor"]["time_ns"].as_u64().unwrap();
    assert!((7 * 128 * 8..7 * 400 * 8).contains(&floor_ns), "{floor_ns}");
}

#[test]
fn a_subscriber_that_reads_slowly_leaves_less_than_one_that_stops() {
    let server = Server::start(&[]);
    let url = format!("http://{}", server.address);
    let read = run(&["--slow", "1:1MiB/s"], &url);
    assert_eq!((&read["slow"]["subscribers"], &read["slow"]["cut"]), (&1.into(), &0.into()));
    assert!(read["slow"]["unread_bytes"].as_u64().unwrap() < 64 * 1_024, "{}", read["slow"]);
    assert!(read["slow"]["isolation"].is_null());
}
