//! Where a subscriber that comes with a `Last-Event-ID` goes on.

use super::{GapReason, Standing, Topics};
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

    /// Where a subscriber of the topics `names` goes on after the event `id`.
    ///
    /// `sequence_max` is the newest sequence given so far; it may be above this worker's head when
    /// the subscriber comes from a faster worker. An id that cannot be placed leads to all that is
    /// kept, after a gap: what the subscriber has seen of it is unknown, and a repeated event does
    /// less harm than a lost one.
    #[must_use]
    pub fn resume<S: AsRef<str>>(
        &self,
        names: &[S],
        id: &str,
        epoch: Epoch,
        sequence_max: u64,
    ) -> Resume {
        if id == EARLIEST {
            return self.earliest(names, None);
        }
        let after = |sequence| Resume { sequence, standing: Standing::Resumed, gap: None };
        match id.parse::<EventId>() {
            Ok(id) if id.epoch == epoch && id.sequence <= sequence_max => after(id.sequence),
            Ok(id) if id.epoch != epoch => self.earliest(names, Some(GapReason::OtherEpoch)),
            Ok(_) => self.earliest(names, Some(GapReason::UnknownId)),
            Err(_) => match self.sequence_of(names, id) {
                Some(sequence) => after(sequence),
                None => self.earliest(names, Some(GapReason::UnknownId)),
            },
        }
    }

    /// Sequence of the kept event to which a publisher gave this id. If several topics have it, the
    /// oldest, so that nothing is skipped.
    fn sequence_of<S: AsRef<str>>(&self, names: &[S], id: &str) -> Option<u64> {
        let topics = names.iter().filter_map(|name| self.names.get(name.as_ref()));
        topics.filter_map(|topic| self.topics[*topic as usize].own_ids.get(id).copied()).min()
    }

    fn earliest<S: AsRef<str>>(&self, names: &[S], gap: Option<GapReason>) -> Resume {
        let sequence = match names {
            [name] => self.evicted_through(name.as_ref()),
            _ => {
                let topics = names.iter().filter_map(|name| self.names.get(name.as_ref()));
                let oldest =
                    topics.filter_map(|topic| self.topics[*topic as usize].history.front());
                oldest.map(|frame| frame.sequence - 1).min().unwrap_or(self.head)
            }
        };
        Resume { sequence, standing: Standing::Earliest, gap }
    }

    fn evicted_through(&self, name: &str) -> u64 {
        match self.names.get(name) {
            Some(&topic) => self.topics[topic as usize].evicted_through,
            None => self.forgotten.evicted_through(name),
        }
    }
}
