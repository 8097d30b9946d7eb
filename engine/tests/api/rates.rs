//! Limits on how often an address and the bearer of a token may ask.

use std::io::Write as _;

use serde_json::json;
use tempfile::NamedTempFile;

use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Stream, Wire, on_both_backends};

on_both_backends![
    whoever_asks_too_often_is_told_429_and_when_to_come_back,
    a_subscriber_who_comes_too_often_is_told_in_the_stream,
    an_address_that_asks_too_often_is_no_harm_to_others,
    the_bearer_of_a_token_is_limited_wherever_he_comes_from,
    malformed_requests_count_as_well,
    without_the_flags_nobody_is_limited,
];

/// One request a second, and the requests of a second at once: whatever a slow machine takes, the first
/// is served and of many at once most are not.
const ONE: [&str; 4] = ["--requests-per-address-max", "1", "--requests-burst", "1s"];
const MANY: usize = 50;

/// Sends a request many times over on one connection; gives the answers.
fn ask_often(engine: &Engine, from: &str, request: &[u8]) -> Vec<crate::harness::Response> {
    let mut wire = Wire::connect_from(Some(from), None, engine.address, engine.deadline);
    wire.send(request.repeat(MANY));
    (0..MANY).map(|_| wire.response()).collect()
}

fn too_soon(engine: &Engine, by: &str) -> f64 {
    engine.metrics().sum("downpour_too_soon_total", &format!("by=\"{by}\""))
}

fn whoever_asks_too_often_is_told_429_and_when_to_come_back(backend: Backend) {
    let engine = Engine::start(backend, &ONE);
    let answers = ask_often(&engine, "127.0.0.2", &request("GET", "/nothing", &[], b""));
    assert_eq!(answers[0].status, 404, "the first is answered as ever");
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(refused.len() > MANY / 2, "{} of {MANY}", refused.len());
    for answer in &refused {
        let problem = answer.problem(429);
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("requests-per-address-max")));
        assert_eq!(answer.header("Retry-After"), Some("1"));
        assert_eq!(answer.header("Connection"), Some("keep-alive"));
    }
    assert_eq!(too_soon(&engine, "address"), refused.len() as f64);
    assert_eq!(too_soon(&engine, "token"), 0.0);
    // A publish is not taken, and whoever waits as long as he is told is served.
    let publish = |from| {
        let mut wire = Wire::connect_from(Some(from), None, engine.address, engine.deadline);
        wire.send(request("POST", "/events/t", &[], b"x"));
        wire.response().status
    };
    while publish("127.0.0.2") != 200 {}
    assert_eq!(publish("127.0.0.3"), 200);
}

fn a_subscriber_who_comes_too_often_is_told_in_the_stream(backend: Backend) {
    let engine = Engine::start(backend, &ONE);
    let ask = |method: &str| {
        let from = Some("127.0.0.2");
        let mut wire = Wire::connect_from(from, None, engine.address, engine.deadline);
        wire.send(request(method, "/events/t", &["Connection: close"], b""));
        let head = wire.head();
        // Any other status and an EventSource would never come back (WHATWG HTML, section 9.2.3).
        assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
        wire
    };
    let mut first = Stream::open({
        let from = Some("127.0.0.2");
        let mut wire = Wire::connect_from(from, None, engine.address, engine.deadline);
        wire.send(request("GET", "/events/t", &[], b""));
        wire
    });
    // A slow machine may take longer than a second to come again: then it comes in time.
    let retry = loop {
        let mut wire = ask("GET");
        let block = wire.take_through(b"\n\n");
        if let Some(retry) = String::from_utf8_lossy(&block).strip_prefix("retry: ") {
            wire.expect_end();
            break retry.trim_end().parse::<u64>().expect("digits");
        }
    };
    assert!((3_000..=7_000).contains(&retry), "{retry}: the wait, and what everybody is told");
    engine.await_closed("rate_max", 1);
    ask("HEAD").expect_end();
    engine.publish("t", "x");
    assert_eq!(first.event().data, "x", "who has a stream keeps it");
}

fn an_address_that_asks_too_often_is_no_harm_to_others(backend: Backend) {
    let engine = Engine::start(backend, &ONE);
    let answers = ask_often(&engine, "127.0.0.2", &request("OPTIONS", "/events/t", &[], b""));
    assert!(answers.iter().any(|answer| answer.status == 429));
    for host in 3..100 {
        let from = format!("127.0.0.{host}");
        let mut wire = Wire::connect_from(Some(&from), None, engine.address, engine.deadline);
        wire.send(request("POST", "/events/t", &[], b"x"));
        wire.response().json();
    }
}

fn key_file() -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    writeln!(file, "0123456789abcdef0123456789abcdef").expect("room on the disk");
    file
}

/// A token that differs from all others by its subject.
fn bearer(subject: &str) -> String {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    let key = EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
    let mercure = json!({ "publish": ["*"], "subscribe": ["*"] });
    let claims = json!({ "sub": subject, "exp": 4_102_444_800u64, "mercure": mercure });
    let token =
        encode(&Header::new(Algorithm::HS256), &claims, &key).expect("claims can be signed");
    format!("Authorization: Bearer {token}")
}

fn the_bearer_of_a_token_is_limited_wherever_he_comes_from(backend: Backend) {
    let file = key_file();
    let path = file.path().to_str().expect("UTF-8");
    let flags =
        ["--requests-per-token-max", "1", "--requests-burst", "1s", "--token-key-file", path];
    let engine = Engine::start(backend, &flags);
    let (one, other) = (bearer("one"), bearer("other"));
    let publish = request("POST", "/events/t", &[&one], b"x");
    let mut statuses = Vec::new();
    for host in 2..60 {
        let from = format!("127.0.0.{host}");
        let mut wire = Wire::connect_from(Some(&from), None, engine.address, engine.deadline);
        wire.send(&publish);
        let answer = wire.response();
        if answer.status == 429 {
            let problem = answer.problem(429);
            assert!(problem["detail"].as_str().is_some_and(|d| d.contains("per-token-max")));
            assert!(answer.header("Retry-After").is_some());
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[0], 200);
    assert!(statuses.iter().filter(|status| **status == 429).count() > 10, "{statuses:?}");
    engine.ask(request("POST", "/events/t", &[&other], b"x")).json();
    // A token that is made up has no place of its own, and no token is asked for to be refused.
    for number in 0..20 {
        let forged = format!("{}{number}", bearer("one"));
        engine.ask(request("POST", "/events/t", &[&forged], b"x")).problem(401);
    }
    assert!(too_soon(&engine, "token") > 10.0);
    assert_eq!(too_soon(&engine, "address"), 0.0);
}

fn malformed_requests_count_as_well(backend: Backend) {
    let engine = Engine::start(backend, &ONE);
    let served = || {
        for _ in 0..MANY {
            let from = Some("127.0.0.2");
            let mut wire = Wire::connect_from(from, None, engine.address, engine.deadline);
            wire.send(b"BAD\r\n\r\n");
            wire.take_all();
        }
        let from = Some("127.0.0.2");
        let mut wire = Wire::connect_from(from, None, engine.address, engine.deadline);
        wire.send(request("GET", "/nothing", &[], b""));
        wire.response().status
    };
    // Fifty refusals take less than a second, if not at first.
    while served() != 429 {}
}

fn without_the_flags_nobody_is_limited(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for answer in ask_often(&engine, "127.0.0.2", &request("GET", "/nothing", &[], b"")) {
        answer.problem(404);
    }
    assert_eq!(engine.metrics().sum("downpour_too_soon_total", ""), 0.0);
}
