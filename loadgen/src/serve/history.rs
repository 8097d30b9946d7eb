//! The events of one topic: numbered from 1, the last of them kept for subscribers that return.
//!
//! The idea: the number of an event in its topic is its identity, so what a returning subscriber
//! missed is plain arithmetic: everything behind its number that is kept is replayed, and the
//! rest is counted as missing.
//!
//! Invariant: the kept events are consecutive and end at `head`. This module knows nothing of
//! connections, faults or how an event looks on the wire.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// One accepted event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Position in its topic, from 1.
    pub(super) number: u64,
    /// The `event` field; without one a browser calls it `message`.
    pub(super) name: Option<String>,
    pub(super) data: Vec<u8>,
    /// The event as it goes to a subscriber without a fault; written by the first delivery, so
    /// that the others are a copy.
    pub(super) written: OnceCell<Vec<u8>>,
}

impl Event {
    pub(super) fn new(number: u64, name: Option<String>, data: Vec<u8>) -> Self {
        Self { number, name, data, written: OnceCell::new() }
    }
}

/// Where a subscriber wants its stream to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With whatever comes next.
    Live,
    /// With the oldest event that is kept.
    Earliest,
    /// Behind this event of this epoch.
    After(u64),
    /// Behind an event of another epoch.
    OtherEpoch,
    /// Behind something that was never an id here.
    Unknown,
}

/// Why a stream cannot go on where the subscriber left it. The names are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Lapped,
    Evicted,
    OtherEpoch,
    UnknownId,
}

/// A hole in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) reason: Reason,
    /// Events left out, where that is known.
    pub(super) missing: Option<u64>,
}

/// How a stream starts: after which event, and what was lost before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) after: u64,
    pub(super) hole: Option<Hole>,
}

/// The last events of a topic.
#[derive(Debug, Default)]
pub(super) struct History {
    kept: VecDeque<Rc<Event>>,
    head: u64,
}

impl Reason {
    /// The name in the `reason` field of a gap announcement.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lapped => "lapped",
            Self::Evicted => "evicted",
            Self::OtherEpoch => "other_epoch",
            Self::UnknownId => "unknown_id",
        }
    }
}

impl Start {
    /// Reads a `Last-Event-ID`, where ids are `<epoch>-<number>`.
    pub(super) fn from_id(id: &str, epoch: &str) -> Self {
        if id.is_empty() {
            return Self::Live;
        }
        if id == "earliest" {
            return Self::Earliest;
        }
        let Some((id_epoch, number)) = id.rsplit_once('-') else {
            return Self::Unknown;
        };
        match number.parse() {
            Err(_) => Self::Unknown,
            Ok(_) if id_epoch != epoch => Self::OtherEpoch,
            Ok(number) => Self::After(number),
        }
    }
}

impl History {
    /// Appends an event and forgets the oldest beyond `events_max`.
    pub(super) fn accept(
        &mut self,
        name: Option<String>,
        data: Vec<u8>,
        events_max: usize,
    ) -> Rc<Event> {
        self.head += 1;
        let event = Rc::new(Event::new(self.head, name, data));
        self.kept.push_back(Rc::clone(&event));
        while self.kept.len() > events_max {
            self.kept.pop_front();
        }
        event
    }

    /// Where a stream that wants to start at `start` does start.
    pub(super) fn resume(&self, start: Start) -> Resume {
        let oldest_cursor = self.head - self.kept.len() as u64;
        let hole = |reason, missing| Some(Hole { reason, missing });
        match start {
            Start::Live => Resume { after: self.head, hole: None },
            Start::Earliest => Resume { after: oldest_cursor, hole: None },
            Start::After(number) if number > self.head => {
                Resume { after: self.head, hole: hole(Reason::UnknownId, None) }
            }
            Start::After(number) if number < oldest_cursor => Resume {
                after: oldest_cursor,
                hole: hole(Reason::Evicted, Some(oldest_cursor - number)),
            },
            Start::After(number) => Resume { after: number, hole: None },
            Start::OtherEpoch => {
                Resume { after: oldest_cursor, hole: hole(Reason::OtherEpoch, None) }
            }
            Start::Unknown => Resume { after: self.head, hole: hole(Reason::UnknownId, None) },
        }
    }

    /// The kept events behind number `after`, oldest first.
    pub(super) fn behind(&self, after: u64) -> impl Iterator<Item = &Rc<Event>> {
        let count = usize::try_from(self.head - after).expect("no more than are kept");
        self.kept.range(self.kept.len() - count..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(accepted: u64, events_max: usize) -> History {
        let mut history = History::default();
        for number in 1..=accepted {
            history.accept(None, number.to_string().into_bytes(), events_max);
        }
        history
    }

    #[test]
    fn every_position_is_replayed_or_counted_as_missing() {
        for accepted in 0..8 {
            for events_max in 1..8 {
                let history = history(accepted, events_max);
                for after in 0..=accepted {
                    let resume = history.resume(Start::After(after));
                    let replayed: Vec<u64> =
                        history.behind(resume.after).map(|event| event.number).collect();
                    let missing = resume.hole.map_or(0, |hole| hole.missing.expect("known"));
                    let expected: Vec<u64> = (after + missing + 1..=accepted).collect();
                    assert_eq!(replayed, expected, "{accepted} accepted, {events_max} kept");
                    assert!(missing == 0 || replayed.len() == events_max);
                }
            }
        }
    }

    #[test]
    fn an_id_from_the_future_or_from_elsewhere_is_told_apart() {
        let history = history(5, 3);
        let reason = |start| history.resume(start).hole.map(|hole| hole.reason);
        assert_eq!(reason(Start::from_id("a-6", "a")), Some(Reason::UnknownId));
        assert_eq!(reason(Start::from_id("b-5", "a")), Some(Reason::OtherEpoch));
        assert_eq!(reason(Start::from_id("a-x", "a")), Some(Reason::UnknownId));
        assert_eq!(reason(Start::from_id("rubbish", "a")), Some(Reason::UnknownId));
        assert_eq!(reason(Start::from_id("a-b-5", "a-b")), None);
        assert_eq!(reason(Start::from_id("", "a")), None);
        assert_eq!(history.resume(Start::from_id("earliest", "a")).after, 2);
    }
}
