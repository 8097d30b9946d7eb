//! Which topic a subscriber reads, and an event goes to: in turn, or by popularity.
//!
//! The idea: a topic follows from a number alone, so nothing is kept for each subscriber or event,
//! and two runs deal alike.

use std::sync::Arc;

/// Which topic is whose.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Topics {
    /// Topics in turn.
    Even(u32),
    /// By a table of cumulative shares, in an order that follows from the number.
    Shares(Arc<[f64]>),
}

impl Topics {
    /// Popularity by Zipf's law: topic `k` (from 1) has a share in proportion to `k^-exponent`.
    pub(crate) fn zipf(topics: u32, exponent: f64) -> Topics {
        let weights = (1..=topics).map(|rank| f64::from(rank).powf(-exponent));
        let total: f64 = weights.clone().sum();
        let cumulative = weights.scan(0.0, |sum, weight| {
            *sum += weight / total;
            Some(*sum)
        });
        Topics::Shares(cumulative.collect())
    }

    /// The topic of a subscriber, by its place in the connect order, or of an event, by its number.
    pub(crate) fn of(&self, number: usize) -> u32 {
        match self {
            Topics::Even(topics) => (number % *topics as usize) as u32,
            Topics::Shares(cumulative) => {
                // The golden ratio's multiples fill [0, 1) evenly, so that any number of
                // them comes close to the shares, without a table of them.
                let share = (number as f64 * 0.618_033_988_749_894_9).fract();
                let topic = cumulative.partition_point(|&sum| sum <= share);
                topic.min(cumulative.len() - 1) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(topics: &Topics, count: usize, subscribers: usize) -> Vec<usize> {
        let mut shares = vec![0; count];
        for order in 0..subscribers {
            shares[topics.of(order) as usize] += 1;
        }
        shares
    }

    #[test]
    fn topics_are_dealt_out_evenly_or_by_zipf() {
        assert_eq!(shares(&Topics::Even(4), 4, 40), [10; 4]);
        let zipf = shares(&Topics::zipf(4, 1.0), 4, 25_000);
        // 1, 1/2, 1/3, 1/4 of 25/12.
        for (got, expected) in zipf.iter().zip([12_000usize, 6_000, 4_000, 3_000]) {
            assert!(got.abs_diff(expected) < 30, "{zipf:?}");
        }
    }
}
