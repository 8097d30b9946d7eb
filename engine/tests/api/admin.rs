//! The admin listener: figures, health, and what is going on.

use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Stream, Wire, on_both_backends};

on_both_backends![
    metrics_are_well_formed_and_each_is_documented,
    metrics_count_what_happened,
    histograms_add_up,
    counters_never_go_back,
    health_and_readiness_are_json,
    topics_lists_what_is_kept_and_who_listens,
    subscribers_lists_those_furthest_behind,
    the_admin_listener_has_nothing_else,
    a_foreign_name_learns_nothing,
];

fn metrics_are_well_formed_and_each_is_documented(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let page = engine.admin("/metrics");
    let kind = page.header("Content-Type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let metrics = engine.metrics();
    assert!(metrics.families.len() > 30, "{:?}", metrics.families.keys());
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
    let manual = std::fs::read_to_string(manual).expect("the operator's manual");
    for (name, (_, kind)) in &metrics.families {
        assert!(name.starts_with("downpour_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        assert!(manual.contains(&format!("`{name}`")), "add {name} to docs/OPERATIONS.md");
    }
}

fn metrics_count_what_happened(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut streams: Vec<Stream> = (0..10).map(|_| engine.subscribe("t")).collect();
    let mut bytes = 0;
    for number in 0..20 {
        let id = engine.publish("t", number.to_string());
        bytes += format!("id: {id}\ndata: {number}\n\n").len() * streams.len();
        engine.publish("nobody", "x");
    }
    for stream in &mut streams {
        stream.data(20);
    }
    engine.ask(request("GET", "/nothing", &["Connection: close"], b"")).problem(404);
    engine.await_metric("downpour_deliveries_total", "", |count| count == 200.0);
    // Gauges are brought up to date ten times a second.
    engine.await_subscribers(10);
    engine.await_metric("downpour_topics", "worker=\"0\"", |count| count == 2.0);
    let metrics = engine.metrics();
    let sum = |name: &str| metrics.sum(name, "");
    assert_eq!(sum("downpour_events_total"), 40.0);
    assert_eq!(sum("downpour_published_total"), 40.0);
    assert_eq!(sum("downpour_delivered_bytes_total"), bytes as f64);
    assert_eq!(sum("downpour_refused_total"), 1.0);
    assert_eq!(sum("downpour_ring_depth"), 0.0);
    let sends = sum("downpour_sends_total");
    assert!(sends > 0.0 && sends <= 200.0, "{sends}");
    let resident = sum("downpour_resident_bytes");
    assert!(resident > 0.0 && resident < sum("downpour_memory_bound_bytes"), "{resident}");
}

fn histograms_add_up(backend: Backend) {
    let engine = Engine::start(backend, &["--workers", "1"]);
    let mut stream = engine.subscribe("t");
    for _ in 0..50 {
        engine.publish("t", "x");
        stream.event();
    }
    let name = "downpour_publish_to_written_seconds";
    engine.await_metric(&format!("{name}_count"), "", |count| count == 50.0);
    let metrics = engine.metrics();
    let mut histograms = 0;
    for (family, _) in metrics.families.iter().filter(|(_, (_, kind))| kind == "histogram") {
        let bucket = format!("{family}_bucket{{");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (key, count) in metrics.samples.iter().filter(|(key, _)| key.starts_with(&bucket)) {
            let bound = key.split("le=\"").nth(1).expect("a bound").trim_end_matches("\"}");
            buckets.push((bound.parse().unwrap_or(f64::INFINITY), *count));
        }
        buckets.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{family} is not cumulative");
        let (last, all) = buckets.last().expect("buckets");
        assert!(last.is_infinite(), "{family} has no +Inf bucket");
        assert_eq!(*all, metrics.sum(&format!("{family}_count"), ""), "{family}");
        assert!(metrics.sum(&format!("{family}_sum"), "") > 0.0, "{family}");
        histograms += 1;
    }
    assert!(histograms >= 2);
}

fn counters_never_go_back(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut before = engine.metrics();
    for round in 0..5 {
        let mut stream = engine.subscribe("t");
        engine.publish("t", "x");
        stream.event();
        engine.ask(request("GET", "/nothing", &["Connection: close"], b""));
        drop(stream);
        engine.await_closed("peer_closed", round + 1);
        let now = engine.metrics();
        for (key, value) in &before.samples {
            let family = now.family(key).expect("what was there stays there");
            if now.families[family].1 != "gauge" {
                assert!(now.samples[key] >= *value, "{key} fell from {value}");
            }
        }
        before = now;
    }
}

fn health_and_readiness_are_json(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in ["/healthz", "/readyz"] {
        assert_eq!(engine.admin(target).json()["status"], "ok");
    }
}

fn topics_lists_what_is_kept_and_who_listens(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let _streams = [engine.subscribe("news"), engine.subscribe("news"), engine.subscribe("quiet")];
    let id = engine.publish("news", "x");
    engine.publish("old%20news", "y");
    let listing = engine.admin("/topics").json();
    assert_eq!(listing["count"], 3);
    let first = &listing["topics"][0];
    assert_eq!((&first["name"], &first["subscribers"]), (&"news".into(), &2.into()));
    assert_eq!((&first["history_events"], &first["last_id"]), (&1.into(), &id.into()));
    let some = engine.admin("/topics?prefix=ne&limit=1").json();
    assert_eq!((&some["count"], some["topics"].as_array().map(Vec::len)), (&1.into(), Some(1)));
    for bad in ["/topics?limit=0", "/topics?limit=x", "/topics?perfix=a"] {
        engine.admin(bad).problem(400);
    }
}

fn subscribers_lists_those_furthest_behind(backend: Backend) {
    let small = ["--socket-send-bytes", "8KiB", "--socket-unsent-bytes", "4KiB"];
    let flags = [&small[..], &["--write-timeout", "1h"]].concat();
    let engine = Engine::start(backend, &flags);
    let mut healthy = engine.stream("/events?topic=t&topic=u", &[]);
    let mut wire = Wire::connect_from(None, Some(4 << 10), engine.address, engine.deadline);
    wire.send(request("GET", "/events/t", &[], b""));
    let _stalled = Stream::open(wire);
    for _ in 0..30 {
        engine.publish("t", "x".repeat(50_000));
        healthy.event();
    }
    engine.await_subscribers(2);
    let listing = engine.admin("/subscribers?top=lag").json();
    assert_eq!(listing["count"], 2);
    let (first, second) = (&listing["subscribers"][0], &listing["subscribers"][1]);
    assert!(first["lag"].as_u64().is_some_and(|lag| (1..=30).contains(&lag)), "{listing}");
    assert_eq!(first["blocked"], true);
    assert_eq!((&second["lag"], &second["blocked"]), (&0.into(), &false.into()));
    assert_eq!(
        engine.admin("/subscribers?limit=1").json()["subscribers"].as_array().map(Vec::len),
        Some(1)
    );
    engine.admin("/subscribers?top=age").problem(400);
}

fn the_admin_listener_has_nothing_else(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for target in ["/", "/events/t", "/metrics/", "/debug"] {
        engine.admin(target).problem(404);
    }
    for method in ["POST", "PUT", "DELETE"] {
        let mut wire = Wire::connect(engine.admin, engine.deadline);
        wire.send(request(method, "/metrics", &[], b""));
        let response = wire.response();
        response.problem(405);
        assert_eq!(response.header("Allow"), Some("GET, HEAD"));
    }
    let mut wire = Wire::connect(engine.admin, engine.deadline);
    wire.send(request("HEAD", "/metrics", &[], b""));
    assert_eq!(wire.head().status, 200);
    wire.expect_end();
    for bytes in ["nonsense\r\n\r\n", "GET /metrics HTTP/9.9\r\n\r\n"] {
        let mut wire = Wire::connect(engine.admin, engine.deadline);
        wire.send(bytes);
        let response = wire.response();
        response.problem(response.status);
    }
}

fn a_foreign_name_learns_nothing(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut wire = Wire::connect(engine.admin, engine.deadline);
    wire.send(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    wire.response().problem(403);
    let page = engine.admin("/metrics");
    assert_eq!(page.header("Access-Control-Allow-Origin"), None);
    let engine = Engine::start(backend, &["--admin-host", "Hub.internal"]);
    for (host, status) in [
        ("hub.internal:9090", 200),
        ("downpour", 200),
        ("10.1.2.3:9090", 200),
        ("evil.example", 403),
        ("hub.internal.evil.example", 403),
    ] {
        let mut wire = Wire::connect(engine.admin, engine.deadline);
        wire.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(wire.response().status, status, "{host}");
    }
}
