//! Taking events from publishers.
//!
//! An event is encoded by the worker that reads it, admitted if every ring has room, numbered by the
//! sequencer, and answered when it comes round on this worker's own ring: by then it is on all of
//! them. Overload is told to the publisher and to nobody else.

use std::rc::Rc;

use serde::Serialize;

use super::Control;
use super::connection::{After, Call, refused, reply, send};
use super::rights::Publisher;
use super::socket::{Socket, SocketError};
use crate::close::CloseReason;
use crate::delivery::lane::Lane;
use crate::event::object::{self, line_bytes_max};
use crate::event::{Draft, Epoch, Event, EventId};
use crate::http::refusal::{Refusal, Status};
use crate::http::route::{EventFields, ObjectFormat};
use crate::submission::Drafts;

mod body;
mod intake;
mod lines;

pub(super) use body::{Held, read_body};
pub(super) use intake::{hand_in, try_hand_in};
use lines::publish_lines;

/// Longest JSON body, in longest events; a stream of lines has no such bound.
const JSON_EVENTS_MAX: usize = 8;

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

fn encode(topic: &str, fields: &EventFields, body: &[u8]) -> Result<Draft, Refusal> {
    let data = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Refusal::bad(format!("The body is not UTF-8 (byte {at}); event streams are UTF-8 only."))
    })?;
    let (event, id) = (fields.event.as_deref(), fields.id.as_deref());
    let event = Event { topic, data, event, id, retry: fields.retry_ms, ..Event::default() };
    event.encode().map_err(|error| Refusal::bad(format!("{error}.")))
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
