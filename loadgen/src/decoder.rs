//! The event stream format, read a piece at a time (WHATWG HTML, section 9.2.5 and 9.2.6).
//!
//! The idea: bytes come in pieces that may end anywhere; events go out as slices of the piece
//! wherever a whole event lies in it. Only an event that a piece ends within is carried over, in
//! memory of its own that lives as long as the event is open. A decoder at rest is 16 bytes.
//!
//! Invariants:
//! - What comes out depends on the bytes alone, never on where the pieces end.
//! - An event that no blank line has closed is never given out.
//!
//! Bytes that are not UTF-8 are passed on as they are: replacing them would change neither line
//! ends nor field names, and a check of the data is worth more on what was really sent. This
//! module knows nothing of HTTP or of stamps, and shares no code with the engine: it is what the
//! engine is judged by.

use std::borrow::Cow;

use memchr::memchr2;

/// What the stream says, in the order in which it says it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// The last event id is now this one; given before the event of the same block, and also when
    /// the block has no data and so no event.
    Id(&'a [u8]),
    /// A block with data was closed. An empty name stands for `message`.
    Event {
        /// The event's type, as sent.
        name: &'a [u8],
        /// The data, its lines joined by LF.
        data: &'a [u8],
    },
    /// The reconnection time, in milliseconds.
    Retry(u64),
    /// A line that begins with a colon.
    Comment,
}

/// The decoder of one stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The open block and line, if the last piece ended within one.
    carry: Option<Box<Carry>>,
    /// A line was read: a byte order mark can no longer come.
    begun: bool,
    /// The last byte was a CR that ended a line: an LF right behind it belongs to it.
    after_cr: bool,
}

#[derive(Debug)]
struct Carry {
    line: Vec<u8>,
    block: Block<'static>,
}

/// The fields of a block that is not closed yet.
#[derive(Debug, Default)]
struct Block<'a> {
    name: Cow<'a, [u8]>,
    /// `None`: no `data` field yet; lines are joined by LF.
    data: Option<Cow<'a, [u8]>>,
    id: Option<Cow<'a, [u8]>>,
}

impl Decoder {
    /// Takes the next piece and gives what it completes to `out`.
    pub(crate) fn feed(&mut self, mut piece: &[u8], mut out: impl FnMut(Item<'_>)) {
        let (mut line, mut block) = match self.carry.take() {
            Some(carry) => (carry.line, carry.block),
            None => (Vec::new(), Block::default()),
        };
        loop {
            if self.after_cr && !piece.is_empty() {
                self.after_cr = false;
                piece = piece.strip_prefix(b"\n").unwrap_or(piece);
            }
            let Some(end) = memchr2(b'\n', b'\r', piece) else {
                break;
            };
            if line.is_empty() {
                self.line(&piece[..end], &mut block, &mut out);
            } else {
                line.extend_from_slice(&piece[..end]);
                let mut owned = block.into_owned();
                self.line(&line, &mut owned, &mut out);
                block = owned.into_owned();
                line.clear();
            }
            self.after_cr = piece[end] == b'\r';
            piece = &piece[end + 1..];
        }
        line.extend_from_slice(piece);
        if !line.is_empty() || !block.is_empty() {
            let block = block.into_owned();
            self.carry = Some(Box::new(Carry { line, block }));
        }
    }

    fn line<'a>(
        &mut self,
        mut line: &'a [u8],
        block: &mut Block<'a>,
        out: &mut impl FnMut(Item<'_>),
    ) {
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return block.dispatch(out);
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return out(Item::Comment),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &line[line.len()..]),
        };
        match name {
            b"data" => block.add_data(value),
            b"event" => block.name = Cow::Borrowed(value),
            b"id" if !value.contains(&0) => block.id = Some(Cow::Borrowed(value)),
            b"retry" => {
                if let Some(milliseconds) = digits(value) {
                    out(Item::Retry(milliseconds));
                }
            }
            _ => {}
        }
    }
}

impl<'a> Block<'a> {
    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.data.is_none() && self.id.is_none()
    }

    fn add_data(&mut self, value: &'a [u8]) {
        match &mut self.data {
            None => self.data = Some(Cow::Borrowed(value)),
            Some(data) => {
                let data = data.to_mut();
                data.push(b'\n');
                data.extend_from_slice(value);
            }
        }
    }

    fn dispatch(&mut self, out: &mut impl FnMut(Item<'_>)) {
        let block = std::mem::take(self);
        if let Some(id) = &block.id {
            out(Item::Id(id));
        }
        // The standard's data buffer gets an LF behind every line and is dispatched unless it
        // is empty: one empty `data` line is an event, no `data` line is none.
        if let Some(data) = &block.data {
            out(Item::Event { name: &block.name, data });
        }
    }

    fn into_owned<'b>(self) -> Block<'b> {
        Block {
            name: Cow::Owned(self.name.into_owned()),
            data: self.data.map(|data| Cow::Owned(data.into_owned())),
            id: self.id.map(|id| Cow::Owned(id.into_owned())),
        }
    }
}

/// The number of a `retry` field; anything but ASCII digits is ignored, an overflow too.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
