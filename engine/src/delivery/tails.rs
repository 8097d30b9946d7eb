//! The rest of writes that a full socket took only in part.
//!
//! The event must be finished before anything else is sent, even if its history has moved on; so
//! its frame is held, by handle. Stalled subscribers mostly hold the same few frames. The bytes of
//! distinct held frames are counted, so that subscribers who stall on many large events at different
//! times cannot take memory without bound.

use std::collections::HashMap;

use bytes::{Buf, Bytes};

/// The rest of one write.
#[derive(Debug)]
struct Tail {
    rest: Bytes,
    /// Sequence and size of the frame it is part of; none for a text of the engine's own.
    frame: Option<(u64, u32)>,
}

/// All rests, by slot.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    tails: HashMap<u32, Tail>,
    /// Holders of each frame.
    holders: HashMap<u64, u32>,
    pinned_bytes: usize,
}

impl Tails {
    /// Holds `rest` for `slot`, which has none; `frame` gives sequence and size of its frame.
    pub(crate) fn insert(&mut self, slot: u32, rest: Bytes, frame: Option<(u64, u32)>) {
        if let Some((sequence, bytes)) = frame {
            let holders = self.holders.entry(sequence).or_insert(0);
            *holders += 1;
            if *holders == 1 {
                self.pinned_bytes += bytes as usize;
            }
        }
        let before = self.tails.insert(slot, Tail { rest, frame });
        assert!(before.is_none(), "a slot has at most one half-sent write");
    }

    /// What `slot` is to be sent first.
    pub(crate) fn get(&self, slot: u32) -> &Bytes {
        &self.tails[&slot].rest
    }

    /// `bytes` more of the slot's rest have been sent, not all of it.
    pub(crate) fn advance(&mut self, slot: u32, bytes: usize) {
        self.tails.get_mut(&slot).expect("the slot has a rest").rest.advance(bytes);
    }

    /// The slot's rest has been sent, or never will be.
    pub(crate) fn remove(&mut self, slot: u32) {
        let tail = self.tails.remove(&slot).expect("the slot has a rest");
        if let Some((sequence, bytes)) = tail.frame {
            let holders = self.holders.get_mut(&sequence).expect("it was counted");
            *holders -= 1;
            if *holders == 0 {
                self.holders.remove(&sequence);
                self.pinned_bytes -= bytes as usize;
            }
        }
    }

    /// Bytes of the distinct frames that are held.
    pub(crate) fn pinned_bytes(&self) -> usize {
        self.pinned_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_held_by_many_is_counted_once() {
        let mut tails = Tails::default();
        tails.insert(1, Bytes::from_static(b"rest"), Some((7, 100)));
        tails.insert(2, Bytes::from_static(b"st"), Some((7, 100)));
        tails.insert(3, Bytes::from_static(b"x"), Some((8, 10)));
        tails.insert(4, Bytes::from_static(b"gap"), None);
        assert_eq!(tails.pinned_bytes(), 110);
        tails.advance(1, 3);
        assert_eq!(tails.get(1), "t");
        tails.remove(1);
        assert_eq!(tails.pinned_bytes(), 110);
        [2, 3, 4].into_iter().for_each(|slot| tails.remove(slot));
        assert_eq!(tails.pinned_bytes(), 0);
        assert!(tails.holders.is_empty());
    }
}
