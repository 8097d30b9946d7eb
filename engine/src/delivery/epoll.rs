//! The lane for machines that refuse io_uring: `sendmsg` and edge-triggered epoll.
//!
//! Each socket is registered once, for its end and for becoming writable; the edge for the latter
//! comes only after a send has found the socket full, so nothing is changed per send. Every
//! subscriber costs a descriptor: RLIMIT_NOFILE bounds this lane.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use super::lane::{Lane, Outcome, Outgoing, Woken};

/// Events taken in one call: enough for one call to do in nearly every turn, 12 bytes each.
const EVENTS_MAX: usize = 1024;
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A socket and how many others its slot has had before.
#[derive(Debug, Default)]
struct Socket {
    fd: Option<OwnedFd>,
    generation: u32,
}

/// See the module.
pub(crate) struct Epoll {
    epoll: OwnedFd,
    sockets: Vec<Socket>,
    events: Vec<Event>,
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoll").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl Epoll {
    /// An empty lane; `doorbell` makes its descriptor readable as well.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub(crate) fn new(doorbell: BorrowedFd<'_>) -> io::Result<Epoll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            doorbell,
            EventData::new_u64(u64::MAX),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(Epoll { epoll, sockets: Vec::new(), events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Readable when there is something to harvest or the doorbell was rung.
    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn socket(&self, slot: u32) -> &OwnedFd {
        let socket = self.sockets.get(slot as usize).and_then(|socket| socket.fd.as_ref());
        socket.expect("the slot has a socket from `attach` to `close`")
    }
}

impl Lane for Epoll {
    fn attach(&mut self, slot: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let fd = rustix::io::fcntl_dupfd_cloexec(socket, 0)?;
        let index = slot as usize;
        if index >= self.sockets.len() {
            self.sockets.resize_with(index + 1, Socket::default);
        }
        let entry = &mut self.sockets[index];
        let data = EventData::new_u64(u64::from(entry.generation) << 32 | u64::from(slot));
        epoll::add(&self.epoll, &fd, data, EventFlags::RDHUP | EventFlags::OUT | EventFlags::ET)?;
        entry.fd = Some(fd);
        Ok(())
    }

    fn send(&mut self, sends: &[Outgoing<'_>], short: &mut dyn FnMut(usize, Outcome)) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        for (index, send) in sends.iter().enumerate() {
            let bytes: usize = send.buffers.iter().map(|buffer| buffer.len()).sum();
            let socket = self.socket(send.slot);
            match sendmsg(socket, send.buffers, &mut SendAncillaryBuffer::default(), flags) {
                Ok(sent) if sent == bytes => {}
                Ok(sent) => short(index, Outcome::Short(sent)),
                Err(Errno::AGAIN) => short(index, Outcome::Full),
                Err(error) => short(index, Outcome::Broken(error)),
            }
        }
    }

    fn await_writable(&mut self, _slot: u32) {
        // The edge comes by itself: the send that found the socket full has asked for it.
    }

    fn harvest(&mut self, woken: &mut Vec<Woken>) {
        loop {
            self.events.clear();
            let spare = rustix::buffer::spare_capacity(&mut self.events);
            // An interrupted wait is made up for by the next turn.
            if epoll::wait(&self.epoll, spare, Some(&NOW)).is_err() {
                return;
            }
            for event in &self.events {
                let (data, flags) = (event.data.u64(), event.flags);
                let slot = data as u32;
                let known = self.sockets.get(slot as usize);
                if !known.is_some_and(|s| s.fd.is_some() && u64::from(s.generation) == data >> 32) {
                    continue;
                }
                let reset = flags.contains(EventFlags::ERR);
                if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                    woken.push(Woken::Hangup { slot, reset });
                } else if flags.contains(EventFlags::OUT) {
                    woken.push(Woken::Writable { slot });
                }
            }
            if self.events.len() < EVENTS_MAX {
                return;
            }
        }
    }

    fn close(&mut self, slot: u32) {
        let socket = &mut self.sockets[slot as usize];
        socket.fd = None;
        // Events of the closed socket that were already taken name the old generation. 31 bits:
        // all ones in the upper half would be the doorbell's mark.
        socket.generation = (socket.generation + 1) & 0x7fff_ffff;
    }
}
