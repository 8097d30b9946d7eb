//! The delivery lane of a worker: the histories, the subscribers, and the sweep between them.
//!
//! [`Delivery::ingest`] appends an event to its topic and queues the sets that have it.
//! [`Delivery::turn`] plans and makes at most 256 sends, so that nothing else of the worker waits
//! for longer than about a millisecond; whoever drives it calls again while it says there is more.
//!
//! **Fairness.** Sets that have something new stand in a queue; each turn takes at most
//! [`QUANTUM`] sends of a set before it goes to the queue's end. So a topic with few subscribers
//! waits for at most that many sends of every other topic that is being broadcast, however many
//! subscribers those have. Subscribers that catch up on their own (replay, a socket that was full)
//! have half of each turn at most while sets are waiting.
//!
//! Invariants:
//! - A subscriber is in one of the states of [`slots::State`]; only `Live` ones are swept.
//! - A cursor is moved when its send is planned, and moved back to what was really taken when the
//!   kernel tells of an exception; between turns it is exact.
//! - Every subscriber that is removed has one close reason.
//!
//! It knows no publishers, no requests and no clock: the time is an argument.

use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::event::Frame;
use crate::limits::{Limits, Pass};
use crate::selector::index::CROWD_MAX;
use crate::stats::{Stats, WorkerStats};
use crate::topic::{Interest, Resume, SetIndex, Standing, Topics};

mod audience;
pub(crate) mod bench;
pub(crate) mod descriptor;
pub(crate) mod epoll;
pub(crate) mod lane;
mod plan;
mod settings;
mod settle;
mod slots;
pub(crate) mod survey;
mod tails;
pub(crate) mod terms;
mod turn;
pub(crate) mod uring;
pub(crate) mod watch;

#[cfg(fuzzing)]
pub(crate) mod rig;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use audience::Audience;
use lane::{Lane, Woken};
use plan::Plan;
pub(crate) use settings::DeliverySettings;
use slots::{Slot, Slots, State, TICK_NS};
use tails::Tails;
use terms::{Term, Terms};

/// Sends of one set before the next set has its turn.
pub(crate) const QUANTUM: usize = 64;

/// Over how long at most the ends of streams are spread whose tokens end at the same time.
const END_SPREAD_NS: u64 = 30_000_000_000;

/// A drain under way.
#[derive(Clone, Copy, Debug)]
struct Drain {
    started_ns: u64,
    /// Slots below this have been told.
    next: u32,
    /// Subscribers when it began.
    count: usize,
    /// Subscribers that have been closed.
    closed: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Delivery<L> {
    settings: DeliverySettings,
    topics: Topics,
    slots: Slots,
    audiences: Vec<Audience>,
    tails: Tails,
    terms: Terms,
    lane: L,
    /// Sets that have something new.
    queue: VecDeque<SetIndex>,
    /// Subscribers that are behind on their own; an entry whose slot is not `Behind` is void. A slot
    /// stands in it once at most.
    behind: VecDeque<u32>,
    blocked: usize,
    /// Slot from which the scan for heartbeats and timeouts goes on, and how many it still visits
    /// in this tick.
    scan_next: u32,
    scan_left: u32,
    tick: u32,
    drain: Option<Drain>,
    /// Subscribers whose end somebody waits to hear of, and those of them that have ended.
    badges: HashMap<u32, u64>,
    departed: Vec<u64>,
    plan: Plan,
    woken: Vec<Woken>,
    random: fastrand::Rng,
    stats: Arc<Stats>,
    worker: usize,
    limits: Arc<Limits>,
}

/// Why a stream cannot be delivered.
#[derive(Debug)]
pub(crate) enum SubscribeError {
    /// All slots are taken.
    Full,
    /// Its selectors match more kept events than there is room to list, or are too many that have to
    /// be gone through one by one.
    Selectors,
    /// The kernel takes no further socket.
    Kernel,
}

impl<L: Lane> Delivery<L> {
    pub(crate) fn new(
        settings: DeliverySettings,
        lane: L,
        stats: Arc<Stats>,
        worker: usize,
        limits: Arc<Limits>,
    ) -> Delivery<L> {
        Delivery {
            settings,
            topics: Topics::new(settings.bounds),
            slots: Slots::new(settings.subscribers_max),
            audiences: Vec::new(),
            tails: Tails::default(),
            terms: Terms::default(),
            lane,
            queue: VecDeque::new(),
            behind: VecDeque::new(),
            blocked: 0,
            scan_next: 0,
            scan_left: 0,
            tick: 0,
            drain: None,
            badges: HashMap::new(),
            departed: Vec::new(),
            plan: Plan::default(),
            woken: Vec::new(),
            random: fastrand::Rng::with_seed(worker as u64),
            stats,
            worker,
            limits,
        }
    }

    /// The histories.
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    fn stats(&self) -> &WorkerStats {
        &self.stats.workers[self.worker]
    }

    /// Takes over a stream: `socket` is sent `greeting`, the answer's head included, and is watched
    /// and swept from now on, after the event `resume` names, until its `term` ends.
    ///
    /// # Errors
    /// When there is no room for it; nothing has been sent then.
    pub(crate) fn subscribe(
        &mut self,
        interest: Interest<'_>,
        resume: &Resume,
        socket: BorrowedFd<'_>,
        pass: Pass,
        greeting: Bytes,
        term: Option<Term>,
    ) -> Result<u32, SubscribeError> {
        let index = self.slots.vacant().ok_or(SubscribeError::Full)?;
        let crowd = self.topics.crowd();
        let set = self.topics.join(interest);
        // Who asks for what others ask for adds nothing, and may always.
        let is_crowded = self.topics.crowd() > crowd.max(CROWD_MAX);
        if self.audiences.len() <= set.0 as usize {
            self.audiences.resize_with(set.0 as usize + 1, Audience::default);
        }
        let attached = match !is_crowded && self.topics.complete_views(set, resume.sequence) {
            true => self.lane.attach(index, socket).map_err(|_| SubscribeError::Kernel),
            false => Err(SubscribeError::Selectors),
        };
        if let Err(error) = attached {
            self.leave_if_unused(set);
            return Err(error);
        }
        let cursor = self.topics.cursor(set, resume.sequence, resume.standing);
        let place = self.audiences[set.0 as usize].join(index);
        let waits = self.topics.lag(set, cursor) == 0 && resume.standing == Standing::Live;
        self.slots.insert(
            index,
            Slot {
                cursor,
                set,
                place,
                written_at: self.tick,
                state: State::Live,
                has_tail: false,
                queued: false,
                network: pass.into_network(),
            },
        );
        if let Some(term) = term {
            let term = self.jittered(term);
            self.terms.insert(index, term);
        }
        if !waits {
            self.set_behind(index);
        }
        self.stats().streams.add(1);
        self.greet(index, greeting);
        Ok(index)
    }

    /// Lets the end of a subscriber be heard of under this number.
    pub(crate) fn watch_end(&mut self, slot: u32, badge: u64) {
        // Its greeting may have met a broken socket.
        match self.slots[slot].state {
            State::Free => self.departed.push(badge),
            _ => drop(self.badges.insert(slot, badge)),
        }
    }

    /// The subscribers that have ended since this was last asked.
    pub(crate) fn take_departed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.departed)
    }

    /// Appends the next event. False, and nothing done, when it must wait: a healthy subscriber has
    /// not been sent an event that would be evicted for it.
    pub(crate) fn ingest(&mut self, frame: &Frame) -> bool {
        let audiences = &self.audiences;
        if !self.topics.make_room(frame, |set| audiences[set.0 as usize].floor()) {
            return false;
        }
        let Delivery { topics, audiences, queue, .. } = self;
        topics.append(frame.clone(), |set| {
            let audience = &mut audiences[set.0 as usize];
            if !audience.queued {
                audience.queued = true;
                queue.push_back(set);
            }
        });
        true
    }

    /// Takes in what the kernel has to tell: ends of connections and sockets with room again.
    pub(crate) fn harvest(&mut self) {
        let mut woken = std::mem::take(&mut self.woken);
        self.lane.harvest(&mut woken);
        for event in woken.drain(..) {
            match event {
                Woken::Hangup { slot, reset } => {
                    let reason =
                        if reset { CloseReason::PeerReset } else { CloseReason::PeerClosed };
                    // Both of a slot's polls may tell of its end.
                    if self.slots[slot].state != State::Free {
                        self.close(slot, reason);
                    }
                }
                Woken::Writable { slot } => {
                    if self.slots[slot].state == State::Blocked {
                        self.blocked -= 1;
                        self.set_behind(slot);
                    }
                }
            }
        }
        self.woken = woken;
    }

    /// Ends a subscriber.
    fn close(&mut self, index: u32, reason: CloseReason) {
        self.lane.close(index);
        let slot = self.slots.remove(index);
        if slot.has_tail {
            self.tails.remove(index);
        }
        if slot.state == State::Blocked {
            self.blocked -= 1;
        }
        if let Some(drain) = &mut self.drain {
            drain.closed += 1;
        }
        if let Some(badge) = self.badges.remove(&index) {
            self.departed.push(badge);
        }
        self.leave(&slot);
        self.limits.leave(slot.network);
        if let Some(token) = self.terms.remove(index).and_then(|term| term.token) {
            self.limits.leave_token(token);
        }
        self.stats().close(reason);
    }

    /// Takes a removed subscriber out of its set, and the set out of the table if it was the last.
    fn leave(&mut self, slot: &Slot) {
        let audience = &mut self.audiences[slot.set.0 as usize];
        if let Some((moved, missed)) = audience.leave(slot.place) {
            self.slots[moved].place = slot.place;
            if missed && self.slots[moved].state == State::Live {
                self.set_behind(moved);
            }
        }
        self.leave_if_unused(slot.set);
    }

    fn leave_if_unused(&mut self, set: SetIndex) {
        let audience = &mut self.audiences[set.0 as usize];
        if audience.len() == 0 {
            audience.reset();
            self.topics.leave(set);
        }
    }

    fn set_behind(&mut self, index: u32) {
        let slot = &mut self.slots[index];
        slot.state = State::Behind;
        if !slot.queued {
            slot.queued = true;
            self.behind.push_back(index);
        }
    }

    /// Time has passed: `now_ns` of the engine's clock. To be called about ten times a second.
    /// Evicts old events and starts the next part of the scan for heartbeats and timeouts.
    pub(crate) fn advance(&mut self, now_ns: u64) {
        let tick = (now_ns / TICK_NS) as u32;
        let passed = tick.saturating_sub(self.tick);
        self.tick = tick;
        // The scan goes round once a second: a tenth of the slots in each tick.
        let share = (self.slots.len() as u32).div_ceil(10).saturating_mul(passed.min(10));
        self.scan_left = share.min(self.slots.len() as u32);
        // Bounded, so that the end of a burst's age is no pause: half a million events a second.
        self.topics.expire(now_ns, 50_000);
        self.publish_gauges();
    }

    /// Ends all streams: pending events first, then each subscriber is told when to come back and is
    /// closed, evenly over the time the settings give. See [`Delivery::is_drained`].
    pub(crate) fn drain(&mut self, now_ns: u64) {
        let count = self.slots.count();
        self.drain = Some(Drain { started_ns: now_ns, next: 0, count, closed: 0 });
    }

    /// True when a drain has ended the last stream.
    pub(crate) fn is_drained(&self) -> bool {
        self.drain.is_some() && self.slots.count() == 0
    }

    /// Jitter keeps clients that were cut off together from coming back together.
    pub(crate) fn retry_ms(&mut self) -> u64 {
        self.settings.retry_ms + self.random.u64(0..=self.settings.retry_ms)
    }

    /// Many tokens end at the same second; their streams end a little earlier, each at another
    /// time: over the last fifth of what is left, or over [`END_SPREAD_NS`].
    fn jittered(&mut self, term: Term) -> Term {
        let left = term.ends_ns.saturating_sub(u64::from(self.tick) * TICK_NS);
        let early = self.random.u64(0..=END_SPREAD_NS.min(left / 5));
        match term.ends_ns {
            u64::MAX => term,
            ends_ns => Term { ends_ns: ends_ns - early, ..term },
        }
    }

    fn publish_gauges(&self) {
        let stats = self.stats();
        stats.subscribers.set(self.slots.count() as u64);
        stats.blocked.set(self.blocked as u64);
        stats.topics.set(self.topics.count() as u64);
        stats.topic_sets.set(self.topics.set_count() as u64);
        stats.history_events.set(self.topics.event_count() as u64);
        stats.history_bytes.set(self.topics.event_bytes() as u64);
        stats.pinned_bytes.set(self.tails.pinned_bytes() as u64);
        let audiences = self.audiences.capacity() * size_of::<Audience>();
        let tables = self.slots.table_bytes()
            + self.topics.table_bytes()
            + audiences
            + self.terms.table_bytes();
        stats.table_bytes.set(tables as u64);
    }

    /// Number of subscribers.
    pub(crate) fn count(&self) -> usize {
        self.slots.count()
    }

    /// Subscribers of each topic are those of the sets that have it.
    fn subscriber_count(&self, sets: &[SetIndex]) -> usize {
        sets.iter().map(|set| self.audiences[set.0 as usize].len()).sum()
    }

    /// How far the subscriber in a slot is behind, if there is one.
    fn lag(&self, index: u32) -> Option<u32> {
        let slot = &self.slots[index];
        (slot.state != State::Free).then(|| self.topics.lag(slot.set, slot.cursor))
    }

    /// The subscriber in a slot, if there is one.
    fn view(&self, index: u32) -> Option<SubscriberView> {
        let lag = self.lag(index)?;
        let slot = &self.slots[index];
        Some(SubscriberView {
            worker: self.worker,
            slot: index,
            topics: self.topics.set_names(slot.set).map(str::to_owned).collect(),
            cursor: slot.cursor.sequence,
            lag,
            blocked: slot.state == State::Blocked,
            quiet_ns: u64::from(self.tick.saturating_sub(slot.written_at)) * TICK_NS,
        })
    }
}

/// One subscriber, for people to look at.
#[derive(Clone, Debug)]
pub(crate) struct SubscriberView {
    pub(crate) worker: usize,
    pub(crate) slot: u32,
    pub(crate) topics: Vec<String>,
    pub(crate) cursor: u64,
    pub(crate) lag: u32,
    pub(crate) blocked: bool,
    /// Time since the last write to it.
    pub(crate) quiet_ns: u64,
}
