//! The reading half of one publisher connection.
//!
//! The idea: answers come in the order of their requests (RFC 9112, section 9.3.2), so each
//! complete answer belongs to the first request still awaited on this connection. When the
//! connection ends, whatever is awaited on it has failed, and a new connection is made.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::{Fate, Fates, Measured, enter_measured};
use crate::client::course::Course;
use crate::clock;
use crate::http::{Body, Head};

/// How often a quiet connection looks whether the run is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How long a connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause before another connect after one that failed.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);

/// A request that is sent: its connection and its events.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) connection: u32,
    pub(super) events: Vec<u32>,
}

/// The reading half of a connection.
#[derive(Debug)]
pub(super) struct Answers {
    course: Arc<Course>,
    fates: Arc<Fates>,
    address: SocketAddr,
    fresh: Sender<(u32, TcpStream)>,
    awaited: Receiver<Awaited>,
    connection: u32,
    socket: TcpStream,
    measured: Measured,
}

impl Answers {
    /// Connects, and hands the sending half its socket.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached.
    pub(super) fn connect(
        course: Arc<Course>,
        fates: Arc<Fates>,
        address: SocketAddr,
        fresh: Sender<(u32, TcpStream)>,
        awaited: Receiver<Awaited>,
    ) -> io::Result<Answers> {
        let socket = connect(address)?;
        let _ = fresh.send((0, socket.try_clone()?));
        let measured = Measured::default();
        Ok(Answers { course, fates, address, fresh, awaited, connection: 0, socket, measured })
    }

    /// Reads answers until the run is over.
    pub(super) fn run(mut self) -> Measured {
        while !self.course.is_stopped() {
            self.read_connection();
            if !self.course.is_stopped() {
                self.reconnect();
            }
        }
        self.measured
    }

    /// Reads this connection to its end.
    fn read_connection(&mut self) {
        let mut input = Vec::new();
        let mut piece = vec![0; 16 * 1024];
        let mut body: Option<(u16, Body)> = None;
        while !self.course.is_stopped() {
            match self.socket.read(&mut piece) {
                Ok(0) => return,
                Ok(length) => input.extend_from_slice(&piece[..length]),
                Err(error) if is_quiet(&error) => continue,
                Err(_) => return,
            }
            if !self.take_answers(&mut input, &mut body) {
                return;
            }
        }
    }

    /// Takes all complete answers from the input; false when the connection is of no use.
    fn take_answers(&mut self, input: &mut Vec<u8>, open: &mut Option<(u16, Body)>) -> bool {
        loop {
            let Some((status, body)) = open else {
                match Head::parse(input) {
                    Ok(None) => return true,
                    Err(_) => return false,
                    Ok(Some(head)) => {
                        input.drain(..head.bytes);
                        // RFC 9110, section 15.2: an interim answer is followed by the real one.
                        if head.status >= 200 {
                            *open = Some((head.status, head.body));
                        }
                        continue;
                    }
                }
            };
            let mut rest = input.as_slice();
            while let Ok(Some(_)) = body.next(&mut rest) {}
            let left = rest.len();
            input.drain(..input.len() - left);
            if !body.is_done() {
                return true;
            }
            let status = *status;
            *open = None;
            self.answered(status);
        }
    }

    fn answered(&mut self, status: u16) {
        let now_ns = clock::now_ns();
        let start_ns = self.course.start_ns().unwrap_or(now_ns);
        while let Ok(awaited) = self.awaited.try_recv() {
            if awaited.connection != self.connection {
                self.fail(&awaited);
                continue;
            }
            let accepted = (200..300).contains(&status);
            for &event in &awaited.events {
                self.fates.set(event, if accepted { Fate::Accepted } else { Fate::Refused });
                let at_ns = self.course.schedule.events()[event as usize].at_ns;
                if accepted {
                    let ack_ns = now_ns.saturating_sub(start_ns + at_ns);
                    enter_measured(&self.course, &mut self.measured.ack, event, ack_ns);
                } else if self.course.window_ns.contains(&at_ns) {
                    *self.measured.refused.entry(status).or_default() += 1;
                }
            }
            return;
        }
    }

    fn fail(&self, awaited: &Awaited) {
        for &event in &awaited.events {
            self.fates.set(event, Fate::Failed);
        }
    }

    /// Fails what this connection still owes, and makes the next one.
    fn reconnect(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        while let Ok(awaited) = self.awaited.try_recv() {
            self.fail(&awaited);
        }
        while !self.course.is_stopped() {
            if let Ok(socket) = connect(self.address)
                && let Ok(copy) = socket.try_clone()
            {
                self.connection += 1;
                self.socket = socket;
                let _ = self.fresh.send((self.connection, copy));
                return;
            }
            std::thread::sleep(RECONNECT_INTERVAL);
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    // Two small requests in a row must not wait for each other's acknowledgement.
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(LOOK_INTERVAL))?;
    Ok(socket)
}

fn is_quiet(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
