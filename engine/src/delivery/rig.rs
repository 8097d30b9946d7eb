//! The delivery lane under operations that somebody else chooses: its sockets are numbers, its time
//! is an argument. Compiled for the fuzz targets only.
//!
//! Nothing is judged here but what no reader could see: that counts, tails and tables are what a
//! naive count over all slots says. What a reader can see is handed out, byte by byte.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::lane::{Outcome, Outgoing};
use super::*;
use crate::config::cli::LagPolicy;
use crate::event::{Epoch, Event, EventId};
use crate::stream;

/// Which life of the engine the rig's ids name.
const EPOCH: u64 = 0xabc;
const SUBSCRIBERS_MAX: usize = 16;
/// Of virtual time between two turns.
const STEP_NS: u64 = 20_000_000;

/// A socket that takes as much as it was given room for.
#[derive(Debug, Default)]
struct Socket {
    connection: usize,
    room: usize,
    waits: bool,
    broken: bool,
}

/// A kernel of such sockets.
#[derive(Debug, Default)]
struct Sockets {
    /// By slot.
    open: HashMap<u32, Socket>,
    /// What each connection was sent and nobody has taken yet.
    sent: Vec<Vec<u8>>,
    woken: Vec<Woken>,
    /// Room of the next socket.
    room: usize,
}

impl Lane for Sockets {
    fn attach(&mut self, slot: u32, _socket: BorrowedFd<'_>) -> io::Result<()> {
        let socket = Socket { connection: self.sent.len(), room: self.room, ..Socket::default() };
        self.sent.push(Vec::new());
        assert!(self.open.insert(slot, socket).is_none(), "a slot is attached when it is free");
        Ok(())
    }

    fn send(&mut self, sends: &[Outgoing<'_>], short: &mut dyn FnMut(usize, Outcome)) {
        for (index, send) in sends.iter().enumerate() {
            let socket = self.open.get_mut(&send.slot).expect("it is attached");
            assert!(!socket.waits, "a socket that waits for room is not sent to");
            if socket.broken {
                short(index, Outcome::Broken(Errno::CONNRESET));
                continue;
            }
            let whole: Vec<u8> = send.buffers.iter().flat_map(|b| b.iter().copied()).collect();
            assert!(!whole.is_empty(), "a send carries something");
            let taken = whole.len().min(socket.room);
            self.sent[socket.connection].extend(&whole[..taken]);
            socket.room -= taken;
            socket.waits = taken < whole.len();
            match taken {
                _ if !socket.waits => {}
                0 => short(index, Outcome::Full),
                _ => short(index, Outcome::Short(taken)),
            }
        }
    }

    fn harvest(&mut self, woken: &mut Vec<Woken>) {
        woken.append(&mut self.woken);
    }

    fn close(&mut self, slot: u32) {
        self.open.remove(&slot).expect("a slot is closed once");
        self.woken.retain(|event| match event {
            Woken::Hangup { slot: other, .. } | Woken::Writable { slot: other } => *other != slot,
        });
    }
}

/// See the module.
#[derive(Debug)]
pub struct Rig {
    delivery: Delivery<Sockets>,
    sequence: u64,
    now_ns: u64,
}

impl Rig {
    /// Histories of `kept` events a topic. `pinned_bytes_max` bounds what half-sent events hold;
    /// `disconnects` is `--lag disconnect`.
    #[must_use]
    pub fn new(kept: usize, pinned_bytes_max: usize, disconnects: bool) -> Rig {
        let settings = DeliverySettings {
            subscribers_max: SUBSCRIBERS_MAX,
            lag: if disconnects { LagPolicy::Disconnect } else { LagPolicy::Skip },
            pinned_bytes_max,
            ..DeliverySettings::with_history(EPOCH, kept)
        };
        let limits = Arc::new(Limits::new(SUBSCRIBERS_MAX, 0, 0));
        let lane = Sockets::default();
        let delivery = Delivery::new(settings, lane, Arc::new(Stats::new(1)), 0, limits);
        Rig { delivery, sequence: 0, now_ns: 0 }
    }

    /// Offers the next event. False, and it is not there, when it has to wait for a turn.
    pub fn publish(&mut self, topic: &str, data: &str) -> bool {
        let event = Event { topic, data, ..Event::default() };
        let id = EventId { epoch: Epoch::new(EPOCH), sequence: self.sequence + 1 };
        let frame = event.encode().expect("valid").number(id, self.now_ns);
        let taken = self.delivery.ingest(&frame);
        self.sequence += u64::from(taken);
        taken
    }

    /// Subscribes to topics with room for `room` bytes; gives the connection and the sequence after
    /// which it starts. None when there is no slot left.
    pub fn subscribe(
        &mut self,
        topics: &[String],
        last_event_id: Option<&str>,
        room: usize,
    ) -> Option<(usize, u64)> {
        let pass = self.delivery.limits.enter(IpAddr::V4(Ipv4Addr::LOCALHOST)).ok()?;
        let interest = Interest::Topics(topics);
        let resume = match last_event_id {
            None => self.delivery.topics.resume_live(self.sequence),
            Some(id) => self.delivery.topics.resume(interest, id, Epoch::new(EPOCH), self.sequence),
        };
        self.delivery.lane.room = room;
        let connection = self.delivery.lane.sent.len();
        let greeting = stream::greeting(1000, None).into();
        let socket = io::stderr();
        let subscribed =
            self.delivery.subscribe(interest, &resume, socket.as_fd(), pass, greeting, None);
        subscribed.expect("there is a slot for every pass");
        Some((connection, resume.sequence))
    }

    fn slot(&self, connection: usize) -> Option<u32> {
        let mut open = self.delivery.lane.open.iter();
        open.find(|(_, socket)| socket.connection == connection).map(|(slot, _)| *slot)
    }

    /// The connection's socket takes so many bytes more.
    pub fn give_room(&mut self, connection: usize, bytes: usize) {
        let Some(slot) = self.slot(connection) else { return };
        let lane = &mut self.delivery.lane;
        let socket = lane.open.get_mut(&slot).expect("just found");
        socket.room = socket.room.saturating_add(bytes);
        if bytes > 0 && std::mem::take(&mut socket.waits) {
            lane.woken.push(Woken::Writable { slot });
        }
    }

    /// The connection ends; `told` when the kernel says so before something is sent.
    pub fn end(&mut self, connection: usize, told: bool) {
        let Some(slot) = self.slot(connection) else { return };
        let lane = &mut self.delivery.lane;
        lane.open.get_mut(&slot).expect("just found").broken = true;
        if told {
            lane.woken.push(Woken::Hangup { slot, reset: false });
        }
    }

    /// Time passes and the lane makes a turn; true when it has more to do at once.
    pub fn turn(&mut self) -> bool {
        self.now_ns += STEP_NS;
        self.delivery.harvest();
        self.delivery.advance(self.now_ns);
        let now_ns = self.now_ns;
        self.delivery.turn(|| now_ns)
    }

    /// What the connection was sent since the last call.
    pub fn take(&mut self, connection: usize) -> Vec<u8> {
        std::mem::take(&mut self.delivery.lane.sent[connection])
    }

    /// Whether the connection is there on both sides.
    #[must_use]
    pub fn is_open(&self, connection: usize) -> bool {
        self.slot(connection).is_some_and(|slot| !self.delivery.lane.open[&slot].broken)
    }

    /// Ends all streams; true when all have ended.
    pub fn drain(&mut self) -> bool {
        if self.delivery.drain.is_none() {
            self.delivery.drain(self.now_ns);
        }
        self.turn();
        self.delivery.is_drained()
    }

    /// Counts everything anew.
    ///
    /// # Panics
    /// When a count, a list or a table is not what the slots say.
    pub fn check(&self) {
        let Delivery { slots, audiences, tails, behind, lane, topics, .. } = &self.delivery;
        let taken: Vec<(u32, &Slot)> = slots.iter().collect();
        assert_eq!(taken.len(), slots.count());
        assert_eq!(taken.len(), lane.open.len(), "a slot for each socket");
        assert_eq!(taken.len() as u64, self.delivery.limits.connections());
        let blocked = taken.iter().filter(|(_, slot)| slot.state == State::Blocked).count();
        assert_eq!(blocked, self.delivery.blocked);
        let members: usize = audiences.iter().map(Audience::len).sum();
        assert_eq!(members, taken.len(), "a place for each subscriber");
        for (index, slot) in &taken {
            let stands = behind.iter().filter(|other| *other == index).count();
            assert_eq!(stands, usize::from(slot.queued), "it stands in the queue once or never");
            assert!(slot.state != State::Behind || slot.queued, "its turn comes");
            let writable = lane.woken.contains(&Woken::Writable { slot: *index });
            let is_blocked = slot.state == State::Blocked;
            assert_eq!(lane.open[index].waits || writable, is_blocked, "it waits for room");
            assert!(!slot.has_tail || !tails.get(*index).is_empty(), "a rest is something");
            assert!(slot.cursor.sequence <= topics.head());
        }
        let holding = taken.iter().filter(|(_, slot)| slot.has_tail).count();
        assert!(holding > 0 || tails.pinned_bytes() == 0, "nobody holds what is counted");
        let reads =
            |slot: &&Slot| slot.state == State::Live && topics.lag(slot.set, slot.cursor) > 0;
        let waiting = taken.iter().map(|(_, slot)| *slot).filter(reads);
        for slot in waiting {
            assert!(audiences[slot.set.0 as usize].queued, "a set with something new is swept");
        }
    }
}
