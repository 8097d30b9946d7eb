//! Tokens: where they stand, what a bad one is answered, cookies, and pages of other origins.

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{FAR, FORM, HUB, Hub, KEY, all, bearer, sign, token};

on_both_backends![
    without_anonymous_a_subscriber_needs_a_token,
    a_bad_token_is_401_even_where_none_is_needed,
    the_header_goes_before_the_query_and_the_query_before_the_cookie,
    a_cookie_publishes_only_from_pages_that_may,
    roles_have_keys_of_their_own,
    a_stream_ends_with_its_token,
    pages_of_named_origins_read_with_credentials,
    a_star_never_comes_with_credentials,
    a_preflight_is_answered_for_named_origins_only,
];

const NAMED: &str = "cors_origins https://app.example https://*.team.example";

fn without_anonymous_a_subscriber_needs_a_token(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let answer = hub.get(&format!("{HUB}?topic=t"), &[]);
    assert_eq!((answer.status, answer.text()), (401, "Unauthorized\n"));
    // The token is asked for before the parameters.
    assert_eq!(hub.get(HUB, &[]).status, 401);
    let mut stream = hub.stream("topic=t", &[&bearer(&token("{}"))]);
    hub.publish("topic=t&data=hi");
    assert_eq!(stream.data(), "hi");
}

fn a_bad_token_is_401_even_where_none_is_needed(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let good = all();
    let header = r#"{"alg":"HS256"}"#;
    let rights = r#""mercure":{"publish":["*"],"subscribe":["*"]}"#;
    let unsigned = sign(r#"{"alg":"none"}"#, &format!("{{{rights}}}"), KEY);
    let bad = [
        format!("Authorization: Bearer {}", &good[..20]),
        format!("Authorization: Basic {good}"),
        format!("Authorization: {good}"),
        format!("Authorization: Bearer {good}x"),
        format!("{0}\r\n{0}", bearer(&good)),
        bearer(&unsigned),
        bearer(unsigned.rsplit_once('.').unwrap().0),
        bearer(&sign(header, &format!("{{{rights}}}"), "another key of that length, or so")),
        bearer(&sign(header, &format!("{{{rights},\"exp\":1}}"), KEY)),
        bearer(&sign(header, &format!("{{{rights},\"exp\":\"{FAR}\"}}"), KEY)),
        bearer(&sign(header, &format!("{{{rights},\"nbf\":{FAR}}}"), KEY)),
        bearer(&sign(header, r#"{"mercure":{"publish":"*","subscribe":"*"}}"#, KEY)),
        format!("Cookie: mercureAuthorization={}", &good[..30]),
    ];
    for header in &bad {
        let answer = hub.get(&format!("{HUB}?topic=t"), &[header]);
        assert_eq!((answer.status, answer.text()), (401, "Unauthorized\n"), "{header}");
        let headers = [header, FORM, "Origin: https://app.example"];
        let answer = hub.engine.ask(request("POST", HUB, &headers, b"topic=t"));
        assert_eq!((answer.status, answer.text()), (401, "Unauthorized\n"), "{header}");
    }
    assert_eq!(hub.post(&good, "topic=t").status, 200);
}

fn the_header_goes_before_the_query_and_the_query_before_the_cookie(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let (good, bad) = (all(), sign("{}", "{}", KEY));
    let cookie = |token: &str| format!("Cookie: a=b; mercureAuthorization={token}; c=d");
    let query = |token: &str| format!("{HUB}?topic=t&authorization={token}");
    let status = |target: &str, headers: &[&str]| {
        let mut wire = hub.engine.connect();
        wire.send(request("GET", target, headers, b""));
        wire.head().status
    };
    let plain = format!("{HUB}?topic=t");
    assert_eq!(status(&plain, &[&cookie(&good)]), 200);
    assert_eq!(status(&query(&good), &[]), 200);
    assert_eq!(status(&query(&bad), &[&bearer(&good)]), 200);
    assert_eq!(status(&query(&good), &[&bearer(&bad)]), 401);
    assert_eq!(status(&query(&good), &[&cookie(&bad)]), 200);
    assert_eq!(status(&query(&bad), &[&cookie(&good)]), 401);
    let renamed = Hub::start(backend, "8", "cookie_name token");
    let header = format!("Cookie: token={good}");
    renamed.stream("topic=t", &[&header]);
    assert_eq!(renamed.get(&plain, &[&cookie(&good)]).status, 401);
}

fn a_cookie_publishes_only_from_pages_that_may(backend: Backend) {
    let hub =
        Hub::start(backend, "8", "publish_origins https://app.example https://*.team.example");
    let cookie = format!("Cookie: mercureAuthorization={}", all());
    for (header, status) in [
        ("X-None: 1", 401),
        ("Origin: https://app.example", 200),
        ("Origin: https://x.team.example", 200),
        ("Origin: http://app.example", 401),
        ("Origin: https://app.example.evil", 401),
        ("Origin: null", 401),
        ("Referer: https://app.example/page?x=1", 200),
        ("Referer: https://evil.example/https://app.example/", 401),
    ] {
        let answer = hub.engine.ask(request("POST", HUB, &[&cookie, FORM, header], b"topic=t"));
        assert_eq!(answer.status, status, "{header}");
    }
    let closed = Hub::start(backend, "8", "");
    let headers = [&*cookie, FORM, "Origin: https://app.example"];
    assert_eq!(closed.engine.ask(request("POST", HUB, &headers, b"topic=t")).status, 401);
    // What stands in the header is nobody's to send but the program's own.
    let headers = [&*bearer(&all()), FORM, "Origin: https://evil.example"];
    assert_eq!(closed.engine.ask(request("POST", HUB, &headers, b"topic=t")).status, 200);
}

fn roles_have_keys_of_their_own(backend: Backend) {
    let other = "the subscribers' own key, which publishers do not have";
    let hub = Hub::start(backend, "8", &format!("subscriber_jwt \"{other}\""));
    let claims = r#"{"mercure":{"publish":["*"],"subscribe":["*"]}}"#;
    let (publisher, subscriber) = (all(), sign(r#"{"alg":"HS256"}"#, claims, other));
    assert_eq!(hub.post(&publisher, "topic=t").status, 200);
    assert_eq!(hub.post(&subscriber, "topic=t").status, 401);
    assert_eq!(hub.get(&format!("{HUB}?topic=t"), &[&bearer(&publisher)]).status, 401);
    hub.stream("topic=t", &[&bearer(&subscriber)]);
}

fn a_stream_ends_with_its_token(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let end = now.expect("a clock").as_secs() + 3;
    let claims = format!(r#"{{"mercure":{{"subscribe":["*"]}},"exp":{end}}}"#);
    let mut stream = hub.stream("topic=t", &[&bearer(&sign(r#"{"alg":"HS256"}"#, &claims, KEY))]);
    hub.publish("topic=t&data=hi&private=on");
    assert_eq!(stream.data(), "hi");
    stream.wire.take_all();
    hub.engine.await_closed("expired", 1);
}

fn pages_of_named_origins_read_with_credentials(backend: Backend) {
    let hub = Hub::start(backend, "8", &format!("anonymous\n{NAMED}"));
    for (origin, is_named) in [
        ("https://app.example", true),
        ("https://x.team.example", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let header = format!("Origin: {origin}");
        let stream = hub.stream("topic=t", &[&header]);
        let refused = hub.get(HUB, &[&header]);
        for answer in [&stream.head, &refused] {
            assert_eq!(answer.header("Vary"), Some("Origin"));
            let allowed = answer.header("Access-Control-Allow-Origin");
            assert_eq!(allowed, is_named.then_some(origin));
            let credentials = answer.header("Access-Control-Allow-Credentials");
            assert_eq!(credentials, is_named.then_some("true"), "{origin}");
        }
    }
}

fn a_star_never_comes_with_credentials(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous\ncors_origins *");
    let stream = hub.stream("topic=t", &["Origin: https://any.example"]);
    assert_eq!(stream.head.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(stream.head.header("Access-Control-Allow-Credentials"), None);
    let silent = Hub::start(backend, "8", "anonymous");
    let stream = silent.stream("topic=t", &["Origin: https://any.example"]);
    assert_eq!(stream.head.header("Access-Control-Allow-Origin"), None);
}

fn a_preflight_is_answered_for_named_origins_only(backend: Backend) {
    let hub = Hub::start(backend, "8", NAMED);
    for (origin, is_named) in [("https://app.example", true), ("https://evil.example", false)] {
        let header = format!("Origin: {origin}");
        let method = "Access-Control-Request-Method: POST";
        let answer = hub.engine.ask(request("OPTIONS", HUB, &[&header, method], b""));
        assert_eq!(answer.status, 204);
        let headers = answer.header("Access-Control-Allow-Headers");
        assert_eq!(headers.is_some(), is_named, "{origin}");
        if let Some(headers) = headers {
            for name in ["authorization", "cache-control", "last-event-id"] {
                assert!(headers.contains(name), "{headers}");
            }
        }
    }
}
