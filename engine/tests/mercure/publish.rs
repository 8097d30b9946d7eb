//! Publishing: the form, its answers, and what is refused in which words.

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{FORM, HUB, Hub, all, bearer, token};

on_both_backends![
    an_update_is_answered_with_its_id_as_plain_text,
    what_is_wrong_is_answered_in_the_words_of_the_reference,
    every_topic_of_an_update_needs_the_right,
    every_topic_of_an_update_takes_a_place,
    a_selector_that_somebody_has_takes_no_further_place,
    hubs_of_protocol_7_publish_public_updates_to_any_topic,
    a_body_that_is_no_form_has_no_fields,
    a_connection_takes_updates_one_after_the_other,
    a_body_beyond_the_bound_is_413,
    a_publisher_needs_a_token_with_the_publish_claim,
];

fn an_update_is_answered_with_its_id_as_plain_text(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let answer = hub.post(&all(), "topic=https%3A%2F%2Fe.example%2F1&data=hi");
    let headers: Vec<String> =
        answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        headers,
        [
            "Content-Security-Policy: default-src 'self'",
            "X-Content-Type-Options: nosniff",
            "X-Frame-Options: DENY",
            "X-XSS-Protection: 1; mode=block",
            "Connection: keep-alive",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Length: 45",
        ]
    );
    assert_eq!(answer.status, 200);
    let uuid = answer.text().strip_prefix("urn:uuid:").expect("a URN");
    let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
    assert!(uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{uuid}");
    let own = hub.post(&all(), "topic=a&data=hi&id=id-%5B%22x%22%5D");
    assert_eq!((own.status, own.text()), (200, "id-[\"x\"]"));
}

fn what_is_wrong_is_answered_in_the_words_of_the_reference(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let many = "topic=a&".repeat(1001);
    let long = format!("topic=a&id={}", "x".repeat(300));
    for (form, status, text) in [
        ("data=hi", 400, "Missing \"topic\" parameter\n"),
        ("", 400, "Missing \"topic\" parameter\n"),
        ("topic=a&retry=x", 400, "Invalid \"retry\" parameter\n"),
        ("topic=a&retry=-1", 400, "Invalid \"retry\" parameter\n"),
        ("topic=a&retry=%2B1", 400, "Invalid \"retry\" parameter\n"),
        ("topic=a&id=x%0Ay", 400, "\"id\" field contains a forbidden control character\n"),
        ("topic=a&id=x%0Dy", 400, "\"id\" field contains a forbidden control character\n"),
        ("topic=a&id=x%00y", 400, "\"id\" field contains a forbidden control character\n"),
        ("topic=a&type=x%0Ay", 400, "\"type\" field contains a forbidden control character\n"),
        ("topic=a&data=%", 400, "Bad Request\n"),
        ("topic=a&data=%C3%28", 400, "Bad Request\n"),
        ("topic=a;data=b", 400, "Bad Request\n"),
        (&many, 400, "too many topics in update\n"),
        (
            &long,
            400,
            "`id` must be 1 to 256 bytes without NUL, CR or LF; leave it out to have one given\n",
        ),
    ] {
        let answer = hub.post(&all(), form);
        let shown = &form[..form.len().min(40)];
        assert_eq!((answer.status, answer.text()), (status, text), "{shown}");
        assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("WWW-Authenticate"), None, "version 0 has no challenge");
    }
    for topic in [
        "/.well-known/mercure/subscriptions/a/b",
        "https://hub.example/.well-known/mercure",
        "x/.well-known/mercure",
    ] {
        let answer = hub.post(&all(), &format!("topic={topic}"));
        let said = "topic value references the reserved \"/.well-known/mercure\" namespace";
        let text = format!("\"{topic}\": {said}\n");
        assert_eq!((answer.status, answer.text()), (403, text.as_str()), "{topic}");
        // Who has no right to it does not hear of that.
        let narrow = hub.post(&token(r#"{"publish":["a"]}"#), &format!("topic={topic}"));
        assert_eq!((narrow.status, narrow.text()), (401, "Unauthorized\n"), "{topic}");
    }
    hub.publish("topic=a&retry=0&data=fine");
    hub.publish("topic=a&retry=&id=&type=&unknown=1&data=fine");
    let mut all = hub.stream("topic=*", &[&bearer(&all())]);
    for (form, block) in [
        ("topic=&data=x&id=1", "id: 1\ndata: x"),
        ("topic=a%0Ab%00&data=x&id=2", "id: 2\ndata: x"),
        ("topic=a&type=gap&data=x&id=%23", "event: gap\nid: #\ndata: x"),
        ("topic=mercure&retry=18446744073709551615&id=3", "retry: 86400000\nid: 3\ndata: "),
    ] {
        hub.publish(form);
        assert_eq!(all.block(), block, "{form}: taken, as the reference does");
    }
    let mut empty = hub.stream("topic=", &[&bearer(&crate::rig::all())]);
    hub.publish("topic=&data=to+nobody+in+particular");
    assert_eq!(empty.data(), "to nobody in particular");
}

fn every_topic_of_an_update_needs_the_right(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let token = token(r#"{"publish":["https://e.example/{id}","b"]}"#);
    for (form, status) in [
        ("topic=https://e.example/1", 200),
        ("topic=b", 200),
        ("topic=https://e.example/1&topic=b", 200),
        ("topic=c", 401),
        ("topic=b&topic=c", 401),
        ("topic=c&topic=b", 401),
        ("topic=https://e.example/1/2", 401),
        ("topic=c&private=on", 401),
    ] {
        let answer = hub.post(&token, form);
        assert_eq!(answer.status, status, "{form}: {}", answer.text());
        if status == 401 {
            assert_eq!(answer.text(), "Unauthorized\n");
        }
    }
}

fn hubs_of_protocol_7_publish_public_updates_to_any_topic(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous\nprotocol_version_compatibility 7");
    let narrow = token(r#"{"publish":["a"]}"#);
    assert_eq!(hub.post(&narrow, "topic=b&data=x").status, 200);
    assert_eq!(hub.post(&narrow, "topic=b&private=on&data=x").status, 401);
    assert_eq!(hub.post(&narrow, "topic=/.well-known/mercure/x&data=x").status, 403);
    assert_eq!(hub.post(&token("{}"), "topic=b&data=x").status, 401, "not without the claim");
}

fn a_body_that_is_no_form_has_no_fields(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let bearer = bearer(&all());
    for kind in ["Content-Type: application/json", "Content-Type: text/plain", "X-None: 1"] {
        let answer = hub.engine.ask(request("POST", HUB, &[&bearer, kind], b"topic=a&data=hi"));
        assert_eq!(
            (answer.status, answer.text()),
            (400, "Missing \"topic\" parameter\n"),
            "{kind}"
        );
    }
    let kind = "Content-Type: Application/X-WWW-Form-Urlencoded; charset=UTF-8";
    assert_eq!(hub.engine.ask(request("POST", HUB, &[&bearer, kind], b"topic=a")).status, 200);
    let kind = "Content-Type: multipart/form-data; boundary=x";
    let parts = b"--x\r\nContent-Disposition: form-data; name=\"topic\"\r\n\r\na\r\n--x--\r\n";
    let answer = hub.engine.ask(request("POST", HUB, &[&bearer, kind], parts));
    assert_eq!((answer.status, answer.text()), (400, "Missing \"topic\" parameter\n"));
    let kind = "Content-Type: application/x-www-form-urlencoded; charset";
    let answer = hub.engine.ask(request("POST", HUB, &[&bearer, kind], b"topic=a"));
    assert_eq!((answer.status, answer.text()), (400, "Bad Request\n"));
    let target = format!("{HUB}?x=%zz");
    assert_eq!(hub.engine.ask(request("POST", &target, &[&bearer, FORM], b"topic=a")).status, 400);
    // The topic of the query is nobody's.
    let target = format!("{HUB}?topic=a");
    let answer = hub.engine.ask(request("POST", &target, &[&bearer, FORM], b"data=hi"));
    assert_eq!(answer.status, 400);
}

fn a_connection_takes_updates_one_after_the_other(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut stream = hub.stream("topic=t", &[]);
    let bearer = bearer(&all());
    let mut wire = hub.engine.connect();
    let one = |number: usize| {
        let form = format!("topic=t&data={number}");
        request("POST", HUB, &[FORM, &bearer], form.as_bytes())
    };
    // A refusal in between does not end it.
    let refused = request("POST", HUB, &[FORM, &bearer], b"data=nothing");
    wire.send([one(0), one(1), refused, one(2)].concat());
    let statuses: Vec<u16> = (0..4).map(|_| wire.response().status).collect();
    assert_eq!(statuses, [200, 200, 400, 200]);
    assert_eq!([stream.data(), stream.data(), stream.data()], ["0", "1", "2"]);
}

fn a_body_beyond_the_bound_is_413(backend: Backend) {
    let hub = Hub::start_with(backend, "8", "", &["--event-bytes-max", "1KiB"]);
    let fits = format!("topic=a&data={}", "%41".repeat(1024));
    assert_eq!(hub.post(&all(), &fits).status, 200);
    let over = format!("topic=a&data={}", "x".repeat(1025));
    assert_eq!(hub.post(&all(), &over).status, 413);
    let small = Hub::start(backend, "8", "max_request_body_size 100B");
    let over = format!("topic=a&data={}", "x".repeat(100));
    assert_eq!(small.post(&all(), &over).status, 413);
    assert_eq!(small.post(&all(), "topic=a").status, 200);
}

fn a_publisher_needs_a_token_with_the_publish_claim(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let without = request("POST", HUB, &[FORM], b"topic=a&data=hi");
    let answer = hub.engine.ask(without);
    assert_eq!((answer.status, answer.text()), (401, "Unauthorized\n"));
    for claim in [r#"{"subscribe":["*"]}"#, "{}", r#"{"publish":null}"#, r#"{"publish":[]}"#] {
        let answer = hub.post(&token(claim), "topic=a&data=hi");
        assert_eq!((answer.status, answer.text()), (401, "Unauthorized\n"), "{claim}");
    }
}

fn every_topic_of_an_update_takes_a_place(backend: Backend) {
    let flags = ["--topics-max", "3", "--topics-per-subscriber-max", "3", "--workers", "1"];
    let hub = Hub::start_with(backend, "8", "anonymous", &flags);
    let status = |form: &str| hub.post(&all(), form).status;
    assert_eq!(status("topic=a&topic=b&topic=c&topic=d&data=x"), 503);
    assert_eq!(status("topic=a&topic=b&data=x"), 200);
    assert_eq!(status("topic=a&private=on&data=x"), 200, "a history of its own, the third");
    assert_eq!(status("topic=b&private=on&data=x"), 503);
    assert_eq!(status("topic=b&topic=a&data=x"), 200, "known topics go on");
    let mut wire = hub.engine.connect();
    wire.send(request("GET", &format!("{HUB}?topic=%7Bid%7D"), &[], b""));
    assert_eq!(wire.head().status, 200);
    hub.engine.await_closed("topics_max", 1);
}

fn a_selector_that_somebody_has_takes_no_further_place(backend: Backend) {
    let flags = ["--topics-max", "2", "--topics-per-subscriber-max", "2", "--workers", "1"];
    let hub = Hub::start_with(backend, "8", "", &flags);
    let token = bearer(&all());
    // A selector and the private events of it: two places.
    let query = "topic=%7Bid%7D";
    let mut streams = [hub.stream(query, &[&token]), hub.stream(query, &[&token])];
    let mut wire = hub.engine.connect();
    wire.send(request("GET", &format!("{HUB}?topic=%7Bother%7D"), &[&token], b""));
    assert_eq!(wire.head().status, 200);
    hub.engine.await_closed("topics_max", 1);
    hub.engine.await_subscribers(2);
    // Two topics are no more than the bound, but with the views they are.
    assert_eq!(hub.post(&all(), "topic=a").status, 503);
    streams.iter_mut().for_each(|stream| assert!(stream.head.status == 200));
}
