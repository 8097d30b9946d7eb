//! Where in a request a token stands: the `Authorization` header, the query, or a cookie.
//!
//! The idea: one place is looked at, the first of these that there is, and what stands there is the
//! token or the request is refused. A bad token in the header is never made good by a cookie.
//!
//! Invariants: what was found is borrowed or moved, never printed.
//!
//! Knows requests by their head; knows nothing of what a token says, nor of origins: a cookie is sent
//! by browsers on their own, so whoever lets one change something looks at the origin as well.

use std::fmt;

use super::Dialect;
use crate::http::request::Request;
use crate::http::target::query_pairs;

/// The shortest `Authorization` header and query parameter that Mercure 0.x looks at.
const V0_HEADER_BYTES_MIN: usize = 48;
const V0_QUERY_BYTES_MIN: usize = 41;

const SCHEME: &[u8] = b"Bearer ";

/// Where tokens may stand besides the header.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Whose rules hold in detail.
    pub dialect: Dialect,
    /// Parameter of the query, if one may have it: URLs end up in logs.
    pub query: Option<&'a str>,
    /// Names of cookies, the first that there is counts.
    pub cookies: &'a [&'a str],
}

/// A token, and where it was found.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    Nothing,
    Header(&'a [u8]),
    Query(String),
    /// Sent by browsers on their own: a request that changes something needs its origin looked at.
    Cookie(&'a [u8]),
}

impl Presented<'_> {
    /// The token.
    #[must_use]
    pub fn token(&self) -> Option<&[u8]> {
        match self {
            Self::Nothing => None,
            Self::Header(token) | Self::Cookie(token) => Some(token),
            Self::Query(token) => Some(token.as_bytes()),
        }
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Header(_) => "Header(..)",
            Self::Query(_) => "Query(..)",
            Self::Cookie(_) => "Cookie(..)",
        })
    }
}

/// Why no token can be taken from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceError {
    HeaderRepeated,
    HeaderIsNotBearer,
    QueryRepeated,
    QueryIsShort,
    QueryIsMalformed,
    CookieRepeated,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeaderRepeated => "the Authorization header is given more than once",
            Self::HeaderIsNotBearer => "the Authorization header is not `Bearer TOKEN`",
            Self::QueryRepeated => "the query has more than one token",
            Self::QueryIsShort => "the token of the query is too short to be one",
            Self::QueryIsMalformed => "the query cannot be decoded",
            Self::CookieRepeated => "two cookies of one name have different tokens",
        })
    }
}

impl std::error::Error for SourceError {}

/// The token of a request: header before query before cookie.
///
/// # Errors
/// When there is something in one of these places that is no token.
pub fn presented<'a>(
    request: &Request<'a>,
    places: Places<'_>,
) -> Result<Presented<'a>, SourceError> {
    if let Some(token) = header(request, places.dialect)? {
        return Ok(Presented::Header(token));
    }
    if let Some(token) = query(request, places)? {
        return Ok(Presented::Query(token));
    }
    for name in places.cookies {
        if let Some(token) = cookie(request, name, places.dialect)? {
            return Ok(Presented::Cookie(token));
        }
    }
    Ok(Presented::Nothing)
}

/// RFC 6750, section 2.1. The name of the scheme has no case (RFC 9110, section 11.1).
fn header<'a>(request: &Request<'a>, dialect: Dialect) -> Result<Option<&'a [u8]>, SourceError> {
    let Ok(value) = request.header_once("authorization") else {
        return Err(SourceError::HeaderRepeated);
    };
    let Some(value) = value else { return Ok(None) };
    let bytes_min = if dialect == Dialect::V0 { V0_HEADER_BYTES_MIN } else { SCHEME.len() + 1 };
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, token))
            if value.len() >= bytes_min && scheme.eq_ignore_ascii_case(SCHEME) =>
        {
            Ok(Some(token))
        }
        _ => Err(SourceError::HeaderIsNotBearer),
    }
}

/// RFC 6750, section 2.3.
fn query(request: &Request<'_>, places: Places<'_>) -> Result<Option<String>, SourceError> {
    let Some(wanted) = places.query else { return Ok(None) };
    let mut found = None;
    for pair in query_pairs(request.query) {
        let (name, value) = pair.map_err(|_| SourceError::QueryIsMalformed)?;
        if name == wanted && found.replace(value).is_some() {
            return Err(SourceError::QueryRepeated);
        }
    }
    match found {
        Some(token) if places.dialect == Dialect::V0 && token.len() < V0_QUERY_BYTES_MIN => {
            Err(SourceError::QueryIsShort)
        }
        found => Ok(found.map(std::borrow::Cow::into_owned)),
    }
}

/// RFC 6265, section 4.2. A cookie of a parent domain has the same name as ours and may stand before
/// it; Mercure 0.x takes the first, elsewhere two that differ are refused.
fn cookie<'a>(
    request: &Request<'a>,
    wanted: &str,
    dialect: Dialect,
) -> Result<Option<&'a [u8]>, SourceError> {
    let pairs = request.values("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], pair[equals + 1..].trim_ascii());
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        (name == wanted.as_bytes()).then_some(bare.unwrap_or(value))
    });
    let Some(first) = values.next() else { return Ok(None) };
    if dialect != Dialect::V0 && values.any(|other| other != first) {
        return Err(SourceError::CookieRepeated);
    }
    Ok(Some(first))
}
