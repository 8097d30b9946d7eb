//! Requests as they arrive: byte by byte, cut anywhere, one behind the other.

use crate::harness::wire::{chunked, request};
use crate::harness::{Backend, Engine, Stream, on_both_backends};

on_both_backends![
    a_request_byte_by_byte_is_the_same_request,
    a_request_cut_in_two_anywhere_is_the_same_request,
    an_http_1_0_publisher_is_answered_and_closed_unless_it_asks_otherwise,
    an_absolute_target_is_understood,
    one_empty_line_before_a_request_is_ignored,
    requests_of_all_kinds_follow_each_other_on_one_connection,
    after_a_refused_head_nothing_pipelined_is_served,
    an_idle_connection_is_closed,
    a_client_that_leaves_in_the_middle_is_no_harm,
    the_start_page_is_there_on_loopback_and_can_be_turned_off,
];

fn a_request_byte_by_byte_is_the_same_request(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    for byte in request("GET", "/events/t", &["Accept: text/event-stream"], b"") {
        wire.send([byte]);
    }
    let mut stream = Stream::open(wire);
    let mut publisher = engine.connect();
    for byte in request("POST", "/events/t", &[], "größer".as_bytes()) {
        publisher.send([byte]);
    }
    publisher.response().json();
    assert_eq!(stream.event().data, "größer");
    let mut bytes = request("POST", "/events/t", &["Transfer-Encoding: chunked"], b"");
    bytes.extend(chunked(b"abc", 2));
    for byte in bytes {
        publisher.send([byte]);
    }
    publisher.response().json();
    assert_eq!(stream.event().data, "abc");
}

fn a_request_cut_in_two_anywhere_is_the_same_request(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let bytes = request("POST", "/events/t?event=tick", &["X: y"], b"a\r\nb");
    let mut wire = engine.connect();
    for cut in 0..=bytes.len() {
        wire.send(&bytes[..cut]);
        wire.send(&bytes[cut..]);
        wire.response().json();
        let event = stream.event();
        assert_eq!((event.event.as_str(), event.data.as_str()), ("tick", "a\nb"), "cut at {cut}");
    }
}

fn an_http_1_0_publisher_is_answered_and_closed_unless_it_asks_otherwise(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let post =
        |headers: &str| format!("POST /events/t HTTP/1.0\r\n{headers}Content-Length: 1\r\n\r\nx");
    let mut wire = engine.connect();
    wire.send(post(""));
    wire.response().json();
    wire.expect_end();
    let mut wire = engine.connect();
    for _ in 0..2 {
        wire.send(post("Connection: keep-alive\r\n"));
        let response = wire.response();
        assert_eq!(response.header("Connection"), Some("keep-alive"));
        response.json();
    }
    assert_eq!(stream.data(3), ["x", "x", "x"]);
}

fn an_absolute_target_is_understood(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    wire.send(request("GET", "http://localhost/events/t", &[], b""));
    let mut stream = Stream::open(wire);
    let mut wire = engine.connect();
    wire.send(request("POST", "http://LOCALHOST/events/t", &[], b"x"));
    wire.response().json();
    assert_eq!(stream.event().data, "x");
}

fn one_empty_line_before_a_request_is_ignored(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    for _ in 0..2 {
        // RFC 9112, section 2.2: some clients send one behind a body.
        wire.send([b"\r\n".to_vec(), request("POST", "/events/t", &[], b"x")].concat());
        wire.response().json();
    }
}

fn requests_of_all_kinds_follow_each_other_on_one_connection(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    let all = [
        request("HEAD", "/events/t", &[], b""),
        request("OPTIONS", "/events/t", &[], b""),
        request("OPTIONS", "*", &[], b""),
        request("POST", "/events/t", &[], b"first"),
        request("GET", "/nothing", &[], b""),
        request("HEAD", "/nothing", &[], b""),
        request("DELETE", "/events/t", &[], b""),
        request("GET", "/events/t?last_event_id=earliest", &[], b""),
    ];
    wire.send(all.concat());
    assert_eq!(wire.head().status, 200);
    for _ in 0..2 {
        let options = wire.response();
        assert_eq!(
            (options.status, options.header("Allow")),
            (204, Some("GET, HEAD, POST, OPTIONS"))
        );
    }
    wire.response().json();
    wire.response().problem(404);
    let head = wire.head();
    assert_eq!(head.status, 404);
    assert!(head.header("Content-Length").is_some(), "that of a GET, without the body");
    wire.response().problem(405);
    let mut stream = Stream::open(wire);
    assert_eq!(stream.event().data, "first");
}

fn after_a_refused_head_nothing_pipelined_is_served(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let good = |data: &str| request("POST", "/events/t", &[], data.as_bytes());
    let mut wire = engine.connect();
    wire.send([good("before"), b"BAD\r\n\r\n".to_vec(), good("behind")].concat());
    wire.response().json();
    let refusal = wire.response();
    refusal.problem(refusal.status);
    wire.expect_end();
    engine.publish("t", "end");
    assert_eq!(stream.data(2), ["before", "end"]);
}

fn an_idle_connection_is_closed(backend: Backend) {
    let engine = Engine::start(backend, &["--idle-timeout", "200ms"]);
    let mut wire = engine.connect();
    wire.send(request("POST", "/events/t", &[], b"x"));
    wire.response().json();
    wire.expect_end();
    engine.await_closed("idle_timeout", 1);
}

fn a_client_that_leaves_in_the_middle_is_no_harm(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let bytes = request("POST", "/events/t", &[], b"never finished");
    for cut in 0..bytes.len() {
        let mut wire = engine.connect();
        wire.send(&bytes[..cut]);
    }
    engine.await_closed("peer_closed", bytes.len() as u64);
    let mut stream = engine.resume("t", "earliest");
    engine.publish("t", "the only one");
    assert_eq!(stream.event().data, "the only one");
}

fn the_start_page_is_there_on_loopback_and_can_be_turned_off(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let page = engine.ask(request("GET", "/", &[], b""));
    assert_eq!(page.status, 200);
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("Content-Security-Policy")
            .is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert!(page.text().contains("EventSource"), "it shows an event arriving");
    let off = Engine::start(backend, &["--start-page", "off"]);
    off.ask(request("GET", "/", &[], b"")).problem(404);
}
