//! Views: the kept events of all topics that a selector matches, for selectors that are not one
//! topic's name.
//!
//! A view is a list of sequence and topic, as `order` is for everything. A topic lists the views that
//! match its name, found when it first meets an event after views have come or gone; so an append
//! touches only views that match, and an event to a topic that no view matches looks at one number.
//!
//! A view of private events may have a **sieve**: of the events of its topics it has those of which
//! some topic matches one of the sieve's selectors.
//!
//! Views are made empty, and filled as far back as a cursor asks. They go with their last set.
//!
//! Invariants:
//! - A view has an entry for each place in a history, after `complete_from`, of an event that belongs
//!   to it; and entries whose event was evicted, until they are at the front or outnumber the others.
//! - What the lists take beyond `Bounds::views_bytes_max` is taken from the histories.
//! - Sequences never fall along a view; an event of several topics stands there once for each that
//!   matches.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use slab::Slab;

use super::member::{Member, Source};
use super::sets::SetIndex;
use super::{Topic, Topics, is_kept};
use crate::event::Frame;
use crate::selector::index::Index;
use crate::selector::{Selector, any_matches};

/// Memory of an entry of a list: lists grow by doubling.
pub(super) const ENTRY_BYTES: usize = 2 * size_of::<(u64, u32)>();

/// What a view has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ViewKey {
    pub(super) private: bool,
    pub(super) selector: Selector,
    pub(super) sieve: Option<Rc<[Selector]>>,
}

impl ViewKey {
    /// True when an event that has a topic which the selector matches belongs to the view.
    fn passes(&self, frame: &Frame) -> bool {
        let Some(sieve) = &self.sieve else { return true };
        frame.topics().any(|topic| any_matches(sieve, topic))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let sieve = self.sieve.as_ref().map_or(0, |sieve| sieve.len() * size_of::<Selector>());
        self.selector.memory_bytes() + sieve
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct View {
    key: ViewKey,
    /// Sequence and topic, oldest first.
    pub(super) entries: VecDeque<(u64, u32)>,
    /// Entries whose event is kept.
    live: usize,
    /// Nothing is known of events up to this sequence.
    complete_from: u64,
    /// Sequence of its newest event that was lost to it, among those it knows of.
    pub(super) lost_through: u64,
    sets: Vec<SetIndex>,
}

impl View {
    /// Nothing is known of events up to this sequence.
    pub(super) fn complete_from(&self) -> u64 {
        self.complete_from
    }

    pub(super) fn is_private(&self) -> bool {
        self.key.private
    }

    pub(super) fn selector(&self) -> &Selector {
        &self.key.selector
    }

    /// True when events of the topic may belong to it.
    pub(super) fn matches(&self, topic: &Topic) -> bool {
        self.key.private == topic.private && self.key.selector.matches(&topic.name)
    }

    /// True when an event of a topic that it matches belongs to it.
    pub(super) fn passes(&self, frame: &Frame) -> bool {
        self.key.passes(frame)
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.live
    }
}

#[cfg(test)]
impl Views {
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &View)> {
        self.views.iter().map(|(index, view)| (index as u32, view))
    }

    pub(super) fn lists(&self, view: u32, topic: &Topic) -> bool {
        self.views[view as usize].matches(topic)
    }
}

/// All views of a worker.
#[derive(Debug, Default)]
pub(super) struct Views {
    views: Slab<View>,
    by_key: HashMap<ViewKey, u32>,
    /// Bytes of all keys.
    key_bytes: usize,
    /// Entries of all views.
    entries: usize,
    public: Index,
    private: Index,
    /// Changes whenever a view comes or goes.
    version: u64,
}

impl Views {
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    pub(super) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// Bytes of the lists of all views.
    pub(super) fn entries_bytes(&self) -> usize {
        self.entries * ENTRY_BYTES
    }

    pub(super) fn get(&self, view: u32) -> &View {
        &self.views[view as usize]
    }

    pub(super) fn sets(&self, view: u32) -> &[SetIndex] {
        &self.views[view as usize].sets
    }

    pub(super) fn sets_mut(&mut self, view: u32) -> &mut Vec<SetIndex> {
        &mut self.views[view as usize].sets
    }

    /// The text of a view of public events.
    pub(super) fn public_name(&self, view: u32) -> Option<&str> {
        let key = &self.views[view as usize].key;
        (!key.private).then(|| key.selector.as_str())
    }

    /// True when an event of a topic that lists the view belongs to it.
    pub(super) fn has(&self, view: u32, frame: &Frame) -> bool {
        self.views[view as usize].key.passes(frame)
    }

    pub(super) fn raise(&mut self, view: u32, lost: u64) {
        let view = &mut self.views[view as usize];
        view.lost_through = view.lost_through.max(lost);
    }

    /// Adds kept events from before all that it has: it is complete from `after` on.
    pub(super) fn complete(&mut self, view: u32, earlier: Vec<(u64, u32)>, after: u64) {
        self.change(view, |view| {
            view.live += earlier.len();
            view.entries.reserve_exact(earlier.len());
            earlier.into_iter().rev().for_each(|entry| view.entries.push_front(entry));
            view.complete_from = after;
        });
    }

    pub(super) fn append(&mut self, view: u32, sequence: u64, topic: u32, topics: &Slab<Topic>) {
        self.change(view, |view| {
            view.entries.push_back((sequence, topic));
            view.live += 1;
            if view.entries.len() > 64 + 2 * view.live {
                view.entries.retain(|&(sequence, topic)| is_kept(topics, sequence, topic));
                view.entries.shrink_to(2 * view.live);
            }
        });
    }

    /// An event of a topic that lists the view was evicted from that topic.
    pub(super) fn evict(&mut self, view: u32, sequence: u64, topics: &Slab<Topic>) {
        self.change(view, |view| {
            if sequence > view.complete_from {
                view.live -= 1;
            }
            while let Some(&(sequence, topic)) = view.entries.front()
                && !is_kept(topics, sequence, topic)
            {
                view.entries.pop_front();
            }
            // A view that once had much gives its memory back.
            if view.entries.capacity() > 64 && view.entries.len() < view.entries.capacity() / 8 {
                view.entries.shrink_to(2 * view.entries.len());
            }
        });
    }

    /// Changes a view, and counts its entries anew.
    fn change(&mut self, view: u32, change: impl FnOnce(&mut View)) {
        let view = &mut self.views[view as usize];
        let before = view.entries.len();
        change(view);
        self.entries = self.entries + view.entries.len() - before;
    }

    pub(super) fn table_bytes(&self) -> usize {
        let entries: usize = self.views.iter().map(|(_, view)| view.entries.capacity()).sum();
        // A selector, its places in the index, and its key.
        let view = size_of::<View>() + size_of::<ViewKey>() + 512;
        self.views.len() * view + entries * size_of::<(u64, u32)>()
    }
}

impl Topics {
    /// Number of selectors, other than names of topics, that somebody listens to.
    #[must_use]
    pub fn view_count(&self) -> usize {
        self.views.len()
    }

    /// Steps of the larger crowd of selectors: what meeting a topic may take.
    #[must_use]
    pub fn crowd(&self) -> usize {
        self.views.public.crowd().max(self.views.private.crowd())
    }

    /// What brings events of a topic to sets: the topic itself, and the selectors that match its name.
    #[must_use]
    pub fn members_of(&self, name: &str, private: bool) -> Vec<Member> {
        let topic = self.index(name.as_bytes(), private).map(Member::topic);
        let index = if private { &self.views.private } else { &self.views.public };
        let mut views = Vec::new();
        index.find(name, &mut views);
        topic.into_iter().chain(views.into_iter().map(Member::view)).collect()
    }

    /// The sets that have a member; none when it has gone.
    #[must_use]
    pub fn sets_of(&self, member: Member) -> &[SetIndex] {
        match member.source() {
            Source::Topic(topic) => {
                self.topics.get(topic as usize).map_or(&[], |topic| &topic.sets)
            }
            Source::View(view) => {
                self.views.views.get(view as usize).map_or(&[], |view| &view.sets)
            }
        }
    }

    pub(super) fn has_view(&self, key: &ViewKey) -> bool {
        self.views.by_key.contains_key(key)
    }

    /// The view of this key, which is made if need be: of events from now on.
    pub(super) fn view(&mut self, key: ViewKey) -> u32 {
        if let Some(&view) = self.views.by_key.get(&key) {
            return view;
        }
        let view = self.views.views.insert(View {
            key: key.clone(),
            entries: VecDeque::new(),
            live: 0,
            complete_from: self.head,
            lost_through: 0,
            sets: Vec::new(),
        }) as u32;
        let index = if key.private { &mut self.views.private } else { &mut self.views.public };
        index.insert(&key.selector, view);
        self.views.version += 1;
        self.views.key_bytes += key.memory_bytes();
        self.views.by_key.insert(key, view);
        view
    }

    pub(super) fn drop_view_if_unused(&mut self, view: u32) {
        if !self.views.sets(view).is_empty() {
            return;
        }
        self.forget_losses(Member::view(view));
        let gone = self.views.views.remove(view as usize);
        self.views.entries -= gone.entries.len();
        let index = if gone.key.private { &mut self.views.private } else { &mut self.views.public };
        index.remove(&gone.key.selector, view);
        self.views.version += 1;
        self.views.key_bytes -= gone.key.memory_bytes();
        self.views.by_key.remove(&gone.key);
    }

    /// Brings the list of a topic's views up to date.
    pub(super) fn refresh_views(&mut self, topic: u32) {
        let topic = &mut self.topics[topic as usize];
        if topic.views_version != self.views.version {
            topic.views_version = self.views.version;
            topic.views.clear();
            let index = if topic.private { &self.views.private } else { &self.views.public };
            if !index.is_empty() {
                index.find(&topic.name, &mut topic.views);
            }
        }
    }
}
