//! Tokens: JSON Web Tokens in, the rights of their bearer out.
//!
//! The idea: a library checks the signature, by a key whose one algorithm was fixed when the key was
//! read; what header and claims mean is read here, strictly and in place, and a claim that is not what
//! its name says voids the token. Rights are decided once, when a request arrives: what a stream may
//! see does not change while it is open, but that it ends when its token does.
//!
//! Invariants:
//! - The token never decides how it is checked: not the algorithm, nor the key (`jwk`, `jku`, `x5u`
//!   and `x5c` of its header are ignored; `kid` picks among the keys there are), nor its size.
//! - A token with a header parameter in `crit` is refused: none is understood (RFC 7515, section
//!   4.1.11).
//! - The token of a named issuer is verified by that issuer's keys and no others.
//! - No message of this module has a part of a token or a key in it.
//!
//! Knows no clock, no files and no sockets: the time is an argument, keys come as text. Where in a
//! request a token stands is `source`.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::selector::{Selector, any_matches};

mod claims;
mod compact;
pub mod key;
pub mod source;
#[cfg(test)]
mod tests;

pub use jsonwebtoken::Algorithm;

use claims::{Audience, Claims};
use compact::Compact;
pub use compact::is_access_token;
use key::{Key, KeySet};

/// A token in bytes, at most: two thousand selectors of 60 bytes, in base64.
pub const TOKEN_BYTES_MAX: usize = 160 << 10;

/// Selectors of one claim (`publish` or `subscribe` of Mercure 0.x), at most, as its hub has it.
pub const SELECTORS_PER_CLAIM_MAX: usize = 1_000;

/// Authorization details of one token, and the matchers of all of them together, at most.
pub const DETAILS_MAX: usize = 100;

/// How far the clocks of the issuer and this machine may differ where a token is not valid *yet*.
/// There is no such grace at its end.
pub const NOT_BEFORE_LEEWAY_SECONDS: u64 = 5;

/// Signatures checked for one token, at most: keys without a `kid` are tried one after the other,
/// and a check by a public key costs up to 100 µs.
const TRIES_MAX: usize = 8;

/// Which claims say what a token may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `mercure` or `https://mercure.rocks/`, as in Mercure 0.x.
    V0,
    /// `authorization_details` (RFC 9396) of an access token (RFC 9068), as in Mercure 1.0.
    V1,
    /// `authorization_details` where they are there, else as `V0`.
    Either,
}

/// What is made of the `aud` claim (RFC 7519, section 4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// It is not looked at, as in Mercure 0.x.
    Any,
    /// It must name one of these; with none, a token for somebody in particular is not for us.
    Listed(Vec<String>),
    /// It must name the URL that the request was sent to.
    HubUrl,
}

/// Who signs tokens, and the keys that these are checked with.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What the `iss` claim must be; any, or none, without a name.
    pub name: Option<String>,
    pub keys: KeySet,
}

/// What the interfaces of an engine check tokens with; none where one takes none.
#[derive(Debug, Default)]
pub struct Verifiers {
    pub native: Option<Verifier>,
    /// Publishers by Mercure.
    pub publishers: HubVerifiers,
    /// Subscribers by Mercure.
    pub subscribers: HubVerifiers,
}

/// What a Mercure hub checks the tokens of one role with, by the version that they are of.
#[derive(Debug, Default)]
pub struct HubVerifiers {
    pub v0: Option<Verifier>,
    pub v1: Option<Verifier>,
}

/// Checks tokens. Cheap to clone; replaced as a whole when keys change.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<Rules>);

#[derive(Debug)]
struct Rules {
    dialect: Dialect,
    issuers: Vec<Issuer>,
    audiences: Audiences,
    needs_expiry: bool,
}

/// What the bearer of a token may do.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    /// Topics it may publish to; none if the token does not speak of publishing at all.
    pub publish: Option<Vec<Selector>>,
    /// Topics it may see private events of.
    pub subscribe: Vec<Selector>,
    /// When the token ends, in seconds of Unix time.
    pub expires_at: Option<u64>,
    /// The `sub` claim.
    pub subject: Option<String>,
    payloads: Vec<Payload>,
}

/// What a token says of subscriptions, for others to see.
#[derive(Debug, Clone)]
struct Payload {
    /// The selectors of `subscribe` that it belongs to; none: every subscription.
    selectors: Option<Range<usize>>,
    value: Option<Arc<RawValue>>,
}

/// Why a token gives no rights. For the operator and the client alike; it says nothing that the
/// bearer of the token does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    TooLong,
    Malformed,
    Critical,
    Algorithm,
    UnknownKey,
    Signature,
    Kind,
    Claims,
    NoExpiry,
    Expired,
    NotYet,
    Issuer,
    Audience,
    Details,
    TooMany,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "the token is not a JSON Web Token in compact form",
            Self::Critical => "the token's header has extensions that this server does not know",
            Self::Algorithm => "the token is signed with another algorithm than its key is for",
            Self::UnknownKey => "the token is signed with a key that this server does not have",
            Self::Signature => "the token's signature is not right",
            Self::Kind => "the token is no access token (its header needs \"typ\":\"at+jwt\")",
            Self::Claims => "a claim of the token is not what its name says",
            Self::NoExpiry => "the token has no expiry time (claim \"exp\")",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Issuer => "the token is from an issuer that its key does not belong to",
            Self::Audience => "the token is not for this server (claim \"aud\")",
            Self::Details => "an authorization detail of the token is not valid",
            Self::TooMany => "the token names too many topics",
        })
    }
}

impl std::error::Error for TokenError {}

impl Verifier {
    /// Checks tokens of these issuers, by the claims of `dialect`.
    #[must_use]
    pub fn new(
        dialect: Dialect,
        issuers: Vec<Issuer>,
        audiences: Audiences,
        needs_expiry: bool,
    ) -> Self {
        Self(Arc::new(Rules { dialect, issuers, audiences, needs_expiry }))
    }

    /// The rights that `token` gives at `now_s`, in seconds of Unix time. `hub_url` is the URL that
    /// the request was sent to: URL patterns are relative to it, and it may be the audience.
    ///
    /// # Errors
    /// Why the token gives none.
    pub fn verify(&self, token: &[u8], now_s: u64, hub_url: &str) -> Result<Rights, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let token = Compact::split(token).ok_or(TokenError::Malformed)?;
        let header = compact::decoded(token.header).ok_or(TokenError::Malformed)?;
        let header = compact::Header::read(&header).ok_or(TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let payload = OnceCell::new();
        let claims = self.signed_claims(&token, header.alg, header.kid.as_deref(), &payload)?;
        let rules = &self.0;
        self.check_time(&claims, now_s)?;
        rules.audiences.check(&claims, hub_url)?;
        match (rules.dialect, &claims.authorization_details) {
            (Dialect::V0, _) | (Dialect::Either, None) => claims.rights_v0(),
            (Dialect::V1 | Dialect::Either, _) if !header.is_of_access_token() => {
                Err(TokenError::Kind)
            }
            (Dialect::V1 | Dialect::Either, _) => claims.rights_v1(hub_url),
        }
    }

    /// Whether there is any key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.issuers.iter().all(|issuer| issuer.keys.is_empty())
    }

    /// The claims, once a key that may have signed them has been found to have done so: before that
    /// they are not looked at. They borrow from `payload`, which is filled then.
    fn signed_claims<'a>(
        &self,
        token: &Compact<'_>,
        algorithm: Algorithm,
        kid: Option<&str>,
        payload: &'a OnceCell<Option<Vec<u8>>>,
    ) -> Result<Claims<'a>, TokenError> {
        let mut outcome = TokenError::UnknownKey;
        let fitting = self.candidates(kid).into_iter().filter(|(_, key)| {
            let fits = key.algorithm == algorithm;
            if !fits {
                outcome = TokenError::Algorithm;
            }
            fits
        });
        let fitting: Vec<_> = fitting.take(TRIES_MAX).collect();
        for (issuer, key) in fitting {
            let claims = key.check(token).and_then(|()| {
                let payload = payload.get_or_init(|| compact::decoded(token.payload));
                Claims::read(payload.as_deref().ok_or(TokenError::Malformed)?)
            });
            match claims {
                Ok(claims) if issuer.name.is_none() || issuer.name.as_deref() == claims.iss() => {
                    return Ok(claims);
                }
                Ok(_) => outcome = TokenError::Issuer,
                Err(TokenError::Signature) if outcome == TokenError::Issuer => {}
                Err(error) => outcome = error,
            }
        }
        Err(outcome)
    }

    /// The keys of this `kid`; without any, those that have none.
    fn candidates(&self, kid: Option<&str>) -> Vec<(&Issuer, &Key)> {
        let all = || {
            let issuers = self.0.issuers.iter();
            issuers.flat_map(|issuer| issuer.keys.iter().map(move |key| (issuer, key)))
        };
        let Some(kid) = kid else { return all().collect() };
        let named: Vec<_> = all().filter(|(_, key)| key.id.as_deref() == Some(kid)).collect();
        if named.is_empty() { all().filter(|(_, key)| key.id.is_none()).collect() } else { named }
    }

    /// `exp` and `nbf` (RFC 7519, sections 4.1.4 and 4.1.5).
    fn check_time(&self, claims: &Claims<'_>, now_s: u64) -> Result<(), TokenError> {
        let needs_expiry = self.0.needs_expiry || self.0.dialect == Dialect::V1;
        match claims.exp {
            None if needs_expiry => return Err(TokenError::NoExpiry),
            Some(exp) if exp <= now_s => return Err(TokenError::Expired),
            _ => {}
        }
        match claims.nbf {
            Some(nbf) if nbf > now_s.saturating_add(NOT_BEFORE_LEEWAY_SECONDS) => {
                Err(TokenError::NotYet)
            }
            _ => Ok(()),
        }
    }
}

impl Audiences {
    fn check(&self, claims: &Claims<'_>, hub_url: &str) -> Result<(), TokenError> {
        let names = |wanted: &str| match &claims.aud {
            None => false,
            Some(Audience::One(name)) => name == wanted,
            Some(Audience::Several(names)) => names.iter().any(|name| name == wanted),
        };
        let ours = match self {
            Self::Any => true,
            Self::Listed(wanted) if wanted.is_empty() => claims.aud.is_none(),
            Self::Listed(wanted) => wanted.iter().any(|wanted| names(wanted)),
            Self::HubUrl => names(hub_url),
        };
        if ours { Ok(()) } else { Err(TokenError::Audience) }
    }
}

impl Rights {
    /// Whether events of this topic may be published. An event of several topics needs the right to
    /// each of them.
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        self.publish.as_ref().is_some_and(|selectors| any_matches(selectors, topic))
    }

    /// Whether private events of this topic may be seen.
    #[must_use]
    pub fn may_subscribe(&self, topic: &str) -> bool {
        any_matches(&self.subscribe, topic)
    }

    /// What the token says of the subscription with this selector, as it was written: JSON for those
    /// who may see subscriptions. Of several authorization details the first that matches counts,
    /// the selector being taken as if it were a topic.
    #[must_use]
    pub fn payload_of(&self, selector: &str) -> Option<&RawValue> {
        let found = self.payloads.iter().find(|payload| match &payload.selectors {
            None => true,
            Some(range) => any_matches(&self.subscribe[range.clone()], selector),
        });
        found?.value.as_deref()
    }
}
