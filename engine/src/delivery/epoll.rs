//! The lane for machines that refuse io_uring: `sendmsg`, one call a send.
//!
//! Every subscriber costs a descriptor: RLIMIT_NOFILE bounds this lane.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

use super::lane::{Lane, Outcome, Outgoing, Woken};
use super::watch::Watch;

/// See the module.
#[derive(Debug)]
pub(crate) struct Epoll {
    watch: Watch,
    sockets: Vec<Option<OwnedFd>>,
}

impl Epoll {
    /// A lane without sockets that is woken through `watch`.
    pub(crate) fn new(watch: Watch) -> Epoll {
        Epoll { watch, sockets: Vec::new() }
    }

    fn socket(&self, slot: u32) -> &OwnedFd {
        let socket = self.sockets.get(slot as usize).and_then(Option::as_ref);
        socket.expect("the slot has a socket from `attach` to `close`")
    }
}

impl Lane for Epoll {
    fn attach(&mut self, slot: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let socket = rustix::io::fcntl_dupfd_cloexec(socket, 0)?;
        self.watch.add(slot, rustix::fd::AsFd::as_fd(&socket))?;
        let index = slot as usize;
        if index >= self.sockets.len() {
            self.sockets.resize_with(index + 1, || None);
        }
        self.sockets[index] = Some(socket);
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

    fn harvest(&mut self, woken: &mut Vec<Woken>) {
        self.watch.harvest(woken);
    }

    fn close(&mut self, slot: u32) {
        self.watch.forget(slot);
        self.sockets[slot as usize] = None;
    }
}
