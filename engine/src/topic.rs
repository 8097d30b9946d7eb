//! Topics: bounded histories of frames, the sets of topics that subscribers listen to, and the
//! batches that lie between a cursor and the head.
//!
//! The one idea of the engine lives here: **a topic is a bounded history, a subscriber is a cursor
//! into it.** Live delivery, replay, lag and gaps are all answers to one question, [`Topics::batch`]:
//! what comes after this cursor?
//!
//! A cursor is a sequence. Sequences order all topics at once, so one cursor is valid for any set of
//! topics: the batch of a set is the merge of its histories by sequence. Sets are interned; a
//! million subscribers of one set share it. Selectors are views, which are members of sets as topics
//! are.
//!
//! An event of several topics is in the history of each, by a handle, and comes to a set once.
//! Private events are in histories of their own: a name stands for two topics, a public and a private
//! one, and who may see no private events has no set with the second.
//!
//! Invariants:
//! - Sequences grow along each history, and never fall along `order`.
//! - `evicted_through` of a topic is the sequence of its newest event that it no longer keeps, but for
//!   those that another topic keeps (`loss.rs`). A cursor below it has a gap; a cursor at or above it
//!   has none.
//! - Every event that is evicted was evicted by one of the bounds of [`Bounds`], oldest first.
//! - A history keeps at least its newest event until that is too old, whatever its size: what is
//!   not in a history cannot be delivered. So the bounds in bytes hold but for one event a topic
//!   and one event in total.
//!
//! This module knows events and selectors; it knows no clock, no sockets and no subscribers.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use slab::Slab;

use crate::event::Frame;

mod batch;
mod complete;
mod evict;
mod forgotten;
mod interest;
mod loss;
mod member;
mod merge;
mod resume;
mod sets;
mod view;

pub use batch::{Batch, BatchBounds, Cursor, Gap, GapReason, Piece, Standing};
pub use forgotten::FORGOTTEN_OVERHEAD_BYTES;
pub use interest::{Interest, PAIRS_MAX, pairs};
pub use member::Member;
pub use resume::Resume;
pub use sets::SetIndex;

use forgotten::Forgotten;
use loss::SharedEvents;
use sets::Sets;
use view::Views;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod view_tests;

/// Memory of one kept event beside its text: the frame in the history of one worker, its entry in
/// the order of all events, and the reference count of its bytes.
pub const EVENT_OVERHEAD_BYTES: usize = size_of::<Frame>() + size_of::<(u64, u32)>() + 48;
/// Memory of one topic beside its name and its events.
pub const TOPIC_OVERHEAD_BYTES: usize = size_of::<Topic>() + 96;

/// How much is kept for replay.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Events of one topic.
    pub events_max: usize,
    /// Bytes of one topic.
    pub bytes_max: usize,
    /// Bytes of all topics.
    pub bytes_total_max: usize,
    /// Bytes of the lists of all views, before more of them shortens the histories; no stream starts
    /// that would need more.
    pub views_bytes_max: usize,
    /// Age in nanoseconds; `u64::MAX` for none.
    pub age_ns_max: u64,
    /// Names of forgotten topics whose last sequence is remembered, of public and of private ones
    /// each; and so many times [`TOPIC_BYTES_MAX`] bytes of names.
    pub forgotten_max: usize,
}

/// One topic: its history and who listens.
#[derive(Debug)]
struct Topic {
    name: Rc<str>,
    /// True for the topic of the private events of its name.
    private: bool,
    history: VecDeque<Frame>,
    /// Sequence of its newest event, kept or not; 0 when there was none since the topic exists.
    newest: u64,
    /// Sequence of the newest event no longer kept; 0 when none was lost.
    evicted_through: u64,
    /// Bytes of the kept events, overhead included.
    bytes: usize,
    /// The sets it is part of.
    sets: Vec<SetIndex>,
    /// The views that match its name, as they were at this version of the views.
    views: Vec<u32>,
    views_version: u64,
}

impl Topic {
    /// Index in the history of the first event after `cursor`.
    fn position(&self, cursor: u64) -> usize {
        // Most cursors that are not at the head are just behind it.
        let length = self.history.len();
        if length > 1 && self.history[length - 2].sequence > cursor {
            self.history.partition_point(|frame| frame.sequence <= cursor)
        } else {
            length - usize::from(self.history.back().is_some_and(|last| last.sequence > cursor))
        }
    }

    fn is_unused(&self) -> bool {
        self.sets.is_empty() && self.history.is_empty()
    }
}

/// All topics of one worker.
#[derive(Debug)]
pub struct Topics {
    bounds: Bounds,
    /// Public and private topics by name. Looked up as bytes: those of a frame are not checked to be
    /// UTF-8 again.
    names: [HashMap<Rc<[u8]>, u32>; 2],
    topics: Slab<Topic>,
    sets: Sets,
    views: Views,
    shared: SharedEvents,
    /// Sequence and topic of all kept events, oldest first; once for each topic of an event. Entries
    /// whose event was evicted by a bound of its own topic stay until they reach the front or
    /// outnumber the others.
    order: VecDeque<(u64, u32)>,
    /// Id and sequence of each kept event whose publisher chose its id.
    own_ids: BTreeSet<(Rc<str>, u64)>,
    /// The same for each topic of the event.
    own_ids_by_topic: BTreeSet<(u32, Rc<str>, u64)>,
    /// Public and private topics that have gone.
    forgotten: [Forgotten; 2],
    head: u64,
    /// Sequence of the newest event that any topic has evicted.
    newest_lost: u64,
    /// Places in histories.
    events: usize,
    bytes: usize,
    name_bytes: usize,
    runs: merge::Runs,
}

impl Topics {
    /// No topics, to be kept within `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Topics {
        Topics {
            bounds,
            names: [HashMap::new(), HashMap::new()],
            topics: Slab::new(),
            sets: Sets::default(),
            views: Views::default(),
            shared: SharedEvents::default(),
            order: VecDeque::new(),
            own_ids: BTreeSet::new(),
            own_ids_by_topic: BTreeSet::new(),
            forgotten: [(); 2].map(|()| Forgotten::new(bounds.forgotten_max)),
            head: 0,
            newest_lost: 0,
            events: 0,
            bytes: 0,
            name_bytes: 0,
            runs: merge::Runs::default(),
        }
    }

    /// Sequence of the newest event of any topic.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Number of topics that are kept or listened to.
    #[must_use]
    pub fn count(&self) -> usize {
        self.topics.len()
    }

    /// Number of distinct sets of topics with subscribers.
    #[must_use]
    pub fn set_count(&self) -> usize {
        self.sets.len()
    }

    /// Number of kept events, one of several topics counted in each.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.events
    }

    /// Bytes of the kept events, overhead included.
    #[must_use]
    pub fn event_bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the tables of topics and sets, events not included.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.topics.capacity() * TOPIC_OVERHEAD_BYTES
            + self.order.capacity() * size_of::<(u64, u32)>()
            + self.sets.table_bytes()
            + self.views.table_bytes()
    }

    /// Bytes of the names of all topics, and of the selectors of all views.
    #[must_use]
    pub fn name_bytes(&self) -> usize {
        self.name_bytes + self.views.key_bytes()
    }

    /// True when a topic of this name exists, for public or for private events.
    #[must_use]
    pub fn contains(&self, name: &str, private: bool) -> bool {
        self.index(name.as_bytes(), private).is_some()
    }

    /// Appends the next event to the histories of its topics; `touched` is called with each set that
    /// it comes to, once.
    ///
    /// # Panics
    /// When its sequence is not above all earlier ones: the one order of all events is broken.
    pub fn append(&mut self, frame: Frame, mut touched: impl FnMut(SetIndex)) {
        assert!(frame.sequence > self.head, "events arrive in the order of their sequences");
        self.head = frame.sequence;
        self.bytes += frame.memory_bytes();
        if frame.has_alternates() {
            let private = frame.is_private();
            let topics: Box<[u32]> = frame.topics().map(|name| self.topic(name, private)).collect();
            self.remember_own_id(&frame, &topics);
            topics.iter().for_each(|topic| self.push(*topic, frame.clone(), &mut touched));
            self.shared.insert(self.head, topics);
        } else {
            let topic = self.first_topic(&frame);
            self.remember_own_id(&frame, &[topic]);
            self.push(topic, frame, &mut touched);
        }
        if self.order.len() > 64 + 2 * self.events {
            self.drop_stale_order();
        }
    }

    /// Makes the event found by the id that its publisher chose, if it did.
    #[inline]
    fn remember_own_id(&mut self, frame: &Frame, topics: &[u32]) {
        let Some(id) = frame.own_id() else { return };
        let id: Rc<str> = id.into();
        let of_topics = topics.iter().map(|topic| (*topic, Rc::clone(&id), frame.sequence));
        self.own_ids_by_topic.extend(of_topics);
        self.own_ids.insert((id, frame.sequence));
    }

    /// Appends the event at the head to the history of one of its topics.
    fn push(&mut self, index: u32, frame: Frame, touched: &mut impl FnMut(SetIndex)) {
        self.refresh_views(index);
        self.bytes += EVENT_OVERHEAD_BYTES;
        self.events += 1;
        self.order.push_back((self.head, index));
        let topic = &mut self.topics[index as usize];
        topic.bytes += frame.memory_bytes() + EVENT_OVERHEAD_BYTES;
        topic.newest = frame.sequence;
        topic.history.push_back(frame);
        for &set in &topic.sets {
            if self.sets.append(set, self.head) {
                touched(set);
            }
        }
        if !topic.views.is_empty() {
            self.push_to_views(index, touched);
        }
    }

    /// Appends the event at the head, the newest of a topic, to the views that match the topic.
    fn push_to_views(&mut self, index: u32, touched: &mut impl FnMut(SetIndex)) {
        let topic = &self.topics[index as usize];
        let frame = topic.history.back().expect("it was appended");
        for &view in topic.views.iter().filter(|view| self.views.has(**view, frame)) {
            for &set in self.views.sets(view) {
                if self.sets.append(set, self.head) {
                    touched(set);
                }
            }
        }
        let topics = &self.topics;
        let topic = &topics[index as usize];
        let frame = topic.history.back().expect("it was appended");
        for &view in &topic.views {
            if self.views.has(view, frame) {
                self.views.append(view, self.head, index, topics);
            }
        }
    }

    /// Index of the topic of this name, if it exists.
    #[inline]
    fn index(&self, name: &[u8], private: bool) -> Option<u32> {
        self.names[usize::from(private)].get(name).copied()
    }

    /// Index of the topic of this name, which is created if need be.
    fn topic(&mut self, name: &str, private: bool) -> u32 {
        let index = self.index(name.as_bytes(), private);
        index.unwrap_or_else(|| self.create_topic(name, private))
    }

    /// Index of the first topic of an event, which is created if need be.
    #[inline]
    fn first_topic(&mut self, frame: &Frame) -> u32 {
        let index = self.index(frame.topic_bytes(), frame.is_private());
        index.unwrap_or_else(|| self.create_topic(frame.topic(), frame.is_private()))
    }

    fn create_topic(&mut self, name: &str, private: bool) -> u32 {
        let name: Rc<str> = name.into();
        let index = self.topics.insert(Topic {
            name: Rc::clone(&name),
            private,
            history: VecDeque::new(),
            newest: 0,
            evicted_through: self.forgotten[usize::from(private)].evicted_through(&name),
            bytes: 0,
            sets: Vec::new(),
            views: Vec::new(),
            views_version: 0,
        }) as u32;
        self.name_bytes += name.len();
        self.names[usize::from(private)].insert(name.into(), index);
        index
    }

    fn forget_if_unused(&mut self, index: u32) {
        if !self.topics[index as usize].is_unused() {
            return;
        }
        // An event that it has evicted and another topic keeps is taken to be lost.
        let partly = self.forget_losses(Member::topic(index)).unwrap_or(0);
        let topic = self.topics.remove(index as usize);
        self.name_bytes -= topic.name.len();
        let private = usize::from(topic.private);
        self.names[private].remove(topic.name.as_bytes());
        self.forgotten[private].remember(&topic.name, topic.evicted_through.max(partly));
    }

    /// Places in the table of topics, taken or not.
    #[must_use]
    pub fn places(&self) -> usize {
        self.topics.capacity()
    }

    /// The topic at one of the [`Topics::places`], if there is one.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<TopicView<'_>> {
        self.topics.get(place).map(|topic| TopicView {
            name: &topic.name,
            private: topic.private,
            events: topic.history.len(),
            bytes: topic.bytes,
            newest: topic.history.back().map(|frame| frame.sequence),
            sets: &topic.sets,
        })
    }
}

/// An entry of `order` is kept when its topic has not evicted it. A topic that was forgotten and
/// whose index was given to another has only events newer than the entry.
fn is_kept(topics: &Slab<Topic>, sequence: u64, topic: u32) -> bool {
    let history = topics.get(topic as usize).map(|topic| &topic.history);
    history.and_then(VecDeque::front).is_some_and(|oldest| oldest.sequence <= sequence)
}

/// Index in a topic's history of an event that it keeps.
fn index_of(topic: &Topic, sequence: u64) -> usize {
    let history = &topic.history;
    // Mostly it is asked for the newest.
    match history.back() {
        Some(newest) if newest.sequence == sequence => history.len() - 1,
        _ => history.partition_point(|frame| frame.sequence < sequence),
    }
}

/// One topic, for people to look at.
#[derive(Clone, Copy, Debug)]
pub struct TopicView<'a> {
    /// Its name.
    pub name: &'a str,
    /// True for the topic of the private events of its name.
    pub private: bool,
    /// Events kept.
    pub events: usize,
    /// Bytes kept, overhead included.
    pub bytes: usize,
    /// Sequence of the newest kept event.
    pub newest: Option<u64>,
    /// The sets it is part of.
    pub sets: &'a [SetIndex],
}
