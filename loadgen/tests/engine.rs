//! The load generator against the engine, as users start both: the line of the README, and the
//! Mercure profile with tokens against a hub that speaks both versions.

mod built;
mod scripted;

use std::path::Path;
use std::process::{Command, Output};

use built::engine;
use scripted::own_address;
use serde_json::Value;

/// The key of every Mercure tutorial, and what version 1 calls the hub.
const DIRECTIVES: &str = "mercure {
publisher_jwt !ChangeThisMercureHubJWTSecretKey! HS256
subscriber_jwt !ChangeThisMercureHubJWTSecretKey! HS256
resource_identifier https://hub.example/.well-known/mercure
}
";

// Tokens signed with that key (HS256), valid until 2100.

/// {"exp":4102444800,"mercure":{"publish":["*"]}}
const PUBLISHER: &str = "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsIm1lcmN1cmUiOnsicHVibGlzaCI6WyIqIl19fQ.T5yEcQS2b5VbpmUwCim_490tnAiAU6P4W3V2eZO6b0g";

/// {"exp":4102444800,"mercure":{"subscribe":["*"]}}
const SUBSCRIBER: &str = "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsIm1lcmN1cmUiOnsic3Vic2NyaWJlIjpbIioiXX19.2UKuJATNjk0fybRRtTcRd73rO7DOwdgIzefkFqcrxy0";

/// Of version 1 (type at+jwt): {"iss":"i","aud":"https://hub.example/.well-known/mercure",
/// "exp":4102444800,"authorization_details":[{"type":"https://mercure.rocks/authorization-detail",
/// "actions":["publish","subscribe"],"topics":[{"match":"*"}]}]}
const VERSION_1: &str = "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogImF0K2p3dCJ9.eyJpc3MiOiJpIiwiYXVkIjoiaHR0cHM6Ly9odWIuZXhhbXBsZS8ud2VsbC1rbm93bi9tZXJjdXJlIiwiZXhwIjo0MTAyNDQ0ODAwLCJhdXRob3JpemF0aW9uX2RldGFpbHMiOlt7InR5cGUiOiJodHRwczovL21lcmN1cmUucm9ja3MvYXV0aG9yaXphdGlvbi1kZXRhaWwiLCJhY3Rpb25zIjpbInB1Ymxpc2giLCJzdWJzY3JpYmUiXSwidG9waWNzIjpbeyJtYXRjaCI6IioifV19XX0.wLGo_DykwAceI7irpnqsc_OYiJgF5a1d2U3mUVMTzm8";

fn load(arguments: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(arguments)
        .env("XDG_STATE_HOME", "/nonexistent")
        .output()
        .expect("the binary under test starts")
}

fn saved(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a saved run");
    serde_json::from_str(&text).expect("JSON")
}

/// The README's line word by word, but for the server's address and what makes it short.
#[test]
fn the_line_of_the_readme_measures_the_engine_and_proves_every_delivery() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).expect("the README");
    let mut lines = readme.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix("target/release/downpour-load "));
    let line = line.expect("the README starts the load generator");

    let folder = tempfile::tempdir().expect("a folder");
    let (page, json) = (folder.path().join("report.html"), folder.path().join("run.json"));
    let (address, engine) = (own_address(2), engine());
    let spawn =
        format!("exec {} --listen {address} --admin off 2>/dev/null", engine.to_str().unwrap());
    let words = line.split(' ').map(|word| match word {
        "http://127.0.0.1:8080" => format!("http://{address}"),
        "target/release/downpour" => spawn.clone(),
        "report.html" => page.to_str().expect("UTF-8").to_owned(),
        word => word.to_owned(),
    });
    let short = ["-c", "200", "--duration", "1s", "--rate", "100", "--quiet", "--json"];
    let short = short.map(str::to_owned).into_iter().chain([json.to_str().unwrap().to_owned()]);
    let output = load(&words.chain(short).collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{complaints}");
    assert!(said.contains("20,000 of 20,000 deliveries"), "{said}");
    let run = saved(&json);
    assert_eq!((&run["counts"]["lost"], &run["counts"]["unique"]), (&0.into(), &20_000.into()));
    assert!(run["server"]["cpu_per_delivery_ns"].as_f64().expect("it was metered") > 0.0);
    assert!(run["server"]["mem_per_conn"]["pss"].is_number());
    assert!(run["server"]["runqueue_wait_ns"].is_u64() && run["server"]["neighbours_ns"].is_u64());
    let page = std::fs::read_to_string(page).expect("the page");
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
    // The server went with the run.
    assert!(std::net::TcpStream::connect(address).is_err());
}

/// A run of the Mercure profile against a hub of its own, with tokens from files.
fn mercure(test: u8, url: &str, publisher: &str, subscriber: &str) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room on the disk");
        path.to_str().expect("UTF-8").to_owned()
    };
    let hub = file("hub", DIRECTIVES);
    let publisher = file("publisher", &format!("Authorization: Bearer {publisher}\n"));
    let subscriber = file("subscriber", &format!("Authorization: Bearer {subscriber}\n"));
    let json = folder.path().join("run.json");
    let (address, engine) = (own_address(test), engine());
    let spawn = format!(
        "exec {} --listen {address} --admin off --mercure both --mercure-file {hub} 2>/dev/null",
        engine.to_str().unwrap()
    );
    let plan = "--profile mercure -c 20 --topics 3 --rate 200 --duration 1s --warmup 100ms \
                --settle 200ms --connect-timeout 2s --quiet";
    let mut arguments = vec!["run".to_owned(), format!("http://{address}{url}")];
    arguments.extend(plan.split_whitespace().map(str::to_owned));
    arguments.extend(["--spawn".to_owned(), spawn]);
    arguments.extend(["--publish-header".to_owned(), format!("@{publisher}")]);
    arguments.extend(["-H".to_owned(), format!("@{subscriber}")]);
    arguments.extend(["--json".to_owned(), json.to_str().unwrap().to_owned()]);
    let output = load(&arguments);
    assert!(json.exists(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), saved(&json))
}

#[test]
fn the_mercure_profile_measures_a_hub_of_both_versions_with_tokens() {
    let of_version_1 = "/.well-known/mercure?match={topic}";
    for (test, url, publisher, subscriber) in
        [(3, "", PUBLISHER, SUBSCRIBER), (4, of_version_1, VERSION_1, VERSION_1)]
    {
        let (code, run) = mercure(test, url, publisher, subscriber);
        assert_eq!(code, Some(0), "{}", run["verdict"]);
        let publish = &run["publish"];
        assert_eq!((&publish["planned"], &publish["acked"]), (&200.into(), &200.into()));
        let counts = &run["counts"];
        // 20 subscribers dealt out to 3 topics: 7, 7 and 6 of them get every third event.
        assert_eq!((&counts["lost"], &counts["unique"]), (&0.into(), &counts["expected"]));
        let unique = counts["unique"].as_u64().expect("a count");
        assert!((200 * 20 / 3 - 7..=200 * 20 / 3 + 7).contains(&unique), "{unique}");
        assert_eq!(counts["foreign"], 0);
    }
}

#[test]
fn a_storm_over_a_mercure_hub_leaves_no_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room on the disk");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (address, engine) = (own_address(8), engine());
    let hub = file("hub", DIRECTIVES);
    let publisher = file("publisher", &format!("Authorization: Bearer {PUBLISHER}\n"));
    let spawn = format!(
        "exec {} --listen {address} --admin off --mercure both --mercure-file {hub} 2>/dev/null",
        engine.to_str().unwrap()
    );
    let plan = "--profile mercure -c 20 --rate 200 --waves 2 --within 600 --pause 100ms --back now";
    let mut arguments = vec!["storm".to_owned(), format!("http://{address}")];
    arguments.extend(plan.split_whitespace().map(str::to_owned));
    arguments.extend(["--spawn".to_owned(), spawn, "--json".to_owned(), "-".to_owned()]);
    arguments.extend(["--publish-header".to_owned(), format!("@{publisher}")]);
    arguments.extend(["-H".to_owned(), format!("Authorization: Bearer {SUBSCRIBER}")]);
    let output = load(&arguments);
    let run: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.code(), Some(0), "{}", run["slo"]);
    assert_eq!(run["storm"]["waves"][1]["back"], 10);
    assert_eq!(run["target"]["profile"], "mercure");
}

#[test]
fn a_token_that_grants_nothing_is_no_measurement_and_the_report_says_so() {
    let (code, run) = mercure(5, "", SUBSCRIBER, SUBSCRIBER);
    assert_eq!(code, Some(4), "{}", run["verdict"]);
    let reason = &run["verdict"]["reasons"][0];
    assert_eq!(reason["code"], "refused");
    assert!(reason["text"].as_str().expect("text").contains("it answered 401 for "), "{reason}");
    let (code, run) = mercure(6, "", PUBLISHER, PUBLISHER);
    assert_eq!(code, Some(0), "who may publish may read what is public: {}", run["verdict"]);
}

#[test]
fn a_report_keeps_no_token_of_the_command_line() {
    let address = own_address(7);
    let program = env!("CARGO_BIN_EXE_downpour-load");
    let spawn = format!("exec {program} serve --listen {address}");
    let words = ["run", "-c", "1", "--duration", "100ms", "--warmup", "0", "-q", "--json", "-"];
    let mut arguments = words.map(str::to_owned).to_vec();
    arguments.extend([format!("http://{address}"), "--spawn".to_owned(), spawn]);
    arguments.extend(["-H".to_owned(), "Cookie: mercureAuthorization=s3cret".to_owned()]);
    arguments.extend(["--publish-header=Authorization: Bearer s3cret".to_owned()]);
    let output = load(&arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Authorization: ***") && text.contains("Cookie: ***"), "{text}");
    assert!(!text.contains("s3cret"));
}

#[test]
fn a_spawned_server_has_processors_of_its_own() {
    let address = own_address(9);
    let program = env!("CARGO_BIN_EXE_downpour-load");
    let folder = tempfile::tempdir().expect("a folder");
    let said = folder.path().join("cpus");
    let allowed = "grep Cpus_allowed_list /proc/self/status";
    let spawn = format!("{allowed} > {}; exec {program} serve --listen {address}", said.display());
    let words = ["run", "-c", "1", "--duration", "100ms", "--warmup", "0", "-q", "--json", "-"];
    let mut arguments = words.map(str::to_owned).to_vec();
    arguments.extend([format!("http://{address}"), "--spawn".to_owned(), spawn]);
    let run: serde_json::Value =
        serde_json::from_slice(&load(&arguments).stdout).expect("a report");
    let said = std::fs::read_to_string(said).expect("the server has said where it runs");
    let first = said.split_once(':').map(|(_, list)| list.trim().to_owned()).expect("a list");
    let ours = run["rig"]["cpus"].as_array().expect("a list");
    if std::thread::available_parallelism().expect("a number").get() == 1 {
        assert!(ours.is_empty(), "{ours:?}");
        return;
    }
    let of_server: u64 = first.split([',', '-']).next().unwrap().parse().expect("a processor");
    assert!(!ours.is_empty() && !ours.contains(&of_server.into()), "{ours:?} beside {first}");
}
