//! Ids of events as subscribers see them.
//!
//! An id is an epoch and a sequence, in one of two spellings: `<epoch>-<sequence>`, and for hubs
//! that promise URNs `urn:uuid:` of a UUID of version 8 (RFC 9562 5.8) made of the same two
//! numbers. Both can be read back, so neither needs a table.
//!
//! Invariant: what is read is only what is written, to the letter.

use std::fmt;
use std::str::FromStr;

/// Hex digits in the text of an [`Epoch`].
pub(super) const EPOCH_DIGITS: usize = 12;
/// Bytes of the URN of an id.
pub(super) const URN_BYTES: usize = URN_PREFIX.len() + 36;
const URN_PREFIX: &str = "urn:uuid:";
/// Version 8 (RFC 9562 5.8: the bits are ours) and variant `10` (4.1) in their places.
const UUID_MARKS: u128 = 8 << 76 | 2 << 62;

/// One life of the engine: sequences of different epochs cannot be compared.
///
/// 48 bits, written as twelve lower-case hex digits: short, and safe in a CORS request header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub(super) u64);

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

impl EventId {
    /// The id as a URN: `urn:uuid:` of 48 bits of epoch, 64 of sequence, and ten that are zero.
    #[must_use]
    pub fn urn(self) -> Urn {
        Urn(self)
    }

    /// Bits from the top: epoch (48), version (4), upper 12 of ten zeros and the sequence, variant
    /// (2), the lower 62 of the sequence.
    fn uuid(self) -> u128 {
        let upper = u128::from(self.sequence >> 62) << 64;
        let lower = u128::from(self.sequence & (u64::MAX >> 2));
        u128::from(self.epoch.0) << 80 | UUID_MARKS | upper | lower
    }
}

/// The id whose UUID this is.
fn of_uuid(text: &str) -> Option<EventId> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut uuid = 0u128;
    for (at, byte) in bytes.iter().enumerate() {
        let digit = match byte {
            b'-' if matches!(at, 8 | 13 | 18 | 23) => continue,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        if matches!(at, 8 | 13 | 18 | 23) {
            return None;
        }
        uuid = uuid << 4 | u128::from(digit);
    }
    let sequence = ((uuid >> 64 & 3) as u64) << 62 | uuid as u64 & (u64::MAX >> 2);
    let id = EventId { epoch: Epoch((uuid >> 80) as u64), sequence };
    (id.uuid() == uuid).then_some(id)
}

/// An id that is written as a URN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urn(EventId);

impl fmt::Display for Urn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uuid = self.0.uuid();
        let group = |shift: u32, bits: u32| uuid >> shift & ((1 << bits) - 1);
        write!(
            f,
            "{URN_PREFIX}{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            group(96, 32),
            group(80, 16),
            group(64, 16),
            group(48, 16),
            group(0, 48)
        )
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl FromStr for EventId {
    type Err = NotAnEventId;

    /// Accepts only the exact text that `Display` or [`EventId::urn`] gives.
    fn from_str(text: &str) -> Result<EventId, NotAnEventId> {
        if let Some(uuid) = text.strip_prefix(URN_PREFIX) {
            return of_uuid(uuid).ok_or(NotAnEventId);
        }
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

/// The text is an id of neither spelling; it may still be an id a publisher chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEventId;
