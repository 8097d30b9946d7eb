//! What does an event cost on its way from the sequencer to a worker?
//!
//! Each event is pushed once for each worker. Beside the sends that it leads to, this must be
//! nothing; for a million events a second all of it together must stay below a microsecond.

mod sample;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use downpour::ring::{Admission, Doorbell, ring};

/// What a worker takes off its ring before it looks at anything else.
const BURST: u64 = 1_024;

fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admission");
    for workers in [1, 2, 16] {
        let room = Admission::new(65_536, workers);
        group.bench_function(BenchmarkId::new("admit and consume, workers", workers), |bencher| {
            bencher.iter(|| {
                room.admit(black_box(1)).expect("it is consumed at once");
                (0..workers).for_each(|worker| room.consume(worker, 1));
            });
        });
    }
    group.finish();
}

fn push_and_pop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(BURST));
    for workers in [1, 2] {
        let doorbell = || Arc::new(Doorbell::new(|| {}));
        let rings: Vec<_> = (0..workers).map(|_| ring(BURST as usize, doorbell())).collect();
        let frame = sample::frame("news", 1);
        group.bench_function(BenchmarkId::new("push and pop, workers", workers), |bencher| {
            bencher.iter(|| {
                for _ in 0..BURST {
                    rings.iter().for_each(|(sender, _)| sender.push(frame.clone()));
                }
                for (sender, receiver) in &rings {
                    sender.ring();
                    while let Some(frame) = receiver.pop() {
                        black_box(frame);
                    }
                }
            });
        });
    }
    group.finish();
}

fn doorbell(criterion: &mut Criterion) {
    let doorbell = Doorbell::new(|| {});
    criterion.bench_function("ring a worker that is awake", |bencher| {
        bencher.iter(|| doorbell.ring());
    });
}

criterion_group! {
    name = rings;
    config = sample::criterion();
    targets = admission, push_and_pop, doorbell
}
criterion_main!(rings);
