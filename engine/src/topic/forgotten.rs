//! What must be remembered of a topic after it is gone: up to where its events were evicted.
//!
//! Without it a subscriber that comes back with an old id to a topic that has been forgotten and
//! used again would lose events silently. Names are remembered by their hash; when there are too
//! many, the oldest make the `floor`, and a topic not in the table is taken to have lost events up
//! to there. So the answer errs only towards announcing a gap.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

/// Last sequences of forgotten topics.
#[derive(Debug)]
pub(super) struct Forgotten {
    count_max: usize,
    hasher: RandomState,
    evicted_through: HashMap<u64, u64>,
    /// Hashes in the order in which their topics were forgotten.
    order: VecDeque<u64>,
    floor: u64,
}

impl Forgotten {
    pub(super) fn new(count_max: usize) -> Forgotten {
        Forgotten {
            count_max,
            hasher: RandomState::new(),
            evicted_through: HashMap::new(),
            order: VecDeque::new(),
            floor: 0,
        }
    }

    /// Where events of a topic that does not exist were evicted up to.
    pub(super) fn evicted_through(&self, name: &str) -> u64 {
        let hash = self.hasher.hash_one(name);
        self.evicted_through.get(&hash).copied().unwrap_or(self.floor)
    }

    pub(super) fn remember(&mut self, name: &str, evicted_through: u64) {
        if evicted_through <= self.floor {
            return;
        }
        let hash = self.hasher.hash_one(name);
        if self.evicted_through.insert(hash, evicted_through).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > self.count_max {
            let oldest = self.order.pop_front().expect("longer than its bound");
            let through = self.evicted_through.remove(&oldest).expect("each hash stands once");
            self.floor = self.floor.max(through);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_topic_is_never_taken_to_have_lost_less_than_it_did() {
        let mut forgotten = Forgotten::new(2);
        assert_eq!(forgotten.evicted_through("a"), 0);
        forgotten.remember("a", 5);
        forgotten.remember("b", 9);
        forgotten.remember("a", 12);
        assert_eq!(forgotten.evicted_through("a"), 12);
        assert_eq!(forgotten.evicted_through("b"), 9);
        assert_eq!(forgotten.evicted_through("never"), 0);
        forgotten.remember("c", 13);
        assert_eq!(forgotten.evicted_through("c"), 13);
        assert_eq!(forgotten.evicted_through("a"), 12, "known or by the floor");
        assert_eq!(forgotten.evicted_through("never"), 12, "the floor errs to announcing a gap");
    }
}
