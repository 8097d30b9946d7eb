//! Points about requests: other methods, pages of other origins, requests in odd shapes.

use super::point::{Broken, Checked, Level, Point};
use super::probe::{Answer, Probe};
use super::site::Site;
use super::stream::Stream;

/// Bytes of a header field that no server has to take.
const HUGE_FIELD_BYTES: usize = 1024 * 1024;

/// An origin that nobody has allowed: `.invalid` is nobody's (RFC 2606).
const STRANGE_ORIGIN: &str = "https://stranger.invalid";

/// Why points about other origins are passed over.
const NO_ORIGIN: &str = "no --origin is given whose pages may read the stream";

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "H8",
        level: Level::Must,
        rule: "HEAD is answered as GET would be, without a body",
        source: "RFC 9110 9.1, 9.3.2",
        check: head_method,
    },
    Point {
        id: "H9",
        level: Level::Must,
        rule: "the preflight for Last-Event-ID is granted",
        source: "WHATWG Fetch, CORS-preflight fetch; WHATWG HTML 9.2.3",
        check: preflight,
    },
    Point {
        id: "H10a",
        level: Level::Must,
        rule: "a page of an allowed origin may read the stream",
        source: "WHATWG Fetch, CORS check",
        check: allow_origin,
    },
    Point {
        id: "H10b",
        level: Level::Should,
        rule: "a page of any other origin may not read the stream with its reader's credentials",
        source: "WHATWG Fetch, CORS protocol and credentials",
        check: other_origin,
    },
    Point {
        id: "H11",
        level: Level::Should,
        rule: "a method that has no use there is answered 405 with Allow",
        source: "RFC 9110 9.1, 15.5.6",
        check: other_methods,
    },
    Point {
        id: "H13a",
        level: Level::Must,
        rule: "an HTTP/1.1 request without Host is answered 400",
        source: "RFC 9112 3.2",
        check: no_host,
    },
    Point {
        id: "H13b",
        level: Level::Must,
        rule: "a target in absolute form is understood",
        source: "RFC 9112 3.2.2",
        check: absolute_form,
    },
    Point {
        id: "H13c",
        level: Level::Must,
        rule: "malformed requests are refused, and the server lives on",
        source: "RFC 9112 2.2, 3, 5.1, 5.2, 6.3, 7.1",
        check: malformed,
    },
    Point {
        id: "H16a",
        level: Level::Must,
        rule: "a request may come in any pieces",
        source: "RFC 9112 2.2: a message is a sequence of bytes",
        check: pieces,
    },
    Point {
        id: "H16b",
        level: Level::Info,
        rule: "what becomes of a stream whose client ends its side",
        source: "RFC 9112 9.6",
        check: half_close,
    },
    Point {
        id: "H16c",
        level: Level::Should,
        rule: "bytes behind the request do not disturb the stream",
        source: "RFC 9112 2.2, 9.3.2: an empty line, or the next request",
        check: bytes_behind,
    },
];

/// RFC 9110 9.3.2: HEAD has no content. A second request on the connection shows it.
fn head_method(site: &Site) -> Checked {
    let asked = site.ask(site.topic()).method("HEAD");
    let (mut probe, answer) = site.answer(&asked)?;
    if answer.head.status != 200 || !answer.head.is_event_stream {
        let status = answer.head.status;
        return Err(probe.broken(format!("HEAD is answered {status}, GET would open a stream")));
    }
    if !probe.input.is_empty() {
        return Err(probe.broken("bytes follow the head"));
    }
    if answer.head.closes {
        return match probe.body(crate::http::Body::close())?.is_empty() {
            true => Ok("the connection ends behind it".to_owned()),
            false => Err(probe.broken("bytes follow the head")),
        };
    }
    probe.send(&asked.bytes())?;
    let again = probe.answer(true)?;
    match again.head.status {
        200 => Ok("the connection goes on".to_owned()),
        status => Err(probe.broken(format!("a second HEAD is answered {status}"))),
    }
}

fn origin(site: &Site) -> Result<&str, Broken> {
    site.origin.as_deref().ok_or_else(|| Broken::absent(NO_ORIGIN))
}

/// WHATWG Fetch, CORS check: the origin itself, or `*` where no credentials are sent.
fn allows(probe: &Probe, answer: &Answer, origin: &str) -> Result<(), Broken> {
    let allowed = answer.field("access-control-allow-origin");
    let credentials = answer.field("access-control-allow-credentials").is_some();
    match allowed.as_deref() {
        Some("*") if credentials => Err(probe.broken("`*` together with credentials")),
        Some("*") => Ok(()),
        Some(found) if found == origin => match answer.lists("vary", "origin") {
            true => Ok(()),
            false => Err(probe.broken("an origin is named without Vary: Origin")),
        },
        found => Err(probe.broken(format!("Access-Control-Allow-Origin is {found:?}"))),
    }
}

/// WHATWG Fetch, CORS-preflight fetch. A browser asks when the id is longer than 128 bytes or has a byte such as
/// `<`.
fn preflight(site: &Site) -> Checked {
    let origin = origin(site)?;
    let asked = site
        .ask(site.topic())
        .method("OPTIONS")
        .field(format!("Origin: {origin}"))
        .field("Access-Control-Request-Method: GET")
        .field("Access-Control-Request-Headers: last-event-id");
    let (probe, answer) = site.answer(&asked)?;
    if !(200..300).contains(&answer.head.status) {
        return Err(probe.broken(format!("the preflight is answered {}", answer.head.status)));
    }
    allows(&probe, &answer, origin)?;
    let lists = |member| answer.lists("access-control-allow-headers", member);
    if !lists("last-event-id") && !lists("*") {
        return Err(probe.broken("Access-Control-Allow-Headers has no last-event-id"));
    }
    Ok(format!("{}", answer.head.status))
}

/// WHATWG Fetch, CORS check, with and without a cookie.
fn allow_origin(site: &Site) -> Checked {
    let origin = origin(site)?;
    for cookie in [None, Some("Cookie: a=b")] {
        let mut asked = site.ask(site.topic()).field(format!("Origin: {origin}"));
        if let Some(field) = cookie {
            asked = asked.field(field);
        }
        let stream = Stream::open(site, &asked)?;
        allows(&stream.probe, &stream.answer, origin)?;
    }
    Ok(origin.to_owned())
}

/// WHATWG Fetch, CORS protocol and credentials: an origin that is echoed whatever it is, together
/// with credentials, lets any page read what its visitor may read.
fn other_origin(site: &Site) -> Checked {
    let asked = site.ask(site.topic()).field(format!("Origin: {STRANGE_ORIGIN}"));
    let (probe, answer) = site.answer(&asked.field("Cookie: a=b"))?;
    let allowed = answer.field("access-control-allow-origin");
    let credentials = answer.field("access-control-allow-credentials");
    match (allowed.as_deref(), credentials) {
        (Some(STRANGE_ORIGIN), Some(_)) => {
            Err(probe.broken(format!("{STRANGE_ORIGIN} is allowed, with credentials")))
        }
        (Some(found), _) => Ok(format!("{found}, without credentials")),
        (None, _) => Ok("not allowed".to_owned()),
    }
}

/// RFC 9110 15.5.6: 405 names in Allow what is possible. A method may have a use of its own there,
/// or want a key; it opens no stream and is not passed over.
fn other_methods(site: &Site) -> Checked {
    let mut seen = Vec::new();
    for method in ["PUT", "DELETE", "PATCH"] {
        let asked = site.ask(site.topic()).method(method).field("Content-Length: 0");
        let (probe, answer) = site.answer(&asked)?;
        let status = answer.head.status;
        let has_use = matches!(status, 200..300) && !answer.head.is_event_stream;
        if status == 405 && answer.field("allow").is_none() {
            return Err(probe.broken(format!("405 to {method} without Allow")));
        }
        if !has_use && !matches!(status, 401 | 403 | 405 | 501) {
            return Err(probe.broken(format!("{method} is answered {status}")));
        }
        seen.push(format!("{method} {status}"));
    }
    Ok(seen.join(", "))
}

/// RFC 9112 3.2: a server MUST respond with 400.
fn no_host(site: &Site) -> Checked {
    let (probe, answer) = site.answer(&site.ask(site.topic()).without("host"))?;
    match answer.head.status {
        400 => Ok("400".to_owned()),
        status => Err(probe.broken(format!("a request without Host is answered {status}"))),
    }
}

/// RFC 9112 3.2.2: a server MUST accept the absolute form.
fn absolute_form(site: &Site) -> Checked {
    let mut asked = site.ask(site.topic());
    asked.target = format!("http://{}{}", site.url.authority, asked.target);
    Stream::open(site, &asked)?;
    Ok("opens the stream".to_owned())
}

/// What has to become of a malformed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A refusal or the end of the connection.
    Refused,
    /// The same, or a stream: a server may have room for it, or may mend it.
    NoError,
}

/// None of these is a sound request. A refusal and an end of the connection are both proper; an
/// error of the server's own is not.
fn malformed(site: &Site) -> Checked {
    let asked = site.ask(site.topic());
    let with = |field: &str| asked.clone().field(field);
    let huge = format!("X-Huge: {}", "a".repeat(HUGE_FIELD_BYTES));
    let bad_chunk = [with("Transfer-Encoding: chunked").bytes(), b"x\r\n\r\n".to_vec()].concat();
    let requests: [(&str, Due, Vec<u8>); 7] = [
        ("a blank before the colon", Due::Refused, with("X-Odd : 1").bytes()),
        ("two different lengths", Due::Refused, {
            with("Content-Length: 1").field("Content-Length: 2").bytes()
        }),
        ("a length that is none", Due::Refused, with("Content-Length: x").bytes()),
        ("a request line of noise", Due::Refused, b"\x01\x02\x03 \xff\r\n\r\n".to_vec()),
        // RFC 9112 5.2: refused, or read as one line.
        ("a folded field", Due::NoError, with("X-Folded: a\r\n b").bytes()),
        ("a field of a MiB", Due::NoError, with(&huge).bytes()),
        // The stream may begin before the body is read.
        ("a chunk without a size", Due::NoError, bad_chunk),
    ];
    for (what, due, request) in requests {
        let mut probe = Probe::connect(site)?;
        let status = match probe.exchange(&request, false) {
            Ok(answer) => answer.head.status,
            Err(_) => continue,
        };
        let proper = (400..500).contains(&status) || (due == Due::NoError && status == 200);
        // RFC 9112 6.1: 501 is the answer to a transfer coding that a server does not have.
        if !proper && status != 501 {
            return Err(probe.broken(format!("{what} is answered {status}")));
        }
    }
    site.open(site.topic())?;
    Ok("refused; a stream opens afterwards".to_owned())
}

/// A request is a sequence of bytes; TCP may cut it anywhere.
fn pieces(site: &Site) -> Checked {
    let asked = site.ask(site.topic());
    let mut probe = Probe::connect(site)?;
    for byte in asked.bytes() {
        probe.send(&[byte])?;
    }
    let answer = probe.answer(false)?;
    match answer.head.status {
        200 => Ok("byte by byte".to_owned()),
        status => Err(probe.broken(format!("a request in pieces is answered {status}"))),
    }
}

/// RFC 9112 9.6 lets a server take a half-closed connection as over, or go on.
fn half_close(site: &Site) -> Checked {
    let mut stream = site.open(site.topic())?;
    stream.probe.end_sending();
    let ended = stream.until(site.patience, Stream::has_ended)?;
    Ok(if ended { "the stream ends" } else { "the stream goes on" }.to_owned())
}

/// RFC 9112 2.2 has clients that send an empty line too many, and 9.3.2 lets the next request
/// follow at once.
fn bytes_behind(site: &Site) -> Checked {
    let topic = site.topic();
    let asked = site.ask(topic);
    for behind in [b"\r\n".to_vec(), asked.bytes()] {
        let mut probe = Probe::connect(site)?;
        let answer = probe.exchange(&[asked.bytes(), behind].concat(), false)?;
        let mut stream = Stream::answered(probe, answer, site.patience)?;
        if site.recipe.is_some() {
            site.accepted(topic, b"undisturbed")?;
            stream.event()?;
        } else if stream.until(site.prompt, Stream::has_ended)? {
            return Err(stream.broken("the stream ended"));
        }
    }
    Ok("an empty line, another request".to_owned())
}
