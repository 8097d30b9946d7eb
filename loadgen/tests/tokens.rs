//! Many users, each with a token of its own, against the engine: every subscriber comes with its
//! own line of the file, in every command, and no report tells one.

mod built;
mod scripted;

use std::path::Path;
use std::process::{Command, Output};

use built::engine;
use scripted::own_address;
use serde_json::Value;

/// The secret that signed the tokens below (HS256); they are valid until 2100.
const KEY: &str = "0123456789abcdef0123456789abcdef-downpour-load";

/// {"exp":4102444800,"mercure":{"subscribe":["load-0"]}}, and the same of load-1.
const READERS: [&str; 2] = [
    "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsIm1lcmN1cmUiOnsic3Vic2NyaWJlIjpbImxvYWQtMCJdfX0.q1X30Kv6JDL90FACtNuP-isJJRyzgpraNsVOvq_aKMs",
    "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsIm1lcmN1cmUiOnsic3Vic2NyaWJlIjpbImxvYWQtMSJdfX0.Y7B2Mhltdl97CiRigoLUv2_w4zJ4ihiL5Q67PDhDB48",
];

/// {"exp":4102444800,"mercure":{"publish":["*"]}}
const PUBLISHER: &str = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDAsIm1lcmN1cmUiOnsicHVibGlzaCI6WyIqIl19fQ.K1KtemSOQof23RqK7g6cJGXzGEwwB5lbMCnhEgP2pJY";

/// A command against an engine that asks subscribers for tokens, with these tokens in the file.
fn load(test: u8, command: &str, tokens: &[&str], flags: &str) -> (Output, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room on the disk");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (key, token_file) = (file("key", KEY), file("tokens", &tokens.join("\n")));
    let publisher = file("publisher", &format!("Authorization: Bearer {PUBLISHER}\n"));
    let publishing = (command != "connect").then(|| format!("@{publisher}"));
    let json = folder.path().join("run.json");
    let (address, engine) = (own_address(test), engine());
    let spawn = format!(
        "exec {} --listen {address} --admin off --subscribe token --token-key-file {key} \
         --token-query 2>/dev/null",
        engine.to_str().expect("UTF-8")
    );
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args([command, &format!("http://{address}"), "--spawn", &spawn])
        .args(["--token-file", &token_file, "--json", json.to_str().expect("UTF-8")])
        .args(flags.split_whitespace())
        .args(publishing.iter().flat_map(|field| ["--publish-header", field.as_str()]))
        .env("XDG_STATE_HOME", "/nonexistent")
        .output()
        .expect("the binary under test starts");
    let run = saved(&json);
    for said in [&output.stdout, &output.stderr, &run.to_string().into_bytes()] {
        let said = String::from_utf8_lossy(said);
        let told = tokens.iter().chain([&PUBLISHER]).find(|token| said.contains(**token));
        assert!(told.is_none(), "a token was told: {said}");
    }
    (output, run)
}

fn saved(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

const RUN: &str = "-c 10 --topics 2 --rate 200 --duration 1s --warmup 100ms --settle 200ms \
                   --connect-timeout 2s";

#[test]
fn each_subscriber_comes_with_the_token_of_its_own_topic() {
    let (output, run) = load(0, "run", &READERS, RUN);
    assert_eq!(output.status.code(), Some(0), "{}", run["verdict"]);
    assert_eq!((&run["connect"]["up"], &run["plan"]["tokens"]), (&10.into(), &2.into()));
    assert_eq!((&run["counts"]["lost"], &run["counts"]["unique"]), (&0.into(), &1_000.into()));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("2 tokens"), "{said}");
}

#[test]
fn a_token_of_another_topic_is_turned_away() {
    let [first, second] = READERS;
    let (output, run) = load(1, "run", &[second, first], RUN);
    assert_eq!(output.status.code(), Some(4), "{}", run["verdict"]);
    assert_eq!(run["connect"]["up"], 0);
    assert!(run["connect"]["errors"].to_string().contains("403"), "{}", run["connect"]);
}

#[test]
fn connects_are_measured_with_tokens_too() {
    let flags = "-c 10 --topics 2 --duration 500ms --warmup 0 --connect-timeout 2s";
    let (output, run) = load(2, "connect", &READERS, flags);
    assert_eq!((output.status.code(), &run["connect"]["up"]), (Some(0), &10.into()));
}

#[test]
fn a_storm_comes_back_with_the_tokens_that_it_went_with() {
    let topic = "--topic load-0 -c 10 --rate 200 --waves 2 --within 600 --pause 100ms --back now";
    let (output, run) = load(3, "storm", &READERS[..1], topic);
    assert_eq!(output.status.code(), Some(0), "{}", run["slo"]);
    assert_eq!((&run["storm"]["waves"][1]["back"], &run["plan"]["tokens"]), (&5.into(), &1.into()));
    let (output, _) = load(4, "storm", &READERS[1..], topic);
    assert_eq!(output.status.code(), Some(1), "nobody may read the topic");
}
