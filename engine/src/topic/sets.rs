//! Interned sets of topics and views: what a subscriber listens to.
//!
//! Subscribers of the same topics share one set, so what is per set is paid once for all of them.
//! A set knows how many events came to it; lag is a difference of two such counts.

use std::collections::HashMap;

use slab::Slab;

use super::member::{Member, Source};
use super::{Interest, Topics};

/// Names a set in the tables of a worker; used again after the set has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetIndex(pub u32);

/// A set's place in the list of one of its members.
#[derive(Clone, Copy, Debug)]
struct Place {
    member: Member,
    /// Index in the member's list, so that leaving a topic of a hundred thousand sets is one step.
    place: u32,
}

#[derive(Debug)]
struct TopicSet {
    /// Sorted by member.
    places: Box<[Place]>,
    has_views: bool,
    /// Events that came to its members, wrapping; one that came to several counts once.
    appended: u32,
    /// Sequence of the newest of them.
    head: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sets {
    sets: Slab<TopicSet>,
    by_members: HashMap<Box<[Member]>, SetIndex>,
}

impl Sets {
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// Counts the event `head`; false when it has been counted, having come to another member.
    pub(super) fn append(&mut self, set: SetIndex, head: u64) -> bool {
        let set = &mut self.sets[set.0 as usize];
        if set.head == head {
            return false;
        }
        set.appended = set.appended.wrapping_add(1);
        set.head = head;
        true
    }

    /// Members of a set, in their order.
    pub(super) fn members(&self, set: SetIndex) -> impl ExactSizeIterator<Item = Member> + '_ {
        self.sets[set.0 as usize].places.iter().map(|place| place.member)
    }

    pub(super) fn has(&self, set: SetIndex, member: Member) -> bool {
        let places = &self.sets[set.0 as usize].places;
        places.binary_search_by_key(&member, |place| place.member).is_ok()
    }

    pub(super) fn has_views(&self, set: SetIndex) -> bool {
        self.sets[set.0 as usize].has_views
    }

    pub(super) fn table_bytes(&self) -> usize {
        // Key and places of a set of one topic stand for all: 4 + 8 bytes beside the entries.
        let entry = size_of::<(Box<[Member]>, SetIndex)>() + 12;
        self.sets.capacity() * size_of::<TopicSet>() + self.by_members.capacity() * entry
    }
}

impl Topics {
    /// The set of what a subscriber is interested in; it, its topics and its views are created if
    /// need be.
    ///
    /// # Panics
    /// When it is interested in nothing.
    pub fn join(&mut self, interest: Interest<'_>) -> SetIndex {
        let mut members = self.members(interest);
        assert!(!members.is_empty(), "a set has topics");
        members.sort_unstable();
        members.dedup();
        if let Some(&set) = self.sets.by_members.get(members.as_slice()) {
            return set;
        }
        let entry = self.sets.sets.vacant_entry();
        let index = SetIndex(entry.key() as u32);
        let places = members.iter().map(|&member| {
            let sets = match member.source() {
                Source::Topic(topic) => &mut self.topics[topic as usize].sets,
                Source::View(view) => self.views.sets_mut(view),
            };
            sets.push(index);
            Place { member, place: sets.len() as u32 - 1 }
        });
        let has_views = members.iter().any(|member| matches!(member.source(), Source::View(_)));
        entry.insert(TopicSet { places: places.collect(), has_views, appended: 0, head: 0 });
        self.sets.by_members.insert(members.into_boxed_slice(), index);
        index
    }

    /// Drops a set that nobody listens to any more, its views that no other set has, and its topics
    /// if nothing of them is kept.
    pub fn leave(&mut self, set: SetIndex) {
        let gone = self.sets.sets.remove(set.0 as usize);
        let key: Vec<Member> = gone.places.iter().map(|place| place.member).collect();
        self.sets.by_members.remove(key.as_slice());
        for place in &gone.places {
            let sets = match place.member.source() {
                Source::Topic(topic) => &mut self.topics[topic as usize].sets,
                Source::View(view) => self.views.sets_mut(view),
            };
            sets.swap_remove(place.place as usize);
            if let Some(&moved) = sets.get(place.place as usize) {
                let places = &mut self.sets.sets[moved.0 as usize].places;
                let at = places.binary_search_by_key(&place.member, |other| other.member);
                places[at.expect("a member lists only sets that have it")].place = place.place;
            }
            match place.member.source() {
                Source::Topic(topic) => self.forget_if_unused(topic),
                Source::View(view) => self.drop_view_if_unused(view),
            }
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

    /// What the set selects: names of topics and texts of selectors.
    pub fn set_names(&self, set: SetIndex) -> impl Iterator<Item = &str> {
        // Private members narrow what the public ones say.
        self.sets.members(set).filter_map(|member| match member.source() {
            Source::Topic(topic) => {
                let topic = &self.topics[topic as usize];
                (!topic.private).then_some(&*topic.name)
            }
            Source::View(view) => self.views.public_name(view),
        })
    }
}
