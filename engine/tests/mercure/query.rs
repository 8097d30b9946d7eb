//! Subscribing by QUERY (RFC 10008): the matchers stand in the body, where there is room for them.

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{FORM, HUB, Hub, RESOURCE, Stream, access, access_all, all, bearer, detail};

on_both_backends![
    a_subscription_may_stand_in_the_body,
    query_and_body_are_one_form_and_the_query_goes_first,
    a_body_that_cannot_be_read_is_refused_by_its_type_and_size,
    rights_are_asked_for_as_with_get,
    a_hub_of_version_0_has_no_query,
    a_page_may_ask_by_query_after_a_preflight,
];

fn hub(backend: Backend, more: &str) -> Hub {
    Hub::start(backend, "1", &format!("anonymous\nresource_identifier {RESOURCE}\n{more}"))
}

fn open(hub: &Hub, query: &str, headers: &[&str], body: &[u8]) -> Stream {
    let mut wire = hub.engine.connect();
    let target = format!("{HUB}{query}");
    wire.send(request("QUERY", &target, &[&[FORM], headers].concat(), body));
    Stream::open(wire)
}

fn a_subscription_may_stand_in_the_body(backend: Backend) {
    let hub = hub(backend, "");
    let first = hub.post(&access_all(), "topic=https://e.example/1&data=1").text().to_owned();
    hub.post(&access_all(), "topic=https://e.example/2&data=2");
    let body = format!("match_urlpattern=https://e.example/:id&last_event_id={first}");
    let mut stream = open(&hub, "", &[], body.as_bytes());
    assert_eq!(stream.head.header("Content-Type"), Some("text/event-stream"));
    assert_eq!(stream.head.header("Mercure-Last-Event-ID"), Some(first.as_str()));
    hub.post(&access_all(), "topic=https://e.example/3&data=3");
    assert_eq!([stream.data(), stream.data()], ["2", "3"]);
    // A hundred matchers of 4 KiB do not fit in a head.
    let long: Vec<String> = (0..100).map(|n| format!("match={n}{}", "x".repeat(4_000))).collect();
    let mut stream = open(&hub, "", &[], long.join("&").as_bytes());
    let form = format!("topic=99{}&data=long", "x".repeat(4_000));
    assert_eq!(hub.post(&access_all(), &form).status, 200);
    assert_eq!(stream.data(), "long");
    // Chunked, as a client sends that does not know the length.
    let mut wire = hub.engine.connect();
    wire.send(format!(
        "QUERY {HUB} HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\nmatc\r\n3\r\nh=t\r\n0\r\n\r\n"
    ));
    let mut stream = Stream::open(wire);
    hub.post(&access_all(), "topic=t&data=chunked");
    assert_eq!(stream.data(), "chunked");
}

fn query_and_body_are_one_form_and_the_query_goes_first(backend: Backend) {
    let hub = hub(backend, "");
    let publish = |data: &str| {
        let form = format!("topic=a&data={data}");
        hub.post(&access_all(), &form).text().to_owned()
    };
    let (first, second) = (publish("1"), publish("2"));
    let query = format!("?match=b&last_event_id={second}");
    let body = format!("match=a&last_event_id={first}");
    let mut stream = open(&hub, &query, &[], body.as_bytes());
    assert_eq!(stream.head.header("Mercure-Last-Event-ID"), Some(second.as_str()));
    publish("3");
    hub.post(&access_all(), "topic=b&data=4");
    assert_eq!([stream.data(), stream.data()], ["3", "4"]);
    let header = format!("Last-Event-ID: {first}");
    let mut stream = open(&hub, &query, &[&header], b"match=a");
    assert_eq!(stream.data(), "2", "the header goes before both");
}

fn a_body_that_cannot_be_read_is_refused_by_its_type_and_size(backend: Backend) {
    let hub = hub(backend, "");
    let ask = |headers: &[&str], body: &[u8]| {
        let answer = hub.engine.ask(request("QUERY", HUB, headers, body));
        (answer.status, answer.header("Accept-Query").map(str::to_owned))
    };
    let form = Some("application/x-www-form-urlencoded".to_owned());
    assert_eq!(ask(&[], b"match=a"), (400, None), "what it is has to be said");
    assert_eq!(ask(&["Content-Type: application/json"], b"{}"), (415, form));
    assert_eq!(ask(&[FORM], b"x=y"), (400, None));
    assert_eq!(ask(&[FORM], b"match=%zz"), (400, None));
    assert_eq!(ask(&[FORM], b"matches=a"), (400, None));
    assert_eq!(ask(&[FORM], b""), (400, None));
    assert_eq!(ask(&[FORM], "match=a&".repeat(101).as_bytes()), (400, None));
    assert_eq!(ask(&[FORM], "x".repeat((1 << 20) + 1).as_bytes()), (413, None));
}

fn rights_are_asked_for_as_with_get(backend: Backend) {
    let hub = Hub::start(backend, "1", &format!("resource_identifier {RESOURCE}"));
    let answer = hub.engine.ask(request("QUERY", HUB, &[FORM], b"match=a"));
    assert_eq!(answer.status, 401);
    assert!(answer.header("WWW-Authenticate").is_some_and(|value| !value.contains("error")));
    let may = bearer(&access(&detail(r#""subscribe""#, r#"{"match":"a"}"#)));
    let mut stream = open(&hub, "", &[&may], b"match=a&match=b");
    hub.post(&access_all(), "topic=b&private=on&data=not+for+it");
    hub.post(&access_all(), "topic=a&private=on&data=for+it");
    assert_eq!(stream.data(), "for it");
}

fn a_hub_of_version_0_has_no_query(backend: Backend) {
    let old = Hub::start(backend, "8", "anonymous");
    let answer = old.engine.ask(request("QUERY", HUB, &[FORM], b"topic=a"));
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, POST, OPTIONS")));
    // Beside version 1 it takes topics of version 0 as well.
    let both = Hub::start(backend, "both", "anonymous");
    let mut stream = open(&both, "", &[], b"topic=%7Bid%7D");
    assert_eq!(both.post(&all(), "topic=a&data=1").status, 200);
    assert_eq!(stream.data(), "1");
}

fn a_page_may_ask_by_query_after_a_preflight(backend: Backend) {
    let hub = hub(backend, "cors_origins https://app.example");
    let headers = ["Origin: https://app.example", "Access-Control-Request-Method: QUERY"];
    let answer = hub.engine.ask(request("OPTIONS", HUB, &headers, b""));
    assert_eq!(answer.status, 204);
    assert!(answer.header("Access-Control-Allow-Methods").is_some_and(|all| all.contains("QUERY")));
    assert_eq!(answer.header("Accept-Query"), Some("application/x-www-form-urlencoded"));
    assert_eq!(answer.header("Allow"), Some("GET, HEAD, QUERY, POST, OPTIONS"));
}
