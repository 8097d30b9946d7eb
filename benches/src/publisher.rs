//! The publisher of the minimal client: a thread that publishes by an open-loop plan.
//!
//! Every event carries its number and its due time, and the plan never waits for the server: a
//! server that takes events late pays for it in latency. Two ways in: one `POST /events/{topic}`
//! per event, at most [`UNANSWERED_COUNT_MAX`] unanswered, or one endless chunked
//! `POST /events` of JSON lines, where only TCP holds the publisher back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use httparse::Status;

use crate::failure::{Doing, Failure};
use crate::pace::Pace;
use crate::stamp::Stamp;
use crate::sys;

/// Requests sent ahead of their answers: one that a server works on, and some on the way, so that
/// a busy server is never idle for want of a publisher on another CPU.
const UNANSWERED_COUNT_MAX: u64 = 8;
/// Bytes of events written at once when many are due.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// How long JSON lines are gathered before they are written, as a busy producer does. Written one
/// by one, each would be a chunk of its own, and servers that read chunk by chunk would be measured
/// at the producer's framing instead of at their fan-out.
const BATCH_INTERVAL: Duration = Duration::from_millis(1);
/// A server that takes nothing and answers nothing for so long has failed.
const STUCK_TIMEOUT: Duration = Duration::from_secs(60);

/// How events reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// One POST /events/{topic} per event.
    Post,
    /// One POST /events with a JSON line per event.
    Lines,
}

/// What is to be published, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server listens.
    pub server: SocketAddr,
    /// The topic of all events.
    pub topic: String,
    /// How events reach the server.
    pub way: Way,
    /// When events are due.
    pub pace: Pace,
    /// Bytes of data per event.
    pub payload_bytes: usize,
    /// The first due time that is no longer part of the plan, in monotonic nanoseconds.
    pub end_ns: u64,
}

/// A running publisher. Dropped before its end, it is left to end with the process.
#[derive(Debug)]
pub struct Publisher {
    thread: thread::JoinHandle<Result<(), Failure>>,
    /// Events written so far. Relaxed on both sides: a count that carries no data with it.
    published_count: Arc<AtomicU64>,
}

struct Connection {
    stream: TcpStream,
    outgoing: Vec<u8>,
    unanswered_count: u64,
    answers: Vec<u8>,
}

impl Publisher {
    /// Connects and starts publishing.
    ///
    /// # Errors
    /// When the server does not take the connection.
    pub fn start(plan: Plan) -> Result<Self, Failure> {
        let connection = Connection::open(plan.server)?;
        let published_count = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&published_count);
        let thread = thread::spawn(move || match plan.way {
            Way::Post => post(connection, plan, &count),
            Way::Lines => lines(connection, plan, &count),
        });
        Ok(Self { thread, published_count })
    }

    /// Events written to the server so far.
    pub fn published_count(&self) -> u64 {
        self.published_count.load(Ordering::Relaxed)
    }

    /// Whether the plan is done and answered, or has failed.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end of the plan.
    ///
    /// # Errors
    /// What ended the publisher early.
    pub fn finish(self) -> Result<(), Failure> {
        self.thread.join().expect("the publisher does not panic")
    }
}

fn post(mut connection: Connection, mut plan: Plan, count: &AtomicU64) -> Result<(), Failure> {
    let head = format!(
        "POST /events/{} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
        plan.topic, plan.server, plan.payload_bytes
    );
    while let Some(event) = plan.next() {
        while connection.unanswered_count >= UNANSWERED_COUNT_MAX {
            connection.read_answers()?;
        }
        connection.outgoing.extend_from_slice(head.as_bytes());
        connection.outgoing.extend_from_slice(&event.payload(plan.payload_bytes));
        connection.flush()?;
        connection.unanswered_count += 1;
        count.fetch_add(1, Ordering::Relaxed);
    }
    while connection.unanswered_count > 0 {
        connection.read_answers()?;
    }
    Ok(())
}

fn lines(mut connection: Connection, mut plan: Plan, count: &AtomicU64) -> Result<(), Failure> {
    let head = format!(
        "POST /events HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-ndjson\r\n\
         transfer-encoding: chunked\r\n\r\n",
        plan.server
    );
    connection.outgoing.extend_from_slice(head.as_bytes());
    while let Some(event) = plan.next() {
        thread::sleep(BATCH_INTERVAL);
        let mut chunk = Vec::new();
        let mut event_count = 1;
        plan.append_line(event, &mut chunk);
        while chunk.len() < BATCH_BYTES_MAX {
            let Some(event) = plan.take_due() else { break };
            plan.append_line(event, &mut chunk);
            event_count += 1;
        }
        connection.outgoing.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        connection.outgoing.append(&mut chunk);
        connection.outgoing.extend_from_slice(b"\r\n");
        connection.flush()?;
        count.fetch_add(event_count, Ordering::Relaxed);
    }
    connection.outgoing.extend_from_slice(b"0\r\n\r\n");
    connection.flush()?;
    connection.unanswered_count = 1;
    while connection.unanswered_count > 0 {
        connection.read_answers()?;
    }
    Ok(())
}

impl Plan {
    /// Waits for the next event; `None` at the end of the plan.
    fn next(&mut self) -> Option<Stamp> {
        let due_ns = self.pace.next_ns().filter(|due_ns| *due_ns < self.end_ns)?;
        let now_ns = sys::monotonic_ns();
        if due_ns > now_ns {
            thread::sleep(Duration::from_nanos(due_ns - now_ns));
        }
        if sys::monotonic_ns() >= self.end_ns {
            return None;
        }
        self.take_due()
    }

    fn take_due(&mut self) -> Option<Stamp> {
        let now_ns = sys::monotonic_ns().min(self.end_ns - 1);
        self.pace.take(now_ns).map(|(number, due_ns)| Stamp { number, due_ns })
    }

    fn append_line(&self, event: Stamp, lines: &mut Vec<u8>) {
        let begin = format!("{{\"topic\":\"{}\",\"data\":\"", self.topic);
        lines.extend_from_slice(begin.as_bytes());
        lines.extend_from_slice(&event.payload(self.payload_bytes));
        lines.extend_from_slice(b"\"}\n");
    }
}

impl Connection {
    fn open(server: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).doing(|| format!("connect to {server}"))?;
        let set_up = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(STUCK_TIMEOUT)))
            .and_then(|()| stream.set_write_timeout(Some(STUCK_TIMEOUT)));
        set_up.doing(|| "set up the publisher's connection".into())?;
        Ok(Self { stream, outgoing: Vec::new(), unanswered_count: 0, answers: Vec::new() })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.outgoing).doing(|| "publish".into())?;
        self.outgoing.clear();
        Ok(())
    }

    fn read_answers(&mut self) -> Result<(), Failure> {
        let mut buffer = [0; 4_096];
        let read_bytes =
            self.stream.read(&mut buffer).doing(|| "read the answer to a publish".into())?;
        if read_bytes == 0 {
            return Err(Failure::new("the server closed the publisher's connection"));
        }
        self.answers.extend_from_slice(&buffer[..read_bytes]);
        while let Some(answer_bytes) = answer(&self.answers)? {
            self.answers.drain(..answer_bytes);
            self.unanswered_count -= 1;
        }
        Ok(())
    }
}

/// Bytes of the first answer in `bytes`, or `None` if it is not complete.
fn answer(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(bytes).doing(|| "understand the answer to a publish".into())?;
    let Status::Complete(head_bytes) = status else {
        return Ok(None);
    };
    let code = response.code.unwrap_or_default();
    if !(200..300).contains(&code) {
        return Err(Failure::new(format!("the server answered a publish with {code}")));
    }
    let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let body_bytes = length
        .and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok())
        .ok_or_else(|| Failure::new("the answer to a publish has no content-length"))?;
    let whole_bytes = head_bytes + body_bytes;
    Ok((bytes.len() >= whole_bytes).then_some(whole_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte_of_body() {
        let bytes = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nok\nHTTP/1.1";
        let whole_bytes = bytes.len() - b"HTTP/1.1".len();
        for cut in 0..=bytes.len() {
            let expected = (cut >= whole_bytes).then_some(whole_bytes);
            assert_eq!(answer(&bytes[..cut]).expect("a good answer"), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_refusal_ends_the_publisher_with_its_status() {
        let refusal = answer(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").expect_err("503");
        assert!(refusal.to_string().contains("503"), "{refusal}");
    }
}
