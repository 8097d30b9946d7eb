//! Floor: one bare `send(2)` per subscriber and event. What does a delivery cost at least?
//!
//! The hot loop is a loop over sockets with one `write` in it. There is no topic, no history, no
//! cursor: a socket that is full loses the event. CPU per delivery and latency of a server that
//! sends every event on its own cannot be better than this by more than batching of system calls.
//!
//! With `--each` an event goes to the next few subscribers, round and round: what events to many
//! topics of few subscribers cost at least, without a topic to be looked up.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::Parser;
use downpour_benches::failure::{self, Failure};
use downpour_benches::frame;
use downpour_benches::front::{Arrivals, Front, FrontArgs};

/// A bare send(2) loop: subscribe with GET /events/t, publish with POST /events/t.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    front: FrontArgs,
    /// Subscribers that each event goes to, the next ones with each event; all if not given.
    #[arg(long)]
    each: Option<NonZeroUsize>,
}

fn main() -> ExitCode {
    failure::exit(serve(&Args::parse()))
}

fn serve(args: &Args) -> Result<(), Failure> {
    let mut front = Front::listen(args.front)?;
    let mut subscribers = Vec::new();
    let mut arrivals = Arrivals::default();
    let (mut sequence, mut next) = (0, 0);
    let mut bytes = Vec::new();
    loop {
        front.wait(None, &mut arrivals)?;
        subscribers.append(&mut arrivals.subscribers);
        for data in arrivals.events.drain(..) {
            sequence += 1;
            bytes.clear();
            frame::encode(sequence, &data, &mut bytes);
            match args.each {
                None => subscribers.retain(|subscriber| deliver(subscriber, &bytes)),
                Some(each) => {
                    let count = each.get().min(subscribers.len());
                    next = deliver_to(&mut subscribers, next, count, &bytes);
                }
            }
        }
    }
}

/// Sends one frame to `count` subscribers from place `next` on; gives the place after them.
fn deliver_to(
    subscribers: &mut Vec<TcpStream>,
    mut next: usize,
    count: usize,
    frame: &[u8],
) -> usize {
    for _ in 0..count {
        if next >= subscribers.len() {
            next = 0;
        }
        match subscribers.get(next) {
            Some(subscriber) if deliver(subscriber, frame) => next += 1,
            Some(_) => drop(subscribers.swap_remove(next)),
            None => return 0,
        }
    }
    next
}

/// Sends one frame; says whether the subscriber stays.
fn deliver(mut subscriber: &TcpStream, frame: &[u8]) -> bool {
    match subscriber.write(frame) {
        // Half a frame can only be followed by its other half, which nobody keeps here.
        Ok(sent_bytes) => sent_bytes == frame.len(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
