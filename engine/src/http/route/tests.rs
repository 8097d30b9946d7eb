use super::*;
use crate::http::request::{Limits, Parsed, parse};

const RULES: Rules = Rules { topics_per_subscriber_max: 3, start_page: true, native: true };

fn route_head(head: &str, rules: &Rules) -> Result<Route, Refusal> {
    match parse(head.as_bytes(), &Limits::default()) {
        Ok(Parsed::Complete { request, .. }) => route(&request, rules),
        other => panic!("{head:?}: {other:?}"),
    }
}

fn ask(method: &str, target: &str, lines: &str) -> Result<Route, Refusal> {
    route_head(&format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"), &RULES)
}

fn get(target: &str) -> Result<Route, Refusal> {
    ask("GET", target, "")
}

fn post(target: &str, content_type: &str) -> Result<Route, Refusal> {
    ask("POST", target, &format!("Content-Type: {content_type}\r\nContent-Length: 2\r\n"))
}

fn subscribe(topics: &[&str], last_event_id: Option<&str>) -> Result<Route, Refusal> {
    Ok(Route::Subscribe(Subscription {
        topics: topics.iter().map(ToString::to_string).collect(),
        last_event_id: last_event_id.map(Into::into),
    }))
}

#[test]
fn every_spelling_of_a_topic_is_the_same_subscription() {
    for target in [
        "/events/rooms/42",
        "/events/rooms%2F42",
        "/events/rooms%2f42",
        "/events/%72ooms/4%32",
        "/events?topic=rooms/42",
        "/events?topic=rooms%2F42",
        "/events?topic=rooms/42&topic=rooms%2F42",
        "/events/rooms/42?padding=true&_=1700000000",
        "/events?_=1&topic=rooms/42&padding=true",
    ] {
        assert_eq!(get(target), subscribe(&["rooms/42"], None), "{target}");
    }
}

#[test]
fn a_path_topic_is_all_of_the_path_behind_events() {
    for (target, topic) in [
        ("/events/a", "a"),
        ("/events/a/", "a/"),
        ("/events//a", "/a"),
        ("/events/a+b", "a+b"),
        ("/events/a%20b", "a b"),
        ("/events/%E2%98%94", "☔"),
        ("/events/..", ".."),
        ("/events/a?topic=b", "a"),
    ] {
        assert_eq!(get(target), subscribe(&[topic], None), "{target}");
    }
    for target in ["/events/", "/events/%00", "/events/%", "/events/%C3", "/events?topic="] {
        assert_eq!(get(target).unwrap_err().status, Status::BadRequest, "{target}");
    }
}

#[test]
fn the_order_of_topics_does_not_matter_and_their_count_is_bounded() {
    let expected = subscribe(&["a", "b", "c"], None);
    assert_eq!(get("/events?topic=c&topic=a&topic=b&topic=a"), expected);
    let refusal = get("/events?topic=a&topic=b&topic=c&topic=d").unwrap_err();
    assert_eq!(refusal.status, Status::BadRequest);
    assert!(refusal.detail.contains("--topics-per-subscriber-max"), "{}", refusal.detail);
    for target in ["/events", "/events?", "/events?Topic=a", "/events?x=y"] {
        let refusal = get(target).unwrap_err();
        assert!(refusal.detail.contains("/events?topic="), "{target}: {}", refusal.detail);
    }
}

#[test]
fn the_last_event_id_is_the_header_or_one_of_the_query_names() {
    for name in ["last_event_id", "lastEventId", "Last-Event-ID"] {
        let target = format!("/events/a?x=y&{name}=3f-9");
        assert_eq!(get(&target), subscribe(&["a"], Some("3f-9")), "{name}");
        let both = ask("GET", &target, "Last-Event-ID: 3f-10\r\n");
        assert_eq!(both, subscribe(&["a"], Some("3f-10")), "the header wins over {name}");
        let empty = ask("GET", &target, "Last-Event-ID:\r\n");
        assert_eq!(empty, subscribe(&["a"], Some("3f-9")), "an empty header says nothing");
    }
    assert_eq!(get("/events/a?last_event_id="), subscribe(&["a"], None));
    assert_eq!(get("/events/a?last_event_id=&lastEventId=b"), subscribe(&["a"], Some("b")));
    assert_eq!(get("/events/a?last_event_id=earliest"), subscribe(&["a"], Some("earliest")));
    let header = ask("GET", "/events/a", "last-event-id: earliest\r\n");
    assert_eq!(header, subscribe(&["a"], Some("earliest")));
    let twice = ask("GET", "/events/a", "Last-Event-ID: a\r\nLast-Event-ID: b\r\n");
    assert_eq!(twice.unwrap_err().status, Status::BadRequest);
}

#[test]
fn a_last_event_id_that_is_not_utf_8_is_an_unknown_id_rather_than_an_error() {
    let head = b"GET /events/a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: a\xFFb\r\n\r\n";
    let Ok(Parsed::Complete { request, .. }) = parse(head, &Limits::default()) else { panic!() };
    assert_eq!(route(&request, &RULES), subscribe(&["a"], Some("a\u{FFFD}b")));
}

#[test]
fn head_is_a_subscription_without_a_stream() {
    let subscription = Subscription { topics: vec!["a".into()], last_event_id: None };
    assert_eq!(ask("HEAD", "/events/a", ""), Ok(Route::SubscribeHead(subscription)));
    assert_eq!(ask("HEAD", "/", ""), Ok(Route::PageHead));
    assert_eq!(ask("HEAD", "/events", "").unwrap_err().status, Status::BadRequest);
}

#[test]
fn a_subscription_with_a_body_is_refused() {
    for lines in ["Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"] {
        for method in ["GET", "HEAD"] {
            let status = ask(method, "/events/a", lines).unwrap_err().status;
            assert_eq!(status, Status::BadRequest, "{method} {lines}");
        }
    }
    assert_eq!(ask("GET", "/events/a", "Content-Length: 0\r\n"), subscribe(&["a"], None));
}

#[test]
fn a_publish_takes_event_id_and_retry_from_the_query() {
    let publish = |topic: &str, fields| Ok(Route::Publish { topic: topic.into(), fields });
    assert_eq!(post("/events/a/b", "text/plain"), publish("a/b", EventFields::default()));
    let fields = EventFields {
        event: Some("price change".into()),
        id: Some("x%1".into()),
        retry_ms: Some(2_500),
    };
    let target = "/events/a?event=price+change&id=x%251&retry=2500";
    assert_eq!(post(target, "image/png"), publish("a", fields));
    let empty = EventFields { event: Some(String::new()), ..EventFields::default() };
    assert_eq!(post("/events/a?event=", "text/plain"), publish("a", empty));
}

#[test]
fn a_publish_refuses_what_it_would_otherwise_ignore() {
    for (target, says) in [
        ("/events/a?evnt=x", "'evnt' is not known; allowed: event, id and retry"),
        ("/events/a?topic=b", "'topic' is not known"),
        ("/events/a?event=x&event=y", "event is given twice"),
        ("/events/a?retry=1&retry=1", "retry is given twice"),
        ("/events/a?retry=", "not a number of milliseconds"),
        ("/events/a?retry=-1", "not a number"),
        ("/events/a?retry=+1", "not a number"),
        ("/events/a?retry=1s", "not a number"),
        ("/events/a?retry=18446744073709551616", "not a number"),
        ("/events/a?event=%FF", "UTF-8"),
        ("/events/", "topic is empty"),
        ("/events?topic=a", "'topic' is not known; allowed: none"),
    ] {
        let refusal = post(target, "application/json").unwrap_err();
        assert_eq!(refusal.status, Status::BadRequest, "{target}");
        assert!(refusal.detail.contains(says), "{target}: {}", refusal.detail);
    }
    let long = post(&format!("/events/a?{}=1", "x".repeat(500)), "a/b").unwrap_err();
    assert!(long.detail.len() < 200, "a refusal does not grow with the request");
}

#[test]
fn objects_are_told_apart_by_their_content_type() {
    for (content_type, format) in [
        ("application/json", ObjectFormat::Json),
        ("Application/JSON; charset=utf-8", ObjectFormat::Json),
        ("application/x-ndjson", ObjectFormat::Ndjson),
        ("application/x-ndjson ;charset=utf-8", ObjectFormat::Ndjson),
        ("application/ndjson", ObjectFormat::Ndjson),
        ("application/jsonl", ObjectFormat::Ndjson),
    ] {
        let got = post("/events", content_type);
        assert_eq!(got, Ok(Route::PublishObjects(format)), "{content_type}");
    }
    for content_type in
        ["", "text/plain", "application/jsonp", "json", "application/x-www-form-urlencoded"]
    {
        let refusal = post("/events", content_type).unwrap_err();
        assert_eq!(refusal.status, Status::UnsupportedMediaType, "{content_type}");
        assert!(refusal.detail.contains("application/x-ndjson"), "{}", refusal.detail);
    }
    assert_eq!(
        ask("POST", "/events", "Content-Length: 2\r\n").unwrap_err().status,
        Status::UnsupportedMediaType,
        "no type at all"
    );
    let no_length = ask("POST", "/events", "").unwrap_err();
    assert_eq!(no_length.status, Status::LengthRequired);
}

#[test]
fn known_paths_answer_options_and_refuse_other_methods_with_allow() {
    for (target, allow) in
        [("/", PAGE_ALLOW), ("/events", EVENTS_ALLOW), ("/events/a", EVENTS_ALLOW)]
    {
        assert_eq!(ask("OPTIONS", target, ""), Ok(Route::Preflight { allow }), "{target}");
        for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
            let refusal = ask(method, target, "").unwrap_err();
            assert_eq!(refusal.status, Status::MethodNotAllowed, "{method} {target}");
            assert_eq!(refusal.allow, Some(allow), "{method} {target}");
        }
    }
    assert_eq!(ask("POST", "/", "").unwrap_err().allow, Some(PAGE_ALLOW));
    assert_eq!(ask("OPTIONS", "*", ""), Ok(Route::Preflight { allow: EVENTS_ALLOW }));
}

#[test]
fn any_other_path_is_404_and_says_what_exists() {
    for target in ["/x", "/event", "/eventsx", "/EVENTS/a", "//events/a", "/events%2Fa", "/healthz"]
    {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let refusal = ask(method, target, "").unwrap_err();
            assert_eq!(refusal.status, Status::NotFound, "{method} {target}");
            assert!(refusal.detail.contains("/events/{topic}"), "{}", refusal.detail);
        }
    }
}

#[test]
fn the_start_page_is_there_only_if_configured() {
    assert_eq!(get("/"), Ok(Route::Page));
    assert_eq!(get("/?x=y"), Ok(Route::Page));
    let off = Rules { start_page: false, ..RULES };
    let refusal = route_head("GET / HTTP/1.1\r\nHost: x\r\n\r\n", &off).unwrap_err();
    assert_eq!(refusal.status, Status::NotFound);
    assert!(!refusal.detail.contains("start page"), "{}", refusal.detail);
}
