//! What an operator sets for a hub, under Mercure's names.
//!
//! The idea: a compose file of the reference hub moves over by changing its image. So the variables
//! and directives that have a meaning here are taken as they are; those that have none are named in
//! a warning that says what holds instead; those that nobody knows are errors, as they are there.
//!
//! Invariants: settings that exist can hold: who may publish and who may subscribe is decided, by a
//! key or by a word; no message repeats a key.
//!
//! Knows no environment and no files but by the lookup that it is given.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::directives::{self, Directive, Lookup};
use super::origin::Origins;
use super::{COOKIE_V0, COOKIE_V1, PATH, Speaks, Version};
use crate::config::value;
use crate::token::key::KeySet;
use crate::token::{Audiences, Dialect, Issuer, Verifier};

/// Variables that switch a hub on by being there.
const SWITCHES: [&str; 4] = [
    "MERCURE_PUBLISHER_JWT_KEY",
    "MERCURE_SUBSCRIBER_JWT_KEY",
    "MERCURE_EXTRA_DIRECTIVES",
    "MERCURE_TRUSTED_ISSUERS",
];

/// What holds in place of settings that have no meaning here.
const WITHOUT_MEANING: [(&str, &str); 20] = [
    ("MERCURE_TRANSPORT_URL", "history is kept in memory: --history-events, --history-age"),
    ("MERCURE_LICENSE", "there is no license to check"),
    ("GLOBAL_OPTIONS", "there is no Caddy; see the flags"),
    ("CADDY_EXTRA_CONFIG", "there is no Caddy; see the flags"),
    ("CADDY_SERVER_EXTRA_DIRECTIVES", "there is no Caddy; see the flags"),
    ("transport", "history is kept in memory: --history-events, --history-age"),
    ("transport_url", "history is kept in memory: --history-events, --history-age"),
    ("dispatch_timeout", "a subscriber that takes nothing is closed after --write-timeout"),
    ("write_timeout", "streams last until their token ends; they are not cut to spread them"),
    ("topic_selector_cache", "selectors are indexed"),
    ("topic_matcher_cache", "selectors are indexed"),
    ("subscriber_list_cache_size", "subscribers are not listed to be matched"),
    ("ui", "there is no debugging page; see --start-page"),
    ("demo", "there is no debugging page; see --start-page"),
    ("debugger", "there is no debugging page; see --start-page"),
    ("playground", "there is no playground"),
    ("debug", "nothing is logged per connection or event"),
    ("metrics", "metrics are on the admin address; see --admin"),
    ("use_forwarded_headers", "addresses are those of connections"),
    ("authorization_server", "it is announced to clients by no document yet"),
];

/// See the module.
#[derive(Debug, Clone)]
pub struct Settings {
    pub speaks: Speaks,
    /// Whether a subscriber needs no token; it gets public updates.
    pub anonymous: bool,
    pub cors_origins: Origins,
    pub publish_origins: Origins,
    /// Whether the subscription API and events are on.
    pub subscriptions: bool,
    /// Whether `Last-Event-ID` is also taken from the query, as by hubs of protocol 7.
    pub compatibility_7: bool,
    pub cookie_v0: String,
    pub cookie_v1: String,
    pub heartbeat: Option<Duration>,
    /// Bytes of a publisher's body; `None` = as the native interface has it.
    pub body_bytes_max: Option<usize>,
    /// The audience of tokens of version 1; `None` = the URL that the client used.
    pub resource_identifier: Option<String>,
    /// Origins under which the hub is reached; empty = any.
    pub public_origins: Vec<String>,
    pub publishers: Keys,
    pub subscribers: Keys,
    /// What is said at the start.
    pub warnings: Vec<String>,
}

/// The keys of one role, for each version.
#[derive(Debug, Clone)]
pub struct Keys {
    pub v0: Option<Verifier>,
    pub v1: Option<Verifier>,
}

impl Keys {
    /// Who checks tokens of this version.
    #[must_use]
    pub fn of(&self, version: Version) -> Option<&Verifier> {
        match version {
            Version::V0 => self.v0.as_ref(),
            Version::V1 => self.v1.as_ref(),
        }
    }

    /// Whether there is anybody who checks tokens.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.v0.is_some() || self.v1.is_some()
    }
}

/// Settings that cannot hold: which, and what would be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// The variable, directive or file.
    pub name: String,
    pub reason: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

impl std::error::Error for SettingsError {}

fn wrong<T>(name: &str, reason: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError { name: name.into(), reason: reason.into() })
}

/// Whether the environment asks for a hub, and which.
#[must_use]
pub fn asked_for(lookup: &dyn Lookup) -> Option<Speaks> {
    let has = |name: &str| lookup.variable(name).is_some_and(|value| !value.trim().is_empty());
    let by_file = |name: &&str| has(name) || has(&format!("{name}_FILE"));
    if !SWITCHES.iter().any(by_file) {
        return None;
    }
    Some(if has("MERCURE_TRUSTED_ISSUERS") { Speaks::Both } else { Speaks::V0 })
}

impl Settings {
    /// Reads the environment, and the directives of `file` with its name, if there is one.
    ///
    /// # Errors
    /// The first setting that cannot hold.
    pub fn read(
        speaks: Speaks,
        file: Option<(&str, &str)>,
        lookup: &dyn Lookup,
    ) -> Result<Self, SettingsError> {
        let mut draft = Draft::default();
        for (name, instead) in WITHOUT_MEANING.iter().take(5) {
            if lookup.variable(name).is_some_and(|value| !value.trim().is_empty()) {
                draft.warn(name, instead);
            }
        }
        if lookup.variable("MERCURE_TRANSPORT_URL").is_some() {
            draft.warn("MERCURE_TRANSPORT_URL", "its path is not opened, and nothing is migrated");
        }
        draft.publisher = variable_key(lookup, "MERCURE_PUBLISHER_JWT")?;
        draft.subscriber = variable_key(lookup, "MERCURE_SUBSCRIBER_JWT")?;
        let variables = ["MERCURE_TRUSTED_ISSUERS", "MERCURE_EXTRA_DIRECTIVES"];
        let texts = variables.map(|name| lookup.variable(name).map(|text| (name, text)));
        let file = file.map(|(name, text)| (name, text.to_owned()));
        for (name, text) in texts.into_iter().flatten().chain(file) {
            let parsed = directives::parse(&text, lookup);
            let parsed = parsed.or_else(|error| wrong(name, error.to_string()))?;
            for directive in &parsed {
                draft.take(directive).or_else(|reason| {
                    wrong(name, format!("line {}: {}: {reason}", directive.line, directive.name))
                })?;
            }
        }
        draft.finish(speaks)
    }
}

/// A key of a variable, or of the file that a variable names.
fn variable_key(lookup: &dyn Lookup, stem: &str) -> Result<Option<KeySet>, SettingsError> {
    let (name, file_name) = (format!("{stem}_KEY"), format!("{stem}_KEY_FILE"));
    let given = |name: &str| lookup.variable(name).filter(|value| !value.is_empty());
    let text = match (given(&name), given(&file_name)) {
        (Some(text), _) => text,
        (None, Some(path)) => match lookup.file(&path) {
            Ok(text) => text,
            Err(reason) => return wrong(&file_name, reason),
        },
        (None, None) => return Ok(None),
    };
    let algorithm = given(&format!("{stem}_ALG"));
    key(&text, algorithm.as_deref()).map(Some).or_else(|reason| wrong(&name, reason))
}

fn key(text: &str, algorithm: Option<&str>) -> Result<KeySet, String> {
    let algorithm: Algorithm = algorithm.unwrap_or("HS256").parse().map_err(|_| {
        "the algorithm is one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
         ES256, ES384 and EdDSA"
            .to_owned()
    })?;
    KeySet::from_mercure(text.as_bytes(), algorithm).map_err(|error| error.to_string())
}

/// Settings as they are read.
#[derive(Default)]
struct Draft {
    anonymous: bool,
    cors_origins: Origins,
    publish_origins: Origins,
    subscriptions: bool,
    compatibility: Option<u8>,
    cookie: Option<String>,
    heartbeat: Option<Duration>,
    body_bytes_max: Option<usize>,
    resource_identifier: Option<String>,
    public_origins: Vec<String>,
    publisher: Option<KeySet>,
    subscriber: Option<KeySet>,
    issuers: Vec<NamedIssuer>,
    warnings: Vec<String>,
}

struct NamedIssuer {
    name: String,
    publisher: Option<KeySet>,
    subscriber: Option<KeySet>,
}

impl Draft {
    fn warn(&mut self, name: &str, instead: &str) {
        self.warnings.push(format!("Mercure's {name} has no meaning here: {instead}"));
    }

    fn take(&mut self, directive: &Directive) -> Result<(), String> {
        let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
        let one = || match words.as_slice() {
            [word] => Ok(*word),
            _ => Err("needs one value".to_owned()),
        };
        match directive.name.as_str() {
            "anonymous" => self.anonymous = true,
            "subscriptions" => self.subscriptions = true,
            "cors_origins" => self.cors_origins = Origins::parse(words.iter().copied())?,
            "publish_origins" => self.publish_origins = Origins::parse(words.iter().copied())?,
            "cookie_name" => self.cookie = Some(cookie_name(one()?)?),
            "heartbeat" => {
                let longest = Duration::from_hours(1);
                self.heartbeat =
                    Some(value::duration(one()?, Duration::from_secs(1), longest, true)?);
            }
            "max_request_body_size" => {
                let (least, most) = (value::Bytes(64), value::Bytes(1 << 30));
                self.body_bytes_max = Some(value::bytes(one()?, least, most, false)?.0);
            }
            "publisher_jwt" => self.publisher = role_key(&words)?.or(self.publisher.take()),
            "subscriber_jwt" => self.subscriber = role_key(&words)?.or(self.subscriber.take()),
            "publisher_jwks_url" | "subscriber_jwks_url" => {
                return Err(
                    "key sets by URL are not read by the hub; give the key itself, with its \
                     algorithm, to publisher_jwt and subscriber_jwt"
                        .into(),
                );
            }
            "issuer" => self.issuers.push(issuer(directive, &mut self.warnings)?),
            "resource_identifier" => self.resource_identifier = Some(url(one()?)?.into()),
            "public_urls" => {
                for word in &words {
                    self.public_origins.push(url(word)?.to_ascii_lowercase());
                }
            }
            "protocol_version_compatibility" => {
                let number = one()?.parse().ok().filter(|number| matches!(number, 7 | 8));
                self.compatibility = Some(number.ok_or("must be 7 or 8")?);
            }
            name => {
                let known = WITHOUT_MEANING.iter().find(|(known, _)| *known == name);
                let (_, instead) = known.ok_or("nobody knows this directive")?;
                self.warn(name, instead);
            }
        }
        Ok(())
    }

    fn finish(mut self, speaks: Speaks) -> Result<Settings, SettingsError> {
        let short = [&self.publisher, &self.subscriber].into_iter().flatten();
        if short.into_iter().any(KeySet::has_short_secret) {
            self.warnings.push(
                "a key of the Mercure hub is shorter than its hash and can be guessed: make one \
                 with `openssl rand -hex 32`"
                    .into(),
            );
        }
        let publishers = self.keys(speaks, "publisher", |issuer| issuer.publisher.as_ref());
        let subscribers = self.keys(speaks, "subscriber", |issuer| issuer.subscriber.as_ref());
        if !publishers.exist() {
            return wrong(
                "publisher_jwt",
                "set MERCURE_PUBLISHER_JWT_KEY: the key of those who may publish",
            );
        }
        if !subscribers.exist() && !self.anonymous {
            return wrong(
                "subscriber_jwt",
                "set MERCURE_SUBSCRIBER_JWT_KEY, the key of those who may subscribe, or the \
                 directive `anonymous`, or both",
            );
        }
        if speaks.has(Version::V1) && self.resource_identifier.is_none() {
            self.warnings.push(
                "without the directive resource_identifier, tokens of Mercure 1.0 are for \
                 http://HOST/.well-known/mercure; behind TLS set it to the hub's public URL"
                    .into(),
            );
        }
        Ok(Settings {
            speaks,
            anonymous: self.anonymous,
            cors_origins: self.cors_origins,
            publish_origins: self.publish_origins,
            subscriptions: self.subscriptions,
            compatibility_7: self.compatibility == Some(7),
            cookie_v0: self.cookie.clone().unwrap_or_else(|| COOKIE_V0.into()),
            cookie_v1: self.cookie.unwrap_or_else(|| COOKIE_V1.into()),
            heartbeat: self.heartbeat,
            body_bytes_max: self.body_bytes_max,
            resource_identifier: self.resource_identifier,
            public_origins: self.public_origins,
            publishers,
            subscribers,
            warnings: self.warnings,
        })
    }

    /// The keys of a role: those without an issuer's name serve both versions, until version 1 has
    /// issuers of its own.
    fn keys(
        &self,
        speaks: Speaks,
        role: &str,
        of: impl Fn(&NamedIssuer) -> Option<&KeySet>,
    ) -> Keys {
        let plain = if role == "publisher" { &self.publisher } else { &self.subscriber };
        let plain: Vec<Issuer> =
            plain.iter().map(|keys| Issuer { name: None, keys: keys.clone() }).collect();
        let named = self.issuers.iter().filter_map(|issuer| {
            of(issuer).map(|keys| Issuer { name: Some(issuer.name.clone()), keys: keys.clone() })
        });
        let named: Vec<Issuer> = named.collect();
        let v1 = if named.is_empty() { plain.clone() } else { named };
        let audiences = match &self.resource_identifier {
            Some(identifier) => Audiences::Listed(vec![identifier.clone()]),
            None => Audiences::HubUrl,
        };
        let v0 = (speaks.has(Version::V0) && !plain.is_empty())
            .then(|| Verifier::new(Dialect::V0, plain, Audiences::Any, false));
        let v1 = (speaks.has(Version::V1) && !v1.is_empty())
            .then(|| Verifier::new(Dialect::V1, v1, audiences, true));
        Keys { v0, v1 }
    }
}

/// `KEY [ALGORITHM]`; a variable that is not set leaves nothing.
fn role_key(words: &[&str]) -> Result<Option<KeySet>, String> {
    match words {
        [] => Ok(None),
        [text] => key(text, None).map(Some),
        [text, algorithm] => key(text, Some(algorithm)).map(Some),
        _ => Err("needs a key and perhaps its algorithm".into()),
    }
}

/// `issuer NAME { publisher { jwt KEY ALG } subscriber { jwt KEY ALG } }`
fn issuer(directive: &Directive, warnings: &mut Vec<String>) -> Result<NamedIssuer, String> {
    let [name] = directive.words.as_slice() else { return Err("needs the issuer's name".into()) };
    let mut issuer = NamedIssuer { name: name.clone(), publisher: None, subscriber: None };
    for role in &directive.block {
        let keys = match role.name.as_str() {
            "publisher" => &mut issuer.publisher,
            "subscriber" => &mut issuer.subscriber,
            "authorization_server" => {
                warnings.push("Mercure's authorization_server is not announced to clients".into());
                continue;
            }
            _ => return Err("has publisher and subscriber within it".into()),
        };
        for source in &role.block {
            let words: Vec<&str> = source.words.iter().map(String::as_str).collect();
            match source.name.as_str() {
                "jwt" => *keys = role_key(&words)?.or(keys.take()),
                _ => return Err("keys are given as `jwt KEY ALGORITHM`".into()),
            }
        }
    }
    Ok(issuer)
}

/// A token of RFC 6265, section 4.1.1.
fn cookie_name(name: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("is no name of a cookie".into());
    }
    Ok(name.into())
}

fn url(text: &str) -> Result<&str, String> {
    let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    match url::Url::parse(text) {
        Ok(_) if is_web => Ok(text.trim_end_matches('/')),
        _ => Err("needs an http or https URL".into()),
    }
}

/// The URL of the hub on a host, which topics and patterns are relative to.
#[must_use]
pub fn hub_url(settings: &Settings, host: Option<&str>) -> String {
    if let Some(identifier) = &settings.resource_identifier {
        return identifier.clone();
    }
    let host = host.unwrap_or("localhost").to_ascii_lowercase();
    let known = settings
        .public_origins
        .iter()
        .find(|origin| origin.split_once("://").is_some_and(|(_, authority)| authority == host));
    match known {
        Some(origin) => format!("{origin}{PATH}"),
        None => format!("http://{host}{PATH}"),
    }
}
