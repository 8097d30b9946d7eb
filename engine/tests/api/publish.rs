//! Publishing single events and arrays: what is answered, and that an answer keeps its word.

use serde_json::{Value, json};

use crate::harness::wire::{chunked, request};
use crate::harness::{Backend, Engine, on_both_backends};

on_both_backends![
    one_event_is_answered_with_its_id,
    one_object_is_answered_with_its_id,
    an_array_is_answered_with_all_ids_in_order,
    an_array_is_taken_whole_or_not_at_all,
    an_empty_array_is_no_event,
    objects_are_read_strictly,
    a_connection_takes_many_events_one_after_the_other,
    pipelined_publishes_are_answered_in_order,
    a_body_may_come_in_chunks_of_any_size,
    a_client_that_expects_100_is_told_to_go_on,
    a_client_whose_request_is_refused_is_not_told_to_go_on,
    an_answered_event_is_there_for_everybody_who_comes_later,
    an_array_beyond_the_ring_is_refused_whole,
    overload_is_told_and_loses_nothing_that_was_answered,
    unknown_query_parameters_are_refused,
];

fn one_event_is_answered_with_its_id(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let answer = engine.ask(request("POST", "/events/t", &[], b"x"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let answer = answer.json();
    assert_eq!(answer.as_object().expect("an object").len(), 1);
    assert_eq!(answer["id"], stream.event().id.as_str());
    // What curl -d and forms send as type does not matter: the body is the data.
    for kind in ["application/x-www-form-urlencoded", "application/json", "text/plain", "x/y"] {
        let kind = format!("Content-Type: {kind}");
        engine.ask(request("POST", "/events/t", &[&kind], b"{a=b&c}")).json();
        assert_eq!(stream.event().data, "{a=b&c}");
    }
}

fn one_object_is_answered_with_its_id(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let answer = engine.publish_json("{\"topic\":\"t\",\"data\":\"x\"}").json();
    assert_eq!(answer["id"], stream.event().id.as_str());
    let answer = engine.publish_json("{\"topic\":\"t\",\"data\":\"x\",\"id\":\"mine\"}").json();
    assert_eq!(answer, json!({"id": "mine"}));
    assert_eq!(stream.event().id, "mine");
    let kind = ["Content-Type: Application/JSON; charset=utf-8"];
    let body = b"{\"topic\":\"t\",\"data\":\"y\"}";
    engine.ask(request("POST", "/events", &kind, body)).json();
    assert_eq!(stream.event().data, "y");
}

fn an_array_is_answered_with_all_ids_in_order(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.stream("/events?topic=a&topic=b", &[]);
    let events = json!([
        {"topic": "a", "data": "1"},
        {"topic": "b", "data": "2", "id": "second"},
        {"topic": "c", "data": "elsewhere"},
        {"topic": "a", "data": {"n": 3}, "event": "tick"},
    ]);
    let answer = engine.publish_json(&events.to_string()).json();
    let ids: Vec<&str> = answer["ids"]
        .as_array()
        .expect("ids")
        .iter()
        .map(|id| id.as_str().expect("text"))
        .collect();
    assert_eq!(ids.len(), 4);
    let got = [stream.event(), stream.event(), stream.event()];
    assert_eq!(got.each_ref().map(|event| event.data.as_str()), ["1", "2", "{\"n\":3}"]);
    assert_eq!(got.each_ref().map(|event| event.id.as_str()), [ids[0], "second", ids[3]]);
    let first = crate::harness::sse::sequence(ids[0]);
    assert_eq!(crate::harness::sse::sequence(ids[3]), first + 3, "numbered in a row");
}

fn an_array_is_taken_whole_or_not_at_all(backend: Backend) {
    let engine = Engine::start(backend, &["--event-bytes-max", "100"]);
    let mut stream = engine.subscribe("t");
    let good = json!({"topic": "t", "data": "good"});
    for bad in [
        json!({"topic": "t"}),
        json!({"data": "x"}),
        json!({"topic": "", "data": "x"}),
        json!({"topic": "t", "data": "x", "event": "gap"}),
        json!({"topic": "t", "data": "x", "id": "a\nb"}),
        json!({"topic": "t", "data": "x", "retry": 0}),
        json!({"topic": "t", "data": "x", "more": 1}),
        json!("text"),
        json!(null),
    ] {
        let body = json!([good, good, bad, good]).to_string();
        let problem = engine.publish_json(&body).problem(400);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("array[2]"), "which one it was: {detail}");
    }
    let long = json!([good, {"topic": "t", "data": "x".repeat(101)}]);
    engine.publish_json(&long.to_string()).problem(413);
    for cut in
        ["[", "[{\"topic\":\"t\",\"data\":\"x\"}", "[{\"topic\":\"t\",\"data\":\"x\"},]", "[] x"]
    {
        engine.publish_json(cut).problem(400);
    }
    engine.publish("t", "the first to arrive");
    assert_eq!(stream.event().data, "the first to arrive");
}

fn an_empty_array_is_no_event(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    assert_eq!(engine.publish_json(" [ ] ").json(), json!({"ids": []}));
}

fn objects_are_read_strictly(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for body in [
        "",
        " ",
        "{}",
        "17",
        "\"text\"",
        "null",
        "{\"topic\":\"t\",\"data\":\"x\"",
        "{\"topic\":\"t\",\"data\":\"x\"} {}",
        "{'topic':'t','data':'x'}",
        "{\"topic\":\"t\",\"topic\":\"u\",\"data\":\"x\"}",
        "{\"topic\":\"t\",\"data\":\"x\",\"data\":\"y\"}",
        "{\"topic\":\"t\",\"data\":\"x\",\"Event\":\"y\"}",
        "{\"topic\":17,\"data\":\"x\"}",
        "{\"topic\":\"t\",\"data\":\"x\",\"event\":17}",
        "{\"topic\":\"t\",\"data\":\"x\",\"retry\":\"17\"}",
        "{\"topic\":\"t\",\"data\":\"x\",\"retry\":1.5}",
        "{\"topic\":\"t\",\"data\":\"a\nb\"}",
        "{\"topic\":\"t\",\"data\":NaN}",
    ] {
        engine.publish_json(body).problem(400);
    }
    let deep = format!("{{\"topic\":\"t\",\"data\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    assert!([200, 400].contains(&engine.publish_json(&deep).status));
    engine.publish("t", "still here");
}

fn a_connection_takes_many_events_one_after_the_other(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let mut wire = engine.connect();
    for number in 0..500 {
        wire.send(request("POST", "/events/t", &[], number.to_string().as_bytes()));
        let response = wire.response();
        assert_eq!(response.header("Connection"), Some("keep-alive"));
        let event = stream.event();
        assert_eq!(event.data, number.to_string());
        assert_eq!(response.json()["id"], event.id.as_str());
    }
    wire.send(request("POST", "/events/t", &["Connection: close"], b"last"));
    assert_eq!(wire.response().header("Connection"), Some("close"));
    wire.expect_end();
    engine.await_closed("answered", 1);
}

fn pipelined_publishes_are_answered_in_order(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let mut wire = engine.connect();
    let requests: Vec<u8> = (0..300)
        .flat_map(|number: u32| match number % 3 {
            0 => request("POST", "/events/t", &[], number.to_string().as_bytes()),
            1 => {
                let body = chunked(number.to_string().as_bytes(), 1);
                let mut head = request("POST", "/events/t", &["Transfer-Encoding: chunked"], b"");
                head.extend(body);
                head
            }
            _ => {
                let body = format!("{{\"topic\":\"t\",\"data\":{number}}}");
                request("POST", "/events", &["Content-Type: application/json"], body.as_bytes())
            }
        })
        .collect();
    wire.send(requests);
    for number in 0..300 {
        let event = stream.event();
        assert_eq!(event.data, number.to_string());
        assert_eq!(wire.response().json()["id"], event.id.as_str(), "answer {number}");
    }
}

fn a_body_may_come_in_chunks_of_any_size(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    let body: Vec<u8> = (0..3_000).map(|at| b'a' + (at % 26) as u8).collect();
    for size in [1, 2, 7, 255, 256, 2_999, 3_000] {
        let mut wire = engine.connect();
        wire.send(request("POST", "/events/t", &["Transfer-Encoding: chunked"], b""));
        wire.send(chunked(&body, size));
        wire.response().json();
        assert_eq!(stream.event().data.as_bytes(), body, "chunks of {size}");
        wire.send(request("POST", "/events/t", &[], b"the connection goes on"));
        wire.response().json();
        stream.event();
    }
    let mut wire = engine.connect();
    wire.send(request("POST", "/events/t", &["Transfer-Encoding: chunked"], b""));
    wire.send(b"3;a=b\r\nabc\r\n0;last\r\nTrailer: x\r\n\r\n");
    wire.response().json();
    assert_eq!(stream.event().data, "abc");
}

fn a_client_that_expects_100_is_told_to_go_on(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for expect in ["Expect: 100-continue", "Expect: 100-Continue"] {
        let mut wire = engine.connect();
        wire.send(format!(
            "POST /events/t HTTP/1.1\r\nHost: localhost\r\n{expect}\r\nContent-Length: 4\r\n\r\n"
        ));
        assert_eq!(wire.response().status, 100);
        wire.send(b"body");
        assert_eq!(wire.response().json()["id"], stream.event().id.as_str());
    }
    // Whoever sends the body at once is not told what it no longer waits for, or is: both are
    // allowed (RFC 9110, section 10.1.1); the answer comes in any case.
    let mut wire = engine.connect();
    wire.send(request("POST", "/events/t", &["Expect: 100-continue"], b"at once"));
    let mut response = wire.response();
    if response.status == 100 {
        response = wire.response();
    }
    response.json();
    assert_eq!(stream.event().data, "at once");
    engine.ask(request("POST", "/events/t", &["Expect: the-impossible"], b"x")).problem(417);
}

fn a_client_whose_request_is_refused_is_not_told_to_go_on(backend: Backend) {
    let engine = Engine::start(backend, &["--event-bytes-max", "100"]);
    for (target, length, status) in
        [("/events/t", 101, 413), ("/events/t?x=y", 5, 400), ("/x", 5, 404)]
    {
        let mut wire = engine.connect();
        wire.send(format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n"
        ));
        let response = wire.response();
        response.problem(status);
        assert_eq!(response.header("Connection"), Some("close"), "its body may still come");
        wire.expect_end();
    }
}

fn an_answered_event_is_there_for_everybody_who_comes_later(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for number in 0..100 {
        let before = engine.publish("t", "before");
        let id = engine.publish("t", format!("{number}"));
        // On whichever worker the next connection lands.
        let event = engine.resume("t", &before).event();
        assert_eq!((event.id, event.data), (id, number.to_string()));
    }
}

fn an_array_beyond_the_ring_is_refused_whole(backend: Backend) {
    let engine = Engine::start(backend, &["--ring-events", "16"]);
    let mut stream = engine.subscribe("t");
    let array = |count: usize| {
        Value::Array((0..count).map(|n| json!({"topic": "t", "data": n})).collect()).to_string()
    };
    engine.publish_json(&array(17)).problem(413);
    assert_eq!(engine.publish_json(&array(16)).json()["ids"].as_array().map(Vec::len), Some(16));
    assert_eq!(stream.data(16), (0..16).map(|n: u32| n.to_string()).collect::<Vec<_>>());
}

fn overload_is_told_and_loses_nothing_that_was_answered(backend: Backend) {
    let engine = Engine::start(backend, &["--ring-events", "16"]);
    let mut stream = engine.subscribe("t");
    let array: Vec<Value> = (0..16).map(|n| json!({"topic": "t", "data": n})).collect();
    let body = Value::Array(array).to_string();
    let publish = request("POST", "/events", &["Content-Type: application/json"], body.as_bytes());
    let mut accepted: Vec<String> = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut wire = engine.connect();
                    let mut ids = Vec::new();
                    for _ in 0..200 {
                        wire.send(&publish);
                        let answer = wire.response();
                        if answer.status == 200 {
                            let answer = answer.json();
                            let all = answer["ids"].as_array().expect("ids").iter();
                            ids.extend(all.map(|id| id.as_str().expect("text").to_owned()));
                        } else {
                            answer.problem(503);
                            assert!(answer.header("Retry-After").is_some(), "when to try again");
                            if answer.header("Connection") == Some("close") {
                                wire = engine.connect();
                            }
                        }
                    }
                    ids
                })
            })
            .collect();
        for thread in threads {
            accepted.extend(thread.join().expect("no panic"));
        }
    });
    accepted.sort_by_key(|id| crate::harness::sse::sequence(id));
    assert!(!accepted.is_empty());
    for id in accepted {
        assert_eq!(stream.event().id, id);
    }
    // The slower worker may still be busy with the last of them.
    let end = loop {
        let answer = engine.ask(request("POST", "/events/t", &[], b"end"));
        if answer.status == 200 {
            break answer.json();
        }
        answer.problem(503);
    };
    assert_eq!(end["id"], stream.event().id.as_str(), "and nothing else was sent");
}

fn unknown_query_parameters_are_refused(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in
        ["/events/t?evnet=x", "/events/t?data=x", "/events/t?event=a&event=b", "/events?topic=t"]
    {
        let problem = engine.ask(request("POST", target, &[], b"x")).problem(400);
        assert!(problem["detail"].as_str().is_some_and(|d| d.contains("query")), "{problem}");
    }
}
