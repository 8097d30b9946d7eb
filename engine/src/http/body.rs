//! A request body, decoded from whatever pieces arrive.
//!
//! The idea: one small state machine for both framings, which eats as much input as there is and
//! appends the content to the caller's buffer. Chunked coding (RFC 9112, section 7.1) is read
//! strictly: hexadecimal digits, CRLF, nothing else before the extension. Extensions and trailers
//! are read, bounded and ignored.
//!
//! Invariants: the content is the same for every split of the input; at most
//! `content_bytes_max` bytes are ever delivered; a refused body stays refused (the caller closes
//! the connection). After `done`, nothing more is consumed: the rest is the next request.
//!
//! Knows nothing of what the content means.

use super::refusal::{Refusal, Status};
use super::request::BodyKind;

/// All chunk extensions of one body together, in bytes. Nobody uses them; without a bound they
/// are a way to send for ever without sending anything.
const EXTENSION_BYTES_MAX: usize = 1 << 10;

/// All trailer lines of one body together, in bytes.
const TRAILER_BYTES_MAX: usize = 4 << 10;

/// Digits of one chunk size, leading zeros included: enough for 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// The decoder of one request's body.
#[derive(Debug)]
pub struct Body {
    state: State,
    /// How much more content may come; `None` = no limit (a stream of events).
    content_bytes_left: Option<u64>,
    extension_bytes: usize,
    trailer_bytes: usize,
}

/// What one call of `decode` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that belong to this body.
    pub consumed: usize,
    /// Whether the body has ended.
    pub done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes of a body with a length.
    Length(u64),
    /// In the digits of a chunk size.
    Size {
        value: u64,
        digits: u8,
    },
    /// Blanks behind the size, which only an extension may follow.
    Blank {
        value: u64,
    },
    /// In an extension, up to its CR.
    Extension {
        value: u64,
    },
    /// The LF of the size line.
    SizeLf {
        value: u64,
    },
    /// So many bytes of a chunk.
    Data(u64),
    /// The CR LF behind a chunk.
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the last empty line.
    TrailerStart,
    /// In the name of a trailer line; its colon is still to come.
    TrailerName,
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

impl Body {
    /// A decoder for the framing of a request.
    ///
    /// # Errors
    /// 413 if the announced length is already above `content_bytes_max`.
    pub fn new(kind: BodyKind, content_bytes_max: Option<u64>) -> Result<Self, Refusal> {
        let state = match kind {
            BodyKind::None => State::Done,
            BodyKind::Length(length) => State::Length(length),
            BodyKind::Chunked => State::Size { value: 0, digits: 0 },
        };
        let mut body = Self {
            state,
            content_bytes_left: content_bytes_max,
            extension_bytes: 0,
            trailer_bytes: 0,
        };
        if let BodyKind::Length(length) = kind {
            body.reserve(length)?;
        }
        Ok(body)
    }

    /// Eats from `input`, appends content to `out`.
    ///
    /// # Errors
    /// 400 for a framing that is not exactly that of the RFC, 413 beyond a limit.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Decoded, Refusal> {
        let mut consumed = 0;
        while consumed < input.len() && self.state != State::Done {
            consumed += match self.state {
                State::Length(left) | State::Data(left) => {
                    self.take_content(left, &input[consumed..], out)
                }
                _ => {
                    self.state = self.step(input[consumed])?;
                    1
                }
            };
        }
        Ok(Decoded { consumed, done: self.state == State::Done })
    }

    /// Content that was checked against the limit when its length became known.
    fn take_content(&mut self, left: u64, input: &[u8], out: &mut Vec<u8>) -> usize {
        let count = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        out.extend_from_slice(&input[..count]);
        let left = left - count as u64;
        self.state = match self.state {
            State::Length(_) if left == 0 => State::Done,
            State::Length(_) => State::Length(left),
            _ if left == 0 => State::DataCr,
            _ => State::Data(left),
        };
        count
    }

    /// One byte of the chunked framing.
    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, _) => self.size_digit(value, digits, byte)?,
            (State::Blank { .. } | State::Extension { .. }, _) => self.extension(byte)?,
            (State::SizeLf { value: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { value }, b'\n') => State::Data(value),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::TrailerName | State::Trailer, _) => self.trailer(byte)?,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Done,
            _ => {
                return Err(Refusal::bad(
                    "A chunk or its size line does not end with CR LF (RFC 9112, section 7.1).",
                ));
            }
        })
    }

    fn size_digit(&mut self, value: u64, digits: u8, byte: u8) -> Result<State, Refusal> {
        let bad = "A chunk size is not 1 to 16 hexadecimal digits (RFC 9112, section 7.1).";
        match (char::from(byte).to_digit(16), digits) {
            (Some(_), SIZE_DIGITS_MAX) => Err(Refusal::bad(bad)),
            (Some(digit), _) => {
                Ok(State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 })
            }
            (None, 0) => Err(Refusal::bad(bad)),
            (None, _) => {
                self.reserve(value)?;
                match byte {
                    b'\r' => Ok(State::SizeLf { value }),
                    b';' => Ok(State::Extension { value }),
                    b' ' | b'\t' => Ok(State::Blank { value }),
                    _ => Err(Refusal::bad(bad)),
                }
            }
        }
    }

    /// RFC 9112, section 7.1.1, with its blanks before the semicolon; the content is not read.
    fn extension(&mut self, byte: u8) -> Result<State, Refusal> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(Refusal::bad(format!(
                "The chunk extensions are longer than {EXTENSION_BYTES_MAX} bytes together."
            )));
        }
        match (self.state, byte) {
            (State::Blank { .. }, b' ' | b'\t') => Ok(self.state),
            (State::Blank { value }, b';') => Ok(State::Extension { value }),
            (State::Extension { value }, b'\r') => Ok(State::SizeLf { value }),
            (State::Extension { .. }, _) if is_field_byte(byte) => Ok(self.state),
            _ => Err(Refusal::bad("A chunk size is followed by something else than CR LF.")),
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Refusal> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Refusal::new(
                Status::HeaderFieldsTooLarge,
                format!("The trailers are longer than {TRAILER_BYTES_MAX} bytes together."),
            ));
        }
        match (self.state, byte) {
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::Trailer, _) if is_field_byte(byte) => Ok(State::Trailer),
            (State::Trailer, _) => Err(Refusal::bad("A trailer line has a control character.")),
            // A line that starts with a blank would fold (obs-fold, RFC 9112, section 5.2).
            (State::TrailerStart, b' ' | b'\t') => Err(Refusal::bad("A trailer line is folded.")),
            (State::TrailerName, b':') => Ok(State::Trailer),
            _ if is_name_byte(byte) => Ok(State::TrailerName),
            _ => Err(Refusal::bad(
                "A trailer line does not begin with a name and a colon (RFC 9112, section 5).",
            )),
        }
    }

    /// Takes a chunk or a length out of what may still come.
    fn reserve(&mut self, bytes: u64) -> Result<(), Refusal> {
        let Some(left) = &mut self.content_bytes_left else {
            return Ok(());
        };
        match left.checked_sub(bytes) {
            Some(rest) => *left = rest,
            None => {
                return Err(Refusal::new(
                    Status::ContentTooLarge,
                    "The body is longer than allowed here; see --event-bytes-max.",
                ));
            }
        }
        Ok(())
    }
}

/// HTAB, space, visible ASCII and obs-text (RFC 9110, section 5.5).
fn is_field_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

/// A character of a field's name (tchar, RFC 9110, section 5.6.2).
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` cut at the given places; the content and what was not consumed.
    fn decode_pieces(
        kind: BodyKind,
        limit: Option<u64>,
        pieces: &[&[u8]],
    ) -> Result<(Vec<u8>, usize, bool), Refusal> {
        let mut body = Body::new(kind, limit)?;
        let (mut out, mut total, mut done) = (Vec::new(), 0, kind == BodyKind::None);
        for piece in pieces {
            let decoded = body.decode(piece, &mut out)?;
            assert!(done || decoded.done || decoded.consumed == piece.len(), "input was left");
            total += decoded.consumed;
            done = decoded.done;
        }
        Ok((out, total, done))
    }

    /// The verdict on the whole, after checking that every cut in two, every cut in three and one
    /// byte at a time give the same.
    fn decode(
        kind: BodyKind,
        limit: Option<u64>,
        input: &[u8],
    ) -> Result<(Vec<u8>, usize, bool), Refusal> {
        let whole = decode_pieces(kind, limit, &[input]);
        for first in 0..=input.len() {
            for second in first..=input.len().min(first + 40) {
                let pieces = [&input[..first], &input[first..second], &input[second..]];
                assert_eq!(decode_pieces(kind, limit, &pieces), whole, "cut at {first}, {second}");
            }
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(decode_pieces(kind, limit, &bytes), whole, "one byte at a time");
        whole
    }

    fn chunked(input: &[u8]) -> Result<(Vec<u8>, usize, bool), Refusal> {
        decode(BodyKind::Chunked, None, input)
    }

    #[test]
    fn a_length_delimits_the_body_and_the_rest_is_left() {
        let got = decode(BodyKind::Length(5), Some(5), b"helloGET / HTTP/1.1").unwrap();
        assert_eq!(got, (b"hello".to_vec(), 5, true));
        let got = decode(BodyKind::Length(5), None, b"hel").unwrap();
        assert_eq!(got, (b"hel".to_vec(), 3, false));
        assert_eq!(decode(BodyKind::None, None, b"GET").unwrap(), (vec![], 0, true));
    }

    #[test]
    fn chunks_are_joined_under_every_split() {
        for (input, content) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
            (b"00000005\r\nhello\r\n000\r\n\r\n", b"hello"),
            (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
            (b"5;name=value\r\nhello\r\n0;last\r\n\r\n", b"hello"),
            (b"5 \t; name=\"v\"\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"5\r\nhello\r\n0\r\nDigest: x\r\nMore: y\r\n\r\n", b"hello"),
        ] {
            let got = chunked(input).unwrap();
            assert_eq!(got, (content.to_vec(), input.len(), true), "{}", input.escape_ascii());
            let with_next = [input, b"POST / HTTP/1.1\r\n"].concat();
            let got = chunked(&with_next).unwrap();
            assert_eq!(got, (content.to_vec(), input.len(), true), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn every_known_lenience_of_chunk_parsers_is_refused() {
        for input in [
            &b"\r\n"[..],
            b"\r\n0\r\n\r\n",
            b" 5\r\nhello",
            b"+5\r\nhello",
            b"-5\r\nhello",
            b"0x5\r\nhello",
            b"5_0\r\nhello",
            b"5\nhello",
            b"5\rhello",
            b"5 \r\nhello",
            b"5 5\r\nhello",
            b"5,\r\nhello",
            b"g\r\nhello",
            b";a=b\r\nhello",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n",
            b"5\r\nhello\r\n\r\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"5;a\nb\r\nhello",
            b"5;a\rb\r\nhello",
            b"5;a\0\r\nhello",
            b"0\n\n",
            b"0\r\n\n",
            b"0\r\n\rX",
            b"0\r\nA: b\n\r\n",
            b"0\r\nA: b\rX\r\n",
            b"0\r\nA: \x01\r\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\nnothing\r\n\r\n",
            b"0\r\n: no name\r\n\r\n",
            b"0\r\nBlank : b\r\n\r\n",
            b"0\r\nA\xe9: b\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"00000000000000005\r\nhello",
            b"fffffffffffffffff\r\n",
        ] {
            let refusal = chunked(input).expect_err(&input.escape_ascii().to_string());
            assert_eq!(refusal.status, Status::BadRequest, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn content_up_to_the_limit_is_delivered_and_one_byte_more_is_413() {
        let exact = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(decode(BodyKind::Chunked, Some(5), exact).unwrap().0, b"abcde");
        let refused = decode(BodyKind::Chunked, Some(4), exact).unwrap_err();
        assert_eq!(refused.status, Status::ContentTooLarge);
        let announced = Body::new(BodyKind::Length(6), Some(5)).unwrap_err();
        assert_eq!(announced.status, Status::ContentTooLarge);
        let huge = decode(BodyKind::Chunked, Some(5), b"ffffffffffffffff\r\n").unwrap_err();
        assert_eq!(huge.status, Status::ContentTooLarge);
    }

    #[test]
    fn extensions_are_bounded_over_all_chunks_together() {
        let one = |extension: usize| format!("1;{}\r\nx\r\n", "e".repeat(extension - 1));
        // The CR behind an extension counts, the semicolon does not: 512 bytes each.
        let fits = format!("{0}{0}0\r\n\r\n", one(512));
        assert!(decode_pieces(BodyKind::Chunked, None, &[fits.as_bytes()]).is_ok());
        let over = format!("{}{}0\r\n\r\n", one(512), one(513));
        assert!(decode_pieces(BodyKind::Chunked, None, &[over.as_bytes()]).is_err());
    }

    #[test]
    fn trailers_are_bounded() {
        let with = |bytes: usize| format!("0\r\nt:{}\r\n\r\n", "t".repeat(bytes - 3));
        let fits = with(TRAILER_BYTES_MAX);
        assert!(decode_pieces(BodyKind::Chunked, None, &[fits.as_bytes()]).unwrap().2);
        let over =
            decode_pieces(BodyKind::Chunked, None, &[with(TRAILER_BYTES_MAX + 1).as_bytes()]);
        assert_eq!(over.unwrap_err().status, Status::HeaderFieldsTooLarge);
    }

    #[test]
    fn an_endless_stream_has_no_total_limit() {
        let mut body = Body::new(BodyKind::Chunked, None).unwrap();
        let mut out = Vec::new();
        let chunk = [b"1000\r\n".to_vec(), vec![b'x'; 0x1000], b"\r\n".to_vec()].concat();
        for _ in 0..100 {
            body.decode(&chunk, &mut out).unwrap();
            assert_eq!(out.len(), 0x1000);
            out.clear();
        }
    }
}
