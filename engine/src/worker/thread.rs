//! A worker's thread: what it runs on is built here, where it is used, and reported before it runs.
//!
//! A ring belongs to the thread that made it, and whether the kernel has memory for the rings of all
//! workers shows only when all are there. So a worker builds what it is told to, keeps it, and runs
//! when everybody has reported; or it is told to build something else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crossbeam_channel::{Receiver, Sender};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::{Parts, run};
use crate::backend::Backend;
use crate::delivery::epoll::Epoll;
use crate::delivery::uring::{self, Uring};
use crate::delivery::watch::Watch;
use crate::kernel::locked::ring_bytes;

/// Entries of the control lane's submission queue: the polls and timers of one turn.
const CONTROL_SUBMISSIONS: u32 = 1024;
/// Entries of its completion queue: a burst of requests of every connection in the handshake.
const CONTROL_COMPLETIONS: u32 = 16_384;

/// What a worker's thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Build what this backend needs, or keep it if it is there, and report.
    Build(Backend),
    /// Run with what was built last.
    Run,
}

/// Runtime, delivery lane, and the descriptor that the pump waits for.
enum Built {
    Uring(UringRuntime, Uring, OwnedFd),
    Epoll(EpollRuntime, Epoll, OwnedFd),
}

type UringRuntime = monoio::Runtime<monoio::time::TimeDriver<IoUringDriver>>;
type EpollRuntime = monoio::Runtime<monoio::time::TimeDriver<LegacyDriver>>;

/// Obeys until it has been told to run and has drained, or nobody gives orders any more.
///
/// # Panics
/// When it is told to run although nothing was built.
pub(crate) fn obey(parts: Parts, orders: &Receiver<Order>, reports: &Sender<io::Result<()>>) {
    pin(&parts);
    let mut built = None;
    loop {
        match orders.recv() {
            Ok(Order::Build(backend)) => {
                // Its memory is free before the next is built.
                let kept = built.take().filter(|(other, _)| *other == backend);
                let new = match kept {
                    Some((_, kept)) => Ok(kept),
                    None => build(&backend, &parts),
                };
                let report = new.map(|new| built = Some((backend, new)));
                // Whoever no longer listens gives no further order either.
                let _ = reports.send(report);
            }
            Ok(Order::Run) => break,
            // The engine could not be started.
            Err(_) => return,
        }
    }
    match built.expect("a worker runs after it was built").1 {
        Built::Uring(mut runtime, lane, wake) => {
            runtime.block_on(run(parts, lane, wake));
            // The kernel may still write to what pending operations own; the process ends soon.
            std::mem::forget(runtime);
        }
        Built::Epoll(mut runtime, lane, wake) => runtime.block_on(run(parts, lane, wake)),
    }
}

/// Bytes of one worker's rings at the start, as the kernel counts them; more subscribers need more.
#[must_use]
pub(crate) fn rings_bytes(page_bytes: u64) -> u64 {
    ring_bytes(CONTROL_SUBMISSIONS, CONTROL_COMPLETIONS, page_bytes) + uring::ring_bytes(page_bytes)
}

fn pin(parts: &Parts) {
    let cpu = parts.config.cpu_of(parts.index);
    // Without its CPU a worker works all the same.
    if let Err(error) = monoio::utils::bind_to_cpu_set([cpu]) {
        eprintln!("downpour: worker {} is not pinned to CPU {cpu}: {error}", parts.index);
    }
}

fn build(backend: &Backend, parts: &Parts) -> io::Result<Built> {
    let watch = Watch::new(parts.eventfd.as_fd())?;
    let wake = watch.fd().try_clone_to_owned()?;
    match backend {
        Backend::Uring { vectored, table } => {
            Ok(Built::Uring(uring_runtime()?, Uring::new(watch, *table, *vectored)?, wake))
        }
        Backend::Epoll { .. } => Ok(Built::Epoll(epoll_runtime()?, Epoll::new(watch), wake)),
    }
}

/// The runtime of an io_uring worker's control lane.
fn uring_runtime() -> io::Result<UringRuntime> {
    let mut ring = io_uring_monoio::IoUring::builder();
    // Not DEFER_TASKRUN: monoio asks for one completion at a time, and would get 20 at most.
    ring.setup_coop_taskrun().setup_single_issuer().setup_cqsize(CONTROL_COMPLETIONS);
    RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(ring)
        .with_entries(CONTROL_SUBMISSIONS)
        .enable_timer()
        .build()
}

/// The runtime of an epoll worker's control lane, and of whatever has few connections.
///
/// # Errors
/// When the kernel has no descriptor left.
pub(crate) fn epoll_runtime() -> io::Result<EpollRuntime> {
    RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()
}
