//! Shapes in the latencies that have a known cause, told in words.
//!
//! The idea: some timers of TCP are constants, and what waits for one stands at its time, apart
//! from everything else. A shape is named only if it stands apart: many samples in a narrow band
//! and few on both sides of it. A server that is slow for its own reasons has no such band, or
//! has nothing before it.
//!
//! A note is a hint and no verdict: it takes nothing away from the figures.

#[cfg(test)]
mod tests;

use hdrhistogram::Histogram;

use super::model::{Run, metric};
use super::unit;

const MS: u64 = 1_000_000;

/// Waits for an acknowledgement that the receiver delays: Linux does so for 40 ms (TCP_DELACK_MIN)
/// to 200 ms (TCP_DELACK_MAX). A timer fires up to some jiffies of 4 ms late, never early; what
/// the sender had waited when the receiver's timer began makes up the width below.
const ACK_BANDS: [(u64, Band); 2] = [
    (40 * MS, Band { from_ns: 38 * MS, to_ns: 50 * MS }),
    (200 * MS, Band { from_ns: 195 * MS, to_ns: 225 * MS }),
];

/// Times after which a SYN is sent again, from the first: a second each with linear timeouts
/// (Linux 6.5 and later: 1, 2, 3, 4 s), doubled without (1, 3, 7 s).
const SYN_STEPS_S: [u64; 5] = [1, 2, 3, 4, 7];

/// Share of the samples below which a hump is no shape but an outlier.
const HUMP_SHARE_MIN: f64 = 0.01;

/// Samples below which a hump is an anecdote.
const HUMP_SAMPLES_MIN: u64 = 30;

/// Samples that a step needs: one SYN sent again may be anything.
const STEP_SAMPLES_MIN: u64 = 3;

/// Share of the samples that must lie well before a hump: where all are late, no timer is needed
/// to explain it.
const BEFORE_SHARE_MIN: f64 = 0.1;

/// How many times the samples of either side a band must hold.
const CONTRAST_MIN: u64 = 4;

/// Share of deliveries in bursts from which on something gathers them; a server or a machine that
/// stalls now and then makes far fewer.
const BUNCHED_SHARE_MIN: f64 = 0.25;

/// Deliveries sent apart below which a share of them is an anecdote.
const SPACED_COUNT_MIN: u64 = 100;

/// A stretch of latencies, both ends included.
#[derive(Debug, Clone, Copy)]
struct Band {
    from_ns: u64,
    to_ns: u64,
}

impl Band {
    fn count(self, histogram: &Histogram<u64>) -> u64 {
        histogram.count_between(self.from_ns, self.to_ns)
    }

    /// Samples in the band, if it stands apart from the half as wide again on both sides.
    fn hump(self, histogram: &Histogram<u64>, side: f64) -> Option<u64> {
        let inside = self.count(histogram);
        // Histograms keep three digits: the buckets at the very ends belong to the band.
        let below = Band {
            from_ns: (self.from_ns as f64 / side) as u64,
            to_ns: (self.from_ns as f64 * 0.998) as u64,
        };
        let above = Band {
            from_ns: (self.to_ns as f64 * 1.002) as u64,
            to_ns: (self.to_ns as f64 * side) as u64,
        };
        let beside = below.count(histogram).max(above.count(histogram));
        (inside > 0 && inside >= CONTRAST_MIN * beside).then_some(inside)
    }
}

/// Adds a note for each shape that is recognised.
pub(crate) fn annotate(run: &mut Run) {
    let of = |name: &str| run.metrics.get(name)?.histogram.decode().ok();
    let mut notes = Vec::new();
    if let Some(delivery) = of(metric::DELIVERY) {
        notes.extend(acknowledgements(&delivery));
    }
    if let Some(tcp) = of(metric::CONNECT_TCP) {
        let overflows = run.server.as_ref().and_then(|server| server.net.listen_overflows);
        notes.extend(steps(&tcp, run.connect.syn_retrans, overflows));
    }
    notes.extend(bursts(run));
    run.notes.extend(notes);
}

/// Events that something gathers before it sends them on.
fn bursts(run: &Run) -> Option<String> {
    let spaced = run.counts.spaced.filter(|&spaced| spaced >= SPACED_COUNT_MIN)?;
    let share = run.counts.bunched? as f64 / spaced as f64;
    let period_ns = run.metrics.get(metric::BURST)?.percentile("50")?;
    (share >= BUNCHED_SHARE_MIN).then(|| {
        format!(
            "{} of the events that were sent 5 ms or more apart arrived in bursts, most often {} \
             from one to the next: something gathers them, such as a proxy that buffers or \
             compresses the stream, or a server that coalesces",
            unit::percent(share),
            unit::time(period_ns)
        )
    })
}

/// Humps where a small send waited for a delayed acknowledgement.
fn acknowledgements(delivery: &Histogram<u64>) -> Vec<String> {
    let all = delivery.len() as f64;
    let humps = ACK_BANDS.iter().filter_map(|(timer_ns, band)| {
        let count = band.hump(delivery, 1.5)?;
        let before = delivery.count_between(0, band.from_ns / 2) as f64 / all;
        let share = count as f64 / all;
        let stands = count >= HUMP_SAMPLES_MIN && share >= HUMP_SHARE_MIN;
        (stands && before >= BEFORE_SHARE_MIN).then(|| {
            format!(
                "a hump at {} in delivery, {} of all: that is how long an acknowledgement is \
                 delayed, and how long Nagle's algorithm then holds a small send back; does the \
                 server set TCP_NODELAY?",
                unit::length(*timer_ns),
                unit::percent(share)
            )
        })
    });
    humps.collect()
}

/// Steps where a connect waited for its SYN to be sent again.
fn steps(tcp: &Histogram<u64>, retransmits: Option<u64>, overflows: Option<u64>) -> Vec<String> {
    let found: Vec<(u64, u64)> = SYN_STEPS_S
        .iter()
        .filter_map(|&seconds| {
            let from_ns = seconds * 1_000 * MS;
            let band = Band { from_ns, to_ns: from_ns + from_ns / 10 };
            let count = band.hump(tcp, 1.15)?;
            (count >= STEP_SAMPLES_MIN).then_some((seconds, count))
        })
        .collect();
    if found.is_empty() {
        return Vec::new();
    }
    let text: Vec<String> = found
        .iter()
        .map(|(seconds, count)| format!("{} connects at {seconds} s", unit::count(*count)))
        .collect();
    let mut note = format!("steps in connect.tcp, {}: their SYN was sent again", text.join(", "));
    let counters = [("SYN retransmits", retransmits), ("ListenOverflows", overflows)];
    for (name, count) in counters.iter().filter_map(|(name, count)| Some((name, (*count)?))) {
        note += &format!(", {name} +{}", unit::count(count));
    }
    vec![note + "; the server accepts too slowly, or its backlog (net.core.somaxconn) is short"]
}
