//! How often somebody may ask: a rate and a burst for each of very many, in a table that never grows.
//!
//! The idea: the generic cell rate algorithm (ITU-T I.371). Of each that asks one number is kept: when
//! its next request would be due if all came evenly. Whoever is not further ahead of that than the
//! burst may ask. A number that lies in the past says nothing, so its place is free.
//!
//! Invariants:
//! - The table is allocated once. Where all places of a set are taken, the one with the least to
//!   remember makes way: it may ask a burst sooner than it should, and nobody is refused for others.
//! - Which set somebody falls into cannot be foreseen from outside.
//!
//! Knows neither who asks nor what time it is.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Locks of the table: workers that ask at one moment mostly take different ones.
const SHARDS: usize = 64;
/// Sets of one shard, and places of one set.
const SETS: usize = 128;
const WAYS: usize = 8;

/// What one table takes: 65,536 places of 16 bytes.
pub const TABLE_BYTES: usize = SHARDS * SETS * WAYS * size_of::<Place>();

/// A rate for each of many.
#[derive(Debug)]
pub struct Rates {
    interval_ns: u64,
    burst_ns: u64,
    shards: Box<[Mutex<Box<[Place]>>]>,
    numbers: RandomState,
}

/// One that has asked; the default is a free place.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    who: u64,
    due_ns: u64,
}

impl Rates {
    /// So many requests a second, and at once as many as are due in the time of a burst, which is a
    /// second or more.
    ///
    /// # Panics
    /// When the rate is 0 or the burst is shorter than that: nobody could ever ask.
    #[must_use]
    pub fn new(per_second: u32, burst: Duration) -> Rates {
        assert!(per_second > 0 && burst >= Duration::from_secs(1), "{per_second} in {burst:?}");
        let shard = || Mutex::new(vec![Place::default(); SETS * WAYS].into_boxed_slice());
        Rates {
            interval_ns: 1_000_000_000 / u64::from(per_second),
            burst_ns: u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX / 4),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            numbers: RandomState::new(),
        }
    }

    /// Counts a request of `who`.
    ///
    /// # Errors
    /// It comes too soon, and is not counted: how long to wait.
    pub fn ask(&self, who: u64, now_ns: u64) -> Result<(), Duration> {
        let who = self.numbers.hash_one(who);
        let shard = &self.shards[who as usize % SHARDS];
        let first = (who >> 32) as usize % SETS * WAYS;
        let mut places = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let set = &mut places[first..first + WAYS];
        let known = set.iter().position(|place| place.who == who);
        let least = || (0..WAYS).min_by_key(|at| set[*at].due_ns).expect("a set has places");
        let at = known.unwrap_or_else(least);
        let due_ns = if known.is_some() { set[at].due_ns.max(now_ns) } else { now_ns };
        let ahead_ns = due_ns - now_ns + self.interval_ns;
        if ahead_ns > self.burst_ns {
            return Err(Duration::from_nanos(ahead_ns - self.burst_ns));
        }
        set[at] = Place { who, due_ns: due_ns + self.interval_ns };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::memory::RATES_BYTES;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_burst_may_come_at_once_and_then_as_many_as_the_rate_says() {
        let rates = Rates::new(10, Duration::from_secs(3));
        let now_ns = 77 * SECOND_NS;
        assert_eq!((0..100).filter(|_| rates.ask(1, now_ns).is_ok()).count(), 30);
        assert_eq!(rates.ask(1, now_ns), Err(Duration::from_millis(100)));
        assert_eq!(rates.ask(1, now_ns + SECOND_NS / 20), Err(Duration::from_millis(50)));
        assert_eq!(rates.ask(1, now_ns + SECOND_NS / 10), Ok(()), "who waits as told may ask");
        let next_ns = now_ns + SECOND_NS / 10 + SECOND_NS;
        assert_eq!((0..100).filter(|_| rates.ask(1, next_ns).is_ok()).count(), 10);
        let late_ns = now_ns + 1000 * SECOND_NS;
        assert_eq!((0..100).filter(|_| rates.ask(1, late_ns).is_ok()).count(), 30, "never more");
        assert_eq!(rates.ask(2, now_ns), Ok(()), "others are others");
    }

    #[test]
    fn refused_requests_do_not_put_off_the_next_one() {
        let rates = Rates::new(1, Duration::from_secs(1));
        assert_eq!(rates.ask(1, 0), Ok(()));
        for ms in 1..1_000 {
            assert!(rates.ask(1, ms * 1_000_000).is_err());
        }
        assert_eq!(rates.ask(1, SECOND_NS), Ok(()));
    }

    /// A bucket that fills by whole requests, and one number for each that asks, without end.
    #[test]
    fn it_decides_as_a_bucket_for_each_would() {
        let mut state = 0x7261_7465u64;
        let mut random = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        for (rate, burst_seconds) in [(1u32, 1u64), (4, 1), (10, 3), (1_000, 2)] {
            let rates = Rates::new(rate, Duration::from_secs(burst_seconds));
            let interval_ns = SECOND_NS / u64::from(rate);
            // Credit in nanoseconds, and when it was last looked at.
            let mut buckets: HashMap<u64, (u64, u64)> = HashMap::new();
            let mut now_ns = 0;
            for step in 0..20_000 {
                now_ns += random(interval_ns);
                let who = random(5);
                let full = burst_seconds * SECOND_NS;
                let (credit, seen) = buckets.entry(who).or_insert((full, now_ns));
                *credit = (*credit + now_ns - *seen).min(full);
                *seen = now_ns;
                let may = *credit >= interval_ns;
                if may {
                    *credit -= interval_ns;
                }
                assert_eq!(rates.ask(who, now_ns).is_ok(), may, "{rate} a second, step {step}");
            }
        }
    }

    #[test]
    fn a_crowd_beyond_the_table_is_not_refused_and_does_not_grow_it() {
        let rates = Rates::new(1, Duration::from_secs(1));
        let places = (SHARDS * SETS * WAYS) as u64;
        for who in 0..4 * places {
            assert_eq!(rates.ask(who, SECOND_NS), Ok(()), "number {who} asks for the first time");
        }
        let held: usize = rates.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!((held as u64, TABLE_BYTES), (places, RATES_BYTES));
        // A place whose time is over is taken before one that has something to remember.
        let last = (0..places / 16).filter(|who| rates.ask(*who, 3 * SECOND_NS).is_ok()).count();
        let again = (0..places / 16).filter(|who| rates.ask(*who, 3 * SECOND_NS).is_err()).count();
        assert_eq!(last as u64, places / 16);
        assert!(again as u64 > places / 16 * 99 / 100, "{again} of {last} are remembered");
    }
}
