//! Replies as bytes.
//!
//! The idea: a reply is appended to the caller's buffer, constant parts in one piece, so that the
//! head of a stream costs a copy of about 200 bytes and no allocation.
//!
//! Invariants: every reply but a stream has a `Content-Length` and says in `Connection` what
//! happens next; a stream is ended by closing, never chunked, so that HTTP/1.0 clients and proxies
//! read it too (RFC 9112, section 6.1); every value that came from a request is escaped.
//!
//! Knows nothing of why a reply is given.

use std::io::Write;

use serde::Serialize;

use super::cors::Cors;
use super::refusal::Refusal;

/// What a client that sent `Expect: 100-continue` waits for (RFC 9110, section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// `no-transform` keeps compressing proxies away, `X-Accel-Buffering` makes nginx pass events on
/// at once; both would otherwise hold events back.
const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/event-stream\r\n\
    Cache-Control: no-cache, no-transform\r\n\
    X-Accel-Buffering: no\r\n\
    X-Content-Type-Options: nosniff\r\n";

/// What the start page may do: run its own inline script and talk to this server.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
    style-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// What happens to the connection after the reply (RFC 9112, section 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    KeepAlive,
    Close,
}

/// Whether the content is sent; a reply to HEAD has the same headers without it (RFC 9110,
/// section 9.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Sent,
    Omitted,
}

/// What the replies to one request have in common.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    pub connection: Connection,
    pub content: Content,
    pub cors: &'a Cors,
    /// The request's `Origin` header.
    pub origin: Option<&'a str>,
}

/// RFC 9457, section 3.1. Without a type of its own a problem is `about:blank`.
#[derive(Serialize)]
struct Problem<'a> {
    status: u16,
    title: &'static str,
    detail: &'a str,
    /// An extension of ours (RFC 9457, section 3.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
}

impl Reply<'_> {
    /// 200 with a JSON body.
    pub fn json(&self, body: &[u8], out: &mut Vec<u8>) {
        self.ok("application/json", body, out);
    }

    /// 200 with a body of any type.
    pub fn ok(&self, content_type: &str, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n");
        self.finish(content_type, body, out);
    }

    /// 200 with the start page.
    pub fn page(&self, html: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\n");
        append(out, format_args!("Content-Security-Policy: {PAGE_POLICY}\r\n"));
        self.finish("text/html; charset=utf-8", html, out);
    }

    /// The refusal as `application/problem+json` (RFC 9457).
    pub fn problem(&self, refusal: &Refusal, out: &mut Vec<u8>) {
        let (status, title) = (refusal.status.code(), refusal.status.reason());
        append(out, format_args!("HTTP/1.1 {status} {title}\r\nCache-Control: no-store\r\n"));
        if let Some(allow) = refusal.allow {
            append(out, format_args!("Allow: {allow}\r\n"));
        }
        if let Some(seconds) = refusal.retry_after_seconds {
            append(out, format_args!("Retry-After: {seconds}\r\n"));
        }
        if status == 401 {
            // RFC 9110, section 11.6.1: a 401 names the scheme that would help.
            out.extend_from_slice(b"WWW-Authenticate: Bearer realm=\"downpour\"\r\n");
        }
        let problem =
            Problem { status, title, detail: &refusal.detail, accepted: refusal.accepted };
        let body = serde_json::to_vec(&problem).expect("strings and a number are always JSON");
        self.finish("application/problem+json", &body, out);
    }

    /// 204 to OPTIONS, with what the resource allows.
    pub fn preflight(&self, allow: &str, out: &mut Vec<u8>) {
        append(out, format_args!("HTTP/1.1 204 No Content\r\nAllow: {allow}\r\n"));
        self.cors.write_preflight(self.origin, out);
        out.extend_from_slice(self.connection.header());
        out.extend_from_slice(b"\r\n");
    }

    /// The head of a stream; events follow until the connection is closed.
    pub fn stream_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(STREAM_HEAD);
        self.cors.write(self.origin, out);
        let connection = match self.content {
            Content::Sent => Connection::Close,
            Content::Omitted => self.connection,
        };
        out.extend_from_slice(connection.header());
        out.extend_from_slice(b"\r\n");
    }

    /// Sends a subscriber away for `retry_ms` without losing it: a stream that only says when to
    /// come back. `EventSource` gives up for ever on any status but 200 (WHATWG HTML, section
    /// 9.2.3), so this is the overload reply to subscribers. Close the connection after it.
    pub fn shed(&self, retry_ms: u64, out: &mut Vec<u8>) {
        self.stream_head(out);
        if self.content == Content::Sent {
            append(out, format_args!("retry: {retry_ms}\n\n"));
        }
    }

    fn finish(&self, content_type: &str, body: &[u8], out: &mut Vec<u8>) {
        self.cors.write(self.origin, out);
        out.extend_from_slice(self.connection.header());
        append(
            out,
            format_args!(
                "X-Content-Type-Options: nosniff\r\nContent-Type: {content_type}\r\n\
                 Content-Length: {}\r\n\r\n",
                body.len()
            ),
        );
        if self.content == Content::Sent {
            out.extend_from_slice(body);
        }
    }
}

impl Connection {
    /// Said either way: HTTP/1.0 and HTTP/1.1 clients assume opposite things without it.
    fn header(self) -> &'static [u8] {
        match self {
            Self::KeepAlive => b"Connection: keep-alive\r\n",
            Self::Close => b"Connection: close\r\n",
        }
    }
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::refusal::Status;

    const CLOSE: Reply<'_> = Reply {
        connection: Connection::Close,
        content: Content::Sent,
        cors: &Cors::SameOrigin,
        origin: None,
    };

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Status line, headers and body of a reply, checked for well-formedness on the way.
    fn split(reply: &str) -> (&str, Vec<(&str, &str)>, &str) {
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        let headers: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        for (at, (name, _)) in headers.iter().enumerate() {
            assert!(headers[..at].iter().all(|(other, _)| other != name), "{name} twice");
        }
        (status, headers, body)
    }

    fn value<'a>(headers: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
        headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    #[test]
    fn a_stream_head_is_exactly_what_clients_and_proxies_need() {
        assert_eq!(
            text(|out| CLOSE.stream_head(out)),
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_stream_closes_even_if_the_client_would_keep_the_connection() {
        let reply = Reply { connection: Connection::KeepAlive, ..CLOSE };
        assert_eq!(text(|out| reply.stream_head(out)), text(|out| CLOSE.stream_head(out)));
        let head = Reply { content: Content::Omitted, ..reply };
        assert!(text(|out| head.stream_head(out)).contains("Connection: keep-alive\r\n"));
    }

    #[test]
    fn a_stream_head_needs_no_allocation_beyond_the_buffer() {
        let cors = Cors::Listed(vec!["https://app.example".into()]);
        let reply = Reply { cors: &cors, origin: Some("https://app.example"), ..CLOSE };
        let mut out = Vec::with_capacity(512);
        let before = out.as_ptr();
        reply.stream_head(&mut out);
        assert_eq!(out.as_ptr(), before, "the buffer moved");
        assert!(out.len() < 400, "{} bytes", out.len());
    }

    #[test]
    fn shedding_is_a_stream_that_only_says_when_to_come_back() {
        let reply = text(|out| CLOSE.shed(4_321, out));
        let (status, _, body) = split(&reply);
        assert_eq!((status, body), ("HTTP/1.1 200 OK", "retry: 4321\n\n"));
        let head = Reply { content: Content::Omitted, ..CLOSE };
        assert_eq!(text(|out| head.shed(4_321, out)) + body, reply);
    }

    #[test]
    fn a_problem_is_escaped_json_with_its_status() {
        let refusal = Refusal::bad("a \"quote\", a \\ and a \n\u{1} line");
        let reply = text(|out| CLOSE.problem(&refusal, out));
        let (status, headers, body) = split(&reply);
        assert_eq!(status, "HTTP/1.1 400 Bad Request");
        assert_eq!(value(&headers, "Content-Type"), Some("application/problem+json"));
        assert_eq!(value(&headers, "Content-Length").unwrap().parse(), Ok(body.len()));
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["status"], 400);
        assert_eq!(json["title"], "Bad Request");
        assert_eq!(json["detail"], refusal.detail);
    }

    #[test]
    fn a_problem_carries_what_its_status_requires() {
        let reply = text(|out| CLOSE.problem(&Refusal::method_not_allowed("GET, HEAD"), out));
        assert_eq!(value(&split(&reply).1, "Allow"), Some("GET, HEAD"));
        let reply = text(|out| CLOSE.problem(&Refusal::overloaded("full", 2), out));
        assert_eq!(split(&reply).0, "HTTP/1.1 503 Service Unavailable");
        assert_eq!(value(&split(&reply).1, "Retry-After"), Some("2"));
        let refusal = Refusal::new(Status::Unauthorized, "a key is needed");
        let reply = text(|out| CLOSE.problem(&refusal, out));
        assert!(value(&split(&reply).1, "WWW-Authenticate").unwrap().starts_with("Bearer "));
    }

    #[test]
    fn a_reply_to_head_has_the_same_head_and_no_body() {
        let head = Reply { content: Content::Omitted, ..CLOSE };
        let full = text(|out| CLOSE.page(b"<p>rain</p>", out));
        let bare = text(|out| head.page(b"<p>rain</p>", out));
        assert_eq!(full, format!("{bare}<p>rain</p>"));
        let full = text(|out| CLOSE.json(b"{}", out));
        assert_eq!(full, text(|out| head.json(b"{}", out)) + "{}");
    }

    #[test]
    fn a_preflight_has_no_content_and_names_the_methods() {
        let reply = Reply { connection: Connection::KeepAlive, cors: &Cors::Any, ..CLOSE };
        let reply = Reply { origin: Some("https://app.example"), ..reply };
        let reply = text(|out| reply.preflight("GET, POST", out));
        let (status, headers, body) = split(&reply);
        assert_eq!((status, body), ("HTTP/1.1 204 No Content", ""));
        assert_eq!(value(&headers, "Allow"), Some("GET, POST"));
        assert_eq!(value(&headers, "Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(value(&headers, "Content-Length"), None);
        assert!(value(&headers, "Access-Control-Allow-Headers").is_some());
    }

    #[test]
    fn every_kind_of_reply_carries_the_cors_headers() {
        let reply = Reply { cors: &Cors::Any, ..CLOSE };
        let refusal = Refusal::bad("no");
        for got in [
            text(|out| reply.json(b"{}", out)),
            text(|out| reply.problem(&refusal, out)),
            text(|out| reply.stream_head(out)),
            text(|out| reply.shed(1, out)),
            text(|out| reply.preflight("GET", out)),
        ] {
            assert_eq!(value(&split(&got).1, "Access-Control-Allow-Origin"), Some("*"), "{got}");
        }
    }
}
