//! Coming back: `Last-Event-ID`, replay, and gaps that are said in the stream.

use crate::harness::sse::{Gap, sequence};
use crate::harness::wire::request;
use crate::harness::{Backend, Engine, on_both_backends};

on_both_backends![
    a_client_that_comes_back_gets_exactly_what_it_missed,
    the_priming_id_resumes_before_the_first_event,
    the_id_is_taken_from_the_header_or_any_usual_query_name,
    the_header_goes_before_the_query,
    an_empty_id_is_none,
    earliest_gives_all_that_is_kept,
    an_id_of_the_publishers_own_resumes_as_well,
    one_id_resumes_a_stream_of_several_topics_exactly,
    an_id_of_another_topic_is_a_place_in_this_one_too,
    a_resume_from_before_the_history_is_told_of_the_gap_once,
    a_gap_of_one_topic_does_not_hide_what_another_keeps,
    an_unknown_id_is_told_and_gets_all_that_is_kept,
    an_id_of_an_earlier_life_is_told_and_gets_all_that_is_kept,
    the_bound_of_a_history_is_exact,
    events_beyond_the_bounds_in_bytes_are_gone,
    events_beyond_the_age_are_gone,
    a_long_replay_and_live_events_meet_without_a_seam,
    every_kind_of_id_gets_a_stream,
];

/// Publishes `count` events to a topic; gives their ids.
fn publish_all(engine: &Engine, topic: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| engine.publish(topic, format!("{topic}{number}"))).collect()
}

fn data(topic: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{topic}{number}")).collect()
}

fn a_client_that_comes_back_gets_exactly_what_it_missed(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let ids = publish_all(&engine, "t", 20);
    let mut streams = Vec::new();
    for (seen, id) in ids.iter().enumerate() {
        let mut stream = engine.resume("t", id);
        assert_eq!(&stream.primed, id, "a second cut before any event loses nothing");
        assert_eq!(stream.data(19 - seen), data("t", seen + 1..20));
        streams.push(stream);
    }
    engine.publish("t", "live");
    for stream in &mut streams {
        assert_eq!(stream.event().data, "live");
    }
}

fn the_priming_id_resumes_before_the_first_event(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    publish_all(&engine, "t", 3);
    let primed = engine.subscribe("t").primed;
    engine.publish("t", "while away");
    let mut back = engine.resume("t", &primed);
    assert_eq!(back.event().data, "while away");
    // The very first id of a life, before any event.
    let fresh = Engine::start(backend, &[]);
    let primed = fresh.subscribe("t").primed;
    assert_eq!(sequence(&primed), 0);
    fresh.publish("t", "first");
    assert_eq!(fresh.resume("t", &primed).event().data, "first");
}

fn the_id_is_taken_from_the_header_or_any_usual_query_name(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let ids = publish_all(&engine, "t", 3);
    for name in ["last_event_id", "lastEventId", "Last-Event-ID", "%6castEventId"] {
        for target in
            [format!("/events/t?{name}={}", ids[0]), format!("/events?{name}={}&topic=t", ids[0])]
        {
            assert_eq!(engine.stream(&target, &[]).data(2), data("t", 1..3), "{target}");
        }
    }
    for header in ["Last-Event-ID", "last-event-id", "LAST-EVENT-ID"] {
        let header = format!("{header}: {}", ids[1]);
        assert_eq!(engine.stream("/events/t", &[&header]).data(1), data("t", 2..3), "{header}");
    }
}

fn the_header_goes_before_the_query(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let ids = publish_all(&engine, "t", 3);
    let header = format!("Last-Event-ID: {}", ids[1]);
    let target = format!("/events/t?lastEventId={}", ids[0]);
    // EventSource keeps the URL of its first request and sends the newer id as a header.
    assert_eq!(engine.stream(&target, &[&header]).data(1), data("t", 2..3));
}

fn an_empty_id_is_none(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    publish_all(&engine, "t", 3);
    for (target, headers) in [
        ("/events/t", &["Last-Event-ID:"][..]),
        ("/events/t", &["Last-Event-ID: "]),
        ("/events/t?lastEventId=", &[]),
        ("/events/t?lastEventId", &[]),
    ] {
        let mut stream = engine.stream(target, headers);
        engine.publish("t", "live");
        assert_eq!(stream.event().data, "live", "{target} {headers:?}");
    }
}

fn earliest_gives_all_that_is_kept(backend: Backend) {
    let engine = Engine::start(backend, &["--history-events", "5"]);
    let mut empty = engine.resume("t", "earliest");
    publish_all(&engine, "t", 3);
    assert_eq!(empty.data(3), data("t", 0..3));
    assert_eq!(engine.resume("t", "earliest").data(3), data("t", 0..3));
    for number in 3..9 {
        engine.publish("t", format!("t{number}"));
    }
    // What was evicted before it came is no gap for somebody who asks for what there is.
    let mut stream = engine.stream("/events/t?last_event_id=earliest", &[]);
    assert_eq!(stream.data(5), data("t", 4..9));
    let mut several = engine.stream("/events?topic=t&topic=u&last_event_id=earliest", &[]);
    assert_eq!(several.data(5), data("t", 4..9));
}

fn an_id_of_the_publishers_own_resumes_as_well(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    for number in 0..4 {
        engine.publish_to(&format!("/events/t?id=order-{number}"), format!("t{number}"));
    }
    let mut stream = engine.resume("t", "order-1");
    let event = stream.event();
    assert_eq!((event.data.as_str(), event.id.as_str()), ("t2", "order-2"));
    assert_eq!(stream.event().data, "t3");
    // Given twice: after the newer one.
    engine.publish_to("/events/t?id=order-1", "again");
    engine.publish("t", "end");
    assert_eq!(engine.resume("t", "order-1").event().data, "end");
}

fn one_id_resumes_a_stream_of_several_topics_exactly(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let topics = ["a", "b", "c", "d"];
    let sent: Vec<(String, String)> = (0..80)
        .map(|number| {
            let topic = topics[(number * 7 + number / 5) % 4];
            let data = format!("{topic}{number}");
            (engine.publish(topic, &data), data)
        })
        .collect();
    for cut in [0, 1, 17, 40, 78] {
        let mut stream = engine.stream(
            "/events?topic=a&topic=c&topic=d",
            &[&format!("Last-Event-ID: {}", sent[cut].0)],
        );
        let missed = sent[cut + 1..].iter().filter(|(_, data)| !data.starts_with('b'));
        let missed: Vec<&String> = missed.map(|(_, data)| data).collect();
        let got = stream.data(missed.len());
        assert_eq!(got.iter().collect::<Vec<_>>(), missed, "cut after event {cut}");
    }
}

fn an_id_of_another_topic_is_a_place_in_this_one_too(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    engine.publish("t", "before");
    let id = engine.publish("u", "elsewhere");
    engine.publish("t", "after");
    assert_eq!(engine.resume("t", &id).event().data, "after");
}

fn a_resume_from_before_the_history_is_told_of_the_gap_once(backend: Backend) {
    let engine = Engine::start(backend, &["--history-events", "5"]);
    let ids = publish_all(&engine, "t", 12);
    let mut stream = engine.resume("t", &ids[3]);
    let gap = stream.event().gap();
    assert_eq!((gap.reason.as_str(), &gap.resumes_after), ("evicted", &ids[6]));
    assert!(gap.missing.is_none_or(|missing| missing == 3), "{gap:?}");
    assert_eq!(stream.data(5), data("t", 7..12));
    // Cut off between the gap and the next event, it resumes without one.
    assert_eq!(engine.resume("t", &gap.resumes_after).data(5), data("t", 7..12));
    engine.publish("t", "live");
    assert_eq!(stream.event().data, "live", "and no second gap");
    engine.await_metric("downpour_gaps_total", "", |gaps| gaps >= 1.0);
}

fn a_gap_of_one_topic_does_not_hide_what_another_keeps(backend: Backend) {
    let engine = Engine::start(backend, &["--history-events", "3"]);
    let start = engine.subscribe("x").primed;
    engine.publish("quiet", "kept");
    let busy = publish_all(&engine, "busy", 6);
    let header = format!("Last-Event-ID: {start}");
    let mut stream = engine.stream("/events?topic=quiet&topic=busy", &[&header]);
    // It is told first, and its id stays where nothing that is kept would be passed over.
    let gap = stream.event().gap();
    assert_eq!((gap.resumes_after, gap.lost_through), (start, busy[2].clone()));
    assert_eq!(stream.event().data, "kept", "older than what is lost, and still there");
    assert_eq!(stream.data(3), data("busy", 3..6));
}

fn an_unknown_id_is_told_and_gets_all_that_is_kept(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let ids = publish_all(&engine, "t", 3);
    let future = format!("{}-{}", ids[0].split_once('-').expect("an id").0, 1_000_000);
    for id in [&*future, "no-such-id", "0", "ABCDEF012345-1", "é"] {
        let mut stream = engine.resume("t", id);
        assert_eq!(stream.primed, "", "cut off before the gap, it must not come back behind it");
        let gap = stream.event().gap();
        assert_eq!((gap.reason.as_str(), gap.missing), ("unknown_id", None), "{id}");
        assert_eq!(stream.data(3), data("t", 0..3), "{id}");
    }
}

fn an_id_of_an_earlier_life_is_told_and_gets_all_that_is_kept(backend: Backend) {
    let old = {
        let engine = Engine::start(backend, &[]);
        engine.publish("t", "lost with its life")
    };
    let engine = Engine::start(backend, &[]);
    let mut waiting = engine.resume("t", &old);
    let gap = waiting.event().gap();
    assert_eq!((gap.reason.as_str(), gap.missing), ("other_epoch", None));
    let id = engine.publish("t", "new");
    assert_ne!(id.split('-').next(), old.split('-').next(), "two lives, two epochs");
    assert_eq!(waiting.event().data, "new");
    let mut stream = engine.resume("t", &old);
    stream.event().gap();
    assert_eq!(stream.event().data, "new");
}

fn the_bound_of_a_history_is_exact(backend: Backend) {
    let engine = Engine::start(backend, &["--history-events", "5"]);
    let ids = publish_all(&engine, "t", 12);
    // Five are kept, so whoever has seen the seventh misses nothing.
    assert_eq!(engine.resume("t", &ids[6]).data(5), data("t", 7..12));
    assert_eq!(engine.resume("t", &ids[5]).event().gap().resumes_after, ids[6]);
}

fn events_beyond_the_bounds_in_bytes_are_gone(backend: Backend) {
    let flags = ["--event-bytes-max", "1KiB", "--history-bytes", "8KiB"];
    let engine = Engine::start(backend, &flags);
    let body = "x".repeat(1000);
    let ids: Vec<String> = (0..20).map(|_| engine.publish("t", &body)).collect();
    let mut stream = engine.resume("t", &ids[0]);
    let gap = stream.event().gap();
    assert_eq!(gap.reason, "evicted");
    let kept = sequence(&ids[19]) - sequence(&gap.resumes_after);
    assert!((3..=8).contains(&kept), "{kept} events of 1 KiB kept in 8 KiB");
    assert_eq!(stream.data(kept as usize).len() as u64, kept);
    let bytes = engine.await_metric("downpour_history_bytes", "worker=\"0\"", |b| b > 0.0);
    assert!(bytes <= f64::from(8 << 10), "{bytes} bytes are kept");
}

fn events_beyond_the_age_are_gone(backend: Backend) {
    let engine = Engine::start(backend, &["--history-age", "1s"]);
    let id = engine.publish("t", "old");
    engine.publish("t", "old too");
    let mut stream = loop {
        let mut stream = engine.resume("t", &id);
        // Until then it gets what is kept.
        let event = stream.event();
        if event.event == "gap" {
            assert_eq!(event.gap().reason, "evicted");
            break stream;
        }
        assert_eq!(event.data, "old too");
    };
    engine.publish("t", "new");
    assert_eq!(stream.event().data, "new");
}

fn a_long_replay_and_live_events_meet_without_a_seam(backend: Backend) {
    let engine = Engine::start(backend, &["--history-events", "100000"]);
    let line = |number: usize| format!("{{\"topic\":\"t\",\"data\":{number}}}\n");
    let first = engine.publish("t", "start");
    let lines: String = (0..20_000).map(line).collect();
    assert_eq!(engine.publish_lines(&lines).json()["accepted"], 20_000);
    let streams: Vec<_> = (0..8)
        .map(|_| {
            let stream = engine.resume("t", &first);
            engine.publish_lines((20_000..20_500).map(line).collect::<String>());
            stream
        })
        .collect();
    for (index, mut stream) in streams.into_iter().enumerate() {
        let expected = (0..20_000).chain((index..8).flat_map(|_| 20_000..20_500));
        let before = (0..index).flat_map(|_| 20_000..20_500);
        for number in (0..20_000).chain(before).chain(expected.skip(20_000)) {
            assert_eq!(stream.event().data, number.to_string());
        }
    }
}

fn every_kind_of_id_gets_a_stream(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let longest = "x".repeat(8_000);
    let ids = [
        "-",
        "--",
        "earliest ",
        "EARLIEST",
        "000000000000-",
        "-1",
        &longest,
        "a,b",
        "<",
        "\"",
        "%00",
    ];
    for id in ids {
        let mut stream = engine.resume("t", id);
        engine.publish("t", "live");
        let expected = if id.trim() == "earliest" { None } else { Some("unknown_id") };
        let event = stream.event();
        match expected {
            Some(reason) => assert_eq!(event.gap().reason, reason, "{id}"),
            None => assert_eq!(event.data, "live"),
        }
    }
    // Bytes that are not UTF-8 are an id that nobody gave.
    let mut wire = engine.connect();
    wire.send(b"GET /events/u HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: \xff\xfe\r\n\r\n");
    let Gap { reason, .. } = crate::harness::Stream::open(wire).event().gap();
    assert_eq!(reason, "unknown_id");
    let twice = ["Last-Event-ID: a", "Last-Event-ID: b"];
    engine.ask(request("GET", "/events/t", &twice, b"")).problem(400);
}
