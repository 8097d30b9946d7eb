//! The delivery lane against sockets that take k bytes, stall, and break, in virtual time.
//!
//! Every subscriber reads its stream back with a parser of this file's own and must see each event
//! of its topics once and in order, or a gap exactly where its history was exceeded. Some worlds have
//! selectors, events of several topics and private events; who wants and may see what is decided here
//! for each event and client anew, by the definition. Seeds run one after the other; `DOWNPOUR_SEEDS=n` sets how many, `DOWNPOUR_SEED=n` runs one again.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::lane::{Outcome, Outgoing};
use super::*;
use crate::config::cli::LagPolicy;
use crate::event::{Epoch, Event, EventId};
use crate::selector::{Selector, any_matches};
use crate::topic::GapReason;

const EPOCH: u64 = 0xabc;
const TOPICS: [&str; 5] = ["a", "b", "c/1", "c/2", "d"];
/// Names, and what matches some of them, all, and none.
const SELECTORS: [&str; 9] = ["a", "b", "c/1", "*", "{x}", "c/{x}", "{+x}/1", "{+x}{/y}", "e/{x}"];

/// A kernel that takes what it likes.
#[derive(Debug)]
struct Kernel {
    random: fastrand::Rng,
    sockets: HashMap<u32, Socket>,
    woken: Vec<Woken>,
    /// Streams of closed sockets, for those who had them.
    ended: Vec<(u64, Vec<u8>)>,
}

#[derive(Debug, Default)]
struct Socket {
    client: u64,
    taken: Vec<u8>,
    room: usize,
    waits: bool,
    broken: bool,
}

impl Lane for Kernel {
    fn attach(&mut self, slot: u32, _socket: BorrowedFd<'_>) -> io::Result<()> {
        let room = self.random.usize(0..2000);
        let socket = Socket { room, ..Socket::default() };
        assert!(self.sockets.insert(slot, socket).is_none(), "a slot is attached when it is free");
        Ok(())
    }

    fn send(&mut self, sends: &[Outgoing<'_>], short: &mut dyn FnMut(usize, Outcome)) {
        let mut slots: Vec<u32> = sends.iter().map(|send| send.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), sends.len(), "a socket is sent to once a turn");
        let mut exceptions = Vec::new();
        for (index, send) in sends.iter().enumerate() {
            assert!((1..=1024).contains(&send.buffers.len()), "UIO_MAXIOV");
            let socket = self.sockets.get_mut(&send.slot).expect("it is attached");
            assert!(!socket.waits, "a socket that waits for room is not sent to");
            if socket.broken {
                exceptions.push((index, Outcome::Broken(Errno::CONNRESET)));
                continue;
            }
            let bytes: Vec<u8> = send.buffers.iter().flat_map(|b| b.iter().copied()).collect();
            let sent = bytes.len().min(socket.room);
            socket.waits = sent < bytes.len();
            socket.room -= sent;
            socket.taken.extend(&bytes[..sent]);
            if sent == 0 {
                exceptions.push((index, Outcome::Full));
            } else if sent < bytes.len() {
                exceptions.push((index, Outcome::Short(sent)));
            }
        }
        self.random.shuffle(&mut exceptions);
        exceptions.into_iter().for_each(|(index, outcome)| short(index, outcome));
    }

    fn harvest(&mut self, woken: &mut Vec<Woken>) {
        woken.append(&mut self.woken);
    }

    fn close(&mut self, slot: u32) {
        let socket = self.sockets.remove(&slot).expect("a slot is closed once");
        self.woken.retain(|event| match event {
            Woken::Hangup { slot: other, .. } | Woken::Writable { slot: other } => *other != slot,
        });
        self.ended.push((socket.client, socket.taken));
    }
}

impl Kernel {
    /// Readers read, stall, or vanish.
    fn step(&mut self) {
        let mut slots: Vec<u32> = self.sockets.keys().copied().collect();
        slots.sort_unstable();
        for slot in slots {
            let socket = self.sockets.get_mut(&slot).expect("just listed");
            match self.random.u8(0..40) {
                0 if !socket.broken => {
                    socket.broken = true;
                    let reset = self.random.bool();
                    if self.random.bool() {
                        self.woken.push(Woken::Hangup { slot, reset });
                    }
                }
                1..20 => {
                    socket.room += self.random.usize(1..600);
                    if std::mem::take(&mut socket.waits) {
                        self.woken.push(Woken::Writable { slot });
                    }
                }
                _ => {}
            }
        }
    }
}

/// What was published.
#[derive(Debug)]
struct Published {
    /// In [`TOPICS`], each once.
    topics: Vec<usize>,
    private: bool,
}

/// What a client wants and may see.
#[derive(Debug)]
enum Wanted {
    Names(Vec<String>),
    Selectors { selectors: Vec<Selector>, claims: Vec<Selector> },
}

impl Wanted {
    fn interest(&self) -> Interest<'_> {
        match self {
            Wanted::Names(names) => Interest::Topics(names),
            Wanted::Selectors { selectors, claims } => Interest::Selectors { selectors, claims },
        }
    }

    /// True when an event is for the client.
    fn has(&self, event: &Published) -> bool {
        let any = |is_it: &dyn Fn(&str) -> bool| event.topics.iter().any(|t| is_it(TOPICS[*t]));
        match self {
            Wanted::Names(names) => !event.private && any(&|t| names.iter().any(|n| n == t)),
            Wanted::Selectors { selectors, claims } => {
                let is_granted = !event.private || any(&|t| any_matches(claims, t));
                is_granted && any(&|t| any_matches(selectors, t))
            }
        }
    }

    /// The topics of an event through which the client meets it, if it is public.
    fn meets(&self, event: &Published) -> Vec<usize> {
        let alone = |topic: &usize| Published { topics: vec![*topic], private: false };
        event.topics.iter().copied().filter(|topic| self.has(&alone(topic))).collect()
    }
}

/// A client over all its connections.
#[derive(Debug)]
struct Client {
    wanted: Wanted,
    last_id: Option<u64>,
    /// Complete up to here, by events and gaps.
    through: u64,
    /// Up to where it was told that events are lost.
    told: u64,
    connected: bool,
}

struct World {
    seed: u64,
    delivery: Delivery<Kernel>,
    clients: Vec<Client>,
    /// Every event, by sequence less one.
    all: Vec<Published>,
    kept: usize,
    /// There are selectors, events of several topics, and private ones.
    selects: bool,
    now_ns: u64,
    random: fastrand::Rng,
    socket: OwnedFd,
}

#[test]
fn every_stream_is_complete_or_says_where_it_is_not() {
    let count = std::env::var("DOWNPOUR_SEEDS").map_or(300, |n| n.parse().expect("a number"));
    let seeds = std::env::var("DOWNPOUR_SEED")
        .map_or(0..count, |seed| seed.parse().map(|seed| seed..seed + 1).expect("a number"));
    for seed in seeds {
        let result = std::panic::catch_unwind(|| World::new(seed).run());
        if let Err(panic) = result {
            eprintln!("failing seed: DOWNPOUR_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn wanted(random: &mut fastrand::Rng, selects: bool) -> Wanted {
    if selects && random.u8(0..4) > 0 {
        let mut parsed = |count: std::ops::Range<usize>| -> Vec<Selector> {
            let texts =
                (0..random.usize(count)).map(|_| SELECTORS[random.usize(..SELECTORS.len())]);
            texts.map(|text| Selector::parse(text).expect("valid")).collect()
        };
        return Wanted::Selectors { selectors: parsed(1..4), claims: parsed(0..3) };
    }
    let mut names: Vec<String> = TOPICS.iter().map(|name| (*name).to_owned()).collect();
    random.shuffle(&mut names);
    names.truncate(if random.bool() { 1 } else { random.usize(1..4) });
    Wanted::Names(names)
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let kept = random.usize(2..60);
        let settings = DeliverySettings {
            subscribers_max: 40,
            heartbeat_ticks: random.u32(0..30),
            lag: if random.u8(0..4) == 0 { LagPolicy::Disconnect } else { LagPolicy::Skip },
            pinned_bytes_max: if random.bool() { 400 } else { usize::MAX },
            ..DeliverySettings::with_history(EPOCH, kept)
        };
        let kernel = Kernel {
            random: fastrand::Rng::with_seed(seed ^ 1),
            sockets: HashMap::new(),
            woken: Vec::new(),
            ended: Vec::new(),
        };
        let limits = Arc::new(Limits::new(1000, 0, 0));
        let delivery = Delivery::new(settings, kernel, Arc::new(Stats::new(1)), 0, limits);
        let selects = random.bool();
        let mut clients = Vec::new();
        for _ in 0..random.usize(1..30) {
            let wanted = wanted(&mut random, selects);
            let (through, told) = (0, 0);
            clients.push(Client { wanted, last_id: None, through, told, connected: false });
        }
        let socket = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)
            .expect("a descriptor of any kind, for the kernel of this file");
        let all = Vec::new();
        World { seed, delivery, clients, all, kept, selects, now_ns: 0, random, socket }
    }

    fn run(mut self) {
        for _ in 0..300 {
            for _ in 0..self.random.usize(0..6) {
                self.publish();
            }
            self.connect_some();
            self.delivery.lane.step();
            self.turns(3);
            self.collect();
        }
        // Everybody who is still there reads on until nothing is left to send.
        self.delivery.lane.sockets.values_mut().for_each(|socket| socket.room = usize::MAX);
        for slot in self.delivery.lane.sockets.keys().copied().collect::<Vec<_>>() {
            let socket = self.delivery.lane.sockets.get_mut(&slot).expect("just listed");
            if std::mem::take(&mut socket.waits) {
                self.delivery.lane.woken.push(Woken::Writable { slot });
            }
        }
        while self.turns(1) {}
        let caught_up: Vec<usize> =
            self.delivery.lane.sockets.values().map(|socket| socket.client as usize).collect();
        self.delivery.drain(self.now_ns);
        while !self.delivery.is_drained() {
            self.turns(1);
        }
        self.collect();
        for client in caught_up {
            self.check_complete(client);
        }
        let stats = &self.delivery.stats.workers[0];
        let closed: u64 = stats.closed.iter().map(crate::stats::Cell::get).sum();
        assert_eq!(closed, stats.accepted.get(), "every connection has one close reason");
        assert_eq!((self.delivery.blocked, self.delivery.tails.pinned_bytes()), (0, 0));
        assert_eq!(self.delivery.limits.connections(), 0);
        assert_eq!(self.delivery.topics.set_count(), 0);
    }

    fn turns(&mut self, count: usize) -> bool {
        let mut more = false;
        for _ in 0..count {
            self.now_ns += 20_000_000;
            self.delivery.harvest();
            self.delivery.advance(self.now_ns);
            let now_ns = self.now_ns;
            more = self.delivery.turn(|| now_ns);
        }
        more
    }

    fn publish(&mut self) {
        // Topics are published to with very different frequency.
        let mut topics = vec![(self.random.u32(1..32).ilog2()) as usize];
        while self.selects && self.random.u8(0..4) == 0 {
            topics.push(self.random.usize(..TOPICS.len()));
        }
        let private = self.selects && self.random.u8(0..3) == 0;
        let sequence = self.all.len() as u64 + 1;
        let data = "x".repeat(self.random.usize(0..120));
        let alternates: Vec<&str> = topics[1..].iter().map(|topic| TOPICS[*topic]).collect();
        let topic = TOPICS[topics[0]];
        let event =
            Event { topic, alternates: &alternates, private, data: &data, ..Event::default() };
        let id = EventId { epoch: Epoch::new(EPOCH), sequence };
        let frame = event.encode().expect("valid").number(id, self.now_ns);
        let mut ingested = self.delivery.ingest(&frame);
        while !ingested {
            let more = self.turns(1);
            ingested = self.delivery.ingest(&frame);
            assert!(ingested || more, "an event waits only while there is something to send");
        }
        topics.sort_unstable();
        topics.dedup();
        self.all.push(Published { topics, private });
    }

    fn connect_some(&mut self) {
        for index in 0..self.clients.len() {
            if self.clients[index].connected || self.random.u8(0..4) > 0 {
                continue;
            }
            let client = &mut self.clients[index];
            let topics = self.delivery.topics();
            let resume = match client.last_id {
                None => topics.resume_live(0),
                Some(id) => {
                    let id = EventId { epoch: Epoch::new(EPOCH), sequence: id }.to_string();
                    let interest = client.wanted.interest();
                    topics.resume(interest, &id, Epoch::new(EPOCH), self.all.len() as u64)
                }
            };
            assert_eq!(resume.gap, None, "these ids can always be placed");
            if client.last_id.is_none() {
                client.through = resume.sequence;
                client.last_id = Some(resume.sequence);
            }
            let pass = self.delivery.limits.enter(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let pass = pass.expect("below the limit");
            let vacant = self.delivery.slots.vacant().expect("fewer clients than slots");
            let (socket, greeting) = (self.socket.as_fd(), crate::stream::greeting(1000, None));
            let greeting = greeting.into();
            let subscribed = self.delivery.subscribe(
                self.clients[index].wanted.interest(),
                &resume,
                socket,
                pass,
                greeting,
                None,
            );
            subscribed.expect("there is a slot");
            self.clients[index].connected = true;
            let socket = self.delivery.lane.sockets.get_mut(&vacant).expect("attached");
            socket.client = index as u64;
            self.delivery.stats().accepted.add(1);
        }
    }

    /// Clients whose connection has ended read what they were sent.
    fn collect(&mut self) {
        for (client, stream) in std::mem::take(&mut self.delivery.lane.ended) {
            self.clients[client as usize].connected = false;
            self.read(client as usize, &stream);
        }
    }

    fn read(&mut self, client: usize, stream: &[u8]) {
        let text = std::str::from_utf8(stream).expect("UTF-8");
        // What stands after the last blank line was not dispatched.
        let complete = text.rfind("\n\n").map_or("", |end| &text[..end + 2]);
        for block in complete.split_terminator("\n\n") {
            let field =
                |name: &str| block.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
            if block == ":" || field("retry").is_some() {
                continue;
            }
            let id: EventId = field("id").expect("events have ids").parse().expect("an id");
            let gap = field("event") == Some("gap");
            let data = field("data").expect("events have data");
            assert!(gap || data.bytes().all(|byte| byte == b'x'), "torn: {block}");
            if gap {
                let known = [GapReason::Lapped, GapReason::Evicted];
                assert!(known.iter().any(|reason| data.contains(reason.name())), "{data}");
            }
            match gap {
                true => self.check_gap(client, id.sequence, data),
                false => self.check(client, id.sequence),
            }
            self.clients[client].last_id = Some(id.sequence);
        }
    }

    /// A gap of a client: it stands where something was lost, and its id passes over nothing kept.
    fn check_gap(&mut self, client: usize, sequence: u64, data: &str) {
        let (_, lost) = data.split_once("\"lost_through\":\"").expect("it says what is lost");
        let lost: EventId = lost.trim_end_matches("\"}").parse().expect("an id");
        let seed = self.seed;
        let known = &self.clients[client];
        assert!(sequence >= known.through && lost.sequence > known.through, "seed {seed}");
        let is_evicted = |sequence: u64| {
            let topics = &self.all[sequence as usize - 1].topics;
            topics.iter().any(|topic| self.is_evicted(sequence, *topic))
        };
        // A view that was made later knows only up to when events before it were lost.
        let has_lost = match known.wanted {
            Wanted::Names(_) => is_evicted(lost.sequence),
            Wanted::Selectors { .. } => (known.through + 1..=lost.sequence).any(is_evicted),
        };
        assert!(has_lost, "seed {seed}: a gap where nothing is lost");
        for passed in known.through + 1..=sequence {
            assert!(
                self.may_miss(client, passed),
                "seed {seed}: the gap passes over kept {passed}"
            );
        }
        let client = &mut self.clients[client];
        client.told = client.told.max(lost.sequence);
        client.through = sequence;
    }

    /// One event of a client: what is kept is never skipped, what was lost was told before.
    fn check(&mut self, client: usize, sequence: u64) {
        let (seed, known) = (self.seed, &self.clients[client]);
        assert!(sequence > known.through, "seed {seed}: {sequence} again or out of order");
        for lost in known.through + 1..sequence {
            assert!(self.may_miss(client, lost), "seed {seed}: {lost} is kept and was skipped");
            let is_told = lost <= known.told || !known.wanted.has(&self.all[lost as usize - 1]);
            assert!(is_told, "seed {seed}: {lost} was lost silently");
        }
        let event = &self.all[sequence as usize - 1];
        assert!(known.wanted.has(event), "seed {seed}: {sequence} is not for it: {event:?}");
        self.clients[client].through = sequence;
    }

    /// True when the topic no longer keeps the event: so many have come to it since.
    fn is_evicted(&self, sequence: u64, topic: usize) -> bool {
        let private = self.all[sequence as usize - 1].private;
        let newer = self.all[sequence as usize..].iter();
        let newer = newer.filter(|e| e.private == private && e.topics.contains(&topic));
        newer.count() >= self.kept
    }

    /// True when an event is not for a client, or no longer kept where the client meets it. Which
    /// topics these are of private events depends on how selectors and claims cover each other; one
    /// that has evicted it must be among the event's.
    fn may_miss(&self, client: usize, sequence: u64) -> bool {
        let (event, wanted) = (&self.all[sequence as usize - 1], &self.clients[client].wanted);
        let is_evicted = |topic: &usize| self.is_evicted(sequence, *topic);
        match event.private {
            _ if !wanted.has(event) => true,
            false => wanted.meets(event).iter().all(is_evicted),
            true => event.topics.iter().any(is_evicted),
        }
    }

    /// A client that was connected to the end has everything.
    fn check_complete(&mut self, client: usize) {
        let client = &self.clients[client];
        let mut missing = (client.through + 1..=self.all.len() as u64)
            .filter(|s| client.wanted.has(&self.all[*s as usize - 1]))
            .filter(|s| *s > client.told);
        assert_eq!(missing.next(), None, "seed {}: the end is missing", self.seed);
    }
}
