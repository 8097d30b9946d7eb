//! Topics: bounded histories of frames, the sets of topics that subscribers listen to, and the
//! batches that lie between a cursor and the head.
//!
//! The one idea of the engine lives here: **a topic is a bounded history, a subscriber is a cursor
//! into it.** Live delivery, replay, lag and gaps are all answers to one question, [`Topics::batch`]:
//! what comes after this cursor?
//!
//! A cursor is a sequence. Sequences order all topics at once, so one cursor is valid for any set of
//! topics: the batch of a set is the merge of its histories by sequence. Sets are interned; a
//! million subscribers of one set share it.
//!
//! Invariants:
//! - Sequences grow along each history and along `order`.
//! - `evicted_through` of a topic is the sequence of its newest event that is no longer kept. A
//!   cursor below it has a gap; a cursor at or above it has none.
//! - Every event that is evicted was evicted by one of the bounds of [`Bounds`], oldest first.
//! - A history keeps at least its newest event until that is too old, whatever its size: what is
//!   not in a history cannot be delivered. So the bounds in bytes hold but for one event a topic
//!   and one event in total.
//!
//! This module knows events; it knows no clock, no sockets and no subscribers.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use slab::Slab;

use crate::event::Frame;

mod batch;
mod forgotten;
mod resume;
mod sets;

pub use batch::{Batch, BatchBounds, Cursor, Gap, GapReason, Piece, Standing};
pub use resume::Resume;
pub use sets::SetIndex;

use forgotten::Forgotten;
use sets::Sets;

#[cfg(test)]
mod tests;

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
    /// Age in nanoseconds; `u64::MAX` for none.
    pub age_ns_max: u64,
    /// Names of forgotten topics whose last sequence is remembered.
    pub forgotten_max: usize,
}

/// One topic: its history and who listens.
#[derive(Debug)]
struct Topic {
    name: Rc<str>,
    history: VecDeque<Frame>,
    /// Sequence of the newest event no longer kept; 0 when none was lost.
    evicted_through: u64,
    /// Bytes of the kept events, overhead included.
    bytes: usize,
    /// Sequence of each kept event whose publisher chose its id.
    own_ids: HashMap<Box<str>, u64>,
    /// The sets it is part of.
    sets: Vec<SetIndex>,
}

impl Topic {
    /// Index in the history of the first event after `cursor`.
    fn position(&self, cursor: u64) -> usize {
        // Most cursors are at the head or just behind it.
        match self.history.back() {
            Some(newest) if newest.sequence > cursor => {
                self.history.partition_point(|frame| frame.sequence <= cursor)
            }
            _ => self.history.len(),
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
    names: HashMap<Rc<str>, u32>,
    topics: Slab<Topic>,
    sets: Sets,
    /// Sequence and topic of all kept events, oldest first. Entries whose event was evicted by a
    /// bound of its own topic stay until they reach the front or outnumber the others.
    order: VecDeque<(u64, u32)>,
    forgotten: Forgotten,
    head: u64,
    events: usize,
    bytes: usize,
    merge: batch::Merge,
}

impl Topics {
    /// No topics, to be kept within `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Topics {
        Topics {
            bounds,
            names: HashMap::new(),
            topics: Slab::new(),
            sets: Sets::default(),
            order: VecDeque::new(),
            forgotten: Forgotten::new(bounds.forgotten_max),
            head: 0,
            events: 0,
            bytes: 0,
            merge: batch::Merge::default(),
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

    /// Number of kept events.
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
    }

    /// True when a topic of this name exists.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The sets that have the topic of this name, if it exists.
    #[must_use]
    pub fn sets_of(&self, name: &str) -> Option<&[SetIndex]> {
        let index = *self.names.get(name)?;
        Some(&self.topics[index as usize].sets)
    }

    /// Makes room for `frame` by evicting what the bounds no longer allow.
    ///
    /// `floor` gives, for a set, the oldest cursor of its healthy subscribers. Nothing after a floor
    /// is evicted: false is returned instead, and the frame must wait until the sweep has moved on.
    /// So a subscriber that reads as fast as it is sent to never finds a gap.
    pub fn make_room(&mut self, frame: &Frame, floor: impl Fn(SetIndex) -> u64) -> bool {
        let added = frame.memory_bytes() + EVENT_OVERHEAD_BYTES;
        if let Some(&topic) = self.names.get(frame.topic()) {
            while self.is_over(topic, added) {
                if !self.evict_oldest(topic, &floor) {
                    return false;
                }
            }
        }
        while self.bytes + added > self.bounds.bytes_total_max {
            let Some(topic) = self.oldest() else { break };
            if !self.evict_oldest(topic, &floor) {
                return false;
            }
            self.forget_if_unused(topic);
        }
        true
    }

    /// True when `topic` must give up its oldest event to take one of `added` bytes.
    fn is_over(&self, topic: u32, added: usize) -> bool {
        let topic = &self.topics[topic as usize];
        let count = topic.history.len();
        count >= self.bounds.events_max
            || (count > 0 && topic.bytes + added > self.bounds.bytes_max)
    }

    /// Appends the next event to its topic's history; `touched` is called with each set that has it.
    ///
    /// # Panics
    /// When its sequence is not above all earlier ones: the one order of all events is broken.
    pub fn append(&mut self, frame: Frame, mut touched: impl FnMut(SetIndex)) {
        assert!(frame.sequence > self.head, "events arrive in the order of their sequences");
        self.head = frame.sequence;
        let index = self.topic(frame.topic());
        let topic = &mut self.topics[index as usize];
        if let Some(id) = frame.own_id() {
            topic.own_ids.insert(id.into(), frame.sequence);
        }
        let bytes = frame.memory_bytes() + EVENT_OVERHEAD_BYTES;
        topic.bytes += bytes;
        self.bytes += bytes;
        self.events += 1;
        self.order.push_back((frame.sequence, index));
        topic.history.push_back(frame);
        for &set in &topic.sets {
            self.sets.append(set, self.head);
            touched(set);
        }
        if self.order.len() > 64 + 2 * self.events {
            self.drop_stale_order();
        }
    }

    /// Evicts events older than the bound, at most `count_max`; true when there may be more.
    pub fn expire(&mut self, now_ns: u64, count_max: usize) -> bool {
        for _ in 0..count_max {
            let Some(topic) = self.oldest() else {
                return false;
            };
            let oldest = self.topics[topic as usize].history.front().expect("`oldest` has events");
            if now_ns.saturating_sub(oldest.published_at) <= self.bounds.age_ns_max {
                return false;
            }
            self.evict(topic);
            self.forget_if_unused(topic);
        }
        true
    }

    /// The topic that has the oldest kept event of all.
    fn oldest(&mut self) -> Option<u32> {
        while let Some(&(sequence, topic)) = self.order.front() {
            if is_kept(&self.topics, sequence, topic) {
                return Some(topic);
            }
            self.order.pop_front();
        }
        None
    }

    fn drop_stale_order(&mut self) {
        let topics = &self.topics;
        self.order.retain(|&(sequence, topic)| is_kept(topics, sequence, topic));
    }

    /// Evicts the oldest event of `topic` unless a healthy subscriber still needs it.
    fn evict_oldest(&mut self, topic: u32, floor: &impl Fn(SetIndex) -> u64) -> bool {
        let entry = &self.topics[topic as usize];
        let Some(oldest) = entry.history.front() else {
            return true;
        };
        if entry.sets.iter().any(|&set| floor(set) < oldest.sequence) {
            return false;
        }
        self.evict(topic);
        true
    }

    fn evict(&mut self, topic: u32) {
        let topic = &mut self.topics[topic as usize];
        let frame = topic.history.pop_front().expect("there is an event to evict");
        let bytes = frame.memory_bytes() + EVENT_OVERHEAD_BYTES;
        topic.evicted_through = frame.sequence;
        topic.bytes -= bytes;
        self.bytes -= bytes;
        self.events -= 1;
        if let Some(id) = frame.own_id()
            && topic.own_ids.get(id) == Some(&frame.sequence)
        {
            topic.own_ids.remove(id);
        }
        // A topic that was once busy gives its memory back.
        if topic.history.capacity() > 64 && topic.history.len() < topic.history.capacity() / 8 {
            topic.history.shrink_to(topic.history.len() * 2);
        }
    }

    /// Index of the topic of this name, which is created if need be.
    fn topic(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.names.get(name) {
            return index;
        }
        let name: Rc<str> = name.into();
        let index = self.topics.insert(Topic {
            name: Rc::clone(&name),
            history: VecDeque::new(),
            evicted_through: self.forgotten.evicted_through(&name),
            bytes: 0,
            own_ids: HashMap::new(),
            sets: Vec::new(),
        }) as u32;
        self.names.insert(name, index);
        index
    }

    fn forget_if_unused(&mut self, index: u32) {
        let topic = &self.topics[index as usize];
        if topic.is_unused() {
            let topic = self.topics.remove(index as usize);
            self.names.remove(&topic.name);
            self.forgotten.remember(&topic.name, topic.evicted_through);
        }
    }

    /// Every topic: name, kept events, bytes, sequence of the newest kept event, and its sets.
    pub fn iter(&self) -> impl Iterator<Item = TopicView<'_>> {
        self.topics.iter().map(|(_, topic)| TopicView {
            name: &topic.name,
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

/// One topic, for people to look at.
#[derive(Clone, Copy, Debug)]
pub struct TopicView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Events kept.
    pub events: usize,
    /// Bytes kept, overhead included.
    pub bytes: usize,
    /// Sequence of the newest kept event.
    pub newest: Option<u64>,
    /// The sets it is part of.
    pub sets: &'a [SetIndex],
}
