//! A sequencer with the rings of its workers, and nobody behind them: what the benches measure of
//! handing in. It is no part of an engine.

use std::sync::Arc;

use super::{Handed, Intake, Sequencer};
use crate::event::{Draft, Epoch};
use crate::ring::{Doorbell, RingReceiver, ring};
use crate::stats::Stats;
use crate::submission::{Drafts, Numbered, Origin, Submission};

/// See the module.
#[derive(Debug)]
pub struct Numbering {
    intake: Intake,
    /// Keeps the intake open; its thread is not run.
    _sequencer: Sequencer,
    rings: Vec<RingReceiver<Numbered>>,
}

impl Numbering {
    /// Rings of so many workers, for so many events each.
    #[must_use]
    pub fn new(workers: usize, events_max: usize) -> Numbering {
        let doorbell = || Arc::new(Doorbell::new(|| {}));
        let (senders, rings) = (0..workers).map(|_| ring(events_max, doorbell())).unzip();
        let stats = Arc::new(Stats::new(workers));
        let (sequencer, intake) = Sequencer::new(Epoch::new(1), senders, stats, events_max);
        Numbering { intake, _sequencer: sequencer, rings }
    }

    /// Hands in what one publish brings, as the first worker does, and takes it off all rings again;
    /// gives the last number.
    ///
    /// # Panics
    /// When there are more events than the rings hold, or none.
    pub fn hand_in(&self, drafts: Vec<Draft>) -> u64 {
        let origin = Origin { worker: 0, ticket: 0 };
        let handed = self.intake.hand_in(Submission { drafts: Drafts::Many(drafts), origin });
        assert_eq!(handed, Handed::Numbered, "nobody else is at the desk");
        let mut last = None;
        for ring in &self.rings {
            while let Some(event) = ring.pop() {
                last = Some(event.frame.sequence);
            }
        }
        last.expect("there was an event")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn numbers_go_on_from_one_publish_to_the_next() {
        let numbering = Numbering::new(2, 8);
        let draft = || Event { topic: "t", data: "x", ..Event::default() }.encode().expect("valid");
        assert_eq!(numbering.hand_in(vec![draft(), draft()]), 2);
        assert_eq!(numbering.hand_in(vec![draft()]), 3);
    }
}
