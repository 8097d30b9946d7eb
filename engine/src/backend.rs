//! Which of the two delivery lanes runs, and a worker's thread with it.
//!
//! Where the kernel allows io_uring, both lanes of a worker use it; where it does not (Docker's
//! default seccomp profile, `kernel.io_uring_disabled`), both use epoll.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crossbeam_channel::Sender;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use crate::config::TABLE_FILES_MAX;
use crate::config::cli::BackendChoice;
use crate::delivery::epoll::Epoll;
use crate::delivery::uring::Uring;
use crate::delivery::watch::Watch;
use crate::kernel::uring::UringSupport;
use crate::worker::{self, Parts};

/// Entries of the control lane's submission queue: the polls and timers of one turn.
const CONTROL_SUBMISSIONS: u32 = 1024;
/// Entries of its completion queue: a burst of requests of every connection in the handshake.
const CONTROL_COMPLETIONS: u32 = 16_384;
/// The lane that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring.
    Uring {
        /// The kernel takes vectored sends without a message header (Linux 6.17).
        vectored: bool,
        /// Sockets of one ring.
        table: u32,
    },
    /// epoll and sendmsg.
    Epoll {
        /// Why not io_uring; none when it was not asked for.
        refused: Option<String>,
    },
}

impl Backend {
    /// The lane's name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Uring { .. } => "uring",
            Backend::Epoll { .. } => "epoll",
        }
    }

    /// The kernel features in use, as one word each.
    #[must_use]
    pub fn features(&self) -> &'static str {
        match self {
            Backend::Uring { vectored: true, .. } => "fixed_files send_vectorized",
            Backend::Uring { vectored: false, .. } => "fixed_files sendmsg",
            Backend::Epoll { .. } => "sendmsg",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.features())?;
        match self {
            Backend::Uring { table, .. } => write!(f, ", {table} sockets a ring"),
            Backend::Epoll { refused: Some(why) } => write!(f, "; io_uring is refused: {why}"),
            Backend::Epoll { refused: None } => Ok(()),
        }
    }
}

/// The lane that `choice` gives on this machine.
///
/// # Errors
/// When io_uring is demanded and refused.
pub(crate) fn choose(choice: BackendChoice) -> Result<Backend, String> {
    if choice == BackendChoice::Epoll {
        return Ok(Backend::Epoll { refused: None });
    }
    let support = UringSupport::probe();
    match (support.available, choice) {
        (Ok(()), _) => Ok(Backend::Uring { vectored: support.vectored_send, table: table_files() }),
        (Err(refusal), BackendChoice::Uring) => Err(format!("--backend uring: {refusal}")),
        (Err(refusal), _) => Ok(Backend::Epoll { refused: Some(refusal.to_string()) }),
    }
}

/// The kernel checks the size of a table against RLIMIT_NOFILE, and each table by itself.
fn table_files() -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(TABLE_FILES_MAX).min(TABLE_FILES_MAX) as u32
}

/// Runs a worker on this thread. `ready` is told whether it has started.
pub(crate) fn run_worker(backend: &Backend, parts: Parts, ready: &Sender<Result<(), String>>) {
    let cpu = parts.config.cpu_of(parts.index);
    // Without its CPU a worker works all the same.
    if let Err(error) = monoio::utils::bind_to_cpu_set([cpu]) {
        eprintln!("downpour: worker {} is not pinned to CPU {cpu}: {error}", parts.index);
    }
    let refused = |error: io::Error| {
        let _ = ready.send(Err(not_started(&error)));
    };
    match backend {
        Backend::Uring { vectored, table } => match uring(&parts, *vectored, *table) {
            Ok((mut runtime, lane, wake)) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(worker::run(parts, lane, wake));
                // The kernel may still write to what pending operations own; the process ends soon.
                std::mem::forget(runtime);
            }
            Err(error) => refused(error),
        },
        Backend::Epoll { .. } => match epoll(&parts) {
            Ok((mut runtime, lane, wake)) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(worker::run(parts, lane, wake));
            }
            Err(error) => refused(error),
        },
    }
}

/// Rings count against RLIMIT_MEMLOCK for whoever is not root, about half a MiB a worker.
fn not_started(error: &io::Error) -> String {
    let hint = match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            "; io_uring's rings count against the locked memory of this user: raise it (ulimit -l, \
             LimitMEMLOCK=) or use --backend epoll"
        }
        Some(libc::EMFILE) => "; raise the descriptor limit (ulimit -n, LimitNOFILE=)",
        _ => "",
    };
    format!("a worker cannot start: {error}{hint}")
}

type UringRuntime = monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>;
type EpollRuntime = monoio::Runtime<monoio::time::TimeDriver<LegacyDriver>>;

/// The runtime of an io_uring worker's control lane.
///
/// # Errors
/// When the kernel refuses the ring.
pub(crate) fn uring_runtime() -> io::Result<UringRuntime> {
    let mut ring = io_uring_monoio::IoUring::builder();
    // Not DEFER_TASKRUN: monoio asks for one completion at a time, and would get 20 at most.
    ring.setup_coop_taskrun().setup_single_issuer().setup_cqsize(CONTROL_COMPLETIONS);
    RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .with_entries(CONTROL_SUBMISSIONS)
        .enable_timer()
        .build()
}

/// The runtime of an epoll worker's control lane.
///
/// # Errors
/// When the kernel has no descriptor left.
pub(crate) fn epoll_runtime() -> io::Result<EpollRuntime> {
    RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()
}

fn uring(parts: &Parts, vectored: bool, table: u32) -> io::Result<(UringRuntime, Uring, OwnedFd)> {
    let runtime = uring_runtime()?;
    let (watch, wake) = watch(parts)?;
    Ok((runtime, Uring::new(watch, table, vectored)?, wake))
}

fn epoll(parts: &Parts) -> io::Result<(EpollRuntime, Epoll, OwnedFd)> {
    let runtime = epoll_runtime()?;
    let (watch, wake) = watch(parts)?;
    Ok((runtime, Epoll::new(watch), wake))
}

/// A lane's watch, and the descriptor that the pump waits for.
fn watch(parts: &Parts) -> io::Result<(Watch, OwnedFd)> {
    let watch = Watch::new(parts.eventfd.as_fd())?;
    let wake = watch.fd().try_clone_to_owned()?;
    Ok((watch, wake))
}
