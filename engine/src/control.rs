//! The control lane of a worker: accepting, requests, publishing, and handing streams over.
//!
//! A connection is a task of the worker's runtime until its stream starts; then it is a slot of the
//! delivery lane and nothing of this lane is left of it.
//!
//! Invariants:
//! - Every accepted connection ends with exactly one close reason, here or in the delivery lane.
//! - A panic in a task ends that task's connection and no other.
//! - Tasks never keep the worker from its delivery lane, whatever their peers send.
//! - A publish is answered with success only after its events are on every worker's ring.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use crate::config::Config;
use crate::config::key::PublishKey;
use crate::delivery::Delivery;
use crate::event::{Draft, Epoch};
use crate::limits::Limits;
use crate::ring::{Admission, Doorbell};
use crate::sequencer::Intake;
use crate::stats::{Stats, WorkerStats};
use crate::token::Verifiers;

pub(crate) mod accept;
pub(crate) mod admin;
pub(crate) mod command;
mod connection;
pub(crate) mod crowd;
pub(crate) mod mercure;
mod metrics;
pub(crate) mod nudge;
mod pace;
mod publish;
mod rights;
pub(crate) mod socket;
mod subscribe;
pub(crate) mod tickets;
pub(crate) mod turnstile;

use crowd::Crowd;
use nudge::Nudge;
use tickets::Tickets;
use turnstile::Turnstile;

/// Room on all rings, in events and in bytes.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) events: Admission,
    pub(crate) bytes: Admission,
}

/// What the tasks of one worker share.
#[derive(Debug)]
pub(crate) struct Control<L> {
    pub(crate) config: Arc<Config>,
    pub(crate) worker: usize,
    pub(crate) epoch: Epoch,
    /// Borrowed for single steps only, never across a wait.
    pub(crate) delivery: RefCell<Delivery<L>>,
    pub(crate) tickets: Tickets,
    pub(crate) intake: Intake,
    pub(crate) room: Arc<Room>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) stats: Arc<Stats>,
    /// What other threads ring when they have given the pump something to do.
    pub(crate) doorbell: Arc<Doorbell>,
    /// What a task gives when it has.
    pub(crate) nudge: Nudge,
    pub(crate) key: RefCell<Option<PublishKey>>,
    /// The Mercure hub, if there is one.
    pub(crate) hub: Option<Arc<mercure::Hub>>,
    /// Subscription events that have found no room yet.
    pub(crate) announcements: RefCell<VecDeque<Draft>>,
    pub(crate) verifiers: RefCell<Arc<Verifiers>>,
    /// Has keys fetched again; none where none are fetched.
    pub(crate) asking: Option<Sender<()>>,
    /// When that was last done, and what tokens were checked with at that moment.
    pub(crate) asked: RefCell<Option<(Instant, Arc<Verifiers>)>>,
    /// Bytes of bodies that are being read.
    pub(crate) body_bytes: Cell<usize>,
    /// Tasks of connections.
    pub(crate) requests: Cell<usize>,
    /// Those of them that wait for their peer.
    pub(crate) crowd: Crowd,
    /// What they may do before the delivery lane has its turn.
    pub(crate) turnstile: Turnstile,
}

impl<L> Control<L> {
    pub(crate) fn stats(&self) -> &WorkerStats {
        &self.stats.workers[self.worker]
    }

    /// True from the moment that the engine takes no more connections and events.
    pub(crate) fn is_draining(&self) -> bool {
        // Relaxed: it is set once, and every worker learns of it by a command as well.
        self.stats.draining.load(std::sync::atomic::Ordering::Relaxed)
    }
}
