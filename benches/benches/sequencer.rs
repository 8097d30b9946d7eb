//! What does it cost to number events and put them on every worker's ring?
//!
//! It is done by whoever hands in, one at a time, so it bounds the events a second of the whole
//! engine: a million of them leave a microsecond for each.

mod sample;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use downpour::benching::Numbering;

/// Events that one publish hands in at most.
const EVENTS_MAX: usize = 512;

fn hand_in(criterion: &mut Criterion) {
    for workers in [1, 2, 16] {
        let mut group = criterion.benchmark_group(format!("hand in, {workers} workers"));
        let numbering = Numbering::new(workers, EVENTS_MAX);
        for events in [1, EVENTS_MAX] {
            group.throughput(Throughput::Elements(events as u64));
            group.bench_function(BenchmarkId::new("events", events), |bencher| {
                let drafts = || (0..events).map(|_| sample::draft("news")).collect();
                bencher.iter_batched(drafts, |d| numbering.hand_in(d), BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = sequencer;
    config = sample::criterion();
    targets = hand_in
}
criterion_main!(sequencer);
