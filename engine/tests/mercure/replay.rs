//! Coming back: `Last-Event-ID` in the header and the query, ids of publishers, and what is told.

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{HUB, Hub, RESOURCE, access_all, all, bearer, token};

on_both_backends![
    a_subscriber_goes_on_after_the_id_it_names,
    the_header_goes_before_the_query_and_empty_is_none,
    earliest_gives_all_that_is_kept,
    the_answer_says_where_the_stream_starts,
    lost_updates_are_told_in_the_stream_and_in_the_answer,
    the_id_of_a_gap_is_a_place_to_come_back_to,
    replay_is_as_deep_as_history,
    replay_asks_the_token_of_today,
    the_query_of_protocol_7_is_taken_only_on_request,
    selectors_that_ask_for_more_of_the_past_than_can_be_listed_are_sent_away,
    a_crowd_of_dear_patterns_is_bounded_and_who_wants_what_others_want_may_come,
];

fn a_subscriber_goes_on_after_the_id_it_names(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let first = hub.publish("topic=a&data=1");
    hub.publish("topic=b&data=2&id=own%20id");
    hub.publish("topic=a&topic=c&data=3&id=own%20id");
    hub.publish("topic=a&data=4");
    let header = format!("Last-Event-ID: {first}");
    let mut by_header = hub.stream("topic=*", &[&header]);
    assert_eq!([by_header.data(), by_header.data(), by_header.data()], ["2", "3", "4"]);
    let mut by_query = hub.stream(&format!("topic=a&lastEventID={first}"), &[]);
    assert_eq!([by_query.data(), by_query.data()], ["3", "4"]);
    // Of an id that was given twice the earliest counts, whatever topic had it.
    let mut own = hub.stream("topic=%7Bx%7D&lastEventID=own%20id", &[]);
    assert_eq!([own.data(), own.data()], ["3", "4"]);
    let live = hub.publish("topic=a&data=5");
    assert_eq!(by_query.event(), ("message".into(), "5".into(), live));
}

fn the_header_goes_before_the_query_and_empty_is_none(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let first = hub.publish("topic=a&data=1");
    let second = hub.publish("topic=a&data=2");
    hub.publish("topic=a&data=3");
    let header = format!("Last-Event-ID: {second}");
    let mut stream = hub.stream(&format!("topic=a&lastEventID={first}"), &[&header]);
    assert_eq!(stream.data(), "3");
    let empty = hub.stream("topic=a&lastEventID=", &["Last-Event-ID: "]);
    assert_eq!(empty.head.header("Last-Event-ID"), None);
    let mut falls_back = hub.stream(&format!("topic=a&lastEventID={second}"), &["Last-Event-ID: "]);
    assert_eq!(falls_back.data(), "3");
}

fn earliest_gives_all_that_is_kept(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    for number in 0..5 {
        hub.publish(&format!("topic=t{}&data={number}", number % 2));
    }
    let mut stream = hub.stream("topic=t0&lastEventID=earliest", &[]);
    assert_eq!(stream.head.header("Last-Event-ID"), Some("earliest"));
    assert_eq!([stream.data(), stream.data(), stream.data()], ["0", "2", "4"]);
    let mut all = hub.stream("topic=*", &["Last-Event-ID: earliest"]);
    assert_eq!((0..5).map(|_| all.data()).collect::<String>(), "01234");
}

fn the_answer_says_where_the_stream_starts(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let first = hub.publish("topic=a&data=1");
    let own = hub.publish("topic=a&data=2&id=mine");
    hub.publish("topic=a&data=3&id=with%20space%2F%C3%BC%22");
    for (asked, said) in [
        (first.as_str(), first.as_str()),
        (&own, "mine"),
        ("with%20space%2F%C3%BC%22", "with space/ü\""),
        ("earliest", "earliest"),
        ("nobody-knows-this", "earliest"),
        ("urn:uuid:00000000-0000-8000-8000-000000000001", "earliest"),
        ("000000000000-1", "earliest"),
    ] {
        let stream = hub.stream(&format!("topic=a&lastEventID={asked}"), &[]);
        assert_eq!(stream.head.header("Last-Event-ID"), Some(said), "{asked}");
    }
    assert_eq!(hub.stream("topic=a", &[]).head.header("Last-Event-ID"), None);
}

fn lost_updates_are_told_in_the_stream_and_in_the_answer(backend: Backend) {
    let hub = Hub::start_with(backend, "8", "anonymous", &["--history-events", "3"]);
    let ids: Vec<String> =
        (0..10).map(|number| hub.publish(&format!("topic=a&data={number}"))).collect();
    let mut lost = hub.stream(&format!("topic=a&lastEventID={}", ids[2]), &[]);
    assert_eq!(lost.head.header("Last-Event-ID"), Some("earliest"));
    let (event, data, _) = lost.event();
    assert_eq!(event, "gap");
    assert!(data.contains("\"reason\":\"evicted\""), "{data}");
    assert_eq!([lost.data(), lost.data(), lost.data()], ["7", "8", "9"]);
    let mut whole = hub.stream(&format!("topic=a&lastEventID={}", ids[6]), &[]);
    assert_eq!(whole.head.header("Last-Event-ID"), Some(ids[6].as_str()));
    assert_eq!(whole.data(), "7");
    let mut unknown = hub.stream("topic=a&lastEventID=unknown", &[]);
    assert!(unknown.event().1.contains("\"reason\":\"unknown_id\""));
    assert_eq!(unknown.data(), "7");
}

/// A gap has an id of the native spelling; a client of the hub sends it back as it is.
fn the_id_of_a_gap_is_a_place_to_come_back_to(backend: Backend) {
    for (version, query, name) in [
        ("8", "topic=a&lastEventID=", "Last-Event-ID"),
        ("1", "match=a&last_event_id=", "Mercure-Last-Event-ID"),
    ] {
        let flags = ["--history-events", "3"];
        let hub = Hub::start_with(
            backend,
            version,
            &format!("anonymous\nresource_identifier {RESOURCE}"),
            &flags,
        );
        let token = if version == "8" { all() } else { access_all() };
        let ids: Vec<String> = (0..10)
            .map(|number| hub.post(&token, &format!("topic=a&data={number}")).text().to_owned())
            .collect();
        let (event, _, id) = hub.stream(&format!("{query}{}", ids[2]), &[]).event();
        assert_eq!(event, "gap");
        assert!(!id.starts_with("urn:"), "{id}");
        let header = format!("Last-Event-ID: {id}");
        let (url, bare) = (format!("{query}{id}"), query.split_once('&').expect("two").0);
        for mut back in [hub.stream(bare, &[&header]), hub.stream(&url, &[])] {
            assert_eq!(back.head.header(name), Some(id.as_str()), "nothing is lost from there");
            assert_eq!([back.data(), back.data(), back.data()], ["7", "8", "9"]);
        }
    }
}

/// The reference looks at ten thousand updates and sends a thousand.
fn replay_is_as_deep_as_history(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let bearer = bearer(&all());
    let mut wire = hub.engine.connect();
    for number in 0..12_000 {
        let form = format!("topic=t&data={number}");
        let headers = [crate::rig::FORM, &bearer];
        wire.send(crate::harness::wire::request(
            "POST",
            crate::rig::HUB,
            &headers,
            form.as_bytes(),
        ));
        if number % 200 == 199 {
            (0..200).for_each(|_| assert_eq!(wire.response().status, 200));
        }
    }
    let mut stream = hub.stream("topic=%7Bx%7D&lastEventID=earliest", &[]);
    let mut id = String::new();
    for number in 0..12_000 {
        let event = stream.event();
        assert_eq!(event.1, number.to_string());
        if number == 10_999 {
            id = event.2;
        }
    }
    let mut late = hub.stream(&format!("topic=t&lastEventID={id}"), &[]);
    assert_eq!(late.head.header("Last-Event-ID"), Some(id.as_str()));
    assert_eq!(late.data(), "11000");
}

fn replay_asks_the_token_of_today(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    hub.publish("topic=a&data=public");
    hub.publish("topic=a&data=secret&private=on");
    hub.publish("topic=a&data=end");
    let mut without = hub.stream("topic=a&lastEventID=earliest", &[]);
    assert_eq!([without.data(), without.data()], ["public", "end"]);
    let other = bearer(&token(r#"{"subscribe":["b"]}"#));
    let mut other = hub.stream("topic=*&lastEventID=earliest", &[&other]);
    assert_eq!([other.data(), other.data()], ["public", "end"]);
    let mut with = hub.stream("topic=%7Ba%7D&lastEventID=earliest", &[&bearer(&all())]);
    assert_eq!([with.data(), with.data(), with.data()], ["public", "secret", "end"]);
}

fn the_query_of_protocol_7_is_taken_only_on_request(backend: Backend) {
    for (directives, is_taken) in [("", false), ("protocol_version_compatibility 7", true)] {
        let hub = Hub::start(backend, "8", &format!("anonymous\n{directives}"));
        let first = hub.publish("topic=a&data=1");
        hub.publish("topic=a&data=2");
        let stream = hub.stream(&format!("topic=a&Last-Event-ID={first}"), &[]);
        let said = stream.head.header("Last-Event-ID");
        assert_eq!(said, is_taken.then_some(first.as_str()), "{directives}");
    }
}

fn selectors_that_ask_for_more_of_the_past_than_can_be_listed_are_sent_away(backend: Backend) {
    // Room to list 512 events, in a quarter of the histories.
    let flags = [
        "--workers",
        "1",
        "--event-bytes-max",
        "1KiB",
        "--history-bytes",
        "64KiB",
        "--history-bytes-total",
        "64KiB",
    ];
    let hub = Hub::start_with(backend, "8", "anonymous", &flags);
    let updates = 100;
    (1..=updates).for_each(|n| drop(hub.publish(&format!("topic=a&data={n}"))));
    let six = "topic=%7Bx%7D&topic=%7By%7D&topic=%7Bz%7D&topic=%7B%2Bx%7D&topic=%7B%2By%7D&topic=*";
    let mut wire = hub.engine.connect();
    wire.send(request("GET", &format!("{HUB}?{six}&lastEventID=earliest"), &[], b""));
    assert_eq!(wire.head().status, 200, "a browser must come back");
    assert!(wire.take_through(b"\n\n").starts_with(b":\nretry: "), "and is told when");
    hub.engine.await_closed("selectors_max", 1);
    let mut one = hub.stream("topic=*&lastEventID=earliest", &[]);
    (1..=updates).for_each(|n| assert_eq!(one.data(), n.to_string()));
    // From now on they cost nothing yet.
    let mut live = hub.stream(six, &[]);
    hub.publish("topic=a&data=live");
    assert_eq!((one.data(), live.data()), ("live".into(), "live".into()));
}

fn a_crowd_of_dear_patterns_is_bounded_and_who_wants_what_others_want_may_come(backend: Backend) {
    let directives = format!("anonymous\nresource_identifier {RESOURCE}");
    let hub = Hub::start_with(backend, "1", &directives, &["--workers", "1"]);
    // A hundred patterns that only their regular expressions tell apart.
    let query = |stream: usize| {
        let patterns = (0..100).map(|n| format!("match_urlpattern=/u/:a/(b{stream}x{n})/:c"));
        patterns.collect::<Vec<_>>().join("&")
    };
    let streams = [hub.stream(&query(0), &[]), hub.stream(&query(1), &[])];
    let mut wire = hub.engine.connect();
    wire.send(request("GET", &format!("{HUB}?{}", query(2)), &[], b""));
    assert_eq!(wire.head().status, 200, "a browser must come back");
    assert!(wire.take_through(b"\n\n").starts_with(b":\nretry: "), "and is told when");
    hub.engine.await_closed("selectors_max", 1);
    let known = hub.stream(&query(1), &[]);
    let _name = hub.stream("match=https://e.example/books/1", &[]);
    let _other = hub.stream("match_urlpattern=https://e.example/books/:id", &[]);
    // When they have gone there is room again.
    drop((streams, known));
    hub.engine.await_subscribers(2);
    let _third = hub.stream(&query(2), &[]);
}
