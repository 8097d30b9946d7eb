//! Probes: a thread of their own reads some subscribers at once, and their latency is a figure of
//! its own beside that of all.

mod scripted;

use std::process::Command;

use scripted::Server;
use serde_json::Value;

const SUBSCRIBERS: u64 = 40;
/// Of every ten subscribers the sixth is a probe: numbers 5, 15, 25 and 35.
const PROBES: u64 = 4;
const EVENTS: u64 = 100;

fn run(server: &Server) -> Value {
    let url = format!("http://{}/events/{{topic}}?subscriber={{subscriber}}", server.address);
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["run", &url, "--quiet", "--json", "-", "-c", "40", "--probes", "4"])
        .args(["--threads", "1", "--rate", "100", "--duration", "1s", "--warmup", "100ms"])
        .args(["--horizon", "2s"])
        .output()
        .expect("the binary under test starts");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn samples(saved: &Value, metric: &str) -> u64 {
    saved["metrics"][metric]["n"].as_u64().expect("the metric is there")
}

#[test]
fn probes_time_their_own_deliveries_and_count_like_all_others() {
    let server = Server::start(&["--fault", "delay:by=5ms"]);
    let saved = run(&server);
    assert_eq!((&saved["plan"]["probes"], &saved["plan"]["threads"]), (&4.into(), &2.into()));
    assert_eq!(saved["counts"]["unique"], SUBSCRIBERS * EVENTS);
    assert_eq!(saved["counts"]["lost"], 0);
    assert_eq!(samples(&saved, "delivery"), SUBSCRIBERS * EVENTS);
    assert_eq!(samples(&saved, "delivery.probe"), PROBES * EVENTS);
    // Their time is from the intended publish, through the server, to a read in user space.
    let least = |metric: &str| saved["metrics"][metric]["min"].as_u64().expect("a time");
    assert!(least("delivery.probe") >= 4_990_000, "{}", least("delivery.probe"));
    assert!(least("delivery.probe") >= least("delivery"));
}

#[test]
fn a_probe_is_the_subscriber_in_the_middle_of_its_stretch_of_the_connect_order() {
    for (subscriber, seen) in [(15, PROBES * EVENTS - 1), (16, PROBES * EVENTS)] {
        let server = Server::start(&["--fault", &format!("drop:subscriber={subscriber},event=60")]);
        let saved = run(&server);
        assert_eq!(saved["counts"]["lost"], 1);
        assert_eq!(saved["counts"]["offences"][0]["subscriber"], subscriber);
        assert_eq!(samples(&saved, "delivery.probe"), seen, "without subscriber {subscriber}");
    }
}
