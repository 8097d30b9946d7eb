//! When a subscriber is cut off, how, and when it comes back; decided before the play begins.

use std::collections::VecDeque;

use crate::{CUTS, EVENTS};

/// One absence, in events that were answered.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) at: usize,
    pub(crate) back_at: usize,
    pub(crate) how: How,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// After reading so many more bytes, which may end in the middle of an event.
    Close(usize),
    Reset,
    ShutDown,
}

/// All absences of one subscriber. One in three stays away for so long, once, that every topic
/// moves past its history.
pub(crate) fn cuts(random: &mut fastrand::Rng) -> VecDeque<Cut> {
    let naps = random.u8(0..3) == 0;
    let awake = if naps { EVENTS * 3 / 10 } else { EVENTS };
    let mut times: Vec<usize> = (0..CUTS).map(|_| random.usize(1..awake)).collect();
    times.sort_unstable();
    let cut = |number: usize| {
        let at = times[number];
        let next = times.get(number + 1).copied();
        let away = match random.u8(0..8) {
            _ if naps && next.is_none() => random.usize(EVENTS / 2..EVENTS * 2 / 3),
            0..4 => 0,
            4..7 => random.usize(1..100),
            _ => random.usize(100..1_500),
        };
        let how = match random.u8(0..4) {
            0 => How::Reset,
            1 => How::ShutDown,
            _ => How::Close(random.usize(1..300)),
        };
        Cut { at, back_at: (at + away).min(next.unwrap_or(EVENTS)), how }
    };
    (0..CUTS).map(cut).collect()
}
