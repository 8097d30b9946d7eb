//! What the kernel is asked to do for subscribers: the one place with two real implementations.
//!
//! A lane owns the sockets of established streams, by slot. It sends without waiting and tells of
//! exceptions only; what a send means for a cursor is not its business.
//!
//! It knows no topics, no events and no clock.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

/// One gathered send to the socket of a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// The slot.
    pub(crate) slot: u32,
    /// Its text, in order; at most 1,024 parts (`UIO_MAXIOV`), not empty.
    pub(crate) buffers: &'a [IoSlice<'a>],
}

/// Why a send did not take all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The socket took this many bytes, at least one, and is full.
    Short(usize),
    /// The socket is full and took nothing.
    Full,
    /// The connection is broken.
    Broken(Errno),
}

/// What the kernel has told of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The peer has closed its side, or the connection is gone.
    Hangup {
        /// The slot.
        slot: u32,
        /// True when it was an error rather than an orderly end.
        reset: bool,
    },
    /// The socket may take bytes again, after a send has found it full.
    Writable {
        /// The slot.
        slot: u32,
    },
}

/// The kernel's part of delivery.
pub(crate) trait Lane {
    /// Takes over a connected socket for `slot`, which must be free, and watches for its end. The
    /// caller's descriptor may be closed afterwards.
    ///
    /// # Errors
    /// When the kernel has no room for one more; the lane is as before.
    fn attach(&mut self, slot: u32, socket: BorrowedFd<'_>) -> io::Result<()>;

    /// Sends without waiting. `short` is called with the index in `sends` of each that was not
    /// taken whole; of the others nothing is heard.
    fn send(&mut self, sends: &[Outgoing<'_>], short: &mut dyn FnMut(usize, Outcome));

    /// Appends what has happened since the last call.
    fn harvest(&mut self, woken: &mut Vec<Woken>);

    /// Ends the connection of `slot`; the slot is free at once.
    fn close(&mut self, slot: u32);
}
