//! How much the tasks of connections do before the delivery lane has its turn.
//!
//! Tasks do what can be done without waiting. A peer that never lets a task wait (requests without end
//! on one connection, a body of nothing but blank lines) would keep the worker to itself, and with it
//! every subscriber of that worker. So steps are paid for out of one purse for all tasks, which the
//! worker's loop fills again at each of its turns; who finds it empty waits for a turn to let it in.
//!
//! Invariants:
//! - Whoever comes while others wait waits behind them, so those that take much share with those that
//!   take little, step by step.
//! - While somebody waits the worker's loop goes on, so nobody waits for ever.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::ring::Doorbell;

/// What may be spent in one turn by those that need not wait: 256 requests, or 256 KiB of bodies.
/// Either takes a few milliseconds, about as long as a turn of the delivery lane.
const TURN_UNITS: i64 = 256;
/// Bytes that cost as much as a request does by itself.
const UNIT_BYTES: usize = 1024;
/// Of those that wait so many are let in at each turn, for a step each; the longest takes 16 KiB.
const TURN_STEPS: usize = 32;

/// See the module.
#[derive(Debug)]
pub(crate) struct Turnstile {
    /// What is left of this turn; below 0 when the last step took more than there was.
    left: Cell<i64>,
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// Rung when somebody waits.
    doorbell: Arc<Doorbell>,
}

/// A task that waits.
#[derive(Debug)]
struct Place {
    let_in: Cell<bool>,
    waker: RefCell<Waker>,
}

impl Turnstile {
    /// Open, for a worker that `doorbell` wakes.
    pub(crate) fn new(doorbell: Arc<Doorbell>) -> Turnstile {
        Turnstile { left: Cell::new(TURN_UNITS), waiting: RefCell::default(), doorbell }
    }

    /// Pays for one step with so many bytes, and waits where it was too much or others wait already.
    pub(crate) async fn spend(&self, bytes: usize) {
        self.left.set(self.left.get() - 1 - (bytes / UNIT_BYTES) as i64);
        if self.left.get() > 0 && self.waiting.borrow().is_empty() {
            return;
        }
        let mut place: Option<Rc<Place>> = None;
        poll_fn(|context| {
            let place = place.get_or_insert_with(|| self.queue(context.waker()));
            if place.let_in.get() {
                return Poll::Ready(());
            }
            place.waker.borrow_mut().clone_from(context.waker());
            Poll::Pending
        })
        .await;
    }

    fn queue(&self, waker: &Waker) -> Rc<Place> {
        let waker = RefCell::new(waker.clone());
        let place = Rc::new(Place { let_in: Cell::new(false), waker });
        self.waiting.borrow_mut().push_back(Rc::clone(&place));
        self.doorbell.ring();
        place
    }

    /// Begins a turn; true when somebody waits for the next one.
    pub(crate) fn open(&self) -> bool {
        self.left.set(TURN_UNITS);
        let mut waiting = self.waiting.borrow_mut();
        let count = waiting.len().min(TURN_STEPS);
        for place in waiting.drain(..count) {
            place.let_in.set(true);
            place.waker.borrow().wake_by_ref();
        }
        !waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Context;

    use super::*;
    use futures_util::future::join_all;

    /// Polls once; nobody is woken.
    fn look<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn turnstile() -> (Turnstile, Arc<AtomicUsize>) {
        let rung = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&rung);
        let doorbell = Doorbell::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        // The worker sleeps until it is rung.
        assert!(doorbell.may_sleep(|| false));
        (Turnstile::new(Arc::new(doorbell)), rung)
    }

    #[test]
    fn a_turn_gives_so_much_and_the_next_one_as_much_again() {
        let (turnstile, rung) = turnstile();
        for _ in 1..TURN_UNITS {
            assert!(look(pin!(turnstile.spend(0))).is_ready());
        }
        let mut last = pin!(turnstile.spend(0));
        assert!(look(last.as_mut()).is_pending(), "the purse is empty");
        assert_eq!(rung.load(Ordering::Relaxed), 1, "a sleeping worker learns of it");
        assert!(!turnstile.open());
        assert!(look(last.as_mut()).is_ready());
    }

    #[test]
    fn bytes_cost_as_well_and_what_was_taken_too_much_is_waited_for() {
        let (turnstile, _) = turnstile();
        let mut large = pin!(turnstile.spend(10 << 20));
        let mut small = pin!(turnstile.spend(0));
        assert!(look(large.as_mut()).is_pending() && look(small.as_mut()).is_pending());
        turnstile.open();
        assert!(look(small.as_mut()).is_ready() && look(large.as_mut()).is_ready());
    }

    #[test]
    fn who_takes_much_does_not_go_before_those_who_wait() {
        let (turnstile, _) = turnstile();
        let greedy_steps = Cell::new(0);
        let mut greedy = pin!(async {
            loop {
                turnstile.spend(64 << 10).await;
                greedy_steps.set(greedy_steps.get() + 1);
            }
        });
        assert!(look(greedy.as_mut()).is_pending());
        let taken = greedy_steps.get();
        let mut modest = pin!(turnstile.spend(0));
        assert!(look(modest.as_mut()).is_pending(), "the greedy one has emptied the purse");
        turnstile.open();
        assert!(look(greedy.as_mut()).is_pending());
        assert!(look(modest.as_mut()).is_ready(), "it was let in at the same turn");
        assert!(greedy_steps.get() > taken, "and so was the other");
    }

    #[test]
    fn however_many_wait_each_gets_through() {
        let (turnstile, _) = turnstile();
        turnstile.left.set(0);
        let tasks = (0..10 * TURN_STEPS).map(|_| turnstile.spend(UNIT_BYTES));
        let mut all = pin!(join_all(tasks));
        let mut turns = 0;
        while look(all.as_mut()).is_pending() {
            turnstile.open();
            turns += 1;
            assert!(turns < 1_000, "somebody waits for ever");
        }
        assert!(!turnstile.open(), "nobody is left");
    }
}
