//! Tokens: who may publish and subscribe by them, where they may stand, and when they end.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::harness::engine::run_to_end;
use crate::harness::issuer::{pair, serve_keys};
use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Stream, on_both_backends};

on_both_backends![
    a_token_publishes_to_what_it_grants_and_to_nothing_else,
    a_stream_needs_a_token_that_grants_all_its_topics,
    streams_are_open_where_tokens_are_for_publishers_only,
    a_stream_ends_with_its_token_and_says_so,
    a_stream_that_is_behind_ends_with_its_token_as_well,
    tokens_stand_in_the_header_unless_more_is_allowed,
    a_cookie_publishes_only_for_pages_that_may,
    a_key_that_is_new_is_fetched_when_it_is_first_met,
    keys_of_files_are_read_again_at_sighup,
    one_token_has_so_many_streams_and_no_more,
];

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn key_file(key: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    writeln!(file, "{key}").expect("room on the disk");
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("UTF-8")
}

fn signed(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims can be signed")
}

/// A token for these topics, good for ten minutes.
fn token(publish: &[&str], subscribe: &[&str]) -> String {
    let mercure = json!({ "publish": publish, "subscribe": subscribe });
    signed(&json!({ "exp": now() + 600, "mercure": mercure }), SECRET)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn a_token_publishes_to_what_it_grants_and_to_nothing_else(backend: Backend) {
    let file = key_file(SECRET);
    let engine = Engine::start(backend, &["--token-key-file", path(&file)]);
    let mut stream = engine.stream("/events?topic=a&topic=rooms/7", &[]);
    let token = token(&["a", "rooms/{id}"], &[]);
    let header = bearer(&token);
    let post = |target: &str, kind: &str, body: &str| {
        let kind = format!("Content-Type: {kind}");
        engine.ask(request("POST", target, &[&header, &kind], body.as_bytes()))
    };
    assert_eq!(post("/events/a", "text/plain", "1").status, 200);
    assert_eq!(post("/events/rooms/7", "text/plain", "2").status, 200);
    post("/events/b", "text/plain", "x").problem(403);
    post("/events/rooms/7/8", "text/plain", "x").problem(403);
    let json = "application/json";
    let both = r#"[{"topic":"a","data":"3"},{"topic":"rooms/7","data":"4"}]"#;
    assert_eq!(post("/events", json, both).status, 200);
    let mixed = r#"[{"topic":"a","data":"x"},{"topic":"b","data":"x"}]"#;
    post("/events", json, mixed).problem(403);
    let lines = "{\"topic\":\"a\",\"data\":\"5\"}\n{\"topic\":\"b\",\"data\":\"x\"}\n";
    let problem = post("/events", "application/x-ndjson", lines).problem(403);
    assert_eq!(problem["accepted"], 1);
    assert!(problem["detail"].as_str().expect("a detail").starts_with("line 2"), "{problem}");
    assert_eq!(stream.data(5), ["1", "2", "3", "4", "5"]);
    for bad in [
        String::new(),
        bearer("nonsense"),
        bearer(&token[..token.len() - 2]),
        bearer(&signed(&json!({ "exp": now() + 60, "mercure": { "publish": ["*"] } }), OTHER)),
        bearer(&signed(&json!({ "exp": now() - 1, "mercure": { "publish": ["*"] } }), SECRET)),
        bearer(&signed(&json!({ "exp": "4102444800", "mercure": { "publish": ["*"] } }), SECRET)),
        bearer(&signed(&json!({ "mercure": { "publish": ["*"] } }), SECRET)),
        format!("{header}\r\n{header}"),
    ] {
        let headers: &[&str] = if bad.is_empty() { &[] } else { &[&bad] };
        let response = engine.ask(request("POST", "/events/a", headers, b"x"));
        response.problem(401);
        assert!(response.header("WWW-Authenticate").is_some_and(|v| v.starts_with("Bearer")));
    }
    assert!(!engine.printed().contains(&token[..20]), "a token is never printed");
}

fn a_stream_needs_a_token_that_grants_all_its_topics(backend: Backend) {
    let file = key_file(SECRET);
    let flags = ["--token-key-file", path(&file), "--subscribe", "token"];
    let engine = Engine::start(backend, &flags);
    let header = bearer(&token(&["*"], &["a", "b"]));
    let mut stream = engine.stream("/events?topic=a&topic=b", &[&header]);
    let ask = |target: &str, headers: &[&str]| engine.ask(request("GET", target, headers, b""));
    ask("/events/a", &[]).problem(401);
    ask("/events/a", &[&bearer("x.y.z")]).problem(401);
    ask("/events/c", &[&header]).problem(403);
    ask("/events?topic=a&topic=c", &[&header]).problem(403);
    let nothing = bearer(&token(&["*"], &[]));
    ask("/events/a", &[&nothing]).problem(403);
    let mut wire = engine.connect();
    wire.send(request("HEAD", "/events/c", &[&header], b""));
    assert_eq!(wire.head().status, 403);
    let answer = engine.ask(request("POST", "/events/b", &[&header], b"granted"));
    assert_eq!(answer.status, 200);
    assert_eq!(stream.event().data, "granted");
}

fn streams_are_open_where_tokens_are_for_publishers_only(backend: Backend) {
    let file = key_file(SECRET);
    let engine = Engine::start(backend, &["--token-key-file", path(&file)]);
    let mut stream = engine.subscribe("t");
    let mut other = engine.stream("/events/t", &[&bearer(&token(&[], &[]))]);
    let header = bearer(&token(&["t"], &[]));
    assert_eq!(engine.ask(request("POST", "/events/t", &[&header], b"x")).status, 200);
    assert_eq!((stream.event().data, other.event().data), ("x".into(), "x".into()));
    // Who shows a token means to be known by it.
    engine.ask(request("GET", "/events/t", &[&bearer("x.y.z")], b"")).problem(401);
}

/// A stream whose token ends in two seconds at most.
fn short_lived(engine: &Engine, topic: &str) -> Stream {
    let claims = json!({ "exp": now() + 2, "mercure": { "subscribe": ["*"] } });
    engine.stream(&format!("/events/{topic}"), &[&bearer(&signed(&claims, SECRET))])
}

fn a_stream_ends_with_its_token_and_says_so(backend: Backend) {
    let file = key_file(SECRET);
    let engine = Engine::start(backend, &["--token-key-file", path(&file), "--workers", "1"]);
    let mut other = engine.stream("/events/t", &[&bearer(&token(&[], &["t"]))]);
    let mut streams: Vec<Stream> = (0..20).map(|_| short_lived(&engine, "t")).collect();
    let header = bearer(&token(&["t"], &[]));
    assert_eq!(engine.ask(request("POST", "/events/t", &[&header], b"before")).status, 200);
    for stream in &mut streams {
        let rest = stream.rest();
        let [event, last] = rest.as_slice() else { panic!("{rest:?}") };
        assert_eq!((event.data.as_str(), last.event.as_str()), ("before", "token_expired"));
        assert_eq!(last.id, event.id, "the last word moves no cursor");
    }
    engine.await_closed("expired", 20);
    assert_eq!(engine.ask(request("POST", "/events/t", &[&header], b"after")).status, 200);
    assert_eq!(other.data(2), ["before", "after"], "others stay");
}

fn a_stream_that_is_behind_ends_with_its_token_as_well(backend: Backend) {
    let file = key_file(SECRET);
    let engine = Engine::start(backend, &["--token-key-file", path(&file), "--workers", "1"]);
    // It reads nothing, so its socket is full long before its end.
    let stalled = short_lived(&engine, "t");
    let header = bearer(&token(&["t"], &[]));
    let large = vec![b'x'; 512 << 10];
    for _ in 0..20 {
        assert_eq!(engine.ask(request("POST", "/events/t", &[&header], &large)).status, 200);
    }
    engine.await_closed("expired", 1);
    drop(stalled);
}

fn tokens_stand_in_the_header_unless_more_is_allowed(backend: Backend) {
    let file = key_file(SECRET);
    let token = token(&[], &["t"]);
    let needed = ["--token-key-file", path(&file), "--subscribe", "token"];
    let (in_query, cookie) =
        (format!("/events/t?access_token={token}"), format!("Cookie: a=b; token={token}"));
    let strict = Engine::start(backend, &needed);
    strict.ask(request("GET", &in_query, &[], b"")).problem(401);
    strict.ask(request("GET", "/events/t", &[&cookie], b"")).problem(401);
    let lax = [&needed[..], &["--token-query", "--token-cookie", "token"]].concat();
    let lax = Engine::start(backend, &lax);
    lax.stream(&in_query, &[]);
    lax.stream("/events/t", &[&cookie]);
    lax.ask(request("GET", &in_query, &[&bearer("x.y.z")], b"")).problem(401);
    let twice = format!("{in_query}&access_token={token}");
    lax.ask(request("GET", &twice, &[], b"")).problem(401);
    assert!(!lax.printed().contains(&token[..20]), "a token is never printed");
}

fn a_cookie_publishes_only_for_pages_that_may(backend: Backend) {
    let file = key_file(SECRET);
    let page = "https://app.example";
    let flags = ["--token-key-file", path(&file), "--token-cookie", "token", "--cors-origin", page];
    let engine = Engine::start(backend, &flags);
    let cookie = format!("Cookie: token={}", token(&["t"], &[]));
    let post = |headers: &[&str]| {
        let headers = [&[cookie.as_str()], headers].concat();
        engine.ask(request("POST", "/events/t", &headers, b"x")).status
    };
    assert_eq!(post(&[&format!("Origin: {page}")]), 200);
    assert_eq!(post(&["Origin: http://localhost"]), 200, "its own");
    for origin in ["https://evil.example", "null", "https://app.example.evil", "http://app.example"]
    {
        assert_eq!(post(&[&format!("Origin: {origin}")]), 403, "{origin}");
    }
    assert_eq!(post(&[]), 403, "no origin");
}

fn a_key_that_is_new_is_fetched_when_it_is_first_met(backend: Backend) {
    let (first, second) = (pair("first"), pair("second"));
    let served = Arc::new(Mutex::new(json!({ "keys": [first.1] }).to_string()));
    let url = serve_keys(Arc::clone(&served));
    let engine = Engine::start(backend, &["--token-jwks", &url]);
    let post = |key: &EncodingKey, kid: &str| {
        let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::ES256) };
        let claims = json!({ "exp": now() + 60, "mercure": { "publish": ["t"] } });
        let token = encode(&header, &claims, key).expect("it can be signed");
        engine.ask(request("POST", "/events/t", &[&bearer(&token)], b"x")).status
    };
    assert_eq!(post(&first.0, "first"), 200);
    *served.lock().expect("nobody panics") = json!({ "keys": [second.1] }).to_string();
    assert_eq!(post(&second.0, "second"), 200, "it waits for the keys");
    assert_eq!(post(&first.0, "first"), 401, "the old key is gone");
    // The next one that is new waits for the next time: whoever makes up names costs nobody much.
    served.lock().expect("nobody panics").clear();
    assert_eq!(post(&first.0, "third"), 401);
    assert_eq!(post(&second.0, "second"), 200, "what was fetched stays");
}

fn keys_of_files_are_read_again_at_sighup(backend: Backend) {
    let file = key_file(SECRET);
    let mut engine = Engine::start(backend, &["--token-key-file", path(&file)]);
    let post = |engine: &Engine, secret: &str| {
        let claims = json!({ "exp": now() + 60, "mercure": { "publish": ["t"] } });
        let header = bearer(&signed(&claims, secret));
        engine.ask(request("POST", "/events/t", &[&header], b"x")).status
    };
    assert_eq!((post(&engine, SECRET), post(&engine, OTHER)), (200, 401));
    std::fs::write(file.path(), OTHER).expect("room on the disk");
    engine.signal(Signal::HUP);
    engine.line("SIGHUP");
    while post(&engine, OTHER) != 200 {}
    std::fs::write(file.path(), "short").expect("room on the disk");
    engine.signal(Signal::HUP);
    assert!(engine.line("nothing was changed").contains("at least 32 bytes"));
    assert_eq!(post(&engine, OTHER), 200);
}

fn one_token_has_so_many_streams_and_no_more(backend: Backend) {
    let file = key_file(SECRET);
    let flags = ["--token-key-file", path(&file), "--streams-per-token-max", "2"];
    let engine = Engine::start(backend, &flags);
    let (one, other) = (bearer(&token(&[], &["a"])), bearer(&token(&[], &["b"])));
    let first = engine.stream("/events/t", &[&one]);
    let mut second = engine.stream("/events/t", &[&one]);
    engine.await_subscribers(2);
    let mut third = engine.connect();
    third.send(request("GET", "/events/t", &[&one], b""));
    let (said, _) = third.take_all();
    let said = String::from_utf8(said).expect("a stream is UTF-8");
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("\nretry: "), "{said}");
    engine.await_closed("token_max", 1);
    let _other = engine.stream("/events/t", &[&other]);
    let _open = engine.subscribe("t");
    drop(first);
    engine.await_subscribers(3);
    let mut again = engine.stream("/events/t", &[&one]);
    let publish = bearer(&token(&["t"], &[]));
    assert_eq!(engine.ask(request("POST", "/events/t", &[&publish], b"x")).status, 200);
    assert_eq!((second.event().data, again.event().data), ("x".into(), "x".into()));
}

#[test]
fn what_cannot_hold_is_refused_at_the_start() {
    let public = NamedTempFile::new().expect("a file");
    std::fs::write(public.path(), "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n")
        .expect("room on the disk");
    for (flags, said) in [
        (&["--subscribe", "token"][..], "--token-key-file"),
        (&["--token-issuer", "a"], "--token-key-file"),
        (&["--token-query"], "--token-key-file"),
        (&["--token-jwks", "http://id.example/keys"], "https"),
        (&["--token-algorithm", "none", "--token-key-file", "k"], "HS256"),
        (&["--token-key-file", "/nonexistent/key"], "/nonexistent/key"),
        (&["--token-key-file", path(&public)], "private key"),
        (&["--token-key-file", "k", "--publish-open"], "--publish-open"),
    ] {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--admin", "off"], flags].concat();
        let (good, printed) = run_to_end(&arguments);
        assert!(!good && printed.contains(said), "{flags:?}: {printed}");
    }
}
