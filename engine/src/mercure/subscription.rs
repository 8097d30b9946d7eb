//! Active subscriptions as documents: what the subscription API answers, and what subscription events
//! carry.
//!
//! The idea: a subscription has a path, which is its id and the topic of its events; both are made
//! of percent-encoded texts, encoded exactly once. Version 0 encodes as Go's `url.QueryEscape` does,
//! version 1 as RFC 6570.
//!
//! Invariants: documents are indented by two spaces and escape what HTML would read, as the hub's do.
//!
//! Knows nothing of who subscribes and who may know.

use serde::Serialize;
use serde_json::Value;

use super::{SUBSCRIPTIONS_PATH, Version};

/// JSON-LD context of version 0.
const CONTEXT: &str = "https://mercure.rocks/";

/// One selector of one subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    pub version: Version,
    /// The selector as it was given.
    pub selector: String,
    /// `exact` or `urlpattern`; version 1 says it.
    pub match_type: &'static str,
    /// Who subscribes.
    pub subscriber: String,
    /// What the token says of the subscription.
    pub payload: Option<Value>,
}

/// Members in the order of the hub's.
#[derive(Serialize)]
struct One<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    match_type: Option<&'static str>,
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pattern: Option<&'a str>,
    subscriber: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    active: bool,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

#[derive(Serialize)]
struct Collection<'a> {
    #[serde(rename = "@context", skip_serializing_if = "Option::is_none")]
    context: Option<&'static str>,
    id: &'a str,
    r#type: &'static str,
    #[serde(rename = "lastEventID", skip_serializing_if = "Option::is_none")]
    last_event_id: Option<&'a str>,
    subscriptions: Vec<One<'a>>,
}

impl Subscription {
    /// Its id, and the topic of its events.
    #[must_use]
    pub fn path(&self) -> String {
        match self.version {
            Version::V0 => format!(
                "{SUBSCRIPTIONS_PATH}/{}/{}",
                query_escape(&self.selector),
                query_escape(&self.subscriber)
            ),
            Version::V1 => format!(
                "{SUBSCRIPTIONS_PATH}/{}/{}/{}",
                self.match_type,
                escape(&self.selector),
                escape(&self.subscriber)
            ),
        }
    }

    /// The data of its event when it begins (`active`) or ends.
    #[must_use]
    pub fn event(&self, active: bool) -> String {
        pretty(&self.one(active, true, None))
    }

    /// The answer to a request for its path.
    #[must_use]
    pub fn document(&self, last_event_id: &str) -> String {
        pretty(&self.one(true, true, Some(last_event_id)))
    }

    fn one<'a>(&'a self, active: bool, root: bool, last_event_id: Option<&'a str>) -> One<'a> {
        let is_v0 = self.version == Version::V0;
        One {
            context: (root && is_v0).then_some(CONTEXT),
            id: self.path(),
            r#type: if is_v0 { "Subscription" } else { "subscription" },
            match_type: (!is_v0).then_some(self.match_type),
            pattern: (!is_v0).then_some(&self.selector),
            subscriber: &self.subscriber,
            topic: is_v0.then_some(&self.selector),
            active,
            last_event_id: last_event_id.filter(|_| is_v0),
            payload: self.payload.as_ref(),
        }
    }
}

/// The answer to a request for a collection at `path`. Its members are all of `version`.
#[must_use]
pub fn collection(
    path: &str,
    version: Version,
    last_event_id: &str,
    subscriptions: &[Subscription],
) -> String {
    let is_v0 = version == Version::V0;
    pretty(&Collection {
        context: is_v0.then_some(CONTEXT),
        id: path,
        r#type: if is_v0 { "Subscriptions" } else { "subscriptions" },
        last_event_id: is_v0.then_some(last_event_id),
        subscriptions: subscriptions.iter().map(|one| one.one(true, false, None)).collect(),
    })
}

/// The type of these documents.
#[must_use]
pub fn content_type(version: Version) -> &'static str {
    match version {
        Version::V0 => "application/ld+json",
        Version::V1 => "application/json",
    }
}

/// Which subscriptions a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    pub version: Version,
    /// Of this selector; with its kind in version 1.
    pub selector: Option<(Option<String>, String)>,
    /// Of this subscriber: the path of one subscription.
    pub subscriber: Option<String>,
}

impl Filter {
    /// Reads a path below the hub's; none if it is none of the API's.
    #[must_use]
    pub fn read(path: &str, by_default: Version, has_v1: bool) -> Option<Self> {
        let rest = path.strip_prefix(SUBSCRIPTIONS_PATH)?;
        let parts: Vec<&str> = match rest.strip_prefix('/') {
            Some(rest) => rest.split('/').collect(),
            None if rest.is_empty() => Vec::new(),
            None => return None,
        };
        let is_v1 = has_v1 && matches!(parts.first(), Some(&("exact" | "urlpattern")));
        match (parts.as_slice(), is_v1) {
            ([], _) => Some(Self { version: by_default, selector: None, subscriber: None }),
            ([kind, selector, rest @ ..], true) if rest.len() < 2 => Some(Self {
                version: Version::V1,
                selector: Some((Some((*kind).into()), unescape(selector, false)?)),
                subscriber: rest
                    .first()
                    .map_or(Some(None), |text| unescape(text, false).map(Some))?,
            }),
            ([selector, rest @ ..], false) if rest.len() < 2 && by_default == Version::V0 => {
                Some(Self {
                    version: Version::V0,
                    selector: Some((None, unescape(selector, true)?)),
                    subscriber: rest
                        .first()
                        .map_or(Some(None), |text| unescape(text, true).map(Some))?,
                })
            }
            _ => None,
        }
    }

    /// Whether a subscription is asked for.
    #[must_use]
    pub fn has(&self, subscription: &Subscription) -> bool {
        let is_kind =
            |kind: &Option<String>| kind.as_deref().is_none_or(|k| k == subscription.match_type);
        subscription.version == self.version
            && self
                .selector
                .as_ref()
                .is_none_or(|(kind, selector)| is_kind(kind) && *selector == subscription.selector)
            && self
                .subscriber
                .as_ref()
                .is_none_or(|subscriber| *subscriber == subscription.subscriber)
    }
}

/// As Go's `url.QueryEscape`: a space is a plus.
#[must_use]
pub fn query_escape(text: &str) -> String {
    escape(text).replace("%20", "+")
}

/// RFC 6570, section 3.2.2: all but unreserved characters.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A segment of a path, decoded once.
fn unescape(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let (pair, tail) = tail.split_first_chunk::<2>()?;
                let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
                bytes.push(u8::try_from(high? << 4 | low?).ok()?);
                rest = tail;
            }
            b'+' if plus_is_space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// Two spaces a level; what HTML would read is escaped. These characters stand in strings only, so
/// they can be replaced in the finished text.
fn pretty(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("strings and JSON are always JSON");
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out
}

/// The validator of a collection (RFC 9110, section 8.8.3): quotes cannot stand in it.
#[must_use]
pub fn etag(last_event_id: &str) -> String {
    let mut tag = String::from("\"");
    for character in last_event_id.chars() {
        match character {
            '%' => tag.push_str("%25"),
            '"' => tag.push_str("%22"),
            _ => tag.push(character),
        }
    }
    tag.push('"');
    tag
}
