//! The subscribers of the minimal client: bare sockets, one receive buffer for all.
//!
//! A subscriber costs a descriptor and the few bytes of a cut stamp. It is read once per
//! readiness, into a buffer larger than what a socket holds under any plan used here, so that a
//! second read would find nothing. Nothing is parsed but the stamps.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::failure::{Doing, Failure};
use crate::stamp::{self, Scanner};
use crate::sys::{self, Epoll};
use crate::tally::Tally;

const READ_BYTES: usize = 1 << 20;
/// A server that does not answer a subscription for so long has failed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// What a stalled subscriber takes before it is full: little, so that the server's side fills soon.
const STALLED_BUFFER_BYTES: usize = 4_096;
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Connected subscribers.
#[derive(Debug)]
pub struct Subscribers {
    epoll: Epoll,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    subscribers: Vec<Subscriber>,
    /// What they have received together.
    pub received: Received,
}

/// Plain counts, good for any server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Events, counted by their marks.
    pub event_count: u64,
    /// Reads that brought something.
    pub read_count: u64,
    /// Bytes, framing included.
    pub stream_bytes: u64,
    /// Subscribers that the server cut.
    pub closed_count: u64,
}

#[derive(Debug)]
struct Subscriber {
    stream: TcpStream,
    scanner: Scanner,
}

impl Subscribers {
    /// Subscribes `count` times to a topic and waits for each response head.
    ///
    /// # Errors
    /// When a connection or its subscription is refused.
    pub fn connect(server: SocketAddr, topic: &str, count: usize) -> Result<Self, Failure> {
        let epoll = Epoll::new().doing(|| "make an epoll instance".into())?;
        let mut subscribers = Vec::with_capacity(count);
        for index in 0..count {
            let stream = subscribe(server, topic, None)
                .map_err(|why| Failure::new(format!("subscriber {index} of {count}: {why}")))?;
            epoll.watch(&stream, index as u64).doing(|| "watch a subscriber".into())?;
            subscribers.push(Subscriber { stream, scanner: Scanner::default() });
        }
        Ok(Self {
            epoll,
            ready: Vec::new(),
            buffer: vec![0; READ_BYTES],
            subscribers,
            received: Received::default(),
        })
    }

    /// Waits for input, at most for `timeout`, and reads it; counts stamps if there is a tally.
    ///
    /// # Errors
    /// When the system refuses to wait.
    pub fn receive(
        &mut self,
        timeout: Duration,
        mut tally: Option<&mut Tally>,
    ) -> Result<(), Failure> {
        self.epoll.wait(Some(timeout), &mut self.ready).doing(|| "wait for input".into())?;
        for index in &self.ready {
            let subscriber = &mut self.subscribers[*index as usize];
            let read_bytes = match subscriber.stream.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Ok(read_bytes) if read_bytes > 0 => read_bytes,
                Ok(_) | Err(_) => {
                    self.received.closed_count += 1;
                    self.epoll.forget(&subscriber.stream).doing(|| "drop a subscriber".into())?;
                    continue;
                }
            };
            let bytes = &self.buffer[..read_bytes];
            self.received.read_count += 1;
            self.received.stream_bytes += read_bytes as u64;
            match &mut tally {
                None => self.received.event_count += stamp::count(bytes),
                Some(tally) => {
                    let now_ns = sys::monotonic_ns();
                    subscriber.scanner.scan(bytes, |found| {
                        self.received.event_count += 1;
                        tally.record(found, now_ns);
                    });
                }
            }
        }
        Ok(())
    }
}

/// Subscribes and never reads: connections that stay full. Keep them as long as they shall last.
///
/// # Errors
/// When a connection or its subscription is refused.
pub fn connect_stalled(
    server: SocketAddr,
    topic: &str,
    count: usize,
) -> Result<Vec<TcpStream>, Failure> {
    (0..count).map(|_| subscribe(server, topic, Some(STALLED_BUFFER_BYTES))).collect()
}

fn subscribe(
    server: SocketAddr,
    topic: &str,
    receive_buffer_bytes: Option<usize>,
) -> Result<TcpStream, Failure> {
    let mut stream =
        connect(server, receive_buffer_bytes).doing(|| format!("connect to {server}"))?;
    // Closing resets: ten thousand ports in TIME_WAIT would starve the next run.
    let linger = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    linger
        .and_then(|()| stream.set_read_timeout(Some(HEAD_TIMEOUT)))
        .doing(|| "set up a subscriber".into())?;
    let request = format!(
        "GET /events/{topic} HTTP/1.1\r\nhost: {server}\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).doing(|| "subscribe".into())?;
    read_head(&mut stream)?;
    stream.set_nonblocking(true).doing(|| "set up a subscriber".into())?;
    Ok(stream)
}

fn connect(server: SocketAddr, receive_buffer_bytes: Option<usize>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?; // before connecting, or the window is already set
    }
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Reads the response head; what follows it already is only a greeting, as nothing is published.
fn read_head(stream: &mut TcpStream) -> Result<(), Failure> {
    let mut head = Vec::new();
    let mut buffer = [0; 4_096];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let read_bytes = stream.read(&mut buffer).doing(|| "read the response head".into())?;
        head.extend_from_slice(&buffer[..read_bytes]);
        if read_bytes == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(Failure::new("the server sent no response head"));
        }
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        let line = String::from_utf8_lossy(&head[..head.len().min(80)]).into_owned();
        return Err(Failure::new(format!("the server refused a subscription: {line:?}")));
    }
    Ok(())
}
