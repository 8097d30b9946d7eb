//! Updates: the form that a publisher posts, as an event.
//!
//! The idea: the fields of both versions are the same; what differs is what they may hold and how a
//! wrong one is answered.
//!
//! Invariants: an update has at least one topic; none of its topics is one that the hub itself
//! publishes to; `id` and `type` cannot end a line.
//!
//! Knows nothing of who may publish.

use super::answer::Fault;
use super::form::Form;
use super::{PATH, Version};
use crate::event::{ALTERNATES_MAX, Event, EventError, Form as EventForm, GAP_EVENT, RETRY_MS_MAX};
use crate::http::refusal::Status;

/// Topics of one update, at most.
pub const TOPICS_MAX: usize = ALTERNATES_MAX + 1;
/// The event type of the hub's own updates in version 1.
pub const HUB_TYPE: &str = "mercure";
/// How often a path is decoded to find what it may mean to others.
const DECODINGS_MAX: usize = 3;
/// The id that asks for everything kept; no event may have it.
const EARLIEST: &str = "earliest";

/// What a publisher gives. The first topic is the canonical one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    pub topics: Vec<String>,
    pub data: String,
    pub private: bool,
    pub id: Option<String>,
    pub event: Option<String>,
    pub retry: Option<u64>,
}

impl Update {
    /// Reads an update. Fields that nobody knows are ignored; of a field that is given twice the
    /// first counts, but for `topic`. `hub_url` is what topics of version 1 are relative to.
    ///
    /// # Errors
    /// What is wrong, in the words and with the status of the version's hub.
    pub fn read(form: &Form, version: Version, hub_url: &str) -> Result<Self, Fault> {
        let bad = |text| Fault::new(version, Status::BadRequest, text);
        let topics: Vec<String> = form.all("topic").map(str::to_owned).collect();
        match topics.len() {
            0 => return Err(bad("Missing \"topic\" parameter")),
            1..=TOPICS_MAX => {}
            _ => return Err(bad("too many topics in update")),
        }
        let retry = match form.first("retry").filter(|text| !text.is_empty()) {
            Some(text) => retry(text).ok_or_else(|| bad("Invalid \"retry\" parameter"))?,
            None => 0,
        };
        for topic in &topics {
            check_topic(topic, version, hub_url)?;
        }
        let given = |name| form.first(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let update = Self {
            data: form.first("data").unwrap_or_default().into(),
            private: form.first("private").is_some(),
            id: given("id"),
            event: given("type"),
            retry: (retry > 0).then_some(retry),
            topics,
        };
        update.check_fields(version)?;
        Ok(update)
    }

    fn check_fields(&self, version: Version) -> Result<(), Fault> {
        let bad = |text| Err(Fault::new(version, Status::BadRequest, text));
        let breaks_line = |text: &Option<String>| {
            text.as_ref().is_some_and(|text| text.contains(['\0', '\r', '\n']))
        };
        if breaks_line(&self.id) {
            return bad("\"id\" field contains a forbidden control character");
        }
        if breaks_line(&self.event) {
            return bad("\"type\" field contains a forbidden control character");
        }
        // Gaps are told by it, and an event that claims one would be taken for it.
        if self.event.as_deref() == Some(GAP_EVENT) {
            return bad("\"type\" field has the reserved value \"gap\"");
        }
        if version == Version::V1 {
            let id = self.id.as_deref().unwrap_or_default();
            if id.starts_with('#') || id == EARLIEST {
                return bad("\"id\" field has a reserved value");
            }
            if self.event.as_deref() == Some(HUB_TYPE) {
                return bad("\"type\" field has the reserved value \"mercure\"");
            }
        }
        Ok(())
    }

    /// The update as an event; `alternates` holds its topics beside the first.
    #[must_use]
    pub fn event<'a>(&'a self, alternates: &'a [&'a str]) -> Event<'a> {
        Event {
            topic: &self.topics[0],
            alternates,
            private: self.private,
            form: EventForm::Mercure,
            data: &self.data,
            event: self.event.as_deref(),
            id: self.id.as_deref(),
            retry: self.retry,
        }
    }
}

/// The answer for an update that cannot be encoded.
#[must_use]
pub fn unencodable(error: EventError, version: Version) -> Fault {
    let text = match error {
        EventError::Topic | EventError::LongTopic => {
            "topic contains a forbidden control character or is too long".into()
        }
        other => other.to_string(),
    };
    Fault::new(version, Status::BadRequest, text)
}

/// Digits only, in milliseconds; 0 is none.
fn retry(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|retry| *retry <= RETRY_MS_MAX)
}

/// A topic is text without control characters, and not one that the hub itself publishes to.
fn check_topic(topic: &str, version: Version, hub_url: &str) -> Result<(), Fault> {
    let status = match version {
        Version::V0 if topic.contains(PATH) => Some(Status::Forbidden),
        Version::V1 if topic == "*" || is_reserved(topic, hub_url) => Some(Status::BadRequest),
        // Whoever speaks version 0 does not get past the rule of version 1 by another spelling.
        Version::V0 if is_reserved(topic, hub_url) => Some(Status::Forbidden),
        _ => None,
    };
    if let Some(status) = status {
        let text = "topic value references the reserved \"/.well-known/mercure\" namespace";
        let text = if topic == "*" { "topic value \"*\" is reserved" } else { text };
        return Err(Fault::new(version, status, text));
    }
    if topic.is_empty() || topic.chars().any(char::is_control) {
        let text = "topic contains a forbidden control character or is empty";
        return Err(Fault::new(version, Status::BadRequest, text));
    }
    Ok(())
}

/// Whether a topic, resolved as a URL reference against the hub's URL, has a path of the hub's: dots
/// resolved, percent-encoding undone, on whatever host (draft 08, "Publication").
fn is_reserved(topic: &str, hub_url: &str) -> bool {
    let Ok(base) = url::Url::parse(hub_url) else { return topic.contains(PATH) };
    let Ok(resolved) = base.join(topic) else { return false };
    let mut path = resolved.path().to_owned();
    // Encoded more than once is as good as once for whoever decodes again.
    for _ in 0..DECODINGS_MAX {
        path = decoded(&path);
    }
    let below = normal(&path);
    below == PATH || below.starts_with("/.well-known/mercure/")
}

/// A path with its percent-encoding undone once; what is none stays.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A path with its dot segments and doubled slashes taken out.
fn normal(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}
