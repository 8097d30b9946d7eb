//! Version 1.0 (draft 08): matchers, access tokens, its answers, and both versions on one path.

use serde_json::Value;

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{FORM, HUB, Hub, KEY, RESOURCE, access, access_all, all, bearer, detail, sign};

on_both_backends![
    matchers_are_exact_or_url_patterns,
    what_is_no_matcher_is_refused,
    the_answer_names_its_start_by_a_header_of_its_own,
    updates_are_refused_as_the_draft_says,
    errors_are_those_of_rfc_6750,
    private_updates_need_the_subscribe_action,
    subscriptions_have_paths_with_their_type,
    metadata_says_how_to_get_in,
    only_public_urls_are_served,
    both_versions_share_one_path,
];

fn directives(more: &str) -> String {
    format!("anonymous\nresource_identifier {RESOURCE}\n{more}")
}

fn post(hub: &Hub, form: &str) -> crate::harness::Response {
    hub.post(&access_all(), form)
}

fn matchers_are_exact_or_url_patterns(backend: Backend) {
    let hub = Hub::start(backend, "1", &directives(""));
    let mut exact = hub.stream("match=https://e.example/%7Bid%7D&match_exact=end", &[]);
    let mut pattern = hub.stream("match_urlpattern=https://e.example/:id&match=end", &[]);
    let mut relative = hub.stream("match_urlpattern=/books/:id&match=end", &[]);
    let mut star = hub.stream("match_urlpattern=*", &[]);
    for topic in [
        "https://e.example/1",
        "https://e.example/{id}",
        "https://e.example/1/2",
        "https://hub.example/books/1",
        "/books/2",
        "end",
    ] {
        assert_eq!(post(&hub, &format!("topic={topic}&data={topic}")).status, 200, "{topic}");
    }
    let until_end = |stream: &mut crate::rig::Stream| {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|data| data != "end") {
            seen.push(stream.data());
        }
        seen
    };
    assert_eq!(until_end(&mut exact), ["https://e.example/{id}", "end"]);
    assert_eq!(until_end(&mut pattern), ["https://e.example/1", "https://e.example/{id}", "end"]);
    assert_eq!(until_end(&mut relative), ["https://hub.example/books/1", "/books/2", "end"]);
    assert_eq!(until_end(&mut star).len(), 6);
}

fn what_is_no_matcher_is_refused(backend: Backend) {
    let hub = Hub::start(backend, "1", &directives(""));
    let many = "match=a&".repeat(101);
    let long = format!("match={}", "x".repeat(4097));
    for query in [
        "",
        "topic=a",
        "matchExact=a",
        "MATCH=a",
        "match_regexp=a",
        "match=a&matches=b",
        "match=a%0Ab",
        "match=a%7F",
        "match=a%C2%85",
        "match=a%E2%80%8Bb",
        "match=%FF",
        "match_urlpattern=https://e.example/(",
        &many,
        &long,
    ] {
        let answer = hub.get(&format!("{HUB}?{query}"), &[]);
        let shown = &query[..query.len().min(40)];
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
    }
    hub.stream("match=a&other=b", &[]);
}

fn the_answer_names_its_start_by_a_header_of_its_own(backend: Backend) {
    let hub = Hub::start(backend, "1", &directives(""));
    let first = post(&hub, "topic=a&data=1").text().to_owned();
    post(&hub, "topic=a&data=2&id=twice");
    post(&hub, "topic=a&data=3&id=twice");
    let header = "Mercure-Last-Event-ID";
    let mut stream = hub.stream(&format!("match=a&last_event_id={first}"), &[]);
    assert_eq!(stream.head.header(header), Some(first.as_str()));
    assert_eq!(stream.head.header("Last-Event-ID"), None);
    assert_eq!(stream.data(), "2");
    let mut twice = hub.stream("match=a", &["Last-Event-ID: twice"]);
    assert_eq!(twice.head.header(header), Some("twice"));
    assert_eq!(twice.data(), "3", "the earliest of them counts");
    let mut empty = hub.stream("match=a&last_event_id=", &[]);
    assert_eq!(empty.head.header(header), Some("earliest"));
    post(&hub, "topic=a&data=4");
    assert_eq!(empty.data(), "4", "an empty id asks for nothing old");
    let unknown = hub.stream("match=a&last_event_id=unknown", &[]);
    assert_eq!(unknown.head.header(header), Some("earliest"));
    assert_eq!(hub.stream("match=a", &[]).head.header(header), None);
}

fn updates_are_refused_as_the_draft_says(backend: Backend) {
    let hub = Hub::start(backend, "1", &directives(""));
    for form in [
        "data=x",
        "topic=*",
        "topic=/.well-known/mercure",
        "topic=/.well-known/mercure/subscriptions/exact/a/b",
        "topic=https://other.example/.well-known/mercure/x",
        "topic=ftp://other.example/.well-known/mercure",
        "topic=subscriptions/../../.well-known/mercure/x",
        "topic=/.well-known/%256Dercure",
        "topic=/a/%2e%2e/.well-known/mercure",
        "topic=mercure",
        "topic=a%E2%80%8Bb",
        "topic=a%0Ab",
        "topic=a&id=x%E2%80%8B",
        "topic=a&type=x%C2%AD",
        "topic=a&id=%23x",
        "topic=a&id=earliest",
        "topic=a&type=mercure",
        "topic=a&data=%FF",
        "topic=a&retry=1s",
    ] {
        let answer = post(&hub, form);
        assert_eq!(answer.status, 400, "{form}: {}", answer.text());
    }
    let long = format!("topic=a&id={}", "x".repeat(300));
    assert_eq!(post(&hub, &long).status, 413, "a field beyond its bound");
    let answer = post(&hub, "topic=a&topic=b&data=x&unknown=y");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(post(&hub, "topic=https://e.example/x/.well-known/mercure").status, 200);
}

fn errors_are_those_of_rfc_6750(backend: Backend) {
    let hub = Hub::start(backend, "1", &format!("resource_identifier {RESOURCE}"));
    let metadata = "resource_metadata=\"https://hub.example/.well-known/oauth-protected-resource\
                    /.well-known/mercure\"";
    let challenge = |header: &[&str], form: &str| {
        let headers = [&[FORM], header].concat();
        let answer = hub.engine.ask(request("POST", HUB, &headers, form.as_bytes()));
        let challenge = answer.header("WWW-Authenticate").map(str::to_owned);
        (answer.status, challenge.unwrap_or_default())
    };
    let with = |code: &str| format!("Bearer error=\"{code}\", {metadata}");
    assert_eq!(challenge(&[], "topic=a"), (401, format!("Bearer {metadata}")));
    let claims = |aud: &str, exp: &str| {
        let details = detail(r#""publish""#, r#"{"match":"*"}"#);
        format!(r#"{{"aud":"{aud}"{exp},"authorization_details":{details}}}"#)
    };
    let (access_type, far) = (r#"{"alg":"HS256","typ":"at+jwt"}"#, ",\"exp\":4102444800");
    for (header, claims) in [
        (r#"{"alg":"HS256"}"#, claims(RESOURCE, far)),
        (r#"{"alg":"none","typ":"at+jwt"}"#, claims(RESOURCE, far)),
        (access_type, claims("https://other.example/", far)),
        (access_type, claims(RESOURCE, "")),
        (access_type, claims(RESOURCE, ",\"exp\":1")),
        (access_type, claims(RESOURCE, far).replace("\"publish\"", "7")),
        (access_type, claims(RESOURCE, far).replace("*", "a\u{200B}")),
    ] {
        let token = bearer(&sign(header, &claims, KEY));
        assert_eq!(challenge(&[&token], "topic=a"), (401, with("invalid_token")), "{claims}");
    }
    // An action that nobody knows grants nothing, and does no harm.
    let flying = claims(RESOURCE, far).replace("\"publish\"", "\"fly\"");
    let flying = bearer(&sign(access_type, &flying, KEY));
    assert_eq!(challenge(&[&flying], "topic=a"), (403, with("insufficient_scope")));
    let good = bearer(&sign(access_type, &claims(RESOURCE, far), KEY));
    assert_eq!(challenge(&[&good], "topic=a").0, 200);
    let narrow = bearer(&access(&detail(r#""publish""#, r#"{"match":"b"}"#)));
    assert_eq!(challenge(&[&narrow], "topic=a"), (403, with("insufficient_scope")));
    assert_eq!(challenge(&[&narrow], "topic=b&topic=a"), (403, with("insufficient_scope")));
    let reader = bearer(&access(&detail(r#""subscribe""#, r#"{"match":"*"}"#)));
    assert_eq!(challenge(&[&reader], "topic=a"), (403, with("insufficient_scope")));
    assert_eq!(
        challenge(&["Authorization: Basic eDp5"], "topic=a"),
        (400, with("invalid_request"))
    );
    let cookie = format!("Cookie: __Secure-mercure_access_token={}", access_all());
    assert_eq!(challenge(&[&cookie], "topic=a"), (400, with("invalid_request")));
    // A token of the other version is none here, and neither is one in the query.
    assert_eq!(challenge(&[&bearer(&all())], "topic=a"), (401, with("invalid_token")));
    let query = format!("{HUB}?match=a&authorization={}", access_all());
    assert_eq!(hub.get(&query, &[]).status, 401);
}

fn private_updates_need_the_subscribe_action(backend: Backend) {
    let hub = Hub::start(backend, "1", &directives(""));
    let pattern = r#"{"match":"https://e.example/:id","match_type":"urlpattern"}"#;
    let may = bearer(&access(&detail(r#""subscribe""#, pattern)));
    let may_not = bearer(&access(&detail(r#""publish""#, pattern)));
    let cookie = format!(
        "Cookie: __Secure-mercure_access_token={}",
        access(&detail(r#""subscribe""#, pattern))
    );
    let mut streams = [&may, &cookie, &may_not].map(|header| hub.stream("match=*", &[header]));
    post(&hub, "topic=https://e.example/1&data=secret&private=");
    post(&hub, "topic=https://e.example/1/2&data=other&private=on");
    post(&hub, "topic=end&data=end");
    let [may, cookie, may_not] = &mut streams;
    assert_eq!([may.data(), may.data()], ["secret", "end"]);
    assert_eq!([cookie.data(), cookie.data()], ["secret", "end"]);
    assert_eq!(may_not.data(), "end");
}

fn subscriptions_have_paths_with_their_type(backend: Backend) {
    let hub = Hub::start(backend, "1", &directives("subscriptions"));
    let list = "/.well-known/mercure/subscriptions";
    let header = bearer(&access_all());
    let mut events =
        hub.stream("match_urlpattern=/.well-known/mercure/subscriptions/*", &[&header]);
    let claims = detail(r#""subscribe""#, r#"{"match":"a b"}"#)
        .replace("\"actions\"", "\"payload\":{\"x\":1},\"actions\"");
    let _watched = hub.stream("match=a%20b", &[&bearer(&access(&claims))]);
    let json = loop {
        let (event, data, _) = events.event();
        assert_eq!(event, "mercure");
        let json: Value = serde_json::from_str(&data).expect("JSON");
        if json["match"] == "a b" {
            break json;
        }
    };
    let subscriber = json["subscriber"].as_str().expect("a subscriber").replace(':', "%3A");
    assert_eq!(json["id"], format!("{list}/exact/a%20b/{subscriber}"));
    assert_eq!((&json["type"], &json["match_type"]), (&"subscription".into(), &"exact".into()));
    assert_eq!((&json["@context"], &json["active"]), (&Value::Null, &true.into()));
    assert_eq!(json["payload"]["x"], 1);
    let answer = hub.get(&format!("{list}/exact/a%20b"), &[&header]);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    let link = answer.header("Link").expect("a cursor");
    assert!(
        link.starts_with("</.well-known/mercure>; rel=\"mercure\"; last-event-id=\""),
        "{link}"
    );
    let collection: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(collection["type"], "subscriptions");
    assert_eq!(collection["subscriptions"][0]["id"], json["id"]);
    let one = hub.get(json["id"].as_str().expect("a path"), &[&header]);
    assert_eq!(one.status, 200);
    let narrow = bearer(&access(&detail(r#""subscribe""#, r#"{"match":"b"}"#)));
    assert_eq!(hub.get(list, &[&narrow]).status, 403);
    assert_eq!(hub.get(list, &[]).status, 401);
}

fn metadata_says_how_to_get_in(backend: Backend) {
    let hub = Hub::start(backend, "1", &directives("subscriptions"));
    let target = "/.well-known/oauth-protected-resource/.well-known/mercure";
    let json = hub.get(target, &[]).json();
    assert_eq!(json["resource"], RESOURCE);
    assert_eq!(json["bearer_methods_supported"], serde_json::json!(["header"]));
    assert_eq!(json["mercure_cookie"], "__Secure-mercure_access_token");
    let old = Hub::start(backend, "8", "anonymous");
    assert_eq!(old.get(target, &[]).status, 404);
}

fn only_public_urls_are_served(backend: Backend) {
    let hub = Hub::start(backend, "1", "anonymous\npublic_urls https://hub.example");
    assert_eq!(hub.get(&format!("{HUB}?match=a"), &[]).status, 421);
    let mut wire = hub.engine.connect();
    wire.send(format!("GET {HUB}?match=a HTTP/1.1\r\nHost: HUB.example\r\n\r\n"));
    assert_eq!(wire.head().status, 200);
    let mut wire = hub.engine.connect();
    wire.send(format!("GET {HUB}?match=a HTTP/1.1\r\nHost: hub.example:443\r\n\r\n"));
    assert_eq!(wire.head().status, 200, "the scheme's own port");
    // The audience is the URL of that name.
    let mut wire = hub.engine.connect();
    let header = bearer(&access_all());
    wire.send(format!("GET {HUB}?match=a HTTP/1.1\r\nHost: hub.example\r\n{header}\r\n\r\n"));
    assert_eq!(wire.head().status, 200);
}

fn both_versions_share_one_path(backend: Backend) {
    let hub = Hub::start(backend, "both", &directives("subscriptions"));
    let mut old = hub.stream("topic=https://e.example/%7Bid%7D", &[&bearer(&all())]);
    let mut new = hub.stream("match_urlpattern=https://e.example/:id", &[&bearer(&access_all())]);
    let mut mixed = hub.stream("topic=a&match=https://e.example/1", &[]);
    assert_eq!(hub.post(&all(), "topic=https://e.example/1&data=1&private=on").status, 200);
    assert_eq!(post(&hub, "topic=https://e.example/1&data=2").status, 200);
    assert_eq!([old.data(), old.data()], ["1", "2"]);
    assert_eq!([new.data(), new.data()], ["1", "2"]);
    assert_eq!(mixed.data(), "2");
    // Each is refused in its own way.
    assert_eq!(hub.post(&all(), "topic=/.well-known/mercure/x").status, 403);
    assert_eq!(post(&hub, "topic=/.well-known/mercure/x").status, 400);
    assert_eq!(hub.get(HUB, &[]).text(), "Missing \"topic\" parameter.\n");
    let list = "/.well-known/mercure/subscriptions";
    let types = |token: &str| {
        let answer = hub.get(list, &[&bearer(token)]);
        answer.header("Content-Type").map(str::to_owned)
    };
    assert_eq!(types(&all()).as_deref(), Some("application/ld+json"));
    assert_eq!(types(&access_all()).as_deref(), Some("application/json"));
}
