//! What a subscriber asks for: selectors, and where it goes on.
//!
//! The idea: `topic=` is version 0, a name that starts with `match` is version 1. A hub that speaks
//! both takes both, in one request too, as its answer then is of version 1.
//!
//! Invariants: there is at least one selector, none of them twice; their number and length are
//! bounded.
//!
//! Knows nothing of what the subscriber may see.

use super::answer::Fault;
use super::form::Form;
use super::{Speaks, Version};
use crate::http::refusal::Status;
use crate::selector::Selector;
use crate::selector::unseen::is_unseen;

/// Topics of one subscriber in version 0, and matchers in version 1, at most: what the hubs take.
pub const TOPICS_MAX: usize = 1_000;
pub const MATCHERS_MAX: usize = 100;

/// One of a subscriber's selectors, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub version: Version,
    pub selector: Selector,
    /// How version 1 names the kind: `exact` or `urlpattern`.
    pub match_type: &'static str,
}

/// What a subscriber asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whose answer it is to get.
    pub version: Version,
    pub wanted: Vec<Wanted>,
    /// Where it goes on, if it says so. In version 1 it may be empty.
    pub last_event_id: Option<String>,
}

impl Ask {
    /// Reads the query of a subscription. `header` is the `Last-Event-ID` of the request; `hub_url`
    /// is what URL patterns are relative to.
    ///
    /// # Errors
    /// What is wrong, in the words of the version's hub.
    pub fn read(
        form: &Form,
        header: Option<&str>,
        speaks: Speaks,
        hub_url: &str,
    ) -> Result<Self, Fault> {
        let has_match = form.iter().any(|(name, _)| is_match_name(name));
        let has_topic = form.first("topic").is_some();
        let version = match (speaks.has(Version::V0), speaks.has(Version::V1)) {
            (true, true) if has_match => Version::V1,
            _ => speaks.by_default(),
        };
        let mut wanted = Vec::new();
        if speaks.has(Version::V0) {
            let topics = form.all("topic").map(|text| of_topic(text, version));
            wanted.extend(topics.collect::<Result<Vec<_>, _>>()?);
        }
        if speaks.has(Version::V1) {
            matchers(form, hub_url, &mut wanted)?;
        }
        let count_max = if has_topic { TOPICS_MAX } else { MATCHERS_MAX };
        if wanted.is_empty() {
            return Err(missing(version));
        }
        if wanted.len() > count_max {
            let text = "too many topics in subscription";
            return Err(Fault::new(version, Status::BadRequest, text));
        }
        let mut unique: Vec<Wanted> = Vec::with_capacity(wanted.len());
        for one in wanted {
            if !unique.contains(&one) {
                unique.push(one);
            }
        }
        let last_event_id = last_event_id(form, header, version);
        Ok(Self { version, wanted: unique, last_event_id })
    }

    /// The selectors alone.
    #[must_use]
    pub fn selectors(&self) -> Vec<Selector> {
        self.wanted.iter().map(|wanted| wanted.selector.clone()).collect()
    }
}

fn missing(version: Version) -> Fault {
    let text = match version {
        Version::V0 => "Missing \"topic\" parameter.",
        Version::V1 => "Missing \"match\" parameter.",
    };
    Fault::new(version, Status::BadRequest, text)
}

/// The whole prefix is reserved, so that a misspelt type is told (draft 08, "Subscription").
fn is_match_name(name: &str) -> bool {
    name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("match"))
}

fn of_topic(text: &str, version: Version) -> Result<Wanted, Fault> {
    let selector = Selector::parse(text)
        .map_err(|error| Fault::new(version, Status::BadRequest, error.to_string()))?;
    Ok(Wanted { version: Version::V0, selector, match_type: "exact" })
}

fn matchers(form: &Form, hub_url: &str, wanted: &mut Vec<Wanted>) -> Result<(), Fault> {
    let bad = |text: String| Fault::new(Version::V1, Status::BadRequest, text);
    for (name, value) in form.iter().filter(|(name, _)| is_match_name(name)) {
        if wanted.len() > TOPICS_MAX {
            break;
        }
        let match_type = match name {
            "match" | "match_exact" => "exact",
            "match_urlpattern" => "urlpattern",
            _ => {
                return Err(bad(
                    "unsupported matcher type: use match, match_exact or match_urlpattern".into(),
                ));
            }
        };
        if value.chars().any(is_unseen) {
            return Err(bad("topic matcher contains a forbidden control character".into()));
        }
        let selector = match match_type {
            "exact" => Selector::exact(value),
            _ => Selector::url_pattern(value, hub_url),
        };
        let selector = selector.map_err(|error| bad(error.to_string()))?;
        wanted.push(Wanted { version: Version::V1, selector, match_type });
    }
    Ok(())
}

/// The header goes before the query. An empty value counts in version 1 only.
fn last_event_id(form: &Form, header: Option<&str>, version: Version) -> Option<String> {
    if let Some(id) = header.filter(|id| !id.is_empty()) {
        return Some(id.into());
    }
    let (name, counts_empty) = match version {
        Version::V0 => ("lastEventID", false),
        Version::V1 => ("last_event_id", true),
    };
    let query = form.first(name).filter(|id| counts_empty || !id.is_empty());
    query.or(header.filter(|_| counts_empty)).map(str::to_owned)
}
