//! The keys of a hub's settings: given in words, in files, and as key sets by URL.
//!
//! The idea: a role (publisher or subscriber) has keys without an issuer's name, as version 0 knows
//! them, and those of named issuers, which are version 1's. Version 1 takes the former for want of
//! the latter.
//!
//! Invariants: a key has one algorithm, said beside it or HS256; a key set comes by https, but on
//! this machine, or from a file, and its keys are for signatures that nobody can make who reads it.
//!
//! Knows nothing of how files and URLs are read.

use jsonwebtoken::Algorithm;

use super::super::directives::{Directive, Lookup};
use super::super::{Speaks, Version};
use super::{Keys, SettingsError, wrong};
use crate::config::token::{IssuerKeys, TokenCheck};
use crate::config::value;
use crate::token::key::KeySet;
use crate::token::{Audiences, Dialect};

const ALGORITHMS: &str = "the algorithm is one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, \
                          PS384, PS512, ES256, ES384 and EdDSA";

/// Whose keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Publisher,
    Subscriber,
}

/// An issuer of version 1.
pub(super) struct NamedIssuer {
    pub(super) name: String,
    pub(super) publisher: IssuerKeys,
    pub(super) subscriber: IssuerKeys,
    /// Whether clients are told of it as an authorization server.
    pub(super) is_announced: bool,
}

/// The keys of a role in the environment. `mode` is what `MERCURE_ISSUER_MODE` says, if anything.
pub(super) fn variable_keys(
    lookup: &dyn Lookup,
    stem: &str,
    mode: Option<&str>,
) -> Result<IssuerKeys, SettingsError> {
    let given = |name: &str| lookup.variable(name).filter(|value| !value.is_empty());
    let mut keys = IssuerKeys::default();
    if mode != Some("jwks")
        && let Some(set) = variable_key(lookup, &format!("{stem}_JWT"))?
    {
        keys.given = set;
    }
    if mode == Some("keys") {
        return Ok(keys);
    }
    for name in [format!("{stem}_JWKS_URI"), format!("{stem}_JWKS_URL")] {
        if let Some(place) = given(&name) {
            add_key_set(&[place.as_str()], &mut keys).or_else(|reason| wrong(&name, reason))?;
        }
    }
    if mode == Some("jwks") && keys.is_empty() {
        let name = format!("{stem}_JWKS_URI");
        return wrong(&name, "MERCURE_ISSUER_MODE is `jwks`, so it needs the URL of a key set");
    }
    Ok(keys)
}

/// A key of a variable, or of the file that a variable names.
fn variable_key(lookup: &dyn Lookup, stem: &str) -> Result<Option<KeySet>, SettingsError> {
    let (name, file_name) = (format!("{stem}_KEY"), format!("{stem}_KEY_FILE"));
    let given = |name: &str| lookup.variable(name).filter(|value| !value.is_empty());
    let text = match (given(&name), given(&file_name)) {
        (Some(_), Some(_)) => return wrong(&file_name, format!("{name} is set as well")),
        (Some(text), None) => text,
        (None, Some(path)) => match lookup.file(&path) {
            Ok(text) => text,
            Err(reason) => return wrong(&file_name, reason),
        },
        (None, None) => return Ok(None),
    };
    let algorithm_name = format!("{stem}_ALG");
    let named = given(&algorithm_name);
    if let Some(Err(reason)) = named.as_deref().map(algorithm) {
        return wrong(&algorithm_name, reason);
    }
    key(&text, named.as_deref()).map(Some).or_else(|reason| wrong(&name, reason))
}

fn key(text: &str, named: Option<&str>) -> Result<KeySet, String> {
    let algorithm = algorithm(named.unwrap_or("HS256"))?;
    KeySet::from_mercure(text.as_bytes(), algorithm).map_err(|error| error.to_string())
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    name.parse().map_err(|_| format!("{name:?} is none; {ALGORITHMS}"))
}

/// `KEY [ALGORITHM]`, in place of what there was; a variable that is not set leaves nothing.
pub(super) fn role_key(words: &[&str], keys: &mut IssuerKeys) -> Result<(), String> {
    match words {
        [] => {}
        [text] => keys.given = key(text, None)?,
        [text, named] => keys.given = key(text, Some(named))?,
        _ => return Err("needs a key and perhaps its algorithm".into()),
    }
    Ok(())
}

/// `URL [ALGORITHM...]`: a JWK set by URL, or by `file://` with the path of a file.
pub(super) fn add_key_set(words: &[&str], keys: &mut IssuerKeys) -> Result<(), String> {
    let Some((place, named)) = words.split_first() else { return Ok(()) };
    match place.strip_prefix("file://") {
        Some(path) if path.starts_with('/') => keys.files.push(path.into()),
        Some(_) => return Err("a file:// URL has the whole path of a file".into()),
        None => keys.urls.push(value::key_url(place)?),
    }
    keys.allowed = named.iter().map(|name| algorithm(name)).collect::<Result<_, _>>()?;
    if let [only] = keys.allowed.as_slice() {
        keys.algorithm = Some(*only);
    }
    Ok(())
}

/// `issuer NAME { authorization_server; publisher { jwt .. | jwks_uri .. }; subscriber { .. } }`
pub(super) fn issuer(directive: &Directive) -> Result<NamedIssuer, String> {
    let [name] = directive.words.as_slice() else { return Err("needs the issuer's name".into()) };
    let mut issuer = NamedIssuer {
        name: name.clone(),
        publisher: IssuerKeys::default(),
        subscriber: IssuerKeys::default(),
        is_announced: false,
    };
    for part in &directive.block {
        match part.name.as_str() {
            "publisher" => issuer.publisher = issuer_keys(part)?,
            "subscriber" => issuer.subscriber = issuer_keys(part)?,
            "authorization_server" => issuer.is_announced = true,
            _ => {
                return Err(
                    "has publisher, subscriber and perhaps authorization_server within it".into()
                );
            }
        }
    }
    Ok(issuer)
}

fn issuer_keys(role: &Directive) -> Result<IssuerKeys, String> {
    let mut keys = IssuerKeys::default();
    for source in &role.block {
        let words: Vec<&str> = source.words.iter().map(String::as_str).collect();
        if !source.has_words {
            return Err(format!("{} needs a value", source.name));
        }
        match source.name.as_str() {
            "jwt" => role_key(&words, &mut keys)?,
            "jwks_uri" => add_key_set(&words, &mut keys)?,
            _ => return Err("keys are given as `jwt KEY ALGORITHM` or `jwks_uri URL`".into()),
        }
    }
    let places_count = keys.files.len() + keys.urls.len();
    if places_count > 1 || (places_count == 1 && !keys.given.is_empty()) {
        return Err("has one of `jwt` and `jwks_uri`, once".into());
    }
    Ok(keys)
}

/// What makes tokens of a role good. The keys of `plain` serve both versions, in version 1 as those
/// of the issuer that is named with them, until there are issuers with blocks of their own.
pub(super) fn checks(
    speaks: Speaks,
    role: Role,
    (plain, issuer_name): (&IssuerKeys, Option<&str>),
    issuers: &[NamedIssuer],
    audiences: &Audiences,
) -> Keys {
    let plain: Vec<IssuerKeys> = (!plain.is_empty()).then(|| plain.clone()).into_iter().collect();
    let named = issuers.iter().map(|issuer| {
        let keys = if role == Role::Publisher { &issuer.publisher } else { &issuer.subscriber };
        IssuerKeys { name: Some(issuer.name.clone()), ..keys.clone() }
    });
    let mut of_v1: Vec<IssuerKeys> = named.filter(|keys| !keys.is_empty()).collect();
    if issuers.is_empty() {
        of_v1 = plain.clone();
        of_v1.iter_mut().for_each(|keys| keys.name = issuer_name.map(str::to_owned));
    }
    let v0 = (speaks.has(Version::V0) && !plain.is_empty()).then_some(TokenCheck {
        dialect: Dialect::V0,
        issuers: plain,
        audiences: Audiences::Any,
        needs_expiry: false,
    });
    let v1 = (speaks.has(Version::V1) && !of_v1.is_empty()).then(|| TokenCheck {
        dialect: Dialect::V1,
        issuers: of_v1,
        audiences: audiences.clone(),
        needs_expiry: true,
    });
    Keys { v0, v1 }
}
