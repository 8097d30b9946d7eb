//! The claims of a token, and what they mean in each of the two dialects.
//!
//! The idea: a claim that decides something is of exactly one JSON type, and anything else in its
//! place is an error rather than an absence: a string where a date should be once let tokens live
//! for ever (CVE-2026-25537). A claim that stands twice is an error as well.
//!
//! Invariants: a token is taken whole or not at all. One authorization detail of ours that is not
//! valid voids the token; details of other types are passed over.
//!
//! Knows nothing of signatures and time.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::compact::{Text, is_object};
use super::{DETAILS_MAX, Payload, Rights, SELECTORS_PER_CLAIM_MAX, TokenError};
use crate::selector::Selector;
use crate::selector::unseen::is_unseen;

/// The type of the authorization details that are ours (RFC 9396, section 2.2).
const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

/// What is read from a token, most of it in place.
#[derive(Debug, Deserialize)]
pub(super) struct Claims<'a> {
    #[serde(default, deserialize_with = "date")]
    pub(super) exp: Option<u64>,
    #[serde(default, deserialize_with = "date")]
    pub(super) nbf: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    iss: Option<Text<'a>>,
    #[serde(default, deserialize_with = "present")]
    pub(super) aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    pub(super) sub: Option<String>,
    /// Read only by the dialect that they belong to.
    #[serde(borrow)]
    mercure: Option<&'a RawValue>,
    #[serde(borrow, rename = "https://mercure.rocks/")]
    mercure_by_url: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) authorization_details: Option<&'a RawValue>,
}

/// RFC 7519, section 4.1.3: one string or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The claim of Mercure 0.x.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mercure<'a> {
    #[serde(borrow)]
    publish: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    subscribe: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// What every authorization detail has.
#[derive(Deserialize)]
struct DetailType {
    r#type: String,
}

/// An authorization detail of Mercure 1.0.
#[derive(Deserialize)]
struct Detail {
    actions: Vec<Action>,
    topics: Vec<Matcher>,
    #[serde(default, deserialize_with = "present")]
    payload: Option<Box<RawValue>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Action {
    Publish,
    Subscribe,
    /// Of a specification to come: it grants nothing here, and does no harm.
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Matcher {
    r#match: String,
    #[serde(default)]
    match_type: MatchType,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum MatchType {
    #[default]
    Exact,
    UrlPattern,
}

/// A claim that, if it is there, is not null.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// NumericDate (RFC 7519, section 2): seconds of Unix time, with a fraction perhaps, which is cut
/// off. A number, and nothing that only looks like one.
fn date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    struct Date;

    impl serde::de::Visitor<'_> for Date {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a number of seconds")
        }

        fn visit_u64<E>(self, seconds: u64) -> Result<u64, E> {
            Ok(seconds)
        }

        fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<u64, E> {
            if seconds.is_finite() && seconds >= 0.0 {
                // Saturates: a date beyond 2^64 is as far away as one at it.
                return Ok(seconds as u64);
            }
            Err(E::custom("a date before 1970 or beyond all numbers"))
        }
    }

    from.deserialize_any(Date).map(Some)
}

impl<'a> Claims<'a> {
    /// The claims that a payload is, which has been found to be signed.
    pub(super) fn read(payload: &'a [u8]) -> Result<Claims<'a>, TokenError> {
        if !is_object(payload) {
            return Err(TokenError::Claims);
        }
        serde_json::from_slice(payload).map_err(|_| TokenError::Claims)
    }

    pub(super) fn iss(&self) -> Option<&str> {
        self.iss.as_deref()
    }

    /// Rights by the claim of Mercure 0.x; its alias goes first.
    pub(super) fn rights_v0(&self) -> Result<Rights, TokenError> {
        let claim: Mercure<'_> = match self.mercure_by_url.or(self.mercure) {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| TokenError::Claims)?,
            None => Mercure::default(),
        };
        let payload = claim
            .payload
            .map(|value| Payload { selectors: None, value: Some(value.to_owned().into()) });
        Ok(Rights {
            publish: claim.publish.as_deref().map(selectors).transpose()?,
            subscribe: selectors(&claim.subscribe.unwrap_or_default())?,
            payloads: payload.into_iter().collect(),
            ..self.bearer()
        })
    }

    /// Rights by authorization details. Without any, the token is good and gives none.
    pub(super) fn rights_v1(&self, hub_url: &str) -> Result<Rights, TokenError> {
        let mut rights = Rights { publish: Some(Vec::new()), ..self.bearer() };
        let Some(details) = self.authorization_details else { return Ok(rights) };
        let details: Vec<&RawValue> =
            serde_json::from_str(details.get()).map_err(|_| TokenError::Details)?;
        let (mut ours, mut matchers) = (0, 0);
        for raw in details {
            let head: DetailType =
                serde_json::from_str(raw.get()).map_err(|_| TokenError::Details)?;
            if head.r#type != DETAIL_TYPE {
                continue;
            }
            let detail: Detail =
                serde_json::from_str(raw.get()).map_err(|_| TokenError::Details)?;
            ours += 1;
            matchers += detail.topics.len();
            if ours > DETAILS_MAX || matchers > DETAILS_MAX {
                return Err(TokenError::TooMany);
            }
            detail.grant(hub_url, &mut rights)?;
        }
        Ok(rights)
    }

    /// Rights to nothing, of this bearer.
    fn bearer(&self) -> Rights {
        Rights { expires_at: self.exp, subject: self.sub.clone(), ..Rights::default() }
    }
}

impl Detail {
    fn grant(self, hub_url: &str, rights: &mut Rights) -> Result<(), TokenError> {
        let is_object = |value: &RawValue| value.get().starts_with('{');
        let payload_holds = self.payload.as_deref().is_none_or(is_object);
        if self.actions.is_empty() || self.topics.is_empty() || !payload_holds {
            return Err(TokenError::Details);
        }
        let topics: Vec<Selector> = self
            .topics
            .iter()
            .map(|topic| topic.selector(hub_url))
            .collect::<Result<_, TokenError>>()?;
        if self.actions.contains(&Action::Publish) {
            rights.publish.get_or_insert_default().extend(topics.iter().cloned());
        }
        if self.actions.contains(&Action::Subscribe) {
            let first = rights.subscribe.len();
            rights.subscribe.extend(topics);
            let selectors = Some(first..rights.subscribe.len());
            rights.payloads.push(Payload { selectors, value: self.payload.map(Arc::from) });
        }
        Ok(())
    }
}

impl Matcher {
    fn selector(&self, hub_url: &str) -> Result<Selector, TokenError> {
        if self.r#match.is_empty() || self.r#match.contains(is_unseen) {
            return Err(TokenError::Details);
        }
        let selector = match self.match_type {
            MatchType::Exact => Selector::exact(&self.r#match),
            MatchType::UrlPattern => Selector::url_pattern(&self.r#match, hub_url),
        };
        selector.map_err(|_| TokenError::Details)
    }
}

/// The selectors of a claim. One that can match no topic gives no right, and does no harm.
fn selectors(texts: &[impl AsRef<str>]) -> Result<Vec<Selector>, TokenError> {
    if texts.len() > SELECTORS_PER_CLAIM_MAX {
        return Err(TokenError::TooMany);
    }
    Ok(texts.iter().filter_map(|text| Selector::parse(text.as_ref()).ok()).collect())
}
