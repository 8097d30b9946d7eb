//! The sequencer: one thread that gives every event its number.
//!
//! It is the only writer of the one order of all events. It numbers what publishers' workers hand in
//! and puts each event on every worker's ring, in the same order, and keeps nothing else. There is
//! always room: whoever hands in has been admitted.
//!
//! A submission comes back to the worker that handed it in on that worker's own ring, after it is on
//! all others: see [`crate::submission`].

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::event::{Draft, Epoch, EventId, Frame};
use crate::ring::RingSender;
use crate::stats::Stats;
use crate::submission::{Drafts, Numbered, Origin, Submission};

/// Submissions handled before sleeping workers are rung, so that a burst costs one wake each.
const BURST_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sequencer {
    epoch: Epoch,
    intake: Receiver<Submission>,
    rings: Vec<RingSender<Numbered>>,
    stats: Arc<Stats>,
    sequence: u64,
}

impl Sequencer {
    /// A sequencer that feeds `rings`, and what workers hand in to. `submissions_max` is the number
    /// of events that can be admitted at a time.
    pub(crate) fn new(
        epoch: Epoch,
        rings: Vec<RingSender<Numbered>>,
        stats: Arc<Stats>,
        submissions_max: usize,
    ) -> (Sequencer, Sender<Submission>) {
        let (sender, intake) = crossbeam_channel::bounded(submissions_max);
        (Sequencer { epoch, intake, rings, stats, sequence: 0 }, sender)
    }

    /// Works until nobody can hand in any more.
    pub(crate) fn run(mut self) {
        while let Ok(first) = self.intake.recv() {
            self.sequence(first);
            for _ in 1..BURST_MAX {
                let Ok(next) = self.intake.try_recv() else { break };
                self.sequence(next);
            }
            self.rings.iter().for_each(RingSender::ring);
        }
    }

    fn sequence(&mut self, submission: Submission) {
        let now_ns = self.stats.now_ns();
        let origin = submission.origin;
        match submission.drafts {
            Drafts::One(draft) => {
                let frame = self.number(draft, now_ns);
                self.push(&[frame], origin);
            }
            Drafts::Many(drafts) => {
                let frames: Vec<Frame> =
                    drafts.into_iter().map(|draft| self.number(draft, now_ns)).collect();
                self.push(&frames, origin);
            }
        }
    }

    fn number(&mut self, draft: Draft, now_ns: u64) -> Frame {
        self.sequence += 1;
        draft.number(EventId { epoch: self.epoch, sequence: self.sequence }, now_ns)
    }

    fn push(&self, frames: &[Frame], origin: Origin) {
        // Before any worker can show the events to a subscriber that resumes elsewhere.
        self.stats.sequence.set(self.sequence);
        let others = (0..self.rings.len()).filter(|worker| *worker != origin.worker);
        for worker in others.chain([origin.worker]) {
            for (index, frame) in frames.iter().enumerate() {
                let last = index + 1 == frames.len();
                let origin = (last && worker == origin.worker).then_some(origin);
                self.rings[worker].push(Numbered { frame: frame.clone(), origin });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::ring::{Doorbell, ring};

    fn draft(data: &str) -> Draft {
        let event = Event { topic: "t", data, ..Event::default() };
        event.encode().expect("valid")
    }

    #[test]
    fn every_ring_gets_every_event_in_the_one_order_and_the_origin_gets_it_back() {
        let doorbell = || Arc::new(Doorbell::new(|| {}));
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| ring(64, doorbell())).unzip();
        let stats = Arc::new(Stats::new(3));
        let (sequencer, intake) = Sequencer::new(Epoch::new(1), senders, Arc::clone(&stats), 64);
        let origin = |worker, ticket| Origin { worker, ticket };
        let many = Drafts::Many(vec![draft("b"), draft("c")]);
        for submission in [
            Submission { drafts: Drafts::One(draft("a")), origin: origin(1, 7) },
            Submission { drafts: many, origin: origin(0, 8) },
        ] {
            intake.send(submission).expect("it is there");
        }
        drop(intake);
        sequencer.run();
        assert_eq!(stats.sequence.get(), 3);
        for (worker, receiver) in receivers.iter().enumerate() {
            let events: Vec<Numbered> = std::iter::from_fn(|| receiver.pop()).collect();
            let sequences: Vec<u64> = events.iter().map(|event| event.frame.sequence).collect();
            assert_eq!(sequences, [1, 2, 3]);
            let origins: Vec<_> = events.iter().map(|event| event.origin).collect();
            let expected = match worker {
                0 => [None, None, Some(origin(0, 8))],
                1 => [Some(origin(1, 7)), None, None],
                _ => [None, None, None],
            };
            assert_eq!(origins, expected);
        }
    }
}
