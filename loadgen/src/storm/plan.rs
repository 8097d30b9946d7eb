//! Who is cut off, in which wave, and after how many more bytes.
//!
//! The idea: a cut must be able to fall anywhere, in the middle of an event, of a chunk, of a
//! line. So each chosen subscriber gets a number of bytes that it still reads before it goes,
//! drawn at random; all draws come from one seed, which reruns the same storm.
//!
//! This module knows nothing of connections or time.

/// One subscriber's part in a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) subscriber: usize,
    /// Bytes of its stream that it still reads.
    pub(super) after_bytes: u64,
}

/// The draws of a storm.
#[derive(Debug)]
pub(super) struct Draws {
    random: fastrand::Rng,
    subscribers: usize,
    /// Subscribers cut off in each wave.
    cut_count: usize,
    /// Cuts fall within this many bytes.
    within_bytes: u64,
}

impl Draws {
    /// Draws for `subscribers`, of whom each wave cuts off `cut_count`, or all if they are fewer.
    pub(super) fn new(seed: u64, subscribers: usize, cut_count: usize, within_bytes: u64) -> Self {
        let cut_count = cut_count.min(subscribers);
        Self { random: fastrand::Rng::with_seed(seed), subscribers, cut_count, within_bytes }
    }

    /// The cuts of the next wave, each subscriber at most once.
    pub(super) fn wave(&mut self) -> Vec<Cut> {
        let mut subscribers: Vec<usize> = (0..self.subscribers).collect();
        let cuts = (0..self.cut_count).map(|at| {
            // A Fisher-Yates shuffle that stops after as many as are needed.
            let other = self.random.usize(at..subscribers.len());
            subscribers.swap(at, other);
            let after_bytes = self.random.u64(0..=self.within_bytes);
            Cut { subscriber: subscribers[at], after_bytes }
        });
        cuts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_cuts_so_many_and_nobody_twice() {
        for (subscribers, cut_count) in [(10, 5), (3, 3), (100, 1), (7, 2)] {
            let wave = Draws::new(1, subscribers, cut_count, 9).wave();
            let mut cut: Vec<usize> = wave.iter().map(|cut| cut.subscriber).collect();
            cut.sort_unstable();
            cut.dedup();
            assert_eq!(cut.len(), cut_count);
        }
    }

    #[test]
    fn a_seed_reruns_its_storm_and_another_does_not() {
        let waves = |seed| {
            let mut draws = Draws::new(seed, 100, 50, 1_000);
            [draws.wave(), draws.wave()]
        };
        assert_eq!(waves(7), waves(7));
        assert_ne!(waves(7), waves(8));
        assert_ne!(waves(7)[0], waves(7)[1]);
    }

    #[test]
    fn cuts_fall_on_every_byte_of_the_range() {
        let mut seen = [false; 4];
        for cut in Draws::new(3, 400, 400, 3).wave() {
            seen[usize::try_from(cut.after_bytes).expect("small")] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}
