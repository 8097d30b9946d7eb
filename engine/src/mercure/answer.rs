//! Answers of a hub, as bytes.
//!
//! The idea: version 0 answers as its hub does today: a line of plain text, the headers of its
//! security middleware, `Expire` as it is misspelt there. Version 1 adds what RFC 6750 asks for.
//!
//! Invariants: every answer but a stream has a `Content-Length`; every one says in `Connection` what
//! comes next; nothing of a request stands in it but an origin that is allowed, and an id that the
//! client itself resumes from, which is checked.
//!
//! Knows nothing of why an answer is given.

use std::borrow::Cow;
use std::io::Write;

use super::Version;
use super::origin::Origins;
use crate::http::refusal::Status;
use crate::http::response::{Connection, Content};

/// What the hub's middleware says with every answer.
const SECURITY: &[u8] = b"Content-Security-Policy: default-src 'self'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n\
    X-XSS-Protection: 1; mode=block\r\n";
/// Headers of a stream, in the hub's own words.
const STREAM: &[u8] = b"Content-Type: text/event-stream\r\n\
    Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\n\
    Pragma: no-cache\r\n\
    Expire: 0\r\n\
    X-Accel-Buffering: no\r\n";
/// What begins every stream: a comment, so that proxies pass the head on.
pub const PREAMBLE: &[u8] = b":\n";
/// Headers that scripts of other origins may read.
const EXPOSED: &[u8] =
    b"Access-Control-Expose-Headers: Last-Event-ID, Mercure-Last-Event-ID, Link, ETag\r\n";
/// What a page of another origin may send. `Cache-Control` is sent by polyfills.
const PREFLIGHT: &[u8] = b"Access-Control-Allow-Methods: GET, HEAD, POST, QUERY\r\n\
    Access-Control-Allow-Headers: authorization, cache-control, content-type, last-event-id, if-none-match\r\n\
    Access-Control-Max-Age: 7200\r\n";
/// The methods of the hub itself, and of the documents below it.
pub const HUB_ALLOW: &str = "GET, HEAD, POST, OPTIONS";
pub const HUB_ALLOW_V1: &str = "GET, HEAD, QUERY, POST, OPTIONS";
pub const READ_ALLOW: &str = "GET, HEAD, OPTIONS";

/// What the body of a QUERY may be (RFC 10008, section 3).
const ACCEPT_QUERY: &str = "Accept-Query: application/x-www-form-urlencoded\r\n";

/// A request that is not served: its status and the line that says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub version: Version,
    pub status: Status,
    pub text: Cow<'static, str>,
    /// The code of RFC 6750, section 3.1, for the challenge of version 1.
    pub code: Option<&'static str>,
    /// Methods that there are, for a 405.
    pub allow: Option<&'static str>,
    /// Seconds after which a publisher may try again.
    pub retry_after: Option<u32>,
}

impl Fault {
    #[must_use]
    pub fn new(version: Version, status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self { version, status, text: text.into(), code: None, allow: None, retry_after: None }
    }

    /// A status that says it all.
    #[must_use]
    pub fn bare(version: Version, status: Status) -> Self {
        Self::new(version, status, status.reason())
    }

    /// There is no token, and one is needed.
    #[must_use]
    pub fn no_token(version: Version) -> Self {
        Self::bare(version, Status::Unauthorized)
    }

    /// There is a token, and it gives no rights.
    #[must_use]
    pub fn bad_token(version: Version) -> Self {
        Self { code: Some("invalid_token"), ..Self::bare(version, Status::Unauthorized) }
    }

    /// The token is right and does not grant this: version 0 makes no difference.
    #[must_use]
    pub fn not_granted(version: Version) -> Self {
        match version {
            Version::V0 => Self::bare(version, Status::Unauthorized),
            Version::V1 => {
                Self { code: Some("insufficient_scope"), ..Self::bare(version, Status::Forbidden) }
            }
        }
    }

    /// The place of the token is wrong, or a cookie comes from a page that nobody vouches for.
    #[must_use]
    pub fn bad_source(version: Version) -> Self {
        match version {
            Version::V0 => Self::bare(version, Status::Unauthorized),
            Version::V1 => {
                Self { code: Some("invalid_request"), ..Self::bare(version, Status::BadRequest) }
            }
        }
    }

    /// A method that the resource does not have.
    #[must_use]
    pub fn method(version: Version, allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::bare(version, Status::MethodNotAllowed) }
    }

    /// A path below the hub's that is none.
    #[must_use]
    pub fn not_found(version: Version) -> Self {
        Self::new(version, Status::NotFound, "404 page not found")
    }
}

/// What the answers to one request have in common.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub connection: Connection,
    pub content: Content,
    pub cors: &'a Origins,
    /// The request's `Origin` header.
    pub origin: Option<&'a str>,
    /// URL of the protected resource metadata, for challenges of version 1.
    pub metadata_url: Option<&'a str>,
}

/// A document, and what goes with it.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    pub content_type: &'a str,
    pub body: &'a [u8],
    /// Further headers, each with its line end.
    pub headers: &'a str,
}

impl Answer<'_> {
    /// The id of an update that was taken.
    pub fn published(&self, id: &str, out: &mut Vec<u8>) {
        self.document(Status::Ok, &text_document(id.as_bytes()), out);
    }

    /// 200 or another status with a document.
    pub fn document(&self, status: Status, document: &Document<'_>, out: &mut Vec<u8>) {
        self.start(status, out);
        append(out, format_args!("Content-Type: {}\r\n", document.content_type));
        append(
            out,
            format_args!("{}Content-Length: {}\r\n\r\n", document.headers, document.body.len()),
        );
        if self.content == Content::Sent {
            out.extend_from_slice(document.body);
        }
    }

    /// 304: the document is the one that the client has (RFC 9110, section 15.4.5).
    pub fn not_modified(&self, headers: &str, out: &mut Vec<u8>) {
        self.start(Status::NotModified, out);
        append(out, format_args!("{headers}\r\n"));
    }

    /// A request that is not served.
    pub fn fault(&self, fault: &Fault, out: &mut Vec<u8>) {
        let mut headers = String::new();
        if let Some(allow) = fault.allow {
            headers = format!("Allow: {allow}\r\n");
        }
        if let Some(seconds) = fault.retry_after {
            headers += &format!("Retry-After: {seconds}\r\n");
        }
        if fault.status == Status::UnsupportedMediaType {
            headers += ACCEPT_QUERY;
        }
        if fault.version == Version::V1
            && (fault.code.is_some() || fault.status == Status::Unauthorized)
        {
            headers += &self.challenge(fault.code);
        }
        let body = format!("{}\n", fault.text);
        let document = Document { headers: &headers, ..text_document(body.as_bytes()) };
        self.document(fault.status, &document, out);
    }

    /// RFC 6750, section 3, and RFC 9728, section 5.1. Without a token there is no code.
    fn challenge(&self, code: Option<&str>) -> String {
        let code = code.map(|code| format!("error=\"{code}\""));
        let metadata = self.metadata_url.map(|url| format!("resource_metadata=\"{url}\""));
        let parameters: Vec<String> = code.into_iter().chain(metadata).collect();
        match parameters.as_slice() {
            [] => "WWW-Authenticate: Bearer\r\n".into(),
            _ => format!("WWW-Authenticate: Bearer {}\r\n", parameters.join(", ")),
        }
    }

    /// 204 to OPTIONS.
    pub fn preflight(&self, allow: &str, out: &mut Vec<u8>) {
        self.start(Status::NoContent, out);
        append(out, format_args!("Allow: {allow}\r\n"));
        if allow == HUB_ALLOW_V1 {
            out.extend_from_slice(ACCEPT_QUERY.as_bytes());
        }
        if self.origin.is_some_and(|origin| self.cors.has(origin)) {
            out.extend_from_slice(PREFLIGHT);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The head of a stream, and what begins it. `last_event_id` is where it starts, for a client
    /// that asked: the id before the first event sent, or `earliest`.
    pub fn stream(&self, version: Version, last_event_id: Option<&str>, out: &mut Vec<u8>) {
        let connection = match self.content {
            Content::Sent => Connection::Close,
            Content::Omitted => self.connection,
        };
        Answer { connection, ..*self }.start(Status::Ok, out);
        out.extend_from_slice(STREAM);
        if let Some(id) = last_event_id {
            let name = match version {
                Version::V0 => "Last-Event-ID",
                Version::V1 => "Mercure-Last-Event-ID",
            };
            append(out, format_args!("{name}: {id}\r\n"));
        }
        out.extend_from_slice(b"\r\n");
        if self.content == Content::Sent {
            out.extend_from_slice(PREAMBLE);
        }
    }

    /// Status line and the headers of every answer.
    fn start(&self, status: Status, out: &mut Vec<u8>) {
        append(out, format_args!("HTTP/1.1 {} {}\r\n", status.code(), status.reason()));
        out.extend_from_slice(SECURITY);
        self.write_cors(out);
        out.extend_from_slice(match self.connection {
            Connection::KeepAlive => b"Connection: keep-alive\r\n",
            Connection::Close => b"Connection: close\r\n",
        });
    }

    /// What pages of other origins may see of an answer: named origins with credentials, `*` never.
    fn write_cors(&self, out: &mut Vec<u8>) {
        if self.cors.is_empty() {
            return;
        }
        if self.cors.is_any() {
            out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n");
            out.extend_from_slice(EXPOSED);
            return;
        }
        out.extend_from_slice(b"Vary: Origin\r\n");
        if let Some(origin) = self.origin.filter(|origin| self.cors.has(origin)) {
            append(out, format_args!("Access-Control-Allow-Origin: {origin}\r\n"));
            out.extend_from_slice(b"Access-Control-Allow-Credentials: true\r\n");
            out.extend_from_slice(EXPOSED);
        }
    }
}

fn text_document(body: &[u8]) -> Document<'_> {
    Document { content_type: "text/plain; charset=utf-8", body, headers: "" }
}

/// An id as a header may have it, in UTF-8 as browsers send it: what a publisher chose may hold bytes
/// that end a header; such an id is not repeated.
#[must_use]
pub fn header_id(id: &str) -> Option<&str> {
    let fits = !id.is_empty() && !id.contains(char::is_control);
    (fits && id.trim() == id).then_some(id)
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
}
