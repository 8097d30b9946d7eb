//! The lane on raw io_uring rings.
//!
//! Sockets are fixed files: their descriptors are closed after the handshake, and because the kernel
//! checks RLIMIT_NOFILE for each table and not for their sum, one ring for each table's worth of
//! sockets holds any number of them.
//!
//! **Sends are in flight only inside [`Uring::send`].** With `MSG_DONTWAIT` the kernel completes
//! each send while it is submitted, or fails it with `EAGAIN`; `MSG_WAITALL` turns a short write
//! into a completion that counts, which `IOSQE_CQE_SKIP_SUCCESS` would otherwise hide; a whole write
//! completes silently. So no buffer outlives the call, no state is kept for a send, and only
//! exceptions cost anything.
//!
//! Nothing else goes through the rings: ends of connections and room in full sockets are told by
//! [`Watch`].

#![expect(unsafe_code, reason = "submission queue entries carry raw pointers")]

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;

use super::lane::{Lane, Outcome, Outgoing, Woken};
use super::watch::Watch;
use crate::kernel::locked;

/// Entries of a submission queue: the sends of one turn. The completion queue has twice as many,
/// and every send completes at most once, so it never overflows.
const SUBMISSIONS: u32 = 256;
const COMPLETIONS: u32 = 2 * SUBMISSIONS;
/// `IORING_SEND_VECTORIZED`: a SEND whose address is an array of iovecs. Since Linux 6.17.
const SEND_VECTORIZED: u16 = 1 << 5;

const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
const NO_FILE: RawFd = -1;

/// See the module.
pub(crate) struct Uring {
    watch: Watch,
    rings: Vec<IoUring>,
    /// Fixed files of one ring.
    table: u32,
    vectored: bool,
    /// Message headers of one call to `send`, for kernels without `SEND_VECTORIZED`.
    headers: Vec<libc::msghdr>,
    /// Sends of the current call that were not taken whole.
    short: Vec<(usize, Outcome)>,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("rings", &self.rings.len()).finish_non_exhaustive()
    }
}

impl Uring {
    /// A lane with one ring whose table, like that of each further one, holds `table` sockets.
    /// `vectored` says that the kernel takes `IORING_SEND_VECTORIZED`.
    ///
    /// # Errors
    /// When the kernel refuses the ring or its table.
    pub(crate) fn new(watch: Watch, table: u32, vectored: bool) -> io::Result<Uring> {
        let (headers, short) = (Vec::new(), Vec::new());
        let mut lane = Uring { watch, rings: Vec::new(), table, vectored, headers, short };
        lane.add_ring()?;
        Ok(lane)
    }

    fn add_ring(&mut self) -> io::Result<()> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_coop_taskrun()
            .setup_submit_all()
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(self.table)?;
        self.rings.push(ring);
        Ok(())
    }

    fn place(&self, slot: u32) -> (usize, types::Fixed) {
        ((slot / self.table) as usize, types::Fixed(slot % self.table))
    }

    /// Queues an entry, submitting what is queued when there is no room.
    ///
    /// # Safety
    /// What the entry points to must stay valid until the ring has been submitted.
    unsafe fn push(&mut self, ring: usize, entry: &Entry) {
        loop {
            // SAFETY: the caller's promise, handed on.
            if unsafe { self.rings[ring].submission().push(entry) }.is_ok() {
                return;
            }
            self.submit(ring);
        }
    }

    /// Submits all that is queued on a ring, and takes in what was not taken whole.
    fn submit(&mut self, ring: usize) {
        while !self.rings[ring].submission().is_empty() {
            let submitted = self.rings[ring].submit();
            let Uring { rings, short, .. } = self;
            let completions = rings[ring].completion();
            short.extend(completions.map(|c| (c.user_data() as usize, outcome(c.result()))));
            match submitted.as_ref().map_err(io::Error::raw_os_error) {
                // Short of memory for a moment, or a signal: the rest is submitted again.
                Ok(_) | Err(Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
                Err(_) => panic!("io_uring refuses a submission: {submitted:?}"),
            }
        }
    }

    /// Queues one send. Its buffers are used when the ring is next submitted.
    ///
    /// # Safety
    /// `send.buffers` and what they point to must stay valid until the ring has been submitted.
    unsafe fn queue_send(&mut self, index: usize, send: &Outgoing<'_>) {
        let (ring, file) = self.place(send.slot);
        let entry = match send.buffers {
            [one] => {
                opcode::Send::new(file, one.as_ptr(), one.len() as u32).flags(SEND_FLAGS).build()
            }
            many if self.vectored => {
                let iovecs = many.as_ptr().cast::<u8>();
                let send = opcode::Send::new(file, iovecs, many.len() as u32);
                send.ioprio(SEND_VECTORIZED).flags(SEND_FLAGS).build()
            }
            many => {
                self.headers.push(header(many));
                let header: *const libc::msghdr = self.headers.last().expect("just pushed");
                opcode::SendMsg::new(file, header).flags(SEND_FLAGS as u32).build()
            }
        };
        let entry = entry.flags(Flags::SKIP_SUCCESS).user_data(index as u64);
        // SAFETY: buffers and headers stay valid until the submission (the caller's promise, and
        // `headers` does not grow past its reserved capacity within one call of `send`), and with
        // DONTWAIT the kernel is done with them when the submission returns.
        unsafe { self.push(ring, &entry) };
    }
}

/// Bytes of each ring of a lane, as the kernel counts them against RLIMIT_MEMLOCK.
pub(crate) fn ring_bytes(page_bytes: u64) -> u64 {
    locked::ring_bytes(SUBMISSIONS, COMPLETIONS, page_bytes)
}

/// A message header over `buffers`. `IoSlice` is guaranteed to have the layout of `iovec`.
fn header(buffers: &[IoSlice<'_>]) -> libc::msghdr {
    libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: buffers.as_ptr().cast::<libc::iovec>().cast_mut(),
        msg_iovlen: buffers.len(),
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}

fn outcome(result: i32) -> Outcome {
    match result {
        sent if sent > 0 => Outcome::Short(sent as usize),
        // Nothing was sent although there was something to send: as good as full.
        0 => Outcome::Full,
        error if error == -libc::EAGAIN => Outcome::Full,
        error => Outcome::Broken(Errno::from_raw_os_error(-error)),
    }
}

impl Lane for Uring {
    fn attach(&mut self, slot: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let (ring, file) = self.place(slot);
        while ring >= self.rings.len() {
            self.add_ring()?;
        }
        self.rings[ring].submitter().register_files_update(file.0, &[socket.as_raw_fd()])?;
        let watched = self.watch.add(slot, socket);
        if watched.is_err() {
            self.take_out(slot);
        }
        watched
    }

    fn send(&mut self, sends: &[Outgoing<'_>], short: &mut dyn FnMut(usize, Outcome)) {
        self.headers.clear();
        self.headers.reserve(sends.len());
        for (index, send) in sends.iter().enumerate() {
            // SAFETY: `sends` outlives this call, and every ring with an entry is submitted below.
            unsafe { self.queue_send(index, send) };
        }
        for ring in 0..self.rings.len() {
            self.submit(ring);
        }
        for (index, outcome) in self.short.drain(..) {
            short(index, outcome);
        }
    }

    fn harvest(&mut self, woken: &mut Vec<Woken>) {
        self.watch.harvest(woken);
    }

    fn close(&mut self, slot: u32) {
        self.watch.forget(slot);
        self.take_out(slot);
    }
}

impl Uring {
    /// Drops the table's reference to a socket, the last there is: the connection ends.
    fn take_out(&mut self, slot: u32) {
        let (ring, file) = self.place(slot);
        let removed = self.rings[ring].submitter().register_files_update(file.0, &[NO_FILE]);
        removed.expect("the kernel can always take a file out of a table");
    }
}
