//! The `conform` command against servers whose faults are known: each is found by the point that is
//! there for it, and, but for points of many streams, by no other; a server without faults passes
//! every one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

mod reference;
mod scripted;

use reference::Reference;
use scripted::Server;

/// Servers of a group that are looked at at a time.
const THREADS_COUNT: usize = 3;

/// What is there comes within this on any machine; what is not there takes as long to be missed.
const PATIENT: [&str; 4] = ["--patience", "20s", "--prompt", "10s"];

/// What became of each point, by its id: `ok`, `not ok`, or `skip`.
type Outcomes = BTreeMap<String, &'static str>;

fn outcomes(output: &Output) -> Outcomes {
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

fn failed(output: &Output) -> BTreeSet<String> {
    let failed = outcomes(output).into_iter().filter(|(_, outcome)| *outcome == "not ok");
    failed.map(|(id, _)| id).collect()
}

fn load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_downpour-load"));
    command.arg("conform").args(arguments).output().expect("the binary under test starts")
}

fn conform(server: &Server, arguments: &[&str]) -> Output {
    let url = format!("http://{}", server.address);
    load(&[&[&url, "--tap", "-", "--patience", "1s", "--idle", "0"], arguments].concat())
}

/// All points, told everything that is known of a reference server.
fn conform_reference(server: &Reference, arguments: &[&str]) -> Output {
    let address = server.address;
    let url = format!("http://{address}");
    let (gauge, via) =
        (format!("{url}/metrics#reference_streams"), format!("http://{}", server.via));
    let (ended, moved) = (format!("{url}/ended"), format!("{url}/moved"));
    let (pid, restart) = (server.pid().to_string(), server.restart());
    let known = [
        ["--origin", "https://page.test"],
        ["--stranger", "Authorization: Bearer stranger"],
        ["--head-timeout", "5s"],
        ["--stall-timeout", "3s"],
        ["--idle", "2s"],
        ["--pid", &pid],
        ["--gauge", &gauge],
        ["--via", &via],
        ["--ended", &ended],
        ["--moved", &moved],
        ["--restart", &restart],
    ];
    load(&[&[&url, "--tap", "-", "--strict"], known.as_flattened(), arguments].concat())
}

/// Not a test: the process that the tests of this file speak to.
#[test]
#[ignore = "the server of the other tests, which start it"]
fn the_reference_server() {
    reference::serve();
}

fn start(breaks: &str) -> Reference {
    // Only one point is about a limit; others open more streams than it would let in.
    let streams_max = if breaks.starts_with("H17b") { 20 } else { usize::MAX };
    Reference::start(breaks, streams_max, "the_reference_server")
}

/// All points, by `--list`: id and level.
fn points() -> Vec<(String, String)> {
    let text = String::from_utf8(load(&["--list"]).stdout).expect("text");
    let read = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        words.next().zip(words.next())
    };
    text.lines().filter_map(read).collect()
}

/// Points that are broken with another, because the rule is wider; and the only points that can be
/// asked beside it, where no stream opens.
fn beside(point: &str) -> (&'static [&'static str], Option<&'static [&'static str]>) {
    match point {
        // No stream opens at all.
        "H1" => (&[], Some(&[])),
        "H2" => (&[], Some(&["H1", "H3"])),
        // A byte that no id may have is not one that costs no preflight either.
        "S9a" => (&["S9b"], None),
        "H17b" => (&[], Some(&[])),
        _ => (&[], None),
    }
}

/// Holds each point of a group against a server that breaks it alone.
fn each_is_found(group: &str) {
    let points = points();
    let judged = points.iter().filter(|(id, level)| id.starts_with(group) && level != "INFO");
    let judged: Vec<&str> = judged.map(|(id, _)| id.as_str()).collect();
    // Most of the time is spent waiting for what does not come.
    let parts = judged.chunks(judged.len().div_ceil(THREADS_COUNT));
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let found = |part: &[&str]| -> Vec<String> {
            part.iter().filter_map(|id| found_wrongly(id, group)).collect()
        };
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || found(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What is wrong about the points of a group that fail where one is broken. That one is asked alone
/// and with little patience, since what it waits for does not come; all others with much, since
/// what they wait for does: neither depends on how fast the machine is. Points of many streams
/// take long; that those do not fail beside another is shown by the server that keeps every rule.
fn found_wrongly(id: &str, group: &str) -> Option<String> {
    let (more, beside) = beside(id);
    let broken = [&[id], more].concat();
    let server = start(id);
    let impatient = ["--patience", "2s", "--prompt", "1s", "--connections-max", "20"];
    let asked = broken.join(",");
    let output = conform_reference(&server, &[&impatient[..], &["--only", &asked]].concat());
    let expected: BTreeSet<String> = broken.iter().map(|&id| id.to_owned()).collect();
    let wrong = wrongly(id, &output, &expected, 5);
    if wrong.is_some() || group == "L" {
        return wrong;
    }
    let points = points();
    let in_group = points.iter().map(|(point, _)| point.as_str());
    let others: Vec<&str> = in_group
        .filter(|point| point.starts_with(group) && *point != "H17b" && !broken.contains(point))
        .filter(|point| beside.is_none_or(|those| those.contains(point)))
        .collect();
    if others.is_empty() {
        return None;
    }
    let output =
        conform_reference(&server, &[&PATIENT[..], &["--only", &others.join(",")]].concat());
    wrongly(id, &output, &BTreeSet::new(), 0)
}

fn wrongly(id: &str, output: &Output, expected: &BTreeSet<String>, code: i32) -> Option<String> {
    let failed = failed(output);
    let text = String::from_utf8_lossy(&output.stdout);
    (failed != *expected || output.status.code() != Some(code)).then(|| {
        let code = output.status.code();
        format!("a server that breaks {id}: {failed:?} fail, exit {code:?}\n{text}")
    })
}

#[test]
fn each_rule_of_heads_and_requests_is_found_broken_by_its_point_alone() {
    each_is_found("H");
}

#[test]
fn each_rule_of_events_is_found_broken_by_its_point_alone() {
    each_is_found("S");
}

#[test]
fn each_rule_of_coming_back_is_found_broken_by_its_point_alone() {
    each_is_found("R");
}

#[test]
fn each_rule_of_many_streams_is_found_broken_by_its_point() {
    each_is_found("L");
}

#[test]
fn a_server_that_keeps_every_rule_passes_every_point() {
    let server = start("");
    let output = conform_reference(&server, &PATIENT);
    let text = String::from_utf8_lossy(&output.stdout);
    let skipped: Vec<String> = outcomes(&output)
        .into_iter()
        .filter(|(_, outcome)| *outcome == "skip")
        .map(|(id, _)| id)
        .collect();
    assert_eq!((failed(&output), skipped), (BTreeSet::new(), vec!["H17b".to_owned()]), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(outcomes(&output).len(), points().len());

    let small = Reference::start("", 20, "the_reference_server");
    let limit = ["--only", "H17b", "--connections-max", "20"];
    let output = conform_reference(&small, &[&PATIENT[..], &limit].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(outcomes(&output).get("H17b"), Some(&"ok"), "{text}");
}

#[test]
fn what_is_only_told_tells_servers_apart() {
    for (breaks, seen) in [("", "the stream ends"), ("H16b", "the stream goes on")] {
        let server = start(breaks);
        let url = format!("http://{}", server.address);
        let output = load(&[&url, "--only", "H16b", "--patience", "2s", "--json", "-"]);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(value["points"][0]["seen"], seen);
        assert_eq!(value["points"][0]["outcome"], "note");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_server_without_faults_passes_whatever_its_framing_and_line_ends() {
    for wire in [["--framing", "chunked"], ["--line-end", "cr"], ["--write-bytes-max", "1"]] {
        let server = Server::start(&[&wire[..], &["--retry", "2s"]].concat());
        let only =
            "H1,H2,H3,H4,H5,H6,H12,H14,S1,S2,S3a,S4,S5,S6,S7,S8a,S9,R1,R2,R3,R4,R7a,R8,L4,L7";
        let output =
            conform(&server, &["--strict", "--patience", "10s", "--prompt", "10s", "--only", only]);
        assert_eq!(failed(&output), BTreeSet::new(), "{wire:?}: {output:?}");
        assert!(outcomes(&output).len() > 25, "{output:?}");
    }
}

#[test]
fn without_what_it_needs_a_point_is_not_checked_and_says_why() {
    let server = Server::start(&[]);
    let needs = [
        ("S1", "--publish"),
        ("R1", "--publish"),
        ("H9", "--origin"),
        ("H17a", "--head-timeout"),
        ("H17b", "--connections-max"),
        ("H18a", "--ended"),
        ("H18b", "--moved"),
        ("R6", "--restart"),
        ("R9", "--stranger"),
        ("L1b", "--gauge"),
        ("L2b", "--pid"),
        ("L3b", "--pid"),
        ("L8", "--via"),
    ];
    let only: Vec<&str> = needs.iter().map(|(id, _)| *id).collect();
    let output = conform(&server, &["--no-publish", "--only", &only.join(",")]);
    let text = String::from_utf8_lossy(&output.stdout);
    for (id, flag) in needs {
        let line = text.lines().find(|line| line.contains(&format!(" - {id} "))).expect(id);
        assert!(line.contains("# SKIP") && line.contains(flag), "{line}");
    }
    assert_eq!(output.status.code(), Some(0));
    let published = conform(&server, &["--only", "L2c,R5"]);
    let text = String::from_utf8_lossy(&published.stdout);
    assert!(text.contains("--stall-timeout") && text.contains("--restart"), "{text}");
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
    let output = load(&[&format!("http://{address}")]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn what_cannot_be_meant_is_wrong_usage_and_says_what_is_right() {
    for (arguments, hint) in [
        (&["https://127.0.0.1"][..], "TLS"),
        (&["ftp://127.0.0.1"], "not http"),
        (&["http://"], "no host"),
        (&["http://127.0.0.1:1", "--only", "X9"], "--list"),
        (&["http://127.0.0.1:1", "--only", ""], "--list"),
        (&["http://127.0.0.1:1", "-H", "nonsense"], "Name: value"),
        (&["http://127.0.0.1:1", "--stranger", "nonsense"], "Name: value"),
        (&["http://127.0.0.1:1", "--publish-body", "no placeholder"], "{data}"),
        (&["http://127.0.0.1:1", "--gauge", "http://127.0.0.1/metrics"], "#name"),
        (&["http://127.0.0.1:1", "--pid", "4194305"], "no such process"),
        (&["http://127.0.0.1:1", "--connections-max", "0"], "1 or more"),
        (&["http://127.0.0.1:1", "--patience", "soon"], "number"),
        (&[], "URL"),
    ] {
        let output = load(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(hint), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_told() {
    let server = Server::start(&[]);
    let output = conform(&server, &["--only", "H1", "--md", "/nowhere/at/all.md"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at/all.md"));
}
