//! When streams end because their tokens do, and which of them share a token.
//!
//! The idea: most streams have no such end, so it is no part of a slot; those that have one stand in
//! a list of their own, ordered by time. A tick without an end that is due costs one look at its first
//! entry.
//!
//! Invariant: a slot has at most one term, and none when it is free.
//!
//! Knows no clock and no tokens: a time and a number stand for them.

use std::collections::{BTreeSet, HashMap};

/// Under which conditions a stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// When it ends, in nanoseconds of the engine's clock; `u64::MAX` for never.
    pub(crate) ends_ns: u64,
    /// What the limits know its token by, if streams of a token are counted.
    pub(crate) token: Option<u64>,
}

/// The terms of all slots that have one.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    slots: HashMap<u32, Term>,
    ends: BTreeSet<(u64, u32)>,
}

impl Terms {
    pub(crate) fn insert(&mut self, slot: u32, term: Term) {
        let before = self.slots.insert(slot, term);
        assert!(before.is_none(), "a slot has at most one term");
        if term.ends_ns != u64::MAX {
            self.ends.insert((term.ends_ns, slot));
        }
    }

    /// Takes the term of a slot that has ended.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Term> {
        if self.slots.is_empty() {
            return None;
        }
        let term = self.slots.remove(&slot)?;
        self.ends.remove(&(term.ends_ns, slot));
        Some(term)
    }

    /// A slot whose end has come; it stays until it is removed, but is given once.
    pub(crate) fn next_ended(&mut self, now_ns: u64) -> Option<u32> {
        let &(ends_ns, _) = self.ends.first()?;
        if ends_ns > now_ns {
            return None;
        }
        self.ends.pop_first().map(|(_, slot)| slot)
    }

    /// Whether the end of any slot has come.
    pub(crate) fn has_ended(&self, now_ns: u64) -> bool {
        self.ends.first().is_some_and(|(ends_ns, _)| *ends_ns <= now_ns)
    }

    /// Bytes of memory in use, nearly.
    pub(crate) fn table_bytes(&self) -> usize {
        self.slots.capacity() * (size_of::<(u32, Term)>() + 1)
            + self.ends.len() * size_of::<(u64, u32)>() * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(ends_ns: u64) -> Term {
        Term { ends_ns, token: None }
    }

    #[test]
    fn ends_come_in_order_and_once() {
        let mut terms = Terms::default();
        for (slot, ends_ns) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, u64::MAX)] {
            terms.insert(slot, ending(ends_ns));
        }
        assert!(!terms.has_ended(9));
        assert_eq!(terms.next_ended(9), None);
        assert!(terms.has_ended(10));
        assert_eq!((terms.next_ended(20), terms.next_ended(20)), (Some(2), Some(4)));
        assert_eq!((terms.next_ended(20), terms.next_ended(20)), (Some(3), None));
        assert_eq!(terms.remove(1), Some(ending(30)));
        assert_eq!(terms.next_ended(u64::MAX), None, "one that has ended otherwise, or never does");
        assert_eq!(terms.remove(2), Some(ending(10)), "it is there until it is removed");
        assert_eq!((terms.remove(2), terms.remove(9)), (None, None));
    }

    #[test]
    fn a_slot_that_is_taken_again_has_only_its_new_end() {
        let mut terms = Terms::default();
        terms.insert(1, ending(10));
        terms.remove(1);
        terms.insert(1, ending(20));
        assert_eq!((terms.next_ended(19), terms.next_ended(20)), (None, Some(1)));
    }
}
