//! What does planning one send cost?
//!
//! Subscribers at one cursor of one set share a batch, so a broadcast plans once for very many
//! sends. The dear cases are those where nobody shares: cursors of their own (replay), and sets of
//! many topics, whose histories are merged. A send takes the kernel about 5 µs; planning one must
//! stay far below it.

mod sample;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use downpour::topic::{BatchBounds, Interest, Piece, Standing, Topics};

/// As the delivery lane plans.
const BOUNDS: BatchBounds = BatchBounds { frames_max: 1_000, bytes_max: 256 << 10 };
/// Events kept of the topic whose subscribers stand at different places.
const KEPT: u64 = 10_000;

fn backlog(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch of one topic");
    let mut topics = sample::kept("news", KEPT);
    let set = sample::join(&mut topics, "news");
    for behind in [1, 10, 100, 1_000] {
        let cursor = topics.cursor(set, KEPT - behind, Standing::Live);
        let mut pieces = Vec::new();
        group.throughput(Throughput::Elements(behind));
        group.bench_function(BenchmarkId::new("events behind", behind), |bencher| {
            bencher.iter(|| {
                pieces.clear();
                topics.batch(set, black_box(cursor), BOUNDS, &mut pieces)
            });
        });
    }
    group.finish();
}

/// One event in each of `count` topics, and a set of all.
fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch of a set");
    for count in [1, 16, 256] {
        let names: Vec<String> = (0..count).map(|number| format!("topic-{number}")).collect();
        let mut topics = sample::topics(10);
        let set = topics.join(Interest::Topics(&names));
        for (place, name) in names.iter().enumerate() {
            topics.append(sample::frame(name, place as u64 + 1), |_| {});
        }
        let cursor = topics.cursor(set, 0, Standing::Live);
        let mut pieces = Vec::new();
        group.bench_function(BenchmarkId::new("topics, an event each", count), |bencher| {
            bencher.iter(|| {
                pieces.clear();
                topics.batch(set, black_box(cursor), BOUNDS, &mut pieces)
            });
        });
        let head = topics.cursor(set, count - 1, Standing::Live);
        group.bench_function(BenchmarkId::new("topics, one event", count), |bencher| {
            bencher.iter(|| {
                pieces.clear();
                topics.batch(set, black_box(head), BOUNDS, &mut pieces)
            });
        });
    }
    group.finish();
}

/// Reading the planned frames, as the lane does once for each batch.
fn gather(criterion: &mut Criterion) {
    let mut topics = sample::kept("news", KEPT);
    let set = sample::join(&mut topics, "news");
    let cursor = topics.cursor(set, KEPT - 100, Standing::Live);
    let mut pieces = Vec::new();
    topics.batch(set, cursor, BOUNDS, &mut pieces);
    criterion.bench_function("gather the texts of 100 events", |bencher| {
        bencher.iter(|| texts(&topics, black_box(&pieces)));
    });
}

fn texts(topics: &Topics, pieces: &[Piece]) -> usize {
    let frames = |piece: &Piece| match *piece {
        Piece::Frames { topic, index, count } => {
            topics.frames(topic, index, count).map(|frame| frame.wire().len()).sum()
        }
        Piece::Gap(_) => 0,
    };
    pieces.iter().map(frames).sum()
}

criterion_group! {
    name = sweep;
    config = sample::criterion();
    targets = backlog, merge, gather
}
criterion_main!(sweep);
