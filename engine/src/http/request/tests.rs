use super::*;

const LIMITS: Limits = Limits { head_bytes_max: 16 << 10, target_bytes_max: 8 << 10 };

/// What a test compares: everything that a head means, or the status and detail of its refusal.
type Verdict = Result<Option<Meaning>, (Status, String)>;

#[derive(Debug, PartialEq)]
struct Meaning {
    method: Method,
    path: String,
    query: Option<String>,
    version: Version,
    body: BodyKind,
    keep_alive: bool,
    expect_continue: bool,
    headers: Vec<(String, Vec<u8>)>,
    head_bytes: usize,
}

fn verdict_with(bytes: &[u8], limits: &Limits) -> Verdict {
    match parse(bytes, limits) {
        Err(refusal) => Err((refusal.status, refusal.detail)),
        Ok(Parsed::Partial) => Ok(None),
        Ok(Parsed::Complete { request, head_bytes }) => Ok(Some(Meaning {
            method: request.method,
            path: request.path.into(),
            query: request.query.map(Into::into),
            version: request.version,
            body: request.body,
            keep_alive: request.keep_alive,
            expect_continue: request.expect_continue,
            headers: request.headers.iter().map(|h| (h.name.into(), h.value.into())).collect(),
            head_bytes,
        })),
    }
}

/// The verdict on all of `bytes`, after checking that it does not depend on how they arrive: the
/// prefixes say "partial" until one says what the whole says, and every longer one agrees.
fn verdict_within(bytes: &[u8], limits: &Limits) -> Verdict {
    let whole = verdict_with(bytes, limits);
    let mut decided = false;
    for end in 0..=bytes.len() {
        let prefix = verdict_with(&bytes[..end], limits);
        if prefix != Ok(None) {
            assert_eq!(prefix, whole, "prefix of {end} bytes of {}", bytes.escape_ascii());
            decided = true;
        } else {
            assert!(!decided, "undecided again at {end} bytes of {}", bytes.escape_ascii());
        }
    }
    if let Ok(Some(meaning)) = &whole {
        let early = verdict_with(&bytes[..meaning.head_bytes - 1], limits);
        assert_eq!(early, Ok(None), "complete before its end: {}", bytes.escape_ascii());
    }
    whole
}

fn verdict(bytes: impl AsRef<[u8]>) -> Verdict {
    verdict_within(bytes.as_ref(), &LIMITS)
}

fn accepted(bytes: impl AsRef<[u8]>) -> Meaning {
    let bytes = bytes.as_ref();
    match verdict(bytes) {
        Ok(Some(meaning)) => meaning,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn refused(bytes: impl AsRef<[u8]>) -> Status {
    let bytes = bytes.as_ref();
    match verdict(bytes) {
        Err((status, detail)) => {
            assert!(detail.ends_with('.'), "not a sentence: {detail}");
            status
        }
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

/// A GET with these header lines behind its Host.
fn with(lines: &str) -> String {
    format!("GET /events/a HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

fn post(lines: &str) -> String {
    format!("POST /events/a HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

#[test]
fn a_browsers_request_is_read_whole() {
    let head = "GET /events/rooms/42?padding=1 HTTP/1.1\r\nHost: hub.example:8080\r\n\
                Accept: text/event-stream\r\nCache-Control: no-cache\r\n\
                Last-Event-ID: 3f-9\r\nCookie: a=b; c=\"d\"\r\nX-Empty:\r\nX-Latin: \u{e9}\r\n\r\n";
    let meaning = accepted(format!("{head}next"));
    assert_eq!(meaning.head_bytes, head.len());
    assert_eq!((meaning.method, meaning.version), (Method::Get, Version::Http11));
    assert_eq!((&*meaning.path, meaning.query.as_deref()), ("/events/rooms/42", Some("padding=1")));
    assert_eq!((meaning.body, meaning.keep_alive), (BodyKind::None, true));
    assert_eq!(meaning.headers[3], ("Last-Event-ID".into(), b"3f-9".to_vec()));
    assert_eq!(meaning.headers[5], ("X-Empty".into(), b"".to_vec()));
}

#[test]
fn headers_are_found_by_name_in_any_case_and_repeats_are_seen() {
    let bytes = with("Last-Event-ID: \t 7 \t\r\nA: 1\r\na: 2\r\nRaw: \u{e9}\r\n");
    let Ok(Parsed::Complete { request, .. }) = parse(bytes.as_bytes(), &LIMITS) else { panic!() };
    assert_eq!(request.header("LAST-event-id"), Some("7"));
    assert_eq!(request.header("a"), Some("1"));
    assert_eq!(request.header("b"), None);
    assert_eq!(request.header_once("A"), Err(Repeated));
    assert_eq!(request.header_once("Host"), Ok(Some(&b"x"[..])));
    assert_eq!(request.header_once("b"), Ok(None));
    let latin = [&b"GET / HTTP/1.1\r\nHost: x\r\nRaw: \xE9\r\n\r\n"[..]].concat();
    let Ok(Parsed::Complete { request, .. }) = parse(&latin, &LIMITS) else { panic!() };
    assert_eq!(request.header("raw"), None, "not UTF-8");
    assert_eq!(request.header_once("raw"), Ok(Some(&b"\xE9"[..])));
}

#[test]
fn every_known_method_is_read_and_every_other_is_501() {
    for (token, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("PATCH", Method::Patch),
        ("TRACE", Method::Trace),
        ("QUERY", Method::Query),
    ] {
        assert_eq!(accepted(format!("{token} / HTTP/1.1\r\nHost: x\r\n\r\n")).method, method);
    }
    for token in
        ["get", "Get", "GETT", "BREW", "X", "CONNECT", "SEVENTEENLETTERSX", "A!#$%&'*+-.^_`|~"]
    {
        let head = format!("{token} / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(refused(head), Status::NotImplemented, "{token}");
    }
    assert_eq!(refused("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"), Status::NotImplemented);
    // Refused long before a space could arrive.
    assert_eq!(refused("A".repeat(17)), Status::NotImplemented);
}

#[test]
fn a_request_line_has_exactly_three_words_and_single_spaces() {
    for line in [
        "",
        " GET / HTTP/1.1",
        "\tGET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1 x",
        "GET / HTTP/1.11",
        "GET / x HTTP/1.1",
        "GET /",
        "GET / ",
        "GET",
        "GET HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTQ/1.1",
        "GET / FTP/1.1",
        "G@T / HTTP/1.1",
        "GET: / HTTP/1.1",
        "(GET) / HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET /\x7F HTTP/1.1",
        "GET /a\x01b HTTP/1.1",
        "GET /caf\u{e9} HTTP/1.1",
        "GET /#top HTTP/1.1",
        "GET /a?b#c HTTP/1.1",
        "GET * HTTP/1.1",
        "GET events HTTP/1.1",
        "GET ?topic=a HTTP/1.1",
        "POST * HTTP/1.1",
        "GET x:80 HTTP/1.1",
    ] {
        let status = refused(format!("{line}\r\nHost: x\r\n\r\n"));
        assert_eq!(status, Status::BadRequest, "{line:?}");
    }
}

#[test]
fn other_versions_are_505() {
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/1.9", "HTTP/0.9", "HTTP/3", "HTTP/11", "HTTP/1,1"]
    {
        let status = refused(format!("GET / {version}\r\nHost: x\r\n\r\n"));
        assert_eq!(status, Status::VersionNotSupported, "{version}");
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(refused(preface), Status::VersionNotSupported);
    assert_eq!(refused("PRI * HTTP/1.1\r\nHost: x\r\n\r\n"), Status::VersionNotSupported);
}

#[test]
fn lines_end_with_cr_lf_and_nothing_else() {
    for head in [
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        "GET / HTTP/1.1\rHost: x\r\r",
        "GET / HTTP/1.1\r\rHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\r c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA\n: b\r\n\r\n",
        "GET /\n HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\r\n HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET\n/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\r\n",
        "\n",
    ] {
        assert_eq!(refused(head), Status::BadRequest, "{head:?}");
    }
}

#[test]
fn one_empty_line_before_the_request_is_ignored() {
    let meaning = accepted("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(meaning.head_bytes, 2 + 14 + 2 + 7 + 4);
}

#[test]
fn header_lines_are_name_colon_value() {
    for line in [
        "A : b",
        "A\t: b",
        " A: b",
        "\tA: b",
        "A b: c",
        "A",
        "A b",
        ": b",
        ":",
        "A\x00: b",
        "A\x7F: b",
        "Caf\u{e9}: b",
        "A(: b",
        "A\"B: c",
        "A/B: c",
        "A: b\x00c",
        "A: b\x01",
        "A: \x0Bb",
        "A: \x0Cb",
        "A: b\x1F",
        "A: b\x7F",
        "A: b\r\n folded",
        "A: b\r\n\tfolded",
        "A:\r\n b",
        "A: b\r\n \r\nB: c",
    ] {
        assert_eq!(refused(with(&format!("{line}\r\n"))), Status::BadRequest, "{line:?}");
    }
    // A first header line that starts with a blank has been read as part of the request line.
    assert_eq!(refused("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), Status::BadRequest);
    assert_eq!(refused("GET / HTTP/1.1\r\n\tA: b\r\nHost: x\r\n\r\n"), Status::BadRequest);
}

#[test]
fn exactly_one_valid_host() {
    for host in [
        "x",
        "hub.example",
        "hub.example:8080",
        "10.0.0.1:1",
        "[::1]",
        "[::1]:8080",
        "[2001:db8::1]",
        "x:",
        "x_y",
        "xn--caf-dma.example",
        "a%20b",
        "X",
    ] {
        accepted(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    for host in [
        "",
        " ",
        ":80",
        "x:y",
        "x:80:80",
        "x:123456",
        "a b",
        "user@x",
        "http://x",
        "x/y",
        "x?y",
        "x#y",
        "[::1",
        "::1",
        "[::1]x",
        "[zz]",
        "[]",
        "x\\y",
        "x, x",
        "caf\u{e9}",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(refused(head), Status::BadRequest, "{host:?}");
        let head = format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n");
        assert_eq!(refused(head), Status::BadRequest, "{host:?}");
    }
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Status::BadRequest);
    assert_eq!(refused("GET / HTTP/1.1\r\nA: b\r\n\r\n"), Status::BadRequest);
    assert_eq!(refused(with("Host: x\r\n")), Status::BadRequest);
    assert_eq!(refused(with("host: y\r\n")), Status::BadRequest);
    accepted("GET / HTTP/1.0\r\n\r\n");
    accepted("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
}

#[test]
fn an_absolute_target_must_name_the_host() {
    for (target, path, query) in [
        ("http://x/events/a?b", "/events/a", Some("b")),
        ("HTTP://X/", "/", None),
        ("https://x/", "/", None),
        ("http://x", "/", None),
        ("http://x?b", "/", Some("b")),
        ("/http://y/", "/http://y/", None),
        ("/a?b=http://y", "/a", Some("b=http://y")),
        ("//y/a", "//y/a", None),
    ] {
        let meaning = accepted(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!((&*meaning.path, meaning.query.as_deref()), (path, query), "{target}");
    }
    for target in [
        "http://y/",
        "http://x:80/",
        "http://user@x/",
        "http:///",
        "http://",
        "ftp://x/",
        "http:/x/",
        "ws://x/",
        "http://x.y/",
        "?http://x/",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(refused(head), Status::BadRequest, "{target}");
    }
    assert_eq!(refused("GET http://x/ HTTP/1.0\r\n\r\n"), Status::BadRequest, "no Host to check");
    assert_eq!(accepted("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").path, "*");
}

#[test]
fn content_length_is_digits_given_once() {
    assert_eq!(accepted(post("")).body, BodyKind::None);
    assert_eq!(accepted(post("Content-Length: 0\r\n")).body, BodyKind::None);
    assert_eq!(accepted(post("content-length:  12 \r\n")).body, BodyKind::Length(12));
    assert_eq!(accepted(post("Content-Length: 0012\r\n")).body, BodyKind::Length(12));
    let max = format!("Content-Length: {}\r\n", u64::MAX);
    assert_eq!(accepted(post(&max)).body, BodyKind::Length(u64::MAX));
    assert_eq!(accepted("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n").body, BodyKind::Length(3));
    for value in [
        "",
        "+1",
        "-1",
        "1 2",
        "1,2",
        "1, 1",
        "0x10",
        "1_0",
        "1.0",
        "1e1",
        "a",
        "1;",
        "\"1\"",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{661}",
        "1\t2",
    ] {
        let status = refused(post(&format!("Content-Length: {value}\r\n")));
        assert_eq!(status, Status::BadRequest, "{value:?}");
    }
    for second in ["Content-Length: 5", "content-length: 5", "CONTENT-LENGTH: 6"] {
        let lines = format!("Content-Length: 5\r\n{second}\r\n");
        assert_eq!(refused(post(&lines)), Status::BadRequest, "{second}");
    }
}

#[test]
fn transfer_encoding_is_exactly_chunked_and_alone() {
    for value in ["chunked", "Chunked", "CHUNKED", " chunked "] {
        let lines = format!("Transfer-Encoding: {value}\r\n");
        assert_eq!(accepted(post(&lines)).body, BodyKind::Chunked, "{value:?}");
    }
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "chun ked",
        "chunked\t,",
        "cow",
    ] {
        let status = refused(post(&format!("Transfer-Encoding: {value}\r\n")));
        assert_eq!(status, Status::NotImplemented, "{value:?}");
    }
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \x0Bchunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding\x00: chunked\r\n",
    ] {
        assert_eq!(refused(post(lines)), Status::BadRequest, "{lines:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused(old), Status::BadRequest);
}

#[test]
fn connection_options_decide_whether_the_connection_is_kept() {
    for (version, lines, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: TE ,\tclose\r\n", false),
        ("1.1", "Connection: TE\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: x\r\n{lines}\r\n");
        assert_eq!(accepted(head).keep_alive, keep_alive, "{version} {lines:?}");
    }
}

#[test]
fn only_100_continue_is_expected_and_only_before_a_body() {
    let asks = |lines: &str| accepted(post(lines)).expect_continue;
    assert!(asks("Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert!(asks("Transfer-Encoding: chunked\r\nExpect: 100-Continue\r\n"));
    assert!(!asks("Expect: 100-continue\r\n"));
    assert!(!asks("Content-Length: 5\r\n"));
    for value in ["200-ok", "100-continue, x", ""] {
        let lines = format!("Content-Length: 5\r\nExpect: {value}\r\n");
        assert_eq!(refused(post(&lines)), Status::ExpectationFailed, "{value:?}");
    }
    let twice = "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n";
    assert_eq!(refused(post(twice)), Status::BadRequest);
    let old = "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    assert!(!accepted(old).expect_continue);
}

#[test]
fn a_target_at_the_limit_is_accepted_and_one_byte_more_is_414() {
    let limits = Limits { head_bytes_max: 200, target_bytes_max: 50 };
    let head = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(bytes - 1));
    assert!(matches!(verdict_within(head(50).as_bytes(), &limits), Ok(Some(_))));
    for bytes in [51, 52, 150, 5_000] {
        let status = verdict_within(head(bytes).as_bytes(), &limits).unwrap_err().0;
        assert_eq!(status, Status::UriTooLong, "{bytes}");
    }
    let unfinished = format!("GET /{}", "a".repeat(50));
    let status = verdict_within(unfinished.as_bytes(), &limits).unwrap_err().0;
    assert_eq!(status, Status::UriTooLong, "refused before its end has arrived");
}

#[test]
fn a_head_at_the_limit_is_accepted_and_one_byte_more_is_431() {
    let limits = Limits { head_bytes_max: 200, target_bytes_max: 50 };
    let head = |bytes: usize| {
        let lead = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
        format!("{lead}{}\r\n\r\n", "a".repeat(bytes - lead.len() - 4))
    };
    assert!(matches!(verdict_within(head(200).as_bytes(), &limits), Ok(Some(_))));
    for bytes in [201, 202, 203, 204, 205, 1_000] {
        let status = verdict_within(head(bytes).as_bytes(), &limits).unwrap_err().0;
        assert_eq!(status, Status::HeaderFieldsTooLarge, "{bytes}");
    }
    let status = verdict_within(&head(1_000).as_bytes()[..200], &limits).unwrap_err().0;
    assert_eq!(status, Status::HeaderFieldsTooLarge, "refused at the limit, before its end");
}

#[test]
fn the_hundredth_header_is_accepted_and_the_next_is_431() {
    let lines = |count: usize| "A: b\r\n".repeat(count);
    assert_eq!(accepted(with(&lines(HEADERS_COUNT_MAX - 1))).headers.len(), HEADERS_COUNT_MAX);
    assert_eq!(refused(with(&lines(HEADERS_COUNT_MAX))), Status::HeaderFieldsTooLarge);
    let unfinished = with(&lines(HEADERS_COUNT_MAX - 1));
    let unfinished = format!("{}A", &unfinished[..unfinished.len() - 2]);
    assert_eq!(refused(unfinished), Status::HeaderFieldsTooLarge);
}

#[test]
fn of_several_faults_the_first_byte_decides_under_every_split() {
    // `verdict` checks the splits; these heads are wrong in more than one way.
    refused("BREW / HTTP/3\nHost : x\n\n");
    refused("G@T /\u{e9} HTTP/1.1\r\n\r\n");
    refused("GET /\u{e9} FTP/1\n");
    refused(format!("GET /{} HTTP/9.9\r\n\r\n", "a".repeat(9_000)));
    refused("GET / HTTP/9.9\nA : b\r\n\r\n");
    refused("GET\r\n\r\n /  x");
    refused("GET / HTTP/1\r\n\r\n");
    refused("GET / HTTP\n");
    refused("\r\n\r\r\n");
    refused("PRI * HTTP/2.0\n");
}

#[test]
fn a_change_of_any_one_byte_never_depends_on_the_split() {
    let head = b"\r\nPOST /e/a?b=c HTTP/1.1\r\nHost: x:1\r\nContent-Length: 10\r\nA: b c\r\n\r\n";
    let replacements = b"\0\t\n\r !#%+,/0:;?@Aa[_\x7F\x80\xC3\xFF";
    for at in 0..head.len() {
        for &byte in replacements {
            let mut changed = head.to_vec();
            changed[at] = byte;
            let _ = verdict(&changed);
            changed.insert(at, head[at]);
            let _ = verdict(&changed);
        }
        let mut shorter = head.to_vec();
        shorter.remove(at);
        let _ = verdict(&shorter);
    }
}
