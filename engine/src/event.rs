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
//! - Numbering neither allocates nor moves the text.
//!
//! This module knows no I/O, no clock and no other module.

use std::fmt;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};

pub(crate) mod object;

#[cfg(test)]
mod tests;

/// Longest `event` name a publisher may give, in bytes. Names are identifiers, not text.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest `id` a publisher may give, in bytes. Beyond 128 a browser sends a CORS preflight before
/// each reconnect (Fetch, CORS-safelisted request-header), so long ids cost their users twice.
pub const ID_BYTES_MAX: usize = 256;
/// Longest topic name, in bytes after percent-decoding.
pub const TOPIC_BYTES_MAX: usize = 255;
/// Longest reconnection time a publisher may set, in milliseconds: one day.
pub const RETRY_MS_MAX: u64 = 86_400_000;
/// The event name the engine itself uses; a publisher cannot use it.
pub const GAP_EVENT: &str = "gap";

/// Hex digits in the text of an [`Epoch`].
const EPOCH_DIGITS: usize = 12;
/// Bytes left free for `id: <epoch>-<sequence>\n` with the longest sequence (20 digits).
const ID_ROOM: usize = "id: ".len() + EPOCH_DIGITS + "-".len() + 20 + "\n".len();

/// One life of the engine: sequences of different epochs cannot be compared.
///
/// 48 bits, written as twelve lower-case hex digits: short, and safe in a CORS request header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch made of the low 48 bits of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Epoch {
        Epoch(seed & 0xffff_ffff_ffff)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// The id of an event as subscribers see it: `<epoch>-<sequence>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The life of the engine that numbered the event.
    pub epoch: Epoch,
    /// The event's place in the one order of all topics; the first event has 1.
    pub sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl FromStr for EventId {
    type Err = NotAnEventId;

    /// Accepts only the exact text that `Display` gives, so that an id has one spelling.
    fn from_str(text: &str) -> Result<EventId, NotAnEventId> {
        let (epoch, sequence) = text.split_once('-').ok_or(NotAnEventId)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if epoch.len() != EPOCH_DIGITS || !epoch.bytes().all(hex) {
            return Err(NotAnEventId);
        }
        let canonical = sequence == "0" || !sequence.starts_with('0');
        if !canonical || !sequence.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAnEventId);
        }
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| NotAnEventId)?;
        let sequence = sequence.parse().map_err(|_| NotAnEventId)?;
        Ok(EventId { epoch: Epoch(epoch), sequence })
    }
}

/// The text is not of the form `<epoch>-<sequence>`; it may still be an id a publisher chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEventId;

/// What a publisher gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Name of the topic, already percent-decoded.
    pub topic: &'a str,
    /// The payload. Line ends of any kind (CRLF, CR, LF) reach subscribers as LF.
    pub data: &'a str,
    /// Event name; none is dispatched as `message` by EventSource.
    pub event: Option<&'a str>,
    /// An id of the publisher's own instead of `<epoch>-<sequence>`.
    pub id: Option<&'a str>,
    /// New reconnection time of every subscriber that gets the event, in milliseconds.
    pub retry: Option<u64>,
}

/// Why an event cannot be encoded. The text says what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventError {
    /// Topic empty, longer than [`TOPIC_BYTES_MAX`], or with a control character.
    Topic,
    /// Event name longer than [`NAME_BYTES_MAX`], or with NUL, CR or LF.
    Name,
    /// Event name is [`GAP_EVENT`].
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
        let id_bytes = self.id.map_or(0, str::len);
        let mut bytes = BytesMut::with_capacity(self.size_hint());
        bytes.extend_from_slice(self.topic.as_bytes());
        bytes.resize(self.topic.len() + ID_ROOM, 0);
        if let Some(id) = self.id {
            put_field(&mut bytes, "id: ", id);
        }
        if let Some(name) = self.event {
            put_field(&mut bytes, "event: ", name);
        }
        if let Some(retry) = self.retry {
            put_field(&mut bytes, "retry: ", &retry.to_string());
        }
        put_data(&mut bytes, self.data);
        bytes.extend_from_slice(b"\n");
        Ok(Draft { bytes, topic_bytes: self.topic.len() as u16, id_bytes: id_bytes as u16 })
    }

    fn check(&self) -> Result<(), EventError> {
        if !is_topic(self.topic) {
            return Err(EventError::Topic);
        }
        if let Some(name) = self.event {
            if name.len() > NAME_BYTES_MAX || breaks_a_line(name) {
                return Err(EventError::Name);
            }
            if name == GAP_EVENT {
                return Err(EventError::NameReserved);
            }
        }
        if let Some(id) = self.id {
            if id.is_empty() || id.len() > ID_BYTES_MAX || breaks_a_line(id) {
                return Err(EventError::Id);
            }
            if id.parse::<EventId>().is_ok() {
                return Err(EventError::IdReserved);
            }
        }
        match self.retry {
            Some(retry) if retry == 0 || retry > RETRY_MS_MAX => Err(EventError::Retry),
            _ => Ok(()),
        }
    }

    /// Enough for all but many-line data, so that encoding allocates once.
    fn size_hint(&self) -> usize {
        let fields = self.event.map_or(0, str::len) + self.id.map_or(0, str::len);
        self.topic.len() + ID_ROOM + fields + self.data.len() + 96
    }
}

/// True for a name a topic may have.
#[must_use]
pub fn is_topic(name: &str) -> bool {
    (1..=TOPIC_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// NUL is refused beside CR and LF because EventSource ignores an id that contains it.
fn breaks_a_line(text: &str) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, text.as_bytes()).is_some()
}

fn put_field(bytes: &mut BytesMut, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes.extend_from_slice(b"\n");
}

/// One `data:` line for each line of `data`; CRLF, CR and LF all end a line, as they would for the
/// reader (WHATWG HTML 9.2.6).
fn put_data(bytes: &mut BytesMut, data: &str) {
    let mut rest = data.as_bytes();
    loop {
        bytes.extend_from_slice(b"data: ");
        let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(b"\n");
            return;
        };
        bytes.extend_from_slice(&rest[..end]);
        bytes.extend_from_slice(b"\n");
        let crlf = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + if crlf { 2 } else { 1 }..];
    }
}

/// An encoded event that has no number yet.
///
/// Layout of `bytes`: topic, [`ID_ROOM`] free bytes, then the text without its id line (or with
/// the publisher's own, which then stands first).
#[derive(Debug)]
pub struct Draft {
    bytes: BytesMut,
    topic_bytes: u16,
    /// Length of the publisher's own id; 0 when the engine is to give one.
    id_bytes: u16,
}

impl Draft {
    /// Name of the topic it goes to.
    #[must_use]
    pub fn topic(&self) -> &str {
        text(&self.bytes[..usize::from(self.topic_bytes)])
    }

    /// Size of the event's text on the wire, in bytes, with the longest id it can get.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        self.bytes.len() - usize::from(self.topic_bytes)
    }

    /// The id its publisher chose, if it chose one.
    #[must_use]
    pub fn own_id(&self) -> Option<&str> {
        own_id(&self.bytes, self.topic_bytes, self.id_bytes)
    }

    /// Bytes of memory it holds, which the frame made of it will hold.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the event its number: writes the id line into the room before the text.
    ///
    /// `published_at` is the engine's monotonic time in nanoseconds.
    #[must_use]
    pub fn number(mut self, id: EventId, published_at: u64) -> Frame {
        let text_start = usize::from(self.topic_bytes) + ID_ROOM;
        let wire_start = if self.id_bytes > 0 {
            text_start
        } else {
            let mut line = IdLine([0; ID_ROOM]);
            let line = line.write(id);
            let start = text_start - line.len();
            self.bytes[start..text_start].copy_from_slice(line);
            start
        };
        Frame {
            bytes: self.bytes.freeze(),
            sequence: id.sequence,
            published_at,
            wire_start: wire_start as u32,
            topic_bytes: self.topic_bytes,
            id_bytes: self.id_bytes,
        }
    }
}

/// Formats `id: <epoch>-<sequence>\n` without the machinery of `fmt`, which costs more than all
/// the rest of numbering.
struct IdLine([u8; ID_ROOM]);

impl IdLine {
    fn write(&mut self, id: EventId) -> &[u8] {
        let mut at = ID_ROOM - 1;
        self.0[at] = b'\n';
        let mut sequence = id.sequence;
        loop {
            at -= 1;
            self.0[at] = b'0' + (sequence % 10) as u8;
            sequence /= 10;
            if sequence == 0 {
                break;
            }
        }
        at -= 1;
        self.0[at] = b'-';
        let mut epoch = id.epoch.0;
        for _ in 0..EPOCH_DIGITS {
            at -= 1;
            self.0[at] = b"0123456789abcdef"[(epoch & 15) as usize];
            epoch >>= 4;
        }
        at -= 4;
        self.0[at..at + 4].copy_from_slice(b"id: ");
        &self.0[at..]
    }
}

/// One event as it goes over the wire: encoded, immutable, shared.
///
/// A clone is one atomic increment; a worker makes one for its history and none per subscriber.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Bytes,
    /// Place in the one order of all topics.
    pub sequence: u64,
    /// When it was numbered, in nanoseconds of the engine's monotonic clock.
    pub published_at: u64,
    wire_start: u32,
    topic_bytes: u16,
    id_bytes: u16,
}

impl Frame {
    /// Name of its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        text(&self.bytes[..usize::from(self.topic_bytes)])
    }

    /// The text every subscriber gets.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.bytes[self.wire_start as usize..]
    }

    /// The part of the text from `offset` on, sharing the frame's memory.
    #[must_use]
    pub fn wire_from(&self, offset: usize) -> Bytes {
        self.bytes.slice(self.wire_start as usize + offset..)
    }

    /// The id its publisher chose, if it chose one.
    #[must_use]
    pub fn own_id(&self) -> Option<&str> {
        own_id(&self.bytes, self.topic_bytes, self.id_bytes)
    }

    /// Bytes of memory it holds: the text, the topic's name and the room for its id.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// The publisher's own id in the layout of [`Draft`]: behind `id: ` at the start of the text.
fn own_id(bytes: &[u8], topic_bytes: u16, id_bytes: u16) -> Option<&str> {
    let start = usize::from(topic_bytes) + ID_ROOM + "id: ".len();
    (id_bytes > 0).then(|| text(&bytes[start..start + usize::from(id_bytes)]))
}

/// Parts of a draft that were copied whole from a `&str`.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("copied from a str at its boundaries")
}
