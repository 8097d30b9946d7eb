//! Requests that are not served: each gets its status and a sentence that says what to do.
//!
//! A refusal of the head ends the connection: what stands behind it is never read as a request.

use std::fmt::Write;

use crate::harness::wire::{End, request};
use crate::harness::{Backend, Engine, Wire, on_both_backends};

on_both_backends![
    malformed_heads_are_400_and_end_the_connection,
    what_smugglers_send_is_refused_and_nothing_behind_it_is_served,
    unknown_paths_are_404_and_name_those_that_exist,
    other_methods_are_405_and_name_those_allowed,
    a_head_that_is_not_finished_in_time_is_408,
    a_body_that_is_not_finished_in_time_is_408,
    a_publish_without_a_length_is_411,
    a_body_beyond_the_bound_is_413,
    a_target_beyond_8_kib_is_414,
    a_body_of_unknown_type_is_415,
    a_head_beyond_16_kib_or_100_lines_is_431,
    methods_and_codings_nobody_knows_are_501,
    other_versions_are_505,
    a_refused_subscription_keeps_the_connection_where_framing_is_certain,
    the_engine_serves_on_after_every_refusal,
    a_refusal_says_nothing_of_the_request_but_names,
];

/// Sends bytes that are no request; gives the status after checking the refusal whole.
#[track_caller]
fn refused(engine: &Engine, bytes: impl AsRef<[u8]>) -> u16 {
    let mut wire = engine.connect();
    wire.send_if_taken(bytes);
    let response = wire.response();
    response.problem(response.status);
    assert_eq!(response.header("Connection"), Some("close"));
    let (rest, _) = wire.take_all();
    assert!(rest.is_empty(), "something more was answered: {}", rest.escape_ascii());
    response.status
}

fn malformed_heads_are_400_and_end_the_connection(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for head in [
        "GET /events/t HTTP/1.1\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: user@a\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /events/t HTTP/1.1\nHost: a\n\n",
        "GET /events/t HTTP/1.1\r\nHost: a\n\r\n",
        "GET /events/t HTTP/1.1\rHost: a\r\r",
        "GET  /events/t HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /events/t  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /events/t\r\n\r\n",
        " GET /events/t HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /events/\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /events/t#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET events/t HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://b/events/t HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
        "GET /events/t HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET /events/t HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "\r\n\r\nGET /events/t HTTP/1.1\r\nHost: a\r\n\r\n",
        "\0\0\0\0",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n",
    ] {
        let status = refused(&engine, head);
        assert!(status == 400 || (status == 501 && !head.contains("GET")), "{head:?}: {status}");
    }
}

/// Heads that two readers could understand differently (RFC 9112, section 11.2).
const SMUGGLING: [&str; 26] = [
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: -5\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length: 5;\r\n",
    "Content-Length: \r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length : 5\r\n",
    "Content-Length\t: 5\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\r\n chunked\r\n",
    "Transfer-Encoding: chun\u{b}ked\r\n",
    "X: y\r\nTransfer-Encoding: chunked\rX: y\r\n",
];

fn what_smugglers_send_is_refused_and_nothing_behind_it_is_served(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let smuggled =
        "POST /events/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nsmuggled";
    for headers in SMUGGLING {
        let head = format!("POST /events/t HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        for body in [
            smuggled.to_owned(),
            format!("0\r\n\r\n{smuggled}"),
            format!("5\r\nabcde\r\n0\r\n\r\n{smuggled}"),
        ] {
            let status = refused(&engine, format!("{head}{body}"));
            assert!(status == 400 || status == 501, "{headers:?}: {status}");
        }
    }
    for body in [
        "5\nabcde\n0\n\n",
        "5\r\nabcdef\r\n0\r\n\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcde0\r\n\r\n",
        "fffffffffffffffff\r\n",
        "\r\n0\r\n\r\n",
    ] {
        let head =
            "POST /events/t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(refused(&engine, format!("{head}{body}{smuggled}")), 400, "{body:?}");
    }
    // Coding has no meaning in HTTP/1.0.
    let old =
        "POST /events/t HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
    assert_eq!(refused(&engine, old), 400);
    engine.publish("t", "the only one");
    assert_eq!(stream.event().data, "the only one");
}

fn unknown_paths_are_404_and_name_those_that_exist(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for path in [
        "/x",
        "/event/t",
        "/Events/t",
        "//events/t",
        "/events%2Ft",
        "/metrics",
        "/healthz",
        "/topics",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let problem = engine.ask(request(method, path, &[], b"")).problem(404);
            assert!(
                problem["detail"].as_str().is_some_and(|d| d.contains("/events/{topic}")),
                "{problem}"
            );
        }
    }
}

fn other_methods_are_405_and_name_those_allowed(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in ["/events/t", "/events", "/events?topic=t"] {
        for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
            let response = engine.ask(request(method, target, &[], b""));
            response.problem(405);
            assert_eq!(response.header("Allow"), Some("GET, HEAD, POST, OPTIONS"));
        }
    }
    let response = engine.ask(request("POST", "/", &[], b"x"));
    response.problem(405);
    assert_eq!(response.header("Allow"), Some("GET, HEAD, OPTIONS"));
}

fn a_head_that_is_not_finished_in_time_is_408(backend: Backend) {
    let engine = Engine::start(backend, &["--handshake-timeout", "200ms"]);
    for part in ["G", "GET /events/t HTTP/1.1\r\n", "GET /events/t HTTP/1.1\r\nHost: a\r\n\r"] {
        assert_eq!(refused(&engine, part), 408, "{part:?}");
    }
    // Whoever says nothing at all has asked nothing, and gets no answer.
    engine.connect().expect_end();
    engine.await_closed("handshake_timeout", 4);
}

fn a_body_that_is_not_finished_in_time_is_408(backend: Backend) {
    let engine = Engine::start(backend, &["--handshake-timeout", "200ms"]);
    let mut stream = engine.subscribe("t");
    let post =
        |framing: &str| format!("POST /events/t HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
    assert_eq!(refused(&engine, post("Content-Length: 10") + "half"), 408);
    assert_eq!(refused(&engine, post("Transfer-Encoding: chunked") + "5\r\nabcde\r\n"), 408);
    engine.publish("t", "whole");
    assert_eq!(stream.event().data, "whole");
}

fn a_publish_without_a_length_is_411(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in ["/events/t", "/events"] {
        for kind in ["", "Content-Type: application/json\r\n"] {
            let bytes = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n");
            assert_eq!(refused(&engine, bytes), 411, "{target}");
        }
    }
    assert_eq!(refused(&engine, "POST /events/t HTTP/1.0\r\n\r\n"), 411);
    // An event without data has the length 0.
    let mut stream = engine.subscribe("t");
    engine.publish("t", "");
    assert_eq!(stream.event().data, "");
}

fn a_body_beyond_the_bound_is_413(backend: Backend) {
    let engine = Engine::start(backend, &["--event-bytes-max", "1000"]);
    let mut stream = engine.subscribe("t");
    engine.publish("t", "x".repeat(1_000));
    assert_eq!(stream.event().data.len(), 1_000);
    let announced = format!("Content-Length: {}", 1_001);
    let post =
        |framing: &str| format!("POST /events/t HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
    assert_eq!(refused(&engine, post(&announced)), 413, "before any of it has arrived");
    assert_eq!(refused(&engine, post(&announced) + &"x".repeat(1_001)), 413);
    assert_eq!(refused(&engine, post("Content-Length: 9223372036854775807")), 413);
    assert_eq!(refused(&engine, post("Transfer-Encoding: chunked") + "ffffffff\r\n"), 413);
    let object = serde_json::json!({"topic": "t", "data": "x".repeat(1_001)}).to_string();
    engine.publish_json(&object).problem(413);
    // A client that sends all of it, not listening, still finds the answer.
    let mut wire = engine.connect();
    wire.send_if_taken(post("Content-Length: 200000") + &"x".repeat(200_000));
    wire.response().problem(413);
    engine.publish("t", "next");
    assert_eq!(stream.event().data, "next");
}

fn a_target_beyond_8_kib_is_414(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let target = |bytes: usize| format!("/events/t?{}", "x".repeat(bytes - "/events/t?".len()));
    let mut wire = engine.connect();
    wire.send(request("GET", &target(8_192), &[], b""));
    assert_eq!(wire.head().status, 200);
    assert_eq!(refused(&engine, request("GET", &target(8_193), &[], b"")), 414);
    assert_eq!(refused(&engine, format!("GET /{}", "x".repeat(9_000))), 414, "before its end");
}

fn a_body_of_unknown_type_is_415(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for kind in ["text/plain", "application/jsonx", "application/x-www-form-urlencoded", "", ";"] {
        let kind = format!("Content-Type: {kind}");
        let problem = engine.ask(request("POST", "/events", &[&kind], b"{}")).problem(415);
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("application/x-ndjson")));
    }
    engine.ask(request("POST", "/events", &[], b"{}")).problem(415);
}

fn a_head_beyond_16_kib_or_100_lines_is_431(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let long = format!("X: {}", "y".repeat(17_000));
    assert_eq!(refused(&engine, request("GET", "/events/t", &[&long], b"")), 431);
    let endless = format!("GET /events/t HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(200_000));
    assert_eq!(refused(&engine, endless), 431, "before its end");
    let lines = vec!["X: y"; 100];
    assert_eq!(refused(&engine, request("GET", "/events/t", &lines, b"")), 431, "and Host is 101");
    let mut wire = engine.connect();
    wire.send(request("GET", "/events/t", &lines[1..], b""));
    assert_eq!(wire.head().status, 200);
}

fn methods_and_codings_nobody_knows_are_501(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for method in ["BREW", "get", "SUBSCRIBE", "CONNECT", "X"] {
        let head = format!("{method} /events/t HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(refused(&engine, head), 501, "{method}");
    }
    assert_eq!(refused(&engine, "A".repeat(1_000)), 501, "a method without end");
    let gzip =
        "POST /events/t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    assert_eq!(refused(&engine, gzip), 501);
}

fn other_versions_are_505(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/3", "HTTP/0.9"] {
        let head = format!("GET /events/t {version}\r\nHost: a\r\n\r\n");
        assert_eq!(refused(&engine, head), 505, "{version}");
    }
    assert_eq!(refused(&engine, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
}

fn a_refused_subscription_keeps_the_connection_where_framing_is_certain(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    for _ in 0..3 {
        wire.send(request("GET", "/nothing", &[], b""));
        let response = wire.response();
        response.problem(404);
        assert_eq!(response.header("Connection"), Some("keep-alive"));
    }
    wire.send(request("POST", "/events/t", &[], b"x"));
    wire.response().json();
    wire.send(request("GET", "/nothing", &["Connection: close"], b""));
    assert_eq!(wire.response().header("Connection"), Some("close"));
    wire.expect_end();
}

fn the_engine_serves_on_after_every_refusal(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    // Every byte alone, and every byte in the middle of a good request.
    for byte in 0..=255u8 {
        let mut wire = engine.connect();
        wire.send([byte]);
        drop(wire);
        let mut head = b"GET /events/t HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n".to_vec();
        let at = usize::from(byte) % head.len();
        head[at] = byte;
        let mut wire = engine.connect();
        wire.send(head);
        drop(wire);
    }
    engine.publish("t", "alive");
    assert_eq!(stream.event().data, "alive");
    engine.await_metric("downpour_connections", "", |count| count <= 1.0);
}

fn a_refusal_says_nothing_of_the_request_but_names(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut target = String::from("/events/t?");
    write!(target, "{}=1", "%3Cscript%3E".repeat(20)).expect("a string takes all");
    let response = engine.ask(request("POST", &target, &[], b"x"));
    response.problem(400);
    assert!(response.body.len() < 400, "{}", response.text());
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    let mut wire: Wire = engine.connect();
    wire.send(request("GET", "/x", &["Connection: close"], b""));
    wire.response().problem(404);
    assert_eq!(wire.take_all(), (Vec::new(), End::Closed));
}
