//! How many events a second can come in on one core when nobody listens?
//!
//! The whole way of an event without the network and without threads: lines are read and encoded,
//! admitted, numbered, put on the rings of one or two workers, taken off and kept. The targets are
//! 300,000 a second with the lines, and a million without them. `scenarios/publish.py` asks the
//! same of the real engine.

mod sample;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use downpour::event::{Draft, Epoch, EventId, Frame};
use downpour::fuzzing::{LineSplitter, draft, line_bytes_max};
use downpour::ring::{Admission, Doorbell, RingReceiver, RingSender, ring};
use downpour::topic::Topics;

/// Events handed in together, as the engine does with lines.
const SUBMISSION: usize = 512;
const DATA_BYTES_MAX: usize = 64 << 10;

/// The engine's threads as one: the sequencer, and workers that keep what they are given.
struct Path {
    room: Admission,
    rings: Vec<(RingSender<Frame>, RingReceiver<Frame>)>,
    histories: Vec<Topics>,
    sequence: u64,
}

impl Path {
    fn new(workers: usize) -> Path {
        let doorbell = || Arc::new(Doorbell::new(|| {}));
        Path {
            room: Admission::new(65_536, workers),
            rings: (0..workers).map(|_| ring(65_536, doorbell())).collect(),
            histories: (0..workers).map(|_| sample::topics(1_000)).collect(),
            sequence: 0,
        }
    }

    fn publish(&mut self, drafts: Vec<Draft>) {
        let count = drafts.len() as u64;
        self.room.admit(count).expect("every submission is taken before the next");
        for draft in drafts {
            self.sequence += 1;
            let id = EventId { epoch: Epoch::new(1), sequence: self.sequence };
            let frame = draft.number(id, self.sequence);
            self.rings.iter().for_each(|(sender, _)| sender.push(frame.clone()));
        }
        for (worker, (sender, receiver)) in self.rings.iter().enumerate() {
            sender.ring();
            while let Some(frame) = receiver.pop() {
                assert!(self.histories[worker].make_room(&frame, |_| u64::MAX), "nobody listens");
                self.histories[worker].append(frame, |_| {});
            }
            self.room.consume(worker, count);
        }
    }
}

fn numbered_and_kept(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("number, hand over and keep");
    group.throughput(Throughput::Elements(SUBMISSION as u64));
    for workers in [1, 2] {
        let mut path = Path::new(workers);
        group.bench_function(BenchmarkId::new("workers", workers), |bencher| {
            let drafts = || (0..SUBMISSION).map(|_| sample::draft("news")).collect();
            bencher.iter_batched(drafts, |drafts| path.publish(drafts), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn from_lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("from lines to histories");
    group.throughput(Throughput::Elements(SUBMISSION as u64));
    let lines = format!("{{\"topic\":\"news\",\"data\":\"{}\"}}\n", sample::text(100));
    let lines = lines.repeat(SUBMISSION);
    for workers in [1, 2] {
        let mut path = Path::new(workers);
        group.bench_function(BenchmarkId::new("workers", workers), |bencher| {
            bencher.iter(|| path.publish(read(black_box(lines.as_bytes()))));
        });
    }
    group.finish();
}

fn read(mut lines: &[u8]) -> Vec<Draft> {
    let mut splitter = LineSplitter::new(line_bytes_max(DATA_BYTES_MAX));
    let mut drafts = Vec::with_capacity(SUBMISSION);
    while let (Some(line), used) = splitter.next_line(lines).expect("short lines") {
        drafts.push(draft(line, DATA_BYTES_MAX).expect("an event"));
        lines = &lines[used..];
    }
    drafts
}

criterion_group! {
    name = publish;
    config = sample::criterion();
    targets = numbered_and_kept, from_lines
}
criterion_main!(publish);
