//! Publishes that wait for their events to come round.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What is known of one that waits.
#[derive(Debug)]
enum Waiting {
    For(Option<Waker>),
    /// Sequence of the last event of the submission.
    Done(u64),
}

/// All that wait on one worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tickets(Rc<RefCell<Table>>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    waiting: HashMap<u64, Waiting>,
}

impl Tickets {
    /// Something new to wait for.
    pub(crate) fn issue(&self) -> Ticket {
        let mut table = self.0.borrow_mut();
        let number = table.next;
        table.next += 1;
        table.waiting.insert(number, Waiting::For(None));
        Ticket { number, tickets: self.clone() }
    }

    /// The last event of submission `number` has come round; it has this sequence.
    pub(crate) fn complete(&self, number: u64, sequence: u64) {
        let mut table = self.0.borrow_mut();
        // Its connection may have ended meanwhile.
        if let Some(waiting) = table.waiting.get_mut(&number)
            && let Waiting::For(Some(waker)) = std::mem::replace(waiting, Waiting::Done(sequence))
        {
            waker.wake();
        }
    }
}

/// One publish that waits; gives the sequence of its last event.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    tickets: Tickets,
}

impl Ticket {
    /// The number to hand in.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Future for Ticket {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        let mut table = self.tickets.0.borrow_mut();
        match table.waiting.get_mut(&self.number) {
            Some(Waiting::Done(sequence)) => Poll::Ready(*sequence),
            Some(Waiting::For(waker)) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => unreachable!("a ticket stays in the table until it is dropped"),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.0.borrow_mut().waiting.remove(&self.number);
    }
}
