//! What one subscriber has seen of one stream: which sequences, and in which order.
//!
//! The idea: the next sequence and a window of the 256 before it, one bit each. Every arrival is
//! then new, new but late, a duplicate, or too old to tell. Forty bytes, whatever was received.
//!
//! What never came is not counted here: it is the number of subscribers due for an event less
//! the number of first arrivals of that event.

/// Sequences remembered one by one. A server that reorders over a longer distance than this is
/// reported as such, but its duplicates can no longer be told from late arrivals.
pub(crate) const WINDOW_COUNT: u64 = 256;

/// The ledger of one subscriber and stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// One more than the largest sequence seen; 0 before the first.
    next: u64,
    /// Bit `s % 256`: sequence `s` was seen, for the 256 sequences below `next`.
    seen: [u64; 4],
}

/// What an arrival was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Seen for the first time, and after everything before it.
    New,
    /// Seen for the first time, but after a later one.
    OutOfOrder,
    /// Seen before.
    Duplicate,
    /// So far behind that it cannot be told whether it was seen before.
    TooOld,
}

impl Ledger {
    /// Enters an arrival.
    pub(crate) fn enter(&mut self, sequence: u64) -> Arrival {
        if sequence >= self.next {
            self.forget_up_to(sequence);
            self.next = sequence + 1;
            self.set(sequence);
            return Arrival::New;
        }
        if self.next - sequence > WINDOW_COUNT {
            return Arrival::TooOld;
        }
        if self.has(sequence) {
            return Arrival::Duplicate;
        }
        self.set(sequence);
        Arrival::OutOfOrder
    }

    /// One more than the largest sequence seen; 0 before the first.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Clears the bits of the sequences from `next` to `sequence`, which the window moves over.
    fn forget_up_to(&mut self, sequence: u64) {
        if sequence - self.next >= WINDOW_COUNT {
            self.seen = [0; 4];
            return;
        }
        for skipped in self.next..=sequence {
            self.seen[Self::word(skipped)] &= !Self::bit(skipped);
        }
    }

    fn set(&mut self, sequence: u64) {
        self.seen[Self::word(sequence)] |= Self::bit(sequence);
    }

    fn has(&self, sequence: u64) -> bool {
        self.seen[Self::word(sequence)] & Self::bit(sequence) != 0
    }

    const fn word(sequence: u64) -> usize {
        (sequence / 64 % 4) as usize
    }

    const fn bit(sequence: u64) -> u64 {
        1 << (sequence % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The same in plain words: a set of all that was seen.
    #[derive(Default)]
    struct Model {
        seen: HashSet<u64>,
        next: u64,
    }

    impl Model {
        fn enter(&mut self, sequence: u64) -> Arrival {
            if sequence >= self.next {
                self.next = sequence + 1;
                self.seen.insert(sequence);
                return Arrival::New;
            }
            if self.next - sequence > WINDOW_COUNT {
                return Arrival::TooOld;
            }
            if self.seen.insert(sequence) { Arrival::OutOfOrder } else { Arrival::Duplicate }
        }
    }

    #[test]
    fn a_ledger_is_forty_bytes() {
        assert_eq!(size_of::<Ledger>(), 40);
    }

    #[test]
    fn a_ledger_agrees_with_a_set_of_everything() {
        let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |s| s.parse().unwrap());
        println!("SEED={seed} reruns this case");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200 {
            let (mut ledger, mut model) = (Ledger::default(), Model::default());
            let mut head = random.u64(..1_000);
            let reach = [3, 64, 256, 400][random.usize(..4)];
            for _ in 0..2_000 {
                let stride = [1, 2, 3, 70, 300][random.usize(..5)];
                head += random.u64(..stride);
                let sequence = head.saturating_sub(random.u64(..reach));
                assert_eq!(ledger.enter(sequence), model.enter(sequence), "sequence {sequence}");
                assert_eq!(ledger.next(), model.next);
            }
        }
    }

    #[test]
    fn the_window_ends_exactly_after_256() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.enter(256), Arrival::New);
        assert_eq!(ledger.enter(1), Arrival::OutOfOrder);
        assert_eq!(ledger.enter(1), Arrival::Duplicate);
        assert_eq!(ledger.enter(0), Arrival::TooOld);
    }
}
