//! Which subscriber met which fault: the names behind the counts of one thread.
//!
//! The idea: a subscriber's ledger says what an arrival was; only where that is not simply the
//! next event does anything happen here. A jump of a ledger opens a **hole**, which a late
//! arrival may fill and which is lost if it is still open when the session ends. A `gap` of the
//! server is held against the next event of each stream: if that jumps, the gap was told in its
//! place. If it does not, the gap came late for the oldest hole that nobody announced, or there
//! is no such hole and it was told for nothing.
//!
//! Invariants:
//! - Every list is bounded: [`LISTED_MAX`] occurrences of each kind, [`HOLES_MAX`] open holes. A
//!   subscriber without a fault costs nothing here.
//! - Holes beyond the bound are still counted as lost (that count is made elsewhere, per event),
//!   but no longer named, and a gap told late for one of them counts as unfounded.
//!
//! It knows nothing of sockets, of bytes, or of what the server did with an event.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::ledger::Arrival;
use crate::report::model::offence::{Kind, LISTED_MAX, Offence};

/// Open holes of one thread that are followed by name: under 1 MB.
const HOLES_MAX: usize = 16_384;

/// Streams of a topic that a gap waits for; those beyond do not decide about it.
const STREAMS_MAX: usize = 64;

/// Whose event it is, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    /// The subscriber on this thread.
    pub(super) local: u32,
    /// The same in the connect order of all threads.
    pub(super) order: u32,
    pub(super) topic: u32,
    pub(super) stream: u32,
    /// From the start of the run.
    pub(super) at_ns: u64,
    /// Whether it belongs to the measured window.
    pub(super) measured: bool,
}

/// An arrival against what its ledger expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) arrival: Arrival,
    /// The first sequence not yet seen that the subscriber is due for.
    pub(super) expected: u32,
    pub(super) sequence: u32,
}

/// A session's end in one stream.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// The first sequence not seen.
    pub(super) next: u32,
    /// What the subscriber was due for and, if it came, has been read.
    pub(super) due: Range<u32>,
    /// Whether there was more to be read.
    pub(super) unread: bool,
    /// What the run measures.
    pub(super) measured: Range<u32>,
}

/// The names of one thread's faults.
#[derive(Debug, Default)]
pub(super) struct Offences {
    listed: Vec<Offence>,
    counts: [usize; Kind::ALL.len()],
    /// Kept apart, because they are found at the end of a session, not in order of time.
    lost: Vec<Offence>,
    /// Open holes by subscriber, stream and first sequence.
    holes: BTreeMap<(u32, u32, u32), Hole>,
    /// Gaps that no event has decided about yet, by subscriber.
    gaps: HashMap<u32, Gap>,
    /// Sequences announced as missing, and no longer, since they were last taken.
    pub(super) told: Vec<Told>,
    pub(super) gaps_late: u64,
    pub(super) gaps_unfounded: u64,
    /// Measured deliveries lost in sessions that have ended.
    lost_count: u64,
}

/// Sequences of a stream that the server said (or unsaid, by delivering one after all) are
/// missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) stream: u32,
    pub(super) sequences: Range<u32>,
    pub(super) by: i32,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    to: u32,
    order: u32,
    topic: u32,
    at_ns: u64,
    told: bool,
}

#[derive(Debug, Clone, Copy)]
struct Gap {
    whose: Whose,
    /// Streams of which no event has come since, one bit each.
    waiting: u64,
    answered: bool,
}

impl Offences {
    /// Whether an ordinary arrival can be passed over.
    pub(super) fn is_idle(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Enters an arrival that is not simply the next event, or any while a gap is undecided.
    pub(super) fn arrived(&mut self, whose: &Whose, place: usize, step: &Step) {
        let Step { arrival, expected, sequence } = *step;
        match arrival {
            Arrival::New => {
                let hole = (sequence > expected).then_some(expected..sequence);
                let told = self.answer(whose, place, hole.as_ref());
                if let Some(hole) = hole {
                    self.open(whose, hole, told);
                }
            }
            Arrival::OutOfOrder => {
                self.fill(whose, sequence);
                self.list(whose, Kind::OutOfOrder, Some(expected), Some(sequence), 1);
            }
            Arrival::Duplicate => {
                self.list(whose, Kind::Duplicate, Some(expected), Some(sequence), 1);
            }
            // Neither a duplicate nor an arrival: it is counted as ambiguous.
            Arrival::TooOld => {}
        }
    }

    /// Enters an event that came after the horizon.
    pub(super) fn late(&mut self, whose: &Whose, sequence: u32) {
        self.list(whose, Kind::Late, Some(sequence), Some(sequence), 1);
    }

    /// Enters an event whose stamp cannot be read where `expected` was to come, if that is known.
    pub(super) fn corrupt(&mut self, whose: &Whose, expected: Option<u32>) {
        self.list(whose, Kind::Corrupt, expected, None, 1);
    }

    /// Enters a gap that the server announced to a subscriber of so many streams.
    pub(super) fn gap(&mut self, whose: &Whose, streams: usize) {
        self.decide(whose.local);
        let waiting = u64::MAX >> (STREAMS_MAX - streams.clamp(1, STREAMS_MAX));
        self.gaps.insert(whose.local, Gap { whose: *whose, waiting, answered: false });
    }

    /// Holds a new event against a gap of its subscriber that waits for one; whether the gap
    /// explains the hole before that event.
    fn answer(&mut self, whose: &Whose, place: usize, hole: Option<&Range<u32>>) -> bool {
        let Some(gap) = self.gaps.get_mut(&whose.local) else { return false };
        let bit = if place < STREAMS_MAX { 1 << place } else { 0 };
        if gap.waiting & bit == 0 {
            return false;
        }
        gap.waiting &= !bit;
        let first = hole.is_some() && !gap.answered;
        gap.answered |= hole.is_some();
        let (over, from) = (gap.waiting == 0, gap.whose);
        if first && let Some(hole) = hole {
            let whose = Whose { stream: whose.stream, ..from };
            let count = u64::from(hole.end - hole.start);
            self.list(&whose, Kind::Gap, Some(hole.start), Some(hole.end), count);
        }
        if over {
            self.decide(whose.local);
        }
        hole.is_some()
    }

    /// Ends a gap's wait: one that no event has answered came late, or for nothing.
    fn decide(&mut self, local: u32) {
        let Some(gap) = self.gaps.remove(&local) else { return };
        if gap.answered {
            return;
        }
        let mut holes = self.holes.range_mut((local, 0, 0)..=(local, u32::MAX, u32::MAX));
        let Some((&(_, stream, from), hole)) = holes.find(|(_, hole)| !hole.told) else {
            self.gaps_unfounded += u64::from(gap.whose.measured);
            return self.list(&gap.whose, Kind::GapUnfounded, None, None, 0);
        };
        hole.told = true;
        let to = hole.to;
        self.told.push(Told { stream, sequences: from..to, by: 1 });
        self.gaps_late += u64::from(gap.whose.measured);
        let whose = Whose { stream, ..gap.whose };
        self.list(&whose, Kind::GapLate, Some(from), Some(to), u64::from(to - from));
    }

    fn open(&mut self, whose: &Whose, hole: Range<u32>, told: bool) {
        if told {
            self.told.push(Told { stream: whose.stream, sequences: hole.clone(), by: 1 });
        }
        if self.holes.len() < HOLES_MAX {
            let Whose { local, order, topic, stream, at_ns, .. } = *whose;
            let opened = Hole { to: hole.end, order, topic, at_ns, told };
            self.holes.insert((local, stream, hole.start), opened);
        }
    }

    /// Takes a sequence out of the hole that it was missing in.
    fn fill(&mut self, whose: &Whose, sequence: u32) {
        let key = (whose.local, whose.stream, sequence);
        let before = self.holes.range((whose.local, whose.stream, 0)..=key).next_back();
        let Some((&key, &hole)) = before.filter(|(_, hole)| sequence < hole.to) else { return };
        self.holes.remove(&key);
        if key.2 < sequence {
            self.holes.insert(key, Hole { to: sequence, ..hole });
        }
        if sequence + 1 < hole.to {
            self.holes.insert((key.0, key.1, sequence + 1), hole);
        }
        if hole.told {
            let sequences = sequence..sequence + 1;
            self.told.push(Told { stream: whose.stream, sequences, by: -1 });
        }
    }

    /// Ends a session: what is missing behind the last event of a stream is a hole as well.
    /// `streams` are those of its topic, in order.
    pub(super) fn end(&mut self, whose: &Whose, streams: &[Ended]) {
        let base = whose.stream;
        for (place, ended) in streams.iter().enumerate() {
            let tail = ended.next.max(ended.due.start)..ended.due.end;
            if tail.is_empty() {
                continue;
            }
            let whose = Whose { stream: base + place as u32, ..*whose };
            if self.answer(&whose, place, Some(&tail)) {
                self.told.push(Told { stream: whose.stream, sequences: tail.clone(), by: 1 });
            }
            let Whose { order, topic, at_ns, .. } = whose;
            let hole = Hole { to: tail.end, order, topic, at_ns, told: false };
            self.lose(whose.stream, tail.start, &hole, ended, None);
        }
        if streams.iter().any(|ended| ended.unread) {
            // What would decide about a gap lies among what was not read.
            self.gaps.remove(&whose.local);
        }
        self.decide(whose.local);
        if self.holes.is_empty() {
            return;
        }
        let range = (whose.local, 0, 0)..=(whose.local, u32::MAX, u32::MAX);
        let closed: Vec<_> = self.holes.range(range).map(|(key, hole)| (*key, *hole)).collect();
        for (key, hole) in closed {
            self.holes.remove(&key);
            if let Some(ended) = streams.get((key.1 - base) as usize) {
                self.lose(key.1, key.2, &hole, ended, Some(u64::from(hole.to)));
            }
        }
    }

    /// Lists what of a hole was due and is measured.
    fn lose(&mut self, stream: u32, from: u32, hole: &Hole, ended: &Ended, met: Option<u64>) {
        let from = from.max(ended.due.start).max(ended.measured.start);
        let to = hole.to.min(ended.due.end).min(ended.measured.end);
        if from >= to {
            return;
        }
        self.lost_count += u64::from(to - from);
        self.lost.push(Offence {
            kind: Kind::Lost,
            subscriber: u64::from(hole.order),
            topic: hole.topic,
            stream,
            expected: Some(u64::from(from)),
            met,
            count: u64::from(to - from),
            at_ns: hole.at_ns,
        });
        if self.lost.len() >= 2 * LISTED_MAX {
            self.lost = crate::report::model::offence::first(std::mem::take(&mut self.lost));
        }
    }

    fn list(
        &mut self,
        whose: &Whose,
        kind: Kind,
        expected: Option<u32>,
        met: Option<u32>,
        count: u64,
    ) {
        let listed = &mut self.counts[kind as usize];
        if !whose.measured || *listed >= LISTED_MAX {
            return;
        }
        *listed += 1;
        self.listed.push(Offence {
            kind,
            subscriber: u64::from(whose.order),
            topic: whose.topic,
            stream: whose.stream,
            expected: expected.map(u64::from),
            met: met.map(u64::from),
            count,
            at_ns: whose.at_ns,
        });
    }

    /// Deliveries that have been missing since before a time, and those of ended sessions;
    /// `measured` says which sequences of a stream count.
    pub(super) fn missing(&self, since_ns: u64, measured: impl Fn(u32) -> Range<u32>) -> u64 {
        let old = self.holes.iter().filter(|(_, hole)| hole.at_ns < since_ns);
        let counted = old.map(|(&(_, stream, from), hole)| {
            let measured = measured(stream);
            let (from, to) = (from.max(measured.start), hole.to.min(measured.end));
            u64::from(to.saturating_sub(from))
        });
        self.lost_count + counted.sum::<u64>()
    }

    /// Everything that was listed.
    pub(super) fn finish(&mut self) -> Vec<Offence> {
        let mut all = std::mem::take(&mut self.listed);
        all.append(&mut self.lost);
        all
    }
}

#[cfg(test)]
mod tests;
