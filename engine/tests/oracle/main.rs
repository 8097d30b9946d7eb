//! The oracle: a thousand subscribers who are cut off and come back while ten thousand events are
//! published, and a judge who knows every event and every cut.
//!
//! The idea: one thread is publisher and all subscribers at once, so that one seed decides which
//! event goes where, who is cut off when and how (in order, by a reset, in the middle of an event)
//! and for how long. Everybody comes back with the id of the last whole event, as EventSource
//! does. Everything that arrives is written down; when all is over the judge compares it with what
//! was published.
//!
//! What the judge holds the engine to, for every stream:
//! - nothing arrives that was not published to a topic of the stream, nothing twice, nothing out of
//!   order;
//! - nothing between the id a client came back with and the last thing it got is missing, unless a
//!   gap says so before the next event of that topic;
//! - a gap is announced exactly when the history was exceeded: what it covers is missing, and is
//!   older than the newest `HISTORY_EVENTS` of its topic at that moment.
//!
//! `DOWNPOUR_SEED=n` reruns one seed, `DOWNPOUR_SEEDS=10` runs ten; each failure names its seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod agenda;
#[path = "../harness/mod.rs"]
mod harness;
mod judge;
mod subscriber;

use agenda::How;
use harness::sse::sequence;
use harness::wire::request;
use harness::{Backend, Engine};
use subscriber::Subscriber;

const SUBSCRIBERS: usize = 1_000;
const CUTS: usize = 20;
const EVENTS: usize = 10_000;
const TOPICS: usize = 40;
/// Small, so that whoever stays away for long exceeds it.
const HISTORY_EVENTS: usize = 50;
/// Publishes that are not yet answered, at most: events are always on their way.
const UNANSWERED_MAX: usize = 64;
/// One seed on one backend takes a few seconds; this is for the slowest machine.
const TIMEOUT: Duration = Duration::from_secs(240);

#[test]
fn nothing_is_lost_twice_or_out_of_order_on_uring() {
    run_seeds(Backend::Uring);
}

#[test]
fn nothing_is_lost_twice_or_out_of_order_on_epoll() {
    run_seeds(Backend::Epoll);
}

fn run_seeds(backend: Backend) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds = match number("DOWNPOUR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("DOWNPOUR_SEEDS").unwrap_or(1),
    };
    raise_descriptors();
    for seed in seeds {
        let report = Report { backend, seed };
        let mut play = Play::new(backend, seed);
        play.run();
        let (events, gaps) = judge::judge(&play.subscribers, &play.truth);
        println!(
            "{} seed {seed}: {events} deliveries and {gaps} gaps, all accounted for",
            backend.name()
        );
        // A seed without gaps has not tested them.
        assert!(gaps > 100, "{gaps} gaps");
        std::mem::forget(report);
    }
}

/// Names the seed when a test fails.
struct Report {
    backend: Backend,
    seed: u64,
}

impl Drop for Report {
    fn drop(&mut self) {
        let (backend, seed) = (self.backend.name(), self.seed);
        eprintln!("rerun: DOWNPOUR_SEED={seed} cargo test -p downpour --test oracle on_{backend}");
    }
}

/// A thousand sockets do not fit in the usual soft limit of 1,024 descriptors.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be raised to the hard one");
}

/// The publisher's side.
#[derive(Debug)]
struct Publisher {
    stream: TcpStream,
    answers: Vec<u8>,
    /// Topic and data of what is not yet answered, by request.
    waiting: VecDeque<Vec<(usize, String)>>,
}

/// An event that was published and answered.
#[derive(Debug)]
struct Published {
    topic: usize,
    data: String,
}

struct Play {
    random: fastrand::Rng,
    engine: Engine,
    epoll: OwnedFd,
    deadline: Instant,
    subscribers: Vec<Subscriber>,
    publisher: Publisher,
    submitted: [usize; TOPICS],
    submitted_count: usize,
    answered: usize,
    /// Everything that was published, by sequence.
    truth: HashMap<u64, Published>,
    /// Who has to do something when so many events are answered.
    agenda: BinaryHeap<Reverse<(usize, usize)>>,
}

/// The token of the publisher's connection.
const PUBLISHER: u64 = u64::MAX;

impl Play {
    fn new(backend: Backend, seed: u64) -> Play {
        let mut random = fastrand::Rng::with_seed(seed);
        let history = HISTORY_EVENTS.to_string();
        let engine = Engine::start(backend, &["--history-events", &history, "--history-age", "0"]);
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll instance");
        let stream = TcpStream::connect(engine.address).expect("the engine takes connections");
        stream.set_nodelay(true).expect("a TCP socket");
        epoll::add(&epoll, &stream, EventData::new_u64(PUBLISHER), EventFlags::IN).expect("room");
        let subscribers: Vec<Subscriber> =
            (0..SUBSCRIBERS).map(|_| Subscriber::new(&mut random)).collect();
        let first =
            |(index, subscriber): (usize, &Subscriber)| Reverse((subscriber.cuts[0].at, index));
        let agenda = subscribers.iter().enumerate().map(first).collect();
        Play {
            random,
            engine,
            epoll,
            deadline: Instant::now() + TIMEOUT,
            subscribers,
            publisher: Publisher { stream, answers: Vec::new(), waiting: VecDeque::new() },
            submitted: [0; TOPICS],
            submitted_count: 0,
            answered: 0,
            truth: HashMap::new(),
            agenda,
        }
    }

    fn run(&mut self) {
        for index in 0..SUBSCRIBERS {
            self.connect(index);
        }
        while !self.is_over() {
            assert!(
                Instant::now() < self.deadline,
                "{} answered; {}",
                self.answered,
                self.missing()
            );
            let waiting: usize = self.publisher.waiting.iter().map(Vec::len).sum();
            if self.submitted_count < EVENTS && waiting < UNANSWERED_MAX {
                self.publish();
            }
            self.hear();
            self.keep_agenda();
        }
    }

    /// Publishes one event, or a few in an array.
    fn publish(&mut self) {
        let count = match self.random.u8(0..4) {
            0 => self.random.usize(2..=16).min(EVENTS - self.submitted_count),
            _ => 1,
        };
        let mut events = Vec::new();
        for _ in 0..count {
            let topic = self.topic();
            self.submitted[topic] += 1;
            self.submitted_count += 1;
            let padding = "x".repeat(self.random.usize(0..120));
            events.push((topic, format!("{} {topic} {padding}", self.submitted_count)));
        }
        let bytes = match &events[..] {
            [(topic, data)] => {
                request("POST", &format!("/events/{}", name(*topic)), &[], data.as_bytes())
            }
            _ => {
                let objects = events
                    .iter()
                    .map(|(topic, data)| serde_json::json!({"topic": name(*topic), "data": data}));
                let body = serde_json::Value::Array(objects.collect()).to_string();
                request("POST", "/events", &["Content-Type: application/json"], body.as_bytes())
            }
        };
        self.publisher.stream.write_all(&bytes).expect("the engine reads what is published");
        self.publisher.waiting.push_back(events);
    }

    /// One topic is hot; the others share the rest.
    fn topic(&mut self) -> usize {
        if self.random.u8(0..10) == 0 { 0 } else { self.random.usize(1..TOPICS) }
    }

    /// Takes in what has arrived.
    fn hear(&mut self) {
        let idle = self.submitted_count == EVENTS;
        let wait = Timespec { tv_sec: 0, tv_nsec: if idle { 5_000_000 } else { 0 } };
        let mut ready = [const { MaybeUninit::uninit() }; 256];
        let (ready, _) = epoll::wait(&self.epoll, &mut ready, Some(&wait)).expect("epoll waits");
        for event in ready {
            let token = event.data;
            match token.u64() {
                PUBLISHER => self.hear_answers(),
                index => self.hear_stream(index as usize, usize::MAX),
            }
        }
    }

    fn hear_answers(&mut self) {
        let mut piece = [0; 64 << 10];
        let count = self.publisher.stream.read(&mut piece).expect("the connection stays open");
        assert!(count > 0, "the publisher's connection was closed");
        self.publisher.answers.extend_from_slice(&piece[..count]);
        while let Some(body) = take_answer(&mut self.publisher.answers) {
            let events = self.publisher.waiting.pop_front().expect("an answer to something");
            let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let ids: Vec<&str> = match json["ids"].as_array() {
                Some(ids) => ids.iter().map(|id| id.as_str().expect("text")).collect(),
                None => vec![json["id"].as_str().expect("an id")],
            };
            assert_eq!(ids.len(), events.len());
            for (id, (topic, data)) in ids.into_iter().zip(events) {
                let known = self.truth.insert(sequence(id), Published { topic, data });
                assert!(known.is_none(), "{id} was given twice");
                self.answered += 1;
            }
        }
    }

    /// Takes in what has arrived at a subscriber, `bytes_max` at most.
    fn hear_stream(&mut self, index: usize, bytes_max: usize) {
        if let Err(what) = self.subscribers[index].hear(bytes_max, &self.submitted) {
            let closed = self.engine.admin("/metrics");
            let closed = closed.text().lines().filter(|line| line.contains("_closed_total{"));
            panic!("{what}\n{}", closed.collect::<Vec<_>>().join("\n"));
        }
    }

    /// Cuts off whose time has come, and lets back in who has been away long enough.
    fn keep_agenda(&mut self) {
        while let Some(&Reverse((at, index))) = self.agenda.peek() {
            if at > self.answered {
                return;
            }
            self.agenda.pop();
            if self.subscribers[index].link.is_some() {
                self.cut(index);
            } else {
                self.connect(index);
                if let Some(next) = self.subscribers[index].cuts.front() {
                    self.agenda.push(Reverse((next.at, index)));
                }
            }
        }
    }

    fn cut(&mut self, index: usize) {
        let cut = self.subscribers[index].cuts.pop_front().expect("it stood on the agenda");
        if let How::Close(bytes) = cut.how {
            self.hear_stream(index, bytes);
        }
        let link = self.subscribers[index].link.take().expect("it is connected");
        epoll::delete(&self.epoll, &link.stream).expect("it was added");
        match cut.how {
            How::Close(_) => {}
            How::Reset => {
                let socket = socket2::SockRef::from(&link.stream);
                socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
            }
            // The engine may have closed first, which is the same end.
            How::ShutDown => drop(link.stream.shutdown(Shutdown::Both)),
        }
        self.agenda.push(Reverse((cut.back_at, index)));
    }

    fn connect(&mut self, index: usize) {
        let link = self.subscribers[index].connect(self.engine.address);
        let token = EventData::new_u64(index as u64);
        epoll::add(&self.epoll, link, token, EventFlags::IN).expect("room");
    }

    /// Whether everybody has the last event of its topics.
    fn is_over(&self) -> bool {
        self.answered == EVENTS
            && self.agenda.is_empty()
            && self.subscribers.iter().all(|subscriber| self.has_all(subscriber))
    }

    fn has_all(&self, subscriber: &Subscriber) -> bool {
        let position = subscriber.position.unwrap_or(0);
        // The position only grows, so looking once it is near the end is enough.
        let later = (position + 1..=EVENTS as u64).find(|sequence| {
            self.truth.get(sequence).is_some_and(|event| subscriber.topics.contains(&event.topic))
        });
        later.is_none()
    }

    fn missing(&self) -> String {
        let behind = self.subscribers.iter().enumerate().filter(|(_, s)| !self.has_all(s));
        let behind: Vec<_> = behind.map(|(at, s)| (at, s.position, &s.topics)).take(5).collect();
        format!("behind: {behind:?}")
    }
}

fn name(topic: usize) -> String {
    format!("topic/{topic}")
}

/// Takes the body of the first answer off `answers`, if it is whole.
fn take_answer(answers: &mut Vec<u8>) -> Option<Vec<u8>> {
    let head_bytes = memchr::memmem::find(answers, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answers[..head_bytes]).expect("a head is ASCII");
    assert!(head.starts_with("HTTP/1.1 200 "), "refused: {}", answers.escape_ascii());
    let (_, length) = head.split_once("Content-Length: ").expect("a body says its length");
    let length: usize = length.split_once("\r\n").expect("a line").0.parse().expect("digits");
    if answers.len() < head_bytes + length {
        return None;
    }
    let body = answers[head_bytes..head_bytes + length].to_vec();
    answers.drain(..head_bytes + length);
    Some(body)
}
