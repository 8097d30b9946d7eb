//! Hostile requests, made by rules: each rule is one trick of which some server has fallen victim, and
//! every combination of its parts is one request.
//!
//! What stands in [`hidden`] is a whole publish to a topic that nobody else publishes to: it is served
//! only by who has found another end of the request before it than we have.
//!
//! Knows the wire, and nothing of how requests are read.

mod smuggling;

use smuggling::{broken_lines, smuggled_by_chunks, smuggled_by_coding, smuggled_by_length};

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One answer of 4xx or 5xx, and the end: nothing behind it is served.
    Refused,
    /// The same, or no answer at all because nothing of it can be read.
    RefusedOrClosed,
    /// Whatever is answered, once at most; it only looks bad.
    Harmless,
}

/// One request and what has to become of it.
#[derive(Clone, Debug)]
pub(super) struct Vector {
    pub(super) bytes: Vec<u8>,
    pub(super) verdict: Verdict,
}

/// The topic that nobody else publishes to.
pub(super) const VICTIM: &str = "victim";

/// A whole publish that must never be served.
pub(super) fn hidden() -> String {
    format!(
        "POST /events/{VICTIM} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nsmuggled"
    )
}

/// All of them, none twice.
pub(super) fn corpus() -> Vec<Vector> {
    let mut all: Vec<Vector> = Vec::new();
    for rule in [
        smuggled_by_coding,
        smuggled_by_length,
        smuggled_by_chunks,
        broken_lines,
        request_lines,
        hosts,
        inserted_bytes,
        paths,
        excess,
        protocols,
        resumes,
        bodies,
        fields,
        noise,
    ] {
        all.extend(rule());
    }
    all.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    all.dedup_by(|a, b| a.bytes == b.bytes);
    all
}

/// Behind a refusal so much is read; whoever sends more may lose the answer to a reset.
const READ_BEHIND: usize = 200_000;

fn refused(bytes: impl Into<Vec<u8>>) -> Vector {
    let bytes = bytes.into();
    let long = bytes.len() > READ_BEHIND;
    let verdict = if long { Verdict::RefusedOrClosed } else { Verdict::Refused };
    Vector { bytes, verdict }
}

fn harmless(bytes: impl Into<Vec<u8>>) -> Vector {
    Vector { bytes: bytes.into(), verdict: Verdict::Harmless }
}

/// The parts of a text, which are divided by a sign that stands in none of them.
fn list(text: &str) -> Vec<&str> {
    text.split('¦').collect()
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /events/t HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}")
}

/// Request lines of every wrong form.
fn request_lines() -> Vec<Vector> {
    let host = "\r\nHost: localhost\r\n\r\n";
    let mut all = Vec::new();
    for method in list(
        "get¦Get¦GETT¦GE¦G\0T¦CONNECT¦PRI¦TRACK¦DEBUG¦PROPFIND¦SEARCH¦GET,POST¦GET\t¦\
    (GET)¦\u{130}¦GET/¦MOVE¦SUBSCRIBE¦M-SEARCH¦AAAAAAAAAAAAAAAAA",
    ) {
        all.push(refused(format!("{method} /events/{VICTIM} HTTP/1.1{host}{}", hidden())));
    }
    for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
        all.push(harmless(format!("{method} /events/{VICTIM} HTTP/1.1{host}")));
    }
    for version in list(
        "HTTP/0.9¦HTTP/1.2¦HTTP/1.10¦HTTP/01.1¦HTTP/1.1.1¦HTTP/2¦HTTP/2.0¦HTTP/3.0¦http/1.1¦\
    Http/1.1¦HTTPS/1.1¦HTTP/1¦HTTP/.1¦HTTP/1.¦HTTP 1.1¦HTTP/1.1 ¦HTTP/-1.1¦HTTP/1.1x¦\
    HTTP/1,1¦HTTP/11¦¦ICY¦RTSP/1.0¦SIP/2.0¦HTTP/1.1\u{b}¦HTTP/\u{661}.1",
    ) {
        all.push(refused(format!("GET /events/t {version}{host}{}", hidden())));
    }
    for target in list(
        "events/t¦¦*¦//¦localhost:80¦localhost/events/t¦http:/events/t¦http:events/t¦\
    ftp://localhost/events/t¦http://evil.example/events/t¦\
    http://localhost@evil.example/events/t¦http://localhost:81/events/t¦\
    http://localhost#/events/t¦/events/t#x¦/events/\u{e9}¦/events/ t¦/events/\tt¦\
    /events/t\0¦/events/\u{7f}¦http://¦http://[::1/events/t¦?topic=t¦\\events\\t¦\
    /events/%¦/events/%4¦/events/%zz¦/events/%00¦/events/%0a¦/events/%0d%0aX:%20y¦\
    /events/%ff¦/events/%c0%ae¦/events/%ed%a0%80¦/events/%u0041¦/events/¦/events?topic=¦\
    /events?topic=%00¦/events¦/events?topic=a&topic=%¦https://evil.example:443/events/t¦\
    urn:events:t¦data:,x",
    ) {
        all.push(refused(format!("GET {target} HTTP/1.1{host}")));
        all.push(refused(format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx{}",
            hidden()
        )));
    }
    all
}

/// `Host` that is none, or more than one (RFC 9112, section 3.2).
fn hosts() -> Vec<Vector> {
    let values = list(
        "¦\u{20}¦a b¦a\tb¦user@a¦a/b¦a?b¦a#b¦a:b¦a:99999999¦a:-1¦a:1:2¦[::1¦::1]¦[::g]¦[]¦\
    a,b¦a\r\nHost: a¦a\r\nhost: b¦\"a\"¦a\\b¦<a>¦a\u{0}¦\u{e9}¦a:80 ¦http://a¦a\u{b}¦\
    :80¦[::1]x¦[::1]:x",
    );
    // A name may have a comma, and blanks around a value are no part of it.
    let valid = ["a,b", "a:80 "];
    let mut all: Vec<Vector> = values
        .iter()
        .filter(|value| !valid.contains(value))
        .flat_map(|value| {
            let get = format!("GET /events/t HTTP/1.1\r\nHost: {value}\r\n\r\n{}", hidden());
            let post = format!(
                "POST /events/t HTTP/1.1\r\nHost: {value}\r\nContent-Length: 1\r\n\r\nx{}",
                hidden()
            );
            [refused(get), refused(post)]
        })
        .collect();
    all.push(refused(format!("GET /events/t HTTP/1.1\r\n\r\n{}", hidden())));
    all.push(refused(format!("GET /events/t HTTP/1.1\r\nHost : a\r\n\r\n{}", hidden())));
    all
}

/// One byte too many, at every place of a publish.
fn inserted_bytes() -> Vec<Vector> {
    let good = post("X: y\r\nContent-Length: 5\r\nConnection: close", "hello").into_bytes();
    let head = good.len() - b"hello".len();
    let bytes = [0u8, b'\t', b'\n', 0x0b, b'\r', b' ', b'%', b',', b':', 0x7f, 0x80, 0xff];
    let mut all = Vec::new();
    for at in 0..head {
        for byte in bytes {
            let mut bytes = good.clone();
            bytes.insert(at, byte);
            all.push(harmless(bytes));
        }
    }
    all
}

/// Paths that a lenient server would normalise into others.
fn paths() -> Vec<Vector> {
    let own = [
        "metrics",
        "healthz",
        "topics",
        "subscribers?top=lag",
        "debug/pprof",
        "admin",
        "etc/passwd",
    ];
    let ways = list(
        "/¦/../¦/events/../¦/events/..%2f¦/events/%2e%2e/¦/./¦//¦/%2f¦/events/..;/¦\
    /events/%252e%252e/¦/events\\..\\¦/%5c¦/;/¦/.%2e/¦/events/..%c0%af",
    );
    let mut all = Vec::new();
    for way in ways {
        for name in own {
            let close = "Host: localhost\r\nConnection: close";
            all.push(harmless(format!("HEAD {way}{name} HTTP/1.1\r\n{close}\r\n\r\n")));
        }
    }
    all
}

/// More of everything than there may be.
fn excess() -> Vec<Vector> {
    let get = |target: &str, headers: &str| {
        refused(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{}", hidden()))
    };
    let mut all = Vec::new();
    for length in [8_193, 10_000, 16_384, 100_000, 1_000_000] {
        all.push(get(&format!("/events/{}", "x".repeat(length)), ""));
        all.push(get(&format!("/events?{}", "x".repeat(length)), ""));
        all.push(get("/events/t", &format!("X: {}\r\n", "y".repeat(length + 8_192))));
        all.push(get("/events/t", &format!("{}: y\r\n", "X".repeat(length + 8_192))));
        all.push(get("/events/t", &format!("Cookie: {}\r\n", "a=b; ".repeat(length / 2))));
        all.push(refused("A".repeat(length)));
        all.push(refused(format!("GET /{}", "x".repeat(length))));
    }
    for count in [101, 200, 1_000, 10_000] {
        all.push(get("/events/t", &"X: y\r\n".repeat(count)));
        all.push(get("/events/t", &"a:\r\n".repeat(count)));
        all.push(get(&format!("/events?{}", "topic=a&".repeat(count * 11)), ""));
    }
    let many: String = (0..400).map(|number| format!("topic=t{number}&")).collect();
    all.push(refused(format!("GET /events?{many} HTTP/1.1\r\nHost: localhost\r\n\r\n")));
    all.push(refused(format!(
        "GET /events/{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(256)
    )));
    for length in ["1048577", "4294967296", "9223372036854775807", "18446744073709551615"] {
        all.push(refused(post(&format!("Content-Length: {length}"), &hidden())));
        all.push(refused(post(
            &format!("Expect: 100-continue\r\nContent-Length: {length}"),
            &hidden(),
        )));
    }
    for expectation in
        ["101-continue", "100-continue, x", "x", "", "100-continue\r\nExpect: 100-continue"]
    {
        all.push(refused(post(
            &format!("Expect: {expectation}\r\nContent-Length: 5"),
            &format!("hello{}", hidden()),
        )));
    }
    all
}

/// Openings of other protocols on this port.
fn protocols() -> Vec<Vector> {
    let texts: [&[u8]; 24] = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"\x16\x03\x03\0\x05hello",
        b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x50\0\x50",
        b"*1\r\n$4\r\nPING\r\n",
        b"EHLO a\r\n",
        b"HELO a\r\n",
        b"USER anonymous\r\n",
        b"get key\r\n",
        b"\x04\x01\0\x50\x7f\0\0\x01\0",
        b"\x05\x01\0",
        b"\0\0\0\x2f\xffSMB\x72",
        b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
        b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0",
        b"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1}\n",
        b"<?xml version=\"1.0\"?>\r\n\r\n",
        b"\xff\xfb\x01\xff\xfb\x03",
        b"AMQP\0\0\x09\x01",
    ];
    let closed = |bytes: &[u8]| Vector { bytes: bytes.to_vec(), verdict: Verdict::RefusedOrClosed };
    let mut all: Vec<Vector> = texts.iter().map(|bytes| closed(bytes)).collect();
    for upgrade in ["websocket", "h2c", "TLS/1.2", "HTTP/2.0"] {
        let headers =
            format!("Connection: Upgrade\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABk");
        all.push(harmless(format!(
            "HEAD /events/t HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n"
        )));
    }
    all
}

/// Ids that no server gave, in the header and in the query. A stream opens, or the request is refused.
fn resumes() -> Vec<Vector> {
    let long = "9".repeat(8_000);
    let mut ids = list(
        "0¦-1¦1¦18446744073709551615¦18446744073709551616¦0-0¦000000000000-0¦ffffffffffff-1¦\
    000000000000-18446744073709551616¦earliest¦EARLIEST¦latest¦*¦''¦\"¦../..¦${jndi:x}¦\
    %s%s%n¦urn:uuid:00000000-0000-0000-0000-000000000000¦a-b-c¦-¦--¦\u{feff}¦\u{202e}x¦\
    null¦undefined¦NaN¦0x10¦1e9¦{}¦[]¦<script>¦' OR 1=1¦\t¦\u{20}",
    );
    ids.extend([&long[..]]);
    let mut all = Vec::new();
    for id in ids {
        let header = format!("Last-Event-ID: {id}\r\n");
        all.push(harmless(format!(
            "GET /events/t HTTP/1.1\r\nHost: localhost\r\n{header}\r\n{}",
            hidden()
        )));
        let query: String = id.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let target =
            format!("/events/t?last_event_id={}", &query[..query.len().min(7_000) / 3 * 3]);
        all.push(harmless(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n{}", hidden())));
    }
    for bytes in [&b"\0"[..], b"a\rb", b"a\nb", b"a\r\n b", b"x\r\nLast-Event-ID: y"] {
        let head = b"GET /events/t HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: ";
        all.push(refused([&head[..], bytes, b"\r\n\r\n"].concat()));
    }
    all
}

/// Bodies and fields that would become other events than one, or none.
fn bodies() -> Vec<Vector> {
    let deep = "[".repeat(100_000);
    let deeper = "{\"a\":".repeat(100_000);
    let mut objects = list(
        "¦null¦true¦1¦\"x\"¦[1]¦[[]]¦{¦}¦{]¦{\"topic\"}¦{\"topic\":}¦\
    {\"topic\":1,\"data\":\"x\"}¦{\"topic\":null,\"data\":\"x\"}¦{\"data\":\"x\"}¦\
    {\"topic\":\"t\",\"topic\":\"u\",\"data\":\"x\"}¦{\"topic\":\"\",\"data\":\"x\"}¦\
    {\"topic\":\"a\\u0000b\",\"data\":\"x\"}¦{\"topic\":\"a\\nb\",\"data\":\"x\"}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"id\":\"a\\nb\"}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"id\":\"a\\u0000b\"}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"event\":\"a\\rb\"}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"event\":\"a\\u0000\"}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"retry\":-1}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"retry\":1e999}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"retry\":\"1\"}¦\
    {\"topic\":\"t\",\"data\":\"\\ud800\"}¦{\"topic\":\"t\",\"data\":\"x\"}}¦\
    {\"topic\":\"t\",\"data\":\"x\",\"other\":1}¦{\"topic\":\"t\",\"data\":\"x\"},¦\
    {'topic':'t','data':'x'}¦\u{feff}{\"topic\":\"t\",\"data\":\"x\"}¦\
    {\"topic\":\"t\",\"data\":\"a\nb\"}¦[{\"topic\":\"t\",\"data\":\"x\"},]¦\
    {\"topic\":\"t\",\"data\":\"x\",\"id\":9}¦{\"topic\":[\"t\"],\"data\":\"x\"}¦NaN¦\
    {\"topic\":\"t\"",
    );
    objects.extend([&deep[..], &deeper[..]]);
    let mut all = Vec::new();
    for object in objects {
        let length = format!(
            "Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}",
            object.len()
        );
        all.push(refused(format!(
            "POST /events HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n{object}"
        )));
        let length = format!(
            "Content-Type: application/x-ndjson\r\nConnection: close\r\nContent-Length: {}",
            object.len()
        );
        all.push(harmless(format!(
            "POST /events HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n{object}"
        )));
    }
    all
}

/// Fields of an event that would become others, and data that is no text.
fn fields() -> Vec<Vector> {
    let mut all = Vec::new();
    let rest = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let ends = [
        "%0a",
        "%0d",
        "%0d%0a",
        "%00",
        "%0adata:+smuggled",
        "%0d%0a%0d%0adata:+smuggled",
        "%0a%0aid:1%0a%0a",
    ];
    for field in ["event", "id"] {
        for end in ends {
            let target = format!("/events/t?{field}=x{end}");
            all.push(refused(format!("POST {target} {rest}")));
        }
    }
    for query in [
        "retry=-1",
        "retry=1e3",
        "retry=",
        "retry=99999999999999999999",
        "evnt=x",
        "event=a&event=b",
        "id=%ff",
        "id=%",
    ] {
        all.push(refused(format!("POST /events/t?{query} {rest}")));
    }
    for body in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"ok\xf8\x88\x80\x80\x80"] {
        let head = format!(
            "POST /events/t HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        all.push(refused([head.as_bytes(), body].concat()));
    }
    all
}

/// Bytes that mean nothing, from a seed that is a part of the corpus.
fn noise() -> Vec<Vector> {
    let mut state = 0x006e_6f69_7365u64;
    let mut byte = || {
        // Of Knuth's MMIX generator; its upper bits are good enough here.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let end = b"\r\n\r\n";
    let one = |length: usize, byte: &mut dyn FnMut() -> u8| -> Vec<u8> {
        (0..length).map(|_| byte()).chain(*end).collect()
    };
    let vector = |bytes| Vector { bytes, verdict: Verdict::RefusedOrClosed };
    (1..=200).map(|length| vector(one(length, &mut byte))).collect()
}
