//! The routes of the Mercure hub: who asks, for what, with which rights; then hand in or hand over.
//!
//! What a request means is decided while its head is there (`reader`): parameters are read, the token
//! is verified, and what is left is served like any other publish or stream.
//!
//! Invariants: a stream starts, and an update is handed in, only after its token was verified by a
//! key of its role and version; rights are decided once.
//!
//! Texts are `mercure`'s; who subscribes is kept by `roster`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Control;
use super::connection::{After, Call, linger};
use super::rights::Holder;
use super::socket::{Socket, SocketError};
use crate::close::CloseReason;
use crate::delivery::lane::Lane;
use crate::http::refusal::{Refusal, Status};
use crate::http::request::{BodyKind, Method, Request};
use crate::http::response::Connection;
use crate::limits::Pass;
use crate::mercure::answer::{Answer, Document, Fault};
use crate::mercure::form::Form;
use crate::mercure::settings::Settings;
use crate::mercure::subscribe::Ask;
use crate::mercure::subscription::Filter;
use crate::mercure::{HEALTH_PATH, PATH, Version, is_ours};
use crate::token::Rights;

mod documents;
mod publish;
mod reader;
mod roster;
mod shed;
mod stream;

use reader::Reader;
use roster::Roster;
pub(crate) use roster::{announce, depart};
pub(super) use shed::{send_away, too_soon};

/// The id that asks for everything kept.
const EARLIEST: &str = "earliest";

/// What stands where people look first, and checks of uptime.
const HOME: &[u8] = b"<!doctype html>\n<html lang=\"en\">\n<title>Mercure hub</title>\n\
    <p>This is a Mercure hub. It is at <code>/.well-known/mercure</code>.\n";

/// What the workers share of the hub.
#[derive(Debug)]
pub(crate) struct Hub {
    settings: Arc<Settings>,
    roster: Roster,
}

impl Hub {
    pub(crate) fn new(settings: Arc<Settings>) -> Hub {
        Hub { settings, roster: Roster::default() }
    }
}

/// What a request asks of the hub.
pub(super) struct Asked {
    version: Version,
    hub_url: String,
    /// The request's target without its query.
    path: String,
    /// The token, if there is one; it was not found to be bad.
    token: Option<Rc<[u8]>>,
    what: What,
}

impl Asked {
    /// What requests of one bearer are counted by.
    pub(super) fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }
}

enum What {
    Subscribe {
        ask: Ask,
        holder: Option<Holder>,
        head: bool,
    },
    /// A subscription whose other half stands in the body; this is the half of the query.
    Query {
        form: Form,
        last_event_id: Option<String>,
        holder: Option<Holder>,
    },
    Publish {
        rights: Rc<Rights>,
        is_form: bool,
    },
    Subscriptions {
        filter: Filter,
        none_match: Option<String>,
    },
    Metadata,
    Health,
    Home,
    Preflight(&'static str),
}

/// Why a request is not served.
pub(super) struct Denied {
    fault: Fault,
    /// Whether it is for a key that has perhaps not been fetched yet.
    pub(super) key_is_unknown: bool,
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Self { fault, key_is_unknown: false }
    }
}

/// Whether a request is for the hub.
pub(super) fn is_asked<L>(control: &Control<L>, request: &Request<'_>) -> bool {
    // The native interface has a page of its own there.
    let is_home = request.path == "/" && !control.config.native;
    control.hub.is_some() && (is_home || is_ours(request.path))
}

/// Whether a request for the hub asks for a stream.
pub(super) fn is_subscription(request: &Request<'_>) -> bool {
    request.path == PATH && matches!(request.method, Method::Get | Method::Head | Method::Query)
}

/// What a request asks of the hub, if it is for it.
pub(super) fn asked<L>(
    control: &Control<L>,
    request: &Request<'_>,
) -> Option<Result<Asked, Denied>> {
    let hub = control.hub.as_ref().filter(|_| is_asked(control, request))?;
    match request.path {
        "/" => return Some(reader::plain(request, What::Home)),
        HEALTH_PATH => return Some(reader::plain(request, What::Health)),
        _ => {}
    }
    let verifiers = control.verifiers.borrow();
    Some(Reader::new(&hub.settings, &verifiers, request).and_then(|reader| reader.read(request)))
}

/// Serves what was asked.
pub(super) async fn answer<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    pass: &mut Option<Result<Pass, CloseReason>>,
    call: &Call,
    asked: &Result<Asked, Denied>,
) -> After {
    let asked = match asked {
        Ok(asked) => asked,
        Err(denied) => return refuse(control, socket, call, &denied.fault, false).await,
    };
    let mut out = Vec::new();
    match &asked.what {
        What::Subscribe { ask, head: true, .. } => {
            let id = ask.last_event_id.as_deref().map(|_| EARLIEST);
            say(control, call, asked, |answer| answer.stream(ask.version, id, &mut out));
        }
        What::Subscribe { ask, holder, head: false } => {
            let pass = pass.take().expect("a connection becomes a stream once");
            return stream::open(control, socket, pass, call, asked, (ask, holder.as_ref())).await;
        }
        What::Query { form, last_event_id, holder } => {
            let ask = stream::ask(control, socket, buffer, call, asked, (form, last_event_id));
            let ask = match ask.await {
                Ok(ask) => ask,
                Err(after) => return after,
            };
            let pass = pass.take().expect("a connection becomes a stream once");
            return stream::open(control, socket, pass, call, asked, (&ask, holder.as_ref())).await;
        }
        What::Publish { .. } if matches!(pass, Some(Err(_))) => {
            let fault = Fault {
                retry_after: Some(5),
                ..Fault::bare(asked.version, Status::ServiceUnavailable)
            };
            return refuse(control, socket, call, &fault, false).await;
        }
        What::Publish { rights, is_form } => {
            let by = (&**rights, *is_form);
            return publish::publish(control, socket, buffer, call, asked, by).await;
        }
        What::Subscriptions { filter, none_match } => {
            match documents::list(control, call, asked, filter, none_match.as_deref()) {
                Ok(document) => out = document,
                Err(fault) => return refuse(control, socket, call, &fault, false).await,
            }
        }
        What::Health => {
            let document = Document { content_type: "text/plain", body: b"ok\n", headers: "" };
            say(control, call, asked, |answer| answer.document(Status::Ok, &document, &mut out));
        }
        What::Home => {
            let document =
                Document { content_type: "text/html; charset=utf-8", body: HOME, headers: "" };
            say(control, call, asked, |answer| answer.document(Status::Ok, &document, &mut out));
        }
        What::Metadata => out = documents::metadata(control, call, asked),
        What::Preflight(allow) => {
            say(control, call, asked, |answer| answer.preflight(allow, &mut out));
        }
    }
    send(control, socket, call, &out, false).await
}

fn hub<L>(control: &Control<L>) -> &Hub {
    control.hub.as_ref().expect("only a hub is asked")
}

/// Writes an answer to a request that was understood.
fn say<L>(control: &Control<L>, call: &Call, asked: &Asked, write: impl FnOnce(Answer<'_>)) {
    write(Answer {
        connection: closing(call, matches!(asked.what, What::Publish { .. })),
        content: call.content,
        cors: &hub(control).settings.cors_origins,
        origin: call.origin.as_deref(),
        metadata_url: None,
    });
}

/// A body that nobody reads would be taken for the next request.
fn closing(call: &Call, body_is_read: bool) -> Connection {
    if body_is_read || call.body == BodyKind::None { call.connection } else { Connection::Close }
}

async fn send<L>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    out: &[u8],
    body_is_read: bool,
) -> After {
    match socket.write(out, Instant::now() + control.config.write_timeout).await {
        Ok(()) if closing(call, body_is_read) == Connection::KeepAlive => After::Next,
        Ok(()) => {
            linger(control, socket).await;
            After::Ended(CloseReason::Answered)
        }
        Err(SocketError::Late) => After::Ended(CloseReason::WriteTimeout),
        Err(SocketError::Broken) => After::Ended(CloseReason::PeerReset),
    }
}

async fn refuse<L>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    fault: &Fault,
    body_is_read: bool,
) -> After {
    control.stats().refused.add(1);
    let settings = &hub(control).settings;
    let url = settings.resource_identifier.as_deref().map(documents::metadata_url);
    let mut out = Vec::new();
    let answer = Answer {
        connection: closing(call, body_is_read),
        content: call.content,
        cors: &settings.cors_origins,
        origin: call.origin.as_deref(),
        metadata_url: url.as_deref(),
    };
    answer.fault(fault, &mut out);
    send(control, socket, call, &out, body_is_read).await
}

fn fault_of(version: Version, refusal: Refusal) -> Fault {
    // Its words are of flags, and the bound may be a directive's.
    if refusal.status == Status::ContentTooLarge {
        return Fault::bare(version, refusal.status);
    }
    let retry_after = refusal.retry_after_seconds;
    Fault { retry_after, ..Fault::new(version, refusal.status, refusal.detail) }
}
