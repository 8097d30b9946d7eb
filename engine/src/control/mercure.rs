//! The routes of the Mercure hub: who asks, for what, with which rights; then hand in or hand over.
//!
//! What a request means is decided while its head is there (`asked`): parameters are read, the token
//! is verified, and what is left is served like any other publish or stream.
//!
//! Invariants: a stream starts, and an update is handed in, only after its token was verified by a
//! key of its role and version; rights are decided once.
//!
//! Texts are `mercure`'s; who subscribes is kept by `roster`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Control;
use super::connection::{After, Call, linger};
use super::publish::{Failed, hand_in, read_body};
use super::rights::{Holder, unix_seconds};
use super::socket::{Socket, SocketError};
use super::subscribe::{catch_up, hand_over, may_start, write_gap};
use crate::close::CloseReason;
use crate::delivery::lane::Lane;
use crate::event::EventId;
use crate::http::refusal::{Refusal, Status};
use crate::http::request::{BodyKind, Method, Request};
use crate::http::response::Connection;
use crate::limits::Pass;
use crate::mercure::answer::{Answer, Document, Fault, HUB_ALLOW, READ_ALLOW, header_id};
use crate::mercure::form::{Form, is_form};
use crate::mercure::settings::{Settings, hub_url};
use crate::mercure::subscribe::Ask;
use crate::mercure::subscription::{Filter, collection, content_type, etag};
use crate::mercure::update::{Update, unencodable};
use crate::mercure::{METADATA_PATH, PATH, QUERY_TOKEN_V0, Version, is_ours};
use crate::selector::Selector;
use crate::submission::Drafts;
use crate::token::source::{Places, Presented, SourceError, presented};
use crate::token::{Dialect, Rights};
use crate::topic::{Interest, PAIRS_MAX, Resume, Standing, pairs};

mod roster;
mod shed;

use roster::Roster;
pub(crate) use roster::{announce, depart};
pub(super) use shed::{send_away, too_soon};

/// The id that asks for everything kept.
const EARLIEST: &str = "earliest";
/// Bytes of a form beside its data, at most: a thousand topics.
const FORM_BYTES: usize = 256 << 10;

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
    /// The token, if there is one; it was found to be good.
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
    Subscribe { ask: Ask, holder: Option<Holder>, head: bool },
    Publish { rights: Rc<Rights>, is_form: bool },
    Subscriptions { filter: Filter, none_match: Option<String> },
    Metadata,
    Preflight(&'static str),
}

/// Whether a request is for the hub.
pub(super) fn is_asked<L>(control: &Control<L>, request: &Request<'_>) -> bool {
    control.hub.is_some() && is_ours(request.path)
}

/// Whether a request for the hub asks for a stream.
pub(super) fn is_subscription(request: &Request<'_>) -> bool {
    request.path == PATH && matches!(request.method, Method::Get | Method::Head)
}

/// What a request asks of the hub, if it is for it.
pub(super) fn asked<L>(
    control: &Control<L>,
    request: &Request<'_>,
) -> Option<Result<Asked, Fault>> {
    let hub = control.hub.as_ref().filter(|_| is_asked(control, request))?;
    Some(Reader::new(&hub.settings, request).and_then(|reader| reader.read(request)))
}

/// Reads one request.
struct Reader<'a> {
    settings: &'a Settings,
    hub_url: String,
    /// The version by the token, and by the settings where there is none.
    version: Version,
    token: Presented<'a>,
}

impl<'a> Reader<'a> {
    fn new(settings: &'a Settings, request: &Request<'a>) -> Result<Self, Fault> {
        let by_default = settings.speaks.by_default();
        let host = request.header("host");
        if !is_public(settings, host) {
            return Err(Fault::bare(by_default, Status::MisdirectedRequest));
        }
        let has_v0 = settings.speaks.has(Version::V0);
        let places = Places {
            dialect: if has_v0 { Dialect::V0 } else { Dialect::V1 },
            query: has_v0.then_some(QUERY_TOKEN_V0),
            cookies: &cookies(settings),
        };
        let token = presented(request, places).map_err(|error| match error {
            SourceError::QueryIsMalformed => Fault::bare(by_default, Status::BadRequest),
            _ => Fault::bad_source(by_default),
        })?;
        let version = token.token().map_or(by_default, |token| settings.speaks.of_token(token));
        Ok(Self { settings, hub_url: hub_url(settings, host), version, token })
    }

    fn read(self, request: &Request<'_>) -> Result<Asked, Fault> {
        let mut version = self.version;
        let what = match (request.path, request.method) {
            (PATH, Method::Get | Method::Head) => {
                let (ask, holder) = self.subscribe(request)?;
                version = ask.version;
                What::Subscribe { ask, holder, head: request.method == Method::Head }
            }
            (PATH, Method::Post) => What::Publish {
                rights: self.publish(request)?,
                is_form: is_form(request.header("content-type")),
            },
            (PATH, Method::Options) => What::Preflight(HUB_ALLOW),
            (PATH, _) => return Err(Fault::method(version, HUB_ALLOW)),
            (_, Method::Options) => What::Preflight(READ_ALLOW),
            (METADATA_PATH, Method::Get | Method::Head)
                if self.settings.speaks.has(Version::V1) =>
            {
                What::Metadata
            }
            (path, method) => {
                let filter = self.filter(path).ok_or_else(|| Fault::not_found(version))?;
                if !matches!(method, Method::Get | Method::Head) {
                    return Err(Fault::method(version, READ_ALLOW));
                }
                self.may_list(request)?;
                version = filter.version;
                let none_match = request.header("if-none-match").map(str::to_owned);
                What::Subscriptions { filter, none_match }
            }
        };
        let token = self.token.token().map(Rc::from);
        Ok(Asked { version, hub_url: self.hub_url, path: request.path.to_owned(), token, what })
    }

    /// The rights that the token gives in a role; none without a token.
    fn holder(&self, publishing: bool) -> Result<Option<Holder>, Fault> {
        let Some(token) = self.token.token() else { return Ok(None) };
        let keys = if publishing { &self.settings.publishers } else { &self.settings.subscribers };
        let verifier = keys.of(self.version).ok_or_else(|| Fault::bad_token(self.version))?;
        let rights = verifier.verify(token, unix_seconds(), &self.hub_url);
        rights
            .map(|rights| Some(Holder::new(rights, token)))
            .map_err(|_| Fault::bad_token(self.version))
    }

    /// Version 0 asks for the token first, then for the parameters.
    fn subscribe(&self, request: &Request<'_>) -> Result<(Ask, Option<Holder>), Fault> {
        let form = Form::parse(request.query.unwrap_or_default().as_bytes());
        let shows_match = form.as_ref().is_ok_and(|form| {
            form.first("topic").is_none() && form.iter().any(|(name, _)| name.starts_with("match"))
        });
        let speaks = self.settings.speaks;
        let version =
            if shows_match && speaks.has(Version::V1) { Version::V1 } else { self.version };
        // Without a key nobody can have a token, and what is sent as one is nobody's.
        let holder = if self.settings.subscribers.exist() { self.holder(false)? } else { None };
        if holder.is_none() && !self.settings.anonymous {
            return Err(Fault::no_token(version));
        }
        if request.body != BodyKind::None {
            return Err(Fault::bare(version, Status::BadRequest));
        }
        let form = form.map_err(|_| Fault::bare(version, Status::BadRequest))?;
        let header = match request.header_once("last-event-id") {
            Ok(header) => header.map(String::from_utf8_lossy),
            Err(_) => return Err(Fault::bare(version, Status::BadRequest)),
        };
        let mut ask = Ask::read(&form, header.as_deref(), speaks, &self.hub_url)?;
        if ask.last_event_id.is_none() && self.settings.compatibility_7 {
            let id = form.first("Last-Event-ID").filter(|id| !id.is_empty());
            ask.last_event_id = id.map(str::to_owned);
        }
        let claims = holder.as_ref().map_or(&[][..], |holder| &holder.rights.subscribe);
        if pairs(&ask.selectors(), claims) > PAIRS_MAX {
            let text = "too many topics in subscription";
            return Err(Fault::new(ask.version, Status::BadRequest, text));
        }
        Ok((ask, holder))
    }

    fn publish(&self, request: &Request<'_>) -> Result<Rc<Rights>, Fault> {
        let by_cookie = matches!(self.token, Presented::Cookie(_));
        let (origin, referer) = (request.header("origin"), request.header("referer"));
        // A browser sends cookies on its own, so the page has to be one that may publish.
        if by_cookie && !self.settings.publish_origins.vouch(origin, referer) {
            return Err(Fault::bad_source(self.version));
        }
        let holder = self.holder(true)?.ok_or_else(|| Fault::no_token(self.version))?;
        // Version 0 takes a token that does not speak of publishing for none.
        match holder.rights.publish {
            None => Err(Fault::not_granted(self.version)),
            Some(_) => Ok(holder.rights),
        }
    }

    fn filter(&self, path: &str) -> Option<Filter> {
        if !self.settings.subscriptions {
            return None;
        }
        Filter::read(path, self.version, self.settings.speaks.has(Version::V1))
    }

    /// Who may see subscriptions is who may see the private updates of their path.
    fn may_list(&self, request: &Request<'_>) -> Result<(), Fault> {
        let holder = self.holder(false)?.ok_or_else(|| Fault::no_token(self.version))?;
        match holder.rights.may_subscribe(request.path) {
            true => Ok(()),
            false => Err(Fault::not_granted(self.version)),
        }
    }
}

/// The cookies that may have a token, those of version 1 first.
fn cookies(settings: &Settings) -> Vec<&str> {
    let v1 = settings.speaks.has(Version::V1).then_some(settings.cookie_v1.as_str());
    let v0 = settings.speaks.has(Version::V0).then_some(settings.cookie_v0.as_str());
    v1.into_iter().chain(v0).collect()
}

/// Whether the hub is to be reached under this host.
fn is_public(settings: &Settings, host: Option<&str>) -> bool {
    let origins = &settings.public_origins;
    origins.is_empty()
        || origins.iter().any(|origin| {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.zip(host).is_some_and(|(a, h)| a.eq_ignore_ascii_case(h))
        })
}

/// Serves what was asked.
pub(super) async fn answer<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    pass: &mut Option<Result<Pass, CloseReason>>,
    call: &Call,
    asked: &Result<Asked, Fault>,
) -> After {
    let asked = match asked {
        Ok(asked) => asked,
        Err(fault) => return refuse(control, socket, call, fault, false).await,
    };
    match &asked.what {
        What::Subscribe { ask, head: true, .. } => {
            let mut out = Vec::new();
            let id = ask.last_event_id.as_deref().map(|_| EARLIEST);
            say(control, call, asked, |answer| answer.stream(ask.version, id, &mut out));
            send(control, socket, call, &out, false).await
        }
        What::Subscribe { ask, holder, head: false } => {
            let pass = pass.take().expect("a connection becomes a stream once");
            subscribe(control, socket, pass, call, asked, (ask, holder.as_ref())).await
        }
        What::Publish { .. } if matches!(pass, Some(Err(_))) => {
            let fault = Fault {
                retry_after: Some(5),
                ..Fault::bare(asked.version, Status::ServiceUnavailable)
            };
            refuse(control, socket, call, &fault, false).await
        }
        What::Publish { rights, is_form } => {
            publish(control, socket, buffer, call, asked, (&**rights, *is_form)).await
        }
        What::Subscriptions { filter, none_match } => {
            match list(control, call, asked, filter, none_match.as_deref()) {
                Ok(out) => send(control, socket, call, &out, false).await,
                Err(fault) => refuse(control, socket, call, &fault, false).await,
            }
        }
        What::Metadata => {
            let out = metadata(control, call, asked);
            send(control, socket, call, &out, false).await
        }
        What::Preflight(allow) => {
            let mut out = Vec::new();
            say(control, call, asked, |answer| answer.preflight(allow, &mut out));
            send(control, socket, call, &out, false).await
        }
    }
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
    let url = settings.resource_identifier.as_deref().map(metadata_url);
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

/// RFC 9728, section 3.1: the well-known name goes between host and path.
fn metadata_url(resource: &str) -> String {
    let host = resource.find("://").map_or(0, |at| at + 3);
    let path = resource[host..].find('/').map_or(resource.len(), |at| host + at);
    format!("{}/.well-known/oauth-protected-resource{}", &resource[..path], &resource[path..])
}

async fn subscribe<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    pass: Result<Pass, CloseReason>,
    call: &Call,
    asked: &Asked,
    (ask, holder): (&Ask, Option<&Holder>),
) -> After {
    let started = match pass {
        Ok(pass) => {
            catch_up(control).await;
            start(control, socket, pass, call, asked, (ask, holder))
        }
        Err(reason) => Err(reason),
    };
    match started {
        Ok(()) => After::Streaming,
        Err(reason) => send_away(control, socket, call, Duration::ZERO, reason).await,
    }
}

/// Hands the socket over with the head of its stream.
fn start<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    pass: Pass,
    call: &Call,
    asked: &Asked,
    (ask, holder): (&Ask, Option<&Holder>),
) -> Result<(), CloseReason> {
    let selectors = ask.selectors();
    let rights = holder.map(|holder| &*holder.rights);
    let claims: &[Selector] = rights.map_or(&[], |rights| &rights.subscribe);
    let interest = Interest::Selectors { selectors: &selectors, claims };
    may_start(control, |topics| interest.new_upper_bound(topics))?;
    let (resume, id) = resume(control, interest, ask.last_event_id.as_deref());
    let mut head = Vec::with_capacity(768);
    say(control, call, asked, |answer| answer.stream(ask.version, id.as_deref(), &mut head));
    write_gap(control, &resume, &mut head);
    let is_listed = hub(control).settings.subscriptions;
    let number = is_listed.then(|| roster::enter(control, ask, rights));
    let started = hand_over(control, socket, pass, interest, (&resume, head), holder);
    if let Some(number) = number {
        match started {
            Ok(slot) => roster::begin(control, number, slot),
            Err(_) => roster::withdraw(control, number),
        }
    }
    started.map(|_| ())
}

/// Where a stream starts, and what the answer says of it to a client that has asked.
fn resume<L: Lane>(
    control: &Control<L>,
    interest: Interest<'_>,
    asked: Option<&str>,
) -> (Resume, Option<String>) {
    let delivery = control.delivery.borrow();
    let topics = delivery.topics();
    let sequence_max = control.stats.sequence.get();
    let Some(id) = asked else { return (topics.resume_live(sequence_max), None) };
    if id.is_empty() {
        return (topics.resume_live(sequence_max), Some(EARLIEST.into()));
    }
    let resume = topics.resume(interest, id, control.epoch, sequence_max);
    let is_placed = resume.gap.is_none() && resume.standing == Standing::Resumed;
    let is_whole = is_placed && !topics.has_lost(interest, resume.sequence);
    let said = header_id(id).filter(|_| is_whole).unwrap_or(EARLIEST);
    (resume, Some(said.to_owned()))
}

async fn publish<L: Lane>(
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
    let update = Update::read(&form, version, &asked.hub_url)?;
    if !update.topics.iter().all(|topic| rights.may_publish(topic)) {
        return Err(Fault::not_granted(version));
    }
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

fn fault_of(version: Version, refusal: Refusal) -> Fault {
    let retry_after = refusal.retry_after_seconds;
    Fault { retry_after, ..Fault::new(version, refusal.status, refusal.detail) }
}

/// The document of the subscriptions that a filter has.
fn list<L: Lane>(
    control: &Control<L>,
    call: &Call,
    asked: &Asked,
    filter: &Filter,
    none_match: Option<&str>,
) -> Result<Vec<u8>, Fault> {
    let sequence = control.stats.sequence.get();
    let id = match sequence {
        0 => EARLIEST.to_owned(),
        _ => EventId { epoch: control.epoch, sequence }.urn().to_string(),
    };
    let subscriptions = hub(control).roster.list(filter);
    let body = match (&filter.subscriber, subscriptions.first()) {
        (None, _) => collection(&asked.path, filter.version, &id, &subscriptions),
        (Some(_), Some(one)) => one.document(&id),
        (Some(_), None) => return Err(Fault::not_found(filter.version)),
    };
    let tag = etag(&id);
    let mut headers = format!("ETag: {tag}\r\n");
    if filter.version == Version::V1 {
        headers += &format!(
            "Link: <{PATH}>; rel=\"mercure\"; last-event-id=\"{id}\"; type=\"mercure\"; \
             content-type=\"application/json\"\r\n"
        );
    }
    let mut out = Vec::with_capacity(512 + body.len());
    say(control, call, asked, |answer| {
        if none_match.is_some_and(|tags| tags.split(',').any(|one| one.trim() == tag)) {
            answer.not_modified(&headers, &mut out);
            return;
        }
        let content_type = content_type(filter.version);
        let document = Document { content_type, body: body.as_bytes(), headers: &headers };
        answer.document(Status::Ok, &document, &mut out);
    });
    Ok(out)
}

/// Protected resource metadata (RFC 9728, section 3.2).
fn metadata<L>(control: &Control<L>, call: &Call, asked: &Asked) -> Vec<u8> {
    let settings = &hub(control).settings;
    let body = serde_json::json!({
        "resource": asked.hub_url,
        "bearer_methods_supported": ["header"],
        "authorization_details_types_supported": ["https://mercure.rocks/authorization-detail"],
        "mercure_cookie": settings.cookie_v1,
        "mercure_subscriptions": settings.subscriptions,
    });
    let body = body.to_string();
    let mut out = Vec::new();
    let document =
        Document { content_type: "application/json", body: body.as_bytes(), headers: "" };
    say(control, call, asked, |answer| answer.document(Status::Ok, &document, &mut out));
    out
}
