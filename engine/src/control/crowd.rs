//! Who makes room when a worker has as many requests as it may.
//!
//! A place among the requests is taken by whoever connects, and a peer that sends its request a byte
//! at a time, or none at all, holds it for as long as it is let. So in a crowd those go first that have
//! kept the worker waiting for longest; whoever sends its request at once is served however many
//! others say nothing.
//!
//! Invariant: nobody goes who has waited for less than a second, so a request that is on its way
//! arrives.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How long everybody may keep the worker waiting: several round trips around the earth.
const PATIENCE: Duration = Duration::from_secs(1);

/// Everybody who is waited for, the longest first.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    seats: RefCell<BTreeMap<u64, Rc<Seat>>>,
    next: Cell<u64>,
}

/// One who is waited for.
#[derive(Debug)]
struct Seat {
    since: Instant,
    called: Cell<bool>,
    waker: RefCell<Waker>,
}

/// Given back when the wait is over.
struct Seated<'a> {
    crowd: &'a Crowd,
    number: u64,
    seat: Rc<Seat>,
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        self.crowd.seats.borrow_mut().remove(&self.number);
    }
}

impl Crowd {
    /// Waits for something that a peer has to do; none when it has to make room instead.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut seated: Option<Seated<'_>> = None;
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            // Mostly there was nothing to wait for, and no seat was needed.
            let seated = seated.get_or_insert_with(|| self.sit(context.waker()));
            if seated.seat.called.get() {
                return Poll::Ready(None);
            }
            seated.seat.waker.borrow_mut().clone_from(context.waker());
            Poll::Pending
        })
        .await
    }

    fn sit(&self, waker: &Waker) -> Seated<'_> {
        let number = self.next.get();
        self.next.set(number + 1);
        let waker = RefCell::new(waker.clone());
        let seat = Rc::new(Seat { since: Instant::now(), called: Cell::new(false), waker });
        self.seats.borrow_mut().insert(number, Rc::clone(&seat));
        Seated { crowd: self, number, seat }
    }

    /// Has those make room who have been waited for longest, `count_max` at most; gives how many do.
    pub(crate) fn thin(&self, count_max: usize, now: Instant) -> usize {
        let mut count = 0;
        while count < count_max {
            let mut seats = self.seats.borrow_mut();
            let Some(first) = seats.first_entry() else { break };
            if now.saturating_duration_since(first.get().since) < PATIENCE {
                break;
            }
            let seat = first.remove();
            drop(seats);
            seat.called.set(true);
            seat.waker.borrow().wake_by_ref();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::Pin;
    use std::task::Context;

    use super::*;

    /// Polls once; nobody is woken.
    fn look<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn those_go_first_who_were_waited_for_longest_and_nobody_within_a_second() {
        let crowd = Crowd::default();
        let mut first = pin!(crowd.wait(pending::<()>()));
        let mut second = pin!(crowd.wait(pending::<()>()));
        assert!(look(first.as_mut()).is_pending() && look(second.as_mut()).is_pending());
        assert_eq!(crowd.thin(9, Instant::now()), 0, "they have just come");
        let late = Instant::now() + PATIENCE;
        assert_eq!(crowd.thin(1, late), 1);
        assert_eq!(look(first.as_mut()), Poll::Ready(None));
        assert!(look(second.as_mut()).is_pending());
        assert_eq!(crowd.thin(9, late), 1);
        assert_eq!(look(second.as_mut()), Poll::Ready(None));
        assert!(crowd.seats.borrow().is_empty());
    }

    #[test]
    fn what_is_done_is_not_waited_for_and_a_wait_that_is_given_up_leaves_its_seat() {
        let crowd = Crowd::default();
        assert_eq!(look(pin!(crowd.wait(async { 7 }))), Poll::Ready(Some(7)));
        {
            let mut wait = pin!(crowd.wait(pending::<()>()));
            assert!(look(wait.as_mut()).is_pending());
            assert_eq!(crowd.seats.borrow().len(), 1);
        }
        assert!(crowd.seats.borrow().is_empty());
    }

    #[test]
    fn who_is_done_when_called_is_served() {
        let crowd = Crowd::default();
        let done = Cell::new(false);
        let work = poll_fn(|_| if done.get() { Poll::Ready(1) } else { Poll::Pending });
        let mut wait = pin!(crowd.wait(work));
        assert!(look(wait.as_mut()).is_pending());
        done.set(true);
        assert_eq!(crowd.thin(1, Instant::now() + PATIENCE), 1);
        assert_eq!(look(wait.as_mut()), Poll::Ready(Some(1)));
    }
}
