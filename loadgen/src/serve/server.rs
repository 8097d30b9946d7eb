//! The server itself: one thread, one poll loop, every connection in one table.
//!
//! The idea: a turn of the loop takes what sockets and timers have, turns publications into
//! deliveries through the [`Injector`], and only then writes, in the order in which subscribers
//! are to be served. One thread is what makes the faults exact: there is one order of events,
//! one order of subscribers, and a sleep of this thread is a stall of everything.
//!
//! What requests mean is decided in `routes.rs`, who is sent what in `delivery.rs`; this file knows
//! sockets and time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

use super::connection::{Connection, Progress, Role};
use super::history::Event;
use super::injector::{Injector, Piece};
use super::journal::{Journal, Line};
use super::script::Order;
use super::topics::Topics;
use super::wire::Writer;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);

/// Readiness taken from the kernel at once.
const EVENTS_PER_POLL: usize = 1024;

/// The wait of a poll is in whole milliseconds, rounded up; nearer deadlines are polled for.
const POLL_RESOLUTION: Duration = Duration::from_millis(1);

/// How the server writes, besides what [`Writer`] knows.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) write_bytes_max: usize,
    pub(super) order: Order,
    pub(super) history_events: usize,
    pub(super) retry: Option<Duration>,
    pub(super) heartbeat: Option<Duration>,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    poll: Poll,
    listener: TcpListener,
    /// Kept open for the poll set, never read: that it is readable is the whole message.
    _stop: UnixStream,
    pub(super) connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    serials: u64,
    pub(super) subscriptions: u32,
    pub(super) topics: Topics,
    pub(super) options: Options,
    pub(super) writer: Writer,
    pub(super) injector: Injector,
    pub(super) journal: Journal,
    /// Connections with something to write, in the order in which to write it.
    dirty: Vec<usize>,
    /// Connections that may have more to read though the kernel will not say so again.
    again: Vec<usize>,
    /// Events that a `delay` holds, with the time they were accepted.
    pub(super) delayed: VecDeque<(Instant, String, Rc<Event>)>,
    timers: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// Whom to serve, and what with; kept for their allocations.
    pub(super) places: Vec<usize>,
    pub(super) pieces: Vec<Piece>,
}

/// What is due at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Stall(Duration),
    Head { place: usize, serial: u64 },
    Heartbeat,
}

/// What a server is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) listener: TcpListener,
    /// Readable when the server is to stop.
    pub(super) stop: UnixStream,
    pub(super) options: Options,
    pub(super) writer: Writer,
    pub(super) injector: Injector,
    pub(super) journal: Journal,
}

impl Server {
    /// Registers the listener and says in the journal where it listens.
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        let Parts { mut listener, mut stop, options, writer, injector, mut journal } = parts;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        poll.registry().register(&mut stop, STOP, Interest::READABLE)?;
        let address = listener.local_addr()?;
        journal.write(&Line::Listening { address, epoch: writer.epoch.clone() })?;
        let mut server = Self {
            poll,
            listener,
            _stop: stop,
            connections: Vec::new(),
            free: Vec::new(),
            serials: 0,
            subscriptions: 0,
            topics: Topics::default(),
            options,
            writer,
            injector,
            journal,
            dirty: Vec::new(),
            again: Vec::new(),
            delayed: VecDeque::new(),
            timers: BinaryHeap::new(),
            places: Vec::new(),
            pieces: Vec::new(),
        };
        if let Some(interval) = server.options.heartbeat {
            server.set_timer(Instant::now() + interval, Timer::Heartbeat);
        }
        Ok(server)
    }

    /// Serves until the stop stream becomes readable, then writes the summary.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        loop {
            match self.poll.poll(&mut events, self.wait()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for place in std::mem::take(&mut self.again) {
                self.ready(place, true)?;
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    STOP => return self.journal.finish(),
                    Token(place) => self.ready(place, event.is_readable())?,
                }
            }
            self.run_due()?;
            self.flush();
        }
    }

    pub(super) fn set_timer(&mut self, due: Instant, timer: Timer) {
        self.timers.push(Reverse((due, timer)));
    }

    /// How long to wait for sockets: not at all while there is work, else until the next timer.
    fn wait(&self) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((due, _))| *due);
        let delayed = self.delayed.front().map(|(at, ..)| *at + self.injector.delay());
        let due = [timer, delayed].into_iter().flatten().min()?;
        let left = due.saturating_duration_since(Instant::now());
        Some(if left <= POLL_RESOLUTION { Duration::ZERO } else { left - POLL_RESOLUTION })
    }

    fn run_due(&mut self) -> io::Result<()> {
        let delay = self.injector.delay();
        while self.delayed.front().is_some_and(|(at, ..)| at.elapsed() >= delay) {
            let (at, topic, event) = self.delayed.pop_front().expect("just seen");
            self.journal.delayed(at.elapsed());
            self.deliver(&topic, &event)?;
        }
        let now = Instant::now();
        while self.timers.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let Reverse((due, timer)) = self.timers.pop().expect("just seen");
            match timer {
                Timer::Stall(by) => self.stall(by, None)?,
                Timer::Head { place, serial } => self.release_head(place, serial)?,
                Timer::Heartbeat => self.heartbeat(due),
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (mut socket, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            // A byte in a segment of its own is what 1-byte writes are for.
            socket.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(place), interest)?;
            self.serials += 1;
            self.connections[place] = Some(Connection::new(socket, peer, self.serials));
        }
    }

    /// Serves one connection that the kernel says is ready.
    fn ready(&mut self, place: usize, readable: bool) -> io::Result<()> {
        let Some(mut connection) = self.connections[place].take() else {
            return Ok(());
        };
        // One read and then the others' turn: what it publishes is in every subscriber's output
        // before the next read, and outputs must not grow by more than they have to.
        let progress = if readable { connection.read() } else { Progress::Blocked };
        if !connection.input.is_empty() {
            self.serve_input(place, &mut connection)?;
        }
        let over = progress == Progress::Over;
        if progress == Progress::More {
            self.again.push(place);
        }
        // A flush in between may have passed it over while it was in hand here.
        connection.dirty = false;
        self.mark(place, &mut connection);
        self.connections[place] = Some(connection);
        if over {
            self.close(place);
        }
        Ok(())
    }

    fn release_head(&mut self, place: usize, serial: u64) -> io::Result<()> {
        let Some(mut connection) = self.connections[place].take() else {
            return Ok(());
        };
        if connection.serial == serial {
            self.start_held_back(place, &mut connection)?;
            self.mark(place, &mut connection);
        }
        self.connections[place] = Some(connection);
        Ok(())
    }

    fn heartbeat(&mut self, due: Instant) {
        let mut places = std::mem::take(&mut self.places);
        self.topics.all_subscribers(&mut places);
        for &place in &places {
            let Some(mut connection) = self.connections[place].take() else {
                continue;
            };
            if let Role::Streaming { framing, .. } = connection.role {
                self.writer.heartbeat(framing, &mut connection.output);
            }
            self.mark(place, &mut connection);
            self.connections[place] = Some(connection);
        }
        self.places = places;
        let interval = self.options.heartbeat.expect("only then is the timer set");
        self.set_timer(due + interval, Timer::Heartbeat);
    }

    pub(super) fn mark(&mut self, place: usize, connection: &mut Connection) {
        let wants_flush = !connection.output.is_empty() || connection.closing.is_some();
        if wants_flush && !connection.dirty {
            connection.dirty = true;
            self.dirty.push(place);
        }
    }

    pub(super) fn flush(&mut self) {
        for place in std::mem::take(&mut self.dirty) {
            let Some(connection) = &mut self.connections[place] else {
                continue;
            };
            connection.dirty = false;
            let progress = connection.flush(self.options.write_bytes_max);
            let overflows = connection.overflows();
            self.journal.summary.overflows += u64::from(overflows);
            if progress == Progress::Over || overflows {
                self.close(place);
            }
        }
    }

    fn close(&mut self, place: usize) {
        let Some(mut connection) = self.connections[place].take() else {
            return;
        };
        if let Role::Streaming { topic, tap, .. } = &connection.role {
            self.topics.unsubscribe(topic, tap.arrival);
        }
        if connection.closing == Some(true) {
            // Without the option the close is an orderly one, which the client's report shows.
            let _ = socket2::SockRef::from(&connection.socket).set_linger(Some(Duration::ZERO));
        }
        // Dropping the socket would also do, after the kernel has found it in the poll set.
        let _ = self.poll.registry().deregister(&mut connection.socket);
        self.free.push(place);
    }
}
