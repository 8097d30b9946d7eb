//! Events as JSON objects: `{"topic","data","event","id","retry"}`, one, an array of them, or one
//! per line.
//!
//! The idea: an object goes straight to its [`Draft`]. Strings without escapes are borrowed from
//! the input and no tree is built, because this is the fast way in.
//!
//! Invariants: `data` that is a string is its content, any other JSON value is its text as given.
//! A member that is unknown or given twice is refused, so a misspelling never is an event without
//! it. Of an array either every object is an event or none. The lines that [`LineSplitter`] gives
//! do not depend on how the input was cut.
//!
//! It knows nothing of requests and their answers.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Draft, Event};

mod lines;
#[cfg(test)]
mod tests;

pub use lines::{LineSplitter, LineTooLong, line_bytes_max};

/// Characters of an error's text. What the parser quotes from the input may be as long as that.
const TEXT_CHARS_MAX: usize = 240;

const NOT_AN_OBJECT: &str =
    "expected an object such as {\"topic\":\"t\",\"data\":\"hello\"}, or an array of them";

const MEMBERS: &str = "topic, data, event, id, retry";

/// Why an object is not an event. `Display` says what is wrong, what is allowed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectError {
    /// Whether size alone is wrong.
    pub too_long: bool,
    /// Which object of an array it is, counted from 0.
    pub index: Option<usize>,
    /// Where the input was found wrong, counted from 1.
    pub line: usize,
    /// Bytes into that line, counted from 1; 0 when the error is about the object as a whole.
    pub column: usize,
    text: String,
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.index {
            write!(f, "array[{index}]: ")?;
        }
        f.write_str(&self.text)?;
        match (self.line, self.column) {
            (_, 0) => Ok(()),
            (1, column) => write!(f, " (column {column})"),
            (line, column) => write!(f, " (line {line}, column {column})"),
        }
    }
}

impl std::error::Error for ObjectError {}

/// Encodes the one object in `json`.
///
/// # Errors
/// When it is not one, or not an event with at most `data_bytes_max` bytes of data.
pub fn draft(json: &[u8], data_bytes_max: usize) -> Result<Draft, ObjectError> {
    // A byte that is not ASCII is left to the check of UTF-8.
    if json.trim_ascii_start().first().is_none_or(|first| first.is_ascii() && *first != b'{') {
        return Err(ObjectError {
            too_long: false,
            index: None,
            line: 1,
            column: 0,
            text: NOT_AN_OBJECT.into(),
        });
    }
    let shared = Shared::new(data_bytes_max);
    shared.read(json, |deserializer| OneEvent(&shared).deserialize(deserializer))
}

/// Encodes the object or the array of objects in `json`, all or none.
///
/// # Errors
/// As [`draft`], and with the index of the first object that is wrong.
pub fn drafts(json: &[u8], data_bytes_max: usize) -> Result<Vec<Draft>, ObjectError> {
    match json.trim_ascii_start().first() {
        Some(b'[') => {
            let shared = Shared::new(data_bytes_max);
            shared.read(json, |deserializer| deserializer.deserialize_seq(EventArray(&shared)))
        }
        _ => draft(json, data_bytes_max).map(|draft| vec![draft]),
    }
}

/// What the parts of one parse share. Cells, because serde passes visitors by value.
struct Shared {
    data_bytes_max: usize,
    index: Cell<Option<usize>>,
    too_long: Cell<bool>,
    /// Whether the error is about the object as a whole and not about the place it was met at.
    is_about_all: Cell<bool>,
}

impl Shared {
    fn new(data_bytes_max: usize) -> Self {
        Self {
            data_bytes_max,
            index: Cell::new(None),
            too_long: Cell::new(false),
            is_about_all: Cell::new(false),
        }
    }

    /// Parses all of `json` by `parse`.
    fn read<'a, T>(
        &self,
        json: &'a [u8],
        parse: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'a>>) -> JsonResult<T>,
    ) -> Result<T, ObjectError> {
        // Checked once for all: the parser then need not check each string.
        let json = std::str::from_utf8(json).map_err(|error| ObjectError {
            too_long: false,
            index: None,
            line: 1,
            column: error.valid_up_to() + 1,
            text: "not valid UTF-8".into(),
        })?;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let value = parse(&mut deserializer).map_err(|error| self.error(&error))?;
        // What follows the last object is not part of it.
        self.index.set(None);
        deserializer.end().map_err(|error| self.error(&error))?;
        Ok(value)
    }

    fn error(&self, error: &serde_json::Error) -> ObjectError {
        let full = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = full.strip_suffix(&place).unwrap_or(&full);
        ObjectError {
            too_long: self.too_long.get(),
            index: self.index.get(),
            line: error.line(),
            column: if self.is_about_all.get() { 0 } else { error.column() },
            text: match text.char_indices().nth(TEXT_CHARS_MAX) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text.into(),
            },
        }
    }

    /// An error about the object as a whole.
    fn whole<E: de::Error>(&self, text: impl fmt::Display) -> E {
        self.is_about_all.set(true);
        E::custom(text)
    }
}

type JsonResult<T> = Result<T, serde_json::Error>;

/// An array of objects, each encoded as soon as it is read.
struct EventArray<'s>(&'s Shared);

impl<'de> Visitor<'de> for EventArray<'_> {
    type Value = Vec<Draft>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut drafts = Vec::new();
        self.0.index.set(Some(0));
        while let Some(draft) = array.next_element_seed(OneEvent(self.0))? {
            drafts.push(draft);
            self.0.index.set(Some(drafts.len()));
        }
        Ok(drafts)
    }
}

/// One object, encoded as soon as it is read.
struct OneEvent<'s>(&'s Shared);

impl<'de> DeserializeSeed<'de> for OneEvent<'_> {
    type Value = Draft;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Draft, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneEvent<'_> {
    type Value = Draft;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {MEMBERS}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Draft, A::Error> {
        let mut members = Members::default();
        while let Some(member) = object.next_key::<Member>()? {
            members.read(member, &mut object)?;
        }
        members.encode(self.0)
    }
}

/// What an object has said so far.
#[derive(Default)]
struct Members<'a> {
    topic: Option<Cow<'a, str>>,
    data: Option<Cow<'a, str>>,
    /// `Some(None)` is an explicit null, which is as if absent.
    event: Option<Option<Cow<'a, str>>>,
    id: Option<Option<Cow<'a, str>>>,
    retry: Option<Option<u64>>,
}

impl<'a> Members<'a> {
    fn read<A: MapAccess<'a>>(&mut self, member: Member, object: &mut A) -> Result<(), A::Error> {
        let again = match member {
            Member::Topic => {
                let topic = object.next_value_seed(Text("topic"))?;
                let topic = topic.ok_or_else(|| de::Error::custom("`topic` is null; name one"))?;
                self.topic.replace(topic).is_some()
            }
            Member::Data => self.data.replace(data(object.next_value()?)?).is_some(),
            Member::Event => self.event.replace(object.next_value_seed(Text("event"))?).is_some(),
            Member::Id => self.id.replace(object.next_value_seed(Text("id"))?).is_some(),
            Member::Retry => self.retry.replace(object.next_value::<Retry>()?.0).is_some(),
        };
        if again {
            return Err(de::Error::custom(format_args!("`{}` is given twice", member.name())));
        }
        Ok(())
    }

    fn encode<E: de::Error>(self, shared: &Shared) -> Result<Draft, E> {
        let missing = |name| shared.whole(format_args!("`{name}` is missing"));
        let topic = self.topic.ok_or_else(|| missing("topic"))?;
        let data = self.data.ok_or_else(|| missing("data"))?;
        if data.len() > shared.data_bytes_max {
            shared.too_long.set(true);
            return Err(shared.whole(format_args!(
                "`data` has {} bytes; at most {} are allowed (--event-bytes-max)",
                data.len(),
                shared.data_bytes_max
            )));
        }
        let event = Event {
            topic: &topic,
            data: &data,
            event: self.event.as_ref().and_then(Option::as_deref),
            id: self.id.as_ref().and_then(Option::as_deref),
            retry: self.retry.flatten(),
            ..Event::default()
        };
        event.encode().map_err(|error| shared.whole(error))
    }
}

/// The content of a string, or the text of any other value.
fn data<E: de::Error>(value: &RawValue) -> Result<Cow<'_, str>, E> {
    let text = value.get();
    let Some(content) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Ok(Cow::Borrowed(text));
    };
    if memchr::memchr(b'\\', content.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(content));
    }
    let content: String = serde_json::from_str(text)
        .map_err(|_| E::custom("`data` has a `\\u` escape that is not a character"))?;
    Ok(Cow::Owned(content))
}

/// The name of a member.
#[derive(Clone, Copy)]
enum Member {
    Topic,
    Data,
    Event,
    Id,
    Retry,
}

impl Member {
    fn name(self) -> &'static str {
        match self {
            Member::Topic => "topic",
            Member::Data => "data",
            Member::Event => "event",
            Member::Id => "id",
            Member::Retry => "retry",
        }
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "one of {MEMBERS}")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Member, E> {
                Ok(match name {
                    "topic" => Member::Topic,
                    "data" => Member::Data,
                    "event" => Member::Event,
                    "id" => Member::Id,
                    "retry" => Member::Retry,
                    _ => {
                        let name: String = name.chars().take(40).collect();
                        return Err(E::custom(format_args!(
                            "`{name}` is not a member of an event; allowed: {MEMBERS}"
                        )));
                    }
                })
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

/// A string or null, borrowed where it has no escapes.
struct Text(&'static str);

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a string", self.0)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.into())))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A whole number of milliseconds or null.
struct Retry(Option<u64>);

impl<'de> Deserialize<'de> for Retry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Milliseconds;
        impl Visitor<'_> for Milliseconds {
            type Value = Retry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`retry` to be a whole number of milliseconds")
            }

            fn visit_u64<E: de::Error>(self, milliseconds: u64) -> Result<Retry, E> {
                Ok(Retry(Some(milliseconds)))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Retry, E> {
                Ok(Retry(None))
            }
        }
        deserializer.deserialize_any(Milliseconds)
    }
}
