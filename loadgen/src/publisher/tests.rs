use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::*;
use crate::amount::Size;
use crate::client::course;
use crate::client::fleet::TopicName;
use crate::pace::Curve;
use crate::profile::{Profile, Url, Wishes};
use crate::schedule::{Arrival, Outline, Schedule};
use crate::stamp::Found;

const EVENTS: usize = 60;
/// Ten events are due meanwhile.
const GATHER: Duration = Duration::from_millis(5);

/// So many at 2,000 a second.
const LENGTH_NS: u64 = EVENTS as u64 * 500_000;

fn course() -> Arc<Course> {
    let outline = Outline {
        curve: Some(Curve::new("2000".parse().unwrap(), 0..LENGTH_NS)),
        arrival: Arrival::Fixed,
        size: Size::between(64, 90),
        topics: 2,
        popularity: crate::topics::Topics::Even(2),
        publishers: 1,
        machines: 1,
        seed: 5,
    };
    Arc::new(Course::new(course::Plan {
        schedule: Schedule::new(&outline).unwrap(),
        run: 77,
        machine: 0,
        window_ns: 0..LENGTH_NS,
        guard_ns: 0,
        horizon_ns: 1_000_000_000,
        began_ns: clock::now_ns(),
        relative: false,
    }))
}

fn recipe(address: SocketAddr, batch: Option<Duration>) -> Recipe {
    let url = Url::parse(&format!("http://{address}")).unwrap();
    let topic = TopicName { name: "t".to_owned(), numbered: true };
    let wishes = Wishes { batch, ..Wishes::default() };
    Recipe::new(&Profile::Downpour, &url, &wishes, topic).unwrap().unwrap()
}

/// What a server was sent and answered: the stamps of each request, and the status.
type Log = Vec<(Vec<Stamp>, u16)>;

/// Answers every third request with 503, and ends the first connection behind so many answers.
fn serve(listener: &TcpListener, answers_of_first: usize) -> Log {
    let mut log = Vec::new();
    for answers in [answers_of_first, usize::MAX] {
        let (mut socket, _) = listener.accept().unwrap();
        let mut input = Vec::new();
        for _ in 0..answers {
            let Some(body) = request(&mut socket, &mut input) else { return log };
            let status = if log.len() % 3 == 2 { 503 } else { 200 };
            log.push((stamps(&body), status));
            write!(socket, "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n{{}}").unwrap();
        }
        // Reading on to the end keeps the kernel from resetting the answers under way.
        socket.shutdown(Shutdown::Write).unwrap();
        while request(&mut socket, &mut input).is_some() {}
    }
    log
}

fn stamps(body: &[u8]) -> Vec<Stamp> {
    let lines = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| match Stamp::find(&Stamp::finder(), line) {
            Found::Stamp(stamp) => stamp,
            other => panic!("{other:?} in {:?}", String::from_utf8_lossy(line)),
        })
        .collect()
}

/// Reads one request; its body.
fn request(socket: &mut impl Read, input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut piece = [0; 4_096];
    loop {
        let end = input.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&input[..end]).to_lowercase();
            let (_, length) = head.split_once("content-length: ").expect("a length");
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
            if input.len() >= end + 4 + length {
                let body = input[end + 4..end + 4 + length].to_vec();
                input.drain(..end + 4 + length);
                return Some(body);
            }
        }
        match socket.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(length) => input.extend_from_slice(&piece[..length]),
        }
    }
}

/// Publishes the whole plan against such a server; the fates, the figures, and the server's log.
fn publish(
    batch: Option<Duration>,
    answers_of_first: usize,
) -> (Arc<Course>, Arc<Fates>, Measured, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || serve(&listener, answers_of_first));
    let course = course();
    let publisher = Publisher::start(&course, recipe(address, batch), 1, None).unwrap();
    course.set_start(clock::now_ns());
    let deadline = Instant::now() + Duration::from_secs(30);
    let open = |publisher: &Publisher| {
        (0..EVENTS).any(|event| matches!(publisher.fate(event), Fate::Planned | Fate::Sent))
    };
    while open(&publisher) {
        assert!(Instant::now() < deadline, "some event never got an answer");
        std::thread::yield_now();
    }
    course.stop();
    let (measured, fates) = publisher.finish();
    (course, fates, measured, server.join().unwrap())
}

/// Holds the fates against what the server did; how many events each fate had.
fn check(course: &Course, fates: &Fates, log: &Log) -> [usize; 3] {
    let mut expected = [Fate::Failed; EVENTS];
    for (stamps, status) in log {
        for stamp in stamps {
            assert_eq!(stamp.run, 77);
            let event = course.schedule.number(stamp.stream, stamp.sequence).unwrap() as usize;
            let at_ns = course.schedule.events()[event].at_ns;
            assert_eq!(stamp.intended_ns, course.start_ns().unwrap() + at_ns);
            assert_eq!(expected[event], Fate::Failed, "event {event} was sent twice");
            expected[event] = if *status == 200 { Fate::Accepted } else { Fate::Refused };
        }
    }
    for (event, expected) in expected.iter().enumerate() {
        assert_eq!(fates.of(event), *expected, "event {event}");
    }
    [Fate::Accepted, Fate::Refused, Fate::Failed]
        .map(|fate| expected.iter().filter(|&&one| one == fate).count())
}

#[test]
fn every_event_has_the_fate_that_the_server_gave_it() {
    for batch in [None, Some(Duration::ZERO), Some(GATHER)] {
        let (course, fates, measured, log) = publish(batch, usize::MAX);
        let [accepted, refused, failed] = check(&course, &fates, &log);
        assert_eq!((accepted + refused, failed), (EVENTS, 0));
        assert_eq!(measured.slip.len(), EVENTS as u64);
        assert_eq!(measured.ack.len(), accepted as u64);
        assert_eq!(measured.refused.get(&503).copied().unwrap_or(0), refused as u64);
    }
}

#[test]
fn a_request_gathers_what_comes_due_while_its_first_event_waits() {
    let (course, _, measured, log) = publish(Some(GATHER), usize::MAX);
    let events = course.schedule.events();
    let gather_ns = clock::ns(GATHER);
    for (stamps, _) in &log {
        let first_ns = stamps[0].intended_ns;
        assert!(stamps[0].slip_ns >= gather_ns, "it went out before its time");
        let planned = first_ns - course.start_ns().unwrap();
        let due = events.iter().filter(|one| (planned..=planned + gather_ns).contains(&one.at_ns));
        // A late thread gathers more, and never less.
        assert!(stamps.len() >= due.count(), "{} events in a request", stamps.len());
    }
    // The waiting was intended: slip counts from when the request was to go.
    let mut slip = new_histogram();
    for late_ns in log.iter().flat_map(|(stamps, _)| {
        let planned_ns = stamps[0].intended_ns + gather_ns;
        stamps.iter().map(move |one| {
            (one.intended_ns + one.slip_ns).saturating_sub(planned_ns.max(one.intended_ns))
        })
    }) {
        enter(&mut slip, late_ns);
    }
    assert!(measured.slip == slip, "{} ns at most", measured.slip.max());
}

#[test]
fn a_connection_that_ends_fails_what_it_owes_and_nothing_else() {
    let (course, fates, measured, log) = publish(None, 10);
    let [accepted, refused, failed] = check(&course, &fates, &log);
    assert_eq!(accepted + refused + failed, EVENTS);
    assert!(log.len() >= 10);
    assert_eq!(measured.ack.len(), accepted as u64);
}
