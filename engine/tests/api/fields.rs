//! The fields of an event, from what a publisher gives to what a reader of the standard sees.
//!
//! WHATWG HTML, section 9.2.6, read backwards: whatever is published must dispatch as exactly one
//! event with exactly that content, or be refused.

use std::fmt::Write;

use serde_json::json;

use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Event, on_both_backends};

on_both_backends![
    data_arrives_with_every_line_end_as_lf,
    text_that_clients_are_known_to_split_wrongly_arrives_unchanged,
    event_name_own_id_and_retry_arrive_as_their_fields,
    json_data_that_is_no_string_arrives_as_its_text,
    nothing_that_is_published_injects_a_field_or_an_event,
    control_characters_in_names_and_ids_are_refused,
    invalid_utf_8_is_refused_wherever_it_stands,
    reserved_names_and_ids_are_refused,
    values_beyond_their_bounds_are_refused,
];

/// Data and what dispatches: each line end is LF (WHATWG HTML, section 9.2.6).
const DATA: [(&str, &str); 16] = [
    ("", ""),
    ("x", "x"),
    (" leading", " leading"),
    ("  two", "  two"),
    ("trailing ", "trailing "),
    ("\ttab\t", "\ttab\t"),
    ("a\nb", "a\nb"),
    ("a\r\nb", "a\nb"),
    ("a\rb", "a\nb"),
    ("a\n\rb", "a\n\nb"),
    ("a\r\r\n\nb", "a\n\n\nb"),
    ("end\n", "end\n"),
    ("end\r\n\r\n", "end\n\n"),
    ("\n", "\n"),
    ("\r", "\n"),
    (": not a comment", ": not a comment"),
];

fn data_arrives_with_every_line_end_as_lf(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for (data, expected) in DATA {
        engine.publish("t", data);
        assert_eq!(stream.event().data, expected, "{data:?}");
        assert_eq!(
            engine.publish_json(&json!({"topic": "t", "data": data}).to_string()).status,
            200
        );
        assert_eq!(stream.event().data, expected, "{data:?} as JSON");
    }
}

fn text_that_clients_are_known_to_split_wrongly_arrives_unchanged(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    wire.send(request("GET", "/events/t", &[], b""));
    wire.head();
    wire.take_through(b"\n\n");
    for data in [
        "a\u{2028}b",
        "a\u{2029}b",
        "a\u{85}b",
        "a\u{b}b\u{c}c",
        "a\0b",
        "a\u{7f}b",
        "\u{feff}x",
        "🌧e\u{301}",
    ] {
        let id = engine.publish("t", data);
        let block = wire.take_through(b"\n\n");
        assert_eq!(block, format!("id: {id}\ndata: {data}\n\n").as_bytes(), "{data:?}");
    }
}

fn event_name_own_id_and_retry_arrive_as_their_fields(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let id = engine.publish_to("/events/t?event=tick", "x");
    assert_eq!(stream.block(), format!("id: {id}\nevent: tick\ndata: x"));
    assert_eq!(engine.publish_to("/events/t?id=order-7", "x"), "order-7");
    assert_eq!(stream.block(), "id: order-7\ndata: x");
    let id = engine.publish_to("/events/t?retry=2500", "x");
    assert_eq!(stream.block(), format!("id: {id}\nretry: 2500\ndata: x"));
    let all = json!({"topic": "t", "data": "a\nb", "event": "an event", "id": "é", "retry": 1});
    assert_eq!(engine.publish_json(&all.to_string()).json()["id"], "é");
    assert_eq!(stream.block(), "id: é\nevent: an event\nretry: 1\ndata: a\ndata: b");
    engine.publish_to("/events/t?event=caf%C3%A9+au%20lait%2B", "x");
    assert_eq!(stream.event().event, "café au lait+");
}

fn json_data_that_is_no_string_arrives_as_its_text(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for data in ["{\"a\": [1, 2.50]}", "17", "null", "true", "[]"] {
        let answer = engine.publish_json(&format!("{{\"topic\":\"t\",\"data\":{data}}}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(stream.event().data, data);
    }
}

/// Texts that would be fields, events or comments if they were written as they stand.
fn injections() -> Vec<String> {
    let mut texts = Vec::new();
    for end in ["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\n\r", "\0", "\u{2028}", "\u{85}"]
    {
        for field in ["event: evil", "data: evil", "id: evil", "retry: 1", ": evil", "evil", "data"]
        {
            texts.push(format!("x{end}{field}"));
            texts.push(format!("{end}{field}{end}{end}"));
        }
    }
    texts
}

fn nothing_that_is_published_injects_a_field_or_an_event(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for text in injections() {
        let id = engine.publish("t", &text);
        let expected = text.replace("\r\n", "\n").replace('\r', "\n");
        if !text.contains('\0') {
            let event = stream.event();
            assert_eq!(event, Event { event: "message".into(), data: expected, id }, "{text:?}");
        } else {
            // The reader does not take NUL, which a browser keeps in data.
            let lines = expected.replace('\n', "\ndata: ");
            assert_eq!(stream.block(), format!("id: {id}\ndata: {lines}"));
        }
        assert_eq!(stream.reader.retry_ms, None, "{text:?}");
        assert_eq!(stream.reader.comments, 0, "{text:?}");
    }
}

fn control_characters_in_names_and_ids_are_refused(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for text in injections().iter().filter(|text| text.contains(['\r', '\n', '\0'])) {
        let mut escaped = String::new();
        text.bytes().for_each(|byte| write!(escaped, "%{byte:02x}").expect("a string"));
        for name in ["event", "id"] {
            let target = format!("/events/t?{name}={escaped}");
            engine.ask(request("POST", &target, &[], b"x")).problem(400);
            let object = json!({"topic": "t", "data": "x", name: text});
            engine.publish_json(&object.to_string()).problem(400);
        }
    }
    engine.publish("t", "next");
    assert_eq!(stream.event().data, "next", "nothing of what was refused went out");
}

fn invalid_utf_8_is_refused_wherever_it_stands(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for bytes in [&b"\xc3\x28"[..], b"\xff", b"ok\xed\xa0\x80", b"\xf0\x9f\x8c"] {
        engine.ask(request("POST", "/events/t", &[], bytes)).problem(400);
        let object = [b"{\"topic\":\"t\",\"data\":\"", bytes, b"\"}"].concat();
        let json = ["Content-Type: application/json"];
        engine.ask(request("POST", "/events", &json, &object)).problem(400);
        engine.publish_lines(&object).problem(400);
    }
    for escaped in ["%ff", "%c3%28", "%ed%a0%80"] {
        for target in [format!("/events/{escaped}"), format!("/events/t?event={escaped}")] {
            engine.ask(request("POST", &target, &[], b"x")).problem(400);
        }
    }
    engine.publish_json("{\"topic\":\"t\",\"data\":\"\\ud83c\"}").problem(400);
    engine.publish("t", "next");
    assert_eq!(stream.event().data, "next");
}

fn reserved_names_and_ids_are_refused(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in ["/events/t?event=gap", "/events/t?event=g%61p", "/events/t?id=0123456789ab-7"] {
        engine.ask(request("POST", target, &[], b"x")).problem(400);
    }
    // Only the exact forms are the engine's own.
    for target in ["/events/t?event=Gap", "/events/t?id=0123456789ab-07", "/events/t?id=earlier"] {
        assert_eq!(engine.ask(request("POST", target, &[], b"x")).status, 200, "{target}");
    }
}

fn values_beyond_their_bounds_are_refused(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let (fits, over) = ("x".repeat(256), "x".repeat(257));
    for name in ["event", "id"] {
        let target = |value: &str| format!("/events/t?{name}={value}");
        assert_eq!(engine.ask(request("POST", &target(&fits), &[], b"x")).status, 200);
        engine.ask(request("POST", &target(&over), &[], b"x")).problem(400);
    }
    engine.ask(request("POST", "/events/t?id=", &[], b"x")).problem(400);
    for retry in ["0", "86400001", "-1", "+1", "1.5", "x", "", "99999999999999999999"] {
        engine.ask(request("POST", &format!("/events/t?retry={retry}"), &[], b"x")).problem(400);
    }
    assert_eq!(engine.ask(request("POST", "/events/t?retry=86400000", &[], b"x")).status, 200);
}
