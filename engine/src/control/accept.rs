//! Taking connections off a listener.
//!
//! The runtime tells when the listener has some; then they are taken in a row by calls that do not
//! wait, each a task of its own. When descriptors or memory run out, or there are as many requests as
//! there may be, those make room that have kept the worker waiting (see `crowd`). When there are none
//! the acceptor pauses, longer each time, instead of spinning: connections wait in the listener's queue
//! until some end.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use monoio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::Control;
use super::connection::{self, Peer};
use super::socket::Socket;
use crate::close::CloseReason;
use crate::config::REQUESTS_PER_WORKER_MAX;
use crate::delivery::descriptor::descriptor;
use crate::delivery::lane::Lane;
use crate::limits::network;
use crate::stats::WorkerStats;

/// Connections taken in a row before others of the worker have a turn.
const ROW_MAX: usize = 64;
/// First and longest pause after the kernel has refused; doubled in between.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often is looked again while as many requests are being read as may be.
const CROWDED_PAUSE: Duration = Duration::from_millis(5);

/// Accepts until the engine drains.
pub(crate) async fn accept<L: Lane + 'static>(control: Rc<Control<L>>, listener: TcpListener) {
    // A stream that is never read: the runtime can wait for a TcpStream's descriptor only.
    let listener = TcpStream::from_std(OwnedFd::from(listener).into());
    let listener = listener.expect("the runtime's driver watches a listener");
    let mut pause = PAUSE_MIN;
    while !control.is_draining() {
        if control.requests.get() >= REQUESTS_PER_WORKER_MAX {
            control.crowd.thin(ROW_MAX, Instant::now());
            monoio::time::sleep(CROWDED_PAUSE).await;
            continue;
        }
        let readable = listener.readable(false);
        // A pause at most, so that a drain is seen without a connection.
        let _ = monoio::time::timeout(PAUSE_MAX, readable).await;
        match accept_row(&control, &listener) {
            Ok(()) => pause = PAUSE_MIN,
            // A drain has shut the listener down.
            Err(_) if control.is_draining() => {}
            Err(_) => {
                control.stats().accept_failures.add(1);
                if control.crowd.thin(ROW_MAX, Instant::now()) > 0 {
                    pause = PAUSE_MIN;
                }
                monoio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Takes what waits, a row at most.
fn accept_row<L: Lane + 'static>(
    control: &Rc<Control<L>>,
    listener: &TcpStream,
) -> Result<(), Errno> {
    for _ in 0..ROW_MAX {
        if control.requests.get() >= REQUESTS_PER_WORKER_MAX || control.is_draining() {
            return Ok(());
        }
        match rustix::net::acceptfrom_with(descriptor(listener), SocketFlags::CLOEXEC) {
            Ok((connection, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
                start(control, connection, address);
            }
            Err(Errno::AGAIN) => return Ok(()),
            // The peer was gone before we came, or a signal came between: take the next.
            Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Starts the task of a connection. The runtime does not catch panics; one would take the worker and
/// all its subscribers down.
fn start<L: Lane + 'static>(control: &Rc<Control<L>>, connection: OwnedFd, address: IpAddr) {
    let stats = control.stats();
    stats.accepted.add(1);
    let peer = Peer { pass: control.limits.enter(address), network: network(address) };
    let Ok(socket) = Socket::new(connection) else {
        return stats.close(CloseReason::Failed);
    };
    stats.connections.add(1);
    control.requests.set(control.requests.get() + 1);
    let control = Rc::clone(control);
    // In a box before anything wraps it: each wrapping may hold it twice and copies it once more,
    // and it is several kilobytes.
    let serving = Box::pin(connection::serve(Rc::clone(&control), socket, peer));
    monoio::spawn(async move {
        let served = contained(serving).await;
        ended(control.stats(), &control.requests, served);
    });
}

/// Counts the end of a connection's task: by a reason, as a stream, or by a panic.
fn ended(stats: &WorkerStats, requests: &Cell<usize>, served: Option<Option<CloseReason>>) {
    stats.connections.sub(1);
    requests.set(requests.get() - 1);
    match served {
        Some(Some(reason)) => stats.close(reason),
        Some(None) => {}
        None => stats.close(CloseReason::Panicked),
    }
}

/// Runs a task; none when it has panicked. The panic has been printed by then, and what the task
/// held has been dropped: its socket, its pass, its share of the worker's bodies.
pub(super) async fn contained<T>(task: impl Future<Output = T>) -> Option<T> {
    // What tasks share is single cells and tables that are whole between two steps.
    AssertUnwindSafe(task).catch_unwind().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_panics_cost_a_thousand_connections_and_no_other() {
        let (stats, requests) = (WorkerStats::default(), Cell::new(2_000));
        stats.connections.set(2_000);
        let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new();
        let mut runtime = builder.enable_timer().build().expect("epoll is always there");
        runtime.block_on(async {
            let tasks = (0..2_000).map(|number| {
                let served = contained(async move {
                    monoio::time::sleep(Duration::from_millis(number % 3)).await;
                    assert!(number % 2 == 0, "a defect, made for this test");
                    Some(CloseReason::Answered)
                });
                async { ended(&stats, &requests, served.await) }
            });
            futures_util::future::join_all(tasks).await;
        });
        let closed = |reason: CloseReason| stats.closed[reason as usize].get();
        assert_eq!((closed(CloseReason::Panicked), closed(CloseReason::Answered)), (1_000, 1_000));
        assert_eq!((stats.connections.get(), requests.get()), (0, 0));
    }

    #[test]
    fn a_panic_in_one_task_ends_that_task_and_drops_what_it_held() {
        struct Held<'a>(&'a Cell<bool>);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new();
        let mut runtime = builder.enable_timer().build().expect("epoll is always there");
        runtime.block_on(async {
            let dropped = Cell::new(false);
            let held = Held(&dropped);
            let panics = contained(async {
                let _held = held;
                monoio::time::sleep(Duration::from_millis(1)).await;
                panic!("a defect, made for this test");
            });
            let other = contained(async { 7 });
            let (panicked, served) = futures_util::future::join(panics, other).await;
            assert_eq!((panicked, served), (None::<()>, Some(7)));
            assert!(dropped.get());
        });
    }
}
