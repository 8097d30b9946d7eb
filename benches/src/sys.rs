//! System calls that the standard library does not have: the only unsafe code of the floors.
//!
//! Each wrapper does one call and turns its answer into a value. Sending and receiving are not
//! here: `Write` and `Read` of a non-blocking `TcpStream` are one `send(2)` with `MSG_NOSIGNAL`
//! and one `recv(2)`, exactly what a floor wants.
//!
//! This file knows nothing of events, subscribers or HTTP.
#![expect(unsafe_code, reason = "system calls without a safe wrapper in std or socket2")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Readiness events taken per `epoll_wait`: enough that its cost vanishes beside the receives.
const READY_COUNT_MAX: usize = 512;

/// An epoll instance, level-triggered, for input only.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// A new, empty instance.
    ///
    /// # Errors
    /// Those of `epoll_create1(2)`: no descriptor or no memory left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `from_raw_fd` requires an open descriptor that nobody else owns. The kernel has
        // just made it for us; a second owner elsewhere would break this.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; READY_COUNT_MAX] })
    }

    /// Watches a socket for input and hang-up; `token` names it in [`Epoll::wait`].
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    pub fn watch(&self, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
    }

    /// Stops watching a socket, which frees its kernel memory here.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    pub fn forget(&self, socket: &impl AsRawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket.as_raw_fd(), std::ptr::null_mut())
    }

    /// Waits until sockets are readable and puts their tokens into `ready`, which it empties first.
    /// `None` waits for ever; a timeout is rounded up to whole milliseconds.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`; an interrupting signal is an empty answer, not an error.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        let timeout_ms = timeout.map_or(-1, |t| t.as_nanos().div_ceil(1_000_000) as libc::c_int);
        let room = self.events.len() as libc::c_int;
        // SAFETY: the kernel writes at most `room` events, the length of the vector, and the
        // vector is borrowed mutably for the time of the call.
        let found = unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, timeout_ms)
        };
        ready.clear();
        let count = match checked(found) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        ready.extend(self.events[..count as usize].iter().map(|event| event.u64));
        Ok(())
    }

    fn control(&self, op: libc::c_int, fd: RawFd, event: *mut libc::epoll_event) -> io::Result<()> {
        // SAFETY: `event` is null for a removal, where the kernel ignores it, or comes from a live
        // local in `watch`. A stale `fd` is an error answer, not undefined behaviour.
        checked(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, fd, event) }).map(drop)
    }
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
///
/// # Errors
/// Those of `getrlimit(2)` and `setrlimit(2)`.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit` through a pointer to a live local of that type.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one `rlimit` from a live local.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_max)
}

/// Gives the calling thread a descriptor table of its own, a copy of the one it shared.
///
/// The limit of open descriptors holds per table, so each thread that does this may open that
/// many. Descriptors opened afterwards exist in this thread alone and close with it.
///
/// # Errors
/// Those of `unshare(2)`: no memory left.
pub fn own_descriptor_table() -> io::Result<()> {
    // SAFETY: the call takes no pointer. It changes what descriptor numbers mean in this thread:
    // a descriptor opened by another thread afterwards does not exist here. Callers keep to that
    // by opening, using and dropping their sockets in the thread that called this, and in threads
    // that it has started since, which share its table.
    checked(unsafe { libc::unshare(libc::CLONE_FILES) }).map(drop)
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
/// Those of `sched_setaffinity(2)`: there is no such CPU.
pub fn stay_on_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: a mask is plain bits, and all of them unset is a mask.
    let mut mask: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let cpus_max = 8 * size_of::<libc::cpu_set_t>();
    if cpu >= cpus_max {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the number is within the mask.
    unsafe { libc::CPU_SET(cpu, &mut mask) };
    // SAFETY: the kernel reads one mask of the given size from a live local; 0 is this thread.
    checked(unsafe { libc::sched_setaffinity(0, size_of_val(&mask), &raw const mask) }).map(drop)
}

/// Nanoseconds of the monotonic clock, which all processes of a machine read alike.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of CPU time the calling thread has used, in user and kernel mode.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Clock ticks per second, the unit of CPU times in `/proc`.
pub fn ticks_per_second() -> u64 {
    // SAFETY: the call takes no pointer.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).expect("sysconf knows the clock tick on every Linux")
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec` through a pointer to a live local of that type.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(answer, 0, "the clocks read here exist on every Linux");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
