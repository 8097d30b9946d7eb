//! Floor: one `send(2)` for everything a subscriber has outstanding. How many deliveries does a
//! CPU-second hold at most, when events come faster than sends go?
//!
//! All frames lie one after the other in one log. A subscriber is a socket and a position in the
//! log; a sweep visits all of them and sends from position to end. Whatever has come in meanwhile
//! is read between two sweeps, so a longer sweep makes larger sends and not a longer queue.
//! A subscriber that falls out of the log is cut: a floor replays nothing.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use downpour_benches::failure::{self, Failure};
use downpour_benches::frame;
use downpour_benches::front::{Arrivals, Front, FrontArgs};

/// Bytes of frames kept: about 60,000 events of 100 bytes, seconds of the fastest plan used here.
const KEPT_BYTES: usize = 8 << 20;
/// How long to leave full sockets alone when nothing else could be sent.
const FULL_INTERVAL: Duration = Duration::from_millis(10);

/// A bare coalescing loop: subscribe with GET /events/t, publish with POST /events/t or JSON
/// lines to POST /events.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    front: FrontArgs,
}

/// The frames of all events, as far as they are kept. Positions count bytes from the first event.
#[derive(Default)]
struct Log {
    bytes: Vec<u8>,
    begin: u64,
    sequence: u64,
}

struct Subscriber {
    stream: TcpStream,
    position: u64,
}

/// What became of one subscriber in a sweep.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// It has everything.
    Level,
    /// It took a part.
    Behind,
    /// It took nothing, its socket is full.
    Full,
    Gone,
}

fn main() -> ExitCode {
    failure::exit(serve(&Args::parse()))
}

fn serve(args: &Args) -> Result<(), Failure> {
    let mut front = Front::listen(args.front)?;
    let mut arrivals = Arrivals::default();
    let mut log = Log::default();
    let mut subscribers = Vec::new();
    let mut pause = None;
    loop {
        front.wait(pause, &mut arrivals)?;
        let position = log.end();
        let new = arrivals.subscribers.drain(..);
        subscribers.extend(new.map(|stream| Subscriber { stream, position }));
        arrivals.events.drain(..).for_each(|data| log.append(&data));
        pause = sweep(&mut subscribers, &log);
    }
}

/// Sends to everyone what is outstanding; says how long the next look for events may wait.
fn sweep(subscribers: &mut Vec<Subscriber>, log: &Log) -> Option<Duration> {
    let mut pause = None;
    subscribers.retain_mut(|subscriber| {
        let outcome = subscriber.catch_up(log);
        match outcome {
            Outcome::Behind => pause = Some(Duration::ZERO),
            Outcome::Full => pause = pause.or(Some(FULL_INTERVAL)),
            Outcome::Level | Outcome::Gone => {}
        }
        outcome != Outcome::Gone
    });
    pause
}

impl Subscriber {
    fn catch_up(&mut self, log: &Log) -> Outcome {
        let Some(outstanding) = log.after(self.position) else {
            return Outcome::Gone;
        };
        if outstanding.is_empty() {
            return Outcome::Level;
        }
        match self.stream.write(outstanding) {
            Ok(sent_bytes) => {
                self.position += sent_bytes as u64;
                if sent_bytes == outstanding.len() { Outcome::Level } else { Outcome::Behind }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Outcome::Full,
            Err(_) => Outcome::Gone,
        }
    }
}

impl Log {
    fn end(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }

    fn append(&mut self, data: &[u8]) {
        if self.bytes.len() >= 2 * KEPT_BYTES {
            let dropped_bytes = self.bytes.len() - KEPT_BYTES;
            self.bytes.drain(..dropped_bytes);
            self.begin += dropped_bytes as u64;
        }
        self.sequence += 1;
        frame::encode(self.sequence, data, &mut self.bytes);
    }

    /// All bytes from `position` on, or `None` if they are no longer kept.
    fn after(&self, position: u64) -> Option<&[u8]> {
        let offset = position.checked_sub(self.begin)?;
        Some(&self.bytes[offset as usize..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_good_until_its_bytes_are_dropped() {
        let mut log = Log::default();
        let mut whole = Vec::new();
        let mut position = 0;
        for sequence in 1..=300_000 {
            let data = vec![b'd'; 100 + sequence as usize % 7];
            frame::encode(sequence, &data, &mut whole);
            log.append(&data);
            assert_eq!(log.end(), whole.len() as u64);
            match log.after(position) {
                Some(bytes) => assert_eq!(bytes.len() as u64, log.end() - position),
                None => assert!(log.end() - position > KEPT_BYTES as u64, "dropped too early"),
            }
            if sequence % 100_000 == 0 {
                position = log.end() - 5;
                assert_eq!(log.after(position), whole.get(whole.len() - 5..));
            }
        }
        assert_eq!(log.after(0), None, "the first bytes must be gone by now");
    }
}
