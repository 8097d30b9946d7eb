//! The stamp that every event of ours carries in its data.
//!
//! The idea: a fixed run of digits `0-9a-v` that survives JSON, forms and templates, and is found
//! again inside whatever a server wraps around it. It says which stream it belongs to, its place
//! there, when it was meant to be sent and when it was sent; a checksum covers it and the padding
//! behind it.
//!
//! ```text
//! ~dpl~ run stream sequence intended_ns slip_ns size crc32 padding
//!   5    7    7       7         13         13     5     7   up to size
//! ```
//!
//! Numbers are in base 32, highest digit first. `size` counts the whole payload, stamp included,
//! so that a cut in the padding is seen too.
//!
//! This module knows nothing of events, streams or servers.

use memchr::memmem::Finder;

/// What a stamp begins with. `~` does not occur in our digits, and no escaping touches it.
const MAGIC: &[u8; 5] = b"~dpl~";

/// Bytes before the checksum: magic, run, stream, sequence, intended, slip, size.
const HEAD_BYTES: usize = 5 + 7 + 7 + 7 + 13 + 13 + 5;

/// Digits of the checksum.
const CHECKSUM_BYTES: usize = 7;

/// Bytes of a stamp: the smallest payload that can be measured.
pub(crate) const STAMP_BYTES: usize = HEAD_BYTES + CHECKSUM_BYTES;

/// Bytes of the largest payload, by the digits of its size field.
pub(crate) const PAYLOAD_BYTES_MAX: usize = (1 << 25) - 1;

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// What a stamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The run that sent it, a number drawn at its start.
    pub(crate) run: u32,
    /// The stream it belongs to.
    pub(crate) stream: u32,
    /// Its place in that stream, from 0 without holes.
    pub(crate) sequence: u32,
    /// When it was meant to be sent: nanoseconds since the UNIX epoch.
    pub(crate) intended_ns: u64,
    /// How much later than that it was sent.
    pub(crate) slip_ns: u64,
}

/// What was found in an event's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A stamp whose checksum holds.
    Stamp(Stamp),
    /// The beginning of a stamp, but not what was sent.
    Corrupt,
    /// Nothing like a stamp.
    None,
}

impl Stamp {
    /// Writes the payload over all of `payload`: the stamp, then padding that varies with the
    /// sequence.
    ///
    /// # Panics
    ///
    /// If `payload` is shorter than [`STAMP_BYTES`] or longer than [`PAYLOAD_BYTES_MAX`].
    pub(crate) fn write(&self, payload: &mut [u8]) {
        let size = payload.len();
        assert!((STAMP_BYTES..=PAYLOAD_BYTES_MAX).contains(&size), "payload of {size} bytes");
        let (head, rest) = payload.split_at_mut(HEAD_BYTES);
        let (checksum, padding) = rest.split_at_mut(CHECKSUM_BYTES);
        head[..5].copy_from_slice(MAGIC);
        let mut at = 5;
        for (value, digits) in [
            (u64::from(self.run), 7),
            (u64::from(self.stream), 7),
            (u64::from(self.sequence), 7),
            (self.intended_ns, 13),
            (self.slip_ns, 13),
            (size as u64, 5),
        ] {
            write_number(value, &mut head[at..at + digits]);
            at += digits;
        }
        for (place, byte) in padding.iter_mut().enumerate() {
            *byte = DIGITS[(self.sequence as usize).wrapping_add(place) % DIGITS.len()];
        }
        write_number(u64::from(checksum_of(head, padding)), checksum);
    }

    /// Looks for a stamp in an event's data, whatever stands around it.
    pub(crate) fn find(finder: &Finder<'_>, data: &[u8]) -> Found {
        let Some(start) = finder.find(data) else {
            return Found::None;
        };
        Stamp::read(&data[start..]).map_or(Found::Corrupt, Found::Stamp)
    }

    /// The searcher that [`Stamp::find`] needs; to be made once.
    pub(crate) fn finder() -> Finder<'static> {
        Finder::new(MAGIC)
    }

    fn read(text: &[u8]) -> Option<Stamp> {
        let head = text.get(..HEAD_BYTES)?;
        let mut at = 5;
        let mut next = |digits: usize| {
            at += digits;
            read_number(&head[at - digits..at])
        };
        let (run, stream, sequence) = (next(7)?, next(7)?, next(7)?);
        let (intended_ns, slip_ns, size) = (next(13)?, next(13)?, next(5)?);
        let payload = text.get(..usize::try_from(size).ok()?)?;
        let checksum = read_number(payload.get(HEAD_BYTES..STAMP_BYTES)?)?;
        if checksum != u64::from(checksum_of(head, &payload[STAMP_BYTES..])) {
            return None;
        }
        Some(Stamp {
            run: run.try_into().ok()?,
            stream: stream.try_into().ok()?,
            sequence: sequence.try_into().ok()?,
            intended_ns,
            slip_ns,
        })
    }
}

fn checksum_of(head: &[u8], padding: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(padding);
    hasher.finalize()
}

fn write_number(mut value: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
    debug_assert_eq!(value, 0, "a number that does not fit its digits");
}

fn read_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'v' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 5 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run: u32::MAX,
        stream: 7,
        sequence: 123_456_789,
        intended_ns: u64::MAX,
        slip_ns: 1_234,
    };

    fn payload(size: usize) -> Vec<u8> {
        let mut payload = vec![0; size];
        STAMP.write(&mut payload);
        payload
    }

    fn find(data: &[u8]) -> Found {
        Stamp::find(&Stamp::finder(), data)
    }

    #[test]
    fn a_stamp_is_read_back_from_a_payload_of_any_size() {
        for size in (STAMP_BYTES..STAMP_BYTES + 100).chain([65_536, 1 << 20]) {
            assert_eq!(find(&payload(size)), Found::Stamp(STAMP), "{size}");
        }
    }

    #[test]
    fn a_stamp_is_found_whatever_stands_around_it() {
        let text = String::from_utf8(payload(100)).unwrap();
        let json = serde_json::json!({ "pub": { "data": text, "offset": 5 } }).to_string();
        for wrapped in [json, format!("~dp ~{text}~dpl"), format!("\u{2028}{text}\n")] {
            assert_eq!(find(wrapped.as_bytes()), Found::Stamp(STAMP), "{wrapped}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let sound = payload(120);
        for place in 0..sound.len() {
            for flip in [1, 2, 0x20, 0x80] {
                let mut data = sound.clone();
                data[place] ^= flip;
                assert!(!matches!(find(&data), Found::Stamp(_)), "byte {place} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let sound = payload(120);
        for end in 0..sound.len() {
            assert!(!matches!(find(&sound[..end]), Found::Stamp(_)), "cut at {end}");
        }
    }

    #[test]
    fn other_data_carries_no_stamp() {
        for data in [&b""[..], b"hello", b"~dpl", b"dpl~dp~"] {
            assert_eq!(find(data), Found::None);
        }
    }
}
