//! One socket with its buffers, and what the server is doing with it.
//!
//! Invariant: `output[sent..]` is what the socket has not taken yet. This module knows nothing
//! of topics or faults.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use super::injector::Tap;
use super::request::Request;
use super::script::Framing;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Unsent bytes of one subscriber. One that reads nothing for this long is cut off, so that a
/// test with stopped readers does not end in the memory of this machine.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    /// Never used twice, unlike its place in the server's table.
    pub(super) serial: u64,
    pub(super) role: Role,
    pub(super) input: Vec<u8>,
    pub(super) output: Vec<u8>,
    sent: usize,
    /// Whether it is in the server's list of connections to flush.
    pub(super) dirty: bool,
    /// Set when it is to be closed behind what is written; true resets it.
    pub(super) closing: Option<bool>,
}

/// What a connection is for.
#[derive(Debug)]
pub(super) enum Role {
    /// Between requests, or within a head.
    Idle,
    /// Within the body of a publication.
    Publishing(Publication),
    /// Subscribed, but the head of the response is held back.
    HeldBack { request: Request, number: u32 },
    /// A subscriber.
    Streaming { topic: String, framing: Framing, tap: Tap },
}

/// A publication that is still arriving.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) request: Request,
    pub(super) body: Vec<u8>,
    pub(super) accepted: u64,
    pub(super) last_id: Option<String>,
}

/// How far a read or a write got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more at once.
    More,
    /// The socket will say when there is more.
    Blocked,
    /// The connection is over.
    Over,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, peer: SocketAddr, serial: u64) -> Self {
        Self {
            socket,
            peer,
            serial,
            role: Role::Idle,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            dirty: false,
            closing: None,
        }
    }

    /// Appends what the socket has to `input`.
    pub(super) fn read(&mut self) -> Progress {
        let length = self.input.len();
        self.input.resize(length + READ_BYTES, 0);
        let result = self.socket.read(&mut self.input[length..]);
        self.input.truncate(length + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(0) => Progress::Over,
            Ok(_) => Progress::More,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Blocked,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Progress::More,
            Err(_) => Progress::Over,
        }
    }

    /// Hands `output` to the socket, at most `write_bytes_max` bytes per call.
    pub(super) fn flush(&mut self, write_bytes_max: usize) -> Progress {
        while self.sent < self.output.len() {
            let end = self.output.len().min(self.sent.saturating_add(write_bytes_max));
            match self.socket.write(&self.output[self.sent..end]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.output.drain(..self.sent);
                    self.sent = 0;
                    return Progress::Blocked;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Over,
            }
        }
        self.output.clear();
        self.sent = 0;
        if self.closing.is_some() { Progress::Over } else { Progress::More }
    }

    /// Whether its subscriber has left too much unread.
    pub(super) fn overflows(&self) -> bool {
        self.output.len() - self.sent > OUTPUT_BYTES_MAX
    }
}
