//! Events of a server that nobody stamps: the first arrival anywhere is the zero of its time.
//!
//! The idea: an event is known by its content. Whoever sees it first starts its clock, and every
//! later arrival is measured against that; so fan-out can be judged at any URL, without a
//! publisher and without its clock. The same content after the horizon is another event.
//!
//! Invariant: an event's entry is dropped once the horizon has passed, so memory is bounded by
//! the events of one horizon.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use hdrhistogram::Histogram;

use super::tally::{add, enter};
use crate::report::model::metric::new_histogram;

/// Parts of the table, so that threads seldom wait for each other.
const SHARDS: usize = 64;

/// All events in sight, shared by the threads.
#[derive(Debug)]
pub(crate) struct Relative {
    shards: Vec<Mutex<Shard>>,
    horizon_ns: u64,
}

#[derive(Debug)]
struct Shard {
    events: HashMap<u64, Seen>,
    swept_ns: u64,
    finished: Finished,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    first_ns: u64,
    last_ns: u64,
}

/// Events that can get no more arrivals.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How many began in the measured window.
    pub(crate) events: u64,
    /// Last minus first arrival of each of them.
    pub(crate) spread: Histogram<u64>,
}

impl Finished {
    fn new() -> Finished {
        Finished { events: 0, spread: new_histogram() }
    }
}

impl Relative {
    /// An empty table.
    pub(crate) fn new(horizon_ns: u64) -> Relative {
        let shard =
            || Mutex::new(Shard { events: HashMap::new(), swept_ns: 0, finished: Finished::new() });
        Relative { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), horizon_ns }
    }

    /// Enters an arrival; gives the time since the first arrival, and when that was. `window`
    /// bounds the first arrivals that count.
    pub(super) fn enter(
        &self,
        name: &[u8],
        data: &[u8],
        at_ns: u64,
        window: &std::ops::Range<u64>,
    ) -> (u64, u64) {
        let mut hasher = DefaultHasher::new();
        (name, data).hash(&mut hasher);
        let key = hasher.finish();
        let mut shard = self.shards[key as usize % SHARDS].lock().expect("nobody panics inside");
        shard.sweep(at_ns, self.horizon_ns, window);
        let fresh = Seen { first_ns: at_ns, last_ns: at_ns };
        let seen = shard.events.entry(key).or_insert(fresh);
        if at_ns.saturating_sub(seen.first_ns) > self.horizon_ns {
            let old = std::mem::replace(seen, fresh);
            shard.finished.enter(&old, window);
            return (0, at_ns);
        }
        // Threads look at their arrivals one after the other: an earlier one may be seen later.
        seen.first_ns = seen.first_ns.min(at_ns);
        seen.last_ns = seen.last_ns.max(at_ns);
        (at_ns - seen.first_ns, seen.first_ns)
    }

    /// All events of the window, once nothing arrives any more.
    pub(crate) fn finish(&self, window: &std::ops::Range<u64>) -> Finished {
        let mut sum = Finished::new();
        for shard in &self.shards {
            let mut shard = shard.lock().expect("nobody panics inside");
            shard.sweep(u64::MAX, self.horizon_ns, window);
            sum.events += shard.finished.events;
            add(&mut sum.spread, &shard.finished.spread);
        }
        sum
    }
}

impl Shard {
    /// Drops the events that the horizon has passed; once in a horizon, to look at each a few
    /// times only.
    fn sweep(&mut self, now_ns: u64, horizon_ns: u64, window: &std::ops::Range<u64>) {
        if now_ns.saturating_sub(self.swept_ns) < horizon_ns {
            return;
        }
        self.swept_ns = now_ns;
        let finished = &mut self.finished;
        self.events.retain(|_, seen| {
            let over = now_ns.saturating_sub(seen.first_ns) > horizon_ns;
            if over {
                finished.enter(seen, window);
            }
            !over
        });
    }
}

impl Finished {
    fn enter(&mut self, seen: &Seen, window: &std::ops::Range<u64>) {
        if window.contains(&seen.first_ns) {
            self.events += 1;
            enter(&mut self.spread, seen.last_ns - seen.first_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_arrival_is_the_zero_of_an_event() {
        let relative = Relative::new(1_000);
        let window = 0..10_000;
        assert_eq!(relative.enter(b"", b"a", 100, &window), (0, 100));
        assert_eq!(relative.enter(b"", b"a", 150, &window), (50, 100));
        assert_eq!(relative.enter(b"", b"b", 160, &window), (0, 160));
        assert_eq!(relative.enter(b"x", b"a", 170, &window), (0, 170));
        // Seen late by its thread, but earlier on the clock.
        assert_eq!(relative.enter(b"", b"a", 90, &window), (0, 90));
        let finished = relative.finish(&window);
        assert_eq!((finished.events, finished.spread.max()), (3, 60));
    }

    #[test]
    fn the_same_content_after_the_horizon_is_another_event() {
        let relative = Relative::new(1_000);
        let window = 0..2_000;
        for at_ns in [100, 200, 1_500, 1_600, 5_000] {
            relative.enter(b"", b"tick", at_ns, &window);
        }
        // Three events; the one at 5,000 began behind the window.
        let finished = relative.finish(&window);
        assert_eq!((finished.events, finished.spread.max()), (2, 100));
    }
}
