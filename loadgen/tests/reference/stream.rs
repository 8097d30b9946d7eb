//! A stream of the reference server: one thread that writes, and looks whether anybody is there.

use std::io::{ErrorKind, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::request::Request;
use super::server::{LATE, Server, head, send};
use super::topic::{Topic, block};

/// A quiet stream sends a comment this often.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(200);
/// How long a socket may take nothing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// What a delayed acknowledgement costs.
const NAGLE_DELAY: Duration = Duration::from_millis(60);

/// One open stream.
struct Stream<'a> {
    server: &'a Server,
    socket: &'a TcpStream,
    topic: Arc<Topic>,
    /// Its place among all that were ever opened.
    number: usize,
    /// Events that it has had.
    cursor: usize,
    epoch: usize,
    chunked: bool,
    /// Nothing but the beginning ever leaves.
    held_back: bool,
    was_reset: bool,
    written: Instant,
}

/// Serves a stream until either side ends it.
pub(super) fn serve(server: &Server, socket: &TcpStream, request: &Request, name: &str, via: bool) {
    if let Some(status) = refused(server, request) {
        send(socket, &head(status, "Connection: close\r\nContent-Length: 0\r\n"));
        return;
    }
    let open = server.open.load(Ordering::Relaxed);
    let number = server.opened.fetch_add(1, Ordering::Relaxed) + 1;
    if server.breaks("H2") || (server.breaks("L3a") && number > 500) {
        std::thread::sleep(LATE);
    }
    // Who has the head has the stream: what is published from here on is due.
    let topic = server.topic(name);
    let cursor = topic.count();
    let chunked = request.is_1_0 && server.breaks("H6");
    let mut fields = server.stream_fields(request);
    if chunked {
        fields += "Transfer-Encoding: chunked\r\n";
    } else if !server.breaks("H5b") || request.is_1_0 {
        fields += "Connection: close\r\n";
    }
    if server.breaks("H5a") && !request.is_1_0 {
        fields += "Content-Length: 1000000\r\n";
    }
    send(socket, &head(if server.breaks("H1") { 205 } else { 200 }, &fields));
    if open >= server.streams_max && !server.breaks("H17b") {
        send(socket, "retry: 1000\n\n");
        return;
    }
    if open >= server.streams_max {
        server.evicted.fetch_add(1, Ordering::Relaxed);
    }
    if server.breaks("L3b") {
        std::mem::forget(std::fs::File::open("/dev/null"));
    }
    // Without this a write to a reader that stopped has no end.
    let endless = server.breaks("L2a") || server.breaks("L2c");
    let timeout = (!endless).then_some(WRITE_TIMEOUT);
    let _ = socket.set_write_timeout(if server.breaks("L4") { Some(NAGLE_DELAY) } else { timeout });
    let encoded = !request.field("accept-encoding").is_empty() && server.breaks("H14");
    let mut stream = Stream {
        server,
        socket,
        cursor,
        topic,
        number,
        epoch: server.epoch.load(Ordering::Relaxed),
        chunked,
        held_back: encoded || (via && server.breaks("L8")),
        was_reset: false,
        written: Instant::now(),
    };
    server.open.fetch_add(1, Ordering::Relaxed);
    let _ = stream.greet(request).and_then(|()| stream.run());
    server.open.fetch_sub(1, Ordering::Relaxed);
}

fn refused(server: &Server, request: &Request) -> Option<u16> {
    let id = request.field("last-event-id");
    match () {
        () if request.field("authorization").contains("stranger") && !server.breaks("R9") => {
            Some(403)
        }
        () if request.field("accept") == "*/*" && server.breaks("H12") => Some(406),
        () if request.parameter("padding").is_some() && server.breaks("S13") => Some(404),
        () if id == "18446744073709551616" && server.breaks("R4a") => Some(500),
        () => None,
    }
}

impl Stream<'_> {
    /// The id of an event by its number.
    fn id(&self, number: usize) -> String {
        let id = format!("e{}-{number}", self.epoch);
        match () {
            () if self.server.breaks("S9a") => id + "\u{1}",
            () if self.server.breaks("S9b") => id.replace('-', ":"),
            () if self.server.breaks("R1") && number == 151 => format!("e{}-150", self.epoch),
            () => id,
        }
    }

    /// What a stream begins with, and where.
    fn greet(&mut self, request: &Request) -> std::io::Result<()> {
        let header = request.field("last-event-id");
        let names = ["last_event_id", "lastEventId", "Last-Event-ID"];
        let query = names.iter().find_map(|name| request.parameter(name)).unwrap_or_default();
        let query = if self.server.breaks("R3") { "" } else { query };
        let asked = if header.is_empty() { query } else { header };
        let mut greeting = String::from(":\n");
        if !self.server.breaks("R7a") {
            let jitter = if self.server.breaks("R7b") { 0 } else { self.number % 1_000 };
            greeting += &format!("retry: {}\n", 1_000 + jitter);
        }
        match self.place(asked) {
            Some(place) => {
                self.cursor = place;
                let id = if self.server.breaks("R8") { "p".to_owned() } else { self.id(place) };
                greeting += &format!("id: {id}\n\n");
            }
            None if self.is_silent_about(asked) => greeting += "\n",
            None => {
                self.cursor = 0;
                greeting += "\nevent: gap\ndata: {}\n\n";
            }
        }
        // The first event that was missed is left out, where it is one of those of R2a.
        let skips =
            self.server.breaks("R2a") && !header.is_empty() && self.cursor < self.topic.count();
        if skips && self.topic.behind(self.cursor).is_some_and(|it| it.data.is_ascii_digits()) {
            self.cursor += 1;
        }
        if self.server.breaks("L5") && !header.is_empty() {
            self.server.evicted.store(self.number.saturating_sub(60), Ordering::Relaxed);
        }
        self.write(greeting.as_bytes())
    }

    /// Whether an id that is not known is passed over.
    fn is_silent_about(&self, asked: &str) -> bool {
        let of_earlier = asked.strip_prefix('e').is_some_and(|rest| rest.contains('-'));
        (self.server.breaks("R4b") && !of_earlier)
            || (self.server.breaks("R5") && of_earlier)
            || (self.server.breaks("R8") && asked == "p")
    }

    /// Where an id leads; nothing if it is not known.
    fn place(&self, asked: &str) -> Option<usize> {
        if asked.is_empty() {
            return Some(self.cursor);
        }
        let number = asked.strip_prefix(&format!("e{}-", self.epoch))?;
        number.parse().ok().filter(|number| *number <= self.topic.count())
    }

    fn run(&mut self) -> std::io::Result<()> {
        loop {
            if let Some(event) = self.topic.behind(self.cursor).filter(|_| !self.held_back) {
                self.cursor += 1;
                let breaks = |rule: &str| self.server.breaks(rule);
                if breaks("L7") && self.number.is_multiple_of(64) && event.data == b"to all" {
                    continue;
                }
                if let Some(block) = block(&event, &self.id(self.cursor), breaks) {
                    self.deliver(&block)?;
                }
                continue;
            }
            if self.server.epoch.load(Ordering::Relaxed) > self.epoch {
                let open = if self.server.breaks("R6") { "data: cut off" } else { "" };
                return self.write(open.as_bytes());
            }
            if self.server.evicted.load(Ordering::Relaxed) >= self.number || self.is_left() {
                return Ok(());
            }
            // A comment to nobody would show at once that nobody is there.
            let mute = ["S10", "L1a", "L1b"].iter().any(|rule| self.server.breaks(rule));
            if self.written.elapsed() > HEARTBEAT_INTERVAL && !mute {
                self.write(b":\n\n")?;
            }
        }
    }

    fn deliver(&mut self, block: &[u8]) -> std::io::Result<()> {
        if self.server.breaks("H15") && self.written.elapsed() < NAGLE_DELAY {
            std::thread::sleep(NAGLE_DELAY);
        }
        if !self.server.breaks("L2a") {
            return self.write(block);
        }
        let server = self.server;
        let _door = server.door.lock();
        self.write(block)
    }

    fn write(&mut self, text: &[u8]) -> std::io::Result<()> {
        self.written = Instant::now();
        let chunk = [format!("{:x}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat();
        let mut bytes = if self.chunked { &chunk[..] } else { text };
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                // Whoever was not quick enough misses what came meanwhile, and hears nothing.
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.server.breaks("L4") => {
                    self.cursor = self.topic.count();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the client has ended or reset the connection. What it sends is not looked at.
    fn is_left(&mut self) -> bool {
        let mut input = [MaybeUninit::uninit(); 1024];
        let received = SockRef::from(self.socket).recv_with_flags(&mut input, libc::MSG_DONTWAIT);
        let reset = received.as_ref().is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
        // The kernel tells of a reset once; afterwards it looks like an end.
        self.was_reset |= reset;
        match received {
            _ if self.was_reset => !self.server.breaks("L1b"),
            Ok(0) => !self.server.breaks("L1a") && !self.server.breaks("H16b"),
            _ => false,
        }
    }
}

/// Text of digits.
trait Digits {
    fn is_ascii_digits(&self) -> bool;
}

impl Digits for Vec<u8> {
    fn is_ascii_digits(&self) -> bool {
        !self.is_empty() && self.iter().all(u8::is_ascii_digit)
    }
}
