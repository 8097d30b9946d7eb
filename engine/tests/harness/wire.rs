//! A TCP connection and the HTTP/1 replies on it, read strictly.
//!
//! Knows nothing of what the engine serves.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// One connection with a deadline for everything that happens on it.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// What has arrived and was not yet taken.
    pub(crate) buffer: Vec<u8>,
    pub(crate) deadline: Instant,
}

/// A reply, whole.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How a connection came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer closed its side in order.
    Closed,
    /// The peer reset the connection.
    Reset,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr, deadline: Instant) -> Wire {
        let stream = TcpStream::connect(address).expect("the engine takes connections");
        Wire::new(stream, deadline)
    }

    /// A connection from an address of this machine's loopback network, such as 127.0.0.2, with a
    /// receive buffer of the size given.
    pub(crate) fn connect_from(
        from: Option<&str>,
        receive_bytes: Option<usize>,
        to: SocketAddr,
        deadline: Instant,
    ) -> Wire {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if let Some(from) = from {
            let from: SocketAddr = format!("{from}:0").parse().expect("an address");
            socket.bind(&from.into()).expect("a loopback address can be bound");
        }
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes).expect("a receive buffer");
        }
        socket.connect(&to.into()).expect("the engine takes connections");
        Wire::new(socket.into(), deadline)
    }

    fn new(stream: TcpStream, deadline: Instant) -> Wire {
        stream.set_nodelay(true).expect("a TCP socket");
        Wire { stream, buffer: Vec::new(), deadline }
    }

    /// Writes all of `bytes`, as one segment as far as the kernel is willing.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.set_write_timeout(Some(self.left())).expect("a timeout");
        self.stream.write_all(bytes.as_ref()).expect("the engine takes what is sent");
    }

    /// Writes what the engine may not want to take any more: it may have closed already.
    pub(crate) fn send_if_taken(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.set_write_timeout(Some(self.left())).expect("a timeout");
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Time left; a test that has none fails here.
    fn left(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "the deadline has passed; unread: {}", self.unread());
        left
    }

    fn unread(&self) -> String {
        let end = self.buffer.len().min(400);
        self.buffer[..end].escape_ascii().to_string()
    }

    /// Reads what comes next into the buffer; none at the end.
    pub(crate) fn fill(&mut self) -> Result<usize, End> {
        self.stream.set_read_timeout(Some(self.left())).expect("a timeout");
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(End::Reset),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => panic!("nothing more came: {error}; unread: {}", self.unread()),
        }
    }

    /// Takes everything up to and with `end`.
    pub(crate) fn take_through(&mut self, end: &[u8]) -> Vec<u8> {
        let mut from = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer[from..], end) {
                return self.buffer.drain(..from + at + end.len()).collect();
            }
            from = self.buffer.len().saturating_sub(end.len());
            if let Err(how) = self.fill() {
                panic!("{how:?} before {}; unread: {}", end.escape_ascii(), self.unread());
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            if let Err(how) = self.fill() {
                panic!("{how:?} before byte {count} of a body; unread: {}", self.unread());
            }
        }
        self.buffer.drain(..count).collect()
    }

    /// Everything up to the peer's end, and how that came.
    pub(crate) fn take_all(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(how) = self.fill() {
                return (std::mem::take(&mut self.buffer), how);
            }
        }
    }

    /// Waits for an orderly end with nothing before it.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let (rest, how) = self.take_all();
        assert_eq!((rest.escape_ascii().to_string(), how), (String::new(), End::Closed));
    }

    /// Leaves without a word, as a machine does that loses power and comes back: the peer learns of
    /// it only by what it sends. Where the kernel allows that to nobody but root (TCP_REPAIR needs
    /// CAP_NET_ADMIN), by a reset.
    pub(crate) fn vanish(self) {
        let socket = socket2::SockRef::from(&self.stream);
        if !super::silence::silence(&self.stream) {
            eprintln!("no CAP_NET_ADMIN: the peer leaves by a reset instead of silence");
            socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket");
        }
    }

    /// The next head, its body unread.
    pub(crate) fn head(&mut self) -> Response {
        let head = self.take_through(b"\r\n\r\n");
        let head = String::from_utf8(head).expect("a head is ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let mut status_line = lines.next().expect("a status line").splitn(3, ' ');
        let version = status_line.next().expect("a version").to_owned();
        let status = status_line.next().expect("a status").parse().expect("a number");
        assert!(status_line.next().is_some_and(|reason| !reason.is_empty()), "{head}");
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("`Name: value`");
            (name.to_owned(), value.to_owned())
        });
        Response { version, status, headers: headers.collect(), body: Vec::new() }
    }

    /// The next reply with its body, which must say its own length.
    pub(crate) fn response(&mut self) -> Response {
        let mut response = self.head();
        if response.status != 204 && response.status != 100 {
            let length = response.header("Content-Length").expect("a body says its length");
            response.body = self.take(length.parse().expect("a number"));
        }
        response
    }
}

impl Response {
    /// The value of a header that is given once at most.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = values.next();
        assert!(values.next().is_none(), "{name} is given twice: {self:?}");
        first.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body of a 200 as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!((self.status, self.header("Content-Type")), (200, Some("application/json")));
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }

    /// The body of a refusal, which is a problem (RFC 9457) that speaks to a person.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"));
        let problem: serde_json::Value =
            serde_json::from_slice(&self.body).expect("a problem in JSON");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.len() > 15, "a person learns nothing from {detail:?}");
        problem
    }
}

/// A request with the headers given, each without its line end.
pub(crate) fn request(method: &str, target: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    for header in headers {
        write!(text, "{header}\r\n").expect("a string takes all");
    }
    let framed = |h: &&str| h.to_ascii_lowercase().starts_with("transfer-encoding");
    if (method == "POST" || !body.is_empty()) && !headers.iter().any(framed) {
        write!(text, "Content-Length: {}\r\n", body.len()).expect("a string takes all");
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// `body` in chunks of `size` bytes.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for chunk in body.chunks(size) {
        text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        text.extend_from_slice(chunk);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n\r\n");
    text
}
