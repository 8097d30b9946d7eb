//! The `serve` command over TCP: what a script asks for is what a client sees, and what the
//! journal says.
//!
//! The client here is as plain as can be and shares no code with the tool, so that a fault of
//! the server cannot hide behind the same fault of its reader. All waiting is reading with one
//! generous deadline; nothing sleeps.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// Longest wait for bytes that must come.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

mod scripted;

use scripted::Server;

/// What these tests do with a server.
trait Client {
    fn publish(&self, topic: &str, payloads: &[&str]);
    fn subscribe(&self, target: &str, last_event_id: &str) -> Stream;
    fn connect(&self) -> TcpStream;
}

impl Client for Server {
    fn publish(&self, topic: &str, payloads: &[&str]) {
        let mut body = String::new();
        for payload in payloads {
            let item = serde_json::json!({ "topic": topic, "data": payload });
            body.push_str(&format!("{item}\n"));
        }
        let mut socket = self.connect();
        write!(
            socket,
            "POST /events HTTP/1.1\r\nContent-Type: application/x-ndjson\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the server takes the request");
        let mut status = [0; 12];
        socket.read_exact(&mut status).expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
    }

    /// Subscribes and returns the stream behind the response head.
    fn subscribe(&self, target: &str, last_event_id: &str) -> Stream {
        let mut socket = self.connect();
        write!(socket, "GET {target} HTTP/1.1\r\nLast-Event-ID: {last_event_id}\r\n\r\n")
            .expect("the server takes the request");
        let mut stream = Stream { reader: BufReader::new(socket), chunked: false };
        let head = stream.head();
        assert!(head[0].contains(" 200 "), "{head:?}");
        stream.chunked = head.iter().any(|line| line == "Transfer-Encoding: chunked");
        stream
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("the server accepts");
        socket.set_read_timeout(Some(READ_TIMEOUT)).expect("a valid timeout");
        socket
    }
}

struct Stream {
    reader: BufReader<TcpStream>,
    chunked: bool,
}

impl Stream {
    fn head(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).expect("a response head");
            if line.trim_end().is_empty() {
                return lines;
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// The stream up to and with the unit that contains `last`, with LF line ends and unframed.
    fn until(&mut self, last: &str) -> String {
        let mut raw = Vec::new();
        loop {
            let text = plain(&raw, self.chunked);
            if text.find(last).is_some_and(|at| text[at..].contains("\n\n")) {
                return text;
            }
            let mut byte = [0];
            self.reader.read_exact(&mut byte).unwrap_or_else(|error| {
                panic!("{error} while waiting for `{last}` behind `{text}`")
            });
            raw.push(byte[0]);
        }
    }
}

/// Undoes chunks (whole ones) and line ends.
fn plain(raw: &[u8], chunked: bool) -> String {
    let mut text = String::new();
    if chunked {
        let mut rest = std::str::from_utf8(raw).expect("ASCII tests");
        while let Some((size, tail)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            let Some(data) = tail.get(..size) else { break };
            text.push_str(data);
            rest = tail.get(size + 2..).unwrap_or_default();
        }
    } else {
        text.push_str(std::str::from_utf8(raw).expect("ASCII tests"));
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The payloads of a stream in their order; a gap announcement appears as `gap`.
fn payloads(text: &str) -> Vec<String> {
    let units = text.split("\n\n").filter(|unit| unit.contains("data: "));
    let payload = |unit: &str| {
        if unit.contains("event: gap") {
            return "gap".to_owned();
        }
        let lines = unit.lines().filter_map(|line| line.strip_prefix("data: "));
        lines.collect::<Vec<_>>().join("\n")
    };
    units.map(payload).collect()
}

#[test]
fn every_framing_line_end_and_write_size_carries_the_same_events() {
    for framing in ["close", "chunked"] {
        for line_end in ["lf", "cr", "crlf"] {
            for write_bytes_max in ["1", "7", "100000"] {
                let server = Server::start(&[
                    "--framing",
                    framing,
                    "--line-end",
                    line_end,
                    "--write-bytes-max",
                    write_bytes_max,
                ]);
                let mut stream = server.subscribe("/events/t", "");
                server.publish("t", &["one", "two\nlines", "three"]);
                let text = stream.until("three");
                let case = format!("{framing} {line_end} {write_bytes_max}");
                assert_eq!(payloads(&text), ["one", "two\nlines", "three"], "{case}");
                let (injected, summary) = server.stop();
                assert!(injected.is_empty(), "{case}");
                assert_eq!(summary["deliveries"], 3, "{case}");
            }
        }
    }
}

#[test]
fn each_fault_reaches_its_subscriber_and_the_journal() {
    let cases = [
        ("drop", "", "a c d", 2),
        ("duplicate", "", "a b b c d", 2),
        ("swap", "", "a c b d", 2),
        ("corrupt", "", "a x c d", 2),
        ("gap", "", "a gap c d", 2),
        ("gap", ",late=1", "a c gap d", 2),
        ("gap", ",silent=true", "a c d", 2),
    ];
    for (fault, more, expected, event) in cases {
        let flag = format!("{fault}:subscriber=1,event={event}{more}");
        let server = Server::start(&["--fault", &flag]);
        let mut others = server.subscribe("/events/t", "");
        let mut met = server.subscribe("/events/t", "");
        let peer = met.reader.get_ref().local_addr().expect("connected");
        server.publish("t", &["a", "b", "c", "d"]);
        assert_eq!(payloads(&met.until("data: d")).join(" "), expected, "{flag}");
        assert_eq!(payloads(&others.until("data: d")).join(" "), "a b c d", "{flag}");
        let (injected, summary) = server.stop();
        assert_eq!(injected.len(), 1, "{flag}: {injected:?}");
        assert_eq!(injected[0]["fault"], fault);
        assert_eq!(injected[0]["subscriber"], 1);
        assert_eq!(injected[0]["peer"], peer.to_string());
        assert_eq!(injected[0]["event"], event);
        assert_eq!(injected[0]["data"], "b");
        assert_eq!(summary["injected"][fault], 1);
    }
}

#[test]
fn a_subscriber_that_returns_gets_what_it_missed_or_is_told() {
    for (last_event_id, expected) in [
        ("x-5", "f"),
        ("x-4", "e f"),
        ("x-2", "c d e f"),
        ("x-1", "gap c d e f"),
        ("y-4", "gap c d e f"),
        ("earliest", "c d e f"),
        ("x-6", "gap f"),
        ("rubbish", "gap f"),
    ] {
        let server = Server::start(&["--history-events", "3", "--epoch", "x"]);
        server.publish("t", &["a", "b", "c", "d", "e"]);
        let mut stream = server.subscribe("/events/t", last_event_id);
        server.publish("t", &["f"]);
        let seen = payloads(&stream.until("data: f"));
        assert_eq!(seen.join(" "), expected, "{last_event_id}");
    }
}

#[test]
fn a_scripted_close_ends_or_resets_the_connection() {
    for (reset, expected) in [("false", None), ("true", Some(ErrorKind::ConnectionReset))] {
        let server = Server::start(&["--fault", &format!("close:every=2,reset={reset}")]);
        let mut stream = server.subscribe("/events/t", "");
        server.publish("t", &["a", "b", "c"]);
        assert!(!stream.until("data: b").contains("data: c"));
        let end = stream.reader.read_to_end(&mut Vec::new());
        assert_eq!(end.err().map(|error| error.kind()), expected);
        assert_eq!(server.stop().1["injected"]["close"], 1);
    }
}

#[test]
fn a_scripted_status_refuses_the_first_subscriptions_only() {
    let server = Server::start(&["--fault", "status:code=503,first=1"]);
    let mut socket = server.connect();
    write!(socket, "GET /events/t HTTP/1.1\r\n\r\n").expect("the server takes the request");
    let mut status = [0; 12];
    socket.read_exact(&mut status).expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 503");
    server.subscribe("/events/t", "");
    let (injected, summary) = server.stop();
    assert_eq!(injected[0]["fault"], "status");
    assert_eq!(summary["subscriptions"], 1);
}

#[test]
fn a_slow_head_starts_the_stream_after_what_was_published_meanwhile() {
    let mut server = Server::start(&["--fault", "slow-head:by=300ms,subscriber=7"]);
    let mut socket = server.connect();
    write!(socket, "GET /events/t?subscriber=7 HTTP/1.1\r\n\r\n").expect("the server takes it");
    // The journal's line says that the request was taken and its answer held back.
    let held_back = server.journal_line().expect("a line");
    assert_eq!(held_back["fault"], "slow-head");
    server.publish("t", &["too early"]);
    let mut stream = Stream { reader: BufReader::new(socket), chunked: false };
    stream.head();
    server.publish("t", &["in time"]);
    assert_eq!(payloads(&stream.until("in time")), ["in time"]);
}

#[test]
fn a_stall_and_a_delay_last_at_least_as_long_as_asked() {
    let server = Server::start(&["--fault", "stall:by=60ms,event=2", "--fault", "delay:by=5ms"]);
    let mut stream = server.subscribe("/events/t", "");
    server.publish("t", &["a", "b"]);
    stream.until("data: b");
    let (injected, summary) = server.stop();
    assert_eq!(injected[0]["fault"], "stall");
    assert!(injected[0]["lasted_ns"].as_u64().expect("a number") >= 60_000_000);
    assert!(summary["delay_ns"][0].as_u64().expect("a number") >= 5_000_000);
}

#[test]
fn a_script_file_works_like_its_flags() {
    let directory = tempfile::tempdir().expect("a place to write");
    let script = directory.path().join("script.toml");
    let text = "[wire]\nepoch = 'x'\norder = 'last'\n[[fault]]\nkind = 'drop'\nevent = 1\n";
    std::fs::write(&script, text).expect("a script");
    let server = Server::start(&["--script", script.to_str().expect("UTF-8")]);
    assert_eq!(server.epoch, "x");
    let mut stream = server.subscribe("/events/t", "");
    server.publish("t", &["a", "b"]);
    assert_eq!(payloads(&stream.until("data: b")), ["b"]);
}

#[test]
fn a_script_that_cannot_be_meant_is_refused_before_listening() {
    let output = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
        .args(["serve", "--listen", "127.0.0.1:0", "--fault", "drop"])
        .output()
        .expect("the binary under test starts");
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("subscriber, event, every"), "{message}");
}
