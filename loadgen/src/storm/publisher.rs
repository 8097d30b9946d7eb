//! The continuous publishing behind a storm: numbered events at an even rate, none left out.
//!
//! The idea: the proof needs every number to be accepted by the server exactly once as far as
//! the publisher can tell. So a publish that fails is tried again with the same number, and the
//! numbers that needed more than one try are remembered: the server may have accepted such an
//! event before the connection broke, and a second copy is then nobody's fault.
//!
//! One connection and one event at a time; a storm is about connections, not about rate.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Head, Malformed};

/// Longest wait for an answer before the publish counts as failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause before a failed publish is tried again. Several turns of the fleet, so that it knows of
/// the second copy before that can arrive.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Where and how to publish.
#[derive(Debug, Clone)]
pub(super) struct Publishing {
    pub(super) address: SocketAddr,
    pub(super) events_per_second: f64,
}

/// What publisher and fleet share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// The highest number that the server has accepted.
    accepted: AtomicU64,
    /// Numbers that were sent more than once.
    again: Mutex<BTreeSet<u64>>,
    again_count: AtomicUsize,
}

/// A running publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), String>>,
}

impl Publisher {
    /// Starts publishing; `request` makes the whole request of an event from its number.
    pub(super) fn start(
        publishing: Publishing,
        request: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || publish(&publishing, request, &theirs));
        Self { shared, thread }
    }

    /// The highest number that the server has accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        // Acquire pairs with the Release in `publish`; nothing but the number depends on it, but
        // it costs nothing and keeps this free of an argument.
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// Brings `again` up to date: the numbers that were sent more than once.
    pub(super) fn copy_again(&self, again: &mut BTreeSet<u64>) {
        // Acquire pairs with the Release behind the insertion, so a count that was seen is in
        // the set by then.
        if self.shared.again_count.load(Ordering::Acquire) != again.len() {
            let newest = self.shared.again.lock().unwrap_or_else(PoisonError::into_inner);
            again.clone_from(&newest);
        }
    }

    /// Whether it has given up.
    pub(super) fn failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops behind the event in hand and returns the last number: events 1 to this were
    /// accepted.
    ///
    /// # Errors
    ///
    /// If the server refused an event, in its words.
    pub(super) fn stop(self) -> Result<u64, String> {
        // Relaxed: the join orders everything else.
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the publisher panicked".to_owned())??;
        Ok(self.shared.accepted.load(Ordering::Acquire))
    }
}

fn publish(
    publishing: &Publishing,
    request: impl Fn(u64) -> Vec<u8>,
    shared: &Shared,
) -> Result<(), String> {
    let mut connection = None;
    let start = Instant::now();
    for number in 1.. {
        // From the start, not from the last event: an even rate, whatever one answer takes.
        let due =
            start + Duration::from_secs_f64((number - 1) as f64 / publishing.events_per_second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = request(number);
        // Relaxed: it is only a request to stop soon.
        while !shared.stop.load(Ordering::Relaxed) {
            match exchange(publishing.address, &mut connection, &request) {
                Ok(200..=299) => {
                    // Release pairs with the Acquire of readers.
                    shared.accepted.store(number, Ordering::Release);
                    break;
                }
                Ok(503) | Err(_) => {}
                Ok(status) => return Err(format!("publishing was refused with status {status}")),
            }
            connection = None;
            shared.sent_again(number);
            std::thread::sleep(RETRY_INTERVAL);
        }
        if shared.accepted.load(Ordering::Relaxed) < number {
            return Ok(());
        }
    }
    Ok(())
}

impl Shared {
    fn sent_again(&self, number: u64) {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.insert(number);
        // Release pairs with the Acquire in `copy_again`.
        self.again_count.store(again.len(), Ordering::Release);
    }
}

/// Publishes one event on the connection, made if there is none, and returns the status.
fn exchange(
    address: SocketAddr,
    connection: &mut Option<TcpStream>,
    request: &[u8],
) -> io::Result<u16> {
    let mut socket = match connection.take() {
        Some(socket) => socket,
        None => {
            let socket = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            socket
        }
    };
    socket.write_all(request)?;
    let (status, keep) = answer(&mut socket)?;
    *connection = keep.then_some(socket);
    Ok(status)
}

/// Reads an answer; the second value says whether another request may follow.
fn answer(socket: &mut TcpStream) -> io::Result<(u16, bool)> {
    let bad = |error: Malformed| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut input = Vec::new();
    let mut piece = [0; 4096];
    let head = loop {
        match socket.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => input.extend_from_slice(&piece[..count]),
        }
        if let Some(head) = Head::parse(&input).map_err(bad)? {
            break head;
        }
    };
    let mut body = head.body;
    let mut rest = &input[head.bytes..];
    while body.next(&mut rest).map_err(bad)?.is_some() {}
    while !body.is_done() {
        match socket.read(&mut piece)? {
            // A body that the end of the connection delimits; there can be no further request.
            0 => return Ok((head.status, false)),
            count => {
                let mut rest = &piece[..count];
                while body.next(&mut rest).map_err(bad)?.is_some() {}
            }
        }
    }
    Ok((head.status, !head.closes))
}
