//! From an accepted publication to bytes in the outputs of its subscribers, faults included.
//!
//! Everything here happens between a read and the flush of the same turn, on the one thread of
//! the server, so the order of events and the order of subscribers are what they seem.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::{Connection, Role};
use super::history::Event;
use super::injector::{Injected, Piece};
use super::journal::{Injection, quote};
use super::server::{Server, Timer};
use crate::clock;

impl Server {
    /// Numbers and keeps an event, and delivers it now or when its delay is over.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        name: Option<String>,
        data: Vec<u8>,
    ) -> io::Result<String> {
        let event = self.topics.accept(topic, name, data, self.options.history_events);
        if self.journal.summary.events == 0 {
            for (at, by) in self.injector.timed_stalls() {
                self.set_timer(Instant::now() + at, Timer::Stall(by));
            }
        }
        self.journal.summary.events += 1;
        if let Some(by) = self.injector.stall_at_event(event.number) {
            self.stall(by, Some((topic, &event)))?;
        }
        if self.injector.delay().is_zero() {
            self.deliver(topic, &event)?;
        } else {
            self.delayed.push_back((Instant::now(), topic.to_owned(), Rc::clone(&event)));
        }
        Ok(self.writer.id(event.number))
    }

    pub(super) fn deliver(&mut self, topic: &str, event: &Rc<Event>) -> io::Result<()> {
        let mut places = std::mem::take(&mut self.places);
        self.topics.serve_order(topic, self.options.order, &mut places);
        for &place in &places {
            let Some(mut connection) = self.connections[place].take() else {
                continue;
            };
            self.deliver_to(&mut connection, event)?;
            self.mark(place, &mut connection);
            self.connections[place] = Some(connection);
        }
        self.places = places;
        Ok(())
    }

    /// Puts one event, or what a fault makes of it, into the output of one subscriber.
    pub(super) fn deliver_to(
        &mut self,
        connection: &mut Connection,
        event: &Rc<Event>,
    ) -> io::Result<()> {
        let Role::Streaming { topic, tap, .. } = &mut connection.role else {
            return Ok(());
        };
        if connection.closing.is_some() {
            return Ok(());
        }
        let mut pieces = std::mem::take(&mut self.pieces);
        let injected = self.injector.deliver(tap, event, &mut pieces);
        if !injected.is_empty() {
            let (topic, number) = (topic.clone(), tap.number);
            for injected in &injected {
                self.record(&topic, number, connection.peer, injected)?;
            }
        }
        self.write_pieces(connection, &mut pieces);
        self.pieces = pieces;
        Ok(())
    }

    /// Puts pieces into the output of one subscriber and leaves none.
    pub(super) fn write_pieces(&mut self, connection: &mut Connection, pieces: &mut Vec<Piece>) {
        let Role::Streaming { framing, .. } = &connection.role else {
            return;
        };
        for piece in pieces.drain(..) {
            match piece {
                Piece::Event(event, corrupted) => {
                    self.journal.summary.deliveries += 1;
                    self.writer.event(*framing, &event, corrupted, &mut connection.output);
                }
                Piece::Gap { hole, after } => {
                    self.writer.gap(*framing, hole, after, &mut connection.output);
                }
                Piece::Close { reset } => connection.closing = Some(reset),
            }
        }
    }

    pub(super) fn record(
        &mut self,
        topic: &str,
        subscriber: u32,
        peer: SocketAddr,
        injected: &Injected,
    ) -> io::Result<()> {
        self.journal.injected(Injection {
            fault: injected.fault.to_owned(),
            at_ns: clock::now_ns(),
            topic: Some(topic.to_owned()),
            subscriber: Some(subscriber),
            peer: Some(peer),
            event: injected.event.as_ref().map(|event| event.number),
            data: injected.event.as_ref().map(|event| quote(&event.data)),
            missing: injected.missing,
            told: injected.told.map(str::to_owned),
            lasted_ns: None,
        })
    }

    /// Stands still, and notes for how long it really was. What was delivered before goes out
    /// before, or the stall would reach back to earlier events of the same turn.
    pub(super) fn stall(&mut self, by: Duration, at: Option<(&str, &Event)>) -> io::Result<()> {
        self.flush();
        let (at_ns, start) = (clock::now_ns(), Instant::now());
        std::thread::sleep(by);
        self.journal.injected(Injection {
            fault: "stall".to_owned(),
            at_ns,
            topic: at.map(|(topic, _)| topic.to_owned()),
            event: at.map(|(_, event)| event.number),
            data: at.map(|(_, event)| quote(&event.data)),
            lasted_ns: u64::try_from(start.elapsed().as_nanos()).ok(),
            ..Injection::default()
        })
    }
}
