//! What does it cost to encode an event, and to number it?
//!
//! Encoding is paid once for an event, whatever the number of its subscribers, on the worker that
//! reads it. Numbering is all that the one sequencer does to it.

mod sample;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use downpour::event::{Epoch, Event, EventId};

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in sample::SIZES {
        let data = sample::text(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("data", size), |bencher| {
            bencher.iter(|| sample::event("news", black_box(&data)).encode());
        });
    }
    let data = format!("{}\r\n", sample::text(98)).repeat(100);
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("a hundred lines", |bencher| {
        bencher.iter(|| sample::event("news", black_box(&data)).encode());
    });
    let data = sample::text(100);
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("every field", |bencher| {
        bencher.iter(|| {
            let (event, id) = (Some("price"), Some("order-4711"));
            Event { event, id, retry: Some(3_000), ..sample::event("news", black_box(&data)) }
                .encode()
        });
    });
    group.finish();
}

fn number(criterion: &mut Criterion) {
    let id = EventId { epoch: Epoch::new(0x1234_5678_9abc), sequence: 123_456_789 };
    criterion.bench_function("number", |bencher| {
        let draft = || sample::draft("news");
        bencher.iter_batched(draft, |draft| draft.number(black_box(id), 1), BatchSize::SmallInput);
    });
}

criterion_group! {
    name = encoder;
    config = sample::criterion();
    targets = encode, number
}
criterion_main!(encoder);
