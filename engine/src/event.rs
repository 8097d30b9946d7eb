//! Events, their ids, and the frames they are encoded into.
//!
//! An [`Event`] is what a publisher gives. Encoding it yields a [`Draft`]: the finished
//! Server-Sent-Events text with a gap left for the one line that is not known yet, the id.
//! The sequencer fills that gap in place and the draft becomes a [`Frame`]: immutable, shared by
//! every worker and every subscriber, never copied again in user space.
//!
//! Invariants:
//! - A frame's text is exactly one event of the `text/event-stream` format (WHATWG HTML 9.2.5):
//!   publishers cannot inject a field, a second event or invalid UTF-8.
//! - Encoding is done once; numbering neither allocates nor moves the text.
//!
//! This module knows no I/O, no clock and no other module.

use std::collections::HashSet;
use std::fmt;

mod frame;
mod id;
pub(crate) mod object;

#[cfg(test)]
mod tests;

pub use frame::{Draft, Frame};
pub use id::{Epoch, EventId, NotAnEventId, Urn};

/// Longest `event` name a publisher may give, in bytes. Names are identifiers, not text.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest `id` a publisher may give, in bytes. Beyond 128 a browser sends a CORS preflight before
/// each reconnect (Fetch, CORS-safelisted request-header), so long ids cost their users twice.
pub const ID_BYTES_MAX: usize = 256;
/// Longest topic name, in bytes after percent-decoding.
pub const TOPIC_BYTES_MAX: usize = 255;
/// Longest topic name in Mercure's form, in bytes: a subscription has a topic that contains its
/// selector percent-encoded, three bytes for one.
pub const LONG_TOPIC_BYTES_MAX: usize = 16 << 10;
/// Most topics an event may have beside its first, and their bytes: what Mercure's hub takes, and
/// enough for a few hundred URLs.
pub const ALTERNATES_MAX: usize = 999;
/// See [`ALTERNATES_MAX`]; two bytes more are counted for each of them.
pub const ALTERNATES_BYTES_MAX: usize = 64 << 10;
/// Bytes of a frame beside its data, at most: topics, name, id, retry, and what holds them together.
pub const HEAD_BYTES_MAX: usize = LONG_TOPIC_BYTES_MAX + ALTERNATES_BYTES_MAX + (1 << 10);
/// Longest reconnection time a publisher may set, in milliseconds: one day.
pub const RETRY_MS_MAX: u64 = 86_400_000;
/// The event name the engine itself uses; a publisher cannot use it, but in Mercure's form, whose hub
/// keeps it for nobody.
pub const GAP_EVENT: &str = "gap";

/// What a publisher gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Name of the topic, already percent-decoded.
    pub topic: &'a str,
    /// Further topics it goes to; the same one again is left out.
    pub alternates: &'a [&'a str],
    /// Only for subscribers with a right to one of its topics.
    pub private: bool,
    /// How it is written.
    pub form: Form,
    /// The payload. Line ends of any kind (CRLF, CR, LF) reach subscribers as LF.
    pub data: &'a str,
    /// Event name; none is dispatched as `message` by EventSource.
    pub event: Option<&'a str>,
    /// An id of the publisher's own instead of `<epoch>-<sequence>`.
    pub id: Option<&'a str>,
    /// New reconnection time of every subscriber that gets the event, in milliseconds.
    pub retry: Option<u64>,
}

/// How an event is written: the order of its fields, and the spelling of an id that is given to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `id`, `event`, `retry`, `data`; `<epoch>-<sequence>`.
    #[default]
    Native,
    /// `event`, `retry`, `id`, `data`, as Mercure's hub writes them; `urn:uuid:`. Topics may have
    /// [`LONG_TOPIC_BYTES_MAX`].
    Mercure,
}

/// Why an event cannot be encoded. The text says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventError {
    /// Topic empty, longer than [`TOPIC_BYTES_MAX`], or with a control character.
    Topic,
    /// Topic longer than [`LONG_TOPIC_BYTES_MAX`].
    LongTopic,
    /// More than [`ALTERNATES_MAX`] alternates, or [`ALTERNATES_BYTES_MAX`] bytes of them.
    Alternates,
    /// Event name longer than [`NAME_BYTES_MAX`], or with NUL, CR or LF.
    Name,
    /// Event name is [`GAP_EVENT`], in the native form.
    NameReserved,
    /// Id empty, longer than [`ID_BYTES_MAX`], or with NUL, CR or LF.
    Id,
    /// Id has the form of the engine's own ids.
    IdReserved,
    /// Reconnection time is 0 or above [`RETRY_MS_MAX`].
    Retry,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::Topic => write!(
                f,
                "`topic` must be 1 to {TOPIC_BYTES_MAX} bytes of UTF-8 without control characters"
            ),
            EventError::LongTopic => {
                write!(f, "`topic` must be at most {LONG_TOPIC_BYTES_MAX} bytes of UTF-8")
            }
            EventError::Alternates => write!(
                f,
                "an event may have {ALTERNATES_MAX} topics beside the first, with \
                 {ALTERNATES_BYTES_MAX} bytes in all"
            ),
            EventError::Name => {
                write!(f, "`event` must be at most {NAME_BYTES_MAX} bytes without NUL, CR or LF")
            }
            EventError::NameReserved => write!(
                f,
                "`event` must not be `{GAP_EVENT}`: subscribers are told of missing events by it"
            ),
            EventError::Id => write!(
                f,
                "`id` must be 1 to {ID_BYTES_MAX} bytes without NUL, CR or LF; leave it out to \
                 have one given"
            ),
            EventError::IdReserved => write!(
                f,
                "`id` must not have the form <12 hex digits>-<number>: these ids are the engine's \
                 own; leave it out to have one given"
            ),
            EventError::Retry => {
                write!(f, "`retry` must be 1 to {RETRY_MS_MAX} milliseconds")
            }
        }
    }
}

impl std::error::Error for EventError {}

impl Event<'_> {
    /// Encodes the event, once for all its subscribers.
    ///
    /// # Errors
    /// When a member cannot stand in an event stream or breaks one of this module's bounds.
    pub fn encode(&self) -> Result<Draft, EventError> {
        self.check()?;
        if self.alternates.is_empty() {
            return Ok(Draft::new(self, &[]));
        }
        let mut seen = HashSet::from([self.topic]);
        let alternates: Vec<&str> =
            self.alternates.iter().copied().filter(|topic| seen.insert(topic)).collect();
        Ok(Draft::new(self, &alternates))
    }

    fn check(&self) -> Result<(), EventError> {
        let (bytes_max, error) = match self.form {
            Form::Native => (TOPIC_BYTES_MAX, EventError::Topic),
            Form::Mercure => (LONG_TOPIC_BYTES_MAX, EventError::LongTopic),
        };
        if !self.may_name(self.topic, bytes_max) {
            return Err(error);
        }
        self.check_alternates(bytes_max, error)?;
        if let Some(name) = self.event {
            if name.len() > NAME_BYTES_MAX || breaks_a_line(name) {
                return Err(EventError::Name);
            }
            if name == GAP_EVENT && self.form == Form::Native {
                return Err(EventError::NameReserved);
            }
        }
        if let Some(id) = self.id {
            if id.is_empty() || id.len() > ID_BYTES_MAX || breaks_a_line(id) {
                return Err(EventError::Id);
            }
            // A URN may well be another hub's, passed on.
            if id.parse::<EventId>().is_ok_and(|own| id == own.to_string()) {
                return Err(EventError::IdReserved);
            }
        }
        match self.retry {
            Some(retry) if retry == 0 || retry > RETRY_MS_MAX => Err(EventError::Retry),
            _ => Ok(()),
        }
    }

    /// Mercure's hub takes any text for a topic; what else is asked of one there is asked before.
    fn may_name(&self, topic: &str, bytes_max: usize) -> bool {
        match self.form {
            Form::Native => is_name(topic, bytes_max),
            Form::Mercure => topic.len() <= bytes_max,
        }
    }

    fn check_alternates(&self, bytes_max: usize, error: EventError) -> Result<(), EventError> {
        if !self.alternates.iter().all(|topic| self.may_name(topic, bytes_max)) {
            return Err(error);
        }
        let bytes: usize = self.alternates.iter().map(|topic| topic.len() + 2).sum();
        if self.alternates.len() > ALTERNATES_MAX || bytes > ALTERNATES_BYTES_MAX {
            return Err(EventError::Alternates);
        }
        Ok(())
    }
}

/// True for a name a topic may have.
#[must_use]
pub fn is_topic(name: &str) -> bool {
    is_name(name, TOPIC_BYTES_MAX)
}

fn is_name(name: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// NUL is refused beside CR and LF because EventSource ignores an id that contains it.
fn breaks_a_line(text: &str) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, text.as_bytes()).is_some()
}
