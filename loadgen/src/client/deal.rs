//! Who reads which subscriber.
//!
//! The idea: subscribers are numbered in connect order. Probes lie evenly spread over that order,
//! because a server that walks its subscribers serves one end of it first; they belong to a
//! thread of their own, behind the others. The rest is dealt out to the other threads in turn.
//! All of it is arithmetic, so that no table grows with the subscribers.

/// How the subscribers of a run are dealt out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deal {
    subscribers: usize,
    /// Threads that read what is no probe; a thread of probes comes behind them.
    threads: usize,
    probes: usize,
}

impl Deal {
    /// A deal of `subscribers`, of which `probes` are probes, to `threads` and one more if there
    /// are probes.
    ///
    /// # Panics
    ///
    /// If there is no thread, or nobody but probes.
    pub(crate) fn new(subscribers: usize, threads: usize, probes: usize) -> Deal {
        assert!(threads > 0, "somebody has to read");
        assert!(probes < subscribers.max(1), "probes are a part of the subscribers");
        Deal { subscribers, threads, probes }
    }

    /// All threads.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads + usize::from(self.probes > 0)
    }

    /// How many probes there are.
    pub(crate) fn probe_count(&self) -> usize {
        self.probes
    }

    /// Whether a thread reads the probes.
    pub(crate) fn is_probing(&self, thread: usize) -> bool {
        thread == self.threads
    }

    /// Subscribers of a thread.
    pub(crate) fn count(&self, thread: usize) -> usize {
        if self.is_probing(thread) {
            return self.probes;
        }
        (self.subscribers - self.probes + self.threads - 1 - thread) / self.threads
    }

    /// The place in the connect order of a thread's subscriber.
    pub(crate) fn order(&self, thread: usize, local: usize) -> usize {
        if self.probes == 0 {
            return local * self.threads + thread;
        }
        // Of every `stride` subscribers, the one in the middle is a probe.
        let stride = self.subscribers / self.probes;
        let middle = stride / 2;
        if self.is_probing(thread) {
            return local * stride + middle;
        }
        let place = local * self.threads + thread;
        let (group, within) = (place / (stride - 1).max(1), place % (stride - 1).max(1));
        if stride == 1 || group >= self.probes {
            return place + self.probes;
        }
        group * stride + within + usize::from(within >= middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_dealt_out_once_and_each_threads_order_ascends() {
        for subscribers in 1..40 {
            for threads in 1..5 {
                for probes in 0..subscribers {
                    let deal = Deal::new(subscribers, threads, probes);
                    let mut all = Vec::new();
                    for thread in 0..deal.thread_count() {
                        let orders: Vec<_> =
                            (0..deal.count(thread)).map(|it| deal.order(thread, it)).collect();
                        assert!(orders.is_sorted(), "{deal:?}");
                        all.extend(orders);
                    }
                    all.sort_unstable();
                    assert_eq!(all, (0..subscribers).collect::<Vec<_>>(), "{deal:?}");
                }
            }
        }
    }

    #[test]
    fn probes_are_spread_over_the_whole_order() {
        let deal = Deal::new(10_000, 2, 64);
        let orders: Vec<_> = (0..64).map(|probe| deal.order(2, probe)).collect();
        assert!(orders[0] < 10_000 / 64 && orders[63] > 10_000 - 2 * (10_000 / 64));
        assert!(orders.windows(2).all(|pair| pair[1] - pair[0] == 10_000 / 64));
    }
}
