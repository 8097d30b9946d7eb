//! The front of a floor: takes connections, subscribes them, reads what publishers send.
//!
//! It stays out of the way of the hot loop. A subscriber leaves the epoll set with its response
//! head, so that it is a bare socket from then on: no registration, no read, no user memory but a
//! descriptor. Only publishers and clients that have not asked yet are watched.
//!
//! It does not know what becomes of subscribers and events.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::failure::{Doing, Failure};
use crate::frame;
use crate::inbox::{Inbox, Said};
use crate::pace::Pace;
use crate::stamp::{self, Stamp};
use crate::sys::{self, Epoll};

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG_COUNT: i32 = 65_535;
/// Taken from a publisher per read: many events per system call when it is fast.
const READ_BYTES: usize = 256 * 1024;
const LISTENER: u64 = 0;

/// What has come in since the last look.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// New subscribers, non-blocking; their response heads are sent.
    pub subscribers: Vec<TcpStream>,
    /// Data of new events, in order.
    pub events: Vec<Vec<u8>>,
}

/// The command line of a floor that serves.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct FrontArgs {
    /// Address to serve on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Events per second that the floor publishes by itself, without a publisher.
    #[arg(long, default_value_t = 0)]
    own_rate: u64,
    /// Bytes of data of each event that the floor publishes by itself.
    #[arg(long, default_value_t = 100, value_parser = stamp::payload_bytes)]
    own_bytes: usize,
}

/// The listener, the clients that are no subscribers, and the floor's own events.
#[derive(Debug)]
pub struct Front {
    epoll: Epoll,
    ready: Vec<u64>,
    listener: TcpListener,
    clients: HashMap<u64, Client>,
    next_token: u64,
    read_buffer: Vec<u8>,
    pace: Pace,
    payload_bytes: usize,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    inbox: Inbox,
}

/// What is to be done with a client after it was heard.
enum Verdict {
    Keep,
    Subscribe,
    Drop,
}

impl Front {
    /// Listens as the command line says, and says where on standard error.
    ///
    /// # Errors
    /// When the address cannot be bound or a descriptor is refused.
    pub fn listen(args: FrontArgs) -> Result<Self, Failure> {
        sys::raise_descriptor_limit().doing(|| "raise the descriptor limit".into())?;
        let listener = listener(args.listen).doing(|| format!("listen on {}", args.listen))?;
        let address = listener.local_addr().doing(|| "read the listener's address".into())?;
        eprintln!("listening on {address}");
        let epoll = Epoll::new().doing(|| "make an epoll instance".into())?;
        epoll.watch(&listener, LISTENER).doing(|| "watch the listener".into())?;
        Ok(Self {
            epoll,
            ready: Vec::new(),
            listener,
            clients: HashMap::new(),
            next_token: LISTENER + 1,
            read_buffer: vec![0; READ_BYTES],
            pace: Pace::new(sys::monotonic_ns(), args.own_rate),
            payload_bytes: args.own_bytes,
        })
    }

    /// Waits for something to come in, at most for `timeout`, and adds it to `arrivals`.
    ///
    /// # Errors
    /// When the system refuses to wait or to accept.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
        arrivals: &mut Arrivals,
    ) -> Result<(), Failure> {
        let until_own = self.until_own_event();
        let timeout = timeout.into_iter().chain(until_own).min();
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(timeout, &mut ready).doing(|| "wait for sockets".into())?;
        for token in &ready {
            match *token {
                LISTENER => self.accept()?,
                token => self.hear(token, arrivals)?,
            }
        }
        self.ready = ready;
        while let Some((number, due_ns)) = self.pace.take(sys::monotonic_ns()) {
            arrivals.events.push(Stamp { number, due_ns }.payload(self.payload_bytes));
        }
        Ok(())
    }

    fn until_own_event(&self) -> Option<Duration> {
        let due_ns = self.pace.next_ns()?;
        Some(Duration::from_nanos(due_ns.saturating_sub(sys::monotonic_ns())))
    }

    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).doing(|| "accept a connection".into()),
            };
            stream.set_nonblocking(true).doing(|| "set up a connection".into())?;
            let token = self.next_token;
            self.next_token += 1;
            self.epoll.watch(&stream, token).doing(|| "watch a connection".into())?;
            self.clients.insert(token, Client { stream, inbox: Inbox::default() });
        }
    }

    fn hear(&mut self, token: u64, arrivals: &mut Arrivals) -> Result<(), Failure> {
        let client = self.clients.get_mut(&token).expect("only clients in the map are watched");
        match client.hear(&mut self.read_buffer, &mut arrivals.events) {
            Verdict::Keep => {}
            Verdict::Drop => drop(self.clients.remove(&token)),
            Verdict::Subscribe => {
                let client = self.clients.remove(&token).expect("it was there a line ago");
                self.epoll.forget(&client.stream).doing(|| "let a subscriber go".into())?;
                arrivals.subscribers.push(client.stream);
            }
        }
        Ok(())
    }
}

impl Client {
    fn hear(&mut self, buffer: &mut [u8], events: &mut Vec<Vec<u8>>) -> Verdict {
        let read_bytes = match self.stream.read(buffer) {
            Ok(0) => return Verdict::Drop,
            Ok(read_bytes) => read_bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Verdict::Keep,
            Err(_) => return Verdict::Drop,
        };
        let mut said = Vec::new();
        if let Err(refusal) = self.inbox.read(&buffer[..read_bytes], &mut said) {
            // The client is cut next; if it does not take the reason, nobody else wants it.
            let _ = self.stream.write(answer("400 Bad Request", refusal).as_bytes());
            return Verdict::Drop;
        }
        for word in said {
            match word {
                Said::Event(data) => events.push(data),
                Said::Ask if self.send(answer("200 OK", "{}").as_bytes()) => {}
                Said::Subscribe if self.send(frame::STREAM_HEAD) => return Verdict::Subscribe,
                Said::Ask | Said::Subscribe => return Verdict::Drop,
            }
        }
        Verdict::Keep
    }

    /// Sends a short answer, whole or not at all: a client that takes no 200 bytes is no client.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write(bytes).is_ok_and(|sent_bytes| sent_bytes == bytes.len())
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?; // accepted sockets inherit it
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG_COUNT)?;
    Ok(socket.into())
}
