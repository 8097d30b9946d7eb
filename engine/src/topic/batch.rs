//! What comes after a cursor: the batch of one send.
//!
//! A batch names frames by topic and index instead of holding them, so planning a send copies
//! nothing and counts no references. It is valid until the histories change.
//!
//! **Gaps.** When a topic of the set has evicted events that the cursor has not reached, the gap comes
//! first: it says up to where events are lost, and covers everything up to there that does not come
//! after it. What other topics keep still comes. So no event is passed over before its loss was
//! announced, on whichever worker the subscriber goes on after it was cut off, and nothing kept is
//! skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;

use super::{SetIndex, Topic, Topics};
use crate::event::Frame;

/// How much one send may carry.
#[derive(Clone, Copy, Debug)]
pub struct BatchBounds {
    /// Frames; the kernel takes at most 1,024 buffers a send (`UIO_MAXIOV`).
    pub frames_max: usize,
    /// Bytes; the first frame goes whatever its size.
    pub bytes_max: usize,
}

/// A run of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `count` frames of `topic`'s history from `index` on.
    Frames {
        /// Index of the topic.
        topic: u32,
        /// Index in its history.
        index: u32,
        /// Number of frames.
        count: u32,
    },
    /// The announcement of a gap.
    Gap(Gap),
}

/// Events that a subscriber will not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// How many, where that is known.
    pub missing: Option<u32>,
    /// The stream goes on after this sequence.
    pub resumes_after: u64,
    /// Events up to this sequence are lost, unless they come after the gap.
    pub lost_through: u64,
}

/// Why events are missing from a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// The subscriber was too slow: the history moved past its cursor while it was connected.
    Lapped,
    /// It was away for too long: the history had moved past its `Last-Event-ID`.
    Evicted,
    /// Its `Last-Event-ID` is no id of its topics that is still known.
    UnknownId,
    /// Its `Last-Event-ID` is of another life of the engine.
    OtherEpoch,
}

impl GapReason {
    /// The reason's name in the stream.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            GapReason::Lapped => "lapped",
            GapReason::Evicted => "evicted",
            GapReason::UnknownId => "unknown_id",
            GapReason::OtherEpoch => "other_epoch",
        }
    }
}

/// How a subscriber came to its cursor; decides what a gap before it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has been caught up: a gap is one it has just been lapped by.
    Live,
    /// It came back with an id: a gap was there before it came.
    Resumed,
    /// It asked for all that is kept: what was evicted before it came is no gap.
    Earliest,
}

/// Where a subscriber stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Sequence of the last event it got or skipped.
    pub sequence: u64,
    /// The set's count of events at that point, wrapping. Its lag is the count now less this.
    pub position: u32,
    /// How it came there.
    pub standing: Standing,
    /// It has been told that events up to this sequence are lost; of no meaning below `sequence`.
    pub told: u64,
}

/// One send: how much it carries, and where the subscriber stands after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Frames in it.
    pub frames: u32,
    /// Bytes of these frames.
    pub bytes: usize,
    /// Where the subscriber stands after it.
    pub cursor: Cursor,
    /// True when more is kept after it.
    pub more: bool,
}

/// A history that still has frames for a batch: its next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    sequence: u64,
    topic: u32,
    index: u32,
}

/// Scratch memory of merging, kept between batches.
#[derive(Debug, Default)]
pub(super) struct Merge {
    runs: Vec<Reverse<Run>>,
}

/// A batch being put together.
struct Filling<'a> {
    topics: &'a Slab<Topic>,
    runs: BinaryHeap<Reverse<Run>>,
    bounds: BatchBounds,
    pieces: &'a mut Vec<Piece>,
    frames: usize,
    bytes: usize,
    sequence: u64,
}

impl Filling<'_> {
    /// Takes frames in the order of their sequences until the batch is full.
    fn take_all(&mut self) {
        while let Some(Reverse(run)) = self.runs.pop() {
            // As long as no other history has an older frame, this one's frames are one piece.
            let before = self.runs.peek().map_or(u64::MAX, |Reverse(other)| other.sequence);
            let (next, complete) = self.take_run(run, before);
            if let Some(next) = next {
                self.runs.push(Reverse(next));
            }
            if !complete {
                return;
            }
        }
    }

    /// Takes frames of one history up to sequence `before`; gives what it has next, and false when
    /// the batch is full.
    fn take_run(&mut self, run: Run, before: u64) -> (Option<Run>, bool) {
        let mut count = 0;
        let mut next = None;
        let mut complete = true;
        for frame in self.topics[run.topic as usize].history.range(run.index as usize..) {
            let index = run.index + count;
            next = Some(Run { sequence: frame.sequence, topic: run.topic, index });
            if frame.sequence >= before {
                break;
            }
            let bytes = frame.wire().len();
            let full = self.bytes + bytes > self.bounds.bytes_max && self.frames > 0;
            if full || self.frames == self.bounds.frames_max {
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
            self.pieces.push(Piece::Frames { topic: run.topic, index: run.index, count });
        }
        (next, complete)
    }
}

impl Topics {
    /// Plans what `set` has after `cursor`, within `bounds`, onto the end of `pieces`.
    pub fn batch(
        &mut self,
        set: SetIndex,
        cursor: Cursor,
        bounds: BatchBounds,
        pieces: &mut Vec<Piece>,
    ) -> Batch {
        let mut runs = std::mem::take(&mut self.merge.runs);
        runs.clear();
        let kept = self.runs_after(set, cursor.sequence, &mut runs);
        let appended = self.set_appended(set);
        let missing = appended.wrapping_sub(cursor.position).wrapping_sub(kept);
        let mut filling = Filling {
            topics: &self.topics,
            runs: BinaryHeap::from(runs),
            bounds,
            pieces,
            frames: 0,
            bytes: 0,
            sequence: cursor.sequence,
        };
        let gap = self.gap(set, cursor, missing);
        if let Some(gap) = gap {
            filling.pieces.push(Piece::Gap(gap));
            filling.sequence = gap.resumes_after;
        }
        filling.take_all();
        let (frames, bytes, sequence) = (filling.frames as u32, filling.bytes, filling.sequence);
        self.merge.runs = filling.runs.into_vec();
        let left = kept - frames;
        let position = appended.wrapping_sub(left);
        // Who has been given all there is stands at the head, however it came there; so subscribers
        // that came at different times stand at one cursor and can share batches.
        let cursor = match left {
            0 => Cursor {
                sequence: sequence.max(self.head),
                position,
                standing: Standing::Live,
                told: 0,
            },
            _ => {
                let told = gap.map_or(cursor.told, |gap| gap.lost_through);
                Cursor { sequence, position, standing: cursor.standing, told }
            }
        };
        Batch { frames, bytes, cursor, more: left > 0 }
    }

    /// The gap that a subscriber is to be told of, `missing` being the events it did not get and
    /// that are not kept.
    fn gap(&self, set: SetIndex, cursor: Cursor, missing: u32) -> Option<Gap> {
        let topics = self.sets.topics(set);
        let alone = topics.len() == 1;
        let lost = topics.map(|topic| self.topics[topic as usize].evicted_through).max();
        let lost_through = lost.filter(|lost| *lost > cursor.sequence.max(cursor.told))?;
        let (reason, missing) = match cursor.standing {
            // What was evicted before it came and asked for all there is, is no gap.
            Standing::Earliest if missing == 0 => return None,
            // What was gone before it came cannot be counted.
            Standing::Resumed => (GapReason::Evicted, None),
            Standing::Live | Standing::Earliest => {
                (GapReason::Lapped, (missing > 0).then_some(missing))
            }
        };
        // The only topic goes on behind what it lost; others still have events before that.
        let resumes_after = if alone { lost_through } else { cursor.sequence };
        Some(Gap { reason, missing, resumes_after, lost_through })
    }

    /// The frames of a piece, in order.
    pub fn frames(&self, topic: u32, index: u32, count: u32) -> impl Iterator<Item = &Frame> {
        let (from, to) = (index as usize, (index + count) as usize);
        self.topics[topic as usize].history.range(from..to)
    }

    /// Where a subscriber of `set` stands whose last event had this sequence.
    #[must_use]
    pub fn cursor(&mut self, set: SetIndex, sequence: u64, standing: Standing) -> Cursor {
        let mut runs = std::mem::take(&mut self.merge.runs);
        runs.clear();
        let kept = self.runs_after(set, sequence, &mut runs);
        self.merge.runs = runs;
        Cursor { sequence, position: self.set_appended(set).wrapping_sub(kept), standing, told: 0 }
    }

    /// Events that `cursor` has yet to get or to miss.
    #[must_use]
    pub fn lag(&self, set: SetIndex, cursor: Cursor) -> u32 {
        self.set_appended(set).wrapping_sub(cursor.position)
    }

    /// Collects the histories that have frames after `cursor`; gives the number of these frames.
    fn runs_after(&self, set: SetIndex, cursor: u64, runs: &mut Vec<Reverse<Run>>) -> u32 {
        let mut kept = 0;
        for topic in self.sets.topics(set) {
            let entry = &self.topics[topic as usize];
            let index = entry.position(cursor);
            if let Some(frame) = entry.history.get(index) {
                kept += (entry.history.len() - index) as u32;
                runs.push(Reverse(Run { sequence: frame.sequence, topic, index: index as u32 }));
            }
        }
        kept
    }
}
