//! Listings of topics and subscribers, made a slice at a time.
//!
//! The idea: a worker may have a million of each, and to walk through them all at once would hold up
//! every stream for as long as hundreds of sends. So a survey goes on by a slice between two turns,
//! and keeps the best rows that it has met, as many as were asked for: nothing is sorted that is not
//! listed.
//!
//! Invariants:
//! - A slice takes [`STEPS`] steps at most, and one more row: a step is a place in a table, one of a
//!   topic's sets, or a name in a row.
//! - It is no snapshot: what comes, goes or moves meanwhile is listed as it was when it was met, or
//!   not at all.
//!
//! It knows nobody who asks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use super::lane::Lane;
use super::{Delivery, SubscriberView};
use crate::topic::{Member, TopicView};

/// Steps of one slice: some hundred microseconds, less than the sends of a turn take.
const STEPS: usize = 2_048;
/// Steps that a row costs which is better than those there are: its name is copied, and the worst of
/// the others found.
const ROW_STEPS: usize = 8;
/// Hashes in a block: a list that grew would be copied whole.
const BLOCK: usize = 4_096;

/// Topics of one worker.
#[derive(Debug, Default)]
pub(crate) struct TopicsReport {
    /// Topics that match and have events, which every worker has.
    pub(crate) kept: usize,
    /// Hashes of the names of those that match and have subscribers only, in blocks.
    pub(crate) unkept: Vec<Vec<u64>>,
    /// Those listed, in no order.
    pub(crate) topics: Vec<TopicReport>,
}

/// One topic of one worker.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TopicReport {
    /// Without those that listen through a selector.
    pub(crate) subscribers: usize,
    /// Of topics that have as many, those with the first names are listed.
    pub(crate) name: Reverse<String>,
    /// True for the topic of the private events of this name.
    pub(crate) private: bool,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) newest: Option<u64>,
}

/// Subscribers of one worker.
#[derive(Debug)]
pub(crate) struct SubscribersReport {
    /// All of them.
    pub(crate) count: usize,
    /// Those listed, in no order.
    pub(crate) subscribers: Vec<SubscriberView>,
}

/// The topics whose name starts so, those with most subscribers.
#[derive(Debug)]
pub(crate) struct TopicSurvey {
    prefix: String,
    count_max: usize,
    /// Where it is in the table of topics.
    place: usize,
    /// The sets of the topic there that have been counted, and their subscribers.
    sets: usize,
    subscribers: usize,
    best: BinaryHeap<Reverse<TopicReport>>,
    report: TopicsReport,
}

impl TopicSurvey {
    pub(crate) fn new(prefix: String, count_max: usize) -> TopicSurvey {
        TopicSurvey {
            prefix,
            count_max,
            place: 0,
            sets: 0,
            subscribers: 0,
            best: BinaryHeap::new(),
            report: TopicsReport::default(),
        }
    }

    /// One slice; gives what was found when it was the last.
    pub(crate) fn step<L: Lane>(&mut self, delivery: &Delivery<L>) -> Option<TopicsReport> {
        let mut left = STEPS;
        while left > 0 {
            if self.place >= delivery.topics.places() {
                let mut report = std::mem::take(&mut self.report);
                report.topics = self.best.drain().map(|Reverse(row)| row).collect();
                return Some(report);
            }
            left -= 1;
            let topic = delivery.topics.at(self.place);
            if let Some(topic) = topic.filter(|topic| topic.name.starts_with(&self.prefix)) {
                let sets = topic.sets.get(self.sets..).unwrap_or_default();
                let part = sets.len().min(left);
                self.subscribers += delivery.subscriber_count(&sets[..part]);
                left -= part;
                if part < sets.len() {
                    self.sets += part;
                    return None;
                }
                let is_listed = self.meet(&topic);
                left = left.saturating_sub(if is_listed { ROW_STEPS } else { 0 });
            }
            self.place += 1;
            (self.sets, self.subscribers) = (0, 0);
        }
        None
    }

    /// Counts a topic whose subscribers are counted; true if it is among the best so far.
    fn meet(&mut self, topic: &TopicView<'_>) -> bool {
        if topic.events > 0 {
            self.report.kept += 1;
        } else {
            let hasher = BuildHasherDefault::<DefaultHasher>::default();
            let hash = hasher.hash_one((topic.name, topic.private));
            match self.report.unkept.last_mut().filter(|block| block.len() < BLOCK) {
                Some(block) => block.push(hash),
                None => {
                    let mut block = Vec::with_capacity(BLOCK);
                    block.push(hash);
                    self.report.unkept.push(block);
                }
            }
        }
        if self.best.len() == self.count_max {
            let is_better = |Reverse(worst): &Reverse<TopicReport>| {
                (self.subscribers, Reverse(topic.name))
                    > (worst.subscribers, Reverse(&worst.name.0))
            };
            if !self.best.peek().is_some_and(is_better) {
                return false;
            }
            self.best.pop();
        }
        self.best.push(Reverse(TopicReport {
            subscribers: self.subscribers,
            name: Reverse(topic.name.to_owned()),
            private: topic.private,
            events: topic.events,
            bytes: topic.bytes,
            newest: topic.newest,
        }));
        true
    }
}

/// How many get the events of some topics, through selectors too.
#[derive(Debug)]
pub(crate) struct ListenerSurvey {
    /// By name and whether it is the topic of private events.
    names: Arc<[(String, bool)]>,
    counts: Vec<usize>,
    /// What brings the events of the topic under way to its sets; none before the first is looked at.
    members: Option<Vec<Member>>,
    /// The one of these that is being counted, and how many of its sets have been.
    member: usize,
    sets: usize,
    subscribers: usize,
    /// A bit for each set that was counted, if it could be met again.
    counted: Vec<u64>,
}

impl ListenerSurvey {
    pub(crate) fn new(names: Arc<[(String, bool)]>) -> ListenerSurvey {
        ListenerSurvey {
            counts: Vec::with_capacity(names.len()),
            names,
            members: None,
            member: 0,
            sets: 0,
            subscribers: 0,
            counted: Vec::new(),
        }
    }

    /// One slice; gives the counts in the order of the names when it was the last.
    pub(crate) fn step<L: Lane>(&mut self, delivery: &Delivery<L>) -> Option<Vec<usize>> {
        let mut left = STEPS;
        while left > 0 {
            let Some((name, private)) = self.names.get(self.counts.len()) else {
                return Some(std::mem::take(&mut self.counts));
            };
            // Finding the selectors that match costs more than looking at a set.
            left = left.saturating_sub(ROW_STEPS);
            let members =
                self.members.get_or_insert_with(|| delivery.topics.members_of(name, *private));
            let Some(&member) = members.get(self.member) else {
                self.counts.push(std::mem::take(&mut self.subscribers));
                (self.members, self.member) = (None, 0);
                self.counted.clear();
                continue;
            };
            let is_only = members.len() == 1;
            let sets = delivery.topics.sets_of(member).get(self.sets..).unwrap_or_default();
            let part = sets.len().min(left);
            left -= part;
            for set in &sets[..part] {
                if is_only || is_first(&mut self.counted, set.0) {
                    self.subscribers += delivery.subscriber_count(&[*set]);
                }
            }
            if part < sets.len() {
                self.sets += part;
            } else {
                (self.member, self.sets) = (self.member + 1, 0);
            }
        }
        None
    }
}

/// Sets a bit; true if it was not set.
fn is_first(bits: &mut Vec<u64>, index: u32) -> bool {
    let (word, bit) = (index as usize / 64, 1 << (index % 64));
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    let was_set = bits[word] & bit != 0;
    bits[word] |= bit;
    !was_set
}

/// The subscribers that are furthest behind.
#[derive(Debug)]
pub(crate) struct SubscriberSurvey {
    count_max: usize,
    /// Where it is in the table of slots.
    slot: u32,
    /// Lags and slots.
    best: BinaryHeap<Reverse<(u32, u32)>>,
    rows: Vec<SubscriberView>,
}

impl SubscriberSurvey {
    pub(crate) fn new(count_max: usize) -> SubscriberSurvey {
        SubscriberSurvey { count_max, slot: 0, best: BinaryHeap::new(), rows: Vec::new() }
    }

    /// One slice; gives what was found when it was the last.
    pub(crate) fn step<L: Lane>(&mut self, delivery: &Delivery<L>) -> Option<SubscribersReport> {
        let mut left = STEPS;
        while left > 0 && (self.slot as usize) < delivery.slots.len() {
            left -= 1;
            if let Some(lag) = delivery.lag(self.slot) {
                self.meet(lag);
            }
            self.slot += 1;
        }
        while left > 0 {
            let Some(Reverse((_, slot))) = self.best.pop() else {
                let subscribers = std::mem::take(&mut self.rows);
                return Some(SubscribersReport { count: delivery.count(), subscribers });
            };
            if let Some(row) = delivery.view(slot) {
                left = left.saturating_sub(1 + ROW_STEPS * row.topics.len());
                self.rows.push(row);
            }
        }
        None
    }

    fn meet(&mut self, lag: u32) {
        if self.best.len() == self.count_max {
            if self.best.peek().is_some_and(|Reverse(worst)| *worst >= (lag, self.slot)) {
                return;
            }
            self.best.pop();
        }
        self.best.push(Reverse((lag, self.slot)));
    }
}
