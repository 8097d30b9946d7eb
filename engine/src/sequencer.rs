//! The sequencer: it gives every event its number.
//!
//! There is one order of all events, and one writer at a time: whoever holds the *desk* numbers what
//! was handed in and puts each event on every worker's ring, in the same order, and keeps nothing
//! else. There is always room: whoever hands in has been admitted.
//!
//! A worker that finds the desk free sits down itself: for an event that comes alone, waking another
//! thread and being woken by it costs more than all else that is done for it. A worker that finds it
//! taken leaves its submission to the sequencer's thread and goes on; no worker ever waits here.
//!
//! A submission comes back to the worker that handed it in on that worker's own ring, after it is on
//! all others: see [`crate::submission`].
//!
//! Invariant: what one worker hands in is numbered in the order in which it was handed in.
//! Submissions leave the intake only under the desk's lock, and are numbered before it is released.
//! So who holds the lock and finds the intake empty knows that nothing of its own is still on the
//! way.

use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};

use crate::event::{Draft, Epoch, EventId, Frame};
use crate::ring::RingSender;
use crate::stats::Stats;
use crate::submission::{Drafts, Numbered, Origin, Submission};

pub(crate) mod bench;

/// Submissions handled before sleeping workers are rung, so that a burst costs one wake each.
const BURST_MAX: usize = 256;

/// What the sequencer's thread runs.
#[derive(Debug)]
pub(crate) struct Sequencer {
    desk: Arc<Mutex<Desk>>,
    intake: Receiver<Submission>,
}

/// A worker's way to the sequencer.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    desk: Arc<Mutex<Desk>>,
    waiting: Sender<Submission>,
}

/// Who has handed in has had its submission numbered, or will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handed {
    /// It is on every ring; all workers but the one that handed in have been rung.
    Numbered,
    /// The sequencer's thread will number it, and ring all workers.
    Waiting,
}

/// The one place where events get their numbers.
#[derive(Debug)]
struct Desk {
    epoch: Epoch,
    rings: Vec<RingSender<Numbered>>,
    stats: Arc<Stats>,
    sequence: u64,
}

impl Sequencer {
    /// A sequencer that feeds `rings`, and the way to it. `submissions_max` is the number of events
    /// that can be admitted at a time.
    pub(crate) fn new(
        epoch: Epoch,
        rings: Vec<RingSender<Numbered>>,
        stats: Arc<Stats>,
        submissions_max: usize,
    ) -> (Sequencer, Intake) {
        let desk = Arc::new(Mutex::new(Desk { epoch, rings, stats, sequence: 0 }));
        let (waiting, intake) = crossbeam_channel::bounded(submissions_max);
        (Sequencer { desk: Arc::clone(&desk), intake }, Intake { desk, waiting })
    }

    /// Works until nobody can hand in any more.
    ///
    /// # Panics
    /// When a worker has panicked at the desk: the order of events is no longer known.
    pub(crate) fn run(self) {
        let mut arrival = Select::new();
        arrival.recv(&self.intake);
        loop {
            // Waits, and takes nothing: that is done at the desk.
            arrival.ready();
            let mut desk = self.desk.lock().expect("no worker panics at the desk");
            for _ in 0..BURST_MAX {
                match self.intake.try_recv() {
                    Ok(next) => desk.sequence(next),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        desk.ring_others(None);
                        return;
                    }
                }
            }
            desk.ring_others(None);
        }
    }
}

impl Intake {
    /// Hands in a submission for which room was admitted. Does not wait.
    ///
    /// # Panics
    /// When more was handed in than was admitted.
    pub(crate) fn hand_in(&self, submission: Submission) -> Handed {
        // An error is the lock of another, or of one that has panicked, which the thread finds out.
        if let Ok(mut desk) = self.desk.try_lock()
            && self.waiting.is_empty()
        {
            let worker = submission.origin.worker;
            desk.sequence(submission);
            desk.ring_others(Some(worker));
            return Handed::Numbered;
        }
        let handed = self.waiting.try_send(submission);
        assert!(handed.is_ok(), "the intake has a place for every admitted event");
        Handed::Waiting
    }
}

impl Desk {
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

    /// Rings all workers but one that knows already.
    fn ring_others(&self, but: Option<usize>) {
        let others = self.rings.iter().enumerate().filter(|(worker, _)| Some(*worker) != but);
        others.for_each(|(_, ring)| ring.ring());
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
    use crate::ring::{Doorbell, RingReceiver, ring};

    /// Submissions of each worker in the concurrent test; one to three events each.
    const SUBMISSIONS: u64 = 2_000;

    fn draft(data: &str) -> Draft {
        let event = Event { topic: "t", data, ..Event::default() };
        event.encode().expect("valid")
    }

    fn made(
        workers: usize,
        events_max: usize,
    ) -> (Sequencer, Intake, Vec<RingReceiver<Numbered>>, Arc<Stats>) {
        let doorbell = || Arc::new(Doorbell::new(|| {}));
        let rings = (0..workers).map(|_| ring(events_max, doorbell()));
        let (senders, receivers): (Vec<_>, Vec<_>) = rings.unzip();
        let stats = Arc::new(Stats::new(workers));
        let (sequencer, intake) =
            Sequencer::new(Epoch::new(1), senders, Arc::clone(&stats), events_max);
        (sequencer, intake, receivers, stats)
    }

    fn submission(worker: usize, ticket: u64, events: &[&str]) -> Submission {
        let drafts = match events {
            [one] => Drafts::One(draft(one)),
            many => Drafts::Many(many.iter().map(|data| draft(data)).collect()),
        };
        Submission { drafts, origin: Origin { worker, ticket } }
    }

    fn assert_sequenced(receivers: &[RingReceiver<Numbered>], stats: &Stats) {
        assert_eq!(stats.sequence.get(), 3);
        let origin = |worker, ticket| Origin { worker, ticket };
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

    #[test]
    fn every_ring_gets_every_event_in_the_one_order_and_the_origin_gets_it_back() {
        let (_sequencer, intake, receivers, stats) = made(3, 64);
        for submission in [submission(1, 7, &["a"]), submission(0, 8, &["b", "c"])] {
            assert_eq!(intake.hand_in(submission), Handed::Numbered);
        }
        assert_sequenced(&receivers, &stats);
    }

    #[test]
    fn what_finds_the_desk_taken_is_numbered_by_the_thread_and_holds_back_what_follows() {
        let (sequencer, intake, receivers, stats) = made(3, 64);
        let desk = Arc::clone(&intake.desk);
        let taken = desk.lock().expect("nobody has panicked");
        assert_eq!(intake.hand_in(submission(1, 7, &["a"])), Handed::Waiting);
        drop(taken);
        assert_eq!(intake.hand_in(submission(0, 8, &["b", "c"])), Handed::Waiting);
        drop(intake);
        sequencer.run();
        assert_sequenced(&receivers, &stats);
    }

    /// Workers on threads of their own, which meet at the desk by chance: the order on all rings is
    /// one, without holes, and each worker's submissions stand in it as they were handed in.
    #[test]
    fn each_worker_s_submissions_keep_their_order_whoever_numbers_them() {
        const WORKERS: usize = 3;
        let (sequencer, intake, receivers, _) = made(WORKERS, WORKERS * 3 * SUBMISSIONS as usize);
        let hand_in = |worker: usize, intake: Intake| {
            for ticket in 0..SUBMISSIONS {
                let events = &["x", "y", "z"][..1 + ticket as usize % 3];
                intake.hand_in(submission(worker, ticket, events));
            }
        };
        std::thread::scope(|scope| {
            (1..WORKERS).for_each(|worker| {
                let intake = intake.clone();
                scope.spawn(move || hand_in(worker, intake));
            });
            scope.spawn(|| sequencer.run());
            hand_in(0, intake);
        });
        for (worker, receiver) in receivers.iter().enumerate() {
            let events: Vec<Numbered> = std::iter::from_fn(|| receiver.pop()).collect();
            let sequences = events.iter().map(|event| event.frame.sequence);
            assert!(sequences.eq(1..=events.len() as u64));
            let tickets = events.iter().filter_map(|event| event.origin);
            let own: Vec<Origin> = tickets.collect();
            assert!(own.iter().all(|origin| origin.worker == worker));
            assert!(own.iter().map(|origin| origin.ticket).eq(0..SUBMISSIONS));
        }
    }
}
