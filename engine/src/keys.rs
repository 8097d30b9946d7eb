//! The keys of tokens: read from files, fetched from URLs, and handed to the workers.
//!
//! The idea: workers check tokens against a [`Verifiers`] of their own that never changes; when keys
//! do, every worker is sent a new one. A thread fetches the JWK sets of URLs, at intervals and when a
//! worker meets a key that it does not know.
//!
//! Invariants:
//! - What was last fetched well stays until something better comes: an issuer that is down stops
//!   nobody who has a token.
//! - Tokens with keys of their own invention have nothing fetched more often than every
//!   [`ASK_INTERVAL`].
//! - Nothing is followed: not a redirect, nor any URL that is not in the configuration.
//!
//! Knows no requests; the check itself is `token`.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustls::crypto::aws_lc_rs;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::config::Config;
use crate::config::token::{ASK_INTERVAL, Role, TokenCheck};
use crate::mercure::settings::Settings;
use crate::token::key::{KEYS_BYTES_MAX, KeySet};
use crate::token::{Algorithm, HubVerifiers, Issuer, Verifier, Verifiers};

/// How long one fetch may take in all. A start waits for it, and so does who has a new key.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a fetch that has failed is tried again, if the interval is not shorter anyway.
const FAILED_INTERVAL: Duration = Duration::from_secs(30);

/// Where some keys come from.
#[derive(Debug)]
enum Place {
    File(std::path::PathBuf),
    Url(String),
}

/// One file or URL of one issuer, and what was last read from it.
#[derive(Debug)]
struct Source {
    role: Role,
    /// Place of the issuer among those of the role.
    issuer: usize,
    place: Place,
    algorithm: Option<Algorithm>,
    /// What its keys may be for; empty = anything.
    allowed: Vec<Algorithm>,
    keys: KeySet,
    /// Whether the last attempt has failed, which is said once.
    failing: bool,
}

/// Which tokens are good, and the keys that say so.
#[derive(Debug)]
struct Known {
    checks: Vec<(Role, TokenCheck)>,
    sources: Vec<Source>,
}

/// All keys of the engine.
#[derive(Debug)]
pub(crate) struct Keys {
    config: Arc<Config>,
    known: Mutex<Known>,
    agent: Agent,
}

impl Keys {
    /// Reads all files, and tries all URLs once.
    ///
    /// # Errors
    /// Which file is bad, and why. A URL that does not answer is no error: it will be asked again.
    pub(crate) fn read(config: Arc<Config>) -> Result<Keys, String> {
        let mut known = Known::new(&config, None);
        known.read_files()?;
        let keys = Keys { config, known: Mutex::new(known), agent: agent() };
        keys.fetch();
        Ok(keys)
    }

    /// Reads the files again; how many there are. `hub` has the hub's settings as they are now: their
    /// keys come into force, and nothing else of them.
    ///
    /// # Errors
    /// Which file is bad, and why; then nothing has changed.
    pub(crate) fn read_again(&self, hub: Option<&Settings>) -> Result<usize, String> {
        let mut fresh = Known::new(&self.config, hub);
        let files_count = fresh.read_files()?;
        let mut known = self.known();
        let places = |known: &Known| -> Vec<(Role, usize, String)> {
            known.urls().map(|(source, url)| (source.role, source.issuer, url.to_owned())).collect()
        };
        if places(&fresh) != places(&known) {
            return Err("the URLs of key sets have changed, which needs a restart".into());
        }
        let is_url = |source: &&mut Source| matches!(source.place, Place::Url(_));
        let fetched = known.sources.iter_mut().filter(is_url);
        for (source, fetched) in fresh.sources.iter_mut().filter(is_url).zip(fetched) {
            source.keys = std::mem::take(&mut fetched.keys);
            source.failing = fetched.failing;
        }
        *known = fresh;
        Ok(files_count)
    }

    /// Whether anything is fetched at all.
    pub(crate) fn has_urls(&self) -> bool {
        self.known().urls().next().is_some()
    }

    /// What workers check tokens with, as of now.
    pub(crate) fn verifiers(&self) -> Arc<Verifiers> {
        let known = self.known();
        let of = |role| known.verifier(role);
        Arc::new(Verifiers {
            native: of(Role::Native),
            publishers: HubVerifiers { v0: of(Role::PublisherV0), v1: of(Role::PublisherV1) },
            subscribers: HubVerifiers { v0: of(Role::SubscriberV0), v1: of(Role::SubscriberV1) },
        })
    }

    /// Fetches at intervals, and when asked, until nobody can ask any more. `changed` is called
    /// after each time: who waits for a key has to hear that it did not come, too.
    pub(crate) fn run(&self, asked: &Receiver<()>, changed: impl Fn(Arc<Verifiers>)) {
        let mut fetched_at = Instant::now();
        let mut asked_at: Option<Instant> = None;
        loop {
            let interval = match self.known().sources.iter().any(|source| source.failing) {
                true => FAILED_INTERVAL.min(self.config.jwks_refresh),
                false => self.config.jwks_refresh,
            };
            let due = fetched_at + interval;
            match asked.recv_deadline(due) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) if asked_at.is_some_and(|at| at.elapsed() < ASK_INTERVAL) => {
                    changed(self.verifiers());
                    continue;
                }
                Ok(()) => asked_at = Some(Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.fetch();
            fetched_at = Instant::now();
            changed(self.verifiers());
        }
    }

    /// Asks every URL once. The lock is not held meanwhile; URLs and their order stay.
    fn fetch(&self) {
        let wanted: Vec<(String, Option<Algorithm>)> =
            self.known().urls().map(|(source, url)| (url.to_owned(), source.algorithm)).collect();
        for (index, (url, algorithm)) in wanted.into_iter().enumerate() {
            let outcome = self.keys_of_url(&url, algorithm);
            let mut known = self.known();
            let is_url = |source: &&mut Source| matches!(source.place, Place::Url(_));
            let source = known.sources.iter_mut().filter(is_url).nth(index);
            source.expect("the URLs stay").settle(&url, outcome);
        }
    }

    fn keys_of_url(&self, url: &str, algorithm: Option<Algorithm>) -> Result<KeySet, String> {
        let mut answer = self.agent.get(url).call().map_err(|error| error.to_string())?;
        let body = answer.body_mut().with_config().limit(KEYS_BYTES_MAX as u64);
        let text = body.read_to_vec().map_err(|error| error.to_string())?;
        KeySet::from_url_text(&text, algorithm).map_err(|error| error.to_string())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is one assignment: a panic beside it leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What `config` has, with the keys of `hub` in place of the hub's that it has. Nothing is read.
    fn new(config: &Config, hub: Option<&Settings>) -> Known {
        let check = |role: Role| match (role, hub) {
            (Role::Native, _) | (_, None) => config.token_check(role),
            (_, Some(hub)) => hub.token_check(role),
        };
        let checks: Vec<(Role, TokenCheck)> =
            Role::ALL.iter().filter_map(|role| Some((*role, check(*role)?.clone()))).collect();
        Known { sources: sources(&checks), checks }
    }

    /// Reads all files; how many there are.
    fn read_files(&mut self) -> Result<usize, String> {
        let mut files_count = 0;
        for source in &mut self.sources {
            if let Place::File(path) = &source.place {
                let keys = keys_of_file(path, source.algorithm)?;
                source.take(keys);
                files_count += 1;
            }
        }
        Ok(files_count)
    }

    /// The sources that are fetched, in an order that stays.
    fn urls(&self) -> impl Iterator<Item = (&Source, &str)> {
        self.sources.iter().filter_map(|source| match &source.place {
            Place::Url(url) => Some((source, url.as_str())),
            Place::File(_) => None,
        })
    }

    fn verifier(&self, role: Role) -> Option<Verifier> {
        let (_, check) = self.checks.iter().find(|(other, _)| *other == role)?;
        let issuers = check.issuers.iter().enumerate().map(|(index, issuer)| {
            let mut keys = issuer.given.clone();
            let own = self.sources.iter().filter(|s| s.role == role && s.issuer == index);
            own.for_each(|source| keys.extend(source.keys.clone()));
            Issuer { name: issuer.name.clone(), keys }
        });
        let (issuers, audiences) = (issuers.collect(), check.audiences.clone());
        Some(Verifier::new(check.dialect, issuers, audiences, check.needs_expiry))
    }
}

impl Source {
    /// Takes keys, as far as they are for what they may be for.
    fn take(&mut self, mut keys: KeySet) {
        if !self.allowed.is_empty() {
            keys.retain(&self.allowed);
        }
        self.keys = keys;
    }

    /// Takes what was fetched, or keeps what there was; says on stderr when that begins or ends.
    fn settle(&mut self, url: &str, outcome: Result<KeySet, String>) {
        let (shown, _) = url.split_once('?').unwrap_or((url, ""));
        match outcome {
            Ok(keys) => {
                if self.failing {
                    eprintln!("downpour: the keys of {shown} were fetched again");
                }
                self.failing = false;
                self.take(keys);
            }
            Err(error) => {
                if !self.failing {
                    let kept = self.keys.len();
                    eprintln!(
                        "downpour: the keys of {shown} cannot be fetched: {error}; going on with \
                         the {kept} of before"
                    );
                }
                self.failing = true;
            }
        }
    }
}

fn sources(checks: &[(Role, TokenCheck)]) -> Vec<Source> {
    let mut sources = Vec::new();
    for (role, check) in checks {
        for (issuer, keys) in check.issuers.iter().enumerate() {
            let files = keys.files.iter().cloned().map(Place::File);
            let urls = keys.urls.iter().cloned().map(Place::Url);
            sources.extend(files.chain(urls).map(|place| Source {
                role: *role,
                issuer,
                place,
                algorithm: keys.algorithm,
                allowed: keys.allowed.clone(),
                keys: KeySet::default(),
                failing: false,
            }));
        }
    }
    sources
}

fn keys_of_file(path: &Path, algorithm: Option<Algorithm>) -> Result<KeySet, String> {
    let named = |error: &dyn std::fmt::Display| {
        format!("the keys of tokens in {}: {error}", path.display())
    };
    let text = fs::read(path).map_err(|error| named(&error))?;
    KeySet::from_file_text(&text, algorithm).map_err(|error| named(&error))
}

/// A client that trusts whom this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` included).
fn agent() -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build();
    Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_redirects(0)
        .user_agent(concat!("downpour/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .into()
}
