//! What must be remembered of a topic after it is gone: up to where its events were evicted.
//!
//! Without it a subscriber that comes back with an old id to a topic that has been forgotten and
//! used again, or to a selector that matches it, would lose events silently. When there are too many
//! names, those whose events are oldest make the `floor`, and a topic not in the table is taken to
//! have lost events up to there. So the answer errs only towards announcing a gap.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::event::TOPIC_BYTES_MAX;

/// Memory of one name in the table beside its text: both entries, their share of the room that a
/// hash table and a tree keep empty, and the name's counts.
pub const FORGOTTEN_OVERHEAD_BYTES: usize = 3 * size_of::<(Rc<str>, u64)>() + 40;

/// Last sequences of forgotten topics.
#[derive(Debug)]
pub(super) struct Forgotten {
    count_max: usize,
    /// Bytes of the names, and how many there may be.
    name_bytes: usize,
    name_bytes_max: usize,
    evicted_through: HashMap<Rc<str>, u64>,
    /// The same, oldest first.
    order: BTreeSet<(u64, Rc<str>)>,
    floor: u64,
}

impl Forgotten {
    pub(super) fn new(count_max: usize) -> Forgotten {
        Forgotten {
            count_max,
            name_bytes: 0,
            name_bytes_max: count_max.saturating_mul(TOPIC_BYTES_MAX),
            evicted_through: HashMap::new(),
            order: BTreeSet::new(),
            floor: 0,
        }
    }

    /// Where events of a topic that does not exist were evicted up to.
    pub(super) fn evicted_through(&self, name: &str) -> u64 {
        self.evicted_through.get(name).copied().unwrap_or(self.floor)
    }

    /// Topics that have lost events after `sequence`, and up to where; the newest first.
    pub(super) fn evicted_after(&self, sequence: u64) -> impl Iterator<Item = (u64, &str)> {
        let newest_first = self.order.iter().rev().take_while(move |(it, _)| *it > sequence);
        newest_first.map(|(through, name)| (*through, &**name))
    }

    /// Up to where topics that are not in the table may have lost events.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn remember(&mut self, name: &Rc<str>, evicted_through: u64) {
        if evicted_through <= self.floor {
            return;
        }
        let before = self.evicted_through.insert(Rc::clone(name), evicted_through);
        match before {
            Some(before) => _ = self.order.remove(&(before, Rc::clone(name))),
            None => self.name_bytes += name.len(),
        }
        self.order.insert((evicted_through, Rc::clone(name)));
        while self.order.len() > self.count_max || self.name_bytes > self.name_bytes_max {
            let (through, name) = self.order.pop_first().expect("longer than its bound");
            self.evicted_through.remove(&name);
            self.name_bytes -= name.len();
            self.floor = through;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_topic_is_never_taken_to_have_lost_less_than_it_did() {
        let mut forgotten = Forgotten::new(2);
        let remember = |forgotten: &mut Forgotten, name: &str, through| {
            forgotten.remember(&name.into(), through);
        };
        assert_eq!(forgotten.evicted_through("a"), 0);
        remember(&mut forgotten, "a", 5);
        remember(&mut forgotten, "b", 9);
        remember(&mut forgotten, "a", 12);
        assert_eq!(forgotten.evicted_through("a"), 12);
        assert_eq!(forgotten.evicted_through("b"), 9);
        assert_eq!(forgotten.evicted_through("never"), 0);
        assert_eq!(forgotten.evicted_after(0).collect::<Vec<_>>(), [(12, "a"), (9, "b")]);
        assert_eq!(forgotten.evicted_after(9).collect::<Vec<_>>(), [(12, "a")]);
        remember(&mut forgotten, "c", 13);
        assert_eq!(forgotten.evicted_through("c"), 13);
        assert_eq!(forgotten.evicted_through("b"), 9, "by the floor");
        assert_eq!(forgotten.evicted_through("never"), 9, "the floor errs to announcing a gap");
        assert_eq!(forgotten.floor(), 9);
    }

    #[test]
    fn the_bytes_of_names_are_bounded_as_their_number_is() {
        let mut forgotten = Forgotten::new(2);
        let long = "l".repeat(TOPIC_BYTES_MAX + 1);
        forgotten.remember(&long.as_str().into(), 1);
        forgotten.remember(&"s".into(), 2);
        assert_eq!((forgotten.evicted_through(&long), forgotten.floor), (1, 0));
        forgotten.remember(&long.replace('l', "m").into(), 3);
        assert_eq!((forgotten.order.len(), forgotten.floor), (2, 1), "the oldest went");
        forgotten.remember(&"x".repeat(3 * TOPIC_BYTES_MAX).into(), 4);
        assert_eq!((forgotten.order.len(), forgotten.floor), (0, 4), "one that never fits");
        assert_eq!(forgotten.name_bytes, 0);
    }
}
