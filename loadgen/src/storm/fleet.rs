//! The fleet: every subscriber's socket on one poll loop, connecting, reading, cut off, back.
//!
//! Invariants: `sockets[i]` is there exactly while member `i` is connecting, opening or open;
//! a timer belongs to the connection whose `life` it carries and is ignored afterwards.
//!
//! What a subscriber makes of its bytes is `member.rs`; when waves come is `storm.rs`.

mod wave;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::account::{Account, WaveAccount};
use super::dial;
use super::member::{Back, Member, Part, State, Unusable};
use super::payload::Payloads;
use crate::client::fleet::Request;
use crate::profile::Resume;

pub(super) use wave::CutBy;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Connections being made at a time before the first wave: below the shortest accept queue in
/// use, 128. In a wave there is no such limit: the herd is what a storm is about.
const CONNECTING_MAX: usize = 100;

/// Longest wait for a connection and for a response head.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Readiness taken from the kernel at once.
const EVENTS_PER_POLL: usize = 1024;

/// What the fleet subscribes to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// What opens a stream, without where it was left.
    pub(super) request: Request,
    /// How it says where it left.
    pub(super) resume: Resume,
    pub(super) back: Back,
    /// Tells the storm's events from others.
    pub(super) payloads: Payloads,
}

/// All subscribers.
#[derive(Debug)]
pub(super) struct Fleet {
    target: Target,
    poll: Poll,
    events: Events,
    pub(super) members: Vec<Member>,
    sockets: Vec<Option<TcpStream>>,
    /// Counts the connections of each member.
    lives: Vec<u32>,
    timers: BinaryHeap<Reverse<(Instant, usize, u32, Due)>>,
    /// Members that may connect as soon as fewer others are connecting.
    waiting: VecDeque<usize>,
    connecting: usize,
    connecting_max: usize,
    open: usize,
    pub(super) wave: WaveAccount,
    pub(super) cut_by: CutBy,
    /// Numbers that may legitimately come twice.
    pub(super) again: BTreeSet<u64>,
    /// The newest number that is known to be published.
    pub(super) published: u64,
    pub(super) account: Account,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Return,
    ConnectTimeout,
    CutTimeout,
}

impl Fleet {
    /// A fleet of `count` subscribers, all away.
    pub(super) fn new(target: Target, count: usize, cut_by: CutBy) -> io::Result<Self> {
        Ok(Self {
            target,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_PER_POLL),
            members: (0..count).map(|_| Member::new()).collect(),
            sockets: (0..count).map(|_| None).collect(),
            lives: vec![0; count],
            timers: BinaryHeap::new(),
            waiting: (0..count).collect(),
            connecting: 0,
            connecting_max: CONNECTING_MAX,
            open: 0,
            wave: WaveAccount::default(),
            cut_by,
            again: BTreeSet::new(),
            published: 0,
            account: Account::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// What tells the storm's events from others.
    pub(super) fn payloads(&self) -> &Payloads {
        &self.target.payloads
    }

    /// Members with an open stream.
    pub(super) fn open_count(&self) -> usize {
        self.open
    }

    /// Whether every member has an open stream, or none for good.
    pub(super) fn is_settled(&self) -> bool {
        self.open as u64 + self.account.gone == self.members.len() as u64
    }

    /// Takes what sockets and timers have, and waits for it at most until `until`.
    pub(super) fn turn(&mut self, until: Instant) -> io::Result<()> {
        self.connect_waiting()?;
        let timer = self.timers.peek().map_or(until, |Reverse((due, ..))| *due);
        let wait = timer.min(until).saturating_duration_since(Instant::now());
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            self.ready(event.token().0, event.is_writable())?;
        }
        self.events = events;
        self.run_due()
    }

    fn run_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        while self.timers.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Reverse((_, index, life, due)) = self.timers.pop().expect("just seen");
            if self.lives[index] != life {
                continue;
            }
            let state = self.members[index].state;
            match due {
                Due::Return if state == State::Away => self.waiting.push_back(index),
                Due::ConnectTimeout if matches!(state, State::Connecting | State::Opening) => {
                    self.account.timeout += 1;
                    self.disconnect(index, now);
                }
                Due::CutTimeout if self.members[index].cut_after.is_some() => {
                    self.cut(index, now)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn set_timer(&mut self, due: Instant, index: usize, what: Due) {
        self.timers.push(Reverse((due, index, self.lives[index], what)));
    }

    fn connect_waiting(&mut self) -> io::Result<()> {
        while self.connecting < self.connecting_max {
            let Some(index) = self.waiting.pop_front() else {
                return Ok(());
            };
            let mut socket = dial::connect(self.target.address, index)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(index), interest)?;
            self.sockets[index] = Some(socket);
            self.lives[index] += 1;
            self.connecting += 1;
            self.members[index].state = State::Connecting;
            self.set_timer(Instant::now() + CONNECT_TIMEOUT, index, Due::ConnectTimeout);
        }
        Ok(())
    }

    fn ready(&mut self, index: usize, writable: bool) -> io::Result<()> {
        let Some(socket) = &mut self.sockets[index] else {
            return Ok(());
        };
        if self.members[index].state == State::Connecting {
            match socket.take_error() {
                Ok(None) if writable => {}
                Ok(None) => return Ok(()),
                Ok(Some(error)) | Err(error) => return self.failed(index, &error),
            }
            let request = dial::request(&self.target, index, &self.members[index].last_event_id);
            // A fresh socket takes a request head whole, or it is broken.
            if let Err(error) = socket.write_all(&request) {
                return self.failed(index, &error);
            }
            self.members[index].state = State::Opening;
        }
        self.read(index)
    }

    /// Reads until the socket is empty, or up to the byte at which the member is cut off.
    fn read(&mut self, index: usize) -> io::Result<()> {
        loop {
            let Some(socket) = &mut self.sockets[index] else {
                return Ok(());
            };
            let member = &mut self.members[index];
            let left = member.cut_after.map_or(READ_BYTES, |left| {
                usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES)
            });
            let count = match socket.read(&mut self.buffer[..left]) {
                Ok(0) => return self.lost(index),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.failed(index, &error),
            };
            self.account.bytes += count as u64;
            let (was, again) = (member.state, &self.again);
            let proof = &mut self.account.proof;
            let result = member.read(
                &self.buffer[..count],
                &self.target.payloads,
                |number| again.contains(&number),
                proof,
            );
            if was == State::Opening && member.state == State::Open {
                self.opened(index);
            }
            if let Err(unusable) = result {
                self.unusable(index, unusable);
                return Ok(());
            }
            self.note_catch_up(index);
            let member = &mut self.members[index];
            if let Some(left) = &mut member.cut_after {
                *left -= count as u64;
                if *left == 0 {
                    return self.cut(index, Instant::now());
                }
            }
        }
    }

    fn opened(&mut self, index: usize) {
        let now = Instant::now();
        self.connecting -= 1;
        self.open += 1;
        let member = &mut self.members[index];
        if let Some(lost_at) = member.lost_at.take() {
            if member.part == Part::Dropped {
                member.part = Part::None;
                self.wave.pending -= 1;
                self.wave.back.push(now);
            }
            self.account.recovered(now - lost_at);
            member.catching_up = Some((self.published, now));
        }
    }

    fn note_catch_up(&mut self, index: usize) {
        let member = &mut self.members[index];
        if let Some((number, since)) = member.catching_up
            && member.newest >= number
        {
            self.account.caught_up(since.elapsed());
            member.catching_up = None;
        }
    }

    /// The connection ended without our doing.
    fn lost(&mut self, index: usize) -> io::Result<()> {
        self.account.lost += 1;
        self.disconnect(index, Instant::now());
        Ok(())
    }

    fn failed(&mut self, index: usize, error: &io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => self.account.refused += 1,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => self.account.reset += 1,
            io::ErrorKind::TimedOut => self.account.timeout += 1,
            _ => return Err(io::Error::new(error.kind(), error.to_string())),
        }
        self.disconnect(index, Instant::now());
        Ok(())
    }

    fn unusable(&mut self, index: usize, unusable: Unusable) {
        match unusable {
            Unusable::Malformed(_) => {
                self.account.malformed += 1;
                self.disconnect(index, Instant::now());
            }
            Unusable::Refused(reason) => {
                self.disconnect(index, Instant::now());
                let member = &mut self.members[index];
                member.state = State::GoneForGood;
                if std::mem::replace(&mut member.part, Part::None) != Part::None {
                    self.wave.pending -= 1;
                }
                self.account.gone += 1;
                self.account.gone_reason.get_or_insert(reason);
            }
        }
    }

    /// Drops the socket of a member and plans its return.
    fn disconnect(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        match member.state {
            State::Connecting | State::Opening => self.connecting -= 1,
            State::Open => {
                self.open -= 1;
                if member.part == Part::Chosen {
                    member.part = Part::Dropped;
                    self.wave.dropped += 1;
                }
            }
            State::Away | State::GoneForGood => {}
        }
        member.disconnect(now);
        let delay = member.delay(self.target.back);
        self.sockets[index] = None;
        self.set_timer(now + delay, index, Due::Return);
    }
}
