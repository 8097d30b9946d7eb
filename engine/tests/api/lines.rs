//! Publishing JSON lines: a stream of events on one request, answered once.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;

use crate::harness::sse::sequence;
use crate::harness::wire::{chunked, request};
use crate::harness::{Backend, Engine, Wire, on_both_backends};

on_both_backends![
    a_hundred_thousand_lines_are_one_request,
    the_first_bad_line_is_named_and_what_stood_before_it_stays,
    empty_lines_and_every_line_end_are_understood,
    a_body_without_lines_publishes_nothing,
    a_line_that_is_too_long_is_413,
    a_stream_of_lines_that_breaks_off_keeps_what_was_handed_in,
    events_of_a_long_stream_arrive_before_it_ends,
    every_name_of_the_type_is_understood,
    a_stream_of_lines_that_goes_quiet_is_408_and_keeps_what_came,
    blank_lines_keep_a_quiet_stream_of_lines_open,
];

const TYPE: &str = "Content-Type: application/x-ndjson";

fn line(number: usize) -> String {
    format!("{{\"topic\":\"t\",\"data\":\"{number}\"}}\n")
}

fn a_hundred_thousand_lines_are_one_request(backend: Backend) {
    let engine = Engine::start(backend, &["--history-events", "200000"]);
    let mut stream = engine.subscribe("t");
    let body: String = (0..100_000).map(line).collect();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for number in 0..100_000 {
                let event = stream.event();
                assert_eq!(event.data, number.to_string());
                if number == 99_999 {
                    return event.id;
                }
            }
            unreachable!("the last one returned");
        });
        let answer = engine.publish_lines(&body).json();
        assert_eq!(answer["accepted"], 100_000);
        assert_eq!(answer["last_id"], reader.join().expect("no panic").as_str());
    });
    // The same in chunks that cut lines anywhere.
    let mut wire = engine.connect();
    wire.send(request("POST", "/events", &[TYPE, "Transfer-Encoding: chunked"], b""));
    wire.send(
        chunked(&body.as_bytes()[..200_000], 777)[..].strip_suffix(b"0\r\n\r\n").expect("end"),
    );
    wire.send(chunked(&body.as_bytes()[200_000..], 65_536));
    assert_eq!(wire.response().json()["accepted"], 100_000);
}

fn the_first_bad_line_is_named_and_what_stood_before_it_stays(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for (good, bad) in [
        (0, "nonsense"),
        (1, "{\"topic\":\"t\"}"),
        (3, "{\"topic\":\"t\",\"data\":\"x\",\"event\":\"gap\"}"),
        (700, "{\"topic\":\"t\",\"data\":\"x\",\"more\":1}"),
        (1_500, "[{\"topic\":\"t\",\"data\":\"x\"}]"),
    ] {
        let mut stream = engine.subscribe("t");
        let mut body: String = (0..good).map(line).collect();
        body.push_str(bad);
        body.push('\n');
        body.push_str(&line(9_999_999));
        let problem = engine.publish_lines(&body).problem(400);
        assert_eq!(problem["accepted"], good, "{problem}");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(&format!("line {}", good + 1)), "{detail}");
        engine.publish("t", "end");
        for number in 0..good {
            assert_eq!(stream.event().data, number.to_string());
        }
        assert_eq!(stream.event().data, "end", "nothing behind the bad line went out");
    }
}

fn empty_lines_and_every_line_end_are_understood(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let object = |n: u32| format!("{{\"topic\":\"t\",\"data\":{n}}}");
    let body =
        format!("\n\r\n{}\r\n\n  \n{}\n \t{} \n{}", object(1), object(2), object(3), object(4));
    assert_eq!(engine.publish_lines(&body).json()["accepted"], 4);
    assert_eq!(stream.data(4), ["1", "2", "3", "4"]);
    // Empty lines count: the number is the one an editor shows.
    let problem = engine.publish_lines("\n\nbad\n").problem(400);
    assert!(
        problem["detail"].as_str().is_some_and(|detail| detail.contains("line 3")),
        "{problem}"
    );
}

fn a_body_without_lines_publishes_nothing(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for body in ["", "\n\n", " "] {
        assert_eq!(engine.publish_lines(body).json()["accepted"], 0, "{body:?}");
    }
}

fn a_line_that_is_too_long_is_413(backend: Backend) {
    let engine = Engine::start(backend, &["--event-bytes-max", "1000"]);
    let long = json!({"topic": "t", "data": "x".repeat(1_001)});
    let problem = engine.publish_lines(format!("{}{long}\n", line(0))).problem(413);
    assert_eq!(problem["accepted"], 1);
    // Without any line end it is refused before it has all arrived.
    let mut wire = engine.connect();
    wire.send(request("POST", "/events", &[TYPE, "Transfer-Encoding: chunked"], b""));
    let endless = vec![b'x'; 4_000_000];
    wire.send_if_taken(chunked(&endless, 60_000).strip_suffix(b"0\r\n\r\n").expect("its end"));
    let response = wire.response();
    response.problem(413);
    assert_eq!(response.header("Connection"), Some("close"));
}

fn a_stream_of_lines_that_breaks_off_keeps_what_was_handed_in(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let mut wire = engine.connect();
    wire.send(request("POST", "/events", &[TYPE, "Transfer-Encoding: chunked"], b""));
    let lines = [line(1), line(2), "{\"topic\":\"t\",\"da".into()].concat();
    wire.send(chunked(lines.as_bytes(), 1_000).strip_suffix(b"0\r\n\r\n").expect("its end"));
    assert_eq!(stream.data(2), ["1", "2"], "whole lines do not wait for the rest");
    drop(wire);
    engine.await_closed("peer_closed", 1);
    engine.publish("t", "end");
    assert_eq!(stream.event().data, "end");
}

fn events_of_a_long_stream_arrive_before_it_ends(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let mut wire = engine.connect();
    wire.send(request("POST", "/events", &[TYPE, "Transfer-Encoding: chunked"], b""));
    let mut newest = 0;
    for number in 0..200 {
        let line = line(number);
        wire.send(format!("{:x}\r\n{line}\r\n", line.len()));
        let event = stream.event();
        assert_eq!(event.data, number.to_string());
        newest = event.sequence();
    }
    wire.send(b"0\r\n\r\n");
    let answer = wire.response().json();
    assert_eq!(answer["accepted"], 200);
    assert_eq!(sequence(answer["last_id"].as_str().expect("an id")), newest);
    wire.send(request("POST", "/events/t", &[], b"the connection goes on"));
    wire.response().json();
}

fn every_name_of_the_type_is_understood(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for kind in [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "Application/X-NDJSON; charset=utf-8",
    ] {
        let kind = format!("Content-Type: {kind}");
        let answer = engine.ask(request("POST", "/events", &[&kind], line(1).as_bytes()));
        assert_eq!(answer.json()["accepted"], 1, "{kind}");
    }
}

/// A stream of lines that is open, and `body` in it.
fn opened(engine: &Engine, body: &str) -> Wire {
    let mut wire = engine.connect();
    wire.send(request("POST", "/events", &[TYPE, "Transfer-Encoding: chunked"], b""));
    wire.send(chunk(body));
    wire
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn a_stream_of_lines_that_goes_quiet_is_408_and_keeps_what_came(backend: Backend) {
    let engine = Engine::start(backend, &["--idle-timeout", "200ms"]);
    let mut stream = engine.subscribe("t");
    // Between two lines, in the middle of one, and before the first.
    for (body, accepted) in [(line(1), 1), (line(2) + "{\"topic\":", 1), ("\n".into(), 0)] {
        let mut wire = opened(&engine, &body);
        let response = wire.response();
        let problem = response.problem(408);
        assert_eq!(problem["accepted"], accepted, "{body:?}");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("--idle-timeout") && detail.contains("blank line"), "{detail}");
        assert_eq!(response.header("Connection"), Some("close"));
        wire.expect_end();
    }
    assert_eq!(stream.data(2), ["1", "2"]);
}

fn blank_lines_keep_a_quiet_stream_of_lines_open(backend: Backend) {
    let engine = Engine::start(backend, &["--idle-timeout", "2s"]);
    let mut stream = engine.subscribe("t");
    let mut kept = opened(&engine, &line(1));
    // One that stays quiet tells when the time is over.
    let mut quiet = opened(&engine, &line(2));
    let pause = Some(Duration::from_millis(50));
    let mut first = [0];
    loop {
        kept.send(chunk("\n"));
        quiet.stream.set_read_timeout(pause).expect("a timeout");
        match quiet.stream.peek(&mut first) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
    quiet.response().problem(408);
    kept.send(chunk(&line(3)) + "0\r\n\r\n");
    assert_eq!(kept.response().json()["accepted"], 2);
    let mut data = stream.data(3);
    data.sort_unstable();
    assert_eq!(data, ["1", "2", "3"]);
}
