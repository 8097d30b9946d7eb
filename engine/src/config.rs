//! Everything that can be set, checked once at start; every limit of the process is here.
//!
//! The idea: a `Config` that exists is one that can hold. Values are checked where they are read
//! (`cli`, `value`), the relations between them here, and the memory that they bound is a sum that
//! anyone can read (`memory`).
//!
//! Invariants: at least one listen address, worker and CPU; one event fits one topic's history,
//! one topic's history fits all of them; publishing from other machines is either by key or
//! declared open.
//!
//! Knows no files, sockets or environment beyond what `clap` reads for it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::event::HEAD_BYTES_MAX;
use crate::http::cors::Cors;
use crate::http::request::Limits;
use crate::http::route::Rules;
use crate::mercure::settings::Settings;

pub mod cli;
pub mod key;
pub mod memory;
pub mod rate;
#[cfg(test)]
mod tests;
pub mod token;
pub mod value;

use cli::{BackendChoice, LagPolicy, NativeChoice, ServeArgs, StartPage};
use rate::RateArgs;
use token::{Role, TokenCheck, Tokens};
use value::Cpus;

/// Connections of one worker that are not streams: in the handshake, or publishing. Each has a
/// task and a buffer, so this bounds their memory; more wait in the accept queue.
pub const REQUESTS_PER_WORKER_MAX: usize = 4_096;

/// Connections that may wait for a worker to take them, of one listener; the kernel lowers it to
/// `somaxconn`.
pub const ACCEPT_BACKLOG: i32 = 65_535;

/// Sockets of one table of fixed files, at most. The kernel takes more (`IORING_MAX_FIXED_FILES`),
/// but a worker adds rings as it needs them, and a table is allocated whole.
pub const TABLE_FILES_MAX: u64 = 32_768;

/// A checked configuration. See `cli::ServeArgs` for the flags, their units and defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses of the public interface; not empty, no address twice.
    pub listen: Vec<SocketAddr>,
    /// Address of the admin interface.
    pub admin: Option<SocketAddr>,
    /// Further names that the admin interface answers to, in lower case.
    pub admin_hosts: Vec<String>,
    /// Worker threads.
    pub workers: usize,
    /// The CPUs that workers are pinned to, in order and repeating; not empty.
    pub cpus: Vec<usize>,
    /// Which lane delivers.
    pub backend: BackendChoice,
    /// Events kept per topic.
    pub history_events: usize,
    /// Memory of the events kept per topic.
    pub history_bytes: usize,
    /// Memory of all events kept.
    pub history_bytes_total: usize,
    /// Age beyond which an event is not kept; `None` = no limit.
    pub history_age: Option<Duration>,
    /// Data of one event, in bytes.
    pub event_bytes_max: usize,
    /// Topics that exist at a time.
    pub topics_max: usize,
    /// Topics of one subscriber.
    pub topics_per_subscriber_max: usize,
    /// Connections in our hands, subscribers and publishers together.
    pub connections_max: usize,
    /// Connections of one IP address; `None` = no limit.
    pub connections_per_address_max: Option<usize>,
    /// Quiet time after which a subscriber gets a comment.
    pub heartbeat: Duration,
    /// Shortest reconnection time told to a subscriber; each is told once to twice this.
    pub retry: Duration,
    /// What happens to a subscriber that was lapped.
    pub lag: LagPolicy,
    /// How long a socket may take nothing before it is closed.
    pub write_timeout: Duration,
    /// How long a request head may take to arrive.
    pub handshake_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// Over how long subscribers are sent away at the end.
    pub drain_timeout: Duration,
    /// `SO_SNDBUF` of a subscriber's socket; `None` = the kernel's choice.
    pub socket_send_bytes: Option<usize>,
    /// `TCP_NOTSENT_LOWAT` of a subscriber's socket.
    pub socket_unsent_bytes: usize,
    /// Events that a worker may be behind the sequencer.
    pub ring_events: usize,
    /// The file with the publish key; `None` = publishing needs none.
    pub publish_key_file: Option<PathBuf>,
    /// What the native interface makes of tokens; `None` = it knows none.
    pub tokens: Option<Tokens>,
    /// How often keys are fetched that are somewhere else.
    pub jwks_refresh: Duration,
    /// Streams of one token; `None` = no limit.
    pub streams_per_token_max: Option<usize>,
    /// How often an address and the bearer of a token may ask.
    pub rates: RateArgs,
    /// Which web pages may use this server.
    pub cors: Cors,
    /// Whether `GET /` answers with the start page.
    pub start_page: bool,
    /// Whether the native interface is served.
    pub native: bool,
    /// The Mercure hub, if there is one.
    pub mercure: Option<Arc<Settings>>,
}

/// A request head beside a Mercure hub, in bytes, and its target: a subscriber names its topics, up to
/// a thousand, in the query, and a token may list two thousand in a header.
const HUB_HEAD_BYTES: usize = 256 << 10;
const HUB_TARGET_BYTES: usize = 192 << 10;

/// A configuration that cannot hold: which flag, its value, and what would be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// Its value as given.
    pub value: String,
    /// What is allowed and how to get there.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid value '{}' for '{}': {}", self.value, self.flag, self.reason)
    }
}

impl std::error::Error for Refused {}

fn refuse<T>(
    flag: &'static str,
    value: &dyn fmt::Display,
    reason: impl Into<String>,
) -> Result<T, Refused> {
    Err(Refused { flag, value: value.to_string(), reason: reason.into() })
}

impl Config {
    /// Checks what the command line says against itself and against `allowed_cpus`, the CPUs that
    /// this process may run on (not empty).
    ///
    /// # Errors
    /// The first relation that does not hold.
    pub fn resolve(args: ServeArgs, allowed_cpus: &[usize]) -> Result<Self, Refused> {
        check_addresses(&args)?;
        check_publishing(&args)?;
        check_sizes(&args)?;
        let cpus = cpus(args.cpus.as_ref(), allowed_cpus)?;
        let native = args.has_native();
        let start_page = match args.start_page {
            StartPage::On => true,
            StartPage::Off => false,
            StartPage::Auto => args.listen.iter().all(|address| address.ip().is_loopback()),
        };
        Ok(Self {
            admin: args.admin.0,
            admin_hosts: args.admin_host,
            workers: args.workers.unwrap_or(cpus.len()),
            cpus,
            backend: args.backend,
            history_events: args.history_events,
            history_bytes: args.history_bytes.0,
            history_bytes_total: args.history_bytes_total.0,
            history_age: (!args.history_age.is_zero()).then_some(args.history_age),
            event_bytes_max: args.event_bytes_max.0,
            topics_max: args.topics_max,
            topics_per_subscriber_max: args.topics_per_subscriber_max,
            connections_max: args.connections_max,
            connections_per_address_max: (args.connections_per_address_max > 0)
                .then_some(args.connections_per_address_max),
            heartbeat: args
                .mercure_settings
                .as_ref()
                .and_then(|m| m.heartbeat)
                .unwrap_or(args.heartbeat),
            retry: args.retry,
            lag: args.lag,
            write_timeout: args.write_timeout,
            handshake_timeout: args.handshake_timeout,
            idle_timeout: args.idle_timeout,
            drain_timeout: args.drain_timeout,
            socket_send_bytes: (args.socket_send_bytes.0 > 0).then_some(args.socket_send_bytes.0),
            socket_unsent_bytes: args.socket_unsent_bytes.0,
            ring_events: args.ring_events,
            publish_key_file: args.publish_key_file,
            tokens: token::tokens(&args.tokens)?,
            jwks_refresh: args.tokens.token_jwks_refresh,
            streams_per_token_max: (args.tokens.streams_per_token_max > 0)
                .then_some(args.tokens.streams_per_token_max),
            rates: args.rates,
            cors: cors(args.cors_origin)?,
            start_page: start_page && native,
            native,
            mercure: args.mercure_settings,
            listen: args.listen,
        })
    }

    /// The CPU that a worker is pinned to.
    #[must_use]
    pub fn cpu_of(&self, worker: usize) -> usize {
        self.cpus[worker % self.cpus.len()]
    }

    /// The largest frame that an event can become: of data that is nothing but line ends, each byte
    /// becomes a line of seven (`data: ` and LF), and what stands beside it.
    #[must_use]
    pub fn frame_bytes_max(&self) -> usize {
        self.event_bytes_max * 7 + HEAD_BYTES_MAX
    }

    /// Text of events that were accepted but not yet taken off every ring: a quarter of the
    /// histories, so that a worker that is behind cannot double their memory; always room for one.
    #[must_use]
    pub fn ring_bytes_max(&self) -> usize {
        (self.history_bytes_total / 4).max(self.frame_bytes_max())
    }

    /// Evicted frames that half-finished sends may keep alive: a quarter of the histories, and
    /// always room for one.
    #[must_use]
    pub fn pinned_bytes_max(&self) -> usize {
        (self.history_bytes_total / 4).max(self.frame_bytes_max())
    }

    /// Lists of what selectors match, of one worker: a quarter of the histories. Beyond it histories
    /// are kept shorter.
    #[must_use]
    pub fn views_bytes_max(&self) -> usize {
        self.history_bytes_total / 4
    }

    /// Bodies that publishers have begun and not finished, of one worker: room for 64 of the
    /// longest events, and for a full house of publishers with 16 KiB each.
    #[must_use]
    pub fn bodies_bytes_max(&self) -> usize {
        (self.event_bytes_max * 64).max(REQUESTS_PER_WORKER_MAX * (16 << 10))
    }

    /// Which tokens are good for an interface; none where it takes none.
    #[must_use]
    pub fn token_check(&self, role: Role) -> Option<&TokenCheck> {
        match role {
            Role::Native => self.tokens.as_ref().map(|tokens| &tokens.check),
            _ => self.mercure.as_ref()?.token_check(role),
        }
    }

    /// Whether everything that is listened on is this machine's own.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        self.listen.iter().all(|address| address.ip().is_loopback())
    }

    /// What a request head may cost.
    #[must_use]
    pub fn head_limits(&self) -> Limits {
        match self.mercure {
            Some(_) => {
                Limits { head_bytes_max: HUB_HEAD_BYTES, target_bytes_max: HUB_TARGET_BYTES }
            }
            None => Limits::default(),
        }
    }

    /// What the router has to know.
    #[must_use]
    pub fn route_rules(&self) -> Rules {
        Rules {
            topics_per_subscriber_max: self.topics_per_subscriber_max,
            start_page: self.start_page,
            native: self.native,
        }
    }
}

impl ServeArgs {
    /// Whether the native interface is served: not beside a Mercure hub unless it is asked for,
    /// because it would not ask those for a token who subscribe there.
    fn has_native(&self) -> bool {
        match self.events {
            NativeChoice::On => true,
            NativeChoice::Off => false,
            NativeChoice::Auto => self.mercure_settings.is_none(),
        }
    }
}

fn check_addresses(args: &ServeArgs) -> Result<(), Refused> {
    for (index, address) in args.listen.iter().enumerate() {
        // Port 0 asks the kernel for any free port, so it may be given twice.
        if address.port() != 0 && args.listen[..index].contains(address) {
            return refuse("--listen", address, "it is given twice");
        }
    }
    match args.admin.0 {
        Some(admin) if admin.port() != 0 && args.listen.contains(&admin) => refuse(
            "--admin",
            &admin,
            "it is also a --listen address; give it another port, or `off`",
        ),
        _ => Ok(()),
    }
}

/// Who can reach a server can publish to it, unless there is a key.
fn check_publishing(args: &ServeArgs) -> Result<(), Refused> {
    if !args.has_native() {
        return Ok(());
    }
    let public = args.listen.iter().find(|address| !address.ip().is_loopback());
    let tokens = !args.tokens.token_key_file.is_empty() || !args.tokens.token_jwks.is_empty();
    match (public, &args.publish_key_file, args.publish_open) {
        (_, _, true) if tokens => refuse(
            "--publish-open",
            &"true",
            "--token-key-file or --token-jwks asks for a token; give one of the two",
        ),
        (Some(address), None, false) if !tokens => refuse(
            "--listen",
            address,
            "other machines reach this address, and could publish to every subscriber. Give \
             --publish-key-file FILE to ask publishers for a key, --token-key-file FILE or \
             --token-jwks URL to ask them for a token, or --publish-open to let anyone publish",
        ),
        (_, Some(file), true) => refuse(
            "--publish-open",
            &"true",
            format!("--publish-key-file {} asks for a key; give one of the two", file.display()),
        ),
        _ => Ok(()),
    }
}

fn check_sizes(args: &ServeArgs) -> Result<(), Refused> {
    let (event, topic, total) =
        (args.event_bytes_max, args.history_bytes, args.history_bytes_total);
    if event.0 > topic.0 {
        return refuse(
            "--event-bytes-max",
            &event,
            format!("one event must fit its topic's history: at most --history-bytes {topic}"),
        );
    }
    if topic.0 > total.0 {
        return refuse(
            "--history-bytes",
            &topic,
            format!(
                "one topic's history must fit all of them: at most --history-bytes-total {total}"
            ),
        );
    }
    if args.topics_per_subscriber_max > args.topics_max {
        return refuse(
            "--topics-per-subscriber-max",
            &args.topics_per_subscriber_max,
            format!("there are fewer topics in all: at most --topics-max {}", args.topics_max),
        );
    }
    let send = args.socket_send_bytes;
    if send.0 > 0 && args.socket_unsent_bytes.0 > send.0 {
        return refuse(
            "--socket-unsent-bytes",
            &args.socket_unsent_bytes,
            format!("it is a part of the send buffer: at most --socket-send-bytes {send}"),
        );
    }
    Ok(())
}

/// The CPUs asked for, if this process may use them; else all that it may use.
fn cpus(asked: Option<&Cpus>, allowed: &[usize]) -> Result<Vec<usize>, Refused> {
    assert!(!allowed.is_empty(), "a process always has a CPU to run on");
    let Some(asked) = asked else {
        return Ok(allowed.to_vec());
    };
    match asked.0.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => refuse(
            "--cpus",
            asked,
            format!("CPU {cpu} is not open to this process; {} are", Cpus(allowed.to_vec())),
        ),
        None => Ok(asked.0.clone()),
    }
}

fn cors(origins: Vec<String>) -> Result<Cors, Refused> {
    match origins.as_slice() {
        [] => Ok(Cors::SameOrigin),
        [any] if any == "*" => Ok(Cors::Any),
        _ if origins.iter().any(|origin| origin == "*") => {
            refuse("--cors-origin", &"*", "it stands for every origin; leave the others out")
        }
        _ => Ok(Cors::Listed(origins)),
    }
}
