//! The life of the program: its start, its refusals to start, its drain, its end.

use rustix::process::Signal;

use crate::harness::engine::run_to_end;
use crate::harness::wire::{End, request};
use crate::harness::{Backend, Engine, Stream, Wire, on_both_backends};

on_both_backends![
    the_start_says_what_runs_where_within_which_bounds,
    sigterm_sends_every_subscriber_away_and_ends_with_0,
    what_was_answered_before_the_drain_is_delivered,
    stalled_subscribers_do_not_hold_up_the_end,
    while_draining_nobody_new_is_taken_and_readyz_says_so,
    a_second_signal_ends_it_at_once,
    an_interrupt_from_the_keyboard_drains_too,
    the_engine_answers_under_every_address_it_was_given,
    a_worker_for_each_cpu_serves_the_same_topics,
];

fn the_start_says_what_runs_where_within_which_bounds(backend: Backend) {
    let mut engine = Engine::start(backend, &["--publish-open"]);
    assert!(engine.line("backend").contains(backend.name()));
    engine.line("memory bound");
    engine.line("publishing");
    let metrics = engine.metrics();
    assert_eq!(metrics.sum("downpour_info", &format!("backend=\"{}\"", backend.name())), 1.0);
    assert_eq!(metrics.sum("downpour_workers", ""), 2.0);
    assert!(metrics.sum("downpour_limit", "connections-max") > 0.0);
}

/// A stream that was sent away: its last block tells when to come back.
#[track_caller]
fn farewell(stream: &mut Stream) -> u64 {
    stream.reader.retry_ms = None;
    stream.rest();
    stream.reader.retry_ms.expect("it was told when to come back")
}

fn sigterm_sends_every_subscriber_away_and_ends_with_0(backend: Backend) {
    let mut engine = Engine::start(backend, &["--drain-timeout", "1s", "--retry", "1s"]);
    let mut streams: Vec<Stream> = (0..100).map(|n| engine.subscribe(["t", "u"][n % 2])).collect();
    engine.await_subscribers(100);
    engine.signal(Signal::TERM);
    let times: Vec<u64> = streams.iter_mut().map(farewell).collect();
    assert!(times.iter().all(|time| (1_000..=2_000).contains(time)), "{times:?}");
    assert!(times.iter().collect::<std::collections::HashSet<_>>().len() > 30, "spread: {times:?}");
    assert_eq!(engine.exit().code(), Some(0), "{}", engine.printed());
}

fn what_was_answered_before_the_drain_is_delivered(backend: Backend) {
    let mut engine = Engine::start(backend, &["--drain-timeout", "1s"]);
    let mut stream = engine.subscribe("t");
    let ids: Vec<String> = (0..200).map(|n| engine.publish("t", n.to_string())).collect();
    engine.signal(Signal::TERM);
    let got: Vec<String> = stream.rest().into_iter().map(|event| event.id).collect();
    assert_eq!(got, ids);
    assert_eq!(engine.exit().code(), Some(0));
}

fn stalled_subscribers_do_not_hold_up_the_end(backend: Backend) {
    let flags = [
        "--drain-timeout",
        "1s",
        "--write-timeout",
        "1h",
        "--handshake-timeout",
        "1h",
        "--idle-timeout",
        "1h",
        "--socket-send-bytes",
        "8KiB",
        "--socket-unsent-bytes",
        "4KiB",
    ];
    let mut engine = Engine::start(backend, &flags);
    let stalled: Vec<Stream> = (0..20)
        .map(|_| {
            let mut wire = Wire::connect_from(None, Some(4 << 10), engine.address, engine.deadline);
            wire.send(request("GET", "/events/t", &[], b""));
            Stream::open(wire)
        })
        .collect();
    for _ in 0..10 {
        engine.publish("t", "x".repeat(100_000));
    }
    engine.await_metric("downpour_subscribers_blocked", "", |blocked| blocked == 20.0);
    let mut half = engine.connect();
    half.send(b"POST /events/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf");
    let mut idle = engine.connect();
    idle.send(request("POST", "/events/t", &[], b"x"));
    idle.response().json();
    engine.signal(Signal::TERM);
    // Only --drain-timeout can end it: every other time is an hour.
    assert_eq!(engine.exit().code(), Some(0), "{}", engine.printed());
    drop(stalled);
}

fn while_draining_nobody_new_is_taken_and_readyz_says_so(backend: Backend) {
    let engine = Engine::start(backend, &["--drain-timeout", "1h", "--write-timeout", "1h"]);
    let _streams: Vec<Stream> = (0..200).map(|_| engine.subscribe("t")).collect();
    let mut kept = engine.connect();
    kept.send(request("POST", "/events/t", &[], b"x"));
    kept.response().json();
    assert_eq!(engine.admin("/readyz").status, 200);
    engine.signal(Signal::TERM);
    engine.await_metric("downpour_draining", "", |draining| draining == 1.0);
    engine.admin("/readyz").problem(503);
    assert_eq!(engine.admin("/healthz").status, 200, "alive, but not ready");
    kept.send_if_taken(request("POST", "/events/t", &[], b"late"));
    // Told, or closed: never taken and lost.
    while kept.fill().is_ok() {}
    let answer = String::from_utf8_lossy(&kept.buffer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

fn a_second_signal_ends_it_at_once(backend: Backend) {
    let mut engine = Engine::start(backend, &["--drain-timeout", "1h"]);
    let mut streams: Vec<Stream> = (0..50).map(|_| engine.subscribe("t")).collect();
    engine.signal(Signal::TERM);
    engine.line("draining");
    engine.signal(Signal::TERM);
    assert_eq!(engine.exit().code(), Some(1));
    let (_, end) = streams.pop().expect("there are 50").wire.take_all();
    assert!([End::Closed, End::Reset].contains(&end));
}

fn an_interrupt_from_the_keyboard_drains_too(backend: Backend) {
    let mut engine = Engine::start(backend, &["--drain-timeout", "100ms"]);
    let mut stream = engine.subscribe("t");
    engine.signal(Signal::INT);
    farewell(&mut stream);
    assert_eq!(engine.exit().code(), Some(0));
}

fn the_engine_answers_under_every_address_it_was_given(backend: Backend) {
    let mut engine =
        Engine::start(backend, &["--listen", "127.0.0.1:0,127.0.0.2:0", "--admin", "off"]);
    let line = engine.line("listening on http://127.0.0.2:");
    let address = line.rsplit_once("http://").expect("it has one").1.trim();
    let mut stream = engine.subscribe("t");
    let other = address.parse().expect("an address");
    let mut wire = Wire::connect(other, engine.deadline);
    wire.send(request("POST", "/events/t", &[], b"by the other address"));
    wire.response().json();
    assert_eq!(stream.event().data, "by the other address");
    assert!(!engine.printed().contains("admin on"));
}

fn a_worker_for_each_cpu_serves_the_same_topics(backend: Backend) {
    for workers in ["1", "2", "4"] {
        let engine = Engine::start(backend, &["--workers", workers]);
        let mut streams: Vec<Stream> = (0..32).map(|_| engine.subscribe("t")).collect();
        for number in 0..32 {
            let id = engine.publish("t", number.to_string());
            for stream in &mut streams {
                assert_eq!(stream.event().id, id);
            }
        }
    }
}

#[test]
fn a_flag_that_cannot_hold_is_refused_with_its_value_and_what_is_allowed() {
    for (flag, value, allowed) in [
        ("--workers", "0", "1"),
        ("--listen", "nowhere", "127.0.0.1:8080"),
        ("--heartbeat", "15", "15s"),
        ("--history-events", "0", "1"),
        ("--history-bytes", "1", "KiB"),
        ("--event-bytes-max", "1TiB", "MiB"),
        ("--lag", "wait", "skip"),
        ("--backend", "kqueue", "uring"),
        ("--cpus", "9999", "CPUs"),
        ("--cors-origin", "app.example/", "scheme"),
        ("--connections-max", "-1", "1"),
        ("--retry", "0", "100ms"),
    ] {
        let (ok, printed) = run_to_end(&["serve", &format!("{flag}={value}")]);
        assert!(!ok, "{flag} {value}");
        for part in [flag, value, allowed] {
            assert!(printed.contains(part), "{flag} {value}: no {part:?} in {printed}");
        }
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for flag in ["--listen", "--admin"] {
        let (ok, printed) = run_to_end(&["serve", "--listen", "127.0.0.1:0", flag, &address]);
        let (ok, printed) = match flag {
            "--listen" => run_to_end(&["serve", "--listen", &address, "--admin", "off"]),
            _ => (ok, printed),
        };
        assert!(!ok && printed.contains(&address) && printed.contains(flag), "{printed}");
    }
}

#[test]
fn every_flag_has_an_environment_variable_and_help_says_so() {
    let (ok, help) = run_to_end(&["serve", "--help"]);
    assert!(ok);
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let flags: Vec<&str> = flags.filter_map(|line| line.split([' ', '=']).next()).collect();
    assert!(flags.len() > 20, "{help}");
    for flag in flags {
        let variable = format!("DOWNPOUR_{}", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "{variable}");
    }
    let (ok, version) = run_to_end(&["--version"]);
    assert!(ok && version.starts_with("downpour "), "{version}");
}
