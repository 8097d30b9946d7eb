//! One turn: whom to send what, and the sending.

use std::io::IoSlice;

use bytes::Bytes;

use super::lane::{Lane, Outcome, Outgoing};
use super::plan::{Part, PlannedBatch, PlannedSend, Purpose};
use super::slots::State;
use super::{Delivery, QUANTUM};
use crate::close::CloseReason;
use crate::config::cli::LagPolicy;
use crate::stream;
use crate::topic::{BatchBounds, Cursor, Piece, SetIndex, Standing, Topics};

/// What one send may carry. The kernel takes 1,024 buffers; a rest, a gap and the frames around it
/// need a few of them. More bytes than a socket takes would only be planned in vain.
const BATCH: BatchBounds = BatchBounds { frames_max: 1000, bytes_max: 256 << 10 };
/// Members of a set that one turn looks at: passing one over costs a few nanoseconds.
const VISITS_MAX: usize = 16 << 10;
/// Slots that the scan for heartbeats and timeouts looks at in one turn.
const SCAN_MAX: u32 = 64 << 10;
/// Streams that a drain closes per second at least, however long it may take.
const DRAIN_RATE_MIN: u64 = 5_000;

impl<L: Lane> Delivery<L> {
    /// Plans and makes the sends of one turn. True when there is more to do at once.
    ///
    /// `clock` gives the engine's monotonic time in nanoseconds.
    pub(crate) fn turn(&mut self, clock: impl Fn() -> u64) -> bool {
        let began = clock();
        self.plan.clear();
        self.close_overdue(began);
        self.plan_ends(began);
        // Who needs a second batch stands at the end of the queue, after the candidates of this
        // turn: two sends to one socket in one turn could not be settled.
        let mut candidates = self.behind.len();
        let divisor = if self.queue.is_empty() { 1 } else { 2 };
        self.plan_behind(&mut candidates, divisor);
        self.plan_sweep();
        self.plan_behind(&mut candidates, 1);
        self.scan();
        let farewells = self.plan.sends.is_empty() && self.plan_farewells(began);
        if !self.plan.sends.is_empty() {
            let exceptions = self.send();
            let ended = clock();
            self.record(ended);
            self.stats().turn_time.record(ended.saturating_sub(began), 1);
            let plan = std::mem::take(&mut self.plan);
            self.settle(&plan, &exceptions);
            self.plan = plan;
        }
        let ends = self.terms.has_ended(began);
        !self.queue.is_empty() || !self.behind.is_empty() || self.scan_left > 0 || farewells || ends
    }

    /// The time for a drain is over: what is left is closed as it is.
    fn close_overdue(&mut self, now_ns: u64) {
        let Some(drain) = self.drain else { return };
        if now_ns.saturating_sub(drain.started_ns) >= self.settings.drain_ns {
            let left: Vec<u32> = self.slots.iter().map(|(index, _)| index).collect();
            left.into_iter().for_each(|index| self.close(index, CloseReason::Drained));
        }
    }

    /// Streams whose time is over are told so and closed; those that cannot be told are closed as
    /// they are. First of all in a turn: no amount of events keeps a stream open for longer.
    fn plan_ends(&mut self, now_ns: u64) {
        let mut batch = None;
        while !self.plan.is_full() {
            let Some(index) = self.terms.next_ended(now_ns) else { return };
            let slot = &self.slots[index];
            if matches!(slot.state, State::Live | State::Behind) && !slot.has_tail {
                self.plan_text(index, Purpose::End, &mut batch, || {
                    Bytes::from_static(stream::EXPIRED)
                });
                self.slots[index].state = State::Ending;
            } else {
                self.close(index, CloseReason::Expired);
            }
        }
    }

    /// Subscribers that catch up on their own, until the part `1 / divisor` of the turn is taken.
    fn plan_behind(&mut self, candidates: &mut usize, divisor: usize) {
        while *candidates > 0 && !self.plan.is_filled_to(divisor) {
            *candidates -= 1;
            let Some(index) = self.behind.pop_front() else { return };
            self.slots[index].queued = false;
            if self.slots[index].state == State::Behind {
                self.plan_send(index, Purpose::CatchUp);
            }
        }
    }

    /// Sets that have something new, in turn.
    fn plan_sweep(&mut self) {
        let mut visits = 0;
        while let Some(&set) = self.queue.front() {
            if self.plan.is_full() || visits >= VISITS_MAX {
                return;
            }
            self.queue.pop_front();
            if self.sweep_set(set, &mut visits) {
                self.queue.push_back(set);
            } else {
                self.audiences[set.0 as usize].queued = false;
            }
        }
    }

    /// A quantum of one set; true when the set is to stand in the queue again.
    fn sweep_set(&mut self, set: SetIndex, visits: &mut usize) -> bool {
        if self.audiences[set.0 as usize].len() == 0 {
            return false;
        }
        let head = self.topics.set_head(set);
        if !self.audiences[set.0 as usize].begin(head) {
            return false;
        }
        let sends_max = self.plan.sends.len() + QUANTUM;
        while self.plan.sends.len() < sends_max && !self.plan.is_full() && *visits < VISITS_MAX {
            *visits += 1;
            let audience = &mut self.audiences[set.0 as usize];
            // The last subscriber may have been closed, and the set with it.
            if audience.len() == 0 {
                return false;
            }
            let Some(index) = audience.visit() else { return audience.begin(head) };
            let slot = &self.slots[index];
            if slot.state == State::Live && slot.cursor.sequence < head {
                self.plan_send(index, Purpose::Sweep);
            }
        }
        true
    }

    /// Plans the send of what comes after a subscriber's cursor, if anything does, and moves the
    /// cursor.
    fn plan_send(&mut self, index: u32, purpose: Purpose) {
        let slot = &self.slots[index];
        let (set, before, has_tail) = (slot.set, slot.cursor, slot.has_tail);
        let shared = if has_tail { None } else { self.plan.find(purpose, set, before) };
        let planned = match shared {
            Some(batch) => Ok(batch),
            None => self.plan_batch(index, set, before, has_tail, purpose),
        };
        let batch = match planned {
            Ok(batch) => batch,
            Err(cursor) => {
                self.slots[index].cursor = cursor;
                self.slots[index].state = State::Live;
                return;
            }
        };
        let planned = &self.plan.batches[batch as usize];
        let (after, more) = (planned.after, planned.more);
        self.plan.add_send(index, batch, before);
        let slot = &mut self.slots[index];
        slot.cursor = after;
        slot.written_at = self.tick;
        slot.state = State::Live;
        if more {
            self.set_behind(index);
        }
    }

    /// Plans what comes after `cursor`; when nothing does, gives where that leaves the subscriber.
    fn plan_batch(
        &mut self,
        index: u32,
        set: SetIndex,
        cursor: Cursor,
        has_tail: bool,
        purpose: Purpose,
    ) -> Result<u32, Cursor> {
        let Delivery { topics, plan, tails, settings, .. } = self;
        let first_part = plan.parts.len();
        let mut bytes = 0;
        if has_tail {
            plan.parts.push(Part::Tail { slot: index });
            bytes += tails.get(index).len();
        }
        let mut pieces = Vec::new();
        let mut batch = topics.batch(set, cursor, BATCH, &mut pieces);
        if pieces.is_empty() && !has_tail {
            return Err(batch.cursor);
        }
        let ends = ends_at_gap(settings.lag, cursor.standing, &mut pieces);
        if ends.is_some() {
            (batch.frames, batch.bytes) = size(topics, &pieces);
            batch.more = false;
            // It is not visited again before it is closed.
            batch.cursor.sequence = topics.head();
        }
        let mut gap = None;
        for piece in pieces {
            match piece {
                Piece::Frames { topic, index, count } => {
                    plan.parts.push(Part::Frames { topic, index, count });
                }
                Piece::Gap(found) => {
                    gap = Some(found);
                    let text = stream::gap(&found, settings.epoch);
                    bytes += text.len();
                    let text = plan.add_text(text);
                    plan.parts.push(Part::Gap { text, gap: found });
                }
            }
        }
        plan.buffers += batch.frames as usize + 2;
        let published_at = oldest(topics, &plan.parts[first_part..]);
        let planned = PlannedBatch {
            purpose,
            shared: (!has_tail).then_some((set, cursor)),
            parts: 0..0,
            frames: batch.frames,
            bytes: bytes + batch.bytes,
            after: batch.cursor,
            more: batch.more,
            gap,
            ends,
            published_at,
            sends: 0,
        };
        Ok(plan.add_batch(planned, first_part))
    }

    /// Looks at the next slots for heartbeats that are due and sockets that have been full for too
    /// long.
    fn scan(&mut self) {
        let mut visits = self.scan_left.min(SCAN_MAX);
        let mut heartbeat = None;
        while visits > 0 && !self.plan.is_full() {
            visits -= 1;
            self.scan_left -= 1;
            if self.scan_next as usize >= self.slots.len() {
                self.scan_next = 0;
            }
            let index = self.scan_next;
            self.scan_next += 1;
            let slot = &self.slots[index];
            let quiet = self.tick.saturating_sub(slot.written_at);
            match slot.state {
                State::Blocked if quiet >= self.settings.write_timeout_ticks => {
                    self.close(index, CloseReason::WriteTimeout);
                }
                State::Live if self.heartbeat_is_due(index, quiet) => {
                    self.plan_text(index, Purpose::Heartbeat, &mut heartbeat, || {
                        Bytes::from_static(stream::HEARTBEAT)
                    });
                }
                _ => {}
            }
        }
    }

    /// Heartbeats are due at different ages, up to a quarter early, so that all the subscribers of
    /// a broadcast are not due together ever after.
    fn heartbeat_is_due(&self, index: u32, quiet: u32) -> bool {
        let interval = self.settings.heartbeat_ticks;
        let early = index.wrapping_mul(2_654_435_761) % (interval / 4 + 1);
        interval > 0 && quiet >= interval - early && self.drain.is_none()
    }

    /// Plans a text that is no event to one subscriber that waits for events. `batch` shares it
    /// between the subscribers of a turn.
    fn plan_text(
        &mut self,
        index: u32,
        purpose: Purpose,
        batch: &mut Option<u32>,
        text: impl FnOnce() -> Bytes,
    ) {
        let cursor = self.slots[index].cursor;
        let batch = *batch.get_or_insert_with(|| {
            let text = text();
            let bytes = text.len();
            let first_part = self.plan.parts.len();
            let text = self.plan.add_text(text);
            self.plan.parts.push(Part::Text { text });
            self.plan.buffers += 1;
            let planned = PlannedBatch {
                purpose,
                shared: None,
                parts: 0..0,
                frames: 0,
                bytes,
                after: cursor,
                more: false,
                gap: None,
                ends: purpose.ends(),
                published_at: 0,
                sends: 0,
            };
            self.plan.add_batch(planned, first_part)
        });
        self.plan.add_send(index, batch, cursor);
        self.slots[index].written_at = self.tick;
    }

    /// The next subscribers of a drain are told when to come back; they are closed when their send
    /// is done. Those that cannot be told are closed as they are. True when more are due.
    fn plan_farewells(&mut self, now_ns: u64) -> bool {
        let Some(mut drain) = self.drain else { return false };
        let passed_ns = now_ns.saturating_sub(drain.started_ns);
        // Evenly over the time there is.
        let share = drain.count as u64 * passed_ns / self.settings.drain_ns.max(1);
        let due = share.max(passed_ns * DRAIN_RATE_MIN / 1_000_000_000 + 1);
        let mut told = drain.closed as u64;
        while told < due && (drain.next as usize) < self.slots.len() {
            if self.plan.is_full() {
                return true;
            }
            let index = drain.next;
            drain.next += 1;
            self.drain.as_mut().expect("it is under way").next = drain.next;
            match self.slots[index].state {
                State::Free => continue,
                State::Live if !self.slots[index].has_tail => {
                    let text = stream::farewell(self.retry_ms());
                    self.plan_text(index, Purpose::Farewell, &mut None, || text);
                }
                _ => self.close(index, CloseReason::Drained),
            }
            told += 1;
        }
        false
    }

    /// Makes the planned sends; gives those that were not taken whole.
    fn send(&mut self) -> Vec<(usize, Outcome)> {
        let Delivery { topics, tails, plan, lane, .. } = self;
        let mut buffers = Vec::with_capacity(plan.buffers);
        let mut ranges = Vec::with_capacity(plan.batches.len());
        for batch in &plan.batches {
            let first = buffers.len();
            // Planned for a subscriber that was closed instead of being told of its gap.
            let parts = if batch.sends == 0 { &[] } else { plan.parts(batch) };
            for part in parts {
                match *part {
                    Part::Frames { topic, index, count } => {
                        let frames = topics.frames(topic, index, count);
                        buffers.extend(frames.map(|frame| IoSlice::new(frame.wire())));
                    }
                    Part::Gap { text, .. } | Part::Text { text } => {
                        buffers.push(IoSlice::new(&plan.texts[text as usize]));
                    }
                    Part::Tail { slot } => buffers.push(IoSlice::new(tails.get(slot))),
                }
            }
            ranges.push(first..buffers.len());
        }
        let outgoing = |send: &PlannedSend| Outgoing {
            slot: send.slot,
            buffers: &buffers[ranges[send.batch as usize].clone()],
        };
        let sends: Vec<Outgoing<'_>> = plan.sends.iter().map(outgoing).collect();
        let mut exceptions = Vec::new();
        lane.send(&sends, &mut |index, outcome| exceptions.push((index, outcome)));
        exceptions
    }

    /// Counts what the turn has delivered, as if all of it had been taken; what was not is
    /// subtracted when it is settled.
    fn record(&self, now_ns: u64) {
        let stats = self.stats();
        for batch in &self.plan.batches {
            let sends = u64::from(batch.sends);
            let deliveries = u64::from(batch.frames) * sends;
            stats.bytes.add(batch.bytes as u64 * sends);
            match batch.purpose {
                Purpose::Heartbeat => stats.heartbeats.add(sends),
                Purpose::Farewell | Purpose::End => {}
                Purpose::Sweep | Purpose::CatchUp => {
                    stats.sends.add(sends);
                    stats.deliveries.add(deliveries);
                }
            }
            if batch.purpose == Purpose::CatchUp {
                stats.replayed.add(deliveries);
            }
            if batch.purpose == Purpose::Sweep && batch.frames > 0 {
                let waited = now_ns.saturating_sub(batch.published_at);
                stats.publish_to_written.record(waited, deliveries);
            }
            if let Some(gap) = batch.gap {
                stats.gaps.add(sends);
                stats.missed.add(u64::from(gap.missing.unwrap_or(0)) * sends);
            }
        }
    }
}

/// Under `--lag disconnect` a lapped subscriber is told of its gap and nothing after it.
fn ends_at_gap(lag: LagPolicy, standing: Standing, pieces: &mut Vec<Piece>) -> Option<CloseReason> {
    if lag == LagPolicy::Skip || standing != Standing::Live {
        return None;
    }
    let gap = pieces.iter().position(|piece| matches!(piece, Piece::Gap(_)))?;
    pieces.truncate(gap + 1);
    Some(CloseReason::Lapped)
}

/// Frames and bytes of some pieces.
fn size(topics: &Topics, pieces: &[Piece]) -> (u32, usize) {
    let (mut frames, mut bytes) = (0, 0);
    for piece in pieces {
        if let Piece::Frames { topic, index, count } = *piece {
            frames += count;
            bytes += topics.frames(topic, index, count).map(|f| f.wire().len()).sum::<usize>();
        }
    }
    (frames, bytes)
}

/// When the first frame of a batch was numbered; frames are in order, so it is the oldest.
fn oldest(topics: &Topics, parts: &[Part]) -> u64 {
    let first = parts.iter().find_map(|part| match *part {
        Part::Frames { topic, index, .. } => topics.frames(topic, index, 1).next(),
        _ => None,
    });
    first.map_or(0, |frame| frame.published_at)
}
