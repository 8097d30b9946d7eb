//! What an operator meets: Mercure's variables and directives, warnings, and the native interface.

use crate::harness::engine::run_to_end_with;
use crate::harness::wire::request;
use crate::harness::{Backend, Engine, on_both_backends};
use crate::rig::{FORM, HUB, Hub, KEY, all, bearer};

on_both_backends![
    the_variables_of_a_compose_file_start_a_hub,
    the_native_interface_is_off_beside_a_hub_unless_asked_for,
    what_has_no_meaning_is_named_and_what_nobody_knows_is_refused,
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
    ];
    let mut engine = Engine::start_with_variables(backend, &[], &variables);
    engine.line("Mercure hub at /.well-known/mercure (protocol 8)");
    engine.line("warning: Mercure's demo has no meaning here");
    engine.line("warning: Mercure's MERCURE_TRANSPORT_URL has no meaning here");
    assert!(!engine.printed().contains(KEY), "no key is printed");
    let headers = [bearer(&all()), FORM.into()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let form = b"topic=t&data=hi";
    let answer = engine.ask(crate::harness::wire::request("POST", HUB, &headers, form));
    assert_eq!(answer.status, 200);
}

fn the_native_interface_is_off_beside_a_hub_unless_asked_for(backend: Backend) {
    let hub = Hub::start(backend, "8", "");
    hub.get("/events/t", &[]).problem(404);
    hub.engine.ask(crate::harness::wire::request("POST", "/events/t", &[], b"x")).problem(404);
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
    let native = Engine::start(backend, &[]);
    assert!(!native.admin("/metrics").text().contains("mercure_"));
}
