//! Limits on connections and descriptors: who is sent away, how, and that all of it is given back.

use std::time::Duration;

use crate::harness::engine::Confined;
use crate::harness::wire::{End, request};
use crate::harness::{Backend, Engine, Stream, Wire, on_both_backends};

on_both_backends![
    beyond_connections_max_subscribers_are_told_to_come_back,
    beyond_connections_max_publishers_are_told_503,
    connections_of_one_address_are_counted_apart,
    counts_are_given_back_however_a_connection_ends,
    without_descriptors_the_engine_waits_and_recovers,
    without_descriptors_those_make_room_that_say_nothing,
    a_subscriber_for_whom_the_kernel_has_no_place_is_told_to_come_back,
];

/// Subscribes and is sent away: 200, a reconnection time, the end.
#[track_caller]
fn shed(mut wire: Wire) {
    wire.send(request("GET", "/events/t", &[], b""));
    let head = wire.head();
    // Any other status and an EventSource would never come back (WHATWG HTML, section 9.2.3).
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
    assert_eq!(head.header("Connection"), Some("close"));
    let (rest, end) = wire.take_all();
    let rest = String::from_utf8(rest).expect("UTF-8");
    let retry = rest.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
    let retry: u64 = retry.expect("one block").parse().expect("digits");
    assert!((3_000..=6_000).contains(&retry), "{rest:?}");
    assert_eq!(end, End::Closed);
}

fn beyond_connections_max_subscribers_are_told_to_come_back(backend: Backend) {
    let engine = Engine::start(backend, &["--connections-max", "3"]);
    let mut streams: Vec<Stream> = (0..3).map(|_| engine.subscribe("t")).collect();
    for _ in 0..5 {
        shed(engine.connect());
    }
    engine.await_closed("connections_max", 5);
    streams.pop();
    engine.await_metric("downpour_connections", "", |count| count == 2.0);
    let mut late = engine.subscribe("t");
    streams.pop();
    engine.await_metric("downpour_connections", "", |count| count == 2.0);
    engine.publish("t", "x");
    assert_eq!((late.event().data, streams[0].event().data), ("x".into(), "x".into()));
}

fn beyond_connections_max_publishers_are_told_503(backend: Backend) {
    let engine = Engine::start(backend, &["--connections-max", "2"]);
    let mut first = engine.subscribe("t");
    let second = engine.subscribe("t");
    let response = engine.ask(request("POST", "/events/t", &[], b"too many"));
    response.problem(503);
    assert!(response.header("Retry-After").is_some());
    drop(second);
    engine.await_metric("downpour_connections", "", |count| count == 1.0);
    engine.publish("t", "there is room");
    assert_eq!(first.event().data, "there is room");
}

fn connections_of_one_address_are_counted_apart(backend: Backend) {
    let engine = Engine::start(backend, &["--connections-per-address-max", "2"]);
    let from = |address| Wire::connect_from(Some(address), None, engine.address, engine.deadline);
    let subscribe = |address| {
        let mut wire = from(address);
        wire.send(request("GET", "/events/t", &[], b""));
        Stream::open(wire)
    };
    let (one, _two) = (subscribe("127.0.0.2"), subscribe("127.0.0.2"));
    let mut other = subscribe("127.0.0.3");
    shed(from("127.0.0.2"));
    engine.await_closed("address_max", 1);
    drop(one);
    engine.await_metric("downpour_connections", "", |count| count == 2.0);
    let mut again = subscribe("127.0.0.2");
    engine.publish("t", "x");
    assert_eq!((again.event().data, other.event().data), ("x".into(), "x".into()));
}

fn counts_are_given_back_however_a_connection_ends(backend: Backend) {
    let flags = ["--connections-max", "20", "--handshake-timeout", "200ms"];
    let engine = Engine::start(backend, &flags);
    for round in 0..60 {
        let mut wire = engine.connect();
        match round % 6 {
            0 => wire.send(b"BAD\r\n\r\n"),
            1 => wire.send(b"GET /ev"),
            2 => wire.send(request("GET", "/nothing", &["Connection: close"], b"")),
            3 => wire.send(request("POST", "/events/t", &["Connection: close"], b"x")),
            4 => {
                wire.send(request("GET", "/events/t", &[], b""));
                wire.head();
                let socket = socket2::SockRef::from(&wire.stream);
                socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
            }
            _ => wire.send(request("GET", "/events/t", &[], b"")),
        }
        drop(wire);
    }
    engine.await_metric("downpour_connections", "", |count| count == 0.0);
    engine.await_subscribers(0);
    let metrics = engine.metrics();
    let ended = metrics.sum("downpour_closed_total", "");
    assert_eq!(metrics.sum("downpour_accepted_total", ""), ended, "each ended with one reason");
    let streams: Vec<Stream> = (0..20).map(|_| engine.subscribe("t")).collect();
    engine.await_subscribers(streams.len());
}

fn without_descriptors_the_engine_waits_and_recovers(backend: Backend) {
    let flags = ["--workers", "1", "--heartbeat", "1s", "--handshake-timeout", "1h"];
    let engine = Engine::start_with_descriptors(backend, &flags, 64);
    let mut first = engine.subscribe("t");
    // Publishes that are under way keep their descriptor, whatever the backend.
    let half = "POST /events/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf";
    let mut busy: Vec<Wire> = (0..80).map(|_| engine.connect()).collect();
    busy.iter_mut().for_each(|wire| wire.send(half));
    let mut waiting = engine.connect();
    waiting.send(request("GET", "/events/t", &[], b""));
    // The stream that is there is served on; its heartbeats are the clock. Whoever looks after the
    // engine is answered: the admin interface has descriptors in reserve.
    for _ in 0..3 {
        assert_eq!(first.block(), ":");
        assert_eq!(engine.admin("/readyz").status, 200);
        assert!(engine.metrics().sum("downpour_resident_bytes", "") > 0.0);
    }
    drop(busy);
    let mut late = Stream::open(waiting);
    engine.publish("t", "recovered");
    assert_eq!(late.event().data, "recovered");
    assert_eq!(first.event().data, "recovered");
    let failures = engine.metrics().sum("downpour_accept_failures_total", "");
    assert!((1.0..200.0).contains(&failures), "{failures} failed accepts in 3 s: it spins");
}

fn without_descriptors_those_make_room_that_say_nothing(backend: Backend) {
    let flags = ["--workers", "1", "--handshake-timeout", "1h"];
    let engine = Engine::start_with_descriptors(backend, &flags, 64);
    let mut silent: Vec<Wire> = (0..80).map(|_| engine.connect()).collect();
    silent.iter_mut().take(20).for_each(|wire| wire.send_if_taken(b"GET /ev"));
    let mut stream = engine.subscribe("t");
    engine.publish("t", "served");
    assert_eq!(stream.event().data, "served");
    engine.await_metric("downpour_closed_total", "reason=\"crowded\"", |count| count >= 1.0);
    drop(silent);
}

/// The lane cannot take a socket over: epoll lacks the second descriptor for a moment, io_uring the
/// memory of a further table. Nothing was greeted by then.
fn a_subscriber_for_whom_the_kernel_has_no_place_is_told_to_come_back(backend: Backend) {
    // The rings of the start and one more, of 64 sockets each; and the small one with which the
    // engine looks what the kernel has, whose end the kernel may not have counted yet.
    let confined = Confined { locked_kib: 356 + 28 + 8, descriptors: 64 };
    let flags = ["--workers", "1", "--admin", "off"];
    let engine = Engine::start_confined(backend, &flags, confined);
    let mut streams = Vec::new();
    let last = loop {
        let mut wire = engine.connect();
        wire.send(request("GET", "/events/t", &[], b""));
        let head = wire.head();
        assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
        match wire.take_through(b"\n\n") {
            first if first.starts_with(b":\n") => streams.push(wire),
            first => break (first, wire),
        }
    };
    let (first, mut wire) = last;
    assert!(first.starts_with(b"retry: "), "{}", first.escape_ascii());
    wire.expect_end();
    match backend {
        Backend::Uring => assert_eq!(streams.len(), 128),
        _ => assert!((30..64).contains(&streams.len()), "{}", streams.len()),
    }
    // Whoever has a stream keeps it, and when one goes there is room again.
    drop(streams.pop());
    let mut late = loop {
        let mut wire = engine.connect();
        wire.send(request("GET", "/events/t", &[], b""));
        wire.head();
        if wire.take_through(b"\n\n").starts_with(b":\n") {
            break wire;
        }
    };
    drop(streams.pop());
    engine.publish("t", "there is room");
    for wire in streams.iter_mut().chain([&mut late]) {
        let event = wire.take_through(b"\n\n");
        assert!(event.ends_with(b"\ndata: there is room\n\n"), "{}", event.escape_ascii());
    }
}

/// Fixed files are not descriptors: the limit holds for each table of a ring, not for the process.
#[test]
fn uring_holds_more_subscribers_than_descriptors() {
    let engine = Engine::start_with_descriptors(Backend::Uring, &[], 64);
    let mut streams: Vec<Stream> = (0..400).map(|_| engine.subscribe("t")).collect();
    engine.await_subscribers(400);
    for data in ["one", "two"] {
        engine.publish("t", data);
        for stream in &mut streams {
            assert_eq!(stream.event().data, data);
        }
    }
    // Places in every table are given back and taken again.
    streams.drain(100..300);
    engine.await_subscribers(200);
    streams.extend((0..300).map(|_| engine.subscribe("t")));
    engine.publish("t", "three");
    for stream in &mut streams {
        assert_eq!(stream.event().data, "three");
    }
}
