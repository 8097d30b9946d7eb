//! Interned sets of topics: what a subscriber listens to.
//!
//! Subscribers of the same topics share one set, so what is per set is paid once for all of them.
//! A set knows how many events came to it; lag is a difference of two such counts.

use std::collections::HashMap;

use slab::Slab;

use super::Topics;

/// Names a set in the tables of a worker; used again after the set has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetIndex(pub u32);

/// A set's place in one of its topics' lists.
#[derive(Clone, Copy, Debug)]
struct Member {
    topic: u32,
    /// Index in `Topic::sets`, so that leaving a topic of a hundred thousand sets is one step.
    place: u32,
}

#[derive(Debug)]
struct TopicSet {
    /// Sorted by topic.
    topics: Box<[Member]>,
    /// Events that came to its topics, wrapping.
    appended: u32,
    /// Sequence of the newest of them.
    head: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sets {
    sets: Slab<TopicSet>,
    by_topics: HashMap<Box<[u32]>, SetIndex>,
}

impl Sets {
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn append(&mut self, set: SetIndex, head: u64) {
        let set = &mut self.sets[set.0 as usize];
        set.appended = set.appended.wrapping_add(1);
        set.head = head;
    }

    /// Topics of a set, in the order of their indices.
    pub(super) fn topics(&self, set: SetIndex) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.sets[set.0 as usize].topics.iter().map(|member| member.topic)
    }

    pub(super) fn table_bytes(&self) -> usize {
        // Key and members of a set of one topic stand for all: 4 + 8 bytes beside the entries.
        let entry = size_of::<(Box<[u32]>, SetIndex)>() + 12;
        self.sets.capacity() * size_of::<TopicSet>() + self.by_topics.capacity() * entry
    }
}

impl Topics {
    /// The set of these topics; it and its topics are created if need be.
    ///
    /// # Panics
    /// When `names` is empty: nobody listens to nothing.
    pub fn join<S: AsRef<str>>(&mut self, names: &[S]) -> SetIndex {
        assert!(!names.is_empty(), "a set has topics");
        let mut topics: Vec<u32> = names.iter().map(|name| self.topic(name.as_ref())).collect();
        topics.sort_unstable();
        topics.dedup();
        if let Some(&set) = self.sets.by_topics.get(topics.as_slice()) {
            return set;
        }
        let entry = self.sets.sets.vacant_entry();
        let index = SetIndex(entry.key() as u32);
        let members = topics.iter().map(|&topic| {
            let sets = &mut self.topics[topic as usize].sets;
            sets.push(index);
            Member { topic, place: sets.len() as u32 - 1 }
        });
        entry.insert(TopicSet { topics: members.collect(), appended: 0, head: 0 });
        self.sets.by_topics.insert(topics.into_boxed_slice(), index);
        index
    }

    /// Drops a set that nobody listens to any more, and its topics if nothing of them is kept.
    pub fn leave(&mut self, set: SetIndex) {
        let gone = self.sets.sets.remove(set.0 as usize);
        let key: Vec<u32> = gone.topics.iter().map(|member| member.topic).collect();
        self.sets.by_topics.remove(key.as_slice());
        for member in &gone.topics {
            let sets = &mut self.topics[member.topic as usize].sets;
            sets.swap_remove(member.place as usize);
            if let Some(&moved) = sets.get(member.place as usize) {
                let topics = &mut self.sets.sets[moved.0 as usize].topics;
                let at = topics.binary_search_by_key(&member.topic, |other| other.topic);
                topics[at.expect("a topic lists only sets that have it")].place = member.place;
            }
            self.forget_if_unused(member.topic);
        }
    }

    /// Sequence of the newest event that came to the set; 0 when none has since it exists.
    #[must_use]
    pub fn set_head(&self, set: SetIndex) -> u64 {
        self.sets.sets[set.0 as usize].head
    }

    /// Number of events that came to the set, wrapping.
    #[must_use]
    pub fn set_appended(&self, set: SetIndex) -> u32 {
        self.sets.sets[set.0 as usize].appended
    }

    /// Names of the set's topics.
    pub fn set_names(&self, set: SetIndex) -> impl Iterator<Item = &str> {
        self.sets.topics(set).map(|topic| &*self.topics[topic as usize].name)
    }
}
