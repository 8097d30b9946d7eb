//! How events reach the workers: an ingest ring each, a doorbell each, and the admission that keeps
//! every ring from ever being full.
//!
//! ```text
//! worker ──admit──► intake ──► sequencer ──► ring of each worker ──► worker
//!                                   └─────────► doorbell, if the worker sleeps
//! ```
//!
//! A publishing worker takes *room* for its events before it hands them to the sequencer: room is
//! what the slowest worker has not yet consumed of `capacity`. So overload is met where it can be
//! answered, at the publisher, and the sequencer always finds a place on every ring.
//!
//! Invariants:
//! - `admitted - consumed[w] <= capacity` for every worker `w`, at every moment. Events admitted
//!   are a superset of those on ring `w`, so a push never finds the ring full.
//! - A worker that sleeps has seen its ring empty after it said that it sleeps; whoever pushes looks
//!   whether the worker sleeps after the push. One of the two always sees the other.
//!
//! This module knows neither what events are nor what workers do with them.

use std::fmt;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use self::sync::{AtomicBool, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
}
#[cfg(loom)]
mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

/// An integer alone on its cache lines: two, because the prefetcher of x86-64 fetches pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Padded(AtomicU64);

/// Room on the rings, shared by all workers; counted in events, or in bytes of events.
#[derive(Debug)]
pub struct Admission {
    capacity: u64,
    /// Events admitted since the start.
    admitted: Padded,
    /// Events each worker has taken off its ring since the start.
    consumed: Box<[Padded]>,
}

/// No room for the events: the slowest worker is `capacity` events behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload;

impl Admission {
    /// Room for `capacity` events on the ring of each of `workers` workers.
    #[must_use]
    pub fn new(capacity: usize, workers: usize) -> Admission {
        Admission {
            capacity: capacity as u64,
            admitted: Padded::default(),
            consumed: (0..workers).map(|_| Padded::default()).collect(),
        }
    }

    /// Takes room for `count` events, all or none.
    ///
    /// # Errors
    /// [`Overload`] when the slowest worker leaves less room than that.
    pub fn admit(&self, count: u64) -> Result<(), Overload> {
        // Relaxed: only a first guess; the exchange below decides.
        let mut admitted = self.admitted.0.load(Ordering::Relaxed);
        loop {
            // Saturating: a stale `admitted` may be behind a fresh `consumed`; the exchange then fails.
            if (admitted + count).saturating_sub(self.consumed_min()) > self.capacity {
                return Err(Overload);
            }
            // Relaxed on both sides: the counter orders nothing but itself. The events travel
            // through channels, which order their contents; `consumed` only ever grows, so a stale
            // value of it makes us refuse too early, never admit too much.
            match self.admitted.0.compare_exchange_weak(
                admitted,
                admitted + count,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => admitted = now,
            }
        }
    }

    /// Gives room back that was taken for events which were not handed on after all.
    pub fn withdraw(&self, count: u64) {
        // Relaxed: see `admit`. Room that comes back late is refused a moment longer.
        self.admitted.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// Worker `worker` has taken `count` more events off its ring.
    pub fn consume(&self, worker: usize, count: u64) {
        let consumed = &self.consumed[worker].0;
        // Relaxed load: only this worker writes. The Release store is partner of the Acquire load
        // in `consumed_min`: whoever sees the count also sees the ring's place as free.
        consumed.store(consumed.load(Ordering::Relaxed) + count, Ordering::Release);
    }

    /// Events admitted that worker `worker` has not consumed.
    #[must_use]
    pub fn depth(&self, worker: usize) -> u64 {
        // Relaxed: a figure for people.
        let consumed = self.consumed[worker].0.load(Ordering::Relaxed);
        self.admitted.0.load(Ordering::Relaxed).saturating_sub(consumed)
    }

    fn consumed_min(&self) -> u64 {
        // Acquire: partner of the Release store in `consume`.
        self.consumed.iter().map(|c| c.0.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

/// Wakes a worker that sleeps, and costs an atomic load when it does not.
pub struct Doorbell {
    sleeping: AtomicBool,
    /// What actually wakes the worker; a write to its eventfd.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").finish_non_exhaustive()
    }
}

impl Doorbell {
    /// A doorbell that wakes its worker by `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Doorbell {
        Doorbell { sleeping: AtomicBool::new(false), wake: Box::new(wake) }
    }

    /// For the worker, before it sleeps: `has_work` must look at everything it could be rung for.
    /// True when it may sleep; a ring from now on wakes it.
    pub fn may_sleep(&self, has_work: impl FnOnce() -> bool) -> bool {
        // Relaxed stores: the fence orders them. This is the store-buffer case: we write `sleeping`
        // and read the ring, the other side writes the ring and reads `sleeping`. Without a
        // sequentially consistent fence on both sides both could read the old value, and the worker
        // would sleep on a full ring. Partner: the fence in `ring`.
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if has_work() {
            self.sleeping.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// For the worker, when it has woken: until it sleeps again nobody needs to wake it.
    pub fn awake(&self) {
        // Relaxed: a late reader wakes us once too often, which costs a wake and loses nothing.
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// For whoever gave the worker something, after giving it.
    pub fn ring(&self) {
        // Partner: the fence in `may_sleep`; see there.
        fence(Ordering::SeqCst);
        // The swap makes one ringer of many write the eventfd; Relaxed because the fence has
        // ordered it after our push, and the eventfd's own lock orders the wake.
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            (self.wake)();
        }
    }
}

/// The sequencer's side of one worker's ring.
#[derive(Debug)]
pub struct RingSender<T> {
    sender: Sender<T>,
    doorbell: Arc<Doorbell>,
}

/// The worker's side of its ring.
#[derive(Debug)]
pub struct RingReceiver<T> {
    receiver: Receiver<T>,
}

/// A ring of `capacity` events for the worker that `doorbell` wakes.
#[must_use]
pub fn ring<T>(capacity: usize, doorbell: Arc<Doorbell>) -> (RingSender<T>, RingReceiver<T>) {
    let (sender, receiver) = crossbeam_channel::bounded(capacity);
    (RingSender { sender, doorbell }, RingReceiver { receiver })
}

impl<T> RingSender<T> {
    /// Puts `item` on the ring; the worker learns of it at the next [`RingSender::ring`].
    ///
    /// # Panics
    /// When the ring is full: somebody pushed what was not admitted.
    pub fn push(&self, item: T) {
        // A closed ring is a worker that has ended; it needs no events any more.
        if let Err(crossbeam_channel::TrySendError::Full(_)) = self.sender.try_send(item) {
            panic!("an ingest ring is full although its events were admitted");
        }
    }

    /// Wakes the worker if it sleeps. Once for any number of pushes.
    pub fn ring(&self) {
        self.doorbell.ring();
    }
}

impl<T> RingReceiver<T> {
    /// The next event, if there is one.
    #[must_use]
    pub fn pop(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// True when there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}
