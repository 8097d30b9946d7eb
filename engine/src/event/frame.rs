//! Encoded events: drafts without a number, and the frames they become.
//!
//! Layout of the bytes of both: the topic; the alternates, if there are any; room for an id line
//! (none in Mercure's form, where the id has its place in the text); then the text as it goes over
//! the wire.
//!
//! Invariant: numbering neither allocates nor moves the text.

use std::io::Write;

use bytes::{Bytes, BytesMut};

use super::id::{EPOCH_DIGITS, EventId, URN_BYTES};
use super::{Event, Form};

/// Bytes left free for `id: <epoch>-<sequence>\n` with the longest sequence (20 digits).
const ID_ROOM: usize = "id: ".len() + EPOCH_DIGITS + "-".len() + 20 + "\n".len();
/// Bytes of the length before the alternates, and before each of them.
const ALTERNATES_LENGTH: usize = size_of::<u32>();
const ALTERNATE_LENGTH: usize = size_of::<u16>();

/// What is known of an encoded event beside its bytes, in sixteen bits: a frame is copied into every
/// history.
#[derive(Clone, Copy, Debug)]
struct Marks(u16);

impl Marks {
    const PRIVATE: u16 = 1 << 15;
    const MERCURE: u16 = 1 << 14;
    const ALTERNATES: u16 = 1 << 13;

    fn new(event: &Event<'_>, has_alternates: bool) -> Marks {
        let mut bits = event.id.map_or(0, str::len) as u16;
        for (set, bit) in [
            (event.private, Marks::PRIVATE),
            (event.form == Form::Mercure, Marks::MERCURE),
            (has_alternates, Marks::ALTERNATES),
        ] {
            bits |= if set { bit } else { 0 };
        }
        Marks(bits)
    }

    fn has(self, mark: u16) -> bool {
        self.0 & mark != 0
    }

    /// Length of the publisher's own id; 0 when the engine is to give one.
    fn id_bytes(self) -> usize {
        usize::from(self.0 & (Marks::ALTERNATES - 1))
    }
}

/// An encoded event that has no number yet.
#[derive(Debug)]
pub struct Draft {
    bytes: BytesMut,
    topic_bytes: u16,
    marks: Marks,
}

impl Draft {
    /// Encodes an event that has been checked; `alternates` are those of its further topics that
    /// differ from the first and from each other.
    pub(super) fn new(event: &Event<'_>, alternates: &[&str]) -> Draft {
        let mut bytes = BytesMut::with_capacity(size_hint(event, alternates));
        bytes.extend_from_slice(event.topic.as_bytes());
        if !alternates.is_empty() {
            put_alternates(&mut bytes, alternates);
        }
        match event.form {
            Form::Native => {
                bytes.resize(bytes.len() + ID_ROOM, 0);
                event.id.inspect(|id| put_field(&mut bytes, "id: ", id));
                put_name_and_retry(&mut bytes, event);
            }
            Form::Mercure => {
                put_name_and_retry(&mut bytes, event);
                let blank = [b'0'; URN_BYTES];
                put_field(&mut bytes, "id: ", event.id.unwrap_or(text(&blank)));
            }
        }
        put_data(&mut bytes, event.data);
        bytes.extend_from_slice(b"\n");
        let marks = Marks::new(event, !alternates.is_empty());
        Draft { bytes, topic_bytes: event.topic.len() as u16, marks }
    }

    /// Name of the topic it goes to first.
    #[must_use]
    pub fn topic(&self) -> &str {
        text(&self.bytes[..usize::from(self.topic_bytes)])
    }

    /// The topics it goes to beside the first, each once.
    pub fn alternates(&self) -> impl Iterator<Item = &str> {
        Alternates::of(&self.bytes, self.topic_bytes, self.marks)
    }

    /// All topics it goes to, each once.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.topic()).chain(self.alternates())
    }

    /// True when it is only for subscribers with a right to it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.marks.has(Marks::PRIVATE)
    }

    /// Size of the event's text on the wire, in bytes, with the longest id it can get.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        self.bytes.len() - head_bytes(&self.bytes, self.topic_bytes, self.marks)
    }

    /// The id its publisher chose, if it chose one.
    #[must_use]
    pub fn own_id(&self) -> Option<&str> {
        (self.marks.id_bytes() > 0).then(|| own_id(&self.bytes, self.topic_bytes, self.marks))
    }

    /// Bytes of memory it holds, which the frame made of it will hold.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the event its number: writes the id into the room that was left for it.
    ///
    /// `published_at` is the engine's monotonic time in nanoseconds.
    #[must_use]
    pub fn number(mut self, id: EventId, published_at: u64) -> Frame {
        let head_bytes = head_bytes(&self.bytes, self.topic_bytes, self.marks);
        let wire_start = if self.marks.has(Marks::MERCURE) {
            if self.marks.id_bytes() == 0 {
                let start = head_bytes + id_start(&self.bytes[head_bytes..]);
                let room = &mut self.bytes[start..start + URN_BYTES];
                (&mut *room).write_fmt(format_args!("{}", id.urn())).expect("a URN fits exactly");
            }
            head_bytes
        } else if self.marks.id_bytes() > 0 {
            head_bytes + ID_ROOM
        } else {
            let mut line = IdLine([0; ID_ROOM]);
            let line = line.write(id);
            let end = head_bytes + ID_ROOM;
            let start = end - line.len();
            self.bytes[start..end].copy_from_slice(line);
            start
        };
        Frame {
            bytes: self.bytes.freeze(),
            sequence: id.sequence,
            published_at,
            wire_start: wire_start as u32,
            topic_bytes: self.topic_bytes,
            marks: self.marks,
        }
    }
}

/// Enough for all but many-line data, so that encoding allocates once.
fn size_hint(event: &Event<'_>, alternates: &[&str]) -> usize {
    let fields = event.event.map_or(0, str::len) + event.id.map_or(0, str::len);
    let topics: usize = alternates.iter().map(|topic| topic.len() + ALTERNATE_LENGTH).sum();
    event.topic.len() + topics + ID_ROOM + fields + event.data.len() + 96
}

fn put_alternates(bytes: &mut BytesMut, alternates: &[&str]) {
    let length: usize = alternates.iter().map(|topic| ALTERNATE_LENGTH + topic.len()).sum();
    bytes.extend_from_slice(&(length as u32).to_ne_bytes());
    for topic in alternates {
        bytes.extend_from_slice(&(topic.len() as u16).to_ne_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
}

fn put_name_and_retry(bytes: &mut BytesMut, event: &Event<'_>) {
    if let Some(name) = event.event {
        put_field(bytes, "event: ", name);
    }
    if let Some(retry) = event.retry {
        put_field(bytes, "retry: ", &retry.to_string());
    }
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

/// The alternates in the layout of this module, one after the other.
#[derive(Debug)]
struct Alternates<'a>(&'a [u8]);

impl<'a> Alternates<'a> {
    fn of(bytes: &'a [u8], topic_bytes: u16, marks: Marks) -> Alternates<'a> {
        let start = usize::from(topic_bytes) + ALTERNATES_LENGTH;
        let end = head_bytes(bytes, topic_bytes, marks);
        Alternates(bytes.get(start..end).unwrap_or_default())
    }
}

impl<'a> Iterator for Alternates<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (topic, rest) = rest.split_at(usize::from(u16::from_ne_bytes(*length)));
        self.0 = rest;
        Some(text(topic))
    }
}

/// Bytes of what stands before the room for the id and the text: the topics.
fn head_bytes(bytes: &[u8], topic_bytes: u16, marks: Marks) -> usize {
    let topic = usize::from(topic_bytes);
    if !marks.has(Marks::ALTERNATES) {
        return topic;
    }
    let length = bytes[topic..].first_chunk().expect("it was written when it was marked");
    topic + ALTERNATES_LENGTH + u32::from_ne_bytes(*length) as usize
}

/// Where the value of the id line is in a text that has one. Only `event` and `retry` can stand
/// before it.
fn id_start(wire: &[u8]) -> usize {
    let mut line = 0;
    while !wire[line..].starts_with(b"id: ") {
        line += memchr::memchr(b'\n', &wire[line..]).expect("the id has a line of its own") + 1;
    }
    line + "id: ".len()
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
    marks: Marks,
}

impl Frame {
    /// Name of its first topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        text(self.topic_bytes())
    }

    /// The bytes of this name, to be looked up without checking again that they are text.
    #[must_use]
    pub fn topic_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.topic_bytes)]
    }

    /// Its topics beside the first, each once.
    pub fn alternates(&self) -> impl Iterator<Item = &str> {
        Alternates::of(&self.bytes, self.topic_bytes, self.marks)
    }

    /// All its topics, each once.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.topic()).chain(self.alternates())
    }

    /// True when it has more than one topic.
    #[must_use]
    pub fn has_alternates(&self) -> bool {
        self.marks.has(Marks::ALTERNATES)
    }

    /// True when it is only for subscribers with a right to it.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.marks.has(Marks::PRIVATE)
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
        (self.marks.id_bytes() > 0).then(|| own_id(&self.bytes, self.topic_bytes, self.marks))
    }

    /// Bytes of memory it holds: the text, the names of its topics and the room for its id.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// The publisher's own id in the layout of this module, where there is one.
fn own_id(bytes: &[u8], topic_bytes: u16, marks: Marks) -> &str {
    let room = if marks.has(Marks::MERCURE) { 0 } else { ID_ROOM };
    let text_start = head_bytes(bytes, topic_bytes, marks) + room;
    let start = text_start + id_start(&bytes[text_start..]);
    text(&bytes[start..start + marks.id_bytes()])
}

/// Parts of a draft that were copied whole from a `&str`.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("copied from a str at its boundaries")
}
