//! The line from a run that is one machine's part to its coordinator.
//!
//! The idea: the run itself knows nothing of sockets. It says how far it is, waits for its cue at
//! three places (all are up, all have drained, all have told what became of their events) and goes
//! on at once when the line is gone, which the signal tells it as if it had been sent one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::phases::Evidence;
use crate::agent::letters;
use crate::agent::protocol::{Order, Say, Tally};
use crate::publisher::{Fate, Fates};

/// The signal that stands for the coordinator's word to end early and report.
pub(crate) const STOPPED: usize = signal_hook::consts::SIGTSTP as usize;

/// The signal that stands for a line that is gone.
pub(crate) const GONE: usize = signal_hook::consts::SIGHUP as usize;

/// How often a run that waits looks for signals.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// An order, and when it came.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) order: Order,
    pub(crate) at_ns: u64,
}

/// The run's end of the line.
#[derive(Debug)]
pub(crate) struct Cue {
    pub(crate) says: Sender<Say>,
    pub(crate) hears: Receiver<Heard>,
    /// Not 0 when the run is to end early, for whatever reason. Relaxed: it carries nothing but
    /// itself, and who looks a moment late ends a moment later.
    pub(crate) signal: Arc<AtomicUsize>,
}

impl Cue {
    /// Says something; into the void, if the line is gone.
    pub(crate) fn say(&self, say: Say) {
        let _ = self.says.send(say);
    }

    /// When the next order came, if one has come.
    pub(super) fn heard_ns(&self) -> Option<u64> {
        self.hears.try_recv().ok().map(|heard| heard.at_ns)
    }

    /// Tells the others what they cannot know of our events, and enters what they tell of theirs.
    ///
    /// # Errors
    ///
    /// If the line is gone, or what came is of another plan.
    pub(super) fn exchange(&self, evidence: &mut Evidence) -> Result<(), String> {
        self.cut()?;
        let came = came(evidence);
        self.say(Say::Tally(Tally { fates: fates(evidence), came: letters::flags(&came) }));
        let tallies = loop {
            match self.hears.recv_timeout(LOOK_INTERVAL).map(|heard| heard.order) {
                Ok(Order::Tallies(tallies)) => break tallies,
                // What was waited for when the run was cut short.
                Ok(_) | Err(RecvTimeoutError::Timeout) => self.cut()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the coordinator is gone".to_owned());
                }
            }
        };
        enter(evidence, &tallies, came.len())
    }

    /// Whether the run was cut short so that there is nothing to report.
    fn cut(&self) -> Result<(), String> {
        match self.signal.load(Ordering::Relaxed) {
            0 | STOPPED => Ok(()),
            GONE => Err("the coordinator is gone".to_owned()),
            number => Err(format!("interrupted on its own machine (signal {number})")),
        }
    }
}

/// Which of the measured events somebody received here.
fn came(evidence: &Evidence) -> Vec<bool> {
    let mut came = vec![false; evidence.course.measured().len()];
    for outcome in &evidence.outcomes {
        for (came, cell) in came.iter_mut().zip(outcome.cells.all()) {
            *came |= cell.count > 0;
        }
        for (came, late) in came.iter_mut().zip(&outcome.late) {
            *came |= *late > 0;
        }
    }
    came
}

/// What became of the measured events that we published.
fn fates(evidence: &Evidence) -> String {
    let Some((_, fates)) = &evidence.published else { return String::new() };
    let (course, events) = (&evidence.course, evidence.course.schedule.events());
    let own = course.measured().filter(|&event| course.is_own(events[event].stream));
    letters::write(own.map(|event| letter(fates.of(event))))
}

fn enter(
    evidence: &mut Evidence,
    tallies: &[Option<Tally>],
    measured_count: usize,
) -> Result<(), String> {
    let course = evidence.course.clone();
    let events = course.schedule.events();
    evidence.elsewhere = vec![false; measured_count];
    for (machine, tally) in tallies.iter().enumerate() {
        if machine == course.machine as usize {
            continue;
        }
        let of_machine =
            |event: &usize| course.schedule.machine(events[*event].stream) as usize == machine;
        let theirs: Vec<usize> = course.measured().filter(of_machine).collect();
        let read = |text: &str, count| {
            letters::read(text, count).map_err(|error| format!("agent {machine}: {error}"))
        };
        if let Some(tally) = tally {
            let came = read(&tally.came, measured_count)?;
            let flags = evidence.elsewhere.iter_mut().zip(came);
            flags.for_each(|(elsewhere, letter)| *elsewhere |= letter == b'y');
        }
        let Some((_, fates)) = &evidence.published else { continue };
        match tally {
            Some(tally) => {
                let told = read(&tally.fates, theirs.len())?;
                told.iter()
                    .zip(&theirs)
                    .try_for_each(|(letter, &event)| set(fates, event, *letter))?;
            }
            // Delivered or not, nobody knows.
            None => theirs.iter().for_each(|&event| fates.set(event as u32, Fate::Failed)),
        }
    }
    Ok(())
}

fn letter(fate: Fate) -> u8 {
    match fate {
        Fate::Planned => b'p',
        Fate::Sent => b's',
        Fate::Accepted => b'a',
        Fate::Refused => b'r',
        Fate::Failed => b'f',
    }
}

fn set(fates: &Fates, event: usize, told: u8) -> Result<(), String> {
    let all = [Fate::Planned, Fate::Sent, Fate::Accepted, Fate::Refused, Fate::Failed];
    let fate = all.into_iter().find(|&fate| letter(fate) == told);
    fates.set(event as u32, fate.ok_or_else(|| format!("{told}: no fate of an event"))?);
    Ok(())
}
