//! Taking events from publishers.
//!
//! An event is encoded by the worker that reads it, admitted if every ring has room, numbered by the
//! sequencer, and answered when it comes round on this worker's own ring: by then it is on all of
//! them. Overload is told to the publisher and to nobody else.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Control;
use super::connection::{After, Call, refuse, refused, reply, send};
use super::rights::Publisher;
use super::socket::{Socket, SocketError};
use super::tickets::Ticket;
use crate::close::CloseReason;
use crate::delivery::lane::Lane;
use crate::event::object::{self, LineSplitter, line_bytes_max};
use crate::event::{Draft, Epoch, Event, EventId};
use crate::http::body::Body;
use crate::http::refusal::{Refusal, Status};
use crate::http::response::CONTINUE;
use crate::http::route::{EventFields, ObjectFormat};
use crate::sequencer::Handed;
use crate::submission::{Drafts, Origin, Submission};

/// Slowest body that is waited for, in bytes a second, after the time a head may take.
const BODY_RATE_MIN: u64 = 1024;
/// Longest JSON body, in longest events; a stream of lines has no such bound.
const JSON_EVENTS_MAX: usize = 8;
/// Lines handed in together: enough to make the hand-over cheap, few enough to keep events moving.
const LINES_MAX: usize = 512;
/// How long a stream of lines waits for room before it is refused, and how often it looks.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
const ROOM_PAUSE: Duration = Duration::from_millis(1);

/// Why a publish did not come to its end.
pub(super) enum Failed {
    Refused(Refusal),
    Ended(CloseReason),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        Failed::Refused(refusal)
    }
}

impl From<SocketError> for Failed {
    fn from(error: SocketError) -> Failed {
        match error {
            SocketError::Late => Failed::Refused(Refusal::new(
                Status::RequestTimeout,
                "The body arrived too slowly; send at least 1 KiB a second.",
            )),
            SocketError::Broken => Failed::Ended(CloseReason::PeerReset),
        }
    }
}

/// `POST /events/{topic}`: the body is the data.
pub(super) async fn publish_data<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    topic: &str,
    fields: &EventFields,
    call: &Call,
) -> After {
    let granted = call.publisher.clone().and_then(|publisher| publisher.may([topic]));
    if let Err(refusal) = granted {
        return refused(control, socket, call, &refusal).await;
    }
    let content_max = control.config.event_bytes_max;
    let body = match read_body(control, socket, buffer, call, content_max).await {
        Ok(body) => body,
        Err(failed) => return end(control, socket, call, failed).await,
    };
    let answer = async {
        let draft = encode(topic, fields, &body)?;
        let own_id = draft.own_id().map(str::to_owned);
        let ticket = hand_in(control, Drafts::One(draft))?;
        let sequence = ticket.await;
        Ok(Published { id: own_id.unwrap_or_else(|| id(control.epoch, sequence)) })
    };
    match answer.await {
        Ok(answer) => send_json(control, socket, call, &answer).await,
        Err(refusal) => refuse_read(control, socket, call, &refusal).await,
    }
}

/// `POST /events`: the body is events as JSON.
pub(super) async fn publish_objects<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    format: ObjectFormat,
    call: &Call,
) -> After {
    if format == ObjectFormat::Ndjson {
        return publish_lines(control, socket, buffer, call).await;
    }
    let event_bytes_max = control.config.event_bytes_max;
    let content_max = line_bytes_max(event_bytes_max).max(JSON_EVENTS_MAX * event_bytes_max);
    let body = match read_body(control, socket, buffer, call, content_max).await {
        Ok(body) => body,
        Err(failed) => return end(control, socket, call, failed).await,
    };
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    match publish_json(control, &body, &call.publisher).await {
        Ok(mut ids) if !is_array => {
            let answer = Published { id: ids.remove(0) };
            send_json(control, socket, call, &answer).await
        }
        Ok(ids) => send_json(control, socket, call, &PublishedAll { ids }).await,
        Err(refusal) => refuse_read(control, socket, call, &refusal).await,
    }
}

/// Publishes one object or an array, whole or not at all; gives the ids.
async fn publish_json<L: Lane>(
    control: &Rc<Control<L>>,
    body: &[u8],
    publisher: &Result<Publisher, Refusal>,
) -> Result<Vec<String>, Refusal> {
    let drafts = object::drafts(body, control.config.event_bytes_max).map_err(|error| {
        let status = if error.too_long { Status::ContentTooLarge } else { Status::BadRequest };
        Refusal::new(status, error.to_string())
    })?;
    publisher.clone()?.may(drafts.iter().map(Draft::topic))?;
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    let own_ids: Vec<Option<String>> =
        drafts.iter().map(|draft| draft.own_id().map(str::to_owned)).collect();
    let last = hand_in(control, Drafts::Many(drafts))?.await;
    // The events of a submission are numbered in a row.
    let first = last + 1 - own_ids.len() as u64;
    let ids = own_ids.into_iter().zip(first..);
    Ok(ids.map(|(own, sequence)| own.unwrap_or_else(|| id(control.epoch, sequence))).collect())
}

/// A stream of lines, each an event; answered once, at its end or at the first bad line.
async fn publish_lines<L: Lane>(
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
            let deadline = Instant::now() + control.config.idle_timeout;
            match socket.read(buffer, deadline).await {
                Ok(0) => return Err(Failed::Ended(CloseReason::PeerClosed)),
                Ok(_) => {}
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

/// Hands events to the sequencer; the ticket waits for them to come round.
pub(super) fn hand_in<L: Lane>(
    control: &Rc<Control<L>>,
    drafts: Drafts,
) -> Result<Ticket, Refusal> {
    try_hand_in(control, drafts).map_err(|(refusal, _)| {
        control.stats().overloads.add(u64::from(refusal.status == Status::ServiceUnavailable));
        refusal
    })
}

pub(super) fn try_hand_in<L: Lane>(
    control: &Rc<Control<L>>,
    drafts: Drafts,
) -> Result<Ticket, (Refusal, Drafts)> {
    let list = match &drafts {
        Drafts::One(draft) => std::slice::from_ref(draft),
        Drafts::Many(drafts) => drafts,
    };
    let count = list.len() as u64;
    let bytes = list.iter().map(Draft::memory_bytes).sum::<usize>() as u64;
    if let Err(refusal) = check(control, list, bytes) {
        return Err((refusal, drafts));
    }
    if control.room.events.admit(count).is_err() {
        return Err((overload(), drafts));
    }
    if control.room.bytes.admit(bytes).is_err() {
        control.room.events.withdraw(count);
        return Err((overload(), drafts));
    }
    let ticket = control.tickets.issue();
    let origin = Origin { worker: control.worker, ticket: ticket.number() };
    if control.intake.hand_in(Submission { drafts, origin }) == Handed::Numbered {
        control.nudge.give();
    }
    control.stats().published.add(count);
    Ok(ticket)
}

/// What no waiting would change, and a drain.
fn check<L: Lane>(control: &Control<L>, drafts: &[Draft], bytes: u64) -> Result<(), Refusal> {
    if control.is_draining() {
        let detail = "This server is stopping; publish to it again when it is back.";
        return Err(Refusal::overloaded(detail, 5));
    }
    let config = &control.config;
    if drafts.len() > config.ring_events || bytes > config.ring_bytes_max() as u64 {
        let detail = format!(
            "At most {} events with {} bytes fit in one array; send more of them as \
             application/x-ndjson.",
            config.ring_events,
            config.ring_bytes_max()
        );
        return Err(Refusal::new(Status::ContentTooLarge, detail));
    }
    let delivery = control.delivery.borrow();
    let topics = delivery.topics();
    // Nearly always all of them are known, and nothing is collected.
    let named = |draft| Draft::topics(draft).map(|name| (name, draft.is_private()));
    let new: HashSet<(&str, bool)> = drafts
        .iter()
        .flat_map(named)
        .filter(|(name, private)| !topics.contains(name, *private))
        .collect();
    let bytes = new.iter().map(|(name, _)| name.len()).sum();
    if !config.has_room_for(new.len(), bytes, topics) {
        let detail = format!(
            "There are {} topics and no more are allowed (--topics-max). Topics go when their \
             events are too old and nobody subscribes.",
            topics.count() + topics.view_count()
        );
        return Err(Refusal::overloaded(detail, 60));
    }
    Ok(())
}

fn quiet(timeout: Duration) -> Refusal {
    let seconds = timeout.as_secs_f32();
    let detail = format!(
        "Nothing arrived for {seconds} s (--idle-timeout); a blank line now and then keeps a \
         stream of lines open."
    );
    Refusal::new(Status::RequestTimeout, detail)
}

fn overload() -> Refusal {
    Refusal::overloaded(
        "More events are on their way to the subscribers than --ring-events allows; nothing of \
         this request was taken.",
        1,
    )
}

fn encode(topic: &str, fields: &EventFields, body: &[u8]) -> Result<Draft, Refusal> {
    let data = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Refusal::bad(format!("The body is not UTF-8 (byte {at}); event streams are UTF-8 only."))
    })?;
    let (event, id) = (fields.event.as_deref(), fields.id.as_deref());
    let event = Event { topic, data, event, id, retry: fields.retry_ms, ..Event::default() };
    event.encode().map_err(|error| Refusal::bad(format!("{error}.")))
}

/// Reads a whole body of at most `content_max` bytes.
pub(super) async fn read_body<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    call: &Call,
    content_max: usize,
) -> Result<Vec<u8>, Failed> {
    call.publisher.clone()?;
    let mut body = Body::new(call.body, Some(content_max as u64))?;
    say_continue(control, socket, buffer, call).await?;
    let mut content = Vec::new();
    let mut held = Held::new(control);
    let began = Instant::now();
    loop {
        let decoded = body.decode(buffer, &mut content)?;
        buffer.drain(..decoded.consumed);
        if decoded.done {
            return Ok(content);
        }
        held.set(content.capacity())?;
        let grace = Duration::from_millis(content.len() as u64 * 1000 / BODY_RATE_MIN);
        let deadline = began + control.config.handshake_timeout + grace;
        if socket.read(buffer, deadline).await? == 0 {
            return Err(Failed::Ended(CloseReason::PeerClosed));
        }
    }
}

/// Bytes of one body, counted against those of all bodies of the worker.
pub(super) struct Held<'a, L> {
    control: &'a Control<L>,
    bytes: usize,
}

impl<'a, L> Held<'a, L> {
    pub(super) fn new(control: &'a Control<L>) -> Self {
        Held { control, bytes: 0 }
    }

    /// Counts so many bytes instead of those before.
    ///
    /// # Errors
    /// When all together are more than the worker may hold; they are counted all the same.
    pub(super) fn set(&mut self, bytes: usize) -> Result<(), Refusal> {
        let all = &self.control.body_bytes;
        all.set(all.get() - self.bytes + bytes);
        self.control.stats().body_bytes.set(all.get() as u64);
        self.bytes = bytes;
        if all.get() > self.control.config.bodies_bytes_max() {
            let detail = "Too many large bodies are arriving at once.";
            return Err(Refusal::overloaded(detail, 1));
        }
        Ok(())
    }
}

impl<L> Drop for Held<'_, L> {
    fn drop(&mut self) {
        let all = &self.control.body_bytes;
        all.set(all.get() - self.bytes);
        self.control.stats().body_bytes.set(all.get() as u64);
    }
}

/// A client that waits to be asked for its body is asked (RFC 9110, section 10.1.1).
async fn say_continue<L: Lane>(
    control: &Control<L>,
    socket: &Socket,
    buffer: &[u8],
    call: &Call,
) -> Result<(), Failed> {
    if call.expects_continue && buffer.is_empty() {
        socket.write(CONTINUE, Instant::now() + control.config.write_timeout).await?;
    }
    Ok(())
}

/// Ends a publish whose body has not been read to its end.
async fn end<L>(control: &Control<L>, socket: &Socket, call: &Call, failed: Failed) -> After {
    match failed {
        Failed::Refused(refusal) => refused(control, socket, call, &refusal).await,
        Failed::Ended(reason) => After::Ended(reason),
    }
}

/// Refuses a publish whose body has been read: the connection goes on.
async fn refuse_read<L>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    refusal: &Refusal,
) -> After {
    control.stats().refused.add(1);
    let mut out = Vec::new();
    reply(control, call).problem(refusal, &mut out);
    send(control, socket, call, &out).await
}

async fn send_json<L>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    answer: &impl Serialize,
) -> After {
    let body = serde_json::to_vec(answer).expect("strings and numbers are always JSON");
    let mut out = Vec::with_capacity(256 + body.len());
    reply(control, call).json(&body, &mut out);
    send(control, socket, call, &out).await
}

fn id(epoch: Epoch, sequence: u64) -> String {
    EventId { epoch, sequence }.to_string()
}

/// Answer to one event.
#[derive(Serialize)]
struct Published {
    id: String,
}

/// Answer to an array, in its order.
#[derive(Serialize)]
struct PublishedAll {
    ids: Vec<String>,
}

/// Answer to a stream of lines.
#[derive(Serialize)]
struct PublishedLines {
    accepted: u64,
    last_id: Option<String>,
}
