//! Mercure: the protocol of its hub, in both of its versions, as an interface beside the native one.
//!
//! **Version 0** is protocol 8 of hubs up to 0.24 (draft-dunglas-mercure-07): `topic=` with URI
//! templates, the `mercure` claim, JSON-LD. **Version 1** is draft-dunglas-mercure-08: `match=` with
//! URL patterns, OAuth 2.0 tokens, JSON. A hub speaks one of them or both; which one a request speaks
//! shows in its parameters and its token, so both share one path.
//!
//! Everything of the protocol that is text is here: parameters in, answers out. Updates become
//! [`crate::event::Event`]s and subscriptions [`crate::topic::Interest`]s; behind that there is
//! nothing of Mercure.
//!
//! Invariants:
//! - An answer of version 0 has the status, the headers and the text that clients of 0.x meet today.
//! - No value of a request is repeated in an answer, but a topic that is the hub's own, quoted, as the
//!   reference does.
//!
//! Knows no sockets, files, clock or environment; keys are `token`'s, matching is `selector`'s.

pub mod answer;
pub mod directives;
pub mod form;
pub mod origin;
pub mod settings;
pub mod subscribe;
pub mod subscription;
pub mod update;

#[cfg(test)]
mod tests;

use crate::token::is_access_token;

/// Where the hub is (draft 08, section 2, and the registry of well-known URIs).
pub const PATH: &str = "/.well-known/mercure";
/// Where the subscriptions are (draft 08, "Subscription API").
pub const SUBSCRIPTIONS_PATH: &str = "/.well-known/mercure/subscriptions";
/// Protected resource metadata of the hub (RFC 9728, section 3.1).
pub const METADATA_PATH: &str = "/.well-known/oauth-protected-resource/.well-known/mercure";

/// Where the image of the reference says that it is well; compose files and charts ask there.
pub const HEALTH_PATH: &str = "/healthz";

/// Cookie with the token, by default.
pub const COOKIE_V0: &str = "mercureAuthorization";
/// The same in version 1; browsers take a name with this prefix over TLS only.
pub const COOKIE_V1: &str = "__Secure-mercure_access_token";
/// Query parameter with the token, version 0 only.
pub const QUERY_TOKEN_V0: &str = "authorization";

/// One of the two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    V0,
    V1,
}

/// What a hub speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    V0,
    V1,
    Both,
}

impl Speaks {
    /// Whether it speaks `version`.
    #[must_use]
    pub fn has(self, version: Version) -> bool {
        self == Self::Both || self == Self::from(version)
    }

    /// The version of who shows neither by parameters nor by a token.
    #[must_use]
    pub fn by_default(self) -> Version {
        if self == Self::V1 { Version::V1 } else { Version::V0 }
    }

    /// The version of a token, by the `typ` of its header (RFC 9068, section 2.1). Whether the token
    /// is right is another question; this only says who is to be asked.
    #[must_use]
    pub fn of_token(self, token: &[u8]) -> Version {
        if self != Self::Both {
            return self.by_default();
        }
        if is_access_token(token) { Version::V1 } else { Version::V0 }
    }
}

impl From<Version> for Speaks {
    fn from(version: Version) -> Self {
        match version {
            Version::V0 => Self::V0,
            Version::V1 => Self::V1,
        }
    }
}

/// Whether a path is one of the hub's.
#[must_use]
pub fn is_ours(path: &str) -> bool {
    let below = path.strip_prefix(PATH);
    path == METADATA_PATH
        || path == HEALTH_PATH
        || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
