//! Subscribers that read slowly, stop reading, or are gone without a word.

use std::collections::HashSet;

use crate::harness::sse::sequence;
use crate::harness::wire::request;
use crate::harness::{Backend, Engine, Event, Stream, Wire, on_both_backends};

on_both_backends![
    a_lapped_subscriber_is_told_of_the_gap_and_goes_on,
    a_lapped_subscriber_is_told_and_disconnected_if_so_configured,
    a_gap_in_a_stream_of_several_topics_hides_nothing_that_is_kept,
    a_subscriber_that_takes_nothing_is_closed_in_time,
    a_slow_subscriber_within_the_history_loses_nothing,
    others_are_not_held_up_by_those_that_stopped,
    a_small_topic_is_served_beside_a_broadcast,
    a_peer_that_is_gone_without_a_word_is_noticed,
];

/// Flags of an engine whose sockets and histories are soon full.
const SMALL: [&str; 6] =
    ["--history-events", "50", "--socket-send-bytes", "8KiB", "--socket-unsent-bytes", "4KiB"];
const EVENT_BYTES: usize = 1_000;

/// Subscribes with a small receive buffer, so that its socket is soon full.
fn slow(engine: &Engine, target: &str) -> Stream {
    let mut wire = Wire::connect_from(None, Some(4 << 10), engine.address, engine.deadline);
    wire.send(request("GET", target, &[], b""));
    Stream::open(wire)
}

/// Publishes events of 1 KB to a topic whose data start with their number.
fn flood(engine: &Engine, topic: &str, numbers: std::ops::Range<usize>) {
    let line = |number: usize| {
        let padding = "x".repeat(EVENT_BYTES);
        format!("{{\"topic\":\"{topic}\",\"data\":\"{number} {padding}\"}}\n")
    };
    let count = numbers.len();
    let lines: String = numbers.map(line).collect();
    assert_eq!(engine.publish_lines(&lines).json()["accepted"], count);
}

fn number(event: &Event) -> usize {
    let (number, padding) = event.data.split_once(' ').expect("`number padding`");
    assert_eq!(padding.len(), EVENT_BYTES, "an event arrived in part");
    number.parse().expect("a number")
}

/// Reads a stream in which events number `expected..end` were published to one topic, with gaps;
/// gives the number of gaps and of events missing, which the gaps must have announced exactly.
fn read_with_gaps(stream: &mut Stream, end: usize) -> (usize, usize) {
    let (mut expected, mut gaps, mut missing) = (0, 0, 0);
    let mut first_sequence = None;
    while expected < end {
        let event = stream.event();
        if event.event == "gap" {
            let gap = event.gap();
            assert_eq!(gap.reason, "lapped");
            let first = first_sequence.expect("the socket took some before it was full");
            let after = (sequence(&gap.resumes_after) - first) as usize + 1;
            let lost = after - expected;
            assert!(lost > 0, "a gap without anything missing");
            assert_eq!(gap.missing, Some(lost as u64), "only this topic was published to");
            expected = after;
            gaps += 1;
            missing += lost;
        } else {
            first_sequence.get_or_insert(event.sequence());
            assert_eq!(number(&event), expected);
            expected += 1;
        }
    }
    (gaps, missing)
}

fn a_lapped_subscriber_is_told_of_the_gap_and_goes_on(backend: Backend) {
    let engine = Engine::start(backend, &SMALL);
    let mut stream = slow(&engine, "/events/t");
    flood(&engine, "t", 0..2_000);
    engine.await_metric("downpour_subscribers_blocked", "", |blocked| blocked == 1.0);
    let (gaps, missing) = read_with_gaps(&mut stream, 2_000);
    assert!(gaps >= 1 && missing > 0, "{gaps} gaps, {missing} missing");
    flood(&engine, "t", 0..5);
    let again: Vec<usize> = (0..5).map(|_| number(&stream.event())).collect();
    assert_eq!(again, [0, 1, 2, 3, 4], "it goes on as before");
    let metrics = engine.metrics();
    assert_eq!(metrics.sum("downpour_gaps_total", ""), gaps as f64);
    assert_eq!(metrics.sum("downpour_missed_total", ""), missing as f64);
}

fn a_lapped_subscriber_is_told_and_disconnected_if_so_configured(backend: Backend) {
    let engine = Engine::start(backend, &[&SMALL[..], &["--lag", "disconnect"]].concat());
    let mut stream = slow(&engine, "/events/t");
    flood(&engine, "t", 0..2_000);
    let events = stream.rest();
    let (last, before) = events.split_last().expect("the socket took some");
    let gap = last.gap();
    assert_eq!(gap.reason, "lapped");
    for (expected, event) in before.iter().enumerate() {
        assert_eq!(number(event), expected, "in order up to the gap, which is the last word");
    }
    engine.await_closed("lapped", 1);
    let told = before.len() as u64 + gap.missing.expect("it was counted");
    let number_of = |id: &str| sequence(id) - before[0].sequence();
    assert_eq!(number_of(&gap.resumes_after) + 1, told, "the gap is exact");
    // It comes back with the gap's id, and is told of no event twice: only of those that left the
    // history while it was away, if any did.
    let mut back = engine.resume("t", &gap.resumes_after);
    let (mut expected, mut event) = (told, back.event());
    if event.event == "gap" {
        let gap = event.gap();
        assert_eq!(gap.reason, "evicted");
        assert!(number_of(&gap.resumes_after) >= told, "told twice of the same");
        expected = number_of(&gap.resumes_after) + 1;
        event = back.event();
    }
    assert_eq!(number(&event) as u64, expected);
}

fn a_gap_in_a_stream_of_several_topics_hides_nothing_that_is_kept(backend: Backend) {
    let engine = Engine::start(backend, &SMALL);
    let mut stream = slow(&engine, "/events?topic=busy&topic=quiet");
    let mut quiet = HashSet::new();
    for round in 0..20 {
        flood(&engine, "busy", round * 100..(round + 1) * 100);
        quiet.insert(engine.publish("quiet", round.to_string()));
    }
    engine.await_metric("downpour_subscribers_blocked", "", |blocked| blocked == 1.0);
    let (mut newest, mut lost) = (0, 0);
    loop {
        let event = stream.event();
        assert!(event.sequence() >= newest, "out of order");
        newest = event.sequence();
        if event.event == "gap" {
            lost += 1;
        } else if !event.data.contains(' ') {
            assert!(quiet.remove(&event.id), "twice, or never published");
            if event.data == "19" {
                break;
            }
        }
    }
    assert!(lost > 0, "the busy topic has lapped it");
    assert!(quiet.is_empty(), "all of the quiet topic was kept, so none of it may be lost");
}

fn a_subscriber_that_takes_nothing_is_closed_in_time(backend: Backend) {
    let engine = Engine::start(backend, &[&SMALL[2..], &["--write-timeout", "1s"]].concat());
    let stalled = slow(&engine, "/events/t");
    let mut healthy = engine.subscribe("t");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for expected in 0..500 {
                assert_eq!(number(&healthy.event()), expected);
            }
        });
        flood(&engine, "t", 0..500);
        reader.join().expect("a healthy subscriber gets everything");
    });
    // The engine's own clock closes it, or the kernel's (TCP_USER_TIMEOUT), whichever is first.
    engine.await_closed_by(&["write_timeout", "peer_reset"], 1);
    engine.await_subscribers(1);
    engine.publish("t", "on");
    assert_eq!(healthy.event().data, "on");
    drop(stalled);
}

fn a_slow_subscriber_within_the_history_loses_nothing(backend: Backend) {
    let flags = ["--socket-send-bytes", "8KiB", "--socket-unsent-bytes", "4KiB"];
    let engine = Engine::start(backend, &flags);
    let mut stream = slow(&engine, "/events/t");
    flood(&engine, "t", 0..3_000);
    // One byte at a time for a while: every split of a frame is met.
    let mut text = Vec::new();
    while text.len() < 4_000 {
        stream.wire.stream.set_read_timeout(None).expect("a timeout");
        let mut byte = [0];
        std::io::Read::read_exact(&mut stream.wire.stream, &mut byte).expect("it goes on");
        text.push(byte[0]);
    }
    stream.wire.buffer.splice(0..0, text);
    for expected in 0..3_000 {
        assert_eq!(number(&stream.event()), expected);
    }
    assert_eq!(engine.metrics().sum("downpour_gaps_total", ""), 0.0);
}

fn others_are_not_held_up_by_those_that_stopped(backend: Backend) {
    let engine = Engine::start(backend, &[&SMALL[..], &["--write-timeout", "1h"]].concat());
    let stopped: Vec<Stream> = (0..50).map(|_| slow(&engine, "/events/t")).collect();
    let mut healthy: Vec<Stream> = (0..10).map(|_| engine.subscribe("t")).collect();
    for round in 0..20 {
        let numbers = round * 25..(round + 1) * 25;
        flood(&engine, "t", numbers.clone());
        for stream in &mut healthy {
            for expected in numbers.clone() {
                assert_eq!(number(&stream.event()), expected);
            }
        }
    }
    engine.await_metric("downpour_subscribers_blocked", "", |blocked| blocked == 50.0);
    let metrics = engine.metrics();
    assert_eq!(metrics.sum("downpour_overloads_total", ""), 0.0, "publishers never notice");
    // Nothing is queued for any of them: what they pin is the one event each is in the middle of.
    let pinned = metrics.sum("downpour_pinned_bytes", "");
    assert!(pinned <= 50.0 * 1.5 * EVENT_BYTES as f64, "{pinned} bytes");
    assert_eq!(stopped.len(), 50);
}

fn a_small_topic_is_served_beside_a_broadcast(backend: Backend) {
    let engine = Engine::start(backend, &["--workers", "1"]);
    let mut broad: Vec<Stream> = (0..300).map(|_| engine.subscribe("broad")).collect();
    let mut small = engine.subscribe("small");
    let mut publisher = engine.connect();
    let mut pings = engine.connect();
    for number in 0..100 {
        publisher.send(request("POST", "/events/broad", &[], number.to_string().as_bytes()));
        pings.send(request("POST", "/events/small", &[], number.to_string().as_bytes()));
        publisher.response().json();
        pings.response().json();
        assert_eq!(small.event().data, number.to_string());
    }
    for stream in &mut broad {
        for number in 0..100 {
            assert_eq!(stream.event().data, number.to_string());
        }
    }
}

fn a_peer_that_is_gone_without_a_word_is_noticed(backend: Backend) {
    let flags = ["--heartbeat", "1s", "--write-timeout", "2s"];
    let engine = Engine::start(backend, &flags);
    let mut other = engine.subscribe("t");
    let stream = engine.subscribe("t");
    engine.await_subscribers(2);
    stream.wire.vanish();
    engine.await_subscribers(1);
    engine.await_closed("peer_reset", 1);
    engine.publish("t", "x");
    assert_eq!(other.event().data, "x");
}
