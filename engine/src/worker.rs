//! A worker: one pinned thread with both lanes.
//!
//! The control lane is monoio's runtime. The delivery lane is driven by the *pump*, the runtime's
//! main future: it takes events off the ring, makes a turn of the delivery lane, and lets the
//! runtime have its turn, in which tasks do no more than the turnstile gives.
//!
//! The pump sleeps by waiting for one descriptor that is readable when anything has happened: the
//! doorbell was rung, or the delivery lane has something to harvest. When it has more to do it goes
//! through the same wait, after ringing its own doorbell: a task that wakes itself would keep
//! monoio 0.2 from looking at sockets and timers at all.
//!
//! Tasks of its own thread nudge it, which costs no system call. A publisher whose requests are all
//! there already and the pump could nudge and answer each other for ever, so a nudge is taken only
//! for [`NUDGES_NS`] after the runtime has last looked at its sockets; later ones go through the
//! descriptor.
//!
//! Invariant: an event is taken off the ring only when it can be appended; so a worker that falls
//! behind fills its ring, and publishers are told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use monoio::net::TcpStream;

use crate::config::Config;
use crate::config::key::PublishKey;
use crate::control::accept::accept;
use crate::control::command::Command;
use crate::control::crowd::Crowd;
use crate::control::mercure::{self, Hub};
use crate::control::nudge::Nudge;
use crate::control::tickets::Tickets;
use crate::control::turnstile::Turnstile;
use crate::control::{Control, Room};
use crate::delivery::lane::Lane;
use crate::delivery::{Delivery, DeliverySettings};
use crate::event::Epoch;
use crate::limits::Limits;
use crate::ring::{Doorbell, RingReceiver};
use crate::sequencer::Intake;
use crate::stats::Stats;
use crate::submission::Numbered;
use crate::token::Verifiers;
use crate::topic::Bounds;

mod listing;
pub(crate) mod thread;

use listing::Listing;

/// Events taken off the ring between two turns of the delivery lane.
const INGEST_MAX: usize = 1024;
/// How often time is looked at: heartbeats, timeouts and ages need no better.
const TICK: Duration = Duration::from_millis(100);
/// How long after the runtime has looked at its sockets and timers nudges are taken: as long as one
/// turn of the delivery lane keeps it from looking anyway.
const NUDGES_NS: u64 = 1_000_000;

/// What a worker is made of, put together before its thread starts.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) index: usize,
    pub(crate) epoch: Epoch,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) ring: RingReceiver<Numbered>,
    pub(crate) eventfd: OwnedFd,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) intake: Intake,
    pub(crate) room: Arc<Room>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) key: Option<PublishKey>,
    pub(crate) hub: Option<Arc<Hub>>,
    pub(crate) verifiers: Arc<Verifiers>,
    pub(crate) asking: Option<Sender<()>>,
}

/// Runs a worker on this thread until it has drained. `wake` is readable when the lane has something
/// to harvest or the doorbell was rung.
///
/// # Panics
/// When the runtime's driver cannot watch `wake`.
pub(crate) async fn run<L: Lane + 'static>(parts: Parts, lane: L, wake: OwnedFd) {
    let settings = settings(&parts.config, parts.epoch);
    let (stats, limits) = (Arc::clone(&parts.stats), Arc::clone(&parts.limits));
    let delivery = Delivery::new(settings, lane, stats, parts.index, limits);
    let control = Rc::new(Control {
        config: parts.config,
        worker: parts.index,
        epoch: parts.epoch,
        delivery: RefCell::new(delivery),
        tickets: Tickets::default(),
        intake: parts.intake,
        room: parts.room,
        limits: parts.limits,
        stats: parts.stats,
        turnstile: Turnstile::new(Arc::clone(&parts.doorbell)),
        doorbell: parts.doorbell,
        nudge: Nudge::default(),
        key: RefCell::new(parts.key),
        hub: parts.hub,
        announcements: RefCell::default(),
        verifiers: RefCell::new(parts.verifiers),
        asking: parts.asking,
        asked: RefCell::new(None),
        body_bytes: Cell::new(0),
        requests: Cell::new(0),
        crowd: Crowd::default(),
    });
    for listener in parts.listeners {
        monoio::spawn(accept(Rc::clone(&control), listener));
    }
    monoio::spawn(tick(Rc::clone(&control)));
    let wake = TcpStream::from_std(wake.into()).expect("the runtime's driver watches a descriptor");
    let pump = Pump {
        control,
        ring: parts.ring,
        commands: parts.commands,
        stalled: None,
        listings: VecDeque::new(),
        drained: false,
    };
    pump.run(&wake, &parts.eventfd).await;
}

fn settings(config: &Config, epoch: Epoch) -> DeliverySettings {
    let ticks = |duration: Duration| (duration.as_millis() / TICK.as_millis()) as u32;
    DeliverySettings {
        epoch,
        bounds: Bounds {
            events_max: config.history_events,
            bytes_max: config.history_bytes,
            bytes_total_max: config.history_bytes_total,
            views_bytes_max: config.views_bytes_max(),
            age_ns_max: config.history_age.map_or(u64::MAX, |age| age.as_nanos() as u64),
            forgotten_max: config.topics_max,
        },
        subscribers_max: config.connections_max,
        heartbeat_ticks: ticks(config.heartbeat),
        write_timeout_ticks: ticks(config.write_timeout).max(1),
        lag: config.lag,
        retry_ms: config.retry.as_millis() as u64,
        pinned_bytes_max: config.pinned_bytes_max(),
        drain_ns: config.drain_timeout.as_nanos() as u64,
    }
}

/// Tells the delivery lane the time, for ever.
async fn tick<L: Lane>(control: Rc<Control<L>>) {
    loop {
        monoio::time::sleep(TICK).await;
        control.delivery.borrow_mut().advance(control.stats.now_ns());
        mercure::announce(&control);
        control.nudge.give();
    }
}

/// See the module.
struct Pump<L> {
    control: Rc<Control<L>>,
    ring: RingReceiver<Numbered>,
    commands: Receiver<Command>,
    /// An event that must wait until the sweep has gone further.
    stalled: Option<Numbered>,
    /// What others wait to be listed, one after the other.
    listings: VecDeque<Listing>,
    drained: bool,
}

impl<L: Lane> Pump<L> {
    async fn run(mut self, wake: &TcpStream, eventfd: &OwnedFd) {
        let mut waiting = pin!(None);
        let (mut woken, mut looked_at) = (Woken::ByDescriptor, 0);
        while !self.drained {
            let now_ns = self.control.stats.now_ns();
            if woken == Woken::ByDescriptor {
                looked_at = now_ns;
                self.control.delivery.borrow_mut().harvest();
            }
            let more = self.work(now_ns);
            let doorbell = &self.control.doorbell;
            let rest = || !self.ring.is_empty() || !self.commands.is_empty();
            let again = more || !doorbell.may_sleep(rest);
            let takes_nudges = !again && now_ns - looked_at < NUDGES_NS;
            if waiting.is_none() {
                waiting.set(Some(wake.readable(false)));
            }
            let readable = waiting.as_mut().as_pin_mut().expect("it was just set");
            woken = wait(readable, &self.control.nudge, eventfd, again, takes_nudges).await;
            self.control.doorbell.awake();
            if woken == Woken::ByDescriptor {
                waiting.set(None);
            }
        }
    }

    /// Everything once; true when there is more to do at once.
    fn work(&mut self, now_ns: u64) -> bool {
        let stats = Arc::clone(&self.control.stats);
        self.control.stats().turned_at.set(now_ns);
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        self.ingest();
        // Behind the ring, so that whoever asks sees what it has published.
        self.list();
        let mut delivery = self.control.delivery.borrow_mut();
        let more = delivery.turn(|| stats.now_ns());
        // What publishers have been told is accepted is delivered before the streams end.
        self.drained = delivery.is_drained() && self.ring.is_empty() && self.stalled.is_none();
        let departed = delivery.take_departed();
        drop(delivery);
        mercure::depart(&self.control, &departed);
        let tasks_wait = self.control.turnstile.open();
        more || tasks_wait || self.stalled.is_some() || !self.listings.is_empty()
    }

    /// Goes on with what is listed, by one slice.
    fn list(&mut self) {
        if let Some(listing) = self.listings.front_mut()
            && listing.step(&self.control.delivery.borrow())
        {
            self.listings.pop_front();
        }
    }

    /// Takes events off the ring and appends them.
    fn ingest(&mut self) {
        let control = &self.control;
        let (mut count, mut bytes) = (0, 0);
        let mut delivery = control.delivery.borrow_mut();
        while count < INGEST_MAX as u64 {
            let Some(event) = self.stalled.take().or_else(|| self.ring.pop()) else { break };
            if !delivery.ingest(&event.frame) {
                control.stats().stalls.add(1);
                self.stalled = Some(event);
                break;
            }
            count += 1;
            bytes += event.frame.memory_bytes() as u64;
            if let Some(origin) = event.origin {
                control.tickets.complete(origin.ticket, event.frame.sequence);
            }
        }
        if count > 0 {
            control.stats().events.add(count);
            control.stats().head.set(delivery.topics().head());
            control.room.events.consume(control.worker, count);
            control.room.bytes.consume(control.worker, bytes);
        }
    }

    fn obey(&mut self, command: Command) {
        let control = &self.control;
        match command {
            Command::Drain => {
                let now_ns = control.stats.now_ns();
                control.delivery.borrow_mut().drain(now_ns);
            }
            Command::Key(key) => *control.key.borrow_mut() = key,
            Command::Verifiers(verifiers) => *control.verifiers.borrow_mut() = verifiers,
            Command::Topics { prefix, count_max, reply } => {
                self.listings.push_back(Listing::topics(prefix, count_max, reply));
            }
            Command::TopicSubscribers { names, reply } => {
                self.listings.push_back(Listing::listeners(names, reply));
            }
            Command::Subscribers { count_max, reply } => {
                self.listings.push_back(Listing::subscribers(count_max, reply));
            }
        }
    }
}

/// What has ended the pump's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    /// A task of this thread; the runtime has not looked at its sockets since.
    ByTask,
    /// The doorbell, or the delivery lane.
    ByDescriptor,
}

/// Lets the runtime have its turn, and waits until something has happened; with `again` that is at
/// once, but not before the runtime has looked at its sockets and timers. A nudge, too, ends the wait
/// only then unless `takes_nudges`.
async fn wait(
    mut readable: Pin<&mut impl Future>,
    nudge: &Nudge,
    eventfd: &OwnedFd,
    again: bool,
    takes_nudges: bool,
) -> Woken {
    let mut rings = again;
    poll_fn(|context| {
        if nudge.take(context) {
            if takes_nudges {
                return Poll::Ready(Woken::ByTask);
            }
            rings = true;
        }
        // An error is found again by the next wait.
        if readable.as_mut().poll(context).is_ready() {
            return Poll::Ready(Woken::ByDescriptor);
        }
        if std::mem::take(&mut rings) {
            ring_eventfd(eventfd);
        }
        Poll::Pending
    })
    .await
}

/// Makes an eventfd readable. Nobody reads the count: each write is an edge, which is all that the
/// lane's epoll reports.
pub(crate) fn ring_eventfd(eventfd: impl AsFd) {
    // The count cannot overflow in practice, and if it did the eventfd would be readable as well.
    let _ = rustix::io::write(eventfd, &1u64.to_ne_bytes());
}
