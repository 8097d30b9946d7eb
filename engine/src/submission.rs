//! What a publisher's worker hands to the sequencer, and what comes off every worker's ring for it.
//!
//! A submission comes back to the worker that handed it in on that worker's own ring, after it is on
//! all others. So meeting it there means "numbered, and on every ring", and no answer is needed.
//!
//! This module knows neither who numbers nor who is waiting.

use crate::event::{Draft, Frame};

/// Who waits for a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Index of the worker.
    pub(crate) worker: usize,
    /// The worker's name for what waits.
    pub(crate) ticket: u64,
}

/// Events of one publish, in order; not empty.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) drafts: Drafts,
    pub(crate) origin: Origin,
}

/// One event needs no list.
#[derive(Debug)]
pub(crate) enum Drafts {
    One(Draft),
    Many(Vec<Draft>),
}

/// An event on a ring.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) frame: Frame,
    /// Set on the last event of a submission.
    pub(crate) origin: Option<Origin>,
}
