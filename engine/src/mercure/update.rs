//! Updates: the form that a publisher posts, as an event.
//!
//! The idea: the fields of both versions are the same; what differs is what they may hold and how a
//! wrong one is answered.
//!
//! Invariants: an update has at least one topic; none of its topics is one that the hub itself
//! publishes to, once it is checked; `id` and `type` cannot end a line.
//!
//! Knows nothing of who may publish.

use super::answer::Fault;
use super::form::Form;
use super::{PATH, Speaks, Version};
use crate::event::{ALTERNATES_MAX, Event, EventError, Form as EventForm, RETRY_MS_MAX};
use crate::http::refusal::Status;
use crate::selector::unseen::is_unseen;

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
    /// first counts, but for `topic`. What the fields may hold is [`check`](Self::check)ed once it
    /// is known that their publisher has the right to them.
    ///
    /// # Errors
    /// What is wrong, in the words and with the status of the version's hub.
    pub fn read(form: &Form, version: Version) -> Result<Self, Fault> {
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
        let given = |name| form.first(name).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self {
            data: form.first("data").unwrap_or_default().into(),
            private: form.first("private").is_some(),
            id: given("id"),
            event: given("type"),
            retry: (retry > 0).then_some(retry),
            topics,
        })
    }

    /// Checks what the fields hold. `hub_url` is what topics are relative to, where that matters:
    /// beside version 1, version 0 does not get past its rules by another spelling of a topic.
    ///
    /// # Errors
    /// What is wrong, in the words and with the status of the version's hub.
    pub fn check(&self, version: Version, speaks: Speaks, hub_url: &str) -> Result<(), Fault> {
        let url = speaks.has(Version::V1).then_some(hub_url);
        self.topics.iter().try_for_each(|topic| check_topic(topic, version, url))?;
        let bad = |text| Err(Fault::new(version, Status::BadRequest, text));
        let is_forbidden = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default();
            match version {
                Version::V0 => text.contains(['\0', '\r', '\n']),
                Version::V1 => text.contains(is_unseen),
            }
        };
        if is_forbidden(&self.id) {
            return bad("\"id\" field contains a forbidden control character");
        }
        if is_forbidden(&self.event) {
            return bad("\"type\" field contains a forbidden control character");
        }
        let id = self.id.as_deref().unwrap_or_default();
        if version == Version::V1 && (id.starts_with('#') || id == EARLIEST) {
            return bad("\"id\" field has a reserved value");
        }
        if url.is_some() && self.event.as_deref() == Some(HUB_TYPE) {
            return bad("\"type\" field has the reserved value \"mercure\"");
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

/// The answer for an update that cannot be encoded: a field is longer than is allowed here, which
/// version 1 has a status for.
#[must_use]
pub fn unencodable(error: EventError, version: Version) -> Fault {
    let status = match version {
        Version::V0 => Status::BadRequest,
        Version::V1 => Status::ContentTooLarge,
    };
    Fault::new(version, status, error.to_string())
}

/// Digits only, in milliseconds; 0 is none. More than a day is taken for a day: a subscriber that
/// stays away for longer has been told to stop.
fn retry(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let retry: u64 = digits.then(|| text.parse().ok()).flatten()?;
    Some(retry.min(RETRY_MS_MAX))
}

/// `url` is the hub's, where version 1 is spoken.
fn check_topic(topic: &str, version: Version, url: Option<&str>) -> Result<(), Fault> {
    let is_plainly_reserved = version == Version::V0 && topic.contains(PATH);
    if is_plainly_reserved || url.is_some_and(|url| is_reserved(topic, url)) {
        let status = match version {
            Version::V0 => Status::Forbidden,
            Version::V1 => Status::BadRequest,
        };
        let text = format!("{topic:?}: topic value references the reserved \"{PATH}\" namespace");
        return Err(Fault::new(version, status, text));
    }
    let bad = |text| Err(Fault::new(version, Status::BadRequest, text));
    if version == Version::V1 && topic == "*" {
        return bad("topic value \"*\" is reserved");
    }
    if version == Version::V1 && topic.contains(is_unseen) {
        return bad("topic contains a forbidden control character");
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
