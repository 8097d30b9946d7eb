//! Tokens: which are believed, where they may stand, and who needs one.
//!
//! The idea: all that decides whether a token is good is one value, a [`TokenCheck`], whichever
//! interface it is for; the keys of it are named here and read by whoever may read files and URLs.
//!
//! Invariants: keys are never values of flags, only files and URLs are; a URL is https, but on this
//! machine.
//!
//! Knows nothing of files, the network and requests.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::{Refused, refuse, value};
use crate::token::key::KeySet;
use crate::token::{Algorithm, Audiences, Dialect};

/// How soon keys are fetched again because somebody has shown one that is not known: anybody can.
pub const ASK_INTERVAL: Duration = Duration::from_secs(10);

/// Who may subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subscribing {
    /// Everybody.
    Open,
    /// Who shows a token that grants all the topics asked for.
    Token,
}

/// The flags about tokens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens")]
pub struct TokenArgs {
    /// Who may subscribe: open (everybody) or token (who shows one that grants the topics)
    #[arg(
        long,
        env = "DOWNPOUR_SUBSCRIBE",
        value_name = "WHO",
        default_value = "open",
        hide_possible_values = true
    )]
    pub subscribe: Subscribing,

    /// File with keys of tokens (JSON Web Tokens), may be given more than once: a JWK set, public
    /// keys in PEM, or one line of secret
    #[arg(long, env = "DOWNPOUR_TOKEN_KEY_FILE", value_name = "PATH", value_delimiter = ',',
        num_args = 1..)]
    pub token_key_file: Vec<PathBuf>,

    /// URL of a JWK set with keys of tokens, https, may be given more than once
    #[arg(long, env = "DOWNPOUR_TOKEN_JWKS", value_name = "URL", value_delimiter = ',',
        num_args = 1.., value_parser = value::key_url)]
    pub token_jwks: Vec<String>,

    /// How often the keys of URLs are fetched again; a token with an unknown key has them fetched
    /// sooner
    #[arg(long, env = "DOWNPOUR_TOKEN_JWKS_REFRESH", value_name = "D", default_value = "10m",
        value_parser = |t: &str| {
            value::duration(t, Duration::from_secs(10), Duration::from_hours(24), false)
        })]
    pub token_jwks_refresh: Duration,

    /// Algorithm of keys that do not say theirs [default: HS256, RS256, or what the curve is for]
    #[arg(long, env = "DOWNPOUR_TOKEN_ALGORITHM", value_name = "ALG",
        value_parser = algorithm)]
    pub token_algorithm: Option<Algorithm>,

    /// What the `iss` claim of tokens must be
    #[arg(long, env = "DOWNPOUR_TOKEN_ISSUER", value_name = "NAME")]
    pub token_issuer: Option<String>,

    /// What the `aud` claim of tokens must name, one of them if given more than once; without it,
    /// tokens must have none
    #[arg(long, env = "DOWNPOUR_TOKEN_AUDIENCE", value_name = "NAME", value_delimiter = ',',
        num_args = 1..)]
    pub token_audience: Vec<String>,

    /// Cookie that may have the token, for pages whose EventSource cannot send headers
    #[arg(long, env = "DOWNPOUR_TOKEN_COOKIE", value_name = "NAME", value_parser = value::cookie)]
    pub token_cookie: Option<String>,

    /// Take tokens from the query (`?access_token=`) as well; URLs end up in the logs of proxies
    #[arg(long, env = "DOWNPOUR_TOKEN_QUERY", value_parser = BoolishValueParser::new())]
    pub token_query: bool,

    /// Streams of one token; 0 = no limit
    #[arg(long, env = "DOWNPOUR_STREAMS_PER_TOKEN_MAX", value_name = "N", default_value = "0",
        value_parser = |t: &str| super::cli::count(t, 0, 100_000_000))]
    pub streams_per_token_max: usize,
}

/// Which tokens are good, for one interface.
#[derive(Debug, Clone)]
pub struct TokenCheck {
    pub dialect: Dialect,
    pub issuers: Vec<IssuerKeys>,
    pub audiences: Audiences,
    /// Whether a token without an end is refused.
    pub needs_expiry: bool,
}

/// An issuer, and where its keys are.
#[derive(Debug, Clone, Default)]
pub struct IssuerKeys {
    /// What `iss` must be; anything without it.
    pub name: Option<String>,
    /// Keys that are at hand.
    pub given: KeySet,
    /// Files that are read at the start and at SIGHUP.
    pub files: Vec<PathBuf>,
    /// JWK sets that are fetched.
    pub urls: Vec<String>,
    /// For keys that do not say theirs.
    pub algorithm: Option<Algorithm>,
    /// What keys of files and URLs may be for; empty = anything.
    pub allowed: Vec<Algorithm>,
}

impl IssuerKeys {
    /// Whether there is no key, nor any place to read one from.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.files.is_empty() && self.urls.is_empty()
    }
}

/// What the native interface makes of tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub check: TokenCheck,
    /// Cookie that may have one.
    pub cookie: Option<String>,
    /// Whether the query may have one.
    pub in_query: bool,
    /// Whether subscribers need one.
    pub to_subscribe: bool,
}

/// Which of the interfaces a check of tokens is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Both directions of the native interface.
    Native,
    /// Publishers by version 0 and version 1 of Mercure.
    PublisherV0,
    PublisherV1,
    /// Subscribers by version 0 and version 1 of Mercure.
    SubscriberV0,
    SubscriberV1,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::PublisherV0,
        Self::PublisherV1,
        Self::SubscriberV0,
        Self::SubscriberV1,
    ];
}

/// The settings of the native interface, if it knows any key.
pub(super) fn tokens(args: &TokenArgs) -> Result<Option<Tokens>, Refused> {
    if args.token_key_file.is_empty() && args.token_jwks.is_empty() {
        return needs_no_key(args).map(|()| None);
    }
    let issuer = IssuerKeys {
        name: args.token_issuer.clone(),
        given: KeySet::default(),
        files: args.token_key_file.clone(),
        urls: args.token_jwks.clone(),
        algorithm: args.token_algorithm,
        allowed: Vec::new(),
    };
    Ok(Some(Tokens {
        check: TokenCheck {
            dialect: Dialect::Either,
            issuers: vec![issuer],
            audiences: Audiences::Listed(args.token_audience.clone()),
            needs_expiry: true,
        },
        cookie: args.token_cookie.clone(),
        in_query: args.token_query,
        to_subscribe: args.subscribe == Subscribing::Token,
    }))
}

/// Refuses what has no meaning without a key: whoever gives it believes to be safe.
fn needs_no_key(args: &TokenArgs) -> Result<(), Refused> {
    let reason = "there is no key to check tokens with: give --token-key-file PATH or \
                  --token-jwks URL";
    let audience = args.token_audience.first();
    let algorithm = args.token_algorithm.map(|algorithm| format!("{algorithm:?}"));
    let given: [(&'static str, Option<&str>); 6] = [
        ("--subscribe", (args.subscribe == Subscribing::Token).then_some("token")),
        ("--token-issuer", args.token_issuer.as_deref()),
        ("--token-audience", audience.map(String::as_str)),
        ("--token-algorithm", algorithm.as_deref()),
        ("--token-cookie", args.token_cookie.as_deref()),
        ("--token-query", args.token_query.then_some("true")),
    ];
    match given.into_iter().find_map(|(flag, value)| value.map(|value| (flag, value))) {
        Some((flag, value)) => refuse(flag, &value, reason),
        None => Ok(()),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|_| {
        "must be one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, \
         ES384, EdDSA"
            .to_owned()
    })
}
