//! Keys of the hub: key sets by URL and by file, issuers, and what SIGHUP reads again.

use std::sync::{Arc, Mutex};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::harness::engine::run_to_end_with;
use crate::harness::issuer::{pair, serve_keys};
use crate::harness::wire::request;
use crate::harness::{Backend, Engine, on_both_backends};
use crate::rig::{FAR, FORM, HUB, KEY, RESOURCE, bearer, sign};

on_both_backends![
    a_key_set_by_url_is_fetched_again_when_a_new_key_is_met,
    a_key_set_may_stand_in_a_file,
    an_issuers_keys_are_for_its_own_tokens,
    the_issuer_of_the_environment_is_asked_of_tokens_of_version_1,
    keys_of_directives_are_read_again_at_sighup,
    keys_of_variables_files_are_read_again_at_sighup,
    a_stream_stays_when_keys_change,
];

const OTHER: &str = "another secret, which is long enough too";

/// A token of protocol 8 that may do everything.
fn v0(key: &EncodingKey, kid: &str) -> String {
    let claims = json!({ "exp": FAR, "mercure": { "publish": ["*"], "subscribe": ["*"] } });
    let header = Header { kid: Some(kid.into()), ..Header::new(Algorithm::ES256) };
    encode(&header, &claims, key).expect("it can be signed")
}

/// A token of version 1 of this issuer that may do everything.
fn v1(issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": RESOURCE, "exp": FAR,
        "authorization_details": [{
            "type": "https://mercure.rocks/authorization-detail",
            "actions": ["publish", "subscribe"],
            "topics": [{ "match": "*" }],
        }],
    })
}

fn signed(claims: &Value, key: &str) -> String {
    sign(r#"{"alg":"HS256","typ":"at+jwt"}"#, &claims.to_string(), key)
}

fn v0_by(secret: &str) -> String {
    sign(r#"{"alg":"HS256"}"#, r#"{"mercure":{"publish":["*"],"subscribe":["*"]}}"#, secret)
}

fn post(engine: &Engine, token: &str) -> u16 {
    engine.ask(request("POST", HUB, &[FORM, &bearer(token)], b"topic=t&data=x")).status
}

/// An engine with directives in a file, which can be changed.
fn start(backend: Backend, which: &str, directives: &str) -> (Engine, NamedTempFile) {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), directives).expect("room on the disk");
    let path = file.path().to_str().expect("UTF-8").to_owned();
    let engine = Engine::start(backend, &["--mercure", which, "--mercure-file", &path]);
    (engine, file)
}

fn a_key_set_by_url_is_fetched_again_when_a_new_key_is_met(backend: Backend) {
    let (first, second) = (pair("first"), pair("second"));
    let served = Arc::new(Mutex::new(json!({ "keys": [first.1] }).to_string()));
    let url = serve_keys(Arc::clone(&served));
    let directives = format!("publisher_jwks_url {url}\nsubscriber_jwks_url {url}");
    let (engine, _file) = start(backend, "8", &directives);
    assert_eq!(post(&engine, &v0(&first.0, "first")), 200);
    *served.lock().expect("nobody panics") = json!({ "keys": [second.1] }).to_string();
    assert_eq!(post(&engine, &v0(&second.0, "second")), 200, "it waits for the keys");
    assert_eq!(post(&engine, &v0(&first.0, "first")), 401, "the old key is gone");
    let header = bearer(&v0(&second.0, "second"));
    let mut wire = engine.connect();
    wire.send(request("GET", &format!("{HUB}?topic=t"), &[&header], b""));
    assert_eq!(wire.head().status, 200, "subscribers have keys of their own");
    // A secret in a set that anybody can read is nobody's.
    let secret = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "kid": "first" }] });
    *served.lock().expect("nobody panics") = secret.to_string();
    assert_eq!(post(&engine, &v0(&second.0, "second")), 200);
}

fn a_key_set_may_stand_in_a_file(backend: Backend) {
    let (first, second) = (pair("first"), pair("second"));
    let keys = NamedTempFile::new().expect("a file");
    let write = |jwk: &Value| {
        let set = json!({ "keys": [jwk] }).to_string();
        std::fs::write(keys.path(), set).expect("room on the disk");
    };
    write(&first.1);
    let directives = format!("publisher_jwks_url file://{}\nanonymous", keys.path().display());
    let (mut engine, _file) = start(backend, "8", &directives);
    assert_eq!(post(&engine, &v0(&first.0, "first")), 200);
    assert_eq!(post(&engine, &v0(&second.0, "second")), 401);
    write(&second.1);
    engine.signal(Signal::HUP);
    engine.line("the keys were read again");
    while post(&engine, &v0(&second.0, "second")) != 200 {}
    assert_eq!(post(&engine, &v0(&first.0, "first")), 401);
}

fn an_issuers_keys_are_for_its_own_tokens(backend: Backend) {
    let (key, jwk) = pair("b");
    let served = Arc::new(Mutex::new(json!({ "keys": [jwk] }).to_string()));
    let url = serve_keys(served);
    let directives = format!(
        "anonymous\nresource_identifier {RESOURCE}\n\
         issuer https://a.example {{\n publisher {{\n jwt \"{KEY}\" HS256\n }}\n}}\n\
         issuer https://b.example {{\n authorization_server\n publisher {{\n jwks_uri {url} ES256\n }}\n}}"
    );
    let (engine, _file) = start(backend, "1", &directives);
    let by_b = |issuer: &str| {
        let header = Header {
            kid: Some("b".into()),
            typ: Some("at+jwt".into()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, &v1(issuer), &key).expect("it can be signed")
    };
    assert_eq!(post(&engine, &signed(&v1("https://a.example"), KEY)), 200);
    assert_eq!(post(&engine, &by_b("https://b.example")), 200);
    assert_eq!(post(&engine, &signed(&v1("https://b.example"), KEY)), 401, "not its key");
    assert_eq!(post(&engine, &by_b("https://a.example")), 401, "not its key");
    assert_eq!(post(&engine, &signed(&v1("https://c.example"), KEY)), 401);
    let target = "/.well-known/oauth-protected-resource/.well-known/mercure";
    let metadata = engine.ask(request("GET", target, &[], b"")).json();
    assert_eq!(metadata["authorization_servers"], json!(["https://b.example"]));
}

fn the_issuer_of_the_environment_is_asked_of_tokens_of_version_1(backend: Backend) {
    let variables = [
        ("MERCURE_PUBLISHER_JWT_KEY", KEY),
        ("MERCURE_SUBSCRIBER_JWT_KEY", KEY),
        ("MERCURE_TRUSTED_ISSUERS", "https://id.example"),
        ("MERCURE_RESOURCE_IDENTIFIER", RESOURCE),
    ];
    let engine = Engine::start_with_variables(backend, &[], &variables);
    assert_eq!(post(&engine, &signed(&v1("https://id.example"), KEY)), 200);
    assert_eq!(post(&engine, &signed(&v1("https://other.example"), KEY)), 401);
    assert_eq!(post(&engine, &v0_by(KEY)), 200, "version 0 is spoken as well");
    let jwks = [("MERCURE_ISSUER_MODE", "jwks"), ("MERCURE_TRUSTED_ISSUERS", "https://id.example")];
    let (status, output) = run_to_end_with(&["serve", "--backend", backend.name()], &jwks);
    assert_eq!(status.code(), Some(2));
    assert!(output.contains("MERCURE_PUBLISHER_JWKS_URI"), "{output}");
}

fn keys_of_directives_are_read_again_at_sighup(backend: Backend) {
    let with = |key: &str| format!("anonymous\npublisher_jwt \"{key}\" HS256");
    let (mut engine, file) = start(backend, "8", &with(KEY));
    let write = |text: &str| std::fs::write(file.path(), text).expect("room on the disk");
    assert_eq!((post(&engine, &v0_by(KEY)), post(&engine, &v0_by(OTHER))), (200, 401));
    write(&with(OTHER));
    engine.signal(Signal::HUP);
    engine.line("the keys were read again");
    while post(&engine, &v0_by(OTHER)) != 200 {}
    assert_eq!(post(&engine, &v0_by(KEY)), 401, "the old key ends");
    for (text, said) in [
        ("anonymous\nanonimous", "nobody knows this directive"),
        ("anonymous", "MERCURE_PUBLISHER_JWT_KEY"),
        ("anonymous\npublisher_jwks_url http://127.0.0.1:1/keys", "needs a restart"),
    ] {
        write(text);
        engine.signal(Signal::HUP);
        assert!(engine.line(said).contains("nothing was changed"), "{text}");
        assert_eq!(post(&engine, &v0_by(OTHER)), 200, "{text}");
    }
}

fn keys_of_variables_files_are_read_again_at_sighup(backend: Backend) {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{KEY}\n")).expect("room on the disk");
    let path = file.path().to_str().expect("UTF-8");
    let variables =
        [("MERCURE_PUBLISHER_JWT_KEY_FILE", path), ("MERCURE_EXTRA_DIRECTIVES", "anonymous")];
    let mut engine = Engine::start_with_variables(backend, &[], &variables);
    assert_eq!((post(&engine, &v0_by(KEY)), post(&engine, &v0_by(OTHER))), (200, 401));
    std::fs::write(file.path(), OTHER).expect("room on the disk");
    engine.signal(Signal::HUP);
    engine.line("the keys were read again");
    while post(&engine, &v0_by(OTHER)) != 200 {}
    assert_eq!(post(&engine, &v0_by(KEY)), 401);
}

fn a_stream_stays_when_keys_change(backend: Backend) {
    let with = |key: &str| format!("publisher_jwt \"{key}\"\nsubscriber_jwt \"{key}\"");
    let (mut engine, file) = start(backend, "8", &with(KEY));
    let mut wire = engine.connect();
    wire.send(request("GET", &format!("{HUB}?topic=t"), &[&bearer(&v0_by(KEY))], b""));
    let mut stream = crate::rig::Stream::open(wire);
    std::fs::write(file.path(), with(OTHER)).expect("room on the disk");
    engine.signal(Signal::HUP);
    engine.line("the keys were read again");
    while post(&engine, &v0_by(OTHER)) != 200 {}
    assert_eq!(stream.data(), "x");
}
