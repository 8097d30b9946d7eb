//! What does the load generator spend on an event that it has received?
//!
//! Its reading thread shares a machine with the server it measures, and at 200,000 deliveries a
//! second each has 5 µs, the kernel's part included. So decoding, checking the stamp and entering
//! the ledger must together stay well below one.

mod sample;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

// The load generator is a program, not a library: its pure modules are compiled in here.
#[path = "../../loadgen/src"]
#[allow(dead_code, reason = "what only other modules of the load generator use")]
mod loadgen {
    pub(crate) mod decoder;
    pub(crate) mod ledger;
    pub(crate) mod stamp;
}

use loadgen::decoder::{Decoder, Item};
use loadgen::ledger::Ledger;
use loadgen::stamp::{Found, Stamp};

/// Events that one read brings when they outrun it.
const EVENTS: u64 = 100;

fn payload(sequence: u32, bytes: usize) -> String {
    let mut payload = vec![0; bytes];
    Stamp { run: 1, stream: 0, sequence, intended_ns: 1, slip_ns: 0 }.write(&mut payload);
    String::from_utf8(payload).expect("a stamp is ASCII")
}

/// An event as the engine sends it.
fn wire(sequence: u32, bytes: usize) -> String {
    format!("id: 123456789abc-{sequence}\ndata: {}\n\n", payload(sequence, bytes))
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for bytes in [100, 1_000] {
        let text: String = (0..EVENTS as u32).map(|sequence| wire(sequence, bytes)).collect();
        group.throughput(Throughput::Elements(EVENTS));
        for piece in [100, 4_096] {
            let name = format!("events of {bytes} B in pieces of");
            group.bench_function(BenchmarkId::new(name, piece), |bencher| {
                bencher.iter(|| decode_all(black_box(text.as_bytes()), piece));
            });
        }
    }
    group.finish();
}

fn decode_all(text: &[u8], piece: usize) -> usize {
    let mut decoder = Decoder::default();
    let mut count = 0;
    for piece in text.chunks(piece) {
        decoder.feed(piece, |item| count += usize::from(matches!(item, Item::Event { .. })));
    }
    count
}

fn stamps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stamp");
    let finder = Stamp::finder();
    for bytes in [64, 128, 1_000, 64_000] {
        let payload = payload(7, bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("find and check", bytes), |bencher| {
            bencher.iter(|| match Stamp::find(&finder, black_box(payload.as_bytes())) {
                Found::Stamp(stamp) => stamp.sequence,
                other => panic!("a sound stamp: {other:?}"),
            });
        });
    }
    group.finish();
}

fn ledgers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("events in order", |bencher| {
        bencher.iter(|| {
            let mut ledger = Ledger::default();
            (0..EVENTS).for_each(|sequence| _ = black_box(ledger.enter(sequence)));
        });
    });
    group.bench_function("every tenth missing, then late", |bencher| {
        bencher.iter(|| {
            let mut ledger = Ledger::default();
            let (late, timely): (Vec<u64>, Vec<u64>) = (0..EVENTS).partition(|s| s % 10 == 5);
            timely.into_iter().chain(late).for_each(|s| _ = black_box(ledger.enter(s)));
        });
    });
    group.finish();
}

fn all_of_it(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    let finder = Stamp::finder();
    let text: String = (0..EVENTS as u32).map(|sequence| wire(sequence, 128)).collect();
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("decode, check and enter", |bencher| {
        bencher.iter(|| {
            let (mut decoder, mut ledger) = (Decoder::default(), Ledger::default());
            decoder.feed(black_box(text.as_bytes()), |item| {
                if let Item::Event { data, .. } = item
                    && let Found::Stamp(stamp) = Stamp::find(&finder, data)
                {
                    black_box(ledger.enter(u64::from(stamp.sequence)));
                }
            });
            ledger.next()
        });
    });
    group.finish();
}

criterion_group! {
    name = client;
    config = sample::criterion();
    targets = decode, stamps, ledgers, all_of_it
}
criterion_main!(client);
