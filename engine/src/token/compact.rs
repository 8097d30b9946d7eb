//! The compact form of a token (RFC 7515, section 7.1), and its header.
//!
//! The idea: the parts are cut once, and what they say is borrowed from the bytes that they decode to.
//! The library's own reader keeps every parameter of a header, which costs as much as the signature.
//!
//! Invariants: a header is one JSON object in which no parameter that counts stands twice, and one
//! that counts is of the type that it should be.
//!
//! Knows nothing of keys and claims.

use std::borrow::Cow;
use std::ops::Deref;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

/// The parts of a token, as they stand in it.
pub(super) struct Compact<'a> {
    /// What the signature is of: header and payload, with the dot between.
    pub(super) message: &'a [u8],
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> Compact<'a> {
    /// None where there are not three parts.
    pub(super) fn split(token: &'a [u8]) -> Option<Compact<'a>> {
        let mut dots = memchr::memchr_iter(b'.', token);
        let (first, second) = (dots.next()?, dots.next()?);
        dots.next().is_none().then(|| Compact {
            message: &token[..second],
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
        })
    }
}

/// The bytes of a part; none where it is not base64url without padding.
pub(super) fn decoded(part: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

/// Text that lies where it was read, unless it has escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What counts of a header. All else of it is passed over: a token does not say how it is checked.
#[derive(Deserialize)]
pub(super) struct Header<'a> {
    pub(super) alg: Algorithm,
    #[serde(borrow)]
    pub(super) kid: Option<Text<'a>>,
    #[serde(borrow)]
    typ: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) crit: Option<Vec<Text<'a>>>,
}

impl<'a> Header<'a> {
    /// None for what is no header.
    pub(super) fn read(json: &'a [u8]) -> Option<Header<'a>> {
        is_object(json).then(|| serde_json::from_slice(json).ok()).flatten()
    }

    /// RFC 9068, section 4: `at+jwt`, or its whole name as a media type, whose case does not matter.
    pub(super) fn is_of_access_token(&self) -> bool {
        self.typ.as_deref().is_some_and(|typ| {
            typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
        })
    }
}

/// Whether JSON is an object, if it is any: fields would be taken from a list as well.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// Whether the header of a token says that it is an access token (RFC 9068, section 2.1). Whether the
/// token is good is another question.
#[must_use]
pub fn is_access_token(token: &[u8]) -> bool {
    let header = Compact::split(token).and_then(|token| decoded(token.header));
    let header = header.as_deref().and_then(Header::read);
    header.is_some_and(|header| header.is_of_access_token())
}
