//! Which events are lost to whom: exactly, also where an event has several topics.
//!
//! A topic or a view remembers the newest event that it has lost. That is all there is to know of an
//! event of one topic. One of several may have been evicted by one topic and kept by another; then it
//! is lost to those who listen to the first alone. So as long as any topic keeps it, it is **partly
//! lost**: remembered by those who have lost it, to be asked for by sets that have them. When the last
//! topic evicts it, it is lost to all.
//!
//! This costs an event of one topic nothing.

use std::collections::HashMap;

use super::member::{Member, Source};
use super::sets::SetIndex;
use super::{Topic, Topics, index_of, is_kept};
use crate::event::Frame;

/// A kept event of several topics.
#[derive(Debug)]
struct Shared {
    /// All of them; some may have evicted it.
    topics: Box<[u32]>,
    /// Those that keep it.
    kept: usize,
    /// Who has lost it.
    lost_to: Vec<Member>,
}

/// All kept events of several topics.
#[derive(Debug, Default)]
pub(super) struct SharedEvents {
    events: HashMap<u64, Shared>,
    /// Partly lost events of each that has lost any, oldest first.
    partly_lost: HashMap<Member, Vec<u64>>,
}

impl SharedEvents {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn insert(&mut self, sequence: u64, topics: Box<[u32]>) {
        let kept = topics.len();
        self.events.insert(sequence, Shared { topics, kept, lost_to: Vec::new() });
    }
}

impl Topics {
    /// One of the topics of a shared event has evicted it; true when it was the last.
    pub(super) fn release(&mut self, sequence: u64) -> bool {
        let event = self.shared.events.get_mut(&sequence).expect("it is kept until now");
        event.kept -= 1;
        if event.kept > 0 {
            return false;
        }
        let event = self.shared.events.remove(&sequence).expect("it was there");
        for member in event.lost_to {
            self.found_again(member, sequence);
            self.raise(member, sequence);
        }
        true
    }

    /// `member` no longer has this event.
    pub(super) fn lose_frame(&mut self, member: Member, frame: &Frame) {
        if frame.has_alternates() {
            self.lose(member, frame.sequence);
        } else {
            self.raise(member, frame.sequence);
        }
    }

    /// `member` no longer has the event of this sequence.
    pub(super) fn lose(&mut self, member: Member, sequence: u64) {
        let Some(event) = self.shared.events.get_mut(&sequence) else {
            self.raise(member, sequence);
            return;
        };
        let lost = self.shared.partly_lost.entry(member).or_default();
        if let Err(place) = lost.binary_search(&sequence) {
            lost.insert(place, sequence);
            event.lost_to.push(member);
        }
    }

    fn raise(&mut self, member: Member, sequence: u64) {
        match member.source() {
            Source::Topic(topic) => {
                let topic = &mut self.topics[topic as usize];
                topic.evicted_through = topic.evicted_through.max(sequence);
            }
            Source::View(view) => self.views.raise(view, sequence),
        }
    }

    /// Takes an event off the list of those that `member` has partly lost.
    fn found_again(&mut self, member: Member, sequence: u64) {
        let lost = self.shared.partly_lost.get_mut(&member).expect("it has lost the event");
        if let Ok(place) = lost.binary_search(&sequence) {
            lost.remove(place);
        }
        if lost.is_empty() {
            self.shared.partly_lost.remove(&member);
        }
    }

    /// `member` goes; gives the newest event that it has partly lost.
    pub(super) fn forget_losses(&mut self, member: Member) -> Option<u64> {
        let lost = self.shared.partly_lost.remove(&member)?;
        for sequence in &lost {
            let event = self.shared.events.get_mut(sequence).expect("somebody keeps it");
            event.lost_to.retain(|other| *other != member);
        }
        lost.last().copied()
    }

    /// Events after `after` that topics which `matches` have partly lost.
    pub(super) fn partly_lost(&self, after: u64, matches: impl Fn(&Topic) -> bool) -> Vec<u64> {
        let mut found = Vec::new();
        for (member, lost) in &self.shared.partly_lost {
            if let Source::Topic(topic) = member.source()
                && matches(&self.topics[topic as usize])
            {
                found.extend(lost.iter().filter(|sequence| **sequence > after));
            }
        }
        found
    }

    /// True when a topic that lists `view` keeps the shared event `sequence`.
    pub(super) fn view_keeps(&mut self, view: u32, sequence: u64) -> bool {
        self.any_keeper(sequence, |topics, topic| {
            topics.refresh_views(topic);
            let entry = &topics.topics[topic as usize];
            let frame = &entry.history[index_of(entry, sequence)];
            entry.views.contains(&view) && topics.views.has(view, frame)
        })
    }

    fn set_keeps(&mut self, set: SetIndex, sequence: u64) -> bool {
        self.any_keeper(sequence, |topics, topic| {
            topics.refresh_views(topic);
            let entry = &topics.topics[topic as usize];
            let frame = &entry.history[index_of(entry, sequence)];
            let of_set = |view: &&u32| topics.sets.has(set, Member::view(**view));
            topics.sets.has(set, Member::topic(topic))
                || entry.views.iter().filter(of_set).any(|view| topics.views.has(*view, frame))
        })
    }

    /// True when `is_it` holds for a topic that keeps the shared event `sequence`.
    fn any_keeper(&mut self, sequence: u64, is_it: impl Fn(&mut Topics, u32) -> bool) -> bool {
        let Some(event) = self.shared.events.get_mut(&sequence) else { return false };
        let topics = std::mem::take(&mut event.topics);
        let found = topics
            .iter()
            .any(|topic| is_kept(&self.topics, sequence, *topic) && is_it(self, *topic));
        self.shared.events.get_mut(&sequence).expect("it was there").topics = topics;
        found
    }

    /// Sequence of the newest event that is lost to `set`, if that is after `after`; `newest` is that
    /// of those which one of its members has lost wholly.
    pub(super) fn lost(&mut self, set: SetIndex, after: u64, newest: u64) -> Option<u64> {
        let mut lost = (newest > after).then_some(newest);
        if !self.shared.partly_lost.is_empty() {
            let members: Vec<Member> = self.sets.members(set).collect();
            for member in members {
                lost = lost.max(self.newest_partly_lost(set, member, lost.unwrap_or(after)));
            }
        }
        lost
    }

    /// Sequence of the newest event after `after` that `member` has partly lost and no other member
    /// of its set keeps.
    fn newest_partly_lost(&mut self, set: SetIndex, member: Member, after: u64) -> Option<u64> {
        let lost = self.shared.partly_lost.get(&member)?;
        let newest_first: Vec<u64> =
            lost.iter().rev().copied().take_while(|sequence| *sequence > after).collect();
        newest_first.into_iter().find(|sequence| !self.set_keeps(set, *sequence))
    }
}
