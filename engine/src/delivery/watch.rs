//! What the kernel has to tell of subscribers' sockets: that one has ended, or has room again.
//!
//! Both lanes watch with edge-triggered epoll. Each socket is registered once, for its end and for
//! becoming writable; the edge for the latter comes only after a send has found the socket full, so
//! nothing is changed per send. A registration belongs to the open file, not to the descriptor: it
//! outlives the descriptor when the io_uring lane keeps the socket as a fixed file, and goes with the
//! file's last reference.
//!
//! An idle subscriber costs 208 bytes of kernel memory here (an `epitem`, its entry in the socket's
//! wait queue, and the file's list of both). A pending io_uring poll could not be removed without a
//! cancellation, and a second one would be needed to wait for room.
//!
//! Invariant: an event is matched with its slot by a generation, so one that was on its way when
//! the slot was closed is ignored.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::lane::Woken;

/// Events taken in one call: enough for one call to do in nearly every turn, 12 bytes each.
const EVENTS_MAX: usize = 1024;
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// All ones in the upper half are the doorbell's mark.
const GENERATION_MASK: u32 = 0x7fff_ffff;

/// What a slot's registration is known by.
#[derive(Clone, Copy, Debug, Default)]
struct Registration {
    generation: u32,
    watched: bool,
}

/// See the module.
pub(crate) struct Watch {
    epoll: OwnedFd,
    slots: Vec<Registration>,
    events: Vec<Event>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches nothing yet but `doorbell`, which only makes the descriptor readable.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub(crate) fn new(doorbell: BorrowedFd<'_>) -> io::Result<Watch> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mark = EventData::new_u64(u64::MAX);
        epoll::add(&epoll, doorbell, mark, EventFlags::IN | EventFlags::ET)?;
        Ok(Watch { epoll, slots: Vec::new(), events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Readable when there is something to harvest or the doorbell was rung.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches the socket of `slot`.
    ///
    /// # Errors
    /// When the kernel has no memory left, or `fs.epoll.max_user_watches` is reached.
    pub(crate) fn add(&mut self, slot: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let index = slot as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Registration::default());
        }
        let registration = &mut self.slots[index];
        let data = EventData::new_u64(u64::from(registration.generation) << 32 | u64::from(slot));
        let events = EventFlags::RDHUP | EventFlags::OUT | EventFlags::ET;
        epoll::add(&self.epoll, socket, data, events)?;
        registration.watched = true;
        Ok(())
    }

    /// Ignores what is still told of the slot's socket; the registration goes when the socket does.
    pub(crate) fn forget(&mut self, slot: u32) {
        let registration = &mut self.slots[slot as usize];
        let generation = (registration.generation + 1) & GENERATION_MASK;
        *registration = Registration { generation, watched: false };
    }

    /// Appends what has happened since the last call.
    pub(crate) fn harvest(&mut self, woken: &mut Vec<Woken>) {
        loop {
            self.events.clear();
            let spare = rustix::buffer::spare_capacity(&mut self.events);
            // An interrupted wait is made up for by the next turn.
            if epoll::wait(&self.epoll, spare, Some(&NOW)).is_err() {
                return;
            }
            woken.extend(self.events.iter().filter_map(|event| self.meaning(event)));
            if self.events.len() < EVENTS_MAX {
                return;
            }
        }
    }

    fn meaning(&self, event: &Event) -> Option<Woken> {
        let (data, flags) = (event.data.u64(), event.flags);
        let slot = data as u32;
        let known = self.slots.get(slot as usize)?;
        if !known.watched || u64::from(known.generation) != data >> 32 {
            return None;
        }
        let reset = flags.contains(EventFlags::ERR);
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            Some(Woken::Hangup { slot, reset })
        } else {
            Some(Woken::Writable { slot })
        }
    }
}
