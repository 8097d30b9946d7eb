//! The `storm` command against servers that are right and servers that are wrong: it must hold
//! the first and break the second, for the reason that was injected.

mod scripted;

use std::net::TcpListener;
use std::process::{Command, Output};

use scripted::Server;
use serde_json::Value;

/// A storm small and quick enough for every build: two waves of half of 40 subscribers, whose
/// cuts fall anywhere within the next 600 bytes, some four events.
const QUICK: [&str; 12] = [
    "--subscribers",
    "40",
    "--rate",
    "500",
    "--waves",
    "2",
    "--within",
    "600",
    "--pause",
    "100ms",
    "--json",
    "-",
];

fn storm(url: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["storm", url])
        .args(QUICK)
        .args(arguments)
        .output()
        .expect("the binary under test starts");
    let run = serde_json::from_slice(&stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&stderr));
    });
    (status.code(), run)
}

fn against(server: &[&str], arguments: &[&str]) -> (Option<i32>, Value) {
    let server = Server::start(server);
    storm(&format!("http://{}/events/t", server.address), arguments)
}

/// The broken promises of a storm, by name.
fn broken(run: &Value) -> Vec<&str> {
    let promises = run["slo"].as_array().expect("a list").iter();
    let broken = promises.filter(|promise| promise["ok"] == false);
    broken.map(|promise| promise["expr"].as_str().expect("text")).collect()
}

#[test]
fn cuts_at_any_byte_of_any_framing_leave_no_trace_in_a_right_stream() {
    for framing in ["close", "chunked"] {
        for cut in ["rst", "fin"] {
            let server = ["--framing", framing, "--line-end", "crlf", "--write-bytes-max", "7"];
            let (code, run) = against(&server, &["--cut", cut, "--back", "now"]);
            assert_eq!(broken(&run), [""; 0], "{framing} {cut}");
            assert_eq!(code, Some(0), "{framing} {cut}");
            for wave in run["storm"]["waves"].as_array().expect("a list") {
                assert_eq!(wave["dropped"], 20, "{framing} {cut}");
                assert_eq!(wave["back"], 20, "{framing} {cut}");
                assert!(wave["back_all_ns"].is_u64(), "{framing} {cut}");
            }
            let expected = run["counts"]["events"].as_u64().expect("a number") * 40;
            assert_eq!(run["counts"]["unique"], expected, "{framing} {cut}");
        }
    }
}

#[test]
fn holes_hold_only_if_they_are_announced_in_time() {
    // Away for 200 ms, a subscriber misses some hundred events, of which one is kept.
    for (told, expected) in [
        ("exact", &[][..]),
        ("never", &["events missing without notice == 0"]),
        ("late", &["events missing without notice == 0", "gaps announced where none was == 0"]),
    ] {
        let server = ["--history-events", "1", "--retry", "200ms", "--resume-gap", told];
        let (code, run) = against(&server, &[]);
        assert_eq!(broken(&run), expected, "{told}");
        assert_eq!(code, Some(if expected.is_empty() { 0 } else { 3 }), "{told}");
    }
}

#[test]
fn each_fault_breaks_its_own_promise_and_is_counted_exactly() {
    for (fault, figure) in [
        ("drop:every=1000", "lost"),
        ("duplicate:every=1000", "duplicate"),
        ("corrupt:every=1000,byte=20", "corrupt"),
    ] {
        let server = Server::start(&["--fault", fault]);
        let url = format!("http://{}/events/t", server.address);
        let (code, run) = storm(&url, &["--share", "1", "--back", "now"]);
        let injected = server.stop().1["injected"].clone();
        let name = fault.split(':').next().expect("a kind");
        assert_eq!(code, Some(3), "{fault}");
        // A fault that met an event which its subscriber was cut off from, or one before its
        // first, cannot be seen; with one subscriber cut off per wave there are few of these.
        let (injected, seen) = (injected[name].as_u64(), run["counts"][figure].as_u64());
        let (injected, seen) = (injected.expect("injected"), seen.expect("counted"));
        assert!(seen > 0 && seen <= injected && injected - seen <= 4, "{seen} of {injected}");
    }
}

#[test]
fn subscribers_that_are_refused_for_good_are_missed() {
    let server = ["--fault", "status:code=503,every=10", "--retry", "10ms"];
    let (code, run) = against(&server, &[]);
    assert_eq!(code, Some(3));
    let missed = ["not back in the time of their wave", "not back at the end"];
    assert_eq!(broken(&run), missed.map(|promise| format!("subscribers {promise} == 0")));
}

#[test]
fn a_server_is_described_by_its_profile_or_by_flags() {
    let server = Server::start(&[]);
    let address = server.address;
    let elsewhere = format!("http://{address}/events/{{topic}}");
    for arguments in
        [&["--topic", "elsewhere"][..], &["--profile", "generic", "--publish", &elsewhere]]
    {
        let generic = arguments.contains(&"generic");
        let url = format!("http://{address}{}", if generic { "/events/storm" } else { "" });
        let (code, run) = storm(&url, &[arguments, &["--back", "now"]].concat());
        assert_eq!((code, broken(&run)), (Some(0), vec![]), "{arguments:?}");
        let profile = if generic { "generic" } else { "downpour" };
        assert_eq!(run["target"]["profile"], profile);
    }
}

#[test]
fn what_a_storm_cannot_prove_is_refused_before_it_begins() {
    let url = "http://127.0.0.1:1/stream";
    for (arguments, hint) in [
        (&["--profile", "centrifugo"][..], "no Last-Event-ID"),
        (&["--profile", "generic"], "--publish"),
        (&["--profile", "generic", "--publish", "ftp://x"], "not http"),
        (&["--publish-body", "x"], "{data}"),
        (&["--size", "64:4k"], "one --size"),
        (&["--size", "64:50%,1k:50%"], "one --size"),
        (&["--rate", "5:10"], "one rate"),
        (&["--cut", "server"], "--spawn"),
        (&["--subscribers", "0"], "1 or more"),
        (&["--waves", "0"], "1 or more"),
        (&["--share", "0%"], "as 50%"),
    ] {
        let program = env!("CARGO_BIN_EXE_downpour-load");
        let output = Command::new(program).args(["storm", url]).args(arguments).output();
        let output = output.expect("the binary under test starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(hint), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn a_restarted_server_is_found_again_by_everybody() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    let program = env!("CARGO_BIN_EXE_downpour-load");
    let spawn = format!("exec {program} serve --listen {address} --retry 20ms");
    let url = format!("http://{address}/events/t");
    let (code, run) = storm(&url, &["--cut", "server", "--spawn", &spawn]);
    assert_eq!(broken(&run), [""; 0]);
    assert_eq!(code, Some(0));
    for wave in run["storm"]["waves"].as_array().expect("a list") {
        assert_eq!((&wave["dropped"], &wave["back"]), (&Value::from(40), &Value::from(40)));
    }
}

#[test]
fn a_server_has_processors_of_its_own_whenever_it_is_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("cpus");
    let (address, program) = (scripted::own_address(0), env!("CARGO_BIN_EXE_downpour-load"));
    let spawn = format!(
        "grep Cpus_allowed_list /proc/self/status >> {}; exec {program} serve --listen {address}",
        said.display()
    );
    let server = ["--spawn", &spawn, "--cut", "server", "--back", "now"];
    // What the storm proves of a server that forgets is not the question.
    storm(&format!("http://{address}/events/t"), &server);
    let said = std::fs::read_to_string(said).expect("the server has said where it runs");
    let starts: Vec<&str> = said.lines().collect();
    assert!(starts.len() >= 3, "two waves start it again: {starts:?}");
    assert!(starts.iter().all(|start| *start == starts[0]), "{starts:?}");
    let ours = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let ours = ours.lines().find(|line| line.starts_with("Cpus_allowed_list")).expect("a line");
    let is_only = std::thread::available_parallelism().expect("a number").get() == 1;
    assert_eq!(starts[0] == ours, is_only, "{starts:?} of {ours}");
}
