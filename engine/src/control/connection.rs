//! One connection: requests one after the other, until it ends or a stream takes it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use memchr::memmem;

use super::Control;
use super::pace::{self, TooSoon};
use super::publish::Held;
use super::rights::{self, Bearer, Holder, Publisher};
use super::socket::{Socket, SocketError};
use super::{mercure, publish, subscribe};
use crate::close::CloseReason;
use crate::delivery::lane::Lane;
use crate::http::refusal::{Refusal, Status};
use crate::http::request::{self, BodyKind, Method, Parsed, Request};
use crate::http::response::{Connection, Content, Reply};
use crate::http::route::{self, Route};
use crate::limits::Pass;

/// The page behind `GET /`.
const PAGE: &[u8] = include_bytes!("page.html");
/// A head that is longer is counted among the bodies that are being read.
const LONG_HEAD_BYTES: usize = 16 << 10;
/// What a refused peer may still send, and for how long, before the connection is closed on it.
const LINGER_BYTES_MAX: usize = 256 << 10;
const LINGER: Duration = Duration::from_secs(2);

/// What a request asks for, taken out of the buffer it was read into.
pub(super) struct Call {
    pub(super) route: Result<Route, Refusal>,
    pub(super) connection: Connection,
    pub(super) content: Content,
    pub(super) origin: Option<String>,
    /// Who publishes, if it shows what a publisher must show.
    pub(super) publisher: Result<Publisher, Refusal>,
    /// Whose stream it is, if a token says so and it grants what it must.
    pub(super) subscriber: Result<Option<Holder>, Refusal>,
    pub(super) body: BodyKind,
    pub(super) expects_continue: bool,
    /// What it asks of the Mercure hub, if that is whom it asks.
    pub(super) hub: Option<Result<mercure::Asked, mercure::Denied>>,
    pub(super) is_for_hub: bool,
    /// Whether the answer would be a stream, or the head of one.
    pub(super) wants_stream: bool,
    /// Whether it came too soon after others; nothing else of it has been looked at then.
    pub(super) too_soon: Option<TooSoon>,
}

/// Who is on the other side.
#[derive(Debug)]
pub(super) struct Peer {
    /// The right to be one of the connections, or why there is none.
    pub(super) pass: Result<Pass, CloseReason>,
    /// The number that requests are counted by.
    pub(super) network: u64,
}

/// What becomes of the connection after a request.
pub(super) enum After {
    /// The next request; what of the buffer has been read is gone from it.
    Next,
    /// It has ended.
    Ended(CloseReason),
    /// The delivery lane has it.
    Streaming,
}

/// Serves a connection; gives its close reason, or none when the delivery lane has taken it over.
pub(super) async fn serve<L: Lane + 'static>(
    control: Rc<Control<L>>,
    socket: Socket,
    peer: Peer,
) -> Option<CloseReason> {
    let network = peer.network;
    let mut pass = Some(peer.pass);
    let mut buffer = Vec::new();
    let mut first = true;
    loop {
        let read = read_call(&control, &socket, &mut buffer, network, first);
        let call = match control.crowd.wait(read).await {
            Some(Ok(call)) => call,
            Some(Err(reason)) => return Some(reason),
            None => return Some(CloseReason::Crowded),
        };
        first = false;
        match answer(&control, &socket, &mut buffer, &mut pass, call).await {
            After::Next => {}
            After::Ended(reason) => return Some(reason),
            After::Streaming => return None,
        }
    }
}

/// Reads the next request's head.
async fn read_call<L: Lane>(
    control: &Control<L>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    network: u64,
    first: bool,
) -> Result<Call, CloseReason> {
    let config = &control.config;
    let mut idle = !first && buffer.is_empty();
    let mut deadline =
        Instant::now() + if idle { config.idle_timeout } else { config.handshake_timeout };
    let mut held = Held::new(control);
    let mut looked_at = 0;
    loop {
        // A head is read again from its start when more of it has arrived.
        control.turnstile.spend(buffer.len()).await;
        if buffer.len() > LONG_HEAD_BYTES
            && let Err(refusal) = held.set(buffer.capacity())
        {
            return Err(refuse(control, socket, None, &refusal).await);
        }
        if !buffer.is_empty() && is_worth_reading(buffer, looked_at) {
            looked_at = buffer.len();
            match request::parse(buffer, &config.head_limits()) {
                Ok(Parsed::Complete { request, head_bytes }) => {
                    let call = understand(control, &request, network).await;
                    buffer.drain(..head_bytes);
                    // Nobody counts it any more.
                    buffer.shrink_to(LONG_HEAD_BYTES);
                    return Ok(call);
                }
                Ok(Parsed::Partial) => {}
                Err(refusal) => {
                    // It counts, and is answered the same: the connection ends in either case.
                    let _ = control.limits.ask_network(network, control.stats.now_ns());
                    return Err(refuse(control, socket, None, &refusal).await);
                }
            }
        }
        match socket.read(buffer, deadline).await {
            Ok(0) => return Err(CloseReason::PeerClosed),
            Ok(_) if idle => {
                idle = false;
                deadline = Instant::now() + config.handshake_timeout;
            }
            Ok(_) => {}
            Err(SocketError::Broken) => return Err(CloseReason::PeerReset),
            Err(SocketError::Late) if idle => return Err(CloseReason::IdleTimeout),
            Err(SocketError::Late) if buffer.is_empty() => {
                return Err(CloseReason::HandshakeTimeout);
            }
            Err(SocketError::Late) => {
                let seconds = config.handshake_timeout.as_secs_f32();
                let detail = format!(
                    "The request head was not complete after {seconds} s; send it in one piece."
                );
                let refusal = Refusal::new(Status::RequestTimeout, detail);
                refuse(control, socket, None, &refusal).await;
                return Err(CloseReason::HandshakeTimeout);
            }
        }
    }
}

/// Finds out what a request asks for and what it may do.
async fn understand<L>(control: &Control<L>, request: &Request<'_>, network: u64) -> Call {
    let too_soon = pace::by_address(control, network);
    if too_soon.is_some() {
        return call(control, request, &Bearer::Nobody, None, too_soon);
    }
    // The hub looks at tokens itself, by its own rules.
    let mut bearer = match mercure::is_asked(control, request) {
        true => Bearer::Nobody,
        false => rights::bearer(control, request),
    };
    if matches!(bearer, Bearer::UnknownKey) && rights::wait_for_keys(control).await {
        bearer = rights::bearer(control, request);
    }
    let mut hub = mercure::asked(control, request);
    let waits = matches!(&hub, Some(Err(denied)) if denied.key_is_unknown);
    if waits && rights::wait_for_keys(control).await {
        hub = mercure::asked(control, request);
    }
    let too_soon = match (&bearer, &hub) {
        (Bearer::Known(holder), _) => pace::by_token(control, holder.token()),
        (_, Some(Ok(asked))) => asked.token().and_then(|token| pace::by_token(control, token)),
        _ => None,
    };
    call(control, request, &bearer, hub, too_soon)
}

/// Whether a head of which `looked_at` bytes were read before should be read again: at once, but a long
/// one only when it has come to an end or to double its length, so that one that comes byte by byte
/// does not cost its length for each.
fn is_worth_reading(buffer: &[u8], looked_at: usize) -> bool {
    let fresh = &buffer[looked_at.saturating_sub(3)..];
    buffer.len() <= LONG_HEAD_BYTES
        || buffer.len() >= 2 * looked_at
        || memmem::find(fresh, b"\r\n\r\n").is_some()
}

fn call<L>(
    control: &Control<L>,
    request: &Request<'_>,
    bearer: &Bearer,
    hub: Option<Result<mercure::Asked, mercure::Denied>>,
    too_soon: Option<TooSoon>,
) -> Call {
    let keep = request.keep_alive && !control.is_draining();
    let is_head = matches!(request.method, Method::Head);
    let route = route::route(request, &control.config.route_rules());
    let subscriber = match &route {
        Ok(Route::Subscribe(subscription) | Route::SubscribeHead(subscription)) => {
            rights::subscriber(control, bearer, &subscription.topics)
        }
        _ => Ok(None),
    };
    let is_for_hub = mercure::is_asked(control, request);
    let publisher = match is_for_hub {
        true => Ok(Publisher::Unbound),
        false => rights::publisher(control, request, bearer),
    };
    Call {
        too_soon,
        is_for_hub,
        wants_stream: match is_for_hub {
            true => mercure::is_subscription(request),
            false => matches!(route, Ok(Route::Subscribe(_) | Route::SubscribeHead(_))),
        },
        route,
        connection: if keep { Connection::KeepAlive } else { Connection::Close },
        content: if is_head { Content::Omitted } else { Content::Sent },
        origin: request.header("origin").map(str::to_owned),
        publisher,
        subscriber,
        body: request.body,
        expects_continue: request.expect_continue,
        hub,
    }
}

async fn answer<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    pass: &mut Option<Result<Pass, CloseReason>>,
    call: Call,
) -> After {
    if let Some(too_soon) = call.too_soon {
        return pace::answer(control, socket, &call, too_soon).await;
    }
    if let Some(asked) = &call.hub {
        return mercure::answer(control, socket, buffer, pass, &call, asked).await;
    }
    let route = match &call.route {
        Ok(route) => route,
        Err(refusal) => return refused(control, socket, &call, refusal).await,
    };
    if let Err(refusal) = &call.subscriber {
        return refused(control, socket, &call, refusal).await;
    }
    let over = matches!(pass, Some(Err(_)));
    match route {
        Route::Subscribe(subscription) => {
            let pass = pass.take().expect("a connection becomes a stream once");
            subscribe::subscribe(control, socket, pass, subscription, &call).await
        }
        Route::Publish { .. } | Route::PublishObjects(_) if over => {
            let detail = "There are as many connections as this server's limits allow.";
            refused(control, socket, &call, &Refusal::overloaded(detail, 5)).await
        }
        Route::Publish { topic, fields } => {
            publish::publish_data(control, socket, buffer, topic, fields, &call).await
        }
        Route::PublishObjects(format) => {
            publish::publish_objects(control, socket, buffer, *format, &call).await
        }
        Route::SubscribeHead(_) => {
            let mut out = Vec::new();
            reply(control, &call).stream_head(&mut out);
            send(control, socket, &call, &out).await
        }
        Route::Preflight { allow } => {
            let mut out = Vec::new();
            reply(control, &call).preflight(allow, &mut out);
            send(control, socket, &call, &out).await
        }
        Route::Page | Route::PageHead => {
            let mut out = Vec::new();
            reply(control, &call).page(PAGE, &mut out);
            send(control, socket, &call, &out).await
        }
    }
}

pub(super) fn reply<'a, L>(control: &'a Control<L>, call: &'a Call) -> Reply<'a> {
    Reply {
        connection: closing(call),
        content: call.content,
        cors: &control.config.cors,
        origin: call.origin.as_deref(),
    }
}

/// A body that nobody reads would be taken for the next request.
fn closing(call: &Call) -> Connection {
    match call.route {
        Ok(Route::Publish { .. } | Route::PublishObjects(_)) => call.connection,
        _ if call.body == BodyKind::None => call.connection,
        _ => Connection::Close,
    }
}

/// Sends a whole answer; the connection goes on if the call lets it.
pub(super) async fn send<L>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    bytes: &[u8],
) -> After {
    let deadline = Instant::now() + control.config.write_timeout;
    match socket.write(bytes, deadline).await {
        Ok(()) if closing(call) == Connection::KeepAlive => After::Next,
        Ok(()) => {
            linger(control, socket).await;
            After::Ended(CloseReason::Answered)
        }
        Err(SocketError::Late) => After::Ended(CloseReason::WriteTimeout),
        Err(SocketError::Broken) => After::Ended(CloseReason::PeerReset),
    }
}

/// Gives the peer time to take the last answer, unless others need the place.
pub(super) async fn linger<L>(control: &Control<L>, socket: &Socket) {
    // In a box: its buffer would be part of every connection's task.
    let linger = Box::pin(socket.linger(LINGER_BYTES_MAX, Instant::now() + LINGER));
    let _ = control.crowd.wait(linger).await;
}

/// Refuses a request that was understood; the connection goes on where its framing is certain.
pub(super) async fn refused<L>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    refusal: &Refusal,
) -> After {
    // Who left the length out has most likely sent a body all the same.
    let certain = call.body == BodyKind::None && refusal.status != Status::LengthRequired;
    if certain && call.connection == Connection::KeepAlive {
        control.stats().refused.add(1);
        let mut out = Vec::new();
        let reply = Reply { connection: Connection::KeepAlive, ..reply(control, call) };
        reply.problem(refusal, &mut out);
        return send(control, socket, call, &out).await;
    }
    After::Ended(refuse(control, socket, Some(call), refusal).await)
}

/// Refuses a request and ends the connection.
pub(super) async fn refuse<L>(
    control: &Control<L>,
    socket: &Socket,
    call: Option<&Call>,
    refusal: &Refusal,
) -> CloseReason {
    control.stats().refused.add(1);
    let mut out = Vec::new();
    let reply = Reply {
        connection: Connection::Close,
        content: call.map_or(Content::Sent, |call| call.content),
        cors: &control.config.cors,
        origin: call.and_then(|call| call.origin.as_deref()),
    };
    reply.problem(refusal, &mut out);
    let deadline = Instant::now() + control.config.write_timeout;
    match socket.write(&out, deadline).await {
        Ok(()) => {
            linger(control, socket).await;
            CloseReason::Refused
        }
        Err(SocketError::Late) => CloseReason::WriteTimeout,
        Err(SocketError::Broken) => CloseReason::PeerReset,
    }
}
