//! Made-up runs for tests: seeded, and shaped like the real thing.
//!
//! The idea: a server is a single worker that writes one event to all subscribers in turn, at a
//! fixed cost each, with jitter, now and then a stall. From that the whole [`Run`] follows, so
//! that its figures are consistent with each other as those of a real run are.

mod surroundings;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::model::Run;
use super::model::event::{EventSample, EventSampler};
use super::model::fairness::{Fairness, Moments};
use super::model::offence::{self, Offence};
use super::model::plan::Phase;
use super::model::series::Interval;
use super::model::{Mark, PhaseSpan, counts, metric};

const SECOND: u64 = 1_000_000_000;

/// A server to imitate, and the load on it.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    pub(crate) subscribers: usize,
    pub(crate) events_per_second: u64,
    pub(crate) measure_seconds: u64,
    /// Cost of one delivery.
    pub(crate) delivery_ns: u64,
    /// Relative jitter of the cost of an event.
    pub(crate) jitter: f64,
    /// Serve from a rotating start, rather than always in connect order.
    pub(crate) rotate: bool,
    /// Stop for so long in the middle of the window.
    pub(crate) stall_ns: u64,
    /// Every n-th delivery is lost.
    pub(crate) lose_every: Option<u64>,
    /// Whether this run publishes: without, only relative figures exist.
    pub(crate) publisher: bool,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample {
            name: "sample",
            seed: 42,
            subscribers: 200,
            events_per_second: 20,
            measure_seconds: 10,
            delivery_ns: 5_800,
            jitter: 0.2,
            rotate: false,
            stall_ns: 0,
            lose_every: None,
            publisher: true,
        }
    }
}

/// Histograms of one interval or of the window.
#[derive(Debug)]
struct Recorded(BTreeMap<&'static str, Histogram<u64>>);

impl Recorded {
    fn new() -> Recorded {
        Recorded(BTreeMap::new())
    }

    fn add(&mut self, name: &'static str, ns: u64) {
        self.0.entry(name).or_insert_with(metric::new_histogram).record(ns).unwrap();
    }
}

/// The state of an imitation under way.
#[derive(Debug)]
struct Imitation {
    sample: Sample,
    random: fastrand::Rng,
    free_at: u64,
    total: Recorded,
    interval: Recorded,
    moments: Vec<Moments>,
    events: EventSampler,
    offered: u64,
    lost: u64,
    incomplete: u64,
    interval_lost: u64,
    interval_deliveries: u64,
    sequence: u64,
    offences: Vec<Offence>,
}

const CONNECT: u64 = 2 * SECOND;
const SETTLE: u64 = SECOND / 2;
const WARMUP: u64 = 2 * SECOND;
const WINDOW: u64 = CONNECT + SETTLE + WARMUP;

impl Sample {
    /// The run that this sample describes.
    pub(crate) fn run(&self) -> Run {
        let mut imitation = Imitation {
            sample: self.clone(),
            random: fastrand::Rng::with_seed(self.seed),
            free_at: 0,
            total: Recorded::new(),
            interval: Recorded::new(),
            moments: vec![Moments::default(); self.subscribers],
            events: EventSampler::new(self.seed),
            offered: 0,
            lost: 0,
            incomplete: 0,
            interval_lost: 0,
            interval_deliveries: 0,
            sequence: 0,
            offences: Vec::new(),
        };
        let command = format!(
            "downpour-load run -c {} -R {} -d {}s --name {} --json run.json http://127.0.0.1:8080/events/{{topic}}",
            self.subscribers, self.events_per_second, self.measure_seconds, self.name
        );
        let command = command.split(' ').map(str::to_owned).collect();
        let mut run = Run::new(command, self.seed, 1_795_251_995 * SECOND);
        run.name = Some(self.name.to_owned());
        run.labels.insert("sample".to_owned(), "yes".to_owned());
        self.describe(&mut run);
        self.connect(&mut run, &mut imitation.random);
        imitation.series(&mut run);
        imitation.finish(&mut run);
        run
    }
}

/// A positive, long-tailed deviation with the given scale.
fn spread(random: &mut fastrand::Rng, scale: f64) -> u64 {
    (-random.f64().max(1e-12).ln() * scale) as u64
}

impl Imitation {
    fn series(&mut self, run: &mut Run) {
        let spans = [
            (Phase::Connect, 0, CONNECT),
            (Phase::Settle, CONNECT, SETTLE),
            (Phase::Warmup, CONNECT + SETTLE, WARMUP),
            (Phase::Measure, WINDOW, self.sample.measure_seconds * SECOND),
            (Phase::Drain, WINDOW + self.sample.measure_seconds * SECOND, SECOND),
        ];
        for (phase, start_ns, length_ns) in spans {
            run.timeline.push(PhaseSpan { phase, start_ns, length_ns });
            let mut t_ns = start_ns;
            while t_ns < start_ns + length_ns {
                let step = SECOND.min(start_ns + length_ns - t_ns);
                let row = self.interval(phase, t_ns, step);
                run.series.push(row);
                t_ns += step;
            }
        }
        if self.sample.stall_ns > 0 {
            let text = "server stopped by the run (SIGSTOP)".to_owned();
            run.marks.push(Mark { t_ns: self.stall_start(), text });
        }
    }

    fn stall_start(&self) -> u64 {
        WINDOW + self.sample.measure_seconds * SECOND / 2
    }

    fn interval(&mut self, phase: Phase, t_ns: u64, length_ns: u64) -> Interval {
        let busy = matches!(phase, Phase::Warmup | Phase::Measure);
        let rate = self.sample.events_per_second;
        let events = if busy { rate * length_ns / SECOND } else { 0 };
        self.interval = Recorded::new();
        self.interval_lost = 0;
        self.interval_deliveries = 0;
        for i in 0..events {
            self.event(phase, t_ns + i * SECOND / rate);
        }
        let n = self.sample.subscribers as u64;
        let up = if phase == Phase::Connect { n * (t_ns + length_ns) / CONNECT } else { n };
        let busy_ns = self.interval_deliveries * self.sample.delivery_ns;
        let mut row = Interval {
            t_ns,
            length_ns,
            phase,
            up,
            events,
            deliveries: self.interval_deliveries,
            wire_bytes: Some(self.interval_deliveries * 146),
            lost: Some(self.interval_lost),
            duplicate: Some(0),
            out_of_order: Some(0),
            client_cpu: Some(0.05 + self.random.f64() * 0.04 + busy_ns as f64 / 4e9),
            server_cpu: Some(busy_ns as f64 / length_ns as f64 + self.random.f64() * 0.02),
            server_cpu_waited: Some(busy_ns as f64 / length_ns as f64 / 50.0),
            server_pss_bytes: Some(4_000_000 + up * 80 + t_ns / 1_000_000),
            server_kernel_bytes: Some(up * 3_900),
            ..Interval::default()
        };
        for (name, histogram) in &self.interval.0 {
            row.record(name, histogram);
        }
        row
    }

    /// One event: publish, then deliver to everyone in turn.
    fn event(&mut self, phase: Phase, at_ns: u64) {
        let n = self.sample.subscribers as u64;
        let slip = 2_000 + spread(&mut self.random, 3_000.0);
        let mut start = (at_ns + slip + 30_000).max(self.free_at);
        let stall = self.stall_start()..self.stall_start() + self.sample.stall_ns;
        if stall.contains(&start) {
            start = stall.end;
        }
        let jitter = 1.0 + self.sample.jitter * (self.random.f64() - 0.3);
        let cost = self.sample.delivery_ns as f64 * jitter;
        let first_served = if self.sample.rotate { self.random.u64(..n) } else { 0 };
        let mut arrivals = Vec::with_capacity(n as usize);
        for turn in 0..n {
            let noise = spread(&mut self.random, 4_000.0);
            let arrival = start + ((turn + 1) as f64 * cost) as u64 + noise;
            arrivals.push((((first_served + turn) % n) as usize, arrival));
        }
        self.free_at = start + (n as f64 * cost) as u64;
        if self.sample.publisher {
            let ack = start - at_ns + 40_000 + spread(&mut self.random, 50_000.0);
            self.add(phase, metric::PUBLISH_ACK, ack);
            self.add(phase, metric::PUBLISH_SLIP, slip);
        }
        self.deliver(phase, at_ns, slip, &arrivals);
    }

    fn deliver(&mut self, phase: Phase, at_ns: u64, slip: u64, arrivals: &[(usize, u64)]) {
        let first = arrivals.iter().map(|one| one.1).min().unwrap();
        let mut got: Vec<u64> = Vec::with_capacity(arrivals.len());
        let mut slowest = (0, 0);
        for &(subscriber, arrival) in arrivals {
            self.offered += 1;
            if self.sample.lose_every.is_some_and(|every| self.offered.is_multiple_of(every)) {
                self.interval_lost += 1;
                self.lost += u64::from(phase == Phase::Measure);
                self.miss(phase, subscriber, at_ns);
                continue;
            }
            got.push(arrival);
            slowest = slowest.max((arrival, subscriber));
            if self.sample.publisher {
                self.add(phase, metric::DELIVERY, arrival - at_ns);
                self.add(phase, metric::DELIVERY_SENT, arrival - at_ns - slip);
            } else {
                self.add(phase, metric::DELIVERY_RELATIVE, arrival - first);
            }
            if phase == Phase::Measure {
                let one = &mut self.moments[subscriber];
                let base = if self.sample.publisher { at_ns } else { first };
                one.n += 1;
                one.sum_ns += arrival - base;
                one.max_ns = one.max_ns.max(arrival - base);
            }
        }
        self.sequence += 1;
        self.interval_deliveries += got.len() as u64;
        self.event_done(phase, at_ns, got, slowest.1, arrivals.len() as u64);
    }

    fn miss(&mut self, phase: Phase, subscriber: usize, at_ns: u64) {
        if phase == Phase::Measure {
            self.offences.push(Offence {
                subscriber: subscriber as u64,
                expected: Some(self.sequence),
                met: Some(self.sequence + 1),
                count: 1,
                at_ns,
                ..Offence::default()
            });
        }
    }

    fn event_done(&mut self, phase: Phase, at_ns: u64, mut got: Vec<u64>, last: usize, due: u64) {
        got.sort_unstable();
        let (low, high) = (got[0], got[got.len() - 1]);
        let complete = got.len() as u64 == due;
        let known = self.sample.publisher;
        self.add(phase, metric::SPREAD, high - low);
        if known {
            self.add(phase, metric::FIRST, low - at_ns);
            self.add(phase, metric::HALF, got[got.len() / 2] - at_ns);
            self.add(phase, metric::LAST, high - at_ns);
        }
        if phase != Phase::Measure {
            return;
        }
        self.moments[last].times_last += 1;
        self.incomplete += u64::from(!complete);
        self.events.push(EventSample {
            at_ns: if known { at_ns } else { low },
            first_ns: known.then(|| low - at_ns),
            half_ns: known.then(|| got[got.len() / 2] - at_ns),
            last_ns: (known && complete).then(|| high - at_ns),
            spread_ns: Some(high - low),
            received: got.len() as u64,
            expected: known.then_some(due),
        });
    }

    fn add(&mut self, phase: Phase, name: &'static str, ns: u64) {
        self.interval.add(name, ns);
        if phase == Phase::Measure {
            self.total.add(name, ns);
        }
    }

    fn finish(self, run: &mut Run) {
        let sample = &self.sample;
        let events = sample.events_per_second * sample.measure_seconds;
        for (name, histogram) in &self.total.0 {
            run.record(name, histogram, Some(events));
        }
        let due = events * sample.subscribers as u64;
        let unique = due - self.lost;
        let known = |value: u64| sample.publisher.then_some(value);
        run.counts = counts::Counts {
            events,
            expected: known(due),
            unique,
            lost: known(self.lost),
            duplicate: Some(0),
            out_of_order: known(0),
            corrupt: known(0),
            foreign: known(0),
            malformed: Some(0),
            late: known(0),
            unread: known(0),
            unread_bytes: Some(0),
            ambiguous: known(3),
            in_flight: known(0),
            incomplete_events: known(self.incomplete),
            coalesced_reads: Some(events / 7),
            spaced: known(0),
            bunched: known(0),
            gaps_announced: Some(0),
            gaps_late: known(0),
            gaps_unfounded: known(0),
            lost_silent: known(self.lost),
            disconnects: BTreeMap::new(),
            offences: offence::first(self.offences),
        };
        let seconds = sample.measure_seconds as f64;
        run.rates = counts::Rates {
            events: Some(events as f64 / seconds),
            deliveries: Some(unique as f64 / seconds),
            payload_bytes: Some(unique as f64 * 100.0 / seconds),
            wire_bytes: Some(unique as f64 * 146.0 / seconds),
            achieved_ratio: sample.publisher.then_some(1.0),
        };
        run.publish = sample.publisher.then(|| counts::Publish {
            planned: events,
            sent: events,
            acked: events,
            refused: BTreeMap::new(),
            failed: 0,
            withheld: 0,
        });
        run.fairness = Fairness::of(&self.moments);
        surroundings::hosts(run, sample, unique);
        surroundings::objectives(run);
        run.events = self.events.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_run_is_consistent_with_itself() {
        let run = Sample { lose_every: Some(97), ..Sample::default() }.run();
        let counts = &run.counts;
        assert_eq!(counts.expected, Some(counts.unique + counts.lost.unwrap()));
        assert_eq!(run.metrics[metric::DELIVERY].n, counts.unique);
        assert_eq!(run.metrics[metric::LAST].n, counts.events);
        let rows = run.series.iter().filter(|row| row.phase == Phase::Measure);
        assert_eq!(rows.map(|row| row.deliveries).sum::<u64>(), counts.unique);
        assert_eq!(run, Sample { lose_every: Some(97), ..Sample::default() }.run());
    }

    #[test]
    fn a_sample_without_a_publisher_has_relative_figures_only() {
        let run = Sample { publisher: false, ..Sample::default() }.run();
        let names: Vec<&str> = run.metrics.keys().map(String::as_str).collect();
        assert!(names.contains(&metric::DELIVERY_RELATIVE) && names.contains(&metric::SPREAD));
        for name in [metric::DELIVERY, metric::FIRST, metric::LAST, metric::PUBLISH_SLIP] {
            assert!(!names.contains(&name), "{name}");
        }
        assert_eq!(run.counts.lost, None);
    }
}
