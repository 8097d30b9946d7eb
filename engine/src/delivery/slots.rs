//! The subscribers of a worker: a small slot each, and nothing else.
//!
//! Invariants:
//! - A slot is on the free list exactly when its state is [`State::Free`].
//! - The table never moves: it is reserved for all slots at once, and pages that were never used
//!   take no memory.

use crate::topic::{Cursor, SetIndex, Standing};

/// Unit of the times in a slot.
pub(crate) const TICK_NS: u64 = 100_000_000;

/// What a subscriber waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No subscriber.
    Free,
    /// The next event: served by the sweep of its set.
    Live,
    /// Its turn to catch up: it stands in the queue of those that are behind on their own.
    Behind,
    /// Room in its socket.
    Blocked,
    /// Nothing: its last word is planned in this turn.
    Ending,
}

/// One subscriber.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Where it stands.
    pub(crate) cursor: Cursor,
    /// What it listens to.
    pub(crate) set: SetIndex,
    /// Its place among the subscribers of its set.
    pub(crate) place: u32,
    /// Tick of its last write, or of its socket's becoming full.
    pub(crate) written_at: u32,
    /// What it waits for.
    pub(crate) state: State,
    /// True while a write is half sent; the rest is in the table of tails.
    pub(crate) has_tail: bool,
    /// True while an entry of the queue of those behind names this slot, be it one of an earlier
    /// subscriber; so there is never a second one.
    pub(crate) queued: bool,
    /// What is given back to the limits when it ends.
    pub(crate) network: u64,
}

const FREE: Slot = Slot {
    cursor: Cursor { sequence: 0, position: 0, standing: Standing::Live, told: 0 },
    set: SetIndex(0),
    place: 0,
    written_at: 0,
    state: State::Free,
    has_tail: false,
    queued: false,
    network: 0,
};

/// All slots of a worker.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// No subscribers, and room for `count_max`.
    pub(crate) fn new(count_max: usize) -> Slots {
        Slots { slots: Vec::with_capacity(count_max), free: Vec::new() }
    }

    /// The slot that the next subscriber gets; none when all are taken.
    pub(crate) fn vacant(&self) -> Option<u32> {
        match self.free.last() {
            Some(&index) => Some(index),
            None if self.slots.len() < self.slots.capacity() => Some(self.slots.len() as u32),
            None => None,
        }
    }

    /// Puts a subscriber into the slot that [`Slots::vacant`] gave.
    pub(crate) fn insert(&mut self, index: u32, slot: Slot) {
        assert_eq!(self.vacant(), Some(index), "slots are taken in the order they are offered");
        match self.free.pop() {
            Some(index) => {
                let queued = self.slots[index as usize].queued;
                self.slots[index as usize] = Slot { queued, ..slot };
            }
            None => self.slots.push(slot),
        }
    }

    /// Empties a slot.
    pub(crate) fn remove(&mut self, index: u32) -> Slot {
        let queued = self.slots[index as usize].queued;
        let slot = std::mem::replace(&mut self.slots[index as usize], Slot { queued, ..FREE });
        assert!(slot.state != State::Free, "a subscriber is removed once");
        self.free.push(index);
        slot
    }

    /// Number of slots that have ever been used at once.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Number of subscribers.
    pub(crate) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Bytes of memory in use.
    pub(crate) fn table_bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>() + self.free.capacity() * size_of::<u32>()
    }

    /// All subscribers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        let taken = self.slots.iter().enumerate().filter(|(_, slot)| slot.state != State::Free);
        taken.map(|(index, slot)| (index as u32, slot))
    }
}

impl std::ops::Index<u32> for Slots {
    type Output = Slot;

    fn index(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }
}

impl std::ops::IndexMut<u32> for Slots {
    fn index_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }
}
