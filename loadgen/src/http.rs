//! HTTP/1.1 answers as a subscriber reads them: the head, then a body of any framing.
//!
//! The idea: both readers take bytes that may end anywhere. The head asks for more until it is
//! whole; the body hands on slices of what it was given and keeps 16 bytes between pieces.
//!
//! This module knows nothing of sockets, and nothing of what the body means.

use std::fmt;

/// Bytes of an answer's head. Browsers allow far more; no event stream needs them.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header fields of an answer's head.
const HEADERS_COUNT_MAX: usize = 64;

/// What an answer's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the head, the blank line included.
    pub(crate) bytes: usize,
    /// The status code.
    pub(crate) status: u16,
    /// Whether the media type is `text/event-stream` (parameters aside, any case).
    pub(crate) is_event_stream: bool,
    /// Seconds of a `Retry-After` field, if it is a number.
    pub(crate) retry_after_s: Option<u32>,
    /// Whether the connection ends with this answer.
    pub(crate) closes: bool,
    /// How the body is delimited.
    pub(crate) body: Body,
}

/// Why an answer cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The head breaks the grammar (RFC 9112, sections 4 and 5) or has too many fields.
    Head,
    /// The head is longer than [`HEAD_BYTES_MAX`].
    HeadTooLong,
    /// `Content-Length` is no number, or stands beside `Transfer-Encoding: chunked`.
    Framing,
    /// A chunk's size line or end breaks the grammar (RFC 9112, section 7.1).
    Chunk,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Head => "the response head is not HTTP/1.1",
            Malformed::HeadTooLong => "the response head is longer than 16 KiB",
            Malformed::Framing => "the response body has contradictory framing",
            Malformed::Chunk => "a chunk of the response body is malformed",
        })
    }
}

impl Head {
    /// Reads a head from the front of `input`; `None` while it is not whole.
    ///
    /// # Errors
    ///
    /// If what is there can no longer become a head.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<Head>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let bytes = match response.parse(input) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) if input.len() > HEAD_BYTES_MAX => {
                return Err(Malformed::HeadTooLong);
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed::Head),
        };
        let status = response.code.ok_or(Malformed::Head)?;
        let mut head = Head {
            bytes,
            status,
            is_event_stream: false,
            retry_after_s: None,
            closes: response.version == Some(0),
            body: Body::close(),
        };
        head.read_fields(response.headers)?;
        Ok(Some(head))
    }

    fn read_fields(&mut self, fields: &[httparse::Header<'_>]) -> Result<(), Malformed> {
        let mut length = None;
        let mut chunked = false;
        for field in fields {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("content-type") {
                let essence = value.split(|&byte| byte == b';').next().unwrap_or(value);
                self.is_event_stream =
                    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream");
            } else if field.name.eq_ignore_ascii_case("content-length") {
                length = Some(number(value).ok_or(Malformed::Framing)?);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked |= has_token(value, b"chunked");
            } else if field.name.eq_ignore_ascii_case("connection") {
                self.closes =
                    has_token(value, b"close") || (self.closes && !has_token(value, b"keep-alive"));
            } else if field.name.eq_ignore_ascii_case("retry-after") {
                self.retry_after_s = number(value).and_then(|seconds| seconds.try_into().ok());
            }
        }
        self.body = match (length, chunked) {
            // RFC 9112, section 6.1: a sender must not send both.
            (Some(_), true) => return Err(Malformed::Framing),
            (None, true) => Body::chunked(),
            _ if matches!(self.status, 100..200 | 204 | 304) => Body::length(0),
            (Some(length), false) => Body::length(length),
            (None, false) => Body::close(),
        };
        Ok(())
    }
}

fn number(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token))
}

/// How a body is delimited, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Body {
    /// Bytes left of the body or of the chunk; the size read so far within a size line.
    left: u64,
    place: Place,
}

/// Where in a body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a body that the end of the connection delimits.
    UntilClose,
    /// In a body of known length.
    Length,
    /// Before the first digit of a chunk's size.
    SizeStart,
    /// Behind a digit of a chunk's size.
    Size,
    /// In a chunk extension.
    Extension,
    /// Behind the CR of a size line.
    SizeEnd,
    /// In a chunk's data.
    Data,
    /// Before the CR behind a chunk's data.
    DataCr,
    /// Before the LF behind a chunk's data.
    DataLf,
    /// At the start of a line of the trailer section.
    TrailerStart,
    /// Within a line of the trailer section.
    Trailer,
    /// Behind the CR of the last line.
    LastLf,
    /// Behind the body.
    Done,
}

impl Body {
    /// A body that ends with its connection.
    pub(crate) const fn close() -> Body {
        Body { left: 0, place: Place::UntilClose }
    }

    const fn chunked() -> Body {
        Body { left: 0, place: Place::SizeStart }
    }

    /// A body of known length, in bytes.
    pub(crate) const fn length(left: u64) -> Body {
        let place = if left == 0 { Place::Done } else { Place::Length };
        Body { left, place }
    }

    /// Takes the next run of content from the front of `input`; `None` when there is no more of
    /// it in this piece. Bytes behind the end of the body stay in `input`.
    ///
    /// # Errors
    ///
    /// If the chunk framing is broken; the body cannot be read on.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        while !input.is_empty() {
            match self.place {
                Place::Done => return Ok(None),
                Place::UntilClose => return Ok(Some(std::mem::take(input))),
                Place::Length | Place::Data => {
                    let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
                    let (content, rest) = input.split_at(take);
                    *input = rest;
                    self.left -= take as u64;
                    if self.left == 0 {
                        let whole = self.place == Place::Length;
                        self.place = if whole { Place::Done } else { Place::DataCr };
                    }
                    return Ok(Some(content));
                }
                _ => {
                    self.framing(input[0])?;
                    *input = &input[1..];
                }
            }
        }
        Ok(None)
    }

    /// Takes one byte that is not content.
    fn framing(&mut self, byte: u8) -> Result<(), Malformed> {
        self.place = match (self.place, byte) {
            (Place::SizeStart | Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).expect("a hexadecimal digit");
                // Four bits of room: the next digit cannot overflow.
                if self.left >> 60 != 0 {
                    return Err(Malformed::Chunk);
                }
                self.left = self.left << 4 | u64::from(digit);
                Place::Size
            }
            (Place::Size, b'\r') | (Place::Extension, b'\r') => Place::SizeEnd,
            (Place::Size, b';' | b' ' | b'\t') => Place::Extension,
            (Place::Extension, other) if other != b'\n' => Place::Extension,
            (Place::SizeEnd, b'\n') if self.left == 0 => Place::TrailerStart,
            (Place::SizeEnd, b'\n') => Place::Data,
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::SizeStart,
            (Place::TrailerStart, b'\r') => Place::LastLf,
            (Place::Trailer, b'\n') => Place::TrailerStart,
            (Place::TrailerStart | Place::Trailer, _) => Place::Trailer,
            (Place::LastLf, b'\n') => Place::Done,
            _ => return Err(Malformed::Chunk),
        };
        Ok(())
    }

    /// Whether the body is over and the connection is free for the next answer.
    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// Whether the end of the connection is a proper end of this body.
    pub(crate) fn may_end_here(&self) -> bool {
        matches!(self.place, Place::UntilClose | Place::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Malformed> {
        Head::parse(text.as_bytes())
    }

    /// Reads a body in pieces; what was content, and what was left over.
    fn read(mut body: Body, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut content, mut over) = (Vec::new(), 0);
        for piece in pieces {
            let mut input = *piece;
            while let Some(run) = body.next(&mut input)? {
                content.extend_from_slice(run);
            }
            over += input.len();
        }
        Ok((content, over, body.is_done()))
    }

    #[test]
    fn a_head_is_read_when_its_last_byte_is_there_and_not_before() {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\
                    Transfer-Encoding: chunked\r\n\r\nrest";
        let whole = text.len() - "rest".len();
        for end in 0..whole {
            assert_eq!(head(&text[..end]), Ok(None), "{end}");
        }
        let head = head(text).unwrap().unwrap();
        assert_eq!((head.bytes, head.status), (whole, 200));
        assert!(head.is_event_stream && !head.closes);
        assert_eq!(head.body, Body::chunked());
    }

    #[test]
    fn framing_and_connection_follow_the_fields() {
        for (fields, version, body, closes) in [
            ("", "1.1", Body::close(), false),
            ("", "1.0", Body::close(), true),
            ("Connection: keep-alive\r\n", "1.0", Body::close(), false),
            ("Connection: x, Close\r\n", "1.1", Body::close(), true),
            ("Content-Length: 12\r\n", "1.1", Body::length(12), false),
            ("transfer-encoding: gzip, Chunked\r\n", "1.1", Body::chunked(), false),
        ] {
            let text = format!("HTTP/{version} 200 OK\r\n{fields}\r\n");
            let head = head(&text).unwrap().unwrap();
            assert_eq!((head.body, head.closes), (body, closes), "{fields:?}");
        }
    }

    #[test]
    fn an_answer_without_a_body_is_over_at_once() {
        assert!(head("HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().body.is_done());
        let refused = head("HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n");
        let refused = refused.unwrap().unwrap();
        assert!(refused.body.is_done());
        assert_eq!(refused.retry_after_s, Some(2));
    }

    #[test]
    fn contradictory_or_broken_heads_are_refused() {
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(head(both), Err(Malformed::Framing));
        assert_eq!(head("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), Err(Malformed::Framing));
        assert_eq!(head("SMTP ready\r\n"), Err(Malformed::Head));
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(head(&endless), Err(Malformed::HeadTooLong));
    }

    #[test]
    fn chunks_are_taken_off_at_every_pair_of_splits() {
        let text: &[u8] = b"5\r\nhello\r\n00A; x=\"y\"\r\n, beauties\r\n0\r\nT: x\r\n\r\nnext";
        let expected = (b"hello, beauties".to_vec(), 4, true);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let got = read(Body::chunked(), &pieces);
                assert_eq!(got, Ok(expected.clone()), "split at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_body_of_known_length_ends_there_at_every_split() {
        for split in 0..=8 {
            let text: &[u8] = b"12345678";
            let got = read(Body::length(5), &[&text[..split], &text[split..]]);
            assert_eq!(got, Ok((b"12345".to_vec(), 3, true)), "split at {split}");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for text in ["x", "\r\n", "5\n", "5\r\nhello!", "5\r\nhello\n", "fffffffffffffffff\r\n"] {
            let got = read(Body::chunked(), &[text.as_bytes()]);
            assert_eq!(got, Err(Malformed::Chunk), "{text:?}");
        }
    }

    #[test]
    fn an_end_of_the_connection_is_proper_only_outside_of_framing() {
        assert!(Body::close().may_end_here());
        let mut body = Body::chunked();
        assert!(!body.may_end_here());
        while body.next(&mut b"0\r\n\r\n".as_slice()).unwrap().is_some() {}
        assert!(!Body::length(3).may_end_here());
    }
}
