//! A stream of lines, each an event, of any length: read, handed in and slowed down as it comes.
//!
//! Invariants: at most [`LINES_MAX`] events wait to be handed in; what was handed in before a bad line
//! stands, and the answer says how much that is.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::body::{Held, say_continue};
use super::intake::try_hand_in;
use super::{Failed, id, send_json};
use crate::close::CloseReason;
use crate::control::Control;
use crate::control::connection::{After, Call, refuse, refused};
use crate::control::rights::Publisher;
use crate::control::socket::{Socket, SocketError};
use crate::control::tickets::Ticket;
use crate::delivery::lane::Lane;
use crate::event::Draft;
use crate::event::object::{self, LineSplitter, line_bytes_max};
use crate::http::body::Body;
use crate::http::refusal::{Refusal, Status};
use crate::submission::Drafts;

/// Lines handed in together: enough to make the hand-over cheap, few enough to keep events moving.
const LINES_MAX: usize = 512;
/// How long a stream of lines waits for room before it is refused, and how often it looks.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
const ROOM_PAUSE: Duration = Duration::from_millis(1);

/// Answer to a stream of lines.
#[derive(Serialize)]
struct PublishedLines {
    accepted: u64,
    last_id: Option<String>,
}

/// A stream of lines, each an event; answered once, at its end or at the first bad line.
pub(super) async fn publish_lines<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    call: &Call,
) -> After {
    let publisher = match &call.publisher {
        Ok(publisher) => publisher.clone(),
        Err(refusal) => return refused(control, socket, call, refusal).await,
    };
    let mut lines = Lines::new(control.config.event_bytes_max, publisher);
    let outcome = lines.run(control, socket, buffer, call).await;
    // What was handed in before a bad line, too, is answered for only when it has come round.
    let last_id = match lines.ticket.take() {
        Some(ticket) => Some(id(control.epoch, ticket.await)),
        None => None,
    };
    match outcome {
        Ok(()) => {
            let answer = PublishedLines { accepted: lines.accepted, last_id };
            send_json(control, socket, call, &answer).await
        }
        Err(Failed::Refused(mut refusal)) => {
            refusal.accepted = Some(lines.accepted);
            After::Ended(refuse(control, socket, Some(call), &refusal).await)
        }
        Err(Failed::Ended(reason)) => After::Ended(reason),
    }
}

/// The state of a stream of lines.
struct Lines {
    splitter: LineSplitter,
    publisher: Publisher,
    drafts: Vec<Draft>,
    data_bytes_max: usize,
    /// Waits for the last that was handed in; what was handed in before comes round before.
    ticket: Option<Ticket>,
    accepted: u64,
}

impl Lines {
    fn new(data_bytes_max: usize, publisher: Publisher) -> Lines {
        Lines {
            publisher,
            splitter: LineSplitter::new(line_bytes_max(data_bytes_max)),
            drafts: Vec::new(),
            data_bytes_max,
            ticket: None,
            accepted: 0,
        }
    }

    async fn run<L: Lane>(
        &mut self,
        control: &Rc<Control<L>>,
        socket: &Socket,
        buffer: &mut Vec<u8>,
        call: &Call,
    ) -> Result<(), Failed> {
        let mut body = Body::new(call.body, None)?;
        say_continue(control, socket, buffer, call).await?;
        let mut content = Vec::new();
        let mut held = Held::new(control);
        loop {
            content.clear();
            let decoded = body.decode(buffer, &mut content);
            if let Ok(decoded) = &decoded {
                buffer.drain(..decoded.consumed);
            }
            self.feed(control, &content).await?;
            if decoded?.done {
                break;
            }
            held.set(content.capacity() + self.splitter.kept_bytes())?;
            let deadline = Instant::now() + control.config.idle_timeout;
            match socket.read(buffer, deadline).await {
                Ok(0) => return Err(Failed::Ended(CloseReason::PeerClosed)),
                Ok(count) => control.turnstile.spend(count).await,
                Err(SocketError::Late) => return Err(quiet(control.config.idle_timeout).into()),
                Err(SocketError::Broken) => return Err(Failed::Ended(CloseReason::PeerReset)),
            }
        }
        if let Some(line) = self.splitter.finish().map(<[u8]>::to_vec) {
            self.add(control, &line).await?;
        }
        self.hand_in(control).await
    }

    /// Takes in some of the stream and hands in all its whole lines.
    async fn feed<L: Lane>(
        &mut self,
        control: &Rc<Control<L>>,
        mut content: &[u8],
    ) -> Result<(), Failed> {
        loop {
            let (parsed, used) = match self.splitter.next_line(content) {
                Ok((None, _)) => break,
                Ok((Some(line), used)) => (object::draft(line, self.data_bytes_max), used),
                Err(error) => {
                    self.hand_in(control).await?;
                    let refusal = Refusal::new(Status::ContentTooLarge, error.to_string());
                    return Err(refusal.into());
                }
            };
            content = &content[used..];
            self.push(control, parsed).await?;
        }
        self.hand_in(control).await
    }

    async fn add<L: Lane>(&mut self, control: &Rc<Control<L>>, line: &[u8]) -> Result<(), Failed> {
        let parsed = object::draft(line, self.data_bytes_max);
        self.push(control, parsed).await
    }

    /// Adds an event; at a bad line the good ones before it are handed in all the same.
    async fn push<L: Lane>(
        &mut self,
        control: &Rc<Control<L>>,
        parsed: Result<Draft, object::ObjectError>,
    ) -> Result<(), Failed> {
        match parsed {
            Ok(draft) => match self.publisher.may([draft.topic()]) {
                Ok(()) => self.drafts.push(draft),
                Err(mut refusal) => {
                    let number = self.splitter.number();
                    self.hand_in(control).await?;
                    refusal.detail = format!("line {number}: {}", refusal.detail);
                    return Err(refusal.into());
                }
            },
            Err(error) => {
                let number = self.splitter.number();
                self.hand_in(control).await?;
                let status =
                    if error.too_long { Status::ContentTooLarge } else { Status::BadRequest };
                return Err(Refusal::new(status, format!("line {number}: {error}")).into());
            }
        }
        if self.drafts.len() >= LINES_MAX.min(control.config.ring_events) {
            self.hand_in(control).await?;
        }
        Ok(())
    }

    /// Hands in what there is; waits for room, so that the publisher is slowed down instead of
    /// being refused.
    async fn hand_in<L: Lane>(&mut self, control: &Rc<Control<L>>) -> Result<(), Failed> {
        let mut drafts = std::mem::take(&mut self.drafts);
        let count = drafts.len() as u64;
        let deadline = Instant::now() + ROOM_TIMEOUT;
        while !drafts.is_empty() {
            match try_hand_in(control, Drafts::Many(drafts)) {
                Ok(ticket) => {
                    self.ticket = Some(ticket);
                    self.accepted += count;
                    return Ok(());
                }
                Err((refusal, Drafts::Many(back)))
                    if refusal.status == Status::ServiceUnavailable =>
                {
                    if Instant::now() >= deadline || control.is_draining() {
                        control.stats().overloads.add(1);
                        return Err(refusal.into());
                    }
                    drafts = back;
                    monoio::time::sleep(ROOM_PAUSE).await;
                }
                Err((refusal, _)) => return Err(refusal.into()),
            }
        }
        Ok(())
    }
}

fn quiet(timeout: Duration) -> Refusal {
    let seconds = timeout.as_secs_f32();
    let detail = format!(
        "Nothing arrived for {seconds} s (--idle-timeout); a blank line now and then keeps a \
         stream of lines open."
    );
    Refusal::new(Status::RequestTimeout, detail)
}
