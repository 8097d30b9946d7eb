//! The ring plumbing of the subscribers: one io_uring with its sockets and receive buffers.
//!
//! The idea: a socket lives in the ring's fixed table and has no descriptor of its own, so
//! RLIMIT_NOFILE bounds one table and not the process. Receiving is one multishot request for
//! each socket that takes a buffer from a shared pool only when there is something to read, so an
//! idle subscriber owns no buffer. Where asked for, the kernel's receive stamp comes with the
//! data.
//!
//! Invariants:
//! - A buffer is the kernel's from [`Ring::recycle`] until the completion that names it, and ours
//!   from there until it is recycled. [`Content`] borrows the ring, so a buffer cannot be
//!   recycled while it is looked at.
//! - Requests are sent with MSG_DONTWAIT: they end within the submit, and the outbox may be
//!   reused right behind it.
//! - All unsafe code of the subscribers is here, in `buffers` below, and in `socket`.
//!
//! It knows nothing of HTTP, of events, or of who the sockets belong to.

#![expect(unsafe_code, reason = "shared rings and buffers have no safe interface")]

mod buffers;
mod content;
mod tag;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::types::{Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use socket2::{SockAddr, Socket};

use buffers::{BUFFERS, Buffers};
use content::CONTROL_BYTES;

pub(crate) use content::Content;
pub(crate) use tag::{Completion, Kind, Tag};

/// Submission entries: connects and receives are handed over this many at a time.
const SUBMISSIONS: u32 = 512;

/// Completion entries. More completions than this wait in the kernel at a price, so it covers a
/// whole table that is closed at once only in part; see [`Ring::wait`].
const COMPLETIONS: u32 = 8_192;

/// Completions harvested by one wait that gathers them.
const HARVEST_MAX: u32 = 96;

/// Completions that a deferred ring gives to who waits for one (IO_LOCAL_TW_DEFAULT_MAX); if it
/// gave as many, there may be more.
const HARVEST_MIN: usize = 20;

/// Receives that have found no buffer and are asked for again in one turn, which begins with all
/// buffers free: each may take several.
const STARVED_TURN_MAX: usize = 16;

/// Bytes of requests between two submits.
const OUTBOX_BYTES: usize = 64 * 1024;

/// The socket command that answers like ioctl SIOCINQ (include/uapi/linux/io_uring.h).
const SOCKET_URING_OP_SIOCINQ: u32 = 0;

/// The buffer group of every ring.
const GROUP: u16 = 0;

/// IORING_RECVSEND_POLL_FIRST: a receive is asked for before there can be anything to receive, so
/// the kernel need not try at once (linux/io_uring.h).
const POLL_FIRST: u16 = 1;

/// One ring, its table and its buffers.
pub(crate) struct Ring {
    ring: IoUring,
    buffers: Buffers,
    outbox: Box<[u8]>,
    outbox_used: usize,
    targets: Box<[SockAddr]>,
    /// What RECVMSG is asked to return; read by the kernel when a receive is submitted.
    message: Box<libc::msghdr>,
    stamped: bool,
    /// The last harvest was a full one: the kernel does not flag the work that it left over.
    may_have_more: bool,
    /// Receives that found no buffer, and wait to be asked for again.
    starved: VecDeque<(u32, Tag)>,
}

impl Ring {
    /// A ring for `slots` sockets, which connect to `targets` and receive events of up to
    /// `event_bytes`, or larger ones in pieces. With `stamped`, receives bring the kernel's
    /// stamps; the sockets must have been set up for that.
    ///
    /// # Errors
    ///
    /// If the kernel refuses a ring or a table of that size.
    pub(crate) fn new(
        slots: u32,
        targets: &[SockAddr],
        stamped: bool,
        event_bytes: usize,
    ) -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(slots)?;
        let buffers = Buffers::new(event_bytes);
        // SAFETY: the memory is page-aligned, holds BUFFERS entries and lives as long as
        // `Buffers`, which `Ring` drops after `ring` (fields drop in order), that is after the
        // kernel has let go of it. Reordering the fields would break that.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(buffers.address(), BUFFERS, GROUP, 0)?;
        }
        // SAFETY: an all-zero msghdr is a valid value: null pointers with zero lengths.
        let mut message: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
        message.msg_controllen = CONTROL_BYTES as _;
        Ok(Ring {
            ring,
            buffers,
            outbox: vec![0; OUTBOX_BYTES].into_boxed_slice(),
            outbox_used: 0,
            targets: targets.into(),
            message,
            stamped,
            may_have_more: false,
            starved: VecDeque::new(),
        })
    }

    /// A descriptor that becomes readable (edge by edge) when the ring has work, for a thread
    /// with several rings. The ring's own descriptor would not: deferred work does not show there.
    ///
    /// # Errors
    ///
    /// If this machine is out of descriptors.
    pub(crate) fn signal(&self) -> io::Result<OwnedFd> {
        // SAFETY: eventfd takes two integers; its result is a new descriptor or -1, and the new
        // one is owned by nobody else.
        let eventfd = unsafe {
            let descriptor = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        self.ring.submitter().register_eventfd(eventfd.as_raw_fd())?;
        Ok(eventfd)
    }

    /// Puts a socket into a slot; its descriptor is closed, the socket stays.
    ///
    /// # Errors
    ///
    /// If the slot is outside of the table.
    pub(crate) fn install(&mut self, slot: u32, socket: &Socket) -> io::Result<()> {
        self.ring.submitter().register_files_update(slot, &[socket.as_raw_fd()]).map(drop)
    }

    /// Connects a slot to a target.
    pub(crate) fn connect(&mut self, slot: u32, target: usize, tag: Tag) {
        let target = &self.targets[target];
        let entry = opcode::Connect::new(Fixed(slot), target.as_ptr().cast(), target.len());
        // SAFETY: the address lives in `targets`, which is never changed; it outlives the ring.
        unsafe { self.push(entry.build(), tag) };
    }

    /// Sends a request. It is taken whole or the completion is short or an error.
    ///
    /// # Panics
    ///
    /// If the request is larger than the outbox.
    pub(crate) fn send(&mut self, slot: u32, request: &[u8], tag: Tag) {
        assert!(request.len() <= OUTBOX_BYTES, "a request of {} bytes", request.len());
        if self.outbox_used + request.len() > OUTBOX_BYTES {
            self.submit();
        }
        let place = &mut self.outbox[self.outbox_used..][..request.len()];
        place.copy_from_slice(request);
        let entry = opcode::Send::new(Fixed(slot), place.as_ptr(), request.len() as u32)
            .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        self.outbox_used += request.len();
        // SAFETY: MSG_DONTWAIT makes the send end within the submit that takes it, and the place
        // in the outbox is not written to again before that: `outbox_used` goes back to 0 only
        // behind a submit. Dropping the flag would leave the kernel with a pointer to memory
        // that is about to change.
        unsafe { self.push(entry.build(), tag) };
    }

    /// Receives from a slot, again and again until the completion says otherwise.
    pub(crate) fn receive(&mut self, slot: u32, tag: Tag) {
        let entry = if self.stamped {
            let message: *const libc::msghdr = &raw const *self.message;
            opcode::RecvMsgMulti::new(Fixed(slot), message, GROUP).ioprio(POLL_FIRST).build()
        } else {
            opcode::RecvMulti::new(Fixed(slot), GROUP).build()
        };
        // SAFETY: the message header is boxed, never changed, and lives as long as the ring; the
        // buffers belong to the group until a completion hands one back.
        unsafe { self.push(entry, tag) };
    }

    /// Receives again from a slot whose receive has found no buffer. That ended it; asked for
    /// again all at once, all but a few would find no buffer again.
    pub(crate) fn receive_in_turn(&mut self, slot: u32, tag: Tag) {
        self.starved.push_back((slot, tag));
    }

    /// Receives once, at most `bytes_max` bytes, without waiting.
    pub(crate) fn read(&mut self, slot: u32, bytes_max: u32, tag: Tag) {
        let bytes = bytes_max.min(self.buffers.bytes() as u32);
        let entry = opcode::Recv::new(Fixed(slot), std::ptr::null_mut(), bytes)
            .flags(libc::MSG_DONTWAIT)
            .buf_group(GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        // SAFETY: the kernel takes the buffer from the group, as in `receive`.
        unsafe { self.push(entry, tag) };
    }

    /// Asks how many bytes wait to be read from a slot; the completion's result says so. Kernels
    /// before 6.7 do not know and answer with an error.
    pub(crate) fn inquire(&mut self, slot: u32, tag: Tag) {
        let entry = opcode::UringCmd16::new(Fixed(slot), SOCKET_URING_OP_SIOCINQ).build();
        // SAFETY: the request points to no memory.
        unsafe { self.push(entry, tag) };
    }

    /// Ends a session's connect or receive and closes its socket. The ended request completes
    /// with ECANCELED: until then it would hold the socket open.
    pub(crate) fn close(&mut self, slot: u32, ended: Tag) {
        // By tag, not by socket: the kernel finds a tag in a hash table and a socket by walking
        // through all requests of the ring.
        let cancel = opcode::AsyncCancel::new(ended.pack()).build();
        let tag = ended;
        self.starved.retain(|&(starved, _)| starved != slot);
        let quiet = squeue::Flags::SKIP_SUCCESS;
        // SAFETY: neither request points to memory.
        unsafe {
            self.push(cancel.flags(quiet), Tag { kind: Kind::Cancel, ..tag });
            let close = opcode::Close::new(Fixed(slot)).build();
            self.push(close.flags(quiet), Tag { kind: Kind::Close, ..tag });
        }
    }

    /// Hands everything over without waiting for anything.
    pub(crate) fn submit(&mut self) {
        if self.ring.submission().is_empty() {
            return;
        }
        loop {
            match self.ring.submit() {
                Ok(_) => break,
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN)) => {}
                // The kernel holds completions back that did not fit: they must be read first.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return,
                Err(error) => panic!("io_uring_enter: {error}"),
            }
        }
        self.outbox_used = 0;
    }

    /// Hands everything over and waits until there is a completion or `timeout_ns` is over. With
    /// `gather_ns`, it waits that long for a harvest to fill before it returns a smaller one.
    pub(crate) fn wait(&mut self, timeout_ns: u64, gather_ns: u64) {
        // While sockets wait for buffers, the fewer of the others take some the better.
        let gather_ns = if self.starved.is_empty() { gather_ns } else { 0 };
        for _ in 0..STARVED_TURN_MAX {
            let Some((slot, tag)) = self.starved.pop_front() else { break };
            self.receive(slot, tag);
        }
        let time = Timespec::new()
            .sec(timeout_ns / 1_000_000_000)
            .nsec((timeout_ns % 1_000_000_000) as u32);
        let mut args = SubmitArgs::new().timespec(&time);
        let mut want = 1;
        if gather_ns > 0 {
            want = HARVEST_MAX as usize;
            args = args.min_wait_usec((gather_ns / 1_000) as u32);
        }
        match self.ring.submitter().submit_with_args(want, &args) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY)
                ) => {}
            Err(error) => panic!("io_uring_enter: {error}"),
        }
        if self.ring.submission().is_empty() {
            self.outbox_used = 0;
        }
    }

    /// Whether there are completions to be read, or deferred work that would make some.
    pub(crate) fn has_work(&mut self) -> bool {
        self.may_have_more
            || !self.starved.is_empty()
            || self.ring.submission().taskrun()
            || !self.ring.completion().is_empty()
    }

    /// Moves all completions there are to `out`.
    pub(crate) fn harvest(&mut self, out: &mut Vec<Completion>) {
        let before = out.len();
        for entry in self.ring.completion() {
            out.push(Completion {
                tag: Tag::unpack(entry.user_data()),
                result: entry.result(),
                more: cqueue::more(entry.flags()),
                buffer: cqueue::buffer_select(entry.flags()),
            });
        }
        self.may_have_more = out.len() - before >= HARVEST_MIN;
    }

    /// What a completed receive brought; `None` if it brought nothing.
    pub(crate) fn content(&self, completion: &Completion) -> Option<Content<'_>> {
        let length = usize::try_from(completion.result).ok().filter(|&length| length > 0)?;
        let buffer = &self.buffers.buffer(completion.buffer?)[..length];
        if !self.stamped || completion.tag.kind == Kind::Read {
            return Some(Content::plain(buffer));
        }
        Content::stamped(buffer, &self.message)
    }

    /// Gives a buffer back to the kernel.
    pub(crate) fn recycle(&mut self, buffer: u16) {
        self.buffers.give(buffer);
    }

    /// # Safety
    ///
    /// What the entry points to must stay valid until the kernel is done with it.
    unsafe fn push(&mut self, entry: squeue::Entry, tag: Tag) {
        let entry = entry.user_data(tag.pack());
        loop {
            // SAFETY: by the contract of this function.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            self.submit();
            if self.ring.submission().is_full() {
                // Only EBUSY leaves the queue full: run the completions that block it into the
                // queue, from where the next harvest takes them.
                self.wait(0, 0);
            }
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("stamped", &self.stamped).finish_non_exhaustive()
    }
}
