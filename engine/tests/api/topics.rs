//! Topics: their names, their number, and several of them in one stream.

use crate::harness::wire::request;
use crate::harness::{Backend, Engine, on_both_backends};

on_both_backends![
    a_name_is_decoded_once_and_every_spelling_is_the_same_topic,
    slashes_are_part_of_a_name,
    a_plus_is_itself_in_a_path_and_a_space_in_a_query,
    names_are_exact,
    a_name_has_1_to_255_bytes_and_no_control_characters,
    several_topics_come_in_one_stream_in_the_order_of_publishing,
    a_topic_named_twice_is_delivered_once,
    a_subscription_has_no_more_topics_than_allowed,
    beyond_topics_max_publishers_are_told_and_subscribers_sent_away,
    a_topic_that_nobody_uses_is_forgotten,
];

fn a_name_is_decoded_once_and_every_spelling_is_the_same_topic(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for (subscribed, published) in [
        ("/events/caf%C3%A9", "/events/caf%c3%a9"),
        ("/events/%6eews", "/events/news"),
        ("/events?topic=a%26b", "/events/a&b"),
        ("/events?topic=caf%C3%A9", "/events/caf%C3%A9"),
        ("/events/100%25", "/events/100%25"),
        ("/events?topic=%2541", "/events/%2541"),
    ] {
        let mut stream = engine.stream(subscribed, &[]);
        engine.publish_to(published, published);
        assert_eq!(stream.event().data, published);
    }
    // Once: the escaped escape is a topic of its own.
    let mut once = engine.subscribe("%2542");
    engine.publish("B", "decoded twice");
    engine.publish("%2542", "decoded once");
    assert_eq!(once.event().data, "decoded once");
}

fn slashes_are_part_of_a_name(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut plain = engine.subscribe("rooms/42");
    let mut escaped = engine.subscribe("rooms%2F42");
    let mut query = engine.stream("/events?topic=rooms/42", &[]);
    engine.publish("rooms", "not this");
    engine.publish("rooms/42/", "nor this");
    engine.publish("rooms/42", "this");
    for stream in [&mut plain, &mut escaped, &mut query] {
        assert_eq!(stream.event().data, "this");
    }
    for name in ["a//b", "../x", "./x", "/x", "x/"] {
        let mut stream = engine.subscribe(name);
        engine.publish(name, name);
        assert_eq!(stream.event().data, name, "paths are not resolved");
    }
}

fn a_plus_is_itself_in_a_path_and_a_space_in_a_query(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut plus = engine.subscribe("a+b");
    let mut space = engine.stream("/events?topic=a+b", &[]);
    engine.publish("a+b", "plus");
    engine.publish("a%20b", "space");
    assert_eq!(plus.event().data, "plus");
    assert_eq!(space.event().data, "space");
}

fn names_are_exact(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("News");
    for name in ["news", "New", "News2", "News*", "*"] {
        engine.publish(name, name);
    }
    engine.publish("News", "exact");
    assert_eq!(stream.event().data, "exact");
}

fn a_name_has_1_to_255_bytes_and_no_control_characters(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let longest = "x".repeat(255);
    let mut stream = engine.subscribe(&longest);
    engine.publish(&longest, "x");
    assert_eq!(stream.event().data, "x");
    let over = "%c3%a9".repeat(128);
    for name in [&*over, "%00", "a%0ab", "%0d", "%7f", "%c2%85", "%", "%4", "%zz"] {
        for method in ["GET", "POST", "HEAD"] {
            let mut wire = engine.connect();
            wire.send(request(method, &format!("/events/{name}"), &[], b""));
            assert_eq!(wire.head().status, 400, "{method} {name}");
        }
    }
    for name in ["", "a\\nb", "\\u0000", "\\u0085"] {
        engine.publish_json(&format!("{{\"topic\":\"{name}\",\"data\":1}}")).problem(400);
    }
}

fn several_topics_come_in_one_stream_in_the_order_of_publishing(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.stream("/events?topic=a&topic=b&topic=c", &[]);
    let mut expected = Vec::new();
    for number in 0..60 {
        let topic = ["a", "d", "b", "a", "c"][number % 5];
        let data = format!("{topic}{number}");
        engine.publish(topic, &data);
        if topic != "d" {
            expected.push(data);
        }
    }
    let events: Vec<_> = (0..expected.len()).map(|_| stream.event()).collect();
    assert!(events.is_sorted_by_key(|event| event.sequence()));
    assert_eq!(events.into_iter().map(|event| event.data).collect::<Vec<_>>(), expected);
}

fn a_topic_named_twice_is_delivered_once(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.stream("/events?topic=a&topic=a&topic=%61", &[]);
    engine.publish("a", "once");
    engine.publish("a", "next");
    assert_eq!(stream.data(2), ["once", "next"]);
}

fn a_subscription_has_no_more_topics_than_allowed(backend: Backend) {
    let engine = Engine::start(backend, &["--topics-per-subscriber-max", "3"]);
    engine.stream("/events?topic=a&topic=b&topic=c&topic=a", &[]);
    let target = "/events?topic=a&topic=b&topic=c&topic=d";
    let problem = engine.ask(request("GET", target, &[], b"")).problem(400);
    assert!(problem["detail"].as_str().is_some_and(|d| d.contains("--topics-per-subscriber-max")));
}

fn beyond_topics_max_publishers_are_told_and_subscribers_sent_away(backend: Backend) {
    let engine = Engine::start(
        backend,
        &["--topics-max", "2", "--topics-per-subscriber-max", "2", "--workers", "1"],
    );
    let mut stream = engine.subscribe("a");
    engine.publish("b", "x");
    let refused = engine.ask(request("POST", "/events/c", &[], b"x"));
    refused.problem(503);
    assert!(refused.header("Retry-After").is_some());
    // A status other than 200 would make an EventSource give up for ever.
    let mut wire = engine.connect();
    wire.send(request("GET", "/events/c", &[], b""));
    assert_eq!(wire.head().status, 200);
    let (rest, _) = wire.take_all();
    assert!(rest.starts_with(b"retry: ") && rest.ends_with(b"\n\n"), "{}", rest.escape_ascii());
    engine.await_closed("topics_max", 1);
    engine.publish("a", "known topics go on");
    assert_eq!(stream.event().data, "known topics go on");
}

fn a_topic_that_nobody_uses_is_forgotten(backend: Backend) {
    let engine = Engine::start(backend, &["--history-age", "1s", "--workers", "1"]);
    engine.publish("old", "x");
    let stream = engine.subscribe("live");
    engine.await_metric("downpour_topics", "", |topics| topics == 1.0);
    drop(stream);
    engine.await_metric("downpour_topics", "", |topics| topics == 0.0);
}
