//! Settings while they are read: variables first, then directives, then what has to hold of all.
//!
//! Invariants: what is said last counts, but for lists that grow; a key is never in a message.
//!
//! Knows nothing of where directives stood.

use std::time::Duration;

use super::super::directives::{Directive, Lookup};
use super::super::origin::Origins;
use super::super::{COOKIE_V0, COOKIE_V1, Speaks, Version};
use super::foreign;
use super::keys::{NamedIssuer, Role, add_key_set, checks, issuer, role_key, variable_keys};
use super::{Settings, SettingsError, wrong};
use crate::config::token::IssuerKeys;
use crate::config::value;
use crate::token::Audiences;

/// The variables that are read under Mercure's names.
const VARIABLES: [&str; 14] = [
    "MERCURE_PUBLISHER_JWT_KEY",
    "MERCURE_PUBLISHER_JWT_KEY_FILE",
    "MERCURE_PUBLISHER_JWT_ALG",
    "MERCURE_PUBLISHER_JWKS_URI",
    "MERCURE_PUBLISHER_JWKS_URL",
    "MERCURE_SUBSCRIBER_JWT_KEY",
    "MERCURE_SUBSCRIBER_JWT_KEY_FILE",
    "MERCURE_SUBSCRIBER_JWT_ALG",
    "MERCURE_SUBSCRIBER_JWKS_URI",
    "MERCURE_SUBSCRIBER_JWKS_URL",
    "MERCURE_ISSUER_MODE",
    "MERCURE_TRUSTED_ISSUERS",
    "MERCURE_RESOURCE_IDENTIFIER",
    "MERCURE_EXTRA_DIRECTIVES",
];

/// Settings as they are read.
#[derive(Default)]
pub(super) struct Draft {
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
    publisher: IssuerKeys,
    subscriber: IssuerKeys,
    /// Whose the keys above are in version 1, if that is said.
    issuer_name: Option<String>,
    issuers: Vec<NamedIssuer>,
    /// Variables that directives name and nobody has set.
    unset: Vec<String>,
    warnings: Vec<String>,
}

impl Draft {
    fn warn(&mut self, name: &str, instead: &str) {
        self.warnings.push(format!("Mercure's {name} has no meaning here: {instead}"));
    }

    /// Warns of variables that look like Mercure's and are none that are read: a misspelt one would be
    /// missed in silence.
    fn warn_of_unknown(&mut self, lookup: &dyn Lookup) {
        let mut names = lookup.variables();
        names.sort();
        for name in names.iter().filter(|name| name.starts_with("MERCURE_")) {
            let is_without_meaning = foreign::VARIABLES.iter().any(|(n, _)| n == name);
            if !is_without_meaning && !VARIABLES.contains(&name.as_str()) {
                let text = format!("{name} is none of the variables that are read here");
                self.warnings.push(text);
            }
        }
    }

    /// Takes the keys of the environment.
    pub(super) fn take_variables(&mut self, lookup: &dyn Lookup) -> Result<(), SettingsError> {
        let given = |name: &str| lookup.variable(name).filter(|value| !value.trim().is_empty());
        for (name, instead) in foreign::VARIABLES {
            if let Some(value) = given(name) {
                foreign::check_variable(name, value.trim())
                    .or_else(|reason| wrong(name, reason))?;
                self.warn(name, instead);
            }
        }
        self.warn_of_unknown(lookup);
        let mode = lookup.variable("MERCURE_ISSUER_MODE");
        if mode.as_deref().is_some_and(|mode| !matches!(mode, "keys" | "jwks")) {
            return wrong("MERCURE_ISSUER_MODE", "must be `keys` or `jwks`");
        }
        let mode = mode.as_deref();
        self.publisher = variable_keys(lookup, "MERCURE_PUBLISHER", mode)?;
        self.subscriber = variable_keys(lookup, "MERCURE_SUBSCRIBER", mode)?;
        let name = "MERCURE_RESOURCE_IDENTIFIER";
        if let Some(identifier) = given(name) {
            let identifier = url(&identifier).or_else(|reason| wrong(name, reason))?;
            self.resource_identifier = Some(identifier.to_owned());
        }
        let name = "MERCURE_TRUSTED_ISSUERS";
        self.issuer_name = given(name).map(|issuer| issuer.trim().to_owned());
        if self.issuer_name.as_ref().is_some_and(|issuer| issuer.contains(char::is_whitespace)) {
            return wrong(
                name,
                "must be one issuer, as the `iss` of its tokens; for several, write `issuer` \
                 blocks into MERCURE_EXTRA_DIRECTIVES",
            );
        }
        Ok(())
    }

    pub(super) fn take(&mut self, directive: &Directive) -> Result<(), String> {
        let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
        let needs_words = matches!(
            directive.name.as_str(),
            "publisher_jwt"
                | "subscriber_jwt"
                | "publisher_jwks_url"
                | "subscriber_jwks_url"
                | "cors_origins"
                | "publish_origins"
                | "public_urls"
        );
        self.unset.extend(directive.unset.iter().cloned());
        if needs_words && !directive.has_words {
            return Err("needs a value".into());
        }
        if matches!(directive.name.as_str(), "anonymous" | "subscriptions") && !words.is_empty() {
            return Err("takes no value: it is there, or it is not".into());
        }
        let one = || match words.as_slice() {
            [word] => Ok(*word),
            _ => Err("needs one value".to_owned()),
        };
        match directive.name.as_str() {
            "anonymous" => self.anonymous = true,
            "subscriptions" => self.subscriptions = true,
            "cors_origins" => self.cors_origins = Origins::parse(words.iter().copied())?,
            "publish_origins" => self.publish_origins = Origins::parse(words.iter().copied())?,
            "cookie_name" => self.cookie = Some(value::cookie(one()?)?),
            "heartbeat" => self.heartbeat = Some(heartbeat(one()?)?),
            "max_request_body_size" => {
                let (least, most) = (value::Bytes(64), value::Bytes(1 << 30));
                // 0 leaves it to a proxy; here the bound of --event-bytes-max is left.
                let bytes = value::bytes(one()?, least, most, true)?.0;
                self.body_bytes_max = (bytes > 0).then_some(bytes);
            }
            "publisher_jwt" => role_key(&words, &mut self.publisher)?,
            "subscriber_jwt" => role_key(&words, &mut self.subscriber)?,
            "publisher_jwks_url" => add_key_set(&words, &mut self.publisher)?,
            "subscriber_jwks_url" => add_key_set(&words, &mut self.subscriber)?,
            "issuer" => self.issuers.push(issuer(directive)?),
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
            name => self.warn(name, foreign::instead_of(directive)?),
        }
        Ok(())
    }

    pub(super) fn finish(mut self, speaks: Speaks) -> Result<Settings, SettingsError> {
        self.warn_of_short_keys();
        let audiences = match &self.resource_identifier {
            Some(identifier) => Audiences::Listed(vec![identifier.clone()]),
            None => Audiences::HubUrl,
        };
        let of = |role: Role, plain: &IssuerKeys| {
            let name = self.issuer_name.as_deref();
            checks(speaks, role, (plain, name), &self.issuers, &audiences)
        };
        let publishers = of(Role::Publisher, &self.publisher);
        let subscribers = of(Role::Subscriber, &self.subscriber);
        let unset = match self.unset.as_slice() {
            [] => String::new(),
            names => format!(" (not set, but named in directives: {})", names.join(", ")),
        };
        if !publishers.exist() {
            let what = "set MERCURE_PUBLISHER_JWT_KEY: the key of those who may publish";
            return wrong("publisher_jwt", format!("{what}{unset}"));
        }
        if !subscribers.exist() && !self.anonymous {
            let what = "set MERCURE_SUBSCRIBER_JWT_KEY, the key of those who may subscribe, or the \
                        directive `anonymous`, or both";
            return wrong("subscriber_jwt", format!("{what}{unset}"));
        }
        if speaks.has(Version::V1) && self.resource_identifier.is_none() {
            self.warnings.push(
                "without the directive resource_identifier, tokens of Mercure 1.0 are for \
                 http://HOST/.well-known/mercure; behind TLS set it to the hub's public URL"
                    .into(),
            );
        }
        let servers = self.issuers.iter().filter(|issuer| issuer.is_announced);
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
            authorization_servers: servers.map(|issuer| issuer.name.clone()).collect(),
            warnings: self.warnings,
        })
    }

    fn warn_of_short_keys(&mut self) {
        let named = self.issuers.iter().flat_map(|issuer| [&issuer.publisher, &issuer.subscriber]);
        let mut all = named.chain([&self.publisher, &self.subscriber]);
        if all.any(|keys| keys.given.has_short_secret()) {
            self.warnings.push(
                "a key of the Mercure hub is shorter than its hash and can be guessed: make one \
                 with `openssl rand -hex 32`"
                    .into(),
            );
        }
    }
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let seconds = foreign::seconds(text).filter(|s| *s == 0.0 || (1.0..=3_600.0).contains(s));
    let allowed = "must be a time from 1s to 1h, or 0, such as 40s or 1m30s";
    seconds.map(Duration::from_secs_f64).ok_or_else(|| allowed.into())
}

fn url(text: &str) -> Result<&str, String> {
    let is_web = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    match url::Url::parse(text) {
        Ok(_) if is_web => Ok(text.trim_end_matches('/')),
        _ => Err("needs an http or https URL".into()),
    }
}
