//! Taking connections off a listener.
//!
//! The runtime tells when the listener has some; then they are taken in a row by calls that do not
//! wait, each a task of its own. When descriptors or memory run out the acceptor pauses, longer each
//! time, instead of spinning: connections wait in the listener's queue until some end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use monoio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::Control;
use super::connection;
use super::socket::Socket;
use crate::close::CloseReason;
use crate::config::REQUESTS_PER_WORKER_MAX;
use crate::delivery::descriptor::descriptor;
use crate::delivery::lane::Lane;
use crate::limits::Pass;

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

/// Starts the task of a connection.
fn start<L: Lane + 'static>(control: &Rc<Control<L>>, connection: OwnedFd, address: IpAddr) {
    let stats = control.stats();
    stats.accepted.add(1);
    let pass = control.limits.enter(address);
    match Socket::new(connection) {
        Ok(socket) => {
            stats.connections.add(1);
            control.requests.set(control.requests.get() + 1);
            monoio::spawn(task(Rc::clone(control), socket, pass));
        }
        Err(_) => stats.close(CloseReason::Failed),
    }
}

/// One connection until it ends or becomes a stream. The runtime does not catch panics; one would
/// take the worker and all its subscribers down.
async fn task<L: Lane + 'static>(
    control: Rc<Control<L>>,
    socket: Socket,
    pass: Result<Pass, CloseReason>,
) {
    let served = connection::serve(Rc::clone(&control), socket, pass);
    let ended = contained(served).await;
    let stats = control.stats();
    stats.connections.sub(1);
    control.requests.set(control.requests.get() - 1);
    match ended {
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
    use std::cell::Cell;

    use super::*;

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
