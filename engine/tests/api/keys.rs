//! Who may publish: the publish key, and what happens when it changes.

use std::io::Write;

use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::harness::engine::run_to_end;
use crate::harness::wire::request;
use crate::harness::{Backend, Engine, on_both_backends};

on_both_backends![
    only_publishers_with_the_key_are_heard,
    a_new_key_is_read_at_sighup_and_no_stream_notices,
    a_key_file_that_went_bad_leaves_the_old_key_in_force,
];

const OLD: &str = "0123456789abcdef-old";
const NEW: &str = "0123456789abcdef-new";

fn key_file(key: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    writeln!(file, "{key}").expect("room on the disk");
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("UTF-8")
}

/// The status that a publish with this key gets.
fn publish(engine: &Engine, key: &str) -> u16 {
    let key = format!("Authorization: Bearer {key}");
    engine.ask(request("POST", "/events/t", &[&key], key.as_bytes())).status
}

fn only_publishers_with_the_key_are_heard(backend: Backend) {
    let file = key_file(OLD);
    let engine = Engine::start(backend, &["--publish-key-file", path(&file)]);
    let mut stream = engine.subscribe("t");
    let near_misses = [
        String::new(),
        format!("Authorization: Bearer {NEW}"),
        format!("Authorization: Bearer {OLD}x"),
        format!("Authorization: Bearer {}", &OLD[1..]),
        format!("Authorization: Basic {OLD}"),
        format!("Authorization: {OLD}"),
        "Authorization: Bearer".into(),
        format!("Authorization: Bearer {OLD}\r\nAuthorization: Bearer {OLD}"),
        format!("Cookie: {OLD}"),
    ];
    for header in &near_misses {
        let headers: &[&str] = if header.is_empty() { &[] } else { &[header] };
        for (target, kind) in [
            ("/events/t", "text/plain"),
            ("/events", "application/json"),
            ("/events", "application/x-ndjson"),
        ] {
            let kind = format!("Content-Type: {kind}");
            let headers = [headers, &[&*kind]].concat();
            let body = b"{\"topic\":\"t\",\"data\":\"evil\"}";
            let response = engine.ask(request("POST", target, &headers, body));
            response.problem(401);
            assert!(response.header("WWW-Authenticate").is_some_and(|v| v.starts_with("Bearer")));
        }
        let query = format!("/events/t?key={OLD}");
        assert!(engine.ask(request("POST", &query, headers, b"x")).status >= 400);
    }
    assert_eq!(publish(&engine, OLD), 200);
    assert!(stream.event().data.ends_with(OLD));
    // With a key, names and origins no longer matter: the key cannot be known to a foreign page.
    let header = format!("Authorization: Bearer {OLD}");
    let foreign = format!(
        "POST /events/t HTTP/1.1\r\nHost: events.example\r\n{header}\r\nContent-Length: 1\r\n\r\nx"
    );
    assert_eq!(engine.ask(foreign).status, 200);
    assert!(!engine.printed().contains(OLD), "a key is never printed");
}

fn a_new_key_is_read_at_sighup_and_no_stream_notices(backend: Backend) {
    let file = key_file(OLD);
    let engine = Engine::start(backend, &["--publish-key-file", path(&file)]);
    let mut stream = engine.subscribe("t");
    for (current, next) in [(OLD, NEW), (NEW, OLD), (OLD, NEW)] {
        assert_eq!(publish(&engine, current), 200);
        std::fs::write(file.path(), next).expect("room on the disk");
        assert_eq!(publish(&engine, current), 200, "until it is told, the old one holds");
        engine.signal(Signal::HUP);
        while publish(&engine, next) != 200 {}
        // Each worker has read it; the old one is heard by none of them once all have.
        while (0..16).any(|_| publish(&engine, current) == 200) {}
    }
    assert!(stream.event().data.ends_with(OLD));
    engine.await_subscribers(1);
}

fn a_key_file_that_went_bad_leaves_the_old_key_in_force(backend: Backend) {
    let file = key_file(OLD);
    let mut engine = Engine::start(backend, &["--publish-key-file", path(&file)]);
    std::fs::write(file.path(), "short").expect("room on the disk");
    engine.signal(Signal::HUP);
    engine.line("openssl rand");
    assert_eq!(publish(&engine, OLD), 200);
    assert_eq!(publish(&engine, "short"), 401);
}

#[test]
fn an_address_that_others_reach_needs_a_key_or_an_open_word() {
    let (ok, printed) = run_to_end(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(!ok);
    for word in ["--listen", "0.0.0.0:0", "--publish-key-file", "--publish-open"] {
        assert!(printed.contains(word), "{printed}");
    }
    let file = key_file("short");
    let (ok, printed) = run_to_end(&["serve", "--publish-key-file", path(&file)]);
    assert!(
        !ok && printed.contains("--publish-key-file") && printed.contains("openssl"),
        "{printed}"
    );
    let (ok, printed) = run_to_end(&["serve", "--publish-key-file", "/nowhere/key"]);
    assert!(!ok && printed.contains("/nowhere/key"), "{printed}");
}
