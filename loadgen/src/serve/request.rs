//! Requests as they arrive: heads, and bodies of either framing, a piece at a time.
//!
//! The idea: nothing is consumed before it is whole (a head) or usable (a part of a body), so a
//! caller appends what it read and asks again. Bounds are small and fixed: this server is for
//! tests.
//!
//! This module knows nothing of topics, sockets or answers.

/// Bytes of a request head. Longer heads are no client of this server.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header fields of a request head.
const HEADERS_COUNT_MAX: usize = 64;

/// Bytes of a body that is not a stream of lines, and of one line of one that is.
pub(super) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A request head, with what this server wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub(super) http_minor: u8,
    pub(super) last_event_id: Option<String>,
    pub(super) content_type: String,
    pub(super) expects_continue: bool,
    pub(super) body: Body,
}

/// What is still to come of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks (RFC 9112, section 7.1).
    Chunked(Chunk),
}

/// Where a chunked body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

impl Default for Body {
    fn default() -> Self {
        Self::Length(0)
    }
}

impl Request {
    /// Takes a whole head from the front of `input`, or nothing.
    ///
    /// # Errors
    ///
    /// Says what is wrong with a head that can never become a request.
    pub(super) fn take(input: &mut Vec<u8>) -> Result<Option<Self>, String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_COUNT_MAX];
        let mut head = httparse::Request::new(&mut headers);
        let status = head.parse(input).map_err(|error| format!("request head: {error}"))?;
        let httparse::Status::Complete(length) = status else {
            if input.len() > HEAD_BYTES_MAX {
                return Err(format!("request head: over {HEAD_BYTES_MAX} bytes"));
            }
            return Ok(None);
        };
        let target = head.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: head.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: pairs(query),
            http_minor: head.version.unwrap_or(1),
            ..Self::default()
        };
        for header in head.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            request.read_header(header.name, value.trim())?;
        }
        input.drain(..length);
        Ok(Some(request))
    }

    /// The value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn read_header(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let length = value.parse().map_err(|_| format!("Content-Length: {value}"))?;
                self.body = Body::Length(length);
            }
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => {
                self.body = Body::Chunked(Chunk::Size);
            }
            "transfer-encoding" => return Err(format!("Transfer-Encoding: {value}")),
            "content-type" => {
                let essence = value.split(';').next().unwrap_or_default();
                self.content_type = essence.trim().to_ascii_lowercase();
            }
            "last-event-id" => self.last_event_id = Some(value.to_owned()),
            "expect" => self.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            _ => {}
        }
        Ok(())
    }
}

impl Body {
    /// Moves what `input` holds of this body to `body`; true when the body is at its end.
    ///
    /// # Errors
    ///
    /// Says what is wrong with a body that cannot go on.
    pub(super) fn take(&mut self, input: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<bool, String> {
        match self {
            Self::Length(left) => {
                move_bytes(left, input, body);
                Ok(*left == 0)
            }
            Self::Chunked(chunk) => {
                while chunk.advance(input, body)? {}
                Ok(*chunk == Chunk::Done)
            }
        }
    }
}

impl Chunk {
    /// Takes one step; false when it needs more input or is done.
    fn advance(&mut self, input: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<bool, String> {
        match self {
            Self::Size => match httparse::parse_chunk_size(input) {
                Err(_) => return Err("a chunk of the body has no valid size".to_owned()),
                Ok(httparse::Status::Partial) => return Ok(false),
                Ok(httparse::Status::Complete((length, size))) => {
                    input.drain(..length);
                    *self = if size == 0 { Self::Trailer } else { Self::Data(size) };
                }
            },
            Self::Data(left) => {
                move_bytes(left, input, body);
                if *left > 0 {
                    return Ok(false);
                }
                *self = Self::DataEnd;
            }
            Self::DataEnd => {
                if input.len() < 2 {
                    return Ok(false);
                }
                if !input.starts_with(b"\r\n") {
                    return Err("a chunk of the body is longer than its size".to_owned());
                }
                input.drain(..2);
                *self = Self::Size;
            }
            Self::Trailer => {
                let Some(end) = memchr::memchr(b'\n', input) else {
                    return Ok(false);
                };
                let empty = matches!(&input[..end], b"" | b"\r");
                input.drain(..=end);
                if empty {
                    *self = Self::Done;
                }
            }
            Self::Done => return Ok(false),
        }
        Ok(true)
    }
}

fn move_bytes(left: &mut u64, input: &mut Vec<u8>, body: &mut Vec<u8>) {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    body.extend(input.drain(..count));
    *left -= count as u64;
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let fields = query.split('&').filter(|field| !field.is_empty());
    let pairs = fields.map(|field| field.split_once('=').unwrap_or((field, "")));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

/// A query component with `+` and `%XX` undone (WHATWG URL, section 5.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in two pieces, split at `at`, and returns the request and its body.
    fn arrived(wire: &[u8], at: usize) -> (Request, Vec<u8>, Vec<u8>) {
        let (mut input, mut body) = (wire[..at].to_vec(), Vec::new());
        let mut request = Request::take(&mut input).expect("valid");
        let mut done = request
            .as_mut()
            .is_some_and(|request| request.body.take(&mut input, &mut body).expect("valid"));
        input.extend_from_slice(&wire[at..]);
        if request.is_none() {
            request = Request::take(&mut input).expect("valid");
        }
        let mut request = request.expect("a whole head");
        if !done {
            done = request.body.take(&mut input, &mut body).expect("valid");
        }
        assert!(done, "split at {at}");
        (request, body, input)
    }

    #[test]
    fn a_request_is_the_same_wherever_it_is_split() {
        let fixed =
            &b"POST /events/t?event=a%20b+c&x HTTP/1.1\r\nContent-Type: Text/Plain; a=b\r\n\
            Content-Length: 5\r\n\r\nhelloGET"[..];
        let chunked = &b"POST /events HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
            3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\nGET"[..];
        for wire in [fixed, chunked] {
            for at in 0..=wire.len() {
                let (request, body, rest) = arrived(wire, at);
                assert_eq!(body, b"hello", "split at {at}");
                assert_eq!(rest, b"GET", "split at {at}");
                assert_eq!(request.method, "POST");
            }
        }
        let (request, ..) = arrived(fixed, fixed.len());
        assert_eq!(request.path, "/events/t");
        assert_eq!(request.parameter("event"), Some("a b c"));
        assert_eq!(request.parameter("x"), Some(""));
        assert_eq!(request.content_type, "text/plain");
    }

    #[test]
    fn what_can_never_become_a_request_is_refused() {
        for wire in [
            &b"\x01\x02\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nContent-Length: five\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert!(Request::take(&mut wire.to_vec()).is_err());
        }
        let mut endless = b"GET / HTTP/1.1\r\nX: ".to_vec();
        endless.resize(HEAD_BYTES_MAX + 1, b'a');
        assert!(Request::take(&mut endless).is_err());
    }

    #[test]
    fn broken_chunks_are_refused() {
        for wire in [&b"x\r\n"[..], b"2\r\nabcd"] {
            let mut body = Body::Chunked(Chunk::Size);
            assert!(body.take(&mut wire.to_vec(), &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn query_escapes_that_are_none_stay_as_they_are() {
        for (text, expected) in [("%", "%"), ("%2", "%2"), ("%zz", "%zz"), ("%41%", "A%")] {
            assert_eq!(decoded(text), expected);
        }
    }
}
