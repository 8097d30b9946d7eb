//! What is kept no longer: eviction by the bounds, oldest first.

use std::rc::Rc;

use super::member::Member;
use super::{EVENT_OVERHEAD_BYTES, SetIndex, Topics, is_kept};
use crate::event::Frame;

impl Topics {
    /// Makes room for `frame` by evicting what the bounds no longer allow.
    ///
    /// `floor` gives, for a set, the oldest cursor of its healthy subscribers. Nothing after a floor
    /// is evicted: false is returned instead, and the frame must wait until the sweep has moved on.
    /// So a subscriber that reads as fast as it is sent to never finds a gap.
    pub fn make_room(&mut self, frame: &Frame, floor: impl Fn(SetIndex) -> u64) -> bool {
        let mut added = frame.memory_bytes() + EVENT_OVERHEAD_BYTES;
        let first = self.index(frame.topic_bytes(), frame.is_private());
        if first.is_some_and(|topic| !self.make_room_in(topic, added, &floor)) {
            return false;
        }
        if frame.has_alternates() {
            for name in frame.alternates() {
                let topic = self.index(name.as_bytes(), frame.is_private());
                let in_topic = frame.memory_bytes() + EVENT_OVERHEAD_BYTES;
                if topic.is_some_and(|topic| !self.make_room_in(topic, in_topic, &floor)) {
                    return false;
                }
                added += EVENT_OVERHEAD_BYTES;
            }
        }
        while self.bytes + added + self.views_excess() > self.bounds.bytes_total_max {
            let Some(topic) = self.oldest() else { break };
            if !self.evict_oldest(topic, &floor) {
                return false;
            }
            self.forget_if_unused(topic);
        }
        true
    }

    /// What the lists of views take beyond their bound: histories give it.
    fn views_excess(&self) -> usize {
        self.views.entries_bytes().saturating_sub(self.bounds.views_bytes_max)
    }

    /// Makes room for `added` bytes in the history of one of a frame's topics.
    fn make_room_in(&mut self, topic: u32, added: usize, floor: &impl Fn(SetIndex) -> u64) -> bool {
        while self.is_over(topic, added) {
            if !self.evict_oldest(topic, floor) {
                return false;
            }
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

    pub(super) fn drop_stale_order(&mut self) {
        let topics = &self.topics;
        self.order.retain(|&(sequence, topic)| is_kept(topics, sequence, topic));
    }

    /// Evicts the oldest event of `topic` unless a healthy subscriber still needs it.
    fn evict_oldest(&mut self, topic: u32, floor: &impl Fn(SetIndex) -> u64) -> bool {
        self.refresh_views(topic);
        let entry = &self.topics[topic as usize];
        let Some(oldest) = entry.history.front() else {
            return true;
        };
        let needs = |set: &SetIndex| floor(*set) < oldest.sequence;
        let of_view =
            |view: &u32| self.views.has(*view, oldest) && self.views.sets(*view).iter().any(needs);
        if entry.sets.iter().any(needs) || entry.views.iter().any(of_view) {
            return false;
        }
        self.evict(topic);
        true
    }

    fn evict(&mut self, index: u32) {
        self.refresh_views(index);
        let topic = &mut self.topics[index as usize];
        let frame = topic.history.pop_front().expect("there is an event to evict");
        topic.bytes -= frame.memory_bytes() + EVENT_OVERHEAD_BYTES;
        // A topic that was once busy gives its memory back.
        if topic.history.capacity() > 64 && topic.history.len() < topic.history.capacity() / 8 {
            topic.history.shrink_to(topic.history.len() * 2);
        }
        self.bytes -= EVENT_OVERHEAD_BYTES;
        self.events -= 1;
        self.newest_lost = self.newest_lost.max(frame.sequence);
        let is_last = !frame.has_alternates() || self.release(frame.sequence);
        if is_last {
            self.bytes -= frame.memory_bytes();
        }
        if let Some(id) = frame.own_id().map(Rc::<str>::from) {
            if is_last {
                self.own_ids.remove(&(Rc::clone(&id), frame.sequence));
            }
            self.own_ids_by_topic.remove(&(index, id, frame.sequence));
        }
        self.lose_frame(Member::topic(index), &frame);
        if !self.topics[index as usize].views.is_empty() {
            self.evict_from_views(index, &frame);
        }
    }

    /// A topic has evicted `frame`: what of the views that it lists?
    fn evict_from_views(&mut self, index: u32, frame: &Frame) {
        let views = std::mem::take(&mut self.topics[index as usize].views);
        for &view in views.iter().filter(|view| self.views.has(**view, frame)).collect::<Vec<_>>() {
            self.views.evict(view, frame.sequence, &self.topics);
            if !frame.has_alternates() || !self.view_keeps(view, frame.sequence) {
                self.lose_frame(Member::view(view), frame);
            }
        }
        self.topics[index as usize].views = views;
    }
}
