//! A peer that always has something to do for a worker does not keep it from others.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Wire, on_both_backends};

on_both_backends![
    requests_without_end_on_some_connections_do_not_keep_others_waiting,
    a_body_of_blank_lines_without_end_does_not_keep_others_waiting,
    a_worker_full_of_silent_connections_makes_room_for_who_asks,
    a_worker_full_of_idle_connections_makes_room_for_who_asks,
];

/// Peers that flood at a time.
const FLOODS: usize = 4;

/// Sends `head`, then `piece` without end on some connections, and reads what is answered, while
/// `meanwhile` runs.
fn flooded(engine: &Engine, head: &[u8], piece: &[u8], meanwhile: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // A test that fails ends its floods as well.
        let mut flood = Flood { over: &over, streams: Vec::new() };
        for _ in 0..FLOODS {
            let mut wire = engine.connect();
            wire.send(head);
            let Wire { stream, .. } = wire;
            let reader = stream.try_clone().expect("a descriptor");
            flood.streams.push(stream.try_clone().expect("a descriptor"));
            let over = &over;
            scope.spawn(move || {
                let mut stream = stream;
                while !over.load(Ordering::Relaxed)
                    && std::io::Write::write_all(&mut stream, piece).is_ok()
                {}
            });
            scope.spawn(move || std::io::copy(&mut { reader }, &mut std::io::sink()));
        }
        meanwhile();
        drop(flood);
    });
}

/// Ends the floods when it goes.
struct Flood<'a> {
    over: &'a AtomicBool,
    streams: Vec<TcpStream>,
}

impl Drop for Flood<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for stream in &self.streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Others subscribe, publish and are heard, and the worker counts as alive.
fn others_are_served(engine: &Engine) {
    let mut stream = engine.subscribe("t");
    for number in 0..50 {
        engine.publish("t", number.to_string());
        assert_eq!(stream.event().data, number.to_string());
        assert_eq!(engine.admin("/healthz").status, 200);
    }
}

fn requests_without_end_on_some_connections_do_not_keep_others_waiting(backend: Backend) {
    let engine = Engine::start(backend, &["--workers", "1"]);
    let piece = b"GET /n HTTP/1.1\r\nHost:a\r\n\r\n".repeat(1_000);
    flooded(&engine, b"", &piece, || others_are_served(&engine));
}

fn a_body_of_blank_lines_without_end_does_not_keep_others_waiting(backend: Backend) {
    let engine = Engine::start(backend, &["--workers", "1"]);
    let kind = "Content-Type: application/x-ndjson";
    let length = "Content-Length: 999999999999";
    let head = format!("POST /events HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n{length}\r\n\r\n");
    flooded(&engine, head.as_bytes(), &[b'\n'; 64 << 10], || others_are_served(&engine));
}

/// More than the requests that one worker has at a time.
const CROWD: usize = 4_200;

/// This test's own descriptors: a crowd, and some more.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("it is allowed");
    assert!(maximum.is_none_or(|maximum| maximum > 5_000), "RLIMIT_NOFILE is {maximum:?}");
}

/// Every other time is an hour: only the crowd itself can make room.
const PATIENT: [&str; 6] = ["--workers", "1", "--handshake-timeout", "1h", "--idle-timeout", "1h"];

fn a_worker_full_of_silent_connections_makes_room_for_who_asks(backend: Backend) {
    raise_descriptors();
    let engine = Engine::start(backend, &PATIENT);
    let mut first = engine.subscribe("t");
    let mut silent: Vec<Wire> = (0..CROWD).map(|_| engine.connect()).collect();
    // Some say a little, again and again, and are no better for it.
    silent.iter_mut().take(100).for_each(|wire| wire.send_if_taken(b"GET /"));
    let mut late = engine.subscribe("t");
    engine.publish("t", "x");
    assert_eq!((first.event().data, late.event().data), ("x".into(), "x".into()));
    let crowded = engine.metrics().sum("downpour_closed_total", "reason=\"crowded\"");
    assert!(crowded >= 1.0, "nobody made room");
    drop(silent);
    engine.await_metric("downpour_connections", "", |count| count == 2.0);
}

fn a_worker_full_of_idle_connections_makes_room_for_who_asks(backend: Backend) {
    raise_descriptors();
    let engine = Engine::start(backend, &PATIENT);
    let idle: Vec<Wire> = (0..CROWD)
        .map(|_| {
            let mut wire = engine.connect();
            wire.send(request("GET", "/nothing", &[], b""));
            wire
        })
        .collect();
    let mut stream = engine.subscribe("t");
    engine.publish("t", "x");
    assert_eq!(stream.event().data, "x");
    drop(idle);
    engine.await_metric("downpour_connections", "", |count| count == 1.0);
}
