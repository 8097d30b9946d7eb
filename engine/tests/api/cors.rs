//! Web pages of other origins: what they may read, what they may publish (WHATWG Fetch, section
//! 3.2).

use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Response, on_both_backends};

on_both_backends![
    a_listed_origin_may_read_with_credentials,
    an_unlisted_origin_is_told_nothing,
    a_star_is_for_everybody_and_without_credentials,
    without_the_flag_nothing_is_said,
    a_preflight_allows_what_event_source_and_publishers_send,
    refusals_can_be_read_by_the_pages_that_caused_them,
    a_foreign_page_cannot_publish,
    a_foreign_name_for_loopback_cannot_publish,
];

const PAGE: &str = "Origin: https://app.example";

#[track_caller]
fn allowed(response: &Response) -> (Option<&str>, Option<&str>, Option<&str>) {
    (
        response.header("Access-Control-Allow-Origin"),
        response.header("Access-Control-Allow-Credentials"),
        response.header("Vary"),
    )
}

fn a_listed_origin_may_read_with_credentials(backend: Backend) {
    let flags = ["--cors-origin", "https://other.example,https://app.example"];
    let engine = Engine::start(backend, &flags);
    let expected = (Some("https://app.example"), Some("true"), Some("Origin"));
    let mut stream = engine.stream("/events/t", &[PAGE, "Cookie: session=1"]);
    assert_eq!(allowed(&stream.head), expected);
    let answer = engine.ask(request("POST", "/events/t", &[PAGE], b"x"));
    assert_eq!(allowed(&answer), expected);
    answer.json();
    assert_eq!(stream.event().data, "x");
}

fn an_unlisted_origin_is_told_nothing(backend: Backend) {
    let engine = Engine::start(backend, &["--cors-origin", "https://app.example"]);
    for origin in [
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil",
        "https://APP.example",
        "null",
        "",
    ] {
        let header = format!("Origin: {origin}");
        assert_eq!(
            allowed(&engine.stream("/events/t", &[&header]).head),
            (None, None, Some("Origin"))
        );
    }
    // Caches must not give a page of one origin what was answered to none.
    assert_eq!(allowed(&engine.subscribe("t").head), (None, None, Some("Origin")));
}

fn a_star_is_for_everybody_and_without_credentials(backend: Backend) {
    let engine = Engine::start(backend, &["--cors-origin", "*"]);
    for headers in [&[PAGE][..], &["Origin: null"], &[]] {
        assert_eq!(allowed(&engine.stream("/events/t", headers).head), (Some("*"), None, None));
    }
    engine.ask(request("POST", "/events/t", &[PAGE], b"x")).json();
}

fn without_the_flag_nothing_is_said(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    assert_eq!(allowed(&engine.stream("/events/t", &[PAGE]).head), (None, None, None));
    let options = engine.ask(request("OPTIONS", "/events/t", &[PAGE], b""));
    assert_eq!(options.header("Access-Control-Allow-Methods"), None);
}

fn a_preflight_allows_what_event_source_and_publishers_send(backend: Backend) {
    for origins in ["*", "https://app.example"] {
        let engine = Engine::start(backend, &["--cors-origin", origins]);
        for (method, headers) in [("GET", "last-event-id"), ("POST", "authorization,content-type")]
        {
            let method = format!("Access-Control-Request-Method: {method}");
            let headers = format!("Access-Control-Request-Headers: {headers}");
            let response =
                engine.ask(request("OPTIONS", "/events/t", &[PAGE, &method, &headers], b""));
            assert_eq!(response.status, 204);
            let methods = response.header("Access-Control-Allow-Methods").expect("methods");
            assert!(methods.contains("GET") && methods.contains("POST"), "{methods}");
            let names = response.header("Access-Control-Allow-Headers").expect("headers");
            let names = names.to_ascii_lowercase();
            for name in ["last-event-id", "authorization", "content-type", "cache-control"] {
                assert!(names.contains(name), "{names}");
            }
            assert!(response.header("Access-Control-Max-Age").is_some());
        }
    }
}

fn refusals_can_be_read_by_the_pages_that_caused_them(backend: Backend) {
    let engine = Engine::start(backend, &["--cors-origin", "https://app.example"]);
    let response = engine.ask(request("GET", "/events", &[PAGE], b""));
    response.problem(400);
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("https://app.example"));
}

fn a_foreign_page_cannot_publish(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut stream = engine.subscribe("t");
    for origin in
        [PAGE, "Origin: null", "Origin: http://localhost:1", "Origin: https://localhost.evil"]
    {
        for target in ["/events/t", "/events"] {
            let headers = [origin, "Content-Type: application/json"];
            let body = b"{\"topic\":\"t\",\"data\":\"evil\"}";
            engine.ask(request("POST", target, &headers, body)).problem(403);
        }
        let lines = [origin, "Content-Type: application/x-ndjson"];
        engine
            .ask(request("POST", "/events", &lines, b"{\"topic\":\"t\",\"data\":1}\n"))
            .problem(403);
    }
    // The start page is of this server itself.
    engine.ask(request("POST", "/events/t", &["Origin: http://localhost"], b"own")).json();
    assert_eq!(stream.event().data, "own");
}

fn a_foreign_name_for_loopback_cannot_publish(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let post = |host: &str| {
        format!("POST /events/t HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx")
    };
    for host in ["evil.example", "10.0.0.1:8080", "localhost.evil.example"] {
        engine.ask(post(host)).problem(403);
    }
    let port = engine.address.port();
    for host in ["localhost".into(), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        engine.ask(post(&host)).json();
    }
}
