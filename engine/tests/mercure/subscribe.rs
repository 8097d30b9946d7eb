//! Subscribing: the head byte for byte, selectors, alternate topics and private updates.

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{HUB, Hub, Stream, all, bearer, token};

on_both_backends![
    the_head_and_the_events_are_those_of_the_reference,
    a_subscription_without_a_topic_is_refused_in_the_references_words,
    a_thousand_topics_and_a_token_of_a_thousand_are_one_request,
    selectors_are_exact_names_templates_and_a_star,
    an_update_of_several_topics_comes_once,
    private_updates_come_to_those_who_may_see_one_of_their_topics,
    line_ends_of_every_kind_start_a_line,
    other_methods_are_405,
    head_answers_as_get_would_without_a_stream,
    a_burst_cuts_nobody_off,
    selectors_times_claims_are_bounded_but_for_names,
];

fn the_head_and_the_events_are_those_of_the_reference(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut wire = hub.engine.connect();
    wire.send(request("GET", &format!("{HUB}?topic=t"), &[], b""));
    let head = wire.take_through(b"\r\n\r\n:\n");
    assert_eq!(
        String::from_utf8(head).unwrap(),
        "HTTP/1.1 200 OK\r\n\
         Content-Security-Policy: default-src 'self'\r\n\
         X-Content-Type-Options: nosniff\r\n\
         X-Frame-Options: DENY\r\n\
         X-XSS-Protection: 1; mode=block\r\n\
         Connection: close\r\n\
         Content-Type: text/event-stream\r\n\
         Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n\
         Pragma: no-cache\r\n\
         Expire: 0\r\n\
         X-Accel-Buffering: no\r\n\r\n:\n"
    );
    let id = hub.publish("topic=t&data=hi");
    assert_eq!(wire.take_through(b"\n\n"), format!("id: {id}\ndata: hi\n\n").into_bytes());
    hub.publish("topic=t&data=a%0Ab&type=tick&retry=1234&id=mine");
    let event = b"event: tick\nretry: 1234\nid: mine\ndata: a\ndata: b\n\n";
    assert_eq!(wire.take_through(b"\n\n"), event);
    hub.publish("topic=t&id=empty");
    assert_eq!(wire.take_through(b"\n\n"), b"id: empty\ndata: \n\n");
}

fn a_subscription_without_a_topic_is_refused_in_the_references_words(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let many = format!("{HUB}?{}", "topic=a&".repeat(1001));
    for (target, text) in [
        (HUB, "Missing \"topic\" parameter.\n"),
        (&format!("{HUB}?x=1"), "Missing \"topic\" parameter.\n"),
        (&format!("{HUB}?match=a"), "Missing \"topic\" parameter.\n"),
        (&format!("{HUB}?topic=%zz"), "Bad Request\n"),
    ] {
        let answer = hub.get(target, &[]);
        assert_eq!((answer.status, answer.text()), (400, text), "{target}");
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
    }
    let answer = hub.get(&many, &[]);
    assert_eq!((answer.status, answer.text()), (400, "too many topics in subscription\n"));
    assert_eq!(hub.get(&format!("{HUB}/nothing"), &[]).text(), "404 page not found\n");
}

fn a_thousand_topics_and_a_token_of_a_thousand_are_one_request(backend: Backend) {
    let flags = ["--workers", "1"];
    let hub = Hub::start_with(backend, "8", "", &flags);
    let topic = |number: usize| format!("https://shop.example/api/v1/products/{number:04}/stock");
    let query: Vec<String> =
        (0..1_000).map(|number| format!("topic={}", topic(number).replace('/', "%2F"))).collect();
    let query = query.join("&");
    let granted: Vec<String> = (0..1_000).map(topic).collect();
    let claim = bearer(&token(&format!(r#"{{"subscribe":{granted:?}}}"#)));
    assert!(query.len() > 50_000 && claim.len() > 60_000);
    let mut stream = hub.stream(&query, &[&claim]);
    // However its bytes come.
    let mut wire = hub.engine.connect();
    let whole = request("GET", &format!("{HUB}?{query}"), &[&claim], b"");
    whole.chunks(1_013).for_each(|piece| wire.send(piece));
    let mut pieces = Stream::open(wire);
    hub.publish(&format!("topic={}&private=on&data=last", topic(999)));
    assert_eq!([stream.data(), pieces.data()], ["last", "last"]);
    // While one is arriving it is counted, and then no more.
    let mut half = hub.engine.connect();
    half.send(&whole[..100_000]);
    hub.engine.await_metric("downpour_body_bytes", "", |bytes| bytes >= 100_000.0);
    drop(half);
    hub.engine.await_metric("downpour_body_bytes", "", |bytes| bytes == 0.0);
    let over = format!("{HUB}?topic={}", "x".repeat(200_000));
    assert_eq!(hub.get(&over, &[]).status, 414);
    let over = format!("X: {}", "x".repeat(270_000));
    assert_eq!(hub.get(HUB, &[&over]).status, 431);
    hub.publish("topic=x&data=y");
}

fn selectors_are_exact_names_templates_and_a_star(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut exact = hub.stream("topic=https%3A%2F%2Fe.example%2Fbooks%2F1", &[]);
    let mut template = hub.stream("topic=https%3A%2F%2Fe.example%2Fbooks%2F%7Bid%7D", &[]);
    let mut star = hub.stream("topic=*", &[]);
    let mut several = hub.stream("topic=nothing&topic=https://e.example/%7Bkind%7D/2", &[]);
    for (topic, data) in [
        ("https://e.example/books/1", "1"),
        ("https://e.example/books/2", "2"),
        ("https://e.example/books/1/pages", "3"),
        ("https://e.example/pens/2", "4"),
        ("last", "end"),
    ] {
        hub.publish(&format!("topic={topic}&data={data}"));
    }
    for topic in
        ["https://e.example/books/1", "https://e.example/books/end", "https://e.example/x/2"]
    {
        hub.publish(&format!("topic={topic}&data=end"));
    }
    let until_end = |stream: &mut Stream| {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|data| data != "end") {
            seen.push(stream.data());
        }
        seen.join(" ")
    };
    assert_eq!(until_end(&mut exact), "1 end");
    assert_eq!(until_end(&mut template), "1 2 end");
    assert_eq!(until_end(&mut star), "1 2 3 4 end");
    assert_eq!(until_end(&mut several), "2 4 end");
}

fn an_update_of_several_topics_comes_once(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut first = hub.stream("topic=a", &[]);
    let mut second = hub.stream("topic=b", &[]);
    let mut both = hub.stream("topic=a&topic=b&topic=*&topic=%7Bx%7D", &[]);
    hub.publish("topic=a&topic=b&topic=a&data=1");
    hub.publish("topic=b&data=2");
    hub.publish("topic=a&data=3");
    assert_eq!([first.data(), first.data()], ["1", "3"]);
    assert_eq!([second.data(), second.data()], ["1", "2"]);
    assert_eq!([both.data(), both.data(), both.data()], ["1", "2", "3"]);
}

fn private_updates_come_to_those_who_may_see_one_of_their_topics(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let with = |claim: &str| bearer(&token(claim));
    let topics = "topic=https://e.example/books/%7Bid%7D";
    let mut nobody = hub.stream(topics, &[]);
    let mut other =
        hub.stream(topics, &[&with(r#"{"subscribe":["https://e.example/pens/{id}"]}"#)]);
    let mut exact = hub.stream(topics, &[&with(r#"{"subscribe":["https://e.example/books/1"]}"#)]);
    let mut all = hub.stream(topics, &[&bearer(&all())]);
    // The topic that grants it need not be the one that was subscribed to.
    let mut user =
        hub.stream(topics, &[&with(r#"{"subscribe":["https://e.example/users/{id}"]}"#)]);
    let book = |number: usize| format!("topic=https://e.example/books/{number}");
    for (form, data) in [
        (book(1), "public"),
        (format!("{}&private", book(1)), "one"),
        (format!("{}&private=off", book(2)), "two"),
        (format!("{}&topic=https://e.example/users/7&private=on", book(3)), "three"),
        (book(4), "end"),
    ] {
        hub.publish(&format!("{form}&data={data}"));
    }
    for (stream, expected) in [
        (&mut nobody, &["public", "end"][..]),
        (&mut other, &["public", "end"]),
        (&mut exact, &["public", "one", "end"]),
        (&mut all, &["public", "one", "two", "three", "end"]),
        (&mut user, &["public", "three", "end"]),
    ] {
        let seen: Vec<String> = expected.iter().map(|_| stream.data()).collect();
        assert_eq!(seen, expected);
    }
}

fn line_ends_of_every_kind_start_a_line(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut stream = hub.stream("topic=t", &[]);
    hub.publish("topic=t&id=x&data=a%0Ab%0D%0Ac%0Dd%0A%0A");
    assert_eq!(stream.block(), "id: x\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: ");
    hub.publish("topic=t&id=y&data=%0Aid%3A+forged%0A%0Adata%3A+forged%0Devent%3A+forged");
    let block = stream.block();
    assert_eq!(block.matches("\nid:").count() + block.matches("\nevent:").count(), 0, "{block}");
}

fn other_methods_are_405(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
        let answer = hub.engine.ask(request(method, HUB, &[], b""));
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("Allow"), Some("GET, HEAD, POST, OPTIONS"));
    }
}

fn head_answers_as_get_would_without_a_stream(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut wire = hub.engine.connect();
    wire.send(request("HEAD", &format!("{HUB}?topic=t"), &[], b""));
    let head = wire.head();
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
    wire.send(request("HEAD", HUB, &[], b""));
    assert_eq!(wire.head().status, 400);
}

/// The reference cuts off whoever is a thousand updates behind.
fn a_burst_cuts_nobody_off(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut stream = hub.stream("topic=t", &[]);
    let bearer = bearer(&all());
    let mut wire = hub.engine.connect();
    for number in 0..5_000 {
        let form = format!("topic=t&data={number}");
        wire.send(request("POST", HUB, &[crate::rig::FORM, &bearer], form.as_bytes()));
        if number % 100 == 99 {
            (0..100).for_each(|_| assert_eq!(wire.response().status, 200));
        }
    }
    for number in 0..5_000 {
        assert_eq!(stream.data(), number.to_string());
    }
}

fn selectors_times_claims_are_bounded_but_for_names(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let texts = |form: fn(usize) -> String| (0..400).map(form).collect::<Vec<String>>();
    let ask = |wanted: &[String], claimed: &[String]| {
        let claim = bearer(&token(&format!(r#"{{"subscribe":{claimed:?}}}"#)));
        let topics: Vec<String> = wanted.iter().map(|topic| format!("topic={topic}")).collect();
        let mut wire = hub.engine.connect();
        wire.send(request("GET", &format!("{HUB}?{}", topics.join("&")), &[&claim], b""));
        wire.head().status
    };
    let (names, others) = (texts(|n| format!("n{n}")), texts(|n| format!("o{n}")));
    assert_eq!(ask(&names, &names), 200);
    assert_eq!(ask(&names, &others), 400);
    assert_eq!(ask(&names, &others[..100]), 200);
}
