//! How evenly subscribers were served.
//!
//! The idea: a server that walks its subscribers in connect order serves the first always first.
//! So each subscriber's mean latency is set against its place in the connect order.

use serde::{Deserialize, Serialize};

/// Points of the picture at most; more subscribers are summed up in groups of neighbours.
pub(crate) const POINTS_MAX: usize = 2_000;

/// The slowest subscribers that are listed one by one.
const WORST_MAX: usize = 10;

/// What the load generator keeps per subscriber. The place in the slice given to
/// [`Fairness::of`] is the connect order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moments {
    /// Deliveries.
    pub(crate) n: u64,
    /// Sum of their latencies.
    pub(crate) sum_ns: u64,
    /// Largest of their latencies.
    pub(crate) max_ns: u64,
    /// Events of which this subscriber was the last to get; 0 everywhere when not followed.
    pub(crate) times_last: u32,
}

/// How evenly subscribers were served over the measured window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Fairness {
    /// Subscribers that received anything.
    pub(crate) subscribers: u64,
    /// Subscribers that received nothing at all; they are in no other figure here.
    pub(crate) silent: u64,
    /// Jain's index over the subscribers' mean latencies: 1 = all alike, 1/n = one bears all.
    pub(crate) jain: f64,
    /// Largest over smallest mean latency; null when the smallest is 0.
    pub(crate) mean_ratio: Option<f64>,
    /// Spearman's rank correlation of connect order and mean latency: +1 = first connected,
    /// first served; 0 = no bias; null when all means are equal.
    pub(crate) position_rho: Option<f64>,
    /// Share of events whose last receiver is among the 1 % most often last: 0.01 = by chance,
    /// 1 = always the same; null when it was not followed.
    pub(crate) last_share_top_percent: Option<f64>,
    /// The slowest subscribers by mean.
    #[serde(default)]
    pub(crate) worst: Vec<WorstSubscriber>,
    /// Latency against connect order, neighbours summed up to at most 2,000 points.
    #[serde(default)]
    pub(crate) by_order: Vec<OrderPoint>,
}

/// One of the slowest subscribers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct WorstSubscriber {
    /// Its place in the connect order, from 0.
    pub(crate) order: u64,
    /// Its deliveries.
    pub(crate) n: u64,
    /// Their mean latency.
    pub(crate) mean_ns: u64,
    /// Their largest latency.
    pub(crate) max_ns: u64,
}

/// A group of neighbours in the connect order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct OrderPoint {
    /// Place of the group's first subscriber, from 0.
    pub(crate) order: u64,
    /// Subscribers in the group.
    pub(crate) subscribers: u64,
    /// Mean of their mean latencies.
    pub(crate) mean_ns: u64,
    /// Smallest of their mean latencies.
    pub(crate) min_ns: u64,
    /// Largest of their mean latencies.
    pub(crate) max_ns: u64,
}

impl Fairness {
    /// The figures of subscribers given in connect order; `None` when none received anything.
    pub(crate) fn of(moments: &[Moments]) -> Option<Fairness> {
        let served: Vec<Served> = moments
            .iter()
            .enumerate()
            .filter(|(_, one)| one.n > 0)
            .map(|(order, one)| Served { order, mean: one.sum_ns as f64 / one.n as f64 })
            .collect();
        if served.is_empty() {
            return None;
        }
        let low = served.iter().map(|one| one.mean).fold(f64::INFINITY, f64::min);
        let high = served.iter().map(|one| one.mean).fold(0.0, f64::max);
        Some(Fairness {
            subscribers: served.len() as u64,
            silent: (moments.len() - served.len()) as u64,
            jain: jain(&served),
            mean_ratio: (low > 0.0).then(|| high / low),
            position_rho: position_rho(&served),
            last_share_top_percent: last_share(moments),
            worst: worst(&served, moments),
            by_order: by_order(&served),
        })
    }
}

/// A subscriber that received something.
#[derive(Debug, Clone, Copy)]
struct Served {
    order: usize,
    mean: f64,
}

/// Jain's index: (sum x)^2 / (n * sum x^2).
fn jain(served: &[Served]) -> f64 {
    let sum: f64 = served.iter().map(|one| one.mean).sum();
    let squares: f64 = served.iter().map(|one| one.mean * one.mean).sum();
    if squares == 0.0 { 1.0 } else { sum * sum / (served.len() as f64 * squares) }
}

/// Spearman's rank correlation of order and mean, with equal means sharing their rank.
fn position_rho(served: &[Served]) -> Option<f64> {
    let n = served.len();
    let mut by_mean: Vec<usize> = (0..n).collect();
    by_mean.sort_by(|&a, &b| served[a].mean.total_cmp(&served[b].mean));
    let mut rank = vec![0.0; n];
    let mut start = 0;
    while start < n {
        let value = served[by_mean[start]].mean;
        let mut end = start;
        while end < n && served[by_mean[end]].mean == value {
            end += 1;
        }
        let shared = (start + end - 1) as f64 / 2.0;
        for &index in &by_mean[start..end] {
            rank[index] = shared;
        }
        start = end;
    }
    let middle = (n - 1) as f64 / 2.0;
    let (mut both, mut order_square, mut rank_square) = (0.0, 0.0, 0.0);
    for (order, rank) in rank.iter().enumerate() {
        let (x, y) = (order as f64 - middle, rank - middle);
        both += x * y;
        order_square += x * x;
        rank_square += y * y;
    }
    let scale = f64::sqrt(order_square * rank_square);
    (scale > 0.0).then(|| both / scale)
}

/// Share of all "was last" that falls on the 1 % of subscribers who were last most often.
fn last_share(moments: &[Moments]) -> Option<f64> {
    let mut times: Vec<u32> = moments.iter().map(|one| one.times_last).collect();
    let total: u64 = times.iter().map(|&n| u64::from(n)).sum();
    if total == 0 {
        return None;
    }
    times.sort_unstable_by(|a, b| b.cmp(a));
    let top = times.len().div_ceil(100);
    let share: u64 = times[..top].iter().map(|&n| u64::from(n)).sum();
    Some(share as f64 / total as f64)
}

fn worst(served: &[Served], moments: &[Moments]) -> Vec<WorstSubscriber> {
    let mut slowest: Vec<&Served> = served.iter().collect();
    slowest.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    slowest
        .into_iter()
        .take(WORST_MAX)
        .map(|one| WorstSubscriber {
            order: one.order as u64,
            n: moments[one.order].n,
            mean_ns: one.mean.round() as u64,
            max_ns: moments[one.order].max_ns,
        })
        .collect()
}

fn by_order(served: &[Served]) -> Vec<OrderPoint> {
    let group = served.len().div_ceil(POINTS_MAX);
    served
        .chunks(group)
        .map(|chunk| {
            let sum: f64 = chunk.iter().map(|one| one.mean).sum();
            let low = chunk.iter().map(|one| one.mean).fold(f64::INFINITY, f64::min);
            let high = chunk.iter().map(|one| one.mean).fold(0.0, f64::max);
            OrderPoint {
                order: chunk[0].order as u64,
                subscribers: chunk.len() as u64,
                mean_ns: (sum / chunk.len() as f64).round() as u64,
                min_ns: low.round() as u64,
                max_ns: high.round() as u64,
            }
        })
        .collect()
}
