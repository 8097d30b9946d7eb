//! One request for each rule of RFC 9112 and RFC 9110 that servers are known to read differently,
//! with the status that it must have here and what becomes of the connection.
//!
//! Each is sent with a whole publish behind it, to a topic that nobody else publishes to. Where the
//! connection must end, that publish is served only by who has found another end of the request.
//! Where it must go on, another request is sent, and answered.
//!
//! Knows the wire, and nothing of how requests are read.

use super::Then::{self, Ends, Goes};
use super::corpus::hidden;

/// One request.
pub(super) struct Case {
    pub(super) rule: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

/// What follows a request that leaves the connection open, and its status.
pub(super) const NEXT: (&str, u16) = ("GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n", 404);

type Row = (&'static str, &'static str, Then);

fn case((rule, text, then): &Row, around: impl Fn(&str) -> String) -> Case {
    let behind = if matches!(then, Ends(_)) { hidden() } else { NEXT.0.to_owned() };
    let bytes = format!("{}{behind}", around(text)).into_bytes();
    Case { rule, bytes, then: *then }
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    let whole = [starts(), targets(), hosts(), others()].concat();
    let mut all: Vec<Case> = whole.iter().map(|row| case(row, str::to_owned)).collect();
    // A header line within a request that is good but for it.
    let head = |line: &str| format!("GET /nothing HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n");
    all.extend(lines().iter().map(|row| case(row, head)));
    // The headers that say where a body of five bytes ends.
    let body = |headers: &str| {
        format!("POST /events/t HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\nhello")
    };
    all.extend(lengths().iter().map(|row| case(row, body)));
    let chunked = |text: &str| {
        format!(
            "POST /events/t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{text}"
        )
    };
    all.extend(chunks().iter().map(|row| case(row, chunked)));
    all
}

/// Request lines (RFC 9112, section 3): method and version.
fn starts() -> Vec<Row> {
    vec![
        ("a method nobody knows", "FROB /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(501)),
        (
            "methods are case-sensitive",
            "get /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Ends(501),
        ),
        ("CONNECT is a proxy's", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", Ends(501)),
        ("no method", " /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a sign in the method", "G@T /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a NUL in the method", "G\0T /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("two spaces", "GET  /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("two spaces", "GET /nothing  HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a tab for a space", "GET\t/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a space at the end", "GET /nothing HTTP/1.1 \r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a fourth word", "GET /nothing HTTP/1.1 x\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("no target", "GET HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("no version, as HTTP/0.9", "GET /nothing\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("HTTP/0.9", "GET /nothing HTTP/0.9\r\nHost: localhost\r\n\r\n", Ends(505)),
        ("HTTP/1.2", "GET /nothing HTTP/1.2\r\nHost: localhost\r\n\r\n", Ends(505)),
        ("HTTP/2.0", "GET /nothing HTTP/2.0\r\nHost: localhost\r\n\r\n", Ends(505)),
        ("a version has one digit", "GET /nothing HTTP/1.10\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a version has a point", "GET /nothing HTTP/11\r\nHost: localhost\r\n\r\n", Ends(505)),
        ("HTTP is in capitals", "GET /nothing http/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("another protocol", "GET /nothing ICE/1.0\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("HTTP/1.0 needs no Host and ends", "GET /nothing HTTP/1.0\r\n\r\n", Ends(404)),
        (
            "HTTP/1.0 goes on where it asks to",
            "GET /nothing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Goes(404),
        ),
        (
            "one empty line before",
            "\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Goes(404),
        ),
        ("a bare LF before", "\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a space before", " GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a bare LF ends the line", "GET /nothing HTTP/1.1\nHost: localhost\r\n\r\n", Ends(400)),
        ("a bare CR ends the line", "GET /nothing HTTP/1.1\rHost: localhost\r\n\r\n", Ends(400)),
        ("two CR", "GET /nothing HTTP/1.1\r\r\nHost: localhost\r\n\r\n", Ends(400)),
    ]
}

/// Request targets (RFC 9112, section 3.2).
fn targets() -> Vec<Row> {
    vec![
        (
            "the absolute form of this host",
            "GET http://localhost/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Goes(404),
        ),
        (
            "the absolute form of another host",
            "GET http://other/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Ends(400),
        ),
        (
            "the absolute form of another port",
            "GET http://localhost:81/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Ends(400),
        ),
        (
            "a user in the authority",
            "GET http://localhost@other/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Ends(400),
        ),
        ("another scheme", "GET ftp://localhost/x HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        (
            "the authority form",
            "GET localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
            Ends(400),
        ),
        ("no slash", "GET nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        (
            "the asterisk form is for OPTIONS",
            "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Ends(400),
        ),
        ("the asterisk form", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", Goes(204)),
        ("a fragment", "GET /nothing#x HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a NUL", "GET /no\0thing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a DEL", "GET /no\u{7f}thing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("a bare CR", "GET /no\rthing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
        ("two slashes are not one", "GET //nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Goes(404)),
        (
            "dots are not resolved",
            "GET /a/../events HTTP/1.1\r\nHost: localhost\r\n\r\n",
            Goes(404),
        ),
        ("a backslash is no slash", "GET \\nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", Ends(400)),
    ]
}

/// `Host` (RFC 9112, section 3.2).
fn hosts() -> Vec<Row> {
    vec![
        ("no Host", "GET /nothing HTTP/1.1\r\n\r\n", Ends(400)),
        ("an empty Host", "GET /nothing HTTP/1.1\r\nHost:\r\n\r\n", Ends(400)),
        ("two Hosts", "GET /nothing HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Ends(400)),
        ("the same Host twice", "GET /nothing HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Ends(400)),
        ("a user in it", "GET /nothing HTTP/1.1\r\nHost: u@a\r\n\r\n", Ends(400)),
        ("a path in it", "GET /nothing HTTP/1.1\r\nHost: a/b\r\n\r\n", Ends(400)),
        ("a scheme in it", "GET /nothing HTTP/1.1\r\nHost: http://a\r\n\r\n", Ends(400)),
        ("a space in it", "GET /nothing HTTP/1.1\r\nHost: a b\r\n\r\n", Ends(400)),
        ("a port that is none", "GET /nothing HTTP/1.1\r\nHost: a:b\r\n\r\n", Ends(400)),
        ("an open bracket", "GET /nothing HTTP/1.1\r\nHost: [::1\r\n\r\n", Ends(400)),
        ("an IPv6 address", "GET /nothing HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Goes(404)),
    ]
}

/// Other protocols, and attempts to leave this one.
fn others() -> Vec<Row> {
    vec![
        ("HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0", Ends(505)),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n", Ends(400)),
        ("PROXY of HAProxy", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Ends(501)),
        (
            "an upgrade to HTTP/2 is not taken up",
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            Goes(404),
        ),
        (
            "an upgrade to WebSocket is not taken up",
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n",
            Goes(404),
        ),
        (
            "an upgrade with a body behind it",
            "POST /events/t HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\
             Content-Length: 5\r\n\r\nhello",
            Goes(200),
        ),
        (
            "an expectation nobody knows",
            "POST /events/t HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\
             Content-Length: 5\r\n\r\nhello",
            Ends(417),
        ),
        (
            "two expectations",
            "POST /events/t HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
             Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
            Ends(400),
        ),
        (
            "close is kept to",
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            Ends(404),
        ),
        (
            "close in a list is kept to",
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: x , CLOSE\r\n\r\n",
            Ends(404),
        ),
        (
            "a body that nobody reads is no request",
            "GET /events/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
            Ends(400),
        ),
    ]
}

/// Header lines (RFC 9112, section 5, and RFC 9110, section 5.5).
fn lines() -> Vec<Row> {
    vec![
        ("a space before the colon", "X : y", Ends(400)),
        ("a tab before the colon", "X\t: y", Ends(400)),
        ("no colon", "X y", Ends(400)),
        ("no name", ": y", Ends(400)),
        ("a space within the name", "X Y: z", Ends(400)),
        ("a sign that no name has", "X(: y", Ends(400)),
        ("a name that is not ASCII", "X\u{e9}: y", Ends(400)),
        ("a NUL in the name", "X\0: y", Ends(400)),
        ("a folded line", "X: y\r\n z", Ends(400)),
        ("a line folded by a tab", "X: y\r\n\tz", Ends(400)),
        ("a folded line that is empty", "X: y\r\n ", Ends(400)),
        ("a line that begins with a space", " X: y", Ends(400)),
        ("a bare CR in a value", "X: y\rz: w", Ends(400)),
        ("a bare LF ends a line", "X: y\nz: w", Ends(400)),
        ("a CR before CR LF", "X: y\r", Ends(400)),
        ("a NUL in a value", "X: y\0", Ends(400)),
        ("a control character in a value", "X: y\u{1}", Ends(400)),
        ("a DEL in a value", "X: y\u{7f}", Ends(400)),
        ("a tab in a value", "X: y\tz", Goes(404)),
        ("an empty value", "X:", Goes(404)),
        ("no space behind the colon", "X:y", Goes(404)),
        ("blanks around a value", "X: \t y \t ", Goes(404)),
        ("bytes beyond ASCII in a value", "X: \u{e9}", Goes(404)),
        ("every sign that a name may have", "!#$%&'*+-.^_`|~09Az: y", Goes(404)),
    ]
}

/// Where a body ends, by its headers (RFC 9112, section 6).
fn lengths() -> Vec<Row> {
    vec![
        ("a length", "Content-Length: 5", Goes(200)),
        ("names are in any case", "CONTENT-LENGTH: 5", Goes(200)),
        ("zeros before a length", "Content-Length: 005", Goes(200)),
        ("no length", "X: y", Ends(411)),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5", Ends(400)),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 0", Ends(400)),
        ("a list of the same length", "Content-Length: 5, 5", Ends(400)),
        ("a sign", "Content-Length: +5", Ends(400)),
        ("a negative length", "Content-Length: -5", Ends(400)),
        ("a length in hexadecimal", "Content-Length: 0x5", Ends(400)),
        ("a fraction", "Content-Length: 5.0", Ends(400)),
        ("a space within", "Content-Length: 5 5", Ends(400)),
        ("a low line within", "Content-Length: 1_0", Ends(400)),
        ("no digits", "Content-Length:", Ends(400)),
        ("more than 64 bits", "Content-Length: 18446744073709551621", Ends(400)),
        ("the most of 63 bits", "Content-Length: 9223372036854775807", Ends(413)),
        ("length and coding", "Content-Length: 5\r\nTransfer-Encoding: chunked", Ends(400)),
        ("coding and length", "Transfer-Encoding: chunked\r\nContent-Length: 5", Ends(400)),
        ("coding and a length of 0", "Transfer-Encoding: chunked\r\nContent-Length: 0", Ends(400)),
        ("two codings", "Transfer-Encoding: gzip, chunked", Ends(501)),
        ("chunked is not the last", "Transfer-Encoding: chunked, gzip", Ends(501)),
        ("chunked twice in a list", "Transfer-Encoding: chunked, chunked", Ends(501)),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Ends(400)),
        ("a coding nobody knows", "Transfer-Encoding: xchunked", Ends(501)),
        ("identity is gone", "Transfer-Encoding: identity", Ends(501)),
        ("an empty coding", "Transfer-Encoding:", Ends(501)),
        ("a parameter", "Transfer-Encoding: chunked;x=y", Ends(501)),
        ("quotes", "Transfer-Encoding: \"chunked\"", Ends(501)),
        ("a comma behind", "Transfer-Encoding: chunked,", Ends(501)),
        ("a vertical tab", "Transfer-Encoding: \u{b}chunked", Ends(400)),
        ("a space before the colon", "Transfer-Encoding : chunked", Ends(400)),
        ("a folded coding", "Transfer-Encoding:\r\n chunked", Ends(400)),
        ("a coding behind a bare CR", "X: y\rTransfer-Encoding: chunked", Ends(400)),
        ("a name that looks alike", "Transfer_Encoding: chunked\r\nContent-Length: 5", Goes(200)),
    ]
}

/// Chunks (RFC 9112, section 7.1).
fn chunks() -> Vec<Row> {
    vec![
        ("two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", Goes(200)),
        ("capital digits", "A\r\n0123456789\r\n0\r\n\r\n", Goes(200)),
        ("small digits", "a\r\n0123456789\r\n0\r\n\r\n", Goes(200)),
        ("zeros before a size", "0005\r\nhello\r\n000\r\n\r\n", Goes(200)),
        ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n", Goes(200)),
        ("a quoted extension", "5;a=\"b c\"\r\nhello\r\n0\r\n\r\n", Goes(200)),
        ("a trailer", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", Goes(200)),
        ("a trailer that would frame", "5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n", Goes(200)),
        ("0x", "0x5\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a space before", " 5\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a space behind", "5 \r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a tab behind", "5\t\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a low line", "5_\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("no digit", "\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("no digit before an extension", ";a\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a letter that is no digit", "g\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("more than 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a size beyond the bound", "7fffffffffffffff\r\nhello\r\n0\r\n\r\n", Ends(413)),
        ("a bare LF behind the size", "5\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a bare CR behind the size", "5\rhello\r\n0\r\n\r\n", Ends(400)),
        ("a bare LF behind the data", "5\r\nhello\n0\r\n\r\n", Ends(400)),
        ("nothing behind the data", "5\r\nhello0\r\n\r\n", Ends(400)),
        ("data longer than its size", "5\r\nhello!\r\n0\r\n\r\n", Ends(400)),
        ("data shorter than its size", "5\r\nhell\r\n0\r\n\r\n", Ends(400)),
        ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a NUL in an extension", "5;\0\r\nhello\r\n0\r\n\r\n", Ends(400)),
        ("a bare LF ends the last chunk", "5\r\nhello\r\n0\n\r\n", Ends(400)),
        ("a bare LF ends the body", "5\r\nhello\r\n0\r\n\n", Ends(400)),
        ("a folded trailer", "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", Ends(400)),
        ("a trailer without a colon", "5\r\nhello\r\n0\r\nX y\r\n\r\n", Ends(400)),
        ("a space before a trailer's colon", "5\r\nhello\r\n0\r\nX : y\r\n\r\n", Ends(400)),
        ("a request for a trailer", "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n", Ends(400)),
    ]
}
