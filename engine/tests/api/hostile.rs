//! Thousands of malformed and hostile requests: each is answered or closed in its time, the same
//! however its bytes arrive, nothing behind a refused one is served, nothing of them reaches a
//! subscriber that should not have it, and the engine serves on.

mod corpus;
mod grammar;

use std::collections::HashSet;
use std::net::Shutdown;
use std::sync::Mutex;
use std::thread;

use corpus::{VICTIM, Vector, Verdict, corpus, hidden};

use crate::harness::wire::{End, request};
use crate::harness::{Backend, Engine, Wire, on_both_backends};

on_both_backends![
    every_hostile_request_is_answered_or_closed_and_none_is_smuggled,
    every_rule_of_the_grammar_has_its_status,
    heads_that_stop_anywhere_are_ended_in_time,
    mixes_of_good_and_bad_requests_are_answered_as_a_model_says,
    the_admin_interface_outlives_hostile_requests,
];

/// Connections at a time.
const AT_A_TIME: usize = 16;
/// Requests up to this length are sent byte by byte as well.
const BYTEWISE_MAX: usize = 700;

/// Does something with every item, some at a time.
fn spread<T: Sync>(items: &[T], each: impl Fn(&T) + Sync) {
    thread::scope(|scope| {
        for part in items.chunks(items.len().div_ceil(AT_A_TIME)) {
            scope.spawn(|| part.iter().for_each(&each));
        }
    });
}

/// Sends the pieces and says no more; gives everything that is answered up to the end.
fn answer(wire: &mut Wire, pieces: &[&[u8]]) -> Vec<u8> {
    for piece in pieces {
        wire.send_if_taken(piece);
    }
    let _ = wire.stream.shutdown(Shutdown::Write);
    wire.take_all().0
}

/// The status of each answer: a head, and as many bytes behind it as it says and as there are (there
/// are none to HEAD). A stream goes on to the end.
fn statuses(mut answer: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !answer.is_empty() {
        let shown = answer[..answer.len().min(300)].escape_ascii().to_string();
        let end = memchr::memmem::find(answer, b"\r\n\r\n").unwrap_or_else(|| panic!("{shown}"));
        let head = std::str::from_utf8(&answer[..end]).expect("a head is ASCII");
        let status = head.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{shown}"));
        statuses.push(status[..3].parse().expect("a status"));
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = match (length, statuses.last()) {
            (Some(length), _) => length.parse().expect("a length"),
            (None, Some(100 | 204)) => 0,
            (None, _) => usize::MAX,
        };
        let body = &answer[end + 4..];
        let is_head = body.starts_with(b"HTTP/1.1 ");
        answer = if is_head { body } else { &body[length.min(body.len())..] };
    }
    statuses
}

fn judge(vector: &Vector, answer: &[u8]) {
    let shown = vector.bytes[..vector.bytes.len().min(300)].escape_ascii();
    let statuses = statuses(answer);
    let bad = |status: &u16| (400..600).contains(status);
    let good = match vector.verdict {
        Verdict::Refused => statuses.len() == 1 && statuses.iter().all(bad),
        Verdict::RefusedOrClosed => statuses.len() <= 1 && statuses.iter().all(bad),
        Verdict::Harmless => statuses.iter().filter(|status| **status != 100).count() <= 1,
    };
    assert!(good, "{:?}, but {statuses:?} to {shown}", vector.verdict);
}

fn every_hostile_request_is_answered_or_closed_and_none_is_smuggled(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut witness = engine.subscribe(VICTIM);
    let corpus = corpus();
    assert!(corpus.len() >= 2_000, "{} requests", corpus.len());
    spread(&corpus, |vector| {
        let whole = answer(&mut engine.connect(), &[&vector.bytes]);
        judge(vector, &whole);
        if vector.bytes.len() <= BYTEWISE_MAX {
            let bytes: Vec<&[u8]> = vector.bytes.chunks(1).collect();
            let pieces = answer(&mut engine.connect(), &bytes);
            // Whoever sends on behind a refusal may have it taken back by a reset.
            let same = statuses(&pieces) == statuses(&whole) || pieces.is_empty();
            assert!(same, "byte by byte: {}", vector.bytes.escape_ascii());
        }
    });
    engine.publish(VICTIM, "end");
    assert_eq!(witness.event().data, "end", "nobody else has published there");
    engine.await_metric("downpour_connections", "", |count| count == 1.0);
    let metrics = engine.metrics();
    let ended = metrics.sum("downpour_closed_total", "");
    assert_eq!(metrics.sum("downpour_accepted_total", ""), ended + 1.0, "each ended once");
    assert_eq!(metrics.sum("downpour_closed_total", "reason=\"panicked\""), 0.0);
    assert_eq!(metrics.sum("downpour_pinned_bytes", ""), 0.0);
    assert_eq!(metrics.sum("downpour_body_bytes", ""), 0.0);
}

/// None of the table's requests is accepted that must be refused, and none refused that is good.
fn every_rule_of_the_grammar_has_its_status(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    let mut witness = engine.subscribe(VICTIM);
    let cases = grammar::cases();
    let wrong = Mutex::new(Vec::new());
    spread(&cases, |case| {
        let expected = match case.then {
            Then::Ends(status) => vec![status],
            Then::Goes(status) => vec![status, grammar::NEXT.1],
        };
        let whole = statuses(&answer(&mut engine.connect(), &[&case.bytes]));
        let bytes: Vec<&[u8]> = case.bytes.chunks(1).collect();
        let pieces = statuses(&answer(&mut engine.connect(), &bytes));
        // Whoever sends on behind a refusal may have it taken back by a reset.
        let is_lost = pieces.is_empty() && matches!(case.then, Then::Ends(_));
        if whole != expected || (pieces != expected && !is_lost) {
            let shown = case.bytes.escape_ascii();
            let text =
                format!("{}: {:?}, but {whole:?}, {pieces:?}: {shown}", case.rule, case.then);
            wrong.lock().expect("nobody panics").push(text);
        }
    });
    let wrong = wrong.into_inner().expect("nobody panics");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    engine.publish(VICTIM, "end");
    assert_eq!(witness.event().data, "end", "nothing behind a refused request was served");
}

fn heads_that_stop_anywhere_are_ended_in_time(backend: Backend) {
    let engine = Engine::start(backend, &["--handshake-timeout", "300ms"]);
    let good = request("POST", "/events/t", &["X: y", "Transfer-Encoding: chunked"], b"");
    let good = [good, b"5;e\r\nhello\r\n0\r\nT: r\r\n\r".to_vec()].concat();
    let cuts: Vec<usize> = (0..=good.len()).collect();
    spread(&cuts, |cut| {
        let mut wire = engine.connect();
        wire.send(&good[..*cut]);
        // It does not end by itself: the engine has to end it.
        let (answer, end) = wire.take_all();
        let statuses = statuses(&answer);
        assert!(statuses.is_empty() || statuses == [408], "{statuses:?} at {cut}");
        assert_eq!(end, End::Closed, "at {cut}");
    });
    engine.await_metric("downpour_connections", "", |count| count == 0.0);
}

/// What becomes of a connection after a request.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// It is answered so, and the next request is served.
    Goes(u16),
    /// It is answered so, and ended; nothing behind the request is looked at.
    Ends(u16),
}

fn mixes_of_good_and_bad_requests_are_answered_as_a_model_says(backend: Backend) {
    const SEED: u64 = 0x6d69_7865;
    let engine = Engine::start(backend, &["--ring-events", "65536"]);
    let mut witness = engine.subscribe("mixed");
    let mut foreign = engine.subscribe(VICTIM);
    let mut state = SEED;
    let mut random = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut published = 0;
    for mix in 0..500 {
        let (mut bytes, mut expected, mut over) = (Vec::new(), Vec::new(), false);
        let first = published;
        for _ in 0..20 {
            let data = published.to_string();
            let (piece, then) = piece(random(14), &data);
            bytes.extend(piece);
            if over {
                continue;
            }
            let (Then::Goes(status) | Then::Ends(status)) = then;
            expected.push(status);
            published += usize::from(status == 200);
            over = matches!(then, Then::Ends(_));
        }
        let mut wire = engine.connect();
        let cut = random(bytes.len());
        let (head, tail) = bytes.split_at(cut);
        let got = statuses(&answer(&mut wire, &[head, tail]));
        assert_eq!(got, expected, "seed {SEED:#x}, mix {mix}: {}", bytes.escape_ascii());
        for number in first..published {
            assert_eq!(witness.event().data, number.to_string(), "mix {mix}");
        }
    }
    engine.publish(VICTIM, "end");
    assert_eq!(foreign.event().data, "end");
}

/// One request of a mix, and what becomes of the connection. Only a publish is answered 200.
fn piece(kind: usize, data: &str) -> (Vec<u8>, Then) {
    let text = |text: String| text.into_bytes();
    let hidden = hidden();
    match kind {
        0..=4 => (request("POST", "/events/mixed", &[], data.as_bytes()), Then::Goes(200)),
        5 => (request("GET", "/nothing", &[], b""), Then::Goes(404)),
        6 => (request("OPTIONS", "*", &[], b""), Then::Goes(204)),
        7 => (request("DELETE", "/events/mixed", &[], b""), Then::Goes(405)),
        8 => (request("GET", "/events/%00", &[], b""), Then::Goes(400)),
        9 => (request("POST", "/events/mixed?id=%0a", &[], data.as_bytes()), Then::Goes(400)),
        10 => (text(format!("BAD\r\n\r\n{hidden}")), Then::Ends(400)),
        11 => (text(format!("GET / HTTP/1.1\nHost: a\r\n\r\n{hidden}")), Then::Ends(400)),
        12 => {
            let headers = ["Transfer-Encoding: chunked", "Content-Length: 4"];
            let head = request("POST", "/events/mixed", &headers, b"");
            ([head, b"0\r\n\r\n".to_vec(), hidden.into_bytes()].concat(), Then::Ends(400))
        }
        _ => (request("POST", "/nothing", &["Connection: close"], b"x"), Then::Ends(404)),
    }
}

fn the_admin_interface_outlives_hostile_requests(backend: Backend) {
    let engine = Engine::start(backend, &[]);
    spread(&corpus(), |vector| {
        let mut wire = Wire::connect(engine.admin, engine.deadline);
        let statuses = statuses(&answer(&mut wire, &[&vector.bytes]));
        assert!(statuses.len() <= 1, "{statuses:?} to {}", vector.bytes.escape_ascii());
    });
    assert_eq!(engine.admin("/healthz").status, 200);
    engine.subscribe("t");
}

/// The corpus is what it is said to be: so many requests, none twice.
#[test]
fn the_corpus_has_thousands_of_requests_and_none_twice() {
    let corpus = corpus();
    let distinct: HashSet<&[u8]> = corpus.iter().map(|vector| vector.bytes.as_slice()).collect();
    assert_eq!(distinct.len(), corpus.len());
    let smuggling = corpus.iter().filter(|vector| {
        memchr::memmem::find(&vector.bytes, b"smuggled").is_some()
            && vector.verdict == Verdict::Refused
    });
    assert!(smuggling.count() >= 700);
}
