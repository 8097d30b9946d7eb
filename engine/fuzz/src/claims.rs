//! Claims of tokens that are nearly right, and which rights a reader of the rules finds in them.
//!
//! The idea: each claim is one of the things that a token may have in its place, right or wrong; what
//! they mean together is said here again, from RFC 7519, RFC 9396 and Mercure's drafts alone. What
//! makes a text a selector is the caller's to say.

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use serde_json::{Map, Value, json};

use crate::grammar::{Pattern, Template};

/// Entries of any list, at most.
const LIST_MAX: usize = 6;

/// The claims of a token.
#[derive(Debug, Arbitrary)]
pub struct Claims<'a> {
    exp: Option<Date>,
    nbf: Option<Date>,
    subject: Option<&'a str>,
    mercure: Option<Mercure>,
    by_url: Option<Mercure>,
    details: Option<Vec<Detail>>,
    /// Claims that nobody reads.
    others: Vec<u8>,
}

/// What may stand where a date should.
#[derive(Debug, Arbitrary)]
enum Date {
    /// Seconds from the present.
    Near(i8),
    /// The same and a half.
    Half(i8),
    Far(u64),
    Negative(u32),
    Text(u32),
    Null,
}

/// The claim of version 0.
#[derive(Debug, Arbitrary)]
struct Mercure {
    publish: Option<Vec<Template>>,
    subscribe: Option<Vec<Template>>,
}

#[derive(Debug, Arbitrary)]
struct Detail {
    is_ours: bool,
    publish: bool,
    subscribe: bool,
    other: bool,
    matchers: Vec<Matcher>,
}

#[derive(Debug, Arbitrary)]
enum Matcher {
    Exact(Template),
    Pattern(Pattern),
    /// Of a type that there is not.
    Other(u8),
}

/// The texts of the selectors that a token grants.
#[derive(Debug, PartialEq, Eq)]
pub struct Granted {
    pub publish: Option<Vec<String>>,
    pub subscribe: Vec<String>,
    pub expires_at: u64,
    pub subject: Option<String>,
}

impl Date {
    fn value(&self, now: u64) -> Value {
        match self {
            Date::Near(offset) => json!(now.saturating_add_signed((*offset).into())),
            Date::Half(offset) => json!(now as f64 + f64::from(*offset) + 0.5),
            Date::Far(seconds) => json!(seconds),
            Date::Negative(seconds) => json!(-1 - i64::from(*seconds)),
            Date::Text(seconds) => json!(seconds.to_string()),
            Date::Null => Value::Null,
        }
    }

    /// Whole seconds; none for what is no date.
    fn seconds(&self, now: u64) -> Option<u64> {
        match self {
            Date::Near(offset) | Date::Half(offset) => {
                Some(now.saturating_add_signed((*offset).into()))
            }
            Date::Far(seconds) => Some(*seconds),
            Date::Negative(_) | Date::Text(_) | Date::Null => None,
        }
    }
}

fn texts(templates: &Option<Vec<Template>>) -> Option<Vec<String>> {
    let list = templates.as_ref()?.iter().take(LIST_MAX);
    Some(list.map(Template::text).collect())
}

impl Mercure {
    fn value(&self) -> Value {
        json!({ "publish": texts(&self.publish), "subscribe": texts(&self.subscribe) })
    }
}

impl Detail {
    fn actions(&self) -> Vec<&'static str> {
        let all = [(self.publish, "publish"), (self.subscribe, "subscribe"), (self.other, "list")];
        all.into_iter().filter(|(has, _)| *has).map(|(_, action)| action).collect()
    }

    fn matchers(&self) -> impl Iterator<Item = &Matcher> {
        self.matchers.iter().take(LIST_MAX)
    }

    fn value(&self) -> Value {
        let kind = match self.is_ours {
            true => "https://mercure.rocks/authorization-detail",
            false => "https://example.com/other",
        };
        let topics: Vec<Value> = self.matchers().map(Matcher::value).collect();
        json!({ "type": kind, "actions": self.actions(), "topics": topics })
    }
}

impl Matcher {
    fn value(&self) -> Value {
        match self {
            Matcher::Exact(template) => json!({ "match": template.text() }),
            Matcher::Pattern(pattern) => {
                json!({ "match": pattern.text(), "match_type": "urlpattern" })
            }
            Matcher::Other(number) => json!({ "match": "a", "match_type": format!("x{number}") }),
        }
    }
}

impl Claims<'_> {
    /// The payload of a token.
    pub fn payload(&self, now: u64) -> Vec<u8> {
        let mut claims = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            value.and_then(|value| claims.insert(name.into(), value));
        };
        put("exp", self.exp.as_ref().map(|date| date.value(now)));
        put("nbf", self.nbf.as_ref().map(|date| date.value(now)));
        put("sub", self.subject.map(Value::from));
        put("mercure", self.mercure.as_ref().map(Mercure::value));
        put("https://mercure.rocks/", self.by_url.as_ref().map(Mercure::value));
        let details =
            |details: &Vec<Detail>| details.iter().take(LIST_MAX).map(Detail::value).collect();
        put("authorization_details", self.details.as_ref().map(details));
        for other in self.others.iter().take(LIST_MAX) {
            put(&format!("x{other}"), Some(json!([other, { "exp": 1 }])));
        }
        serde_json::to_vec(&claims).expect("a map of texts")
    }

    /// Whether the token has claims of version 1.
    pub fn has_details(&self) -> bool {
        self.details.is_some()
    }

    /// What the token grants in version 0; none if it is not good.
    pub fn granted_v0(&self, now: u64, leeway: u64) -> Option<Granted> {
        let granted = self.bearer(now, leeway)?;
        let claim = self.by_url.as_ref().or(self.mercure.as_ref());
        Some(Granted {
            publish: claim.and_then(|claim| texts(&claim.publish)),
            subscribe: claim.and_then(|claim| texts(&claim.subscribe)).unwrap_or_default(),
            ..granted
        })
    }

    /// What it grants in version 1. `is_pattern` says what is a URL pattern.
    pub fn granted_v1(
        &self,
        now: u64,
        leeway: u64,
        is_pattern: impl Fn(&str) -> bool,
    ) -> Option<Granted> {
        let mut granted = Granted { publish: Some(Vec::new()), ..self.bearer(now, leeway)? };
        let details = self.details.iter().flatten().take(LIST_MAX);
        for detail in details.filter(|detail| detail.is_ours) {
            let mut texts = Vec::new();
            for matcher in detail.matchers() {
                let (text, is_good) = match matcher {
                    Matcher::Exact(template) => (template.text(), true),
                    Matcher::Pattern(pattern) => {
                        let text = pattern.text();
                        let is_good = is_pattern(&text);
                        (text, is_good)
                    }
                    Matcher::Other(_) => return None,
                };
                (is_good && !text.is_empty()).then_some(())?;
                texts.push(text);
            }
            (!texts.is_empty() && !detail.actions().is_empty()).then_some(())?;
            if detail.publish {
                granted.publish.as_mut()?.extend(texts.clone());
            }
            if detail.subscribe {
                granted.subscribe.extend(texts);
            }
        }
        Some(granted)
    }

    /// Whose token it is, if it has begun and has not ended.
    fn bearer(&self, now: u64, leeway: u64) -> Option<Granted> {
        let expires_at = self.exp.as_ref()?.seconds(now).filter(|end| *end > now)?;
        if let Some(nbf) = &self.nbf {
            nbf.seconds(now).filter(|start| *start <= now.saturating_add(leeway))?;
        }
        let subject = self.subject.map(str::to_owned);
        Some(Granted { publish: None, subscribe: Vec::new(), expires_at, subject })
    }
}
