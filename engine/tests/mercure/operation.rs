//! What an operator meets: Mercure's variables and directives, warnings, and the native interface.

use crate::harness::engine::run_to_end_with;
use crate::harness::wire::request;
use crate::harness::{Backend, Engine, on_both_backends};
use crate::rig::{FORM, HUB, Hub, KEY, all, bearer};

on_both_backends![
    the_variables_of_a_compose_file_start_a_hub,
    variables_that_make_no_hub_are_named,
    the_native_interface_is_off_beside_a_hub_unless_asked_for,
    what_has_no_meaning_is_named_and_what_nobody_knows_is_refused,
    who_asks_too_often_is_told_when_to_come_back,
    the_admin_interface_counts_who_listens_through_selectors,
    the_health_check_of_compose_files_is_answered,
    dashboards_of_a_hub_find_its_names,
];

fn the_variables_of_a_compose_file_start_a_hub(backend: Backend) {
    let variables = [
        ("SERVER_NAME", ":80"),
        ("MERCURE_PUBLISHER_JWT_KEY", KEY),
        ("MERCURE_SUBSCRIBER_JWT_KEY", KEY),
        (
            "MERCURE_EXTRA_DIRECTIVES",
            "cors_origins http://localhost:3000\nanonymous\nsubscriptions\ndemo\n",
        ),
        ("MERCURE_TRANSPORT_URL", "bolt://mercure.db?size=1000"),
        ("MERCURE_ALLOW_ANONYMOUS", "1"),
    ];
    let mut engine = Engine::start_with_variables(backend, &[], &variables);
    engine.line("Mercure hub at /.well-known/mercure (protocol 8)");
    engine.line("warning: Mercure's demo has no meaning here");
    engine.line("warning: Mercure's MERCURE_TRANSPORT_URL has no meaning here");
    engine.line("warning: MERCURE_ALLOW_ANONYMOUS is none of the variables");
    assert!(!engine.printed().contains(KEY), "no key is printed");
    let headers = [bearer(&all()), FORM.into()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let form = b"topic=t&data=hi";
    let answer = engine.ask(request("POST", HUB, &headers, form));
    assert_eq!(answer.status, 200);
}

/// A misspelt or empty variable is no native engine without a word.
fn variables_that_make_no_hub_are_named(backend: Backend) {
    for name in ["MERCURE_PUBLISHER_JWT_KEY", "MERCURE_JWT_KEY"] {
        let value = if name == "MERCURE_JWT_KEY" { KEY } else { "" };
        let mut engine = Engine::start_with_variables(backend, &[], &[(name, value)]);
        engine.line(&format!("warning: there is no Mercure hub, although {name} is set"));
        assert!(!engine.printed().contains(KEY), "no key is printed");
        engine.ask(request("GET", HUB, &[], b"")).problem(404);
        // Who has said so needs no word.
        let mut engine =
            Engine::start_with_variables(backend, &["--mercure", "off"], &[(name, value)]);
        engine.line("publishing needs no key");
        assert!(!engine.printed().contains("Mercure"), "{}", engine.printed());
    }
}

fn the_native_interface_is_off_beside_a_hub_unless_asked_for(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    hub.get("/events/t", &[]).problem(404);
    hub.engine.ask(request("POST", "/events/t", &[], b"x")).problem(404);
    let home = hub.get("/", &[]);
    assert_eq!((home.status, home.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    let both = Hub::start_with(backend, "8", "anonymous", &["--events", "on"]);
    let mut native = both.engine.subscribe("t");
    let mut mercure = both.stream("topic=*", &[]);
    let id = both.publish("topic=t&data=1");
    both.engine.publish("t", "2");
    assert_eq!([mercure.data(), mercure.data()], ["1", "2"]);
    assert_eq!(native.data(2), ["1", "2"]);
    let mut resumed = both.engine.resume("t", &id);
    assert_eq!(resumed.data(1), ["2"]);
}

fn what_has_no_meaning_is_named_and_what_nobody_knows_is_refused(backend: Backend) {
    let mut hub = Hub::start(backend, "8", "anonymous\ntransport bolt {\n path x.db\n}\nui");
    hub.engine.line("warning: Mercure's transport has no meaning here: history is kept in memory");
    hub.engine.line("warning: Mercure's ui has no meaning here");
    let key = [("MERCURE_PUBLISHER_JWT_KEY", KEY)];
    let with = |text: &'static str| [key[0], ("MERCURE_EXTRA_DIRECTIVES", text)];
    for (variables, said) in [
        (&key[..], "MERCURE_SUBSCRIBER_JWT_KEY"),
        (&with("anonymous\nanonimous"), "line 2: anonimous: nobody knows this directive"),
        (&with("heartbeat soon"), "heartbeat"),
        (&with("cors_origins app.example"), "is no origin"),
        (&with("transport {"), "a block has no `}`"),
        (&[("MERCURE_SUBSCRIBER_JWT_KEY", KEY)], "MERCURE_PUBLISHER_JWT_KEY"),
        (
            &[("MERCURE_PUBLISHER_JWT_KEY", KEY), ("MERCURE_PUBLISHER_JWT_ALG", "HS1")],
            "the algorithm is one of",
        ),
    ] {
        let (status, output) = run_to_end_with(&["serve", "--backend", backend.name()], variables);
        assert_eq!(status.code(), Some(2), "{output}");
        assert!(output.contains(said) && !output.contains(KEY), "{said}: {output}");
    }
}

fn who_asks_too_often_is_told_when_to_come_back(backend: Backend) {
    let flags = ["--requests-per-token-max", "1", "--requests-burst", "1s"];
    let hub = Hub::start_with(backend, "8", "anonymous\ncors_origins https://app.example", &flags);
    let statuses: Vec<u16> = (0..50).map(|_| hub.post(&all(), "topic=t&data=x").status).collect();
    assert_eq!(statuses[0], 200);
    assert!(statuses.iter().filter(|status| **status == 429).count() > 10, "{statuses:?}");
    let refused = loop {
        let answer = hub.post(&all(), "topic=t&data=x");
        if answer.status == 429 {
            break answer;
        }
    };
    assert!(refused.header("Retry-After").is_some());
    // A page may read what its subscriber is told, or its EventSource would give up for ever.
    let headers = [bearer(&all()), "Origin: https://app.example".into()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    loop {
        let mut wire = hub.engine.connect();
        wire.send(request("GET", &format!("{HUB}?topic=t"), &headers, b""));
        let head = wire.head();
        assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
        let allowed = head.header("Access-Control-Allow-Origin");
        assert_eq!(allowed, Some("https://app.example"));
        wire.take_through(b"\n");
        let block = wire.take_through(b"\n");
        if block.starts_with(b"retry: ") {
            break;
        }
    }
    hub.engine.await_closed("rate_max", 1);
    // Who shows no token is nobody's bearer.
    hub.stream("topic=t", &[]);
}

fn the_admin_interface_counts_who_listens_through_selectors(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let named = hub.stream("topic=rooms/1", &[]);
    let several = hub.stream("topic=rooms/1&topic=rooms/%7Bid%7D&topic=other", &[]);
    let all_topics = hub.stream("topic=*", &[]);
    hub.engine.await_subscribers(3);
    hub.publish("topic=rooms/1&data=x");
    hub.publish("topic=rooms/2&data=x");
    hub.publish("topic=rooms/2&data=x&private=on");
    let listing = hub.engine.admin("/topics?prefix=rooms/").json();
    let rows = listing["topics"].as_array().expect("rows");
    let of = |name: &str, private: bool| {
        let is = |row: &&serde_json::Value| {
            row["name"] == name && row["private"].as_bool().unwrap_or(false) == private
        };
        let row = rows.iter().find(is).unwrap_or_else(|| panic!("no {name} in {listing}"));
        (row["subscribers"].clone(), row["history_events"].clone())
    };
    assert_eq!(of("rooms/1", false), (3.into(), 1.into()), "each once: {listing}");
    assert_eq!(of("rooms/2", false), (2.into(), 1.into()), "{listing}");
    assert_eq!(of("rooms/2", true), (0.into(), 1.into()), "nobody has a token: {listing}");
    assert_eq!(listing["count"], 3, "{listing}");
    let listing = hub.engine.admin("/subscribers?top=lag").json();
    let rows = listing["subscribers"].as_array().expect("rows").iter();
    let mut topics: Vec<String> = rows.map(|row| row["topics"].to_string()).collect();
    topics.sort_unstable();
    assert_eq!(topics.len(), 3);
    assert!(topics.contains(&r#"["*"]"#.to_owned()), "{topics:?}");
    assert!(topics.contains(&r#"["rooms/1"]"#.to_owned()), "{topics:?}");
    drop((named, several, all_topics));
}

fn the_health_check_of_compose_files_is_answered(backend: Backend) {
    let hub = Hub::start(backend, "8", "public_urls https://hub.example");
    let answer = hub.get("/healthz", &[]);
    assert_eq!((answer.status, answer.text()), (200, "ok\n"), "under any name");
    let mut wire = hub.engine.connect();
    wire.send(request("HEAD", "/healthz", &[], b""));
    assert_eq!(wire.head().status, 200);
    assert_eq!(hub.engine.ask(request("POST", "/healthz", &[], b"")).status, 405);
    for path in ["live", "ready", "live/hub", "ready/default"] {
        assert_eq!(hub.engine.admin(&format!("/mercure/health/{path}")).status, 200, "{path}");
    }
    hub.engine.admin("/mercure/health/liveness").problem(404);
    let native = Engine::start(backend, &[]);
    native.ask(request("GET", "/healthz", &[], b"")).problem(404);
    native.admin("/mercure/health/live").problem(404);
}

fn dashboards_of_a_hub_find_its_names(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut streams = [hub.stream("topic=t", &[]), hub.stream("topic=*", &[])];
    hub.publish("topic=t&data=1");
    streams.iter_mut().for_each(|stream| assert_eq!(stream.data(), "1"));
    hub.engine.await_metric("mercure_subscribers_connected", "", |count| count == 2.0);
    hub.engine.await_metric("mercure_updates_total", "", |count| count == 1.0);
    drop(streams);
    hub.engine.await_metric("mercure_subscribers_connected", "", |count| count == 0.0);
    assert_eq!(hub.engine.metrics().sum("mercure_subscribers_total", ""), 2.0, "it never falls");
    let native = Engine::start(backend, &[]);
    assert!(!native.admin("/metrics").text().contains("mercure_"));
}
