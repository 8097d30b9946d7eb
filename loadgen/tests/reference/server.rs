//! The reference server: what each request is answered with.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::request::{Reader, Refusal, Request};
use super::topic::{Event, Topic};
use super::{h2, stream};

/// The origin whose pages may read.
const ORIGIN: &str = "https://page.test";
/// Bytes of an event, at most.
const EVENT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What "too late" is for a rule about time.
pub(super) const LATE: Duration = Duration::from_secs(3);

/// What all connections share. Every atomic is a counter of its own: nothing else is read
/// because of its value, so all of them are Relaxed.
#[derive(Default)]
pub(super) struct Server {
    breaks: String,
    pub(super) streams_max: usize,
    /// Restarts so far.
    pub(super) epoch: AtomicUsize,
    topics: Mutex<HashMap<String, Arc<Topic>>>,
    /// Streams that are open.
    pub(super) open: AtomicUsize,
    /// Streams that were ever opened.
    pub(super) opened: AtomicUsize,
    /// Streams up to this one have to go.
    pub(super) evicted: AtomicUsize,
    /// Held while a stopped reader is written to, where that is the rule to break.
    pub(super) door: Mutex<()>,
    /// Copies for readers that do not read, where that is the rule to break.
    hoard: Mutex<Vec<Vec<u8>>>,
}

/// Starts the server; where it listens, directly and as through a proxy.
pub(super) fn start(breaks: String, streams_max: usize) -> (SocketAddr, SocketAddr) {
    let server = Arc::new(Server { breaks, streams_max, ..Server::default() });
    let listen = |via: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = Arc::clone(&server);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.converse(&socket, via));
            }
        });
        address
    };
    let addresses = (listen(false), listen(true));
    std::thread::spawn(move || {
        loop {
            // Each opens when the other side does.
            std::fs::read("restart").expect("a pipe");
            server.restart();
            std::fs::write("restarted", "").expect("a pipe");
        }
    });
    addresses
}

impl Server {
    /// Whether this rule is the one to break.
    pub(super) fn breaks(&self, rule: &str) -> bool {
        self.breaks == rule
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<String, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topic(&self, name: &str) -> Arc<Topic> {
        Arc::clone(self.topics().entry(name.to_owned()).or_default())
    }

    /// Forgets everything, and waits until all streams have ended.
    fn restart(&self) {
        self.topics().clear();
        self.epoch.fetch_add(1, Ordering::Relaxed);
        while self.open.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
    }

    fn converse(self: &Arc<Server>, socket: &TcpStream, via: bool) {
        let _ = socket.set_nodelay(true);
        let breaks = |rule: &str| self.breaks(rule);
        let mut reader = Reader { socket, input: Vec::new(), breaks: &breaks };
        loop {
            match reader.next() {
                Ok(request) => {
                    if !self.answer(socket, &request, via, !reader.input.is_empty()) {
                        return;
                    }
                }
                Err(Refusal::Http2) => return h2::serve(self, socket, reader.input),
                Err(Refusal::Status(status)) => {
                    send(socket, &head(status, "Connection: close\r\nContent-Length: 0\r\n"));
                    return linger(socket);
                }
                Err(Refusal::Over) => return,
            }
        }
    }

    /// Answers a request; whether the connection goes on.
    fn answer(
        self: &Arc<Server>,
        socket: &TcpStream,
        request: &Request,
        via: bool,
        behind: bool,
    ) -> bool {
        let open = self.open.load(Ordering::Relaxed);
        let (method, path) = (request.method.as_str(), request.path.as_str());
        if self.breaks("L6") && method == "OPTIONS" && open >= 64 {
            std::thread::sleep(LATE);
        }
        let plain = |status, fields: &str| send(socket, &head(status, fields));
        let topic = path.strip_prefix("/events/");
        match (method, path, topic) {
            ("GET", "/metrics", _) => {
                let body = format!("reference_streams {open}\n");
                plain(200, &format!("Content-Length: {}\r\n", body.len())) && send(socket, &body)
            }
            ("GET", "/ended", _) if self.breaks("H18a") => plain(404, "Content-Length: 0\r\n"),
            ("GET", "/ended", _) => plain(204, ""),
            ("GET", "/moved", _) if self.breaks("H18b") => plain(302, "Content-Length: 0\r\n"),
            ("GET", "/moved", _) => plain(307, "Location: /events/moved\r\nContent-Length: 0\r\n"),
            ("OPTIONS", _, Some(_)) => plain(204, &self.preflight(request)),
            ("POST", _, Some(name)) => {
                let (status, fields) = (self.publish(name, request), "Content-Length: 2\r\n");
                plain(status, fields) && send(socket, "{}")
            }
            ("HEAD", _, Some(_)) => {
                let more = if self.breaks("H8") { "more" } else { "" };
                let keep = format!("{}Connection: keep-alive\r\n", self.stream_fields(request));
                send(socket, &(head(200, &keep) + more))
            }
            ("GET", _, Some(name)) => {
                if !(behind && self.breaks("H16c")) {
                    stream::serve(self, socket, request, name, via);
                }
                false
            }
            (_, _, Some(_)) => {
                let allow =
                    if self.breaks("H11") { "" } else { "Allow: GET, HEAD, POST, OPTIONS\r\n" };
                plain(405, &format!("{allow}Content-Length: 0\r\n"))
            }
            _ => plain(404, "Content-Length: 0\r\n"),
        }
    }

    fn publish(&self, name: &str, request: &Request) -> u16 {
        let event = request.parameter("event").unwrap_or_default();
        let id = request.parameter("id").unwrap_or_default();
        let odd = |text: &str| text.contains(['\r', '\n', '\0']);
        if (odd(event) || odd(id)) && !self.breaks("S3b") {
            return 400;
        }
        if std::str::from_utf8(&request.body).is_err() && !self.breaks("S12") {
            return 400;
        }
        if request.body.len() > EVENT_BYTES_MAX {
            return 413;
        }
        if self.breaks("L2b") {
            let open = self.open.load(Ordering::Relaxed);
            let copies = (1..open).map(|_| request.body.clone());
            self.hoard.lock().expect("nobody panics with it").extend(copies);
        }
        let door = self.breaks("L2a").then(|| self.door.lock());
        if self.breaks("R2b") && request.body == b"<100>" {
            return 200;
        }
        let (name_of, id) = (event.to_owned(), id.to_owned());
        let event = Event { name: name_of, id, data: request.body.clone() };
        self.topic(name).publish(event);
        drop(door);
        200
    }

    fn preflight(&self, request: &Request) -> String {
        let mut fields = self.cors(request);
        if !self.breaks("H9") {
            fields += "Access-Control-Allow-Headers: last-event-id\r\n";
        }
        fields
    }

    /// What a page of another origin is told.
    fn cors(&self, request: &Request) -> String {
        let origin = request.field("origin");
        let allowed = origin == ORIGIN || (self.breaks("H10b") && !origin.is_empty());
        let mut fields = String::from("Vary: Origin\r\n");
        if allowed && !(self.breaks("H10a") && request.method == "GET") {
            let _ = write!(fields, "Access-Control-Allow-Origin: {origin}\r\n");
            fields += "Access-Control-Allow-Credentials: true\r\n";
        }
        fields
    }

    /// The fields of a stream, but for its framing.
    pub(super) fn stream_fields(&self, request: &Request) -> String {
        let mut fields = String::from("Content-Type: text/event-stream\r\n");
        fields += match self.breaks("H3") {
            true => "Cache-Control: no-cache\r\n",
            false => "Cache-Control: no-cache, no-transform\r\n",
        };
        if !self.breaks("H4") {
            fields += "X-Accel-Buffering: no\r\n";
        }
        fields + &self.cors(request)
    }
}

/// A response head.
pub(super) fn head(status: u16, fields: &str) -> String {
    format!("HTTP/1.1 {status} -\r\n{fields}\r\n")
}

/// Sends text; whether the peer took it.
pub(super) fn send(mut socket: &TcpStream, text: &str) -> bool {
    socket.write_all(text.as_bytes()).is_ok()
}

/// Reads what is still on its way, so that the end of the connection is no reset.
fn linger(socket: &TcpStream) {
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut &*socket, &mut std::io::sink());
}
