//! The subscription API and subscription events.

use serde_json::{Value, json};

use crate::harness::wire::request;
use crate::harness::{Backend, on_both_backends};
use crate::rig::{Hub, all, bearer, token};

on_both_backends![
    a_subscription_is_told_when_it_begins_and_when_it_ends,
    the_collections_and_each_subscription_can_be_asked_for,
    the_token_must_cover_the_path,
    an_unchanged_collection_is_304,
    payloads_are_shown_as_the_token_has_them,
    without_the_directive_there_is_nothing,
];

const ON: &str = "anonymous\nsubscriptions";
const LIST: &str = "/.well-known/mercure/subscriptions";

fn events(hub: &Hub) -> crate::rig::Stream {
    let template = "topic=/.well-known/mercure/subscriptions/%7Btopic%7D%7B/subscriber%7D";
    let claim =
        token(r#"{"subscribe":["/.well-known/mercure/subscriptions/{topic}{/subscriber}"]}"#);
    hub.stream(template, &[&bearer(&claim)])
}

/// The next event about the subscription to `topic`.
#[track_caller]
fn about(stream: &mut crate::rig::Stream, topic: &str) -> (String, Value) {
    loop {
        let (event, data, _) = stream.event();
        let json: Value = serde_json::from_str(&data).expect("JSON");
        if json["topic"] == topic {
            assert_eq!(event, "message");
            return (data, json);
        }
    }
}

fn a_subscription_is_told_when_it_begins_and_when_it_ends(backend: Backend) {
    let hub = Hub::start(backend, "8", ON);
    // What is encoded as a plus is in no template's reach, as it is with the reference.
    let mut stream = hub.stream("topic=*", &[&bearer(&all())]);
    let watched = hub.stream("topic=https://e.example/a%20b%2Fc&topic=d", &[]);
    let (data, begun) = about(&mut stream, "https://e.example/a b/c");
    let subscriber = begun["subscriber"].as_str().expect("a subscriber").to_owned();
    let escaped = subscriber.replace(':', "%3A");
    let path = format!("{LIST}/https%3A%2F%2Fe.example%2Fa+b%2Fc/{escaped}");
    assert_eq!(
        data,
        format!(
            "{{\n  \"@context\": \"https://mercure.rocks/\",\n  \"id\": \"{path}\",\n  \
             \"type\": \"Subscription\",\n  \"subscriber\": \"{subscriber}\",\n  \
             \"topic\": \"https://e.example/a b/c\",\n  \"active\": true\n}}"
        )
    );
    let (_, other) = about(&mut stream, "d");
    assert_eq!(other["subscriber"], subscriber.as_str(), "one subscriber, two subscriptions");
    drop(watched);
    let (ended, _) = about(&mut stream, "https://e.example/a b/c");
    assert_eq!(ended, data.replace("\"active\": true", "\"active\": false"));
    assert_eq!(about(&mut stream, "d").1["active"], false);
    // They are private: who has no right to them sees none.
    let mut nobody = hub.stream("topic=*&lastEventID=earliest", &[]);
    hub.publish("topic=last&data=end");
    assert_eq!(nobody.data(), "end");
}

fn the_collections_and_each_subscription_can_be_asked_for(backend: Backend) {
    let hub = Hub::start(backend, "8", ON);
    let header = bearer(&all());
    // Before the first event there is no id.
    hub.publish("topic=first&data=x");
    let first = hub.stream("topic=https://e.example/%7Bid%7D&topic=b", &[]);
    let _second = hub.stream("topic=b", &[]);
    let get = |path: &str| hub.get(path, &[&header]);
    let list = |path: &str| -> Value {
        let answer = get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("Content-Type"), Some("application/ld+json"));
        serde_json::from_slice(&answer.body).expect("JSON")
    };
    let all = list(LIST);
    assert_eq!(all["@context"], "https://mercure.rocks/");
    assert_eq!((&all["id"], &all["type"]), (&json!(LIST), &json!("Subscriptions")));
    assert!(all["lastEventID"].as_str().expect("an id").starts_with("urn:uuid:"));
    assert_eq!(all["subscriptions"].as_array().expect("a list").len(), 3);
    let path = format!("{LIST}/https%3A%2F%2Fe.example%2F%7Bid%7D");
    let of_topic = list(&path);
    assert_eq!(of_topic["id"], path.as_str());
    let one = &of_topic["subscriptions"][0];
    assert_eq!(one["topic"], "https://e.example/{id}");
    assert_eq!(one["@context"], Value::Null, "the collection has it");
    let answer = list(one["id"].as_str().expect("a path"));
    assert_eq!(answer["subscriber"], one["subscriber"]);
    assert_eq!(answer["@context"], "https://mercure.rocks/");
    assert_eq!(list(&format!("{LIST}/b"))["subscriptions"].as_array().unwrap().len(), 2);
    assert_eq!(list(&format!("{LIST}/nobody"))["subscriptions"], json!([]));
    for path in [format!("{LIST}/b/nobody"), format!("{LIST}/b/c/d"), format!("{LIST}/%zz")] {
        let answer = get(&path);
        assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"), "{path}");
    }
    let id = one["id"].as_str().unwrap().to_owned();
    drop(first);
    hub.engine.await_subscribers(1);
    while get(&id).status != 404 {
        assert!(std::time::Instant::now() < hub.engine.deadline, "it stays listed");
    }
}

fn the_token_must_cover_the_path(backend: Backend) {
    let hub = Hub::start(backend, "8", ON);
    let status = |claim: &str, path: &str| hub.get(path, &[&bearer(&token(claim))]).status;
    assert_eq!(hub.get(LIST, &[]).status, 401);
    assert_eq!(status(r#"{"subscribe":["*"]}"#, LIST), 200);
    let exact = format!(r#"{{"subscribe":["{LIST}"]}}"#);
    assert_eq!(status(&exact, LIST), 200);
    assert_eq!(status(&exact, &format!("{LIST}/a")), 401);
    let template = format!(r#"{{"subscribe":["{LIST}{{/topic}}"]}}"#);
    assert_eq!(status(&template, &format!("{LIST}/a")), 200);
    assert_eq!(status(&template, &format!("{LIST}/a/b")), 401);
    assert_eq!(status(r#"{"publish":["*"]}"#, LIST), 401);
    let answer = hub.engine.ask(request("POST", LIST, &[&bearer(&all())], b""));
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, OPTIONS")));
}

fn an_unchanged_collection_is_304(backend: Backend) {
    let hub = Hub::start(backend, "8", ON);
    let header = bearer(&all());
    hub.publish("topic=a&data=1");
    let first = hub.get(LIST, &[&header]);
    let tag = first.header("ETag").expect("a validator").to_owned();
    let json: Value = serde_json::from_slice(&first.body).expect("JSON");
    assert_eq!(tag, format!("\"{}\"", json["lastEventID"].as_str().expect("an id")));
    let condition = format!("If-None-Match: {tag}");
    let mut wire = hub.engine.connect();
    wire.send(request("GET", LIST, &[&header, &condition], b""));
    let head = wire.head();
    assert_eq!((head.status, head.header("ETag")), (304, Some(tag.as_str())));
    assert_eq!(head.header("Content-Length"), None);
    for condition in [format!("If-None-Match: \"x\", W/{tag}"), "If-None-Match: *".into()] {
        wire.send(request("GET", LIST, &[&header, &condition], b""));
        assert_eq!(wire.head().status, 304, "{condition}");
    }
    // Nothing followed: the next answer is the next request's.
    hub.publish("topic=a&data=2");
    wire.send(request("GET", LIST, &[&header, &condition], b""));
    assert_eq!(wire.response().status, 200);
}

fn payloads_are_shown_as_the_token_has_them(backend: Backend) {
    let hub = Hub::start(backend, "8", ON);
    let claim = r#"{"payload":{"user":"<u>","n":[1,2.5,null],"o":{}}}"#;
    let _stream = hub.stream("topic=t", &[&bearer(&token(claim))]);
    let answer = hub.get(LIST, &[&bearer(&all())]);
    let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let payload = &json["subscriptions"][0]["payload"];
    assert_eq!(*payload, json!({"user": "<u>", "n": [1, 2.5, null], "o": {}}));
    assert!(answer.text().contains("\"\\u003cu\\u003e\""), "no page is fooled by it");
}

fn without_the_directive_there_is_nothing(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    assert_eq!(hub.get(LIST, &[&bearer(&all())]).status, 404);
    let _watching = events(&hub);
    let watched = hub.stream("topic=t", &[]);
    drop(watched);
    let form = "topic=/elsewhere&data=x";
    hub.publish(form);
    let mut all = hub.stream("topic=*&lastEventID=earliest", &[&bearer(&all())]);
    assert_eq!(all.data(), "x", "nothing was published before it");
}
