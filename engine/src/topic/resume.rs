//! Where a subscriber that comes with a `Last-Event-ID` goes on.

use std::rc::Rc;

use super::{GapReason, Interest, Standing, Topics};
use crate::event::{Epoch, EventId};

/// The id that asks for all that is kept.
const EARLIEST: &str = "earliest";

/// Where a stream starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The stream goes on after this sequence.
    pub sequence: u64,
    /// How the subscriber came there.
    pub standing: Standing,
    /// The gap to announce at once, when the id says nothing about a place in the history. A gap
    /// that lies between the id and the history is found by the first batch.
    pub gap: Option<GapReason>,
}

impl Topics {
    /// Where a subscriber starts that has no id: after the newest event there is, be it one that
    /// this worker has yet to meet. Whoever subscribes after a publish was answered does not get
    /// that event.
    #[must_use]
    pub fn resume_live(&self, sequence_max: u64) -> Resume {
        let sequence = self.head.max(sequence_max);
        Resume { sequence, standing: Standing::Live, gap: None }
    }

    /// Where a subscriber goes on after the event `id`.
    ///
    /// `sequence_max` is the newest sequence given so far; it may be above this worker's head when
    /// the subscriber comes from a faster worker. An id that cannot be placed leads to all that is
    /// kept, after a gap: what the subscriber has seen of it is unknown, and a repeated event does
    /// less harm than a lost one.
    #[must_use]
    pub fn resume(
        &self,
        interest: Interest<'_>,
        id: &str,
        epoch: Epoch,
        sequence_max: u64,
    ) -> Resume {
        if id == EARLIEST {
            return self.earliest(interest, None);
        }
        let after = |sequence| Resume { sequence, standing: Standing::Resumed, gap: None };
        let parsed = id.parse::<EventId>();
        match parsed {
            Ok(id) if id.epoch == epoch && id.sequence <= sequence_max => after(id.sequence),
            _ => match (self.sequence_of(interest, id), parsed) {
                // An engine's id may have been passed on as a publisher's own.
                (Some(sequence), _) => after(sequence),
                (None, Ok(id)) if id.epoch != epoch => {
                    self.earliest(interest, Some(GapReason::OtherEpoch))
                }
                (None, _) => self.earliest(interest, Some(GapReason::UnknownId)),
            },
        }
    }

    /// Whether events after `sequence` that may be for `interest` are no longer kept.
    #[must_use]
    pub fn has_lost(&self, interest: Interest<'_>, sequence: u64) -> bool {
        let lost = |topic: &super::Topic| {
            topic.evicted_through > sequence && interest.may_match(&topic.name, topic.private)
        };
        self.newest_lost > sequence && self.topics.iter().any(|(_, topic)| lost(topic))
    }

    /// Sequence of the kept event to which a publisher gave this id. Of the named topics each may
    /// have one, its newest, and the oldest of these counts, so that nothing is skipped. Selectors
    /// know ids from all topics, as Mercure has it: there the oldest of all counts.
    fn sequence_of(&self, interest: Interest<'_>, id: &str) -> Option<u64> {
        let id: Rc<str> = id.into();
        let Interest::Topics(names) = interest else {
            let mut found = self.own_ids.range((Rc::clone(&id), 0)..=(id, u64::MAX));
            return found.next().map(|(_, sequence)| *sequence);
        };
        let newest = |topic| {
            let of_topic = (topic, Rc::clone(&id), 0)..=(topic, Rc::clone(&id), u64::MAX);
            self.own_ids_by_topic.range(of_topic).next_back().map(|(_, _, sequence)| *sequence)
        };
        let topics = names.iter().filter_map(|name| self.index(name.as_bytes(), false));
        topics.filter_map(newest).min()
    }

    fn earliest(&self, interest: Interest<'_>, gap: Option<GapReason>) -> Resume {
        let sequence = match interest {
            Interest::Topics([name]) => self.evicted_through(name),
            Interest::Topics(names) => {
                let topics = names.iter().filter_map(|name| self.index(name.as_bytes(), false));
                self.before_first(topics)
            }
            Interest::Selectors { .. } => {
                let topics = self.topics.iter();
                let matching =
                    topics.filter(|(_, topic)| interest.may_match(&topic.name, topic.private));
                self.before_first(matching.map(|(index, _)| index as u32))
            }
        };
        Resume { sequence, standing: Standing::Earliest, gap }
    }

    /// The sequence before the oldest event that any of `topics` keeps.
    fn before_first(&self, topics: impl Iterator<Item = u32>) -> u64 {
        let oldest = topics.filter_map(|topic| self.topics[topic as usize].history.front());
        oldest.map(|frame| frame.sequence - 1).min().unwrap_or(self.head)
    }

    fn evicted_through(&self, name: &str) -> u64 {
        match self.index(name.as_bytes(), false) {
            Some(topic) => self.topics[topic as usize].evicted_through,
            None => self.forgotten[0].evicted_through(name),
        }
    }
}
