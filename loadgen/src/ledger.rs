//! What one subscriber has seen of one stream: which sequences, and in which order.
//!
//! The idea: the next sequence and a window of the 256 before it. Every arrival is then new, new
//! but late, a duplicate, or too old to tell. A stream without holes, which nearly every one is,
//! is a run of sequences and takes 16 bytes; only while the window has a hole are there bits,
//! one for each sequence.
//!
//! Invariant: without bits, exactly the sequences from `since` to `next` have been seen, as far
//! as the window reaches.
//!
//! What never came is not counted here: it is the number of subscribers due for an event less
//! the number of first arrivals of that event.

/// Sequences remembered one by one. A server that reorders over a longer distance than this is
/// reported as such, but its duplicates can no longer be told from late arrivals.
pub(crate) const WINDOW_COUNT: u64 = 256;

/// The ledger of one subscriber and stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// One more than the largest sequence seen; 0 before the first.
    next: u32,
    /// Where the run without holes that ends at `next` began.
    since: u32,
    /// The window, if it has a hole.
    seen: Option<Box<Window>>,
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
    ///
    /// # Panics
    ///
    /// If the sequence does not fit in 32 bits, as those of stamps do.
    pub(crate) fn enter(&mut self, sequence: u64) -> Arrival {
        let sequence = u32::try_from(sequence).expect("sequences of stamps have 32 bits");
        if self.seen.is_some() {
            return self.enter_in_window(sequence);
        }
        if sequence == self.next || self.next == 0 {
            if self.next == 0 {
                self.since = sequence;
            }
            self.next = sequence + 1;
            return Arrival::New;
        }
        if sequence < self.next {
            if u64::from(self.next - sequence) > WINDOW_COUNT {
                return Arrival::TooOld;
            }
            if sequence >= self.since {
                return Arrival::Duplicate;
            }
        }
        self.seen = Some(Window::of(self.since..self.next));
        self.enter_in_window(sequence)
    }

    /// One more than the largest sequence seen; 0 before the first.
    pub(crate) fn next(&self) -> u64 {
        u64::from(self.next)
    }

    fn enter_in_window(&mut self, sequence: u32) -> Arrival {
        let window = self.seen.as_mut().expect("its callers have one");
        if sequence >= self.next {
            window.forget(self.next, sequence);
            window.set(sequence);
            self.next = sequence + 1;
            if window.is_full() {
                self.since = self.next.saturating_sub(WINDOW_COUNT as u32);
                self.seen = None;
            }
            return Arrival::New;
        }
        if u64::from(self.next - sequence) > WINDOW_COUNT {
            return Arrival::TooOld;
        }
        if window.has(sequence) {
            return Arrival::Duplicate;
        }
        window.set(sequence);
        Arrival::OutOfOrder
    }
}

/// Bit `s % 256`: sequence `s` was seen, for the 256 sequences below the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Window([u64; 4]);

impl Window {
    /// The window in which all of a run was seen, as far as it reaches.
    fn of(run: std::ops::Range<u32>) -> Box<Window> {
        let mut window = Box::<Window>::default();
        let from = run.end.saturating_sub(WINDOW_COUNT as u32).max(run.start);
        (from..run.end).for_each(|sequence| window.set(sequence));
        window
    }

    /// Clears the bits of the sequences from `next` to `sequence`, which the window moves over.
    fn forget(&mut self, next: u32, sequence: u32) {
        if u64::from(sequence - next) >= WINDOW_COUNT {
            self.0 = [0; 4];
            return;
        }
        for skipped in next..=sequence {
            self.0[Self::word(skipped)] &= !Self::bit(skipped);
        }
    }

    fn set(&mut self, sequence: u32) {
        self.0[Self::word(sequence)] |= Self::bit(sequence);
    }

    fn has(&self, sequence: u32) -> bool {
        self.0[Self::word(sequence)] & Self::bit(sequence) != 0
    }

    fn is_full(&self) -> bool {
        self.0 == [u64::MAX; 4]
    }

    const fn word(sequence: u32) -> usize {
        (sequence / 64 % 4) as usize
    }

    const fn bit(sequence: u32) -> u64 {
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
    fn a_ledger_without_holes_is_sixteen_bytes() {
        assert_eq!(size_of::<Ledger>(), 16);
        let mut ledger = Ledger::default();
        (7..2_000).for_each(|sequence| assert_eq!(ledger.enter(sequence), Arrival::New));
        assert_eq!(ledger.seen, None);
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
    fn a_hole_is_forgotten_when_the_window_has_passed_it() {
        let mut ledger = Ledger::default();
        for sequence in (0..10).chain(11..266) {
            assert_eq!(ledger.enter(sequence), Arrival::New);
            assert_eq!(ledger.seen.is_some(), sequence > 10);
        }
        assert_eq!(ledger.enter(266), Arrival::New);
        assert_eq!(ledger.seen, None);
        assert_eq!(ledger.enter(11), Arrival::Duplicate);
        assert_eq!(ledger.enter(10), Arrival::TooOld);
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
