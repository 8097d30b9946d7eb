//! A stream as such: its head, its greeting, its end, its heartbeats.

use std::net::Shutdown;
use std::time::Duration;

use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Stream, on_both_backends};

on_both_backends![
    the_head_is_exactly_what_event_source_and_proxies_need,
    the_greeting_is_a_comment_a_reconnection_time_and_a_priming_id,
    the_greeting_comes_before_any_event,
    an_event_arrives_while_the_stream_stays_open,
    every_subscriber_of_a_topic_gets_every_event_in_order,
    a_quiet_stream_gets_comments_and_a_busy_one_gets_none,
    reconnection_times_are_spread_from_once_to_twice_the_flag,
    http_1_0_gets_the_same_stream_delimited_by_its_end,
    every_usual_accept_header_gets_a_stream,
    what_polyfills_add_to_the_query_is_ignored,
    head_answers_as_get_would_without_a_stream,
    bytes_behind_the_request_do_not_disturb_the_stream,
    a_client_that_ends_its_side_is_closed,
    a_client_that_resets_is_noticed,
    a_large_event_arrives_whole,
    a_subscription_without_a_topic_says_how_to_name_one,
];

fn the_head_is_exactly_what_event_source_and_proxies_need(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let head = engine.subscribe("t").head;
    assert_eq!(head.version, "HTTP/1.1");
    assert_eq!(head.header("Cache-Control"), Some("no-cache, no-transform"));
    assert_eq!(head.header("X-Accel-Buffering"), Some("no"));
    assert_eq!(head.header("Connection"), Some("close"));
    assert_eq!(head.header("X-Content-Type-Options"), Some("nosniff"));
    // RFC 9112, section 6.3: without either the body lasts until the connection ends.
    assert_eq!(head.header("Content-Length"), None);
    assert_eq!(head.header("Transfer-Encoding"), None);
    assert_eq!(head.header("Content-Encoding"), None);
}

fn the_greeting_is_a_comment_a_reconnection_time_and_a_priming_id(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let id = engine.publish("other", "x");
    let mut wire = engine.connect();
    wire.send(request("GET", "/events/t", &[], b""));
    wire.head();
    let greeting = String::from_utf8(wire.take_through(b"\n\n")).expect("UTF-8");
    let lines: Vec<&str> = greeting.split('\n').collect();
    assert_eq!(lines.len(), 5, "{greeting:?}");
    assert!(lines[0].starts_with(':'), "{greeting:?}");
    let retry: u64 = lines[1].strip_prefix("retry: ").expect("a time").parse().expect("digits");
    assert!((3_000..=6_000).contains(&retry), "{retry}");
    assert_eq!(lines[2], format!("id: {id}"), "the newest event of any topic");
}

fn the_greeting_comes_before_any_event(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    engine.await_subscribers(1);
    let id = engine.publish("t", "later");
    let event = stream.event();
    assert_eq!((event.data.as_str(), &event.id), ("later", &id));
    assert!(event.sequence() > crate::harness::sse::sequence(&stream.primed));
}

fn an_event_arrives_while_the_stream_stays_open(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for data in ["one", "two", "three"] {
        let id = engine.publish("t", data);
        assert_eq!(stream.block(), format!("id: {id}\ndata: {data}"));
    }
}

fn every_subscriber_of_a_topic_gets_every_event_in_order(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut streams: Vec<Stream> = (0..50).map(|_| engine.subscribe("t")).collect();
    let other = engine.subscribe("u");
    let sent: Vec<String> = (0..40).map(|number| format!("event {number}")).collect();
    for data in &sent {
        engine.publish("t", data);
    }
    for stream in &mut streams {
        assert_eq!(stream.data(sent.len()), sent);
    }
    // Nothing of the topic went to the other one.
    engine.publish("u", "own");
    let mut other = other;
    assert_eq!(other.event().data, "own");
}

fn a_quiet_stream_gets_comments_and_a_busy_one_gets_none(backend: Backend) {
    let engine = Engine::start(backend, &["--heartbeat", "1s"]);
    let mut quiet = engine.subscribe("quiet");
    let mut busy = engine.subscribe("busy");
    // Until the quiet one has had two, the other one is never quiet for long.
    while quiet.reader.comments < 2 {
        quiet.wire.stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        if quiet.wire.stream.peek(&mut [0]).is_ok() {
            assert_eq!(quiet.block(), ":", "a heartbeat is one comment");
            quiet.reader.comments += 1;
        }
        engine.publish("busy", "x");
        busy.event();
    }
    assert_eq!(busy.reader.comments, 0);
    engine.publish("quiet", "after");
    assert_eq!(quiet.event().data, "after");
    engine.await_metric("downpour_heartbeats_total", "", |count| count >= 2.0);
}

fn reconnection_times_are_spread_from_once_to_twice_the_flag(backend: Backend) {
    let engine = Engine::start(backend, &["--retry", "1s"]);
    let times: Vec<u64> = (0..40).map(|_| engine.subscribe("t").retry_ms).collect();
    assert!(times.iter().all(|time| (1_000..=2_000).contains(time)), "{times:?}");
    let distinct: std::collections::HashSet<&u64> = times.iter().collect();
    assert!(distinct.len() > 20, "everybody would come back at once: {times:?}");
}

fn http_1_0_gets_the_same_stream_delimited_by_its_end(backend: Backend) {
    let engine = Engine::start(backend, &["--drain-timeout", "100ms"]);
    for headers in ["", "Connection: keep-alive\r\n", "Host: localhost\r\n"] {
        let mut wire = engine.connect();
        wire.send(format!("GET /events/t HTTP/1.0\r\n{headers}\r\n"));
        let mut stream = Stream::open(wire);
        assert_eq!(stream.head.header("Transfer-Encoding"), None);
        assert_eq!(stream.head.header("Content-Length"), None);
        assert_eq!(stream.head.header("Connection"), Some("close"));
        engine.publish("t", "x");
        assert_eq!(stream.event().data, "x");
    }
}

fn every_usual_accept_header_gets_a_stream(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for accept in ["text/event-stream", "*/*", "text/event-stream, */*;q=0.5", "text/html"] {
        let headers = [&*format!("Accept: {accept}"), "Cache-Control: no-cache"];
        let mut stream = engine.stream("/events/t", &headers);
        engine.publish("t", accept);
        assert_eq!(stream.event().data, accept);
    }
    let headers = ["Accept-Encoding: gzip, deflate, br, zstd"];
    assert_eq!(engine.stream("/events/t", &headers).head.header("Content-Encoding"), None);
}

fn what_polyfills_add_to_the_query_is_ignored(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in ["/events/t?padding=true", "/events/t?_=1700000000", "/events?topic=t&r=0.5"] {
        let mut stream = engine.stream(target, &[]);
        engine.publish("t", target);
        assert_eq!(stream.event().data, target);
    }
}

fn head_answers_as_get_would_without_a_stream(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    wire.send(request("HEAD", "/events/t", &[], b""));
    let head = wire.head();
    let get = engine.subscribe("t").head;
    assert_eq!(head.status, 200);
    for name in ["Content-Type", "Cache-Control", "X-Accel-Buffering"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    // No body: the next reply follows at once.
    wire.send(request("POST", "/events/t", &[], b"x"));
    assert!(wire.response().json()["id"].is_string());
}

fn bytes_behind_the_request_do_not_disturb_the_stream(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = engine.connect();
    let pipelined = request("POST", "/events/t", &[], b"smuggled");
    wire.send([request("GET", "/events/t", &[], b""), pipelined].concat());
    let mut stream = Stream::open(wire);
    stream.wire.send(b"GET / HTTP/1.1\r\n\r\n");
    engine.publish("t", "x");
    let event = stream.event();
    assert_eq!(event.data, "x", "what stands behind a subscription is not a request");
}

fn a_client_that_ends_its_side_is_closed(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    engine.await_subscribers(1);
    stream.wire.stream.shutdown(Shutdown::Write).expect("it is open");
    engine.await_closed("peer_closed", 1);
    engine.await_subscribers(0);
    stream.wire.expect_end();
}

fn a_client_that_resets_is_noticed(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let stream = engine.subscribe("t");
    engine.await_subscribers(1);
    let socket = socket2::SockRef::from(&stream.wire.stream);
    socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    drop(stream);
    engine.await_closed("peer_reset", 1);
    engine.await_subscribers(0);
}

fn a_large_event_arrives_whole(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut streams = [engine.subscribe("t"), engine.subscribe("t")];
    let data: String = (0..1 << 20).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    engine.publish("t", &data);
    engine.publish("t", "next");
    for stream in &mut streams {
        assert!(stream.event().data == data, "an event of 1 MiB came out changed");
        assert_eq!(stream.event().data, "next");
    }
}

fn a_subscription_without_a_topic_says_how_to_name_one(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in ["/events", "/events?", "/events?topics=a", "/events/", "/events?topic="] {
        let problem = engine.ask(request("GET", target, &[], b"")).problem(400);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("/events/news"), "{target}: {detail}");
    }
}
