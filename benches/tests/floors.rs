//! The floors against their own client, over TCP: whatever is published arrives, once.
//!
//! A floor that loses or repeats events would make every comparison with it worthless. Rates are
//! low, so that no socket is ever full and a loss can only be a fault.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const FLOORS: [&str; 2] = [env!("CARGO_BIN_EXE_floor-send"), env!("CARGO_BIN_EXE_floor-coalesce")];
const SUBSCRIBER_COUNT: u64 = 20;

/// A serving floor, ended with the test.
struct Floor {
    child: Child,
    address: String,
}

impl Floor {
    fn start(binary: &str, args: &[&str]) -> Self {
        let mut child = Command::new(binary)
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the floor was built with this test");
        let mut line = String::new();
        let stderr = child.stderr.take().expect("it is piped");
        BufReader::new(stderr).read_line(&mut line).expect("a floor says where it listens");
        let address = line.trim().strip_prefix("listening on ").expect("that is what it says");
        Self { child, address: address.to_owned() }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.child.kill().expect("a floor runs until it is ended");
        self.child.wait().expect("it is our child");
    }
}

fn receive(floor: &Floor, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_floor-receive"))
        .args(["--connect", &floor.address, "--warm-up", "0", "--seconds", "1"])
        .args(["--subscribers", &SUBSCRIBER_COUNT.to_string()])
        .args(args)
        .output()
        .expect("the client was built with this test");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {complaint}");
    serde_json::from_slice(&output.stdout).expect("the result is JSON")
}

#[test]
fn every_published_event_reaches_every_subscriber_once() {
    for binary in FLOORS {
        let floor = Floor::start(binary, &[]);
        for args in [["--publish", "post"], ["--publish", "lines"]] {
            let report = receive(&floor, &[&["--rate", "100"][..], &args].concat());
            let whole = &report["whole_run"];
            let published_count = whole["published_count"].as_u64().expect("a count");
            assert!(published_count > 0, "{binary} {args:?}: nothing was published");
            assert_eq!(whole["delivery_count"], published_count * SUBSCRIBER_COUNT, "{binary}");
            assert_eq!(whole["closed_count"], 0, "{binary} {args:?}: subscribers were cut");
            for fault in ["lost_count", "surplus_count", "malformed_count"] {
                assert_eq!(report["latency"][fault], 0, "{binary} {args:?}: {fault}");
            }
        }
    }
}

#[test]
fn a_floor_that_publishes_by_itself_reaches_its_subscribers() {
    for binary in FLOORS {
        let floor = Floor::start(binary, &["--own-rate", "100", "--own-bytes", "64"]);
        let report = receive(&floor, &[]);
        let delivery_count = report["whole_run"]["delivery_count"].as_u64().expect("a count");
        assert!(delivery_count > 0, "{binary}: nothing came");
        assert_eq!(report["latency"]["malformed_count"], 0, "{binary}");
        assert_eq!(report["latency"]["surplus_count"], 0, "{binary}");
    }
}

#[test]
fn counting_and_reading_stamps_find_the_same_events() {
    let floor = Floor::start(FLOORS[1], &[]);
    for reading in ["count", "stamps"] {
        let report = receive(&floor, &["--rate", "50", "--read", reading, "--stalled", "3"]);
        assert_eq!(report["whole_run"]["missing_count"], 0, "{reading}");
        assert_eq!(report["stalled_count"], 3);
    }
}
