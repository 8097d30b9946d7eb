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

use super::member::Source;
use super::merge::{Filling, Heap};
use super::{SetIndex, Topics};
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

/// What the members of a set have after a cursor.
struct Ahead {
    /// Their frames; more than there are events where members may overlap.
    kept: u32,
    /// The newest event that one of them has lost wholly.
    lost_through: u64,
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
        let mut runs = self.runs.take();
        let Ahead { kept, lost_through } = self.runs_after(set, cursor.sequence, &mut runs);
        let lost = self.lost(set, cursor.sequence.max(cursor.told), lost_through);
        let appended = self.set_appended(set);
        // Where members may have events in common they are counted when it matters only.
        let overlaps = self.may_overlap(set);
        let kept = if overlaps && lost.is_some() { self.count_distinct(&runs) } else { kept };
        let missing = appended.wrapping_sub(cursor.position).wrapping_sub(kept);
        let gap = lost.and_then(|lost| self.gap(set, cursor, lost, missing));
        let mut filling = Filling::new(self, &mut runs, bounds, pieces, cursor.sequence);
        if let Some(gap) = gap {
            filling.announce(gap);
        }
        filling.take_all();
        let more = filling.has_more();
        let (frames, bytes, sequence) = filling.size();
        self.runs.put(runs);
        let position = match (more, overlaps) {
            (false, _) => appended,
            (true, false) => appended.wrapping_sub(kept - frames),
            (true, true) => {
                let skipped = if gap.is_some() { missing } else { 0 };
                cursor.position.wrapping_add(frames).wrapping_add(skipped)
            }
        };
        // Who has been given all there is stands at the head, however it came there; so subscribers
        // that came at different times stand at one cursor and can share batches.
        let cursor = if more {
            let told = gap.map_or(cursor.told, |gap| gap.lost_through);
            Cursor { sequence, position, standing: cursor.standing, told }
        } else {
            let sequence = sequence.max(self.head);
            Cursor { sequence, position, standing: Standing::Live, told: 0 }
        };
        Batch { frames, bytes, cursor, more }
    }

    /// The gap that a subscriber is to be told of, of which events up to `lost_through` are lost;
    /// `missing` are the events it did not get and that are not kept.
    fn gap(&self, set: SetIndex, cursor: Cursor, lost_through: u64, missing: u32) -> Option<Gap> {
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
        let mut members = self.sets.members(set);
        let alone =
            members.len() == 1 && members.all(|member| matches!(member.source(), Source::Topic(_)));
        let resumes_after = if alone { lost_through } else { cursor.sequence };
        Some(Gap { reason, missing, resumes_after, lost_through })
    }

    /// The frames of a piece, in order.
    pub fn frames(&self, topic: u32, index: u32, count: u32) -> impl Iterator<Item = &Frame> {
        let (from, to) = (index as usize, (index + count) as usize);
        self.topics[topic as usize].history.range(from..to)
    }

    /// Where a subscriber of `set` stands whose last event had this sequence; the views of the set
    /// are complete from there on (`complete_views`).
    #[must_use]
    pub fn cursor(&mut self, set: SetIndex, sequence: u64, standing: Standing) -> Cursor {
        let mut runs = self.runs.take();
        let Ahead { mut kept, .. } = self.runs_after(set, sequence, &mut runs);
        if self.may_overlap(set) {
            kept = self.count_distinct(&runs);
        }
        self.runs.put(runs);
        Cursor { sequence, position: self.set_appended(set).wrapping_sub(kept), standing, told: 0 }
    }

    /// Events that `cursor` has yet to get or to miss.
    #[must_use]
    pub fn lag(&self, set: SetIndex, cursor: Cursor) -> u32 {
        self.set_appended(set).wrapping_sub(cursor.position)
    }

    /// Collects the members that have frames after `cursor`.
    fn runs_after(&self, set: SetIndex, cursor: u64, runs: &mut Heap) -> Ahead {
        let mut ahead = Ahead { kept: 0, lost_through: 0 };
        for member in self.sets.members(set) {
            let (run, lost_through) = self.run_after(member, cursor);
            ahead.lost_through = ahead.lost_through.max(lost_through);
            if let Some((run, count)) = run {
                ahead.kept += count;
                runs.push(Reverse(run));
            }
        }
        ahead
    }

    /// True when an event may come to a set by more than one of its members, or not be kept although
    /// a member names it.
    fn may_overlap(&self, set: SetIndex) -> bool {
        self.sets.has_views(set) || (!self.shared.is_empty() && self.sets.members(set).len() > 1)
    }
}
