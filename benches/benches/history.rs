//! What does keeping an event cost, and finding where a reader goes on?
//!
//! Every worker appends every event, whether or not anyone listens. A reader that comes back costs
//! one search; after a restart of a proxy all of them come back at once.

mod sample;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use downpour::event::{Epoch, Event, EventId, Frame};
use downpour::topic::{Interest, Standing, Topics};

/// Events kept of a topic in these benches.
const KEPT: usize = 1_000;

/// Appends one event and evicts what it displaces.
fn append(topics: &mut Topics, frame: Frame) {
    assert!(topics.make_room(&frame, |_| u64::MAX), "nobody holds events back");
    topics.append(frame, |_| {});
}

fn append_to_full_histories(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and evict");
    for (count, kept) in [(1, KEPT), (1_000, 10), (100_000, 1)] {
        let names: Vec<String> = (0..count).map(|number| format!("topic-{number}")).collect();
        let mut topics = sample::topics(kept);
        let mut sequence = 0;
        let mut next = || {
            sequence += 1;
            sample::frame(&names[sequence as usize % count], sequence)
        };
        (0..count * kept).for_each(|_| append(&mut topics, next()));
        group.bench_function(BenchmarkId::new("topics", count), |bencher| {
            // Making the frame is not what is asked for.
            bencher.iter_batched(
                &mut next,
                |frame| append(&mut topics, frame),
                criterion::BatchSize::NumIterations(10_000),
            );
        });
    }
    group.finish();
}

fn resume(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resume");
    let epoch = Epoch::new(1);
    let mut topics = sample::kept("news", KEPT as u64);
    let own = Event { id: Some("order-4711"), ..sample::event("news", "x") };
    let own = own.encode().expect("it is a valid event");
    let last = KEPT as u64 + 1;
    topics.append(own.number(EventId { epoch, sequence: last }, last), |_| {});
    let names = ["news".to_owned()];
    let set = topics.join(Interest::Topics(&names));
    let middle = EventId { epoch, sequence: KEPT as u64 / 2 }.to_string();
    for (name, id) in [
        ("after an id", middle.as_str()),
        ("after a publisher's own id", "order-4711"),
        ("after an unknown id", "no-such-order"),
        ("from the earliest", "earliest"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let resume = topics.resume(Interest::Topics(&names), black_box(id), epoch, last);
                topics.cursor(set, resume.sequence, resume.standing)
            });
        });
    }
    group.bench_function("live", |bencher| {
        bencher.iter(|| topics.cursor(set, black_box(last), Standing::Live));
    });
    group.finish();
}

criterion_group! {
    name = history;
    config = sample::criterion();
    targets = append_to_full_histories, resume
}
criterion_main!(history);
