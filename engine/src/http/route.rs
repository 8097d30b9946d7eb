//! What a request asks for.
//!
//! The idea: all of the public interface in one table. A route carries decoded, checked values,
//! so nobody behind it looks at the request target again.
//!
//! Invariants: `GET /events/{topic}` and `GET /events?topic=` name the same topics in every
//! spelling; a subscription has at least one topic and none twice.
//!
//! Knows nothing of who may do it, nor whether a topic exists.

use super::refusal::{Refusal, Status};
use super::request::{BodyKind, Method, Request};
use super::target::{check_topic, path_topic, query_pairs};

#[cfg(test)]
mod tests;

const EVENTS_ALLOW: &str = "GET, HEAD, POST, OPTIONS";
const PAGE_ALLOW: &str = "GET, HEAD, OPTIONS";

/// The query names under which polyfills send what a browser sends as `Last-Event-ID` header.
const LAST_EVENT_ID_NAMES: [&str; 3] = ["last_event_id", "lastEventId", "Last-Event-ID"];

/// What the configuration says about routes.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub topics_per_subscriber_max: usize,
    /// Whether `GET /` answers with the start page.
    pub start_page: bool,
    /// Whether the native interface is served at all.
    pub native: bool,
}

/// One call of the public interface.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    Subscribe(Subscription),
    /// The head of that subscription's answer, and no stream.
    SubscribeHead(Subscription),
    /// The body is the data of one event.
    Publish {
        topic: String,
        fields: EventFields,
    },
    /// The body is events as JSON.
    PublishObjects(ObjectFormat),
    /// OPTIONS: what the resource allows, for browsers (CORS) and people.
    Preflight {
        allow: &'static str,
    },
    Page,
    PageHead,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Sorted, without duplicates, never empty.
    pub topics: Vec<String>,
    /// From where to resume, as the client said it; never empty. Bytes that are not UTF-8 are
    /// replaced, which makes an id that no server gave, and is answered like one.
    pub last_event_id: Option<String>,
}

/// The fields of an event that is published as a bare body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EventFields {
    pub event: Option<String>,
    pub id: Option<String>,
    pub retry_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFormat {
    /// One object, or an array of them.
    Json,
    /// One object per line, without end.
    Ndjson,
}

/// Finds the route of a request.
///
/// # Errors
/// 404 naming the paths that exist, 405 with `Allow`, 415 naming the types understood, 400 for
/// names and values that cannot be.
pub fn route(request: &Request<'_>, rules: &Rules) -> Result<Route, Refusal> {
    match request.path {
        _ if !rules.native => Err(Refusal::new(
            Status::NotFound,
            "There is nothing here but the Mercure hub at /.well-known/mercure (see --events).",
        )),
        "/events" => events(request, rules),
        "/" if rules.start_page => page(request.method),
        "*" => Ok(Route::Preflight { allow: EVENTS_ALLOW }),
        path => match path.strip_prefix("/events/") {
            Some(raw_topic) => topic(request, raw_topic),
            None => Err(not_found(rules)),
        },
    }
}

fn page(method: Method) -> Result<Route, Refusal> {
    match method {
        Method::Get => Ok(Route::Page),
        Method::Head => Ok(Route::PageHead),
        Method::Options => Ok(Route::Preflight { allow: PAGE_ALLOW }),
        _ => Err(Refusal::method_not_allowed(PAGE_ALLOW)),
    }
}

/// `/events/{topic}`
fn topic(request: &Request<'_>, raw_topic: &str) -> Result<Route, Refusal> {
    match request.method {
        Method::Get | Method::Head => subscribe(request, vec![path_topic(raw_topic)?]),
        Method::Post => {
            check_length(request)?;
            let topic = path_topic(raw_topic)?;
            Ok(Route::Publish { topic, fields: event_fields(request.query)? })
        }
        Method::Options => Ok(Route::Preflight { allow: EVENTS_ALLOW }),
        _ => Err(Refusal::method_not_allowed(EVENTS_ALLOW)),
    }
}

/// A POST says how its body ends (RFC 9110, section 15.5.12): an event is not published by mistake
/// with the data left out.
fn check_length(request: &Request<'_>) -> Result<(), Refusal> {
    if request.body == BodyKind::None && request.header("content-length").is_none() {
        return Err(Refusal::new(
            Status::LengthRequired,
            "Send the body's Content-Length (0 for an event without data), or the body chunked.",
        ));
    }
    Ok(())
}

/// `/events`, with the topics in the query or in the body.
fn events(request: &Request<'_>, rules: &Rules) -> Result<Route, Refusal> {
    match request.method {
        Method::Get | Method::Head => {
            subscribe(request, query_topics(request.query, rules.topics_per_subscriber_max)?)
        }
        Method::Post => {
            check_length(request)?;
            if let Some(pair) = query_pairs(request.query).next() {
                let (name, _) = pair?;
                return Err(unknown_parameter(&name, "none: the objects in the body say it all"));
            }
            object_format(request.header("content-type")).map(Route::PublishObjects)
        }
        Method::Options => Ok(Route::Preflight { allow: EVENTS_ALLOW }),
        _ => Err(Refusal::method_not_allowed(EVENTS_ALLOW)),
    }
}

fn subscribe(request: &Request<'_>, topics: Vec<String>) -> Result<Route, Refusal> {
    if request.body != BodyKind::None {
        return Err(Refusal::bad("A subscription has no body; POST publishes."));
    }
    let subscription = Subscription { topics, last_event_id: last_event_id(request)? };
    Ok(match request.method {
        Method::Head => Route::SubscribeHead(subscription),
        _ => Route::Subscribe(subscription),
    })
}

/// The `topic` parameters; others are ignored, because polyfills add padding and cache busters.
fn query_topics(query: Option<&str>, count_max: usize) -> Result<Vec<String>, Refusal> {
    let mut topics = Vec::new();
    for pair in query_pairs(query) {
        let (name, value) = pair?;
        if name == "topic" {
            check_topic(&value)?;
            topics.push(value.into_owned());
        }
    }
    topics.sort_unstable();
    topics.dedup();
    match topics.len() {
        0 => Err(Refusal::bad(
            "No topic is named; use /events/news or /events?topic=news&topic=weather.",
        )),
        count if count > count_max => Err(Refusal::bad(format!(
            "{count} topics are named; a subscription may have {count_max} \
             (see --topics-per-subscriber-max)."
        ))),
        _ => Ok(topics),
    }
}

/// The header if it says anything (WHATWG HTML, section 9.2.4), else the query.
fn last_event_id(request: &Request<'_>) -> Result<Option<String>, Refusal> {
    let header = request
        .header_once("last-event-id")
        .map_err(|_| Refusal::bad("The request has more than one Last-Event-ID header."))?;
    if let Some(value) = header.filter(|value| !value.is_empty()) {
        return Ok(Some(String::from_utf8_lossy(value).into_owned()));
    }
    for pair in query_pairs(request.query) {
        let (name, value) = pair?;
        if LAST_EVENT_ID_NAMES.contains(&&*name) && !value.is_empty() {
            return Ok(Some(value.into_owned()));
        }
    }
    Ok(None)
}

/// `event`, `id` and `retry`, each at most once. Anything else is refused: a misspelt name would
/// otherwise be an event that arrives without it.
fn event_fields(query: Option<&str>) -> Result<EventFields, Refusal> {
    let mut fields = EventFields::default();
    for pair in query_pairs(query) {
        let (name, value) = pair?;
        let repeated = match &*name {
            "event" => fields.event.replace(value.into_owned()).is_some(),
            "id" => fields.id.replace(value.into_owned()).is_some(),
            "retry" => fields.retry_ms.replace(milliseconds(&value)?).is_some(),
            _ => return Err(unknown_parameter(&name, "event, id and retry")),
        };
        if repeated {
            return Err(Refusal::bad(format!("The query parameter {name} is given twice.")));
        }
    }
    Ok(fields)
}

/// ASCII digits only, as a client reads them (WHATWG HTML, section 9.2.6).
fn milliseconds(value: &str) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| value.parse().ok())
        .flatten()
        .ok_or_else(|| Refusal::bad("The query parameter retry is not a number of milliseconds."))
}

/// The type of a body of objects; parameters such as `charset` do not matter.
fn object_format(content_type: Option<&str>) -> Result<ObjectFormat, Refusal> {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/json" => Ok(ObjectFormat::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            Ok(ObjectFormat::Ndjson)
        }
        _ => Err(Refusal::new(
            Status::UnsupportedMediaType,
            "POST /events takes Content-Type application/json (an object or an array) or \
             application/x-ndjson (an object per line). To publish any other body as it is, POST \
             it to /events/{topic}.",
        )),
    }
}

fn unknown_parameter(name: &str, allowed: &str) -> Refusal {
    // Long names are cut: the refusal should not be as long as the request.
    let name: String = name.chars().take(40).collect();
    Refusal::bad(format!("The query parameter '{name}' is not known; allowed: {allowed}."))
}

fn not_found(rules: &Rules) -> Refusal {
    let page = if rules.start_page { "GET / (the start page), " } else { "" };
    Refusal::new(
        Status::NotFound,
        format!(
            "There is nothing here. What exists: {page}GET /events/{{topic}} and \
             GET /events?topic=a&topic=b (subscribe), POST /events/{{topic}} and POST /events \
             (publish)."
        ),
    )
}
