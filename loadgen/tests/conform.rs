//! The `conform` command against a server with known faults: each is found by the point that is
//! there for it, and points that have nothing to do with it pass.

use std::collections::BTreeMap;
use std::process::{Command, Output};

mod scripted;

use scripted::Server;

/// What became of each point, by its id: `ok`, `not ok`, or `skip`.
fn outcomes(output: &Output) -> BTreeMap<String, &'static str> {
    let text = String::from_utf8_lossy(&output.stdout);
    let read = |line: &str| {
        let (outcome, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => ("not ok", rest),
            None => ("ok", line.strip_prefix("ok ")?),
        };
        let id = rest.split(" - ").nth(1)?.split(' ').next()?.to_owned();
        Some((id, if line.contains("# SKIP") { "skip" } else { outcome }))
    };
    text.lines().filter_map(read).collect()
}

fn conform(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["conform", &format!("http://{}", server.address), "--tap", "-"])
        .args(["--patience", "1s", "--idle", "0"])
        .args(arguments)
        .output()
        .expect("the binary under test starts")
}

#[test]
fn each_fault_of_a_server_is_found_by_the_point_for_it() {
    for (point, fault) in [
        ("H1", vec!["--fault", "status:code=205,first=1000"]),
        ("H2", vec!["--fault", "slow-head:by=1100ms,every=1"]),
        ("S2", vec!["--fault", "corrupt:event=1,byte=0"]),
        ("S4", vec!["--fault", "duplicate:event=1"]),
        ("S7", vec!["--fault", "drop:event=9"]),
        ("S8", vec!["--fault", "drop:event=1"]),
        ("L7", vec!["--fault", "drop:event=1,subscriber=63"]),
        ("R1", vec!["--fault", "drop:event=150"]),
        ("R2a", vec!["--history-events", "2"]),
        ("R2b", vec!["--fault", "close:every=20,reset=true", "--fault", "drop:event=100"]),
        ("R7a", vec![]),
        ("H8", vec![]),
        ("H11", vec![]),
        ("H13a", vec![]),
        ("S12", vec![]),
    ] {
        let server = Server::start(&fault);
        let output = conform(&server, &["--strict", "--only", point]);
        assert_eq!(outcomes(&output).get(point), Some(&"not ok"), "{point}: {output:?}");
        assert_eq!(output.status.code(), Some(5), "{point}");
    }
}

#[test]
fn a_server_without_faults_passes_whatever_its_framing_and_line_ends() {
    for wire in [["--framing", "chunked"], ["--line-end", "cr"], ["--write-bytes-max", "1"]] {
        let server = Server::start(&[&wire[..], &["--retry", "2s"]].concat());
        let only = "H1,H2,H3,H4,H5,H6,H12,H14,S1,S2,S3,S4,S5,S6,S7,S8,S9,R,L7";
        let output = conform(&server, &["--strict", "--only", only]);
        let outcomes = outcomes(&output);
        let failed: Vec<_> = outcomes.iter().filter(|(_, outcome)| **outcome == "not ok").collect();
        assert!(failed.is_empty(), "{wire:?}: {failed:?} {output:?}");
        assert!(outcomes.len() > 20, "{outcomes:?}");
    }
}

#[test]
fn comments_of_a_quiet_stream_are_waited_for() {
    for (heartbeat, outcome) in [("300ms", "ok"), ("60s", "not ok")] {
        let server = Server::start(&["--heartbeat", heartbeat]);
        let output = conform(&server, &["--only", "S10", "--idle", "1s"]);
        assert_eq!(outcomes(&output).get("S10"), Some(&outcome), "{output:?}");
    }
}

#[test]
fn without_a_recipe_what_needs_events_is_not_applicable() {
    let server = Server::start(&[]);
    let output = conform(&server, &["--no-publish", "--only", "S1,S2,R1,H9,H2"]);
    let outcomes = outcomes(&output);
    for id in ["S1", "S2", "R1", "H9"] {
        assert_eq!(outcomes.get(id), Some(&"skip"), "{output:?}");
    }
    assert_eq!(outcomes.get("H2"), Some(&"ok"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_failure_shows_the_bytes_of_the_connection() {
    let server = Server::start(&["--fault", "status:code=204,first=9"]);
    let output = conform(&server, &["--only", "H2"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("> GET /events/conform-0 HTTP/1.1"), "{text}");
    assert!(text.contains("< HTTP/1.1 204 No Content"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_not_judged() {
    let server = Server::start(&[]);
    let address = server.address;
    server.stop();
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["conform", &format!("http://{address}")])
        .output()
        .expect("the binary under test starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
