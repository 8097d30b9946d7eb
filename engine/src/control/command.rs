//! What other threads ask of a worker: the admin interface, and whoever reloads or ends the engine.
//!
//! A question carries the channel of its answer; whoever asks decides how long to wait. A worker
//! answers between two turns of its loop.
//!
//! This module knows neither what a worker is nor how it finds the answer.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use crate::config::key::PublishKey;
use crate::delivery::SubscriberView;
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
    /// List topics whose name starts so, the ones with most subscribers first.
    Topics { prefix: String, count_max: usize, reply: Sender<TopicsReport> },
    /// Count the subscribers of these topics, by name and whether it is that of private events.
    TopicSubscribers { names: Arc<[(String, bool)]>, reply: Sender<Vec<usize>> },
    /// List the subscribers that are furthest behind.
    Subscribers { count_max: usize, reply: Sender<SubscribersReport> },
}

/// Topics of one worker.
#[derive(Debug, Default)]
pub(crate) struct TopicsReport {
    /// Topics that match and have events, which every worker has.
    pub(crate) kept: usize,
    /// Hashes of the names of those that match and have subscribers only.
    pub(crate) unkept: Vec<u64>,
    /// Those listed.
    pub(crate) topics: Vec<TopicReport>,
}

/// Subscribers of one worker.
#[derive(Debug)]
pub(crate) struct SubscribersReport {
    /// All of them.
    pub(crate) count: usize,
    /// Those listed.
    pub(crate) subscribers: Vec<SubscriberView>,
}

/// One topic of one worker.
#[derive(Debug)]
pub(crate) struct TopicReport {
    pub(crate) name: String,
    /// True for the topic of the private events of this name.
    pub(crate) private: bool,
    /// Without those that listen through a selector.
    pub(crate) subscribers: usize,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) newest: Option<u64>,
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
