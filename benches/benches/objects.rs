//! How fast are events read that come as JSON lines?
//!
//! This is the fast way in: the target is 300,000 events a second on one connection, which leaves
//! 3.3 µs for reading, encoding, numbering and keeping each.

mod sample;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use downpour::fuzzing::{LineSplitter, draft, drafts, line_bytes_max};

/// Lines that arrive together.
const LINES: usize = 512;
const DATA_BYTES_MAX: usize = 64 << 10;

/// A line for an event with this data.
fn line(data: &str) -> String {
    format!("{{\"topic\":\"news\",\"data\":{data}}}\n")
}

fn one_object(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("object");
    let plain = |size| format!("\"{}\"", sample::text(size));
    for (name, data) in [
        ("a string of 16 B", plain(16)),
        ("a string of 100 B", plain(100)),
        ("a string of 1,000 B", plain(1_000)),
        ("a string of 64,000 B", plain(64_000)),
        ("a string with escapes, 100 B", format!("\"{}\"", "quote\\\"s\\n".repeat(10))),
        ("an object, 100 B", format!("{{\"price\":12.5,\"name\":\"{}\"}}", sample::text(75))),
    ] {
        let line = line(&data);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| draft(black_box(line.as_bytes()), DATA_BYTES_MAX).expect("an event"));
        });
    }
    let all = r#"{"topic":"news","data":"x","event":"price","id":"order-4711","retry":3000}"#;
    group.throughput(Throughput::Bytes(all.len() as u64));
    group.bench_function("every member", |bencher| {
        bencher.iter(|| draft(black_box(all.as_bytes()), DATA_BYTES_MAX).expect("an event"));
    });
    group.finish();
}

fn many(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("512 events");
    group.throughput(Throughput::Elements(LINES as u64));
    let one = line(&format!("\"{}\"", sample::text(100)));
    let lines = one.repeat(LINES);
    for piece in [1_400, 64 << 10] {
        group.bench_function(BenchmarkId::new("lines in pieces of", piece), |bencher| {
            bencher.iter(|| read_lines(black_box(lines.as_bytes()), piece));
        });
    }
    let array = format!("[{}]", vec![one.trim(); LINES].join(","));
    group.bench_function("array", |bencher| {
        bencher.iter(|| drafts(black_box(array.as_bytes()), DATA_BYTES_MAX).expect("events"));
    });
    group.finish();
}

/// Splits and reads a stream that arrives in pieces; how many events it had.
fn read_lines(stream: &[u8], piece: usize) -> usize {
    let mut splitter = LineSplitter::new(line_bytes_max(DATA_BYTES_MAX));
    let mut count = 0;
    for mut rest in stream.chunks(piece) {
        while let (Some(line), used) = splitter.next_line(rest).expect("short lines") {
            black_box(draft(line, DATA_BYTES_MAX).expect("an event"));
            count += 1;
            rest = &rest[used..];
        }
    }
    count
}

criterion_group! {
    name = objects;
    config = sample::criterion();
    targets = one_object, many
}
criterion_main!(objects);
