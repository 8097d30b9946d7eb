//! One connection to the server under test, and a log of every byte on it.
//!
//! The idea: a failure is believed when it can be seen, so each carries what was sent and what
//! came back, escaped and bounded. All waiting has a deadline: a server that says nothing is a
//! finding, not a hang.
//!
//! This module knows HTTP heads and nothing of event streams.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::point::Broken;
use super::site::{Site, Target};
use crate::http::{Body, HEAD_BYTES_MAX, Head};

/// Bytes of each direction that a failure shows: its beginning and its end, so many of each.
const SHOWN_BYTES: usize = 512;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Header fields of a head.
const HEADERS_COUNT_MAX: usize = 64;

/// A connection under observation.
#[derive(Debug)]
pub(super) struct Probe {
    socket: TcpStream,
    sent: Transcript,
    received: Transcript,
    /// Received and not taken yet.
    pub(super) input: Vec<u8>,
    patience: Duration,
}

/// What waiting for bytes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    /// The deadline passed.
    Silent,
    /// The peer ended its side.
    Ended,
    /// The peer reset the connection.
    Reset,
}

/// The head of an answer with its fields.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Head,
    fields: Vec<(String, String)>,
    /// Between the request and the end of the head.
    pub(super) took: Duration,
}

impl Answer {
    /// The values of a header field, joined as a list (RFC 9110, section 5.3).
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let named = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Whether a field that is a list has a member, in any case.
    pub(super) fn lists(&self, name: &str, member: &str) -> bool {
        let value = self.field(name).unwrap_or_default();
        value.split(',').any(|one| one.trim().eq_ignore_ascii_case(member))
    }
}

impl Probe {
    /// Connects to where subscribers go.
    pub(super) fn connect(site: &Site) -> Result<Probe, Broken> {
        Probe::connect_to(site.door())
    }

    /// Connects to any address.
    pub(super) fn connect_to(target: Target) -> Result<Probe, Broken> {
        Probe::dial(target, None)
    }

    /// Connects with a receive buffer of so many bytes, so that a reader that stops is soon felt.
    /// The size has to stand before the connect, because it decides the window.
    pub(super) fn connect_narrow(target: Target, bytes: usize) -> Result<Probe, Broken> {
        Probe::dial(target, Some(bytes))
    }

    fn dial(target: Target, receive_bytes: Option<usize>) -> Result<Probe, Broken> {
        let Target { address, patience } = target;
        let dialled = || {
            let domain = Domain::for_address(address);
            let socket = Socket::new(domain, Type::STREAM, None)?;
            receive_bytes.map_or(Ok(()), |bytes| socket.set_recv_buffer_size(bytes))?;
            socket.connect_timeout(&address.into(), patience)?;
            let socket = TcpStream::from(socket);
            socket.set_nodelay(true)?;
            socket.set_write_timeout(Some(patience))?;
            Ok(socket)
        };
        let socket = dialled().map_err(|error: std::io::Error| {
            Broken::fails(format!("connect to {address}: {error}"))
        })?;
        let (sent, received) = (Transcript::default(), Transcript::default());
        Ok(Probe { socket, sent, received, input: Vec::new(), patience })
    }

    /// Our end of the connection.
    pub(super) fn local_address(&self) -> Result<SocketAddr, Broken> {
        self.socket.local_addr().map_err(|error| self.broken(error.to_string()))
    }

    /// Ends the connection by a reset.
    pub(super) fn reset(self) {
        // Fails for no open socket; closing it says the same then, only more politely.
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.sent.add(bytes);
        self.socket.write_all(bytes).map_err(|error| self.broken(format!("send: {error}")))
    }

    /// Sends a request and reads the head of the answer. A server may refuse a request, and end
    /// the connection, before all of it is sent: the answer counts then (RFC 9112, section 9.5).
    pub(super) fn exchange(&mut self, request: &[u8], to_head: bool) -> Result<Answer, Broken> {
        let sent = self.send(request);
        self.answer(to_head).map_err(|unanswered| sent.err().unwrap_or(unanswered))
    }

    /// Ends our side of the connection.
    pub(super) fn end_sending(&self) {
        // Fails only where the peer has ended the connection, which the next read shows.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Waits for bytes and appends them to `input`.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Progress, Broken> {
        let mut piece = vec![0; READ_BYTES];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Progress::Silent);
            }
            let set = self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))));
            set.map_err(|error| self.broken(error.to_string()))?;
            match self.socket.read(&mut piece) {
                Ok(0) => return Ok(Progress::Ended),
                Ok(count) => {
                    self.received.add(&piece[..count]);
                    self.input.extend_from_slice(&piece[..count]);
                    return Ok(Progress::More);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Ok(Progress::Reset);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(self.broken(format!("receive: {error}"))),
            }
        }
    }

    /// Reads the head of an answer. One to HEAD has no body, whatever its fields say.
    pub(super) fn answer(&mut self, to_head: bool) -> Result<Answer, Broken> {
        let start = Instant::now();
        let deadline = start + self.patience;
        loop {
            let head = Head::parse(&self.input);
            if let Some(head) = head.map_err(|error| self.broken(error.to_string()))? {
                if (100..200).contains(&head.status) {
                    self.input.drain(..head.bytes);
                    continue;
                }
                let fields = fields(&self.input[..head.bytes]);
                self.input.drain(..head.bytes);
                let body = if to_head { Body::length(0) } else { head.body };
                let head = Head { body, ..head };
                return Ok(Answer { head, fields, took: start.elapsed() });
            }
            if self.input.len() > HEAD_BYTES_MAX {
                return Err(self.broken("the response head does not end"));
            }
            match self.receive(deadline)? {
                Progress::More => {}
                Progress::Silent => {
                    let waited = self.patience.as_secs_f64();
                    return Err(self.broken(format!("no response head within {waited} s")));
                }
                Progress::Ended | Progress::Reset => {
                    return Err(self.broken("the connection ended before a response head"));
                }
            }
        }
    }

    /// Reads a body that ends, and gives its content.
    pub(super) fn body(&mut self, mut body: Body) -> Result<Vec<u8>, Broken> {
        let deadline = Instant::now() + self.patience;
        let mut content = Vec::new();
        loop {
            let mut rest = &self.input[..];
            loop {
                match body.next(&mut rest) {
                    Ok(Some(run)) => content.extend_from_slice(run),
                    Ok(None) => break,
                    Err(error) => return Err(self.broken(error.to_string())),
                }
            }
            let taken = self.input.len() - rest.len();
            self.input.drain(..taken);
            if body.is_done() {
                return Ok(content);
            }
            match self.receive(deadline)? {
                Progress::More => {}
                Progress::Ended if body.may_end_here() => return Ok(content),
                Progress::Silent => return Err(self.broken("the response body does not end")),
                _ => return Err(self.broken("the connection ended within the response body")),
            }
        }
    }

    /// A broken rule, with what was on this connection.
    pub(super) fn broken(&self, what: impl Into<String>) -> Broken {
        let mut log = String::new();
        for (direction, transcript) in [(">", &self.sent), ("<", &self.received)] {
            for line in transcript.lines() {
                log += &format!("{direction} {line}\n");
            }
        }
        Broken::Fails { what: what.into(), log }
    }
}

fn fields(head: &[u8]) -> Vec<(String, String)> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
    let mut response = httparse::Response::new(&mut headers);
    // It was parsed before, so an error here would only be a head without fields.
    let _ = response.parse(head);
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
    response.headers.iter().map(|it| (it.name.to_owned(), text(it.value))).collect()
}

/// Beginning and end of what went one way.
#[derive(Debug, Default)]
struct Transcript {
    first: Vec<u8>,
    last: Vec<u8>,
    bytes: usize,
}

impl Transcript {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        let room = (SHOWN_BYTES - self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..room]);
        self.last.extend_from_slice(&bytes[room..]);
        let over = self.last.len().saturating_sub(SHOWN_BYTES);
        self.last.drain(..over);
    }

    /// The bytes escaped, a line of them on each line.
    fn lines(&self) -> Vec<String> {
        let escaped = |bytes: &[u8]| -> Vec<String> {
            let lines = bytes.split_inclusive(|&byte| byte == b'\n');
            lines.map(|line| line.escape_ascii().to_string()).collect()
        };
        let mut lines = escaped(&self.first);
        let left_out = self.bytes - self.first.len() - self.last.len();
        if left_out > 0 {
            lines.push(format!("[{left_out} bytes]"));
        }
        lines.extend(escaped(&self.last));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcript_keeps_its_beginning_and_its_end() {
        let mut transcript = Transcript::default();
        transcript.add(b"a\r\nb");
        assert_eq!(transcript.lines(), ["a\\r\\n", "b"]);
        for _ in 0..SHOWN_BYTES {
            transcript.add(b"xyz");
        }
        let lines = transcript.lines();
        assert_eq!(lines[2], format!("[{} bytes]", 4 + 3 * SHOWN_BYTES - 2 * SHOWN_BYTES));
        assert_eq!(lines[3].len(), SHOWN_BYTES);
    }
}
