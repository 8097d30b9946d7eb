//! What a complete, well-formed head means: framing, Host, target, connection, expectation.
//!
//! The idea: wherever two implementations have been known to read the same header differently,
//! the head is refused, because a proxy in front may have chosen the other reading.
//!
//! Knows nothing of bytes and lines; `request` has settled those.

use super::{BodyKind, Method, Request, Version};
use crate::http::refusal::{Refusal, Status};

/// Reads the meaning of a head that `httparse` has completed.
pub(super) fn read<'a>(head: &httparse::Request<'_, 'a>) -> Result<Request<'a>, Refusal> {
    let version = match head.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let method = head
        .method
        .and_then(|token| Method::from_token(token.as_bytes()))
        .ok_or_else(|| Refusal::new(Status::VersionNotSupported, "HTTP/2 is not spoken here."))?;
    let mut request = Request {
        method,
        path: "",
        query: None,
        version,
        body: BodyKind::None,
        keep_alive: false,
        expect_continue: false,
        headers: head.headers.to_vec(),
    };
    let host = host(&request)?;
    (request.path, request.query) = target(method, head.path.unwrap_or_default(), host)?;
    request.body = framing(&request)?;
    request.keep_alive = keep_alive(&request);
    request.expect_continue = expect_continue(&request)?;
    Ok(request)
}

/// The one Host (RFC 9112, section 3.2): required in HTTP/1.1, never repeated, always valid.
fn host<'a>(request: &Request<'a>) -> Result<Option<&'a [u8]>, Refusal> {
    let host = request
        .header_once("host")
        .map_err(|_| Refusal::bad("The request has more than one Host header; send one."))?;
    match host {
        None if request.version == Version::Http11 => {
            Err(Refusal::bad("An HTTP/1.1 request needs a Host header (RFC 9112, section 3.2)."))
        }
        Some(value) if !is_authority(value) => {
            Err(Refusal::bad("The Host header is not a host with an optional port."))
        }
        host => Ok(host),
    }
}

/// `uri-host [ ":" port ]` of RFC 3986, section 3.2, without user information.
fn is_authority(value: &[u8]) -> bool {
    let (name, rest) = match value {
        [b'[', ..] => match value.iter().position(|&b| b == b']') {
            Some(end) => (&value[..=end], &value[end + 1..]),
            None => return false,
        },
        _ => value.split_at(value.iter().position(|&b| b == b':').unwrap_or(value.len())),
    };
    let port_is_valid = match rest {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let name_is_valid = match name {
        [] => false,
        [b'[', literal @ .., b']'] => {
            std::str::from_utf8(literal).is_ok_and(|l| l.parse::<std::net::Ipv6Addr>().is_ok())
        }
        _ => name.iter().all(|&b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b)),
    };
    name_is_valid && port_is_valid
}

/// Path and query of the target (RFC 9112, section 3.2), which must name this host if it names
/// any.
fn target<'a>(
    method: Method,
    target: &'a str,
    host: Option<&[u8]>,
) -> Result<(&'a str, Option<&'a str>), Refusal> {
    if target.contains('#') {
        return Err(Refusal::bad(
            "The request target has a '#'; a fragment stays with the client.",
        ));
    }
    if target == "*" && method == Method::Options {
        return Ok((target, None));
    }
    let origin_form = match absolute_form(target) {
        None => target,
        Some((authority, rest)) => {
            if !host.is_some_and(|host| host.eq_ignore_ascii_case(authority.as_bytes())) {
                return Err(Refusal::bad(
                    "The request target names another host than the Host header.",
                ));
            }
            rest
        }
    };
    let (path, query) = match origin_form.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (origin_form, None),
    };
    match path {
        // RFC 9112, section 3.2.2: an absolute form without a path means the root.
        "" if origin_form.len() < target.len() => Ok(("/", query)),
        _ if path.starts_with('/') => Ok((path, query)),
        _ => Err(Refusal::bad("The request target must be a path that starts with '/'.")),
    }
}

/// Splits `http://authority/path` behind the authority; `None` for any other form.
fn absolute_form(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// The one way to find the end of the body (RFC 9112, sections 6.1 to 6.3).
fn framing(request: &Request<'_>) -> Result<BodyKind, Refusal> {
    let coding = request
        .header_once("transfer-encoding")
        .map_err(|_| Refusal::bad("The request has more than one Transfer-Encoding header."))?;
    let length = request
        .header_once("content-length")
        .map_err(|_| Refusal::bad("The request has more than one Content-Length header."))?;
    match (coding, length) {
        (None, None) => Ok(BodyKind::None),
        (None, Some(digits)) => match content_length(digits)? {
            0 => Ok(BodyKind::None),
            bytes => Ok(BodyKind::Length(bytes)),
        },
        (Some(_), Some(_)) => Err(Refusal::bad(
            "The request has both Content-Length and Transfer-Encoding; send one of them \
             (RFC 9112, section 6.3).",
        )),
        (Some(_), None) if request.version == Version::Http10 => {
            Err(Refusal::bad("Transfer-Encoding has no meaning in HTTP/1.0; send Content-Length."))
        }
        (Some(value), None) if value.eq_ignore_ascii_case(b"chunked") => Ok(BodyKind::Chunked),
        (Some(_), None) => Err(Refusal::new(
            Status::NotImplemented,
            "The only transfer coding understood here is exactly 'chunked'.",
        )),
    }
}

/// Digits and nothing else: no sign, no space, no list (RFC 9110, section 8.6).
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits
        .then(|| std::str::from_utf8(value).ok()?.parse().ok())
        .flatten()
        .ok_or_else(|| Refusal::bad("Content-Length is not one decimal number of at most 64 bits."))
}

/// RFC 9112, section 9.3: HTTP/1.1 stays open unless it says close, HTTP/1.0 the other way round.
fn keep_alive(request: &Request<'_>) -> bool {
    let says = |word: &str| {
        request
            .values("connection")
            .flat_map(|value| value.split(|&b| b == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    !says("close") && (request.version == Version::Http11 || says("keep-alive"))
}

/// RFC 9110, section 10.1.1: the only expectation is 100-continue, and HTTP/1.0 has none.
fn expect_continue(request: &Request<'_>) -> Result<bool, Refusal> {
    let expectation = request
        .header_once("expect")
        .map_err(|_| Refusal::bad("The request has more than one Expect header."))?;
    match expectation {
        Some(_) if request.version == Version::Http10 => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
            Ok(request.body != BodyKind::None)
        }
        Some(_) => Err(Refusal::new(
            Status::ExpectationFailed,
            "The only expectation understood here is 100-continue.",
        )),
        None => Ok(false),
    }
}
