//! The sending half of one publisher connection.
//!
//! The idea: requests wait in a queue until the kernel takes them, without blocking. A request
//! is stamped when its first byte is about to go, and from then on its answer is awaited. When a
//! connection fails, a request that was begun is lost with it; the ones behind go out on the
//! next connection.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use hdrhistogram::Histogram;
use socket2::SockRef;

use super::answers::{Answers, Awaited};
use super::{Fate, Fates, enter_measured};
use crate::client::course::Course;
use crate::clock;
use crate::profile::Recipe;
use crate::stamp::Stamp;

/// A request on its way.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) bytes: Vec<u8>,
    /// Where the payloads stand in `bytes`.
    pub(super) places: Vec<std::ops::Range<usize>>,
    /// Their stamps.
    pub(super) stamps: Vec<Stamp>,
    /// Their events.
    pub(super) events: Vec<u32>,
    /// When the request is to go: when the first of its events is due, and later where more are
    /// gathered.
    pub(super) planned_ns: u64,
}

/// The sending half of a connection.
#[derive(Debug)]
pub(super) struct Link {
    course: Arc<Course>,
    fates: Arc<Fates>,
    /// The connection, and its number among those of this link.
    socket: Option<(u32, TcpStream)>,
    /// Connections as the reading half makes them.
    fresh: Receiver<(u32, TcpStream)>,
    awaited: Sender<Awaited>,
    unsent: VecDeque<Outgoing>,
    /// Whether the first request is stamped, and its answer awaited.
    begun: bool,
    /// Bytes of it that are sent.
    offset: usize,
}

/// Connects, and gives both halves.
///
/// # Errors
///
/// If the server cannot be reached.
pub(super) fn connect(
    course: &Arc<Course>,
    recipe: &Recipe,
    fates: &Arc<Fates>,
) -> io::Result<(Link, Answers)> {
    let (send, fresh) = crossbeam_channel::unbounded();
    let (awaited, answered) = crossbeam_channel::unbounded();
    let answers = Answers::connect(course.clone(), fates.clone(), recipe.address, send, answered)?;
    let link = Link {
        course: course.clone(),
        fates: fates.clone(),
        socket: None,
        fresh,
        awaited,
        unsent: VecDeque::new(),
        begun: false,
        offset: 0,
    };
    Ok((link, answers))
}

impl Link {
    /// Adds a request behind all others.
    pub(super) fn queue(&mut self, outgoing: Outgoing) {
        self.unsent.push_back(outgoing);
    }

    /// Whether requests wait for the kernel to take them.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The events of requests that the server's end has not taken a byte of.
    pub(super) fn withheld(&self) -> impl Iterator<Item = u32> {
        // Those of a request that was begun have gone to the reading half.
        self.unsent.iter().flat_map(|outgoing| outgoing.events.iter().copied())
    }

    /// Sends what can be sent without waiting.
    pub(super) fn flush(&mut self, slip: &mut Histogram<u64>) {
        while !self.unsent.is_empty() {
            while let Ok(fresh) = self.fresh.try_recv() {
                self.drop_begun();
                self.socket = Some(fresh);
            }
            let Some((connection, _)) = self.socket else { return };
            if self.unsent.is_empty() {
                return;
            }
            if !self.begun {
                self.begin(connection, slip);
            }
            match self.send() {
                Ok(sent) => self.offset += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.drop_begun();
                    self.socket = None;
                    return;
                }
            }
            if self.offset == self.unsent[0].bytes.len() {
                self.offset = 0;
                self.begun = false;
                self.unsent.pop_front();
            }
        }
    }

    /// Forgets a request that was begun on a connection that is gone. Its events are failed by
    /// the reading half, which awaits them.
    fn drop_begun(&mut self) {
        if self.begun {
            self.offset = 0;
            self.begun = false;
            self.unsent.pop_front();
        }
    }

    /// Stamps the first request and awaits its answer.
    fn begin(&mut self, connection: u32, slip: &mut Histogram<u64>) {
        self.begun = true;
        let outgoing = &mut self.unsent[0];
        let now_ns = clock::now_ns();
        for ((stamp, place), &event) in
            outgoing.stamps.iter_mut().zip(&outgoing.places).zip(&outgoing.events)
        {
            stamp.slip_ns = now_ns.saturating_sub(stamp.intended_ns);
            stamp.write(&mut outgoing.bytes[place.clone()]);
            let late_ns = now_ns.saturating_sub(outgoing.planned_ns.max(stamp.intended_ns));
            enter_measured(&self.course, slip, event, late_ns);
            self.fates.set(event, Fate::Sent);
        }
        // Before the first byte goes: the answer may be there before this thread runs again.
        let events = std::mem::take(&mut outgoing.events);
        let _ = self.awaited.send(Awaited { connection, events });
    }

    fn send(&self) -> io::Result<usize> {
        let (_, socket) = self.socket.as_ref().expect("a connection");
        let rest = &self.unsent[0].bytes[self.offset..];
        SockRef::from(socket).send_with_flags(rest, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    }
}
