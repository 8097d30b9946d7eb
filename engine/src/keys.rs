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
use crate::config::token::{ASK_INTERVAL, Role};
use crate::token::key::{KEYS_BYTES_MAX, KeySet};
use crate::token::{Algorithm, Issuer, Verifier, Verifiers};

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
    keys: KeySet,
    /// Whether the last attempt has failed, which is said once.
    failing: bool,
}

/// All keys of the engine.
#[derive(Debug)]
pub(crate) struct Keys {
    config: Arc<Config>,
    sources: Mutex<Vec<Source>>,
    agent: Agent,
}

impl Keys {
    /// Reads all files, and tries all URLs once.
    ///
    /// # Errors
    /// Which file is bad, and why. A URL that does not answer is no error: it will be asked again.
    pub(crate) fn read(config: Arc<Config>) -> Result<Keys, String> {
        let sources = Mutex::new(sources(&config));
        let keys = Keys { config, sources, agent: agent() };
        keys.read_files()?;
        keys.fetch();
        Ok(keys)
    }

    /// Reads the files again; how many there are.
    ///
    /// # Errors
    /// Which file is bad, and why; then nothing has changed.
    pub(crate) fn read_files(&self) -> Result<usize, String> {
        let mut sources = self.sources();
        let mut read = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            if let Place::File(path) = &source.place {
                read.push((index, keys_of_file(path, source.algorithm)?));
            }
        }
        let files_count = read.len();
        for (index, keys) in read {
            sources[index].keys = keys;
        }
        Ok(files_count)
    }

    /// Whether anything is fetched at all.
    pub(crate) fn has_urls(&self) -> bool {
        self.sources().iter().any(|source| matches!(source.place, Place::Url(_)))
    }

    /// What workers check tokens with, as of now.
    pub(crate) fn verifiers(&self) -> Arc<Verifiers> {
        let sources = self.sources();
        let verifier = |role| {
            let check = self.config.token_check(role)?;
            let issuers = check.issuers.iter().enumerate().map(|(index, issuer)| {
                let mut keys = issuer.given.clone();
                let own = sources.iter().filter(|s| s.role == role && s.issuer == index);
                own.for_each(|source| keys.extend(source.keys.clone()));
                Issuer { name: issuer.name.clone(), keys }
            });
            let issuers = issuers.collect();
            Some(Verifier::new(check.dialect, issuers, check.audiences.clone(), check.needs_expiry))
        };
        let [native, publishers, subscribers] = Role::ALL.map(verifier);
        Arc::new(Verifiers { native, publishers, subscribers })
    }

    /// Fetches at intervals, and when asked, until nobody can ask any more. `changed` is called
    /// after each time: who waits for a key has to hear that it did not come, too.
    pub(crate) fn run(&self, asked: &Receiver<()>, changed: impl Fn(Arc<Verifiers>)) {
        let mut fetched_at = Instant::now();
        let mut asked_at: Option<Instant> = None;
        loop {
            let interval = match self.sources().iter().any(|source| source.failing) {
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

    /// Asks every URL once. The lock is not held meanwhile.
    fn fetch(&self) {
        let wanted: Vec<(usize, String, Option<Algorithm>)> = self
            .sources()
            .iter()
            .enumerate()
            .filter_map(|(index, source)| match &source.place {
                Place::Url(url) => Some((index, url.clone(), source.algorithm)),
                Place::File(_) => None,
            })
            .collect();
        for (index, url, algorithm) in wanted {
            let outcome = self.keys_of_url(&url, algorithm);
            self.sources()[index].settle(&url, outcome);
        }
    }

    fn keys_of_url(&self, url: &str, algorithm: Option<Algorithm>) -> Result<KeySet, String> {
        let mut answer = self.agent.get(url).call().map_err(|error| error.to_string())?;
        let body = answer.body_mut().with_config().limit(KEYS_BYTES_MAX as u64);
        let text = body.read_to_vec().map_err(|error| error.to_string())?;
        KeySet::from_url_text(&text, algorithm).map_err(|error| error.to_string())
    }

    fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        // Each change is one assignment: a panic beside it leaves nothing half done.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Takes what was fetched, or keeps what there was; says on stderr when that begins or ends.
    fn settle(&mut self, url: &str, outcome: Result<KeySet, String>) {
        let (shown, _) = url.split_once('?').unwrap_or((url, ""));
        match outcome {
            Ok(keys) => {
                if self.failing {
                    eprintln!("downpour: the keys of {shown} were fetched again");
                }
                self.failing = false;
                self.keys = keys;
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

fn sources(config: &Config) -> Vec<Source> {
    let mut sources = Vec::new();
    for role in Role::ALL {
        let Some(check) = config.token_check(role) else { continue };
        for (issuer, keys) in check.issuers.iter().enumerate() {
            let files = keys.files.iter().cloned().map(Place::File);
            let urls = keys.urls.iter().cloned().map(Place::Url);
            sources.extend(files.chain(urls).map(|place| Source {
                role,
                issuer,
                place,
                algorithm: keys.algorithm,
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
