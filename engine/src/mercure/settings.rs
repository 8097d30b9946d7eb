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

use super::directives::{self, Lookup};
use super::origin::Origins;
use super::{PATH, Speaks};
use crate::config::token::{Role, TokenCheck};

mod draft;
mod foreign;
mod keys;

use draft::Draft;

/// Variables that switch a hub on by being there.
const SWITCHES: [&str; 6] = [
    "MERCURE_PUBLISHER_JWT_KEY",
    "MERCURE_SUBSCRIBER_JWT_KEY",
    "MERCURE_EXTRA_DIRECTIVES",
    "MERCURE_TRUSTED_ISSUERS",
    "MERCURE_PUBLISHER_JWKS_URI",
    "MERCURE_PUBLISHER_JWKS_URL",
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
    /// Issuers that clients are told of as authorization servers.
    pub authorization_servers: Vec<String>,
    /// What is said at the start.
    pub warnings: Vec<String>,
}

/// What makes a token of one role good, for each version.
#[derive(Debug, Clone)]
pub struct Keys {
    pub v0: Option<TokenCheck>,
    pub v1: Option<TokenCheck>,
}

impl Keys {
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
        draft.take_variables(lookup)?;
        let name = "MERCURE_EXTRA_DIRECTIVES";
        // A file that has the variable in it has said where its directives go.
        let is_in_file = file.is_some_and(|(_, text)| text.contains("{$MERCURE_EXTRA_DIRECTIVES"));
        let extra = lookup.variable(name).filter(|_| !is_in_file).map(|text| (name, text));
        let file = file.map(|(name, text)| (name, text.to_owned()));
        for (name, text) in extra.into_iter().chain(file) {
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

    /// Which tokens are good for a role of the hub.
    #[must_use]
    pub fn token_check(&self, role: Role) -> Option<&TokenCheck> {
        match role {
            Role::Native => None,
            Role::PublisherV0 => self.publishers.v0.as_ref(),
            Role::PublisherV1 => self.publishers.v1.as_ref(),
            Role::SubscriberV0 => self.subscribers.v0.as_ref(),
            Role::SubscriberV1 => self.subscribers.v1.as_ref(),
        }
    }
}

/// The URL of the hub on a host, which topics and patterns are relative to.
#[must_use]
pub fn hub_url(settings: &Settings, host: Option<&str>) -> String {
    if let Some(identifier) = &settings.resource_identifier {
        return identifier.clone();
    }
    let host = host.unwrap_or("localhost").to_ascii_lowercase();
    let known = settings.public_origins.iter().find(|origin| has_authority(origin, &host));
    match known {
        Some(origin) => format!("{origin}{PATH}"),
        None => format!("http://{host}{PATH}"),
    }
}

/// Whether a `Host` names the authority of an origin. The port of the scheme is as good as none.
#[must_use]
pub fn has_authority(origin: &str, host: &str) -> bool {
    let port = if origin.starts_with("https:") { ":443" } else { ":80" };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    origin.split_once("://").is_some_and(|(_, authority)| bare(authority) == bare(host))
}
