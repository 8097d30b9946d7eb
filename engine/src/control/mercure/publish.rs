//! An update of the hub becomes an event.
//!
//! Invariants: every one of its topics is granted before anything is handed in.
//!
//! Knows nothing of how a request was authorised.

use std::rc::Rc;

use super::{Asked, fault_of, hub, refuse, say, send};
use crate::control::Control;
use crate::control::connection::{After, Call};
use crate::control::publish::{Failed, hand_in, read_body};
use crate::control::socket::Socket;
use crate::delivery::lane::Lane;
use crate::event::EventId;
use crate::http::refusal::Status;
use crate::http::request::BodyKind;
use crate::mercure::Version;
use crate::mercure::answer::Fault;
use crate::mercure::form::Form;
use crate::mercure::update::{Update, unencodable};
use crate::submission::Drafts;
use crate::token::Rights;

/// Bytes of a form beside its data, at most: a thousand topics.
const FORM_BYTES: usize = 256 << 10;

/// Reads an update and hands it in; answers with its id.
pub(super) async fn publish<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    call: &Call,
    asked: &Asked,
    (rights, is_form): (&Rights, bool),
) -> After {
    let version = asked.version;
    let config = &control.config;
    // A byte of data may take three in a form.
    let form_bytes_max = config.event_bytes_max * 3 + FORM_BYTES;
    let body_bytes_max = hub(control).settings.body_bytes_max.unwrap_or(form_bytes_max);
    if call.body == BodyKind::None {
        let fault = Fault::new(version, Status::BadRequest, "Missing \"topic\" parameter");
        return refuse(control, socket, call, &fault, false).await;
    }
    let body = match read_body(control, socket, buffer, call, body_bytes_max).await {
        Ok(body) => body,
        Err(Failed::Refused(refusal)) => {
            return refuse(control, socket, call, &fault_of(version, refusal), false).await;
        }
        Err(Failed::Ended(reason)) => return After::Ended(reason),
    };
    match take(control, &body, is_form, asked, rights).await {
        Ok(id) => {
            let mut out = Vec::with_capacity(512);
            say(control, call, asked, |answer| answer.published(&id, &mut out));
            send(control, socket, call, &out, true).await
        }
        Err(fault) => refuse(control, socket, call, &fault, true).await,
    }
}

/// Publishes the update of a form; gives its id.
async fn take<L: Lane>(
    control: &Rc<Control<L>>,
    body: &[u8],
    is_form: bool,
    asked: &Asked,
    rights: &Rights,
) -> Result<String, Fault> {
    let version = asked.version;
    // What is no form has no fields.
    let form = if is_form { Form::parse(body) } else { Ok(Form::default()) };
    let form = form.map_err(|_| Fault::bare(version, Status::BadRequest))?;
    // Go's reader of forms, which the reference has, refuses what it once took for an ampersand.
    if is_form && version == Version::V0 && body.contains(&b';') {
        return Err(Fault::bare(version, Status::BadRequest));
    }
    let update = Update::read(&form, version)?;
    // Hubs of protocol 7 let every publisher publish what everybody may see.
    let is_free =
        hub(control).settings.compatibility_7 && version == Version::V0 && !update.private;
    if !is_free && !update.topics.iter().all(|topic| rights.may_publish(topic)) {
        return Err(Fault::not_granted(version));
    }
    update.check(version, hub(control).settings.speaks, &asked.hub_url)?;
    if update.data.len() > control.config.event_bytes_max {
        return Err(Fault::bare(version, Status::ContentTooLarge));
    }
    let alternates: Vec<&str> = update.topics[1..].iter().map(String::as_str).collect();
    let draft = update.event(&alternates).encode().map_err(|error| unencodable(error, version))?;
    let handed = hand_in(control, Drafts::One(draft));
    let sequence = handed.map_err(|refusal| fault_of(version, refusal))?.await;
    let given = || EventId { epoch: control.epoch, sequence }.urn().to_string();
    Ok(update.id.unwrap_or_else(given))
}
