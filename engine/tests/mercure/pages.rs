//! Pages of other origins and tokens of odd shapes: whole tables of what is next to what is allowed.

use crate::harness::wire::request;
use crate::harness::{Backend, Response, on_both_backends};
use crate::rig::{FORM, HUB, Hub, KEY, all, bearer, sign};

on_both_backends![
    every_answer_can_be_read_by_a_page_of_a_named_origin,
    an_origin_next_to_a_named_one_learns_nothing,
    the_referer_counts_only_where_no_origin_is_given,
    a_claim_of_another_shape_gives_no_right,
];

const LIST: &str = "/.well-known/mercure/subscriptions";

fn start(backend: Backend) -> Hub {
    let origins = "https://app.example http://127.0.0.1:8000 https://*.team.example";
    Hub::start(
        backend,
        "8",
        &format!("anonymous\nsubscriptions\ncors_origins {origins}\npublish_origins {origins}"),
    )
}

/// One answer of each kind to a page of this origin.
fn answers(hub: &Hub, origin: &str) -> Vec<(&'static str, Response)> {
    let page = format!("Origin: {origin}");
    let (token, bad) = (bearer(&all()), format!("Authorization: Bearer {}", "x".repeat(60)));
    let ask = |method: &str, target: &str, headers: &[&str], body: &[u8]| {
        hub.engine.ask(request(method, target, &[&[page.as_str()], headers].concat(), body))
    };
    let subscribe = format!("{HUB}?topic=t");
    vec![
        ("a stream", hub.stream("topic=t", &[&page]).head),
        ("400", ask("GET", HUB, &[], b"")),
        ("401", ask("GET", &subscribe, &[&bad], b"")),
        ("405", ask("PUT", HUB, &[], b"")),
        ("an update", ask("POST", HUB, &[FORM, &token], b"topic=t")),
        ("no update", ask("POST", HUB, &[FORM], b"topic=t")),
        ("a list", ask("GET", LIST, &[&token], b"")),
        ("no list", ask("GET", LIST, &[], b"")),
        ("404", ask("GET", &format!("{LIST}/a/b/c"), &[&token], b"")),
    ]
}

fn every_answer_can_be_read_by_a_page_of_a_named_origin(backend: Backend) {
    let hub = start(backend);
    for origin in ["https://app.example", "http://127.0.0.1:8000", "https://x.team.example"] {
        for (kind, answer) in answers(&hub, origin) {
            let shown = format!("{kind} for {origin}: {answer:?}");
            assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(origin), "{shown}");
            let credentials = answer.header("Access-Control-Allow-Credentials");
            assert_eq!(credentials, Some("true"), "{shown}");
            assert!(answer.header("Vary").is_some_and(|vary| vary.contains("Origin")), "{shown}");
        }
    }
}

fn an_origin_next_to_a_named_one_learns_nothing(backend: Backend) {
    let hub = start(backend);
    for origin in [
        "null",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil",
        "https://evil-app.example",
        "https://evil.example",
        "https://team.example",
        "https://x.team.example.evil",
        "http://127.0.0.1",
        "http://127.0.0.1:80000",
    ] {
        for (kind, answer) in answers(&hub, origin) {
            let shown = format!("{kind} for {origin}: {answer:?}");
            assert_eq!(answer.header("Access-Control-Allow-Origin"), None, "{shown}");
            assert_eq!(answer.header("Access-Control-Allow-Credentials"), None, "{shown}");
            assert!(answer.header("Vary").is_some_and(|vary| vary.contains("Origin")), "{shown}");
        }
        let cookie = format!("Cookie: mercureAuthorization={}", all());
        let page = format!("Origin: {origin}");
        let answer = hub.engine.ask(request("POST", HUB, &[&cookie, FORM, &page], b"topic=t"));
        assert_eq!(answer.status, 401, "{origin} publishes with a cookie");
    }
}

fn the_referer_counts_only_where_no_origin_is_given(backend: Backend) {
    let hub = start(backend);
    let cookie = format!("Cookie: mercureAuthorization={}", all());
    for (headers, status) in [
        (&["Referer: https://app.example"][..], 200),
        (&["Referer: https://app.example/a?b=https://evil.example"], 200),
        (&["Referer: https://x.team.example/"], 200),
        (&["Referer: https://app.example@evil.example/"], 401),
        (&["Referer: https://app.example.evil/"], 401),
        (&["Referer: https://app.example:8443/"], 401),
        (&["Referer: ::::"], 401),
        (&["Referer: /a"], 401),
        (&["Origin: https://app.example", "Referer: https://evil.example/"], 200),
        (&["Origin: https://evil.example", "Referer: https://app.example/"], 401),
        (&["Origin: null", "Referer: https://app.example/"], 401),
    ] {
        let all = [&[cookie.as_str(), FORM], headers].concat();
        let answer = hub.engine.ask(request("POST", HUB, &all, b"topic=t"));
        assert_eq!(answer.status, status, "{headers:?}");
    }
}

fn a_claim_of_another_shape_gives_no_right(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    // The claims, then what a publisher and a subscriber with them are answered: who may subscribe
    // to nothing private may subscribe.
    for (claims, published, subscribed) in [
        (r#"{"mercure":{"publish":["t"],"subscribe":["t"]}}"#, 200, 200),
        (r#"{"mercure":{"publish":["x","{t}"]}}"#, 200, 200),
        (r#"{"mercure":{"publish":["x"]}}"#, 401, 200),
        (r#"{"mercure":{"publish":[]}}"#, 401, 200),
        (r#"{"mercure":{"publish":null,"subscribe":null}}"#, 401, 200),
        (r#"{"mercure":{}}"#, 401, 200),
        (r#"{"mercure":null}"#, 401, 200),
        ("{}", 401, 200),
        (r#"{"mercure":{"publish":"*"}}"#, 401, 401),
        (r#"{"mercure":{"publish":[1]}}"#, 401, 401),
        (r#"{"mercure":{"publish":{"*":true}}}"#, 401, 401),
        (r#"{"mercure":{"publish":["*"],"subscribe":"*"}}"#, 401, 401),
        (r#"{"mercure":"*"}"#, 401, 401),
        (r#"{"mercure":["*"]}"#, 401, 401),
        (r#"{"https://mercure.rocks/":{"publish":["*"]}}"#, 200, 200),
        (r#"{"https://mercure.rocks":{"publish":["*"]}}"#, 401, 200),
        (r#"{"mercure":{"publish":["*"]},"https://mercure.rocks/":{"publish":["x"]}}"#, 401, 200),
        (r#"{"mercure":{"publish":["x"]},"https://mercure.rocks/":{"publish":["*"]}}"#, 200, 200),
        (r#"{"mercure":{"publish":["*"]},"https://mercure.rocks/":null}"#, 200, 200),
        (r#"[{"mercure":{"publish":["*"]}}]"#, 401, 401),
        (r#"{"mercure":{"publish":["*"]}} "#, 200, 200),
        (r#"{"mercure":{"publish":["*"]}}x"#, 401, 401),
    ] {
        let token = sign(r#"{"alg":"HS256","typ":"JWT"}"#, claims, KEY);
        assert_eq!(hub.post(&token, "topic=t").status, published, "published with {claims}");
        let mut wire = hub.engine.connect();
        wire.send(request("GET", &format!("{HUB}?topic=t"), &[&bearer(&token)], b""));
        assert_eq!(wire.head().status, subscribed, "subscribed with {claims}");
    }
}
