//! Merging the members of a set by sequence.
//!
//! Each member that has frames after a cursor is a run. Runs stand in a heap by their next frame's
//! sequence; the first gives frames until another is older. An event that several members have is
//! taken from the first and passed over in the others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::batch::{BatchBounds, Gap, Piece};
use super::member::{Member, Source};
use super::{Topics, index_of, is_kept};

/// A member that still has frames for a batch: its next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    sequence: u64,
    member: Member,
    /// In its history, or in its entries.
    index: u32,
}

/// Scratch memory of merging, kept between batches.
#[derive(Debug, Default)]
pub(super) struct Runs(Heap);

/// Runs by their next frame's sequence, the oldest first.
pub(super) type Heap = BinaryHeap<Reverse<Run>>;

impl Runs {
    pub(super) fn take(&mut self) -> Heap {
        std::mem::take(&mut self.0)
    }

    pub(super) fn put(&mut self, mut runs: Heap) {
        runs.clear();
        self.0 = runs;
    }
}

impl Topics {
    /// What `member` has after `cursor` and how much that is at most, if it has any; and up to where
    /// it has lost events.
    #[inline]
    pub(super) fn run_after(&self, member: Member, cursor: u64) -> (Option<(Run, u32)>, u64) {
        match member.source() {
            Source::Topic(topic) => {
                let topic = &self.topics[topic as usize];
                if topic.newest <= cursor {
                    return (None, topic.evicted_through);
                }
                let index = topic.position(cursor);
                let run = topic.history.get(index).map(|frame| {
                    let run = Run { sequence: frame.sequence, member, index: index as u32 };
                    (run, (topic.history.len() - index) as u32)
                });
                (run, topic.evicted_through)
            }
            Source::View(view) => {
                let view = self.views.get(view);
                let run = match view.entries.back() {
                    Some((newest, _)) if *newest > cursor => {
                        let entries = &view.entries;
                        let index = entries.partition_point(|(sequence, _)| *sequence <= cursor);
                        let run = self.run_at(member, index);
                        run.map(|run| (run, (entries.len() - index) as u32))
                    }
                    _ => None,
                };
                (run, view.lost_through)
            }
        }
    }

    /// The run of `member` from its first frame at or behind `index` on.
    fn run_at(&self, member: Member, index: usize) -> Option<Run> {
        match member.source() {
            Source::Topic(topic) => {
                let frame = self.topics[topic as usize].history.get(index)?;
                Some(Run { sequence: frame.sequence, member, index: index as u32 })
            }
            Source::View(view) => {
                let entries = self.views.get(view).entries.range(index..).enumerate();
                let mut kept = entries
                    .filter(|(_, (sequence, topic))| is_kept(&self.topics, *sequence, *topic));
                let (passed, &(sequence, _)) = kept.next()?;
                Some(Run { sequence, member, index: (index + passed) as u32 })
            }
        }
    }

    fn next(&self, run: Run) -> Option<Run> {
        self.run_at(run.member, run.index as usize + 1)
    }

    /// The number of distinct events in some runs.
    pub(super) fn count_distinct(&self, runs: &Heap) -> u32 {
        let mut runs = runs.clone();
        let (mut count, mut last) = (0, 0);
        while let Some(Reverse(run)) = runs.pop() {
            if run.sequence > last {
                last = run.sequence;
                count += 1;
            }
            runs.extend(self.next(run).map(Reverse));
        }
        count
    }
}

/// A batch being put together.
pub(super) struct Filling<'a> {
    topics: &'a Topics,
    runs: &'a mut Heap,
    bounds: BatchBounds,
    pieces: &'a mut Vec<Piece>,
    frames: usize,
    bytes: usize,
    /// Of the last frame taken.
    sequence: u64,
}

impl<'a> Filling<'a> {
    pub(super) fn new(
        topics: &'a Topics,
        runs: &'a mut Heap,
        bounds: BatchBounds,
        pieces: &'a mut Vec<Piece>,
        sequence: u64,
    ) -> Filling<'a> {
        Filling { topics, runs, bounds, pieces, frames: 0, bytes: 0, sequence }
    }

    pub(super) fn announce(&mut self, gap: Gap) {
        self.pieces.push(Piece::Gap(gap));
        self.sequence = gap.resumes_after;
    }

    /// Frames, their bytes, and the sequence of the last.
    pub(super) fn size(&self) -> (u32, usize, u64) {
        (self.frames as u32, self.bytes, self.sequence)
    }

    /// Takes frames in the order of their sequences until the batch is full.
    pub(super) fn take_all(&mut self) {
        while let Some(Reverse(run)) = self.runs.pop() {
            if run.sequence <= self.sequence {
                // Another member had it as well.
                self.runs.extend(self.topics.next(run).map(Reverse));
                continue;
            }
            // As long as no other member has an older frame, this one's frames are one piece.
            let before = self.runs.peek().map_or(u64::MAX, |Reverse(other)| other.sequence);
            let (next, complete) = match run.member.source() {
                Source::Topic(topic) => self.take_history(run, topic, before),
                Source::View(view) => self.take_view(run, view, before),
            };
            if let Some(next) = next {
                self.runs.push(Reverse(next));
            }
            if !complete {
                return;
            }
        }
    }

    /// True when there is a frame that was not taken.
    pub(super) fn has_more(&mut self) -> bool {
        while let Some(Reverse(run)) = self.runs.peek().copied() {
            if run.sequence > self.sequence {
                return true;
            }
            self.runs.pop();
            self.runs.extend(self.topics.next(run).map(Reverse));
        }
        false
    }

    /// True when a frame of this size has no place.
    fn is_full(&self, bytes: usize) -> bool {
        let over = self.bytes + bytes > self.bounds.bytes_max && self.frames > 0;
        over || self.frames == self.bounds.frames_max
    }

    /// Takes frames of one history, the first whatever another has, then those up to sequence
    /// `before`; gives what it has next, and false when the batch is full.
    fn take_history(&mut self, run: Run, topic: u32, before: u64) -> (Option<Run>, bool) {
        let mut count = 0;
        let mut next = None;
        let mut complete = true;
        for frame in self.topics.topics[topic as usize].history.range(run.index as usize..) {
            next = Some(Run { sequence: frame.sequence, index: run.index + count, ..run });
            if frame.sequence >= before && count > 0 {
                break;
            }
            let bytes = frame.wire().len();
            if self.is_full(bytes) {
                complete = false;
                break;
            }
            self.frames += 1;
            self.bytes += bytes;
            self.sequence = frame.sequence;
            count += 1;
            next = None;
        }
        if count > 0 {
            self.pieces.push(Piece::Frames { topic, index: run.index, count });
        }
        (next, complete)
    }

    /// The same of a view.
    fn take_view(&mut self, run: Run, view: u32, before: u64) -> (Option<Run>, bool) {
        let mut run = run;
        loop {
            let (sequence, topic) = self.topics.views.get(view).entries[run.index as usize];
            if sequence > self.sequence {
                let entry = &self.topics.topics[topic as usize];
                let index = index_of(entry, sequence);
                let bytes = entry.history[index].wire().len();
                if self.is_full(bytes) {
                    return (Some(run), false);
                }
                self.frames += 1;
                self.bytes += bytes;
                self.sequence = sequence;
                self.add_frame(topic, index as u32);
            }
            match self.topics.next(run) {
                Some(next) if next.sequence < before => run = next,
                next => return (next, true),
            }
        }
    }

    /// Adds a frame to the last piece if it follows it there.
    fn add_frame(&mut self, topic: u32, index: u32) {
        if self.frames > 1
            && let Some(Piece::Frames { topic: last, index: from, count }) = self.pieces.last_mut()
            && *last == topic
            && *from + *count == index
        {
            *count += 1;
        } else {
            self.pieces.push(Piece::Frames { topic, index, count: 1 });
        }
    }
}
