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
//! **An idle subscriber holds one poll** for the end of its connection (256 B of kernel memory; a
//! pending read would be 864 B). A blocked one holds a second, for becoming writable.
//!
//! The rings are `DEFER_TASKRUN`: polls that fire are collected when the worker asks, at its own
//! pace. Such a ring's descriptor never becomes readable by itself, so all rings signal the worker's
//! eventfd (`IORING_REGISTER_EVENTFD`).
//!
//! Invariants:
//! - A completion is matched with its slot by a generation, when it is taken in and again when it is
//!   handed out; one that was on its way when the slot was closed is ignored.
//! - After `close` the kernel holds no reference to the socket but the poll's, which is cancelled
//!   in the next submission.

#![expect(unsafe_code, reason = "submission queue entries carry raw pointers and descriptors")]

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use io_uring::cqueue;
use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;

use super::lane::{Lane, Outcome, Outgoing, Woken};

/// Entries of a submission queue: the sends of one turn (256) and as many polls.
const SUBMISSIONS: u32 = 512;
/// Entries of a completion queue. Only exceptions complete; when more than this happen between two
/// turns (a mass disconnect) the kernel keeps the rest in a list of its own.
const COMPLETIONS: u32 = 4096;
/// Deferred work collected in one call. The kernel's default of 20 makes a mass disconnect slow.
const HARVEST: usize = 512;
/// `IORING_SEND_VECTORIZED`: a SEND whose address is an array of iovecs. Since Linux 6.17.
const SEND_VECTORIZED: u16 = 1 << 5;

const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
const NO_FILE: RawFd = -1;

/// What a submission was for; the upper byte of its user data.
const SEND: u64 = 1 << 56;
const HANGUP: u64 = 2 << 56;
const WRITABLE: u64 = 3 << 56;
const CANCEL: u64 = 4 << 56;
const PURPOSE: u64 = 0xff << 56;
const GENERATION_MASK: u32 = 0x00ff_ffff;

/// What the lane knows of a slot.
#[derive(Clone, Copy, Debug, Default)]
struct Socket {
    /// How many sockets the slot has had, modulo 2^24.
    generation: u32,
    hangup_polled: bool,
    writable_polled: bool,
}

/// See the module.
pub(crate) struct Uring {
    rings: Vec<IoUring>,
    /// Fixed files of one ring.
    table: u32,
    sockets: Vec<Socket>,
    /// Signalled by every ring, and the worker's doorbell.
    eventfd: OwnedFd,
    vectored: bool,
    /// Message headers of one call to `send`, for kernels without `SEND_VECTORIZED`.
    headers: Vec<libc::msghdr>,
    /// Polls that fired and were not handed out yet, with the generation of their slot: it may be
    /// closed and taken again before they are.
    woken: Vec<(u32, Woken)>,
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
    ///
    /// `eventfd` is signalled when there is something to harvest; `vectored` says that the kernel
    /// takes `IORING_SEND_VECTORIZED`.
    ///
    /// # Errors
    /// When the kernel refuses the ring, its table or the eventfd.
    pub(crate) fn new(eventfd: OwnedFd, table: u32, vectored: bool) -> io::Result<Uring> {
        let mut lane = Uring {
            rings: Vec::new(),
            table,
            sockets: Vec::new(),
            eventfd,
            vectored,
            headers: Vec::new(),
            woken: Vec::new(),
            short: Vec::new(),
        };
        lane.add_ring()?;
        Ok(lane)
    }

    fn add_ring(&mut self) -> io::Result<()> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(self.table)?;
        ring.submitter().register_eventfd(self.eventfd.as_raw_fd())?;
        self.rings.push(ring);
        Ok(())
    }

    fn place(&self, slot: u32) -> (usize, types::Fixed) {
        ((slot / self.table) as usize, types::Fixed(slot % self.table))
    }

    fn tag(&self, purpose: u64, slot: u32) -> u64 {
        let generation = self.sockets[slot as usize].generation;
        purpose | u64::from(generation) << 32 | u64::from(slot)
    }

    /// Queues an entry, submitting what is queued when there is no room.
    ///
    /// # Safety
    /// What the entry points to must stay valid until the ring is next submitted and, if the
    /// operation can outlive its submission, until it has completed.
    unsafe fn push(&mut self, ring: usize, entry: &Entry) {
        loop {
            // SAFETY: the caller's promise, handed on.
            if unsafe { self.rings[ring].submission().push(entry) }.is_ok() {
                return;
            }
            self.submit(ring);
        }
    }

    fn poll(&mut self, purpose: u64, events: i16, slot: u32) {
        let (ring, file) = self.place(slot);
        let entry = opcode::PollAdd::new(file, events as u32).build();
        let entry = entry.user_data(self.tag(purpose, slot));
        // SAFETY: a poll points to nothing.
        unsafe { self.push(ring, &entry) };
    }

    fn cancel(&mut self, purpose: u64, slot: u32) {
        let (ring, _) = self.place(slot);
        let entry = opcode::AsyncCancel::new(self.tag(purpose, slot)).build();
        let entry = entry.flags(Flags::SKIP_SUCCESS).user_data(CANCEL);
        // SAFETY: a cancellation points to nothing.
        unsafe { self.push(ring, &entry) };
    }

    /// Submits all that is queued on a ring, and takes in what completed meanwhile.
    fn submit(&mut self, ring: usize) {
        loop {
            let submitted = self.rings[ring].submit();
            self.reap(ring);
            if self.rings[ring].submission().is_empty() {
                return;
            }
            match submitted.as_ref().map_err(|error| error.raw_os_error()) {
                Ok(_) | Err(Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {
                    // The kernel wants completions collected or is short of memory for a moment.
                    let _ = self.enter(ring);
                }
                Err(_) => panic!("io_uring refuses a submission: {submitted:?}"),
            }
        }
    }

    /// Runs the deferred work of a ring.
    fn enter(&mut self, ring: usize) -> io::Result<usize> {
        // A large `min_complete` lifts the bound on deferred work; the zero timeout keeps the call
        // from waiting for that many.
        let zero = types::Timespec::new();
        let args = types::SubmitArgs::new().timespec(&zero);
        self.rings[ring].submitter().submit_with_args(HARVEST, &args)
    }

    /// Sorts the completions of a ring by what they were for.
    fn reap(&mut self, ring: usize) {
        let Uring { rings, sockets, woken, short, .. } = self;
        for completion in rings[ring].completion() {
            sort(&completion, sockets, woken, short);
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
        let entry = entry.flags(Flags::SKIP_SUCCESS).user_data(SEND | index as u64);
        // SAFETY: buffers and headers stay valid until the submission (the caller's promise, and
        // `headers` does not grow past its reserved capacity within one call of `send`), and with
        // DONTWAIT the kernel is done with them when the submission returns.
        unsafe { self.push(ring, &entry) };
    }
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

fn sort(
    completion: &cqueue::Entry,
    sockets: &mut [Socket],
    woken: &mut Vec<(u32, Woken)>,
    short: &mut Vec<(usize, Outcome)>,
) {
    let (data, result) = (completion.user_data(), completion.result());
    if data & PURPOSE == SEND {
        short.push(((data & !PURPOSE) as usize, outcome(result)));
        return;
    }
    let slot = data as u32;
    let generation = (data >> 32) as u32 & GENERATION_MASK;
    let Some(socket) = sockets.get_mut(slot as usize) else { return };
    if socket.generation != generation {
        return;
    }
    let reset = result < 0 || result as i16 & libc::POLLERR != 0;
    match data & PURPOSE {
        HANGUP => {
            socket.hangup_polled = false;
            woken.push((generation, Woken::Hangup { slot, reset }));
        }
        WRITABLE => {
            socket.writable_polled = false;
            woken.push((generation, Woken::Writable { slot }));
        }
        _ => {}
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
        if self.sockets.len() <= slot as usize {
            self.sockets.resize(slot as usize + 1, Socket::default());
        }
        self.sockets[slot as usize].hangup_polled = true;
        self.poll(HANGUP, libc::POLLRDHUP, slot);
        Ok(())
    }

    fn send(&mut self, sends: &[Outgoing<'_>], short: &mut dyn FnMut(usize, Outcome)) {
        self.headers.clear();
        self.headers.reserve(sends.len());
        for (index, send) in sends.iter().enumerate() {
            // SAFETY: `sends` outlives this call, and every ring with an entry is submitted below.
            unsafe { self.queue_send(index, send) };
        }
        for ring in 0..self.rings.len() {
            if !self.rings[ring].submission().is_empty() {
                self.submit(ring);
            }
        }
        for (index, outcome) in self.short.drain(..) {
            short(index, outcome);
        }
    }

    fn await_writable(&mut self, slot: u32) {
        let socket = &mut self.sockets[slot as usize];
        if !socket.writable_polled {
            socket.writable_polled = true;
            self.poll(WRITABLE, libc::POLLOUT, slot);
        }
    }

    fn harvest(&mut self, woken: &mut Vec<Woken>) {
        for ring in 0..self.rings.len() {
            if !self.rings[ring].submission().is_empty() {
                self.submit(ring);
            }
            while self.rings[ring].submission().taskrun() {
                // A timeout means that fewer than HARVEST were due, which is the usual case.
                let collected = self.enter(ring);
                self.reap(ring);
                if collected.is_err() {
                    break;
                }
            }
            self.reap(ring);
        }
        let Uring { woken: fired, sockets, .. } = self;
        let current = |generation: u32, event: &Woken| {
            let (Woken::Hangup { slot, .. } | Woken::Writable { slot }) = event;
            sockets[*slot as usize].generation == generation
        };
        let fired = fired.drain(..).filter(|(generation, event)| current(*generation, event));
        woken.extend(fired.map(|(_, event)| event));
    }

    fn close(&mut self, slot: u32) {
        let socket = self.sockets[slot as usize];
        if socket.hangup_polled {
            self.cancel(HANGUP, slot);
        }
        if socket.writable_polled {
            self.cancel(WRITABLE, slot);
        }
        let (ring, file) = self.place(slot);
        let removed = self.rings[ring].submitter().register_files_update(file.0, &[NO_FILE]);
        removed.expect("the kernel can always take a file out of a table");
        let generation = (socket.generation + 1) & GENERATION_MASK;
        self.sockets[slot as usize] = Socket { generation, ..Socket::default() };
    }
}
