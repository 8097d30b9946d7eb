//! A request head: bytes in, one meaning or a refusal out.
//!
//! The idea: two readers must agree. `survey` walks the lines and keeps the discipline that
//! `httparse` does not (CRLF only, limits that hold before the head is complete, known methods);
//! `httparse` keeps the grammar. Both decide by the earliest offending byte, so the verdict is the
//! same however the bytes were split over reads. What the head says about framing, Host, target
//! and connection is then read from the complete head.
//!
//! Invariants: a `Request` has exactly one body framing, exactly one Host in HTTP/1.1, and no
//! control characters anywhere. No prefix of an acceptable head is refused, and none of a head is
//! kept beyond `Limits`.
//!
//! Knows nothing of paths and their meaning (`route`), nor of bodies (`body`).

use std::mem::MaybeUninit;

use memchr::{memchr, memchr2_iter};

use super::refusal::{Refusal, Status};

mod meaning;
#[cfg(test)]
mod tests;

/// Header lines of one request. Browsers send about 20; 100 is the figure of nginx and Apache.
pub const HEADERS_COUNT_MAX: usize = 100;

/// The longest method that is looked up, in bytes (`OPTIONS` and `CONNECT` have 7). A longer one
/// is refused before its end has arrived.
const METHOD_BYTES_MAX: usize = 16;

/// What one head may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Request line and headers with all line ends, in bytes. More is a 431.
    pub head_bytes_max: usize,
    /// Request target, in bytes. More is a 414.
    pub target_bytes_max: usize,
}

impl Default for Limits {
    /// 16 KiB and 8 KiB: what proxies in front let through, and enough for the longest cookie
    /// jars and topic lists met in practice.
    fn default() -> Self {
        Self { head_bytes_max: 16 << 10, target_bytes_max: 8 << 10 }
    }
}

/// The verdict on the bytes so far, unless they are refused.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// The start of a head that may yet be accepted.
    Partial,
    /// A whole head; the body, or the next request, starts at `head_bytes`.
    Complete { request: Request<'a>, head_bytes: usize },
}

/// The methods that this server knows (RFC 9110, section 9, and RFC 10008 for QUERY). Which of them a resource has is the
/// router's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
    Query,
}

impl Method {
    /// Whether a request with it changes nothing (RFC 9110, section 9.2.1; RFC 10008, section 2).
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace | Self::Query)
    }

    /// Methods are case-sensitive (RFC 9110, section 9.1).
    fn from_token(token: &[u8]) -> Option<Self> {
        Some(match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            b"QUERY" => Self::Query,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// How the end of the body is found (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// No body: neither header, or `Content-Length: 0`.
    None,
    /// So many bytes, at least one.
    Length(u64),
    Chunked,
}

/// One request head with exactly one meaning.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: Method,
    /// The path as sent, still percent-encoded; `*` only with OPTIONS.
    pub path: &'a str,
    /// What stands behind the first `?`, still encoded.
    pub query: Option<&'a str>,
    pub version: Version,
    pub body: BodyKind,
    /// Whether the client is ready for another request on this connection.
    pub keep_alive: bool,
    /// Whether the client waits for a 100 before it sends its body (RFC 9110, section 10.1.1).
    pub expect_continue: bool,
    headers: Vec<httparse::Header<'a>>,
}

/// A header that must be given once at most was given more often.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeated;

impl<'a> Request<'a> {
    /// The first value of a header. `None` too for a value that is not UTF-8: nothing this server
    /// reads from a header has a meaning beyond UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The raw value of a header that may be given once.
    ///
    /// # Errors
    /// `Repeated` if it was given more often, so that no reader has to choose.
    pub fn header_once(&self, name: &str) -> Result<Option<&'a [u8]>, Repeated> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            _ => Err(Repeated),
        }
    }

    /// All raw values of a header, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }
}

/// Reads the head at the start of `bytes`. Call it again with more bytes while it says `Partial`.
///
/// # Errors
/// The refusal to send before closing the connection: nothing behind a refused head can be
/// trusted to be a request.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, Refusal> {
    let extent = survey(bytes, limits);
    let seen = match &extent {
        Extent::Open => bytes,
        Extent::Closed { head_bytes } => &bytes[..*head_bytes],
        Extent::Faulty { at, .. } => &bytes[..*at],
    };
    let mut slots = [const { MaybeUninit::uninit() }; HEADERS_COUNT_MAX];
    let mut head = httparse::Request::new(&mut []);
    let status = head
        .parse_with_uninit_headers(seen, &mut slots)
        .map_err(|error| grammar_refusal(error, seen))?;
    match (extent, status) {
        (Extent::Faulty { fault, .. }, _) => Err(fault.refusal(limits)),
        (Extent::Open, _) => Ok(Parsed::Partial),
        (Extent::Closed { head_bytes }, httparse::Status::Complete(end)) if end == head_bytes => {
            Ok(Parsed::Complete { request: meaning::read(&head)?, head_bytes })
        }
        // The two readers disagree about where the head ends: the definition of smuggling.
        (Extent::Closed { .. }, _) => Err(Refusal::bad("The request head is malformed.")),
    }
}

/// What the lines alone say about a head.
enum Extent {
    /// No end and no fault so far.
    Open,
    /// The empty line ends at `head_bytes`.
    Closed { head_bytes: usize },
    /// The byte at `at` (or its arrival) makes the head unacceptable.
    Faulty { at: usize, fault: Fault },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    LineEnd,
    EmptyLine,
    Method,
    Connect,
    TargetBytes,
    TargetTooLong,
    HeadTooLong,
    HeaderCount,
}

/// Finds the end of the head or the earliest fault in it.
fn survey(bytes: &[u8], limits: &Limits) -> Extent {
    let window = &bytes[..bytes.len().min(limits.head_bytes_max)];
    // RFC 9112, section 2.2: one empty line before the request line should be ignored.
    let start = if window.starts_with(b"\r\n") { 2 } else { 0 };
    let by_lines = survey_lines(window, start);
    let by_start_line = survey_start_line(&window[start..], limits.target_bytes_max)
        .map(|(at, fault)| (start + at, fault));
    match (by_lines, by_start_line) {
        (Extent::Faulty { at, .. }, Some((sooner, fault))) if sooner < at => {
            Extent::Faulty { at: sooner, fault }
        }
        (Extent::Faulty { at, fault }, _) => Extent::Faulty { at, fault },
        (_, Some((at, fault))) => Extent::Faulty { at, fault },
        (Extent::Open, None) if bytes.len() >= limits.head_bytes_max => {
            Extent::Faulty { at: window.len(), fault: Fault::HeadTooLong }
        }
        (extent, None) => extent,
    }
}

/// Walks the line ends: only CRLF, no more header lines than allowed, up to the empty line.
fn survey_lines(window: &[u8], start: usize) -> Extent {
    let mut line_start = start;
    let mut line_count = 0;
    for at in memchr2_iter(b'\r', b'\n', window).skip_while(|&at| at < start) {
        if window[at] == b'\n' {
            // The LF of a CRLF lies directly before the next line.
            if at + 1 == line_start {
                continue;
            }
            return Extent::Faulty { at, fault: Fault::LineEnd };
        }
        match window.get(at + 1) {
            None => return Extent::Open,
            Some(b'\n') => {}
            Some(_) => {
                return Extent::Faulty { at: at + 1, fault: Fault::LineEnd };
            }
        }
        if at == line_start {
            return match line_count {
                0 => Extent::Faulty { at, fault: Fault::EmptyLine },
                _ => Extent::Closed { head_bytes: at + 2 },
            };
        }
        line_count += 1;
        line_start = at + 2;
        let header_follows = window.get(line_start).is_some_and(|&b| b != b'\r');
        if line_count > HEADERS_COUNT_MAX && header_follows {
            return Extent::Faulty { at: line_start, fault: Fault::HeaderCount };
        }
    }
    Extent::Open
}

/// Checks method and target as far as they have arrived. `window` starts with the request line.
fn survey_start_line(window: &[u8], target_bytes_max: usize) -> Option<(usize, Fault)> {
    let Some(method_end) = memchr(b' ', &window[..window.len().min(METHOD_BYTES_MAX + 1)]) else {
        return (window.len() > METHOD_BYTES_MAX).then_some((METHOD_BYTES_MAX, Fault::Method));
    };
    match &window[..method_end] {
        // A leading space is the grammar's to refuse.
        b"" => return None,
        // The preface of HTTP/2 (RFC 9113, section 3.4) goes on to its version.
        b"PRI" => {}
        b"CONNECT" => return Some((method_end, Fault::Connect)),
        token if Method::from_token(token).is_none() => return Some((method_end, Fault::Method)),
        _ => {}
    }
    let target = &window[method_end + 1..];
    let length = target.iter().position(|b| !(0x21..=0x7E).contains(b)).unwrap_or(target.len());
    if length > target_bytes_max {
        return Some((method_end + 1 + target_bytes_max, Fault::TargetTooLong));
    }
    match target.get(length) {
        // The grammar takes over: a space ends the target, and line ends have their own rule.
        None | Some(b' ' | b'\r' | b'\n') => None,
        Some(_) => Some((method_end + 1 + length, Fault::TargetBytes)),
    }
}

impl Fault {
    fn refusal(self, limits: &Limits) -> Refusal {
        match self {
            Self::LineEnd => Refusal::bad(
                "A line of the request head does not end with CR LF: a CR or LF alone is not \
                 allowed (RFC 9112, section 2.2).",
            ),
            Self::EmptyLine => Refusal::bad("The request starts with empty lines."),
            Self::Method => Refusal::new(
                Status::NotImplemented,
                "The method is not known here; GET, HEAD, POST and OPTIONS are.",
            ),
            Self::Connect => {
                Refusal::new(Status::NotImplemented, "CONNECT is for proxies; this is an origin.")
            }
            Self::TargetBytes => Refusal::bad(
                "The request target has a byte that is not visible ASCII; percent-encode it.",
            ),
            Self::TargetTooLong => Refusal::new(
                Status::UriTooLong,
                format!("The request target is longer than {} bytes.", limits.target_bytes_max),
            ),
            Self::HeadTooLong => Refusal::new(
                Status::HeaderFieldsTooLarge,
                format!("The request head is longer than {} bytes.", limits.head_bytes_max),
            ),
            Self::HeaderCount => Refusal::new(
                Status::HeaderFieldsTooLarge,
                format!("The request has more than {HEADERS_COUNT_MAX} header lines."),
            ),
        }
    }
}

/// The refusal for what `httparse` found wrong in `seen`.
fn grammar_refusal(error: httparse::Error, seen: &[u8]) -> Refusal {
    match error {
        httparse::Error::Version if names_http(seen) => Refusal::new(
            Status::VersionNotSupported,
            "The version is not spoken here; HTTP/1.1 and HTTP/1.0 are.",
        ),
        httparse::Error::HeaderName => Refusal::bad(
            "A header line has a name with a byte that is not allowed there. Folded lines and \
             spaces before the colon count as such (RFC 9112, section 5).",
        ),
        httparse::Error::HeaderValue => {
            Refusal::bad("A header value has a control character (RFC 9110, section 5.5).")
        }
        httparse::Error::TooManyHeaders => Fault::HeaderCount.refusal(&Limits::default()),
        _ => Refusal::bad(
            "The request line is not METHOD SP TARGET SP VERSION (RFC 9112, section 3).",
        ),
    }
}

/// Whether the third word of the request line starts as a version of HTTP does. Only the first
/// five bytes count, so that the answer is the same as soon as a later byte is wrong.
fn names_http(seen: &[u8]) -> bool {
    let line = seen.strip_prefix(b"\r\n").unwrap_or(seen);
    line.split(|&b| b == b' ').nth(2).is_some_and(|word| word.starts_with(b"HTTP/"))
}
