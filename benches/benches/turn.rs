//! What does the engine itself add to a send?
//!
//! The delivery lane over a kernel that takes everything at once: choosing the subscribers of a
//! turn, sharing their batches, moving cursors, settling. A send takes the kernel about 5 µs, so
//! this should stay below a twentieth of it for each, whoever has the event: one topic of all, or
//! thousands of few.

mod sample;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use downpour::benching::{Broadcasts, Listing, Walk};

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deliver an event");
    for subscribers in [1, 1_000, 100_000] {
        let mut broadcasts = Broadcasts::new(1, subscribers);
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(BenchmarkId::new("one topic, subscribers", subscribers), |bencher| {
            bencher.iter(|| broadcasts.broadcast(0));
        });
    }
    for topics in [100, 10_000] {
        let mut broadcasts = Broadcasts::new(topics, 2);
        let mut next = (0..topics).cycle();
        group.throughput(Throughput::Elements(2));
        group.bench_function(BenchmarkId::new("two subscribers, topics", topics), |bencher| {
            bencher.iter(|| broadcasts.broadcast(next.next().expect("it goes round")));
        });
    }
    group.finish();
}

fn audience(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("audience");
    for subscribers in [1_000, 1_000_000] {
        let mut walk = Walk::new(subscribers);
        group.throughput(Throughput::Elements(u64::from(subscribers)));
        group.bench_function(BenchmarkId::new("a cycle, subscribers", subscribers), |bencher| {
            bencher.iter(|| walk.cycle());
        });
    }
    let mut walk = Walk::new(1_000);
    group.throughput(Throughput::Elements(1));
    group.bench_function("one leaves, one comes", |bencher| {
        bencher.iter(|| walk.change(black_box(500)));
    });
    group.finish();
}

/// What a turn is held up by somebody who asks the admin interface for the topics.
fn listing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list topics");
    let mut listing = Listing::new(1_000_000);
    group.bench_function("a slice of a million", |bencher| bencher.iter(|| listing.slice()));
    group.sample_size(10);
    group.bench_function("a million", |bencher| {
        bencher.iter(|| while !listing.slice() {});
    });
    group.finish();
}

criterion_group! {
    name = turn;
    config = sample::criterion();
    targets = turns, audience, listing
}
criterion_main!(turn);
