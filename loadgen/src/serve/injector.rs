//! Which fault meets which delivery.
//!
//! The idea: every delivery, live or replayed, goes through [`Injector::deliver`], which turns
//! "this event to this subscriber" into the pieces to write: none, the event, something else.
//! What it did otherwise than a correct server is returned as [`Injected`] records, so that the
//! truth about a run is the list of what was really done, not the script that asked for it.
//!
//! Invariants: no chance and no clock, so equal calls have equal results; an event that meets no
//! fault is written exactly once and in order.
//!
//! This module knows nothing of sockets and of the bytes of an event.

use std::rc::Rc;
use std::time::Duration;

use super::history::{Event, Hole, Reason};
use super::script::{Fault, Gap, ResumeGap, Which};
use super::wire::Corrupted;

/// The armed faults, each with the number of times that its condition was met.
#[derive(Debug)]
pub(super) struct Injector {
    armed: Vec<Armed>,
    resume_gap: ResumeGap,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    met: u64,
}

/// What the injector keeps for each subscriber.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// The subscriber's number.
    pub(super) number: u32,
    /// Key of the subscriber in the list of its topic.
    pub(super) arrival: u64,
    /// Events delivered on this connection.
    delivered: u64,
    /// An event held back by a swap.
    held: Option<Rc<Event>>,
    /// Events still to be left out by a gap.
    leaving_out: u64,
    /// A hole that the subscriber has not been told of.
    untold: Option<Untold>,
}

#[derive(Debug)]
struct Untold {
    hole: Hole,
    /// Events still to be delivered before it is told.
    wait: u64,
    /// The number of the last event left out.
    after: u64,
}

/// One thing to write to a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Event(Rc<Event>, Corrupted),
    Gap {
        hole: Hole,
        after: u64,
    },
    /// Close the connection behind what is written.
    Close {
        reset: bool,
    },
}

/// One thing done wrong on purpose.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) fault: &'static str,
    /// The event it was done to; none if it was done to a subscription.
    pub(super) event: Option<Rc<Event>>,
    /// Events left out, for a gap.
    pub(super) missing: Option<u64>,
    /// How a gap is told: `exact`, `late` or `never`.
    pub(super) told: Option<&'static str>,
}

/// The answer to a request to subscribe.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Accept { head_delay: Option<Duration> },
    Refuse { status: u16 },
}

impl Injector {
    /// Arms the faults of a script.
    pub(super) fn new(faults: Vec<Fault>, resume_gap: ResumeGap) -> Self {
        let armed = faults.into_iter().map(|fault| Armed { fault, met: 0 }).collect();
        Self { armed, resume_gap }
    }

    /// How much later than it was accepted every event is delivered.
    pub(super) fn delay(&self) -> Duration {
        let delays = self.armed.iter().map(|armed| match &armed.fault {
            Fault::Delay(delay) => delay.by.0,
            _ => Duration::ZERO,
        });
        delays.sum()
    }

    /// How long the server stands still now that event `number` was accepted.
    pub(super) fn stall_at_event(&self, number: u64) -> Option<Duration> {
        self.armed.iter().find_map(|armed| match &armed.fault {
            Fault::Stall(stall) if stall.event == Some(number) => Some(stall.by.0),
            _ => None,
        })
    }

    /// The stalls that hang on a time: (time after the first event, length).
    pub(super) fn timed_stalls(&self) -> Vec<(Duration, Duration)> {
        let timed = self.armed.iter().filter_map(|armed| match &armed.fault {
            Fault::Stall(stall) => stall.at.map(|at| (at.0, stall.by.0)),
            _ => None,
        });
        timed.collect()
    }

    /// Decides over a request to subscribe.
    pub(super) fn admit(&mut self, subscriber: u32) -> Admission {
        let mut head_delay = None;
        for armed in &mut self.armed {
            match &armed.fault {
                Fault::Status(status) => {
                    armed.met += 1;
                    let in_first = status.first.is_none_or(|first| armed.met <= first);
                    if in_first && status.every.is_none_or(|every| armed.met.is_multiple_of(every))
                    {
                        return Admission::Refuse { status: status.code };
                    }
                }
                Fault::SlowHead(slow) if slow.subscriber.is_none_or(|it| it == subscriber) => {
                    armed.met += 1;
                    if slow.every.is_none_or(|every| armed.met.is_multiple_of(every)) {
                        head_delay = Some(slow.by.0);
                    }
                }
                _ => {}
            }
        }
        Admission::Accept { head_delay }
    }

    /// Tells a returning subscriber of what it missed, or does not, or not yet.
    pub(super) fn resume(
        &self,
        tap: &mut Tap,
        hole: Hole,
        after: u64,
        pieces: &mut Vec<Piece>,
    ) -> Option<Injected> {
        let told = match self.resume_gap {
            ResumeGap::Exact => {
                pieces.push(Piece::Gap { hole, after });
                return None;
            }
            ResumeGap::Late => {
                tap.untold = Some(Untold { hole, wait: 1, after });
                "late"
            }
            ResumeGap::Never => "never",
        };
        Some(Injected { fault: "gap", event: None, missing: hole.missing, told: Some(told) })
    }

    /// Turns the delivery of `event` into the pieces to write, and says what is wrong with them.
    pub(super) fn deliver(
        &mut self,
        tap: &mut Tap,
        event: &Rc<Event>,
        pieces: &mut Vec<Piece>,
    ) -> Vec<Injected> {
        if tap.leaving_out > 0 {
            tap.leaving_out -= 1;
            return Vec::new();
        }
        let mut meeting = Meeting::default();
        for armed in &mut self.armed {
            if armed.meets(tap, event.number) {
                meeting.add(&armed.fault);
            }
        }
        let mut injected = Vec::new();
        let mut record = |fault, missing, told| {
            injected.push(Injected { fault, event: Some(Rc::clone(event)), missing, told });
        };
        if let Some(gap) = meeting.gap {
            record("gap", Some(gap.missing), Some(tap.leave_out(&gap)));
            return injected;
        }
        tap.tell_if_due(pieces);
        if meeting.drop {
            record("drop", None, None);
            return injected;
        }
        if meeting.corrupted.is_some() {
            record("corrupt", None, None);
        }
        if meeting.swap && tap.held.is_none() {
            record("swap", None, None);
            tap.held = Some(Rc::clone(event));
            return injected;
        }
        pieces.push(Piece::Event(Rc::clone(event), meeting.corrupted));
        if meeting.duplicate {
            record("duplicate", None, None);
            pieces.push(Piece::Event(Rc::clone(event), meeting.corrupted));
        }
        pieces.extend(tap.held.take().map(|held| Piece::Event(held, None)));
        tap.delivered += 1;
        if let Some(reset) = meeting.close {
            record("close", None, None);
            pieces.push(Piece::Close { reset });
        }
        injected
    }
}

/// The faults that meet one delivery, together.
#[derive(Debug, Default)]
struct Meeting {
    gap: Option<Gap>,
    drop: bool,
    swap: bool,
    duplicate: bool,
    corrupted: Corrupted,
    close: Option<bool>,
}

impl Meeting {
    fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::Gap(gap) => self.gap = Some(gap.clone()),
            Fault::Drop(_) => self.drop = true,
            Fault::Swap(_) => self.swap = true,
            Fault::Duplicate(_) => self.duplicate = true,
            Fault::Corrupt(corrupt) => self.corrupted = Some(corrupt.byte),
            Fault::Close(close) => self.close = Some(close.reset),
            Fault::Delay(_) | Fault::Stall(_) | Fault::Status(_) | Fault::SlowHead(_) => {}
        }
    }
}

impl Armed {
    /// Whether this fault meets the delivery of event `number` to the subscriber of `tap`.
    fn meets(&mut self, tap: &Tap, number: u64) -> bool {
        let which = match &self.fault {
            Fault::Drop(which) | Fault::Duplicate(which) | Fault::Swap(which) => which.clone(),
            Fault::Corrupt(fault) => {
                Which { subscriber: fault.subscriber, event: fault.event, every: fault.every }
            }
            Fault::Gap(gap) => {
                Which { subscriber: gap.subscriber, event: Some(gap.event), every: None }
            }
            Fault::Close(close) => {
                let fits = close.subscriber.is_none_or(|it| it == tap.number)
                    && close.event.is_none_or(|it| it == number);
                let on_this_connection = tap.delivered + 1;
                return fits
                    && close.every.is_none_or(|every| on_this_connection.is_multiple_of(every));
            }
            _ => return false,
        };
        if which.subscriber.is_some_and(|it| it != tap.number)
            || which.event.is_some_and(|it| it != number)
        {
            return false;
        }
        self.met += 1;
        which.every.is_none_or(|every| self.met.is_multiple_of(every))
    }
}

impl Tap {
    pub(super) fn new(number: u32, arrival: u64) -> Self {
        Self { number, arrival, ..Self::default() }
    }

    /// Starts a hole at the event in hand and returns how it will be told.
    fn leave_out(&mut self, gap: &Gap) -> &'static str {
        self.leaving_out = gap.missing - 1;
        if gap.silent {
            return "never";
        }
        self.untold = Some(Untold {
            hole: Hole { reason: Reason::Lapped, missing: Some(gap.missing) },
            wait: gap.late,
            after: gap.event + gap.missing - 1,
        });
        if gap.late == 0 { "exact" } else { "late" }
    }

    fn tell_if_due(&mut self, pieces: &mut Vec<Piece>) {
        match &mut self.untold {
            Some(untold) if untold.wait > 0 => untold.wait -= 1,
            Some(untold) => {
                pieces.push(Piece::Gap { hole: untold.hole, after: untold.after });
                self.untold = None;
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
