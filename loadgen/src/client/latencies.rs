//! What is kept of one subscriber's latencies.
//!
//! The idea: 16 bytes, because there are as many of these as subscribers: count, sum and maximum.
//! Their distribution is in the histograms of the thread.

use crate::report::model::fairness::Moments;

/// The latencies of one subscriber's deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Latencies {
    sum_ns: u64,
    count: u32,
    /// In microseconds, rounded up: a horizon of an hour fits.
    max_us: u32,
}

impl Latencies {
    /// Enters a delivery.
    pub(super) fn enter(&mut self, latency_ns: u64) {
        self.sum_ns += latency_ns;
        self.count += 1;
        if latency_ns > u64::from(self.max_us) * 1_000 {
            self.max_us = u32::try_from(latency_ns.div_ceil(1_000)).unwrap_or(u32::MAX);
        }
    }
}

impl From<Latencies> for Moments {
    fn from(kept: Latencies) -> Moments {
        Moments {
            n: u64::from(kept.count),
            sum_ns: kept.sum_ns,
            max_ns: u64::from(kept.max_us) * 1_000,
            times_last: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_sum_and_maximum_are_kept_in_sixteen_bytes() {
        assert_eq!(size_of::<Latencies>(), 16);
        let mut kept = Latencies::default();
        assert_eq!(Moments::from(kept), Moments::default());
        for latency_ns in [5_000, 7_000_001, 6_999_999] {
            kept.enter(latency_ns);
        }
        let moments = Moments { n: 3, sum_ns: 14_005_000, max_ns: 7_001_000, times_last: 0 };
        assert_eq!(Moments::from(kept), moments);
    }
}
