//! What other threads ask of a worker: the admin interface, and whoever reloads or ends the engine.
//!
//! A question carries the channel of its answer; whoever asks decides how long to wait. A worker
//! answers between two turns of its loop, or over some of them where there is much to look through.
//!
//! This module knows neither what a worker is nor how it finds the answer.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::config::key::PublishKey;
use crate::delivery::survey::{SubscribersReport, TopicsReport};
use crate::ring::Doorbell;
use crate::token::Verifiers;

/// What another thread can ask of a worker; it is rung afterwards.
#[derive(Debug)]
pub(crate) enum Command {
    /// End all streams, then the worker.
    Drain,
    /// Publishers show this key from now on.
    Key(Option<PublishKey>),
    /// Tokens are checked with these from now on.
    Verifiers(Arc<Verifiers>),
    /// List topics whose name starts so, the ones with most subscribers.
    Topics { prefix: String, count_max: usize, reply: Sender<TopicsReport> },
    /// Count the subscribers of these topics, by name and whether it is that of private events.
    TopicSubscribers { names: Arc<[(String, bool)]>, reply: Sender<Vec<usize>> },
    /// List the subscribers that are furthest behind.
    Subscribers { count_max: usize, reply: Sender<SubscribersReport> },
}

/// Asks a worker something, and makes it look.
#[derive(Clone, Debug)]
pub(crate) struct WorkerHandle {
    commands: Sender<Command>,
    doorbell: Arc<Doorbell>,
}

impl WorkerHandle {
    /// A handle to the worker that `doorbell` wakes, and where it finds what it was asked.
    pub(crate) fn new(doorbell: Arc<Doorbell>) -> (WorkerHandle, Receiver<Command>) {
        let (commands, asked) = crossbeam_channel::unbounded();
        (WorkerHandle { commands, doorbell }, asked)
    }

    /// Asks; the answer, if there is to be one, comes by the command's own channel.
    pub(crate) fn send(&self, command: Command) {
        // A worker that has ended needs no command.
        let _ = self.commands.send(command);
        self.doorbell.ring();
    }
}
