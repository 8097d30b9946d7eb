//! Points about requests: other methods, pages of other origins, requests in odd shapes.

use super::point::{Broken, Checked, Level, Point};
use super::probe::{Answer, Probe};
use super::site::Site;
use super::stream::Stream;

/// Bytes of a header field that no server has to take.
const HUGE_FIELD_BYTES: usize = 1024 * 1024;

/// Why points about other origins are passed over.
const NO_ORIGIN: &str = "no --origin is given whose pages may read the stream";

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "H8",
        level: Level::Must,
        rule: "HEAD is answered as GET would be, without a body",
        source: "RFC 9110 9.3.2",
        check: head_method,
    },
    Point {
        id: "H9",
        level: Level::Must,
        rule: "the preflight for Last-Event-ID is granted",
        source: "WHATWG Fetch 4.8; WHATWG HTML 9.2.3",
        check: preflight,
    },
    Point {
        id: "H10",
        level: Level::Must,
        rule: "a page of an allowed origin may read the stream",
        source: "WHATWG Fetch 4.9",
        check: allow_origin,
    },
    Point {
        id: "H11",
        level: Level::Should,
        rule: "other methods are answered 405 with Allow",
        source: "RFC 9110 15.5.6",
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
        source: "RFC 9112 2.2, 5.1, 6.3",
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

/// WHATWG Fetch 4.9: the origin itself, or `*` where no credentials are sent.
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

/// WHATWG Fetch 4.8. A browser asks when the id is longer than 128 bytes or has a byte such as
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

/// WHATWG Fetch 4.9, with and without a cookie.
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

/// RFC 9110 15.5.6: 405 names in Allow what is possible.
fn other_methods(site: &Site) -> Checked {
    for method in ["PUT", "DELETE", "PATCH"] {
        let asked = site.ask(site.topic()).method(method).field("Content-Length: 0");
        let (probe, answer) = site.answer(&asked)?;
        let status = answer.head.status;
        if status != 405 {
            return Err(probe.broken(format!("{method} is answered {status}")));
        }
        if answer.field("allow").is_none() {
            return Err(probe.broken(format!("405 to {method} without Allow")));
        }
    }
    Ok("PUT, DELETE, PATCH".to_owned())
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
    asked.target = format!("http://{}{}", site.authority, asked.target);
    Stream::open(site, &asked)?;
    Ok("opens the stream".to_owned())
}

/// RFC 9112 2.2, 5.1, 6.3: none of these is a request. A refusal and an end of the connection
/// are both proper; a stream is not, and neither is an error of the server's own.
fn malformed(site: &Site) -> Checked {
    let asked = site.ask(site.topic());
    let huge = asked.clone().field(format!("X-Huge: {}", "a".repeat(HUGE_FIELD_BYTES)));
    let requests: [(&str, Vec<u8>); 5] = [
        ("a blank before the colon", asked.clone().field("X-Odd : 1").bytes()),
        ("two different lengths", {
            let two = asked.clone().field("Content-Length: 1").field("Content-Length: 2");
            two.bytes()
        }),
        ("a length that is none", asked.clone().field("Content-Length: x").bytes()),
        ("a request line of noise", b"\x01\x02\x03 \xff\r\n\r\n".to_vec()),
        ("a field of a MiB", huge.bytes()),
    ];
    for (what, request) in requests {
        let mut probe = Probe::connect(site)?;
        let status = match probe.exchange(&request, false) {
            Ok(answer) => answer.head.status,
            Err(_) => continue,
        };
        // A long field is no error of grammar: a server may have room for it.
        let taken = what == "a field of a MiB" && status == 200;
        if !(400..500).contains(&status) && !taken {
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
