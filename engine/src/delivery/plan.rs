//! The sends of one turn, planned before any is made.
//!
//! Many subscribers stand at the same cursor of the same set, so their sends share one batch: the
//! histories are searched and merged once for all of them. A plan holds no frames and no pointers,
//! only where they are; it is valid until the histories change, which is not before it is carried
//! out.

use std::ops::Range;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::topic::{Cursor, Gap, SetIndex};

/// Sends of one turn. 256 take about a millisecond; so long nothing else of the worker runs.
pub(crate) const SENDS_MAX: usize = 256;
/// Bytes of one turn; copying them into sockets takes about as long.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// Distinct buffers of one turn; bounds the scratch memory to 256 KiB.
pub(crate) const BUFFERS_MAX: usize = 16 << 10;
/// How many batches back one is looked for that can be shared.
const SHARED_WITHIN: usize = 8;

/// A part of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// Frames of a topic's history.
    Frames { topic: u32, index: u32, count: u32 },
    /// The announcement of a gap.
    Gap { text: u32, gap: Gap },
    /// A text that is no event.
    Text { text: u32 },
    /// The rest of what the slot was sent in part.
    Tail { slot: u32 },
}

/// What a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The sweep of a set: new events to those who wait for them.
    Sweep,
    /// Replay and what a full socket had missed.
    CatchUp,
    /// A comment on a quiet connection.
    Heartbeat,
    /// The last words of a draining engine.
    Farewell,
    /// The last word to a stream whose time is over.
    End,
}

impl Purpose {
    /// Why a text of this purpose is the last of its stream, if it is.
    pub(crate) fn ends(self) -> Option<CloseReason> {
        match self {
            Purpose::Farewell => Some(CloseReason::Drained),
            Purpose::End => Some(CloseReason::Expired),
            Purpose::Sweep | Purpose::CatchUp | Purpose::Heartbeat => None,
        }
    }
}

/// What one or many sends of a turn carry.
#[derive(Clone, Debug)]
pub(crate) struct PlannedBatch {
    pub(crate) purpose: Purpose,
    /// For whom it can be used; none for a batch of one subscriber's own.
    pub(crate) shared: Option<(SetIndex, Cursor)>,
    pub(crate) parts: Range<u32>,
    pub(crate) frames: u32,
    pub(crate) bytes: usize,
    pub(crate) after: Cursor,
    pub(crate) more: bool,
    pub(crate) gap: Option<Gap>,
    /// It is the last that its subscribers are sent, and why.
    pub(crate) ends: Option<CloseReason>,
    /// When its oldest frame was numbered.
    pub(crate) published_at: u64,
    /// Sends that carry it.
    pub(crate) sends: u32,
}

/// One send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedSend {
    pub(crate) slot: u32,
    pub(crate) batch: u32,
    /// Where its subscriber stood before.
    pub(crate) before: Cursor,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) sends: Vec<PlannedSend>,
    pub(crate) batches: Vec<PlannedBatch>,
    pub(crate) parts: Vec<Part>,
    pub(crate) texts: Vec<Bytes>,
    pub(crate) bytes: usize,
    pub(crate) buffers: usize,
}

impl Plan {
    pub(crate) fn clear(&mut self) {
        self.sends.clear();
        self.batches.clear();
        self.parts.clear();
        self.texts.clear();
        self.bytes = 0;
        self.buffers = 0;
    }

    /// True when the turn should not grow any more.
    pub(crate) fn is_full(&self) -> bool {
        self.is_filled_to(1)
    }

    /// True when the part `1 / divisor` of a turn is taken.
    pub(crate) fn is_filled_to(&self, divisor: usize) -> bool {
        self.sends.len() >= SENDS_MAX / divisor
            || self.bytes >= BYTES_MAX / divisor
            || self.buffers + 1024 > BUFFERS_MAX / divisor
    }

    /// A batch of this turn that a subscriber of `set` at `cursor` can share.
    pub(crate) fn find(&self, purpose: Purpose, set: SetIndex, cursor: Cursor) -> Option<u32> {
        let count = self.batches.len();
        let recent = self.batches.iter().enumerate().rev().take(SHARED_WITHIN.min(count));
        let mut fitting = recent
            .filter(|(_, batch)| batch.shared == Some((set, cursor)) && batch.purpose == purpose);
        fitting.next().map(|(index, _)| index as u32)
    }

    pub(crate) fn add_text(&mut self, text: Bytes) -> u32 {
        self.texts.push(text);
        self.texts.len() as u32 - 1
    }

    /// Adds a batch whose parts are those from `first_part` on.
    pub(crate) fn add_batch(&mut self, mut batch: PlannedBatch, first_part: usize) -> u32 {
        batch.parts = first_part as u32..self.parts.len() as u32;
        self.batches.push(batch);
        self.batches.len() as u32 - 1
    }

    /// Adds a send of `batch` to `slot`.
    pub(crate) fn add_send(&mut self, slot: u32, batch: u32, before: Cursor) {
        let planned = &mut self.batches[batch as usize];
        planned.sends += 1;
        self.bytes += planned.bytes;
        self.sends.push(PlannedSend { slot, batch, before });
    }

    /// The parts of `batch`.
    pub(crate) fn parts(&self, batch: &PlannedBatch) -> &[Part] {
        &self.parts[batch.parts.start as usize..batch.parts.end as usize]
    }
}
