//! What still lay in the sockets when a thread stopped reading.
//!
//! The idea: an event that was due and has not been read is lost only if it is not on its way any
//! more. The kernel says how many bytes wait in a socket (SIOCINQ); who has some, or was being
//! served up to the last moment, has left events unread, and nobody can call them lost.
//!
//! It asks for those subscribers only that lack something, and never waits longer than
//! [`ASKING_NS_MAX`].

use std::collections::HashMap;

use super::Reader;
use crate::client::ring::{Completion, Kind};
use crate::clock;

/// Questions under way at a time: their answers fit in the completion queue many times over.
const ASKED_MAX: usize = 256;

/// Longest wait for all that the kernel says at once: a million answers take a second or two.
const ASKING_NS_MAX: u64 = 5_000_000_000;

/// Longest wait for the answers of one round before it is looked at the clock again.
const ROUND_NS: u64 = 10_000_000;

/// A thread that has read a delivery so short a time ago was not out of deliveries. A run ends its
/// drain after a multiple of that without one; see `run::phases`.
const HEARD_NS: u64 = 100_000_000;

/// What subscribers have left unread.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Bytes by subscriber of this thread, where there are some.
    bytes: HashMap<usize, u64>,
    /// Whether the kernel has answered for everyone that was asked for.
    known: bool,
    /// Deliveries came up to the end: nobody's stream is known to be over.
    flowing: bool,
}

impl Unread {
    /// Whether a subscriber had more to be read.
    pub(super) fn has(&self, local: usize) -> bool {
        self.flowing || self.bytes.contains_key(&local)
    }

    /// All bytes together; `None` if the kernel does not say (before Linux 6.7).
    pub(super) fn bytes(&self) -> Option<u64> {
        self.known.then(|| self.bytes.values().sum())
    }
}

impl Reader {
    /// What those subscribers have left unread that have not received everything. To be asked when
    /// nothing is read any more.
    pub(super) fn unread(&mut self, now_ns: u64) -> Unread {
        let lacks = |&local: &usize| {
            self.subscribers[local].is_open()
                && self.recorder.lacks(local, self.session(local, 0).topic, now_ns)
        };
        let asked: Vec<usize> = (0..self.subscribers.len()).filter(lacks).collect();
        let mut unread = self.inquire(&asked);
        // A run that was cut short is in the middle of its deliveries: that says nothing.
        let heard = now_ns.saturating_sub(self.recorder.heard_ns) < HEARD_NS;
        unread.flowing = heard && (self.course.is_drained() || !unread.known);
        unread
    }

    /// What the slow subscribers have left unread: neither delivered nor lost.
    pub(super) fn unread_of_slow(&mut self) -> Unread {
        let asked: Vec<usize> = self.slow.iter().map(|&local| local as usize).collect();
        self.inquire(&asked)
    }

    /// Asks for the bytes in the sockets of these subscribers.
    fn inquire(&mut self, asked: &[usize]) -> Unread {
        let mut unread = Unread { known: true, ..Unread::default() };
        let deadline_ns = clock::now_ns() + ASKING_NS_MAX;
        let slots_max = self.pack.slots_max;
        for of_one_ring in asked.chunk_by(|one, next| one / slots_max == next / slots_max) {
            for round in of_one_ring.chunks(ASKED_MAX) {
                self.ask(round, deadline_ns, &mut unread);
            }
        }
        unread
    }

    /// Asks for some subscribers of one ring, and takes the answers.
    fn ask(&mut self, round: &[usize], deadline_ns: u64, unread: &mut Unread) {
        let ring = self.slot(round[0]).0;
        for &local in round {
            let tag = self.tag(Kind::Unread, local);
            self.rings[ring].inquire(tag.slot, tag);
        }
        let mut answered = 0;
        let mut harvest = Vec::new();
        while answered < round.len() && clock::now_ns() < deadline_ns {
            self.rings[ring].wait(ROUND_NS, 0);
            self.rings[ring].harvest(&mut harvest);
            for completion in harvest.drain(..) {
                answered += usize::from(completion.tag.kind == Kind::Unread);
                self.take_answer(ring, &completion, unread);
                completion.buffer.into_iter().for_each(|it| self.rings[ring].recycle(it));
            }
        }
        unread.known &= answered == round.len();
    }

    fn take_answer(&self, ring: usize, completion: &Completion, unread: &mut Unread) {
        let bytes = match completion.tag.kind {
            Kind::Unread => {
                unread.known &= completion.result >= 0;
                u64::try_from(completion.result).unwrap_or(0)
            }
            // What is received while the questions are asked was unread before as well.
            Kind::Receive => {
                self.rings[ring].content(completion).map_or(0, |content| content.bytes.len() as u64)
            }
            _ => 0,
        };
        let local = ring * self.pack.slots_max + completion.tag.slot as usize;
        if bytes > 0 && completion.tag.session == self.subscribers[local].session {
            *unread.bytes.entry(local).or_default() += bytes;
        }
    }
}
