//! After the sends of a turn: what the exceptions mean for their subscribers.
//!
//! Cursors were moved as if every send were taken whole. The few that were not are moved back to
//! what was taken, to the byte: the rest of a half-sent event is held until it is sent.

use std::io::IoSlice;
use std::ops::ControlFlow;

use bytes::{Buf, Bytes};
use rustix::io::Errno;

use super::Delivery;
use super::lane::{Lane, Outcome, Outgoing};
use super::plan::{Part, Plan, PlannedBatch, PlannedSend, Purpose};
use super::slots::State;
use crate::close::CloseReason;
use crate::event::Frame;
use crate::topic::{Cursor, Gap};

/// How far a send has come while its parts are gone through.
struct Progress {
    /// Bytes taken that are not yet accounted for.
    left: usize,
    cursor: Cursor,
    /// Frames taken, the half-sent one included.
    frames: u32,
    /// True when a gap was announced, so that the position must be found anew.
    crossed: bool,
}

impl<L: Lane> Delivery<L> {
    /// Settles all sends of a plan; `exceptions` are those that were not taken whole.
    pub(super) fn settle(&mut self, plan: &Plan, exceptions: &[(usize, Outcome)]) {
        let mut excepted: Vec<usize> = exceptions.iter().map(|(index, _)| *index).collect();
        excepted.sort_unstable();
        for (index, send) in plan.sends.iter().enumerate() {
            let parts = plan.parts(&plan.batches[send.batch as usize]);
            let finishes = matches!(parts.first(), Some(Part::Tail { .. }));
            if finishes && excepted.binary_search(&index).is_err() {
                self.drop_tail(send.slot);
            }
        }
        for &(index, outcome) in exceptions {
            let send = plan.sends[index];
            let batch = &plan.batches[send.batch as usize];
            match outcome {
                Outcome::Short(sent) => self.settle_short(plan, batch, send, sent),
                Outcome::Full => self.settle_full(batch, send),
                Outcome::Broken(error) => self.settle_broken(batch, send.slot, error),
            }
        }
        for send in &plan.sends {
            let ends = plan.batches[send.batch as usize].ends;
            if let Some(reason) = ends.filter(|_| self.slots[send.slot].state != State::Free) {
                self.close(send.slot, reason);
            }
        }
    }

    /// Sends a new subscriber what comes before all events; what its socket does not take is held
    /// like the rest of an event.
    pub(super) fn greet(&mut self, index: u32, mut greeting: Bytes) {
        let mut outcome = None;
        let buffers = [IoSlice::new(&greeting)];
        let send = Outgoing { slot: index, buffers: &buffers };
        self.lane.send(&[send], &mut |_, exception| outcome = Some(exception));
        match outcome {
            None => return,
            Some(Outcome::Broken(error)) => return self.close(index, broken(error)),
            Some(Outcome::Short(sent)) => greeting.advance(sent),
            Some(Outcome::Full) => {}
        }
        self.hold(index, greeting, None);
        self.block(index, self.slots[index].cursor);
    }

    /// Nothing was taken: the subscriber stands where it stood.
    fn settle_full(&mut self, batch: &PlannedBatch, send: PlannedSend) {
        self.uncount(batch, batch.frames, batch.bytes, batch.gap);
        self.block(send.slot, send.before);
    }

    fn settle_broken(&mut self, batch: &PlannedBatch, slot: u32, error: Errno) {
        self.uncount(batch, batch.frames, batch.bytes, batch.gap);
        self.close(slot, broken(error));
    }

    /// A part was taken: the cursor goes to where that ends.
    fn settle_short(&mut self, plan: &Plan, batch: &PlannedBatch, send: PlannedSend, sent: usize) {
        let mut progress = Progress { left: sent, cursor: send.before, frames: 0, crossed: false };
        for part in plan.parts(batch) {
            if self.pass(plan, *part, send.slot, &mut progress).is_break() {
                break;
            }
        }
        let mut cursor = progress.cursor;
        if progress.crossed {
            let set = self.slots[send.slot].set;
            let here = self.topics.cursor(set, cursor.sequence, cursor.standing);
            cursor.position = here.position;
        }
        let gap = if progress.crossed { None } else { batch.gap };
        self.uncount(batch, batch.frames - progress.frames, batch.bytes - sent, gap);
        self.block(send.slot, cursor);
        if self.tails.pinned_bytes() > self.settings.pinned_bytes_max {
            self.close(send.slot, CloseReason::PinnedBytes);
        }
    }

    /// Accounts for one part; breaks where the socket was full.
    fn pass(
        &mut self,
        plan: &Plan,
        part: Part,
        slot: u32,
        progress: &mut Progress,
    ) -> ControlFlow<()> {
        match part {
            Part::Tail { .. } => {
                let rest = self.tails.get(slot).len();
                if progress.left < rest {
                    self.tails.advance(slot, progress.left);
                    return ControlFlow::Break(());
                }
                progress.left -= rest;
                self.drop_tail(slot);
            }
            Part::Frames { topic, index, count } => {
                for at in index..index + count {
                    let frame = self.topics.frames(topic, at, 1).next().expect("it was planned");
                    let frame = frame.clone();
                    self.pass_frame(&frame, slot, progress)?;
                }
            }
            Part::Gap { text, .. } | Part::Text { text } => {
                let text = &plan.texts[text as usize];
                if progress.left == 0 {
                    return ControlFlow::Break(());
                }
                if let Part::Gap { gap, .. } = part {
                    progress.cursor.sequence = gap.resumes_after;
                    progress.cursor.told = gap.lost_through;
                    progress.crossed = true;
                }
                if progress.left < text.len() {
                    self.hold(slot, text.slice(progress.left..), None);
                    return ControlFlow::Break(());
                }
                progress.left -= text.len();
            }
        }
        ControlFlow::Continue(())
    }

    fn pass_frame(&mut self, frame: &Frame, slot: u32, progress: &mut Progress) -> ControlFlow<()> {
        if progress.left == 0 {
            return ControlFlow::Break(());
        }
        progress.cursor.sequence = frame.sequence;
        progress.cursor.position = progress.cursor.position.wrapping_add(1);
        progress.frames += 1;
        let bytes = frame.wire().len();
        if progress.left < bytes {
            let held = (frame.sequence, frame.memory_bytes() as u32);
            self.hold(slot, frame.wire_from(progress.left), Some(held));
            return ControlFlow::Break(());
        }
        progress.left -= bytes;
        ControlFlow::Continue(())
    }

    fn hold(&mut self, slot: u32, rest: Bytes, frame: Option<(u64, u32)>) {
        self.tails.insert(slot, rest, frame);
        self.slots[slot].has_tail = true;
    }

    fn drop_tail(&mut self, slot: u32) {
        self.tails.remove(slot);
        self.slots[slot].has_tail = false;
    }

    /// The socket is full: the subscriber waits for room.
    fn block(&mut self, index: u32, cursor: Cursor) {
        let slot = &mut self.slots[index];
        slot.cursor = cursor;
        slot.state = State::Blocked;
        self.blocked += 1;
        self.stats().sends_short.add(1);
    }

    /// Takes back what `record` has added for a send that was not taken whole.
    fn uncount(&self, batch: &PlannedBatch, frames: u32, bytes: usize, gap: Option<Gap>) {
        let stats = self.stats();
        if let Some(gap) = gap {
            stats.gaps.sub(1);
            stats.missed.sub(u64::from(gap.missing.unwrap_or(0)));
        }
        stats.bytes.sub(bytes as u64);
        stats.deliveries.sub(u64::from(frames));
        if batch.purpose == Purpose::CatchUp {
            stats.replayed.sub(u64::from(frames));
        }
    }
}

/// What an error of a send says of the connection.
fn broken(error: Errno) -> CloseReason {
    match error {
        Errno::PIPE => CloseReason::PeerClosed,
        Errno::CONNRESET | Errno::TIMEDOUT | Errno::HOSTUNREACH | Errno::NETUNREACH => {
            CloseReason::PeerReset
        }
        _ => CloseReason::Failed,
    }
}
