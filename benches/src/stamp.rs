//! The stamp: which event this is and when it was due, readable out of a raw byte stream.
//!
//! A payload starts with `~`, ten digits of event number, `.`, and nineteen digits of due time
//! (nanoseconds of the monotonic clock), filled up with `x`. The one `~` of a payload is the only
//! one in the stream, whatever framing a server wraps around it, so **counting events is counting
//! one byte**, at memory speed, and finding a stamp needs no SSE parser. That is the point: the
//! reader costs as little as a reader can.
//!
//! It proves little, though: a server that breaks its framing but keeps the payloads passes. Proof
//! of delivery is the load generator's work.

/// What marks a stamp. Nothing else in a stream may hold it.
pub const MARK: u8 = b'~';

/// Bytes of a stamp with its mark; no payload is shorter.
pub const STAMP_BYTES: usize = 1 + NUMBER_DIGITS + 1 + TIME_DIGITS;

/// Larger payloads measure copying, not fan-out.
const PAYLOAD_BYTES_MAX: usize = 65_536;
const NUMBER_DIGITS: usize = 10;
const TIME_DIGITS: usize = 19; // u64 nanoseconds up to 316 years of uptime

/// The number of an event and the time it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Events are numbered from 0 by whoever publishes them.
    pub number: u64,
    /// Nanoseconds of the monotonic clock.
    pub due_ns: u64,
}

impl Stamp {
    /// A payload of `payload_bytes` that starts with this stamp.
    ///
    /// # Panics
    /// When `payload_bytes` is less than [`STAMP_BYTES`], or a part of the stamp has more digits
    /// than its place.
    pub fn payload(self, payload_bytes: usize) -> Vec<u8> {
        assert!(payload_bytes >= STAMP_BYTES, "a payload holds at least its stamp");
        let mut payload = format!("~{:010}.{:019}", self.number, self.due_ns).into_bytes();
        assert_eq!(payload.len(), STAMP_BYTES, "a stamp has one length");
        payload.resize(payload_bytes, b'x');
        payload
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (number, due_ns) = bytes[1..STAMP_BYTES].split_at(NUMBER_DIGITS);
        (due_ns[0] == b'.')
            .then(|| Some(Self { number: digits(number)?, due_ns: digits(&due_ns[1..])? }))?
    }
}

/// Reads the size of a payload from a command line.
///
/// # Errors
/// A sentence with the allowed range, which a stamp and a floor's inbox set.
pub fn payload_bytes(text: &str) -> Result<usize, String> {
    let range = STAMP_BYTES..=PAYLOAD_BYTES_MAX;
    text.parse().ok().filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        format!("a payload has {STAMP_BYTES} bytes, those of its stamp, to {PAYLOAD_BYTES_MAX}")
    })
}

/// Counts the stamps that begin in `bytes`.
pub fn count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == MARK).count() as u64
}

/// Finds the stamps of one stream, which may be cut anywhere.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    /// The first bytes of a stamp whose rest has not come yet.
    begun: [u8; STAMP_BYTES],
    begun_bytes: u8,
}

impl Scanner {
    /// Reads on; calls `found` with each stamp, or `None` where a mark is followed by something
    /// else.
    pub fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(Option<Stamp>)) {
        if self.begun_bytes > 0 {
            let have = usize::from(self.begun_bytes);
            let taken = bytes.len().min(STAMP_BYTES - have);
            self.begun[have..have + taken].copy_from_slice(&bytes[..taken]);
            self.begun_bytes += taken as u8;
            bytes = &bytes[taken..];
            if usize::from(self.begun_bytes) < STAMP_BYTES {
                return;
            }
            found(Stamp::parse(&self.begun));
            self.begun_bytes = 0;
        }
        while let Some(at) = memchr::memchr(MARK, bytes) {
            bytes = &bytes[at..];
            if bytes.len() < STAMP_BYTES {
                self.begun[..bytes.len()].copy_from_slice(bytes);
                self.begun_bytes = bytes.len() as u8;
                return;
            }
            found(Stamp::parse(bytes));
            bytes = &bytes[STAMP_BYTES..];
        }
    }
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> (Vec<u8>, Vec<Option<Stamp>>) {
        let stamps = [(0, 1), (7, 123_456_789), (9_999_999_999, 9_999_999_999_999_999_999)];
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n: hi\n\n".to_vec();
        let mut expected = Vec::new();
        for (number, due_ns) in stamps {
            let stamp = Stamp { number, due_ns };
            bytes.extend_from_slice(b"id: 0-1\ndata: ");
            bytes.extend_from_slice(&stamp.payload(40));
            bytes.extend_from_slice(b"\n\n");
            expected.push(Some(stamp));
        }
        bytes.extend_from_slice(b"data: ~000000000a.0000000000000000001\n\n");
        expected.push(None);
        (bytes, expected)
    }

    #[test]
    fn stamps_are_found_alike_however_the_stream_is_cut_in_three() {
        let (bytes, expected) = stream();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut scanner = Scanner::default();
                let mut found = Vec::new();
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    scanner.scan(part, |stamp| found.push(stamp));
                }
                assert_eq!(found, expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn stamps_are_found_byte_by_byte() {
        let (bytes, expected) = stream();
        let mut scanner = Scanner::default();
        let mut found = Vec::new();
        bytes.chunks(1).for_each(|byte| scanner.scan(byte, |stamp| found.push(stamp)));
        assert_eq!(found, expected);
        assert_eq!(count(&bytes), expected.len() as u64);
    }

    #[test]
    fn a_payload_has_the_size_asked_for_and_one_mark() {
        for payload_bytes in [STAMP_BYTES, 100, 6_400] {
            let payload = Stamp { number: 3, due_ns: 1 }.payload(payload_bytes);
            assert_eq!((payload.len(), count(&payload)), (payload_bytes, 1));
        }
    }
}
