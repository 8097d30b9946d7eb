//! The command line: every flag with its unit, default, range and reason.
//!
//! The idea: a flag is written down once, here; its environment variable, its help and its row in
//! the operator's table come from that.
//!
//! Knows nothing of relations between flags (`config`).

use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::rate::RateArgs;
use super::token::TokenArgs;
use super::value::{self, Admin, Bytes, Cpus};
use crate::mercure::settings::Settings;

const MIB: usize = 1 << 20;
const HOUR: Duration = Duration::from_hours(1);

/// One event in, every Server-Sent-Events subscriber gets it.
///
/// Without a command: serve.
#[derive(Debug, Parser)]
#[command(name = "downpour", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve events (the default command)
    Serve(Box<ServeArgs>),
    /// Say what this machine will hold with this configuration, and what limits it
    Doctor(Box<ServeArgs>),
}

/// How events reach the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// io_uring where the kernel allows it, else epoll.
    Auto,
    /// io_uring, or do not start.
    Uring,
    /// epoll and sendmsg.
    Epoll,
}

/// What happens to a subscriber whose next event has left the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LagPolicy {
    /// It is told of the gap in its stream and goes on from what is kept.
    Skip,
    /// It is told of the gap and disconnected.
    Disconnect,
}

/// Whether `GET /` answers with the start page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StartPage {
    /// On while every --listen address is loopback.
    Auto,
    On,
    Off,
}

/// Whether the native interface is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NativeChoice {
    /// On unless there is a Mercure hub.
    Auto,
    On,
    Off,
}

/// Which protocols of Mercure are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MercureChoice {
    /// As the variables of a Mercure hub ask for it.
    Auto,
    Off,
    /// Protocol 8, of hubs up to 0.24.
    #[value(name = "8")]
    V8,
    /// Version 1.0.
    #[value(name = "1")]
    V1,
    Both,
}

/// Flags of `serve`, which `doctor` judges.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to serve on, may be given more than once. :8080 = every IPv4 address, 8080 =
    /// 127.0.0.1
    #[arg(long, env = "DOWNPOUR_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080",
        value_delimiter = ',', num_args = 1.., value_parser = value::address,
        help_heading = "Addresses")]
    pub listen: Vec<SocketAddr>,

    /// Address of metrics, health and inspection, or `off`. It asks for no key: keep it private
    #[arg(long, env = "DOWNPOUR_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:9090",
        value_parser = value::admin, help_heading = "Addresses")]
    pub admin: Admin,

    /// Further host name that the admin interface answers to, may be given more than once; IP
    /// addresses, loopback names and names without a dot need none
    #[arg(long, env = "DOWNPOUR_ADMIN_HOST", value_name = "NAME", value_delimiter = ',',
        num_args = 1.., value_parser = value::host_name, help_heading = "Addresses")]
    pub admin_host: Vec<String>,

    /// Origin whose web pages may read and publish, may be given more than once; * = all, without
    /// credentials
    #[arg(long, env = "DOWNPOUR_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',',
        num_args = 1.., value_parser = value::origin, help_heading = "Addresses")]
    pub cors_origin: Vec<String>,

    /// Whether GET / answers with a page to try things out; auto = on loopback only
    #[arg(
        long,
        env = "DOWNPOUR_START_PAGE",
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Addresses"
    )]
    pub start_page: StartPage,

    /// File with the key that publishers must show as `Authorization: Bearer KEY`
    #[arg(
        long,
        env = "DOWNPOUR_PUBLISH_KEY_FILE",
        value_name = "PATH",
        help_heading = "Publishing"
    )]
    pub publish_key_file: Option<PathBuf>,

    /// Let anyone who reaches this server publish, on public addresses too
    #[arg(long, env = "DOWNPOUR_PUBLISH_OPEN", value_parser = BoolishValueParser::new(),
        help_heading = "Publishing")]
    pub publish_open: bool,

    #[command(flatten)]
    pub tokens: TokenArgs,

    /// Data of one event, at most; encoded, each of its lines is 7 bytes longer
    #[arg(long, env = "DOWNPOUR_EVENT_BYTES_MAX", value_name = "B", default_value = "1MiB",
        value_parser = |t: &str| value::bytes(t, Bytes(64), Bytes(64 * MIB), false),
        help_heading = "Publishing")]
    pub event_bytes_max: Bytes,

    /// Mercure hub at /.well-known/mercure: auto (as MERCURE_* variables ask for it), off, 8 (hubs up
    /// to 0.24), 1 (version 1.0) or both
    #[arg(
        long,
        env = "DOWNPOUR_MERCURE",
        value_name = "WHICH",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Mercure"
    )]
    pub mercure: MercureChoice,

    /// File with directives of a Mercure hub, as within a `mercure` block of a Caddyfile
    #[arg(long, env = "DOWNPOUR_MERCURE_FILE", value_name = "PATH", help_heading = "Mercure")]
    pub mercure_file: Option<PathBuf>,

    /// Whether /events, the native interface, is served; auto = unless there is a Mercure hub
    #[arg(
        long,
        env = "DOWNPOUR_EVENTS",
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Mercure"
    )]
    pub events: NativeChoice,

    /// What the hub's variables and directives say; read after the flags.
    #[arg(skip)]
    pub mercure_settings: Option<Arc<Settings>>,

    /// Whether nobody has said where to listen.
    #[arg(skip)]
    pub listen_is_default: bool,

    /// Worker threads [default: one for each of --cpus]
    #[arg(long, env = "DOWNPOUR_WORKERS", value_name = "N",
        value_parser = |t: &str| count(t, 1, 256), help_heading = "Machine")]
    pub workers: Option<usize>,

    /// CPUs that workers are pinned to, in order, such as 0-3,6 [default: all of this process]
    #[arg(long, env = "DOWNPOUR_CPUS", value_name = "LIST", value_parser = value::cpus,
        help_heading = "Machine")]
    pub cpus: Option<Cpus>,

    /// How events reach the sockets: auto, uring or epoll
    #[arg(
        long,
        env = "DOWNPOUR_BACKEND",
        value_name = "KIND",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Machine"
    )]
    pub backend: BackendChoice,

    /// Events that a worker may be behind before publishers are told to wait (503)
    #[arg(long, env = "DOWNPOUR_RING_EVENTS", value_name = "N", default_value = "16384",
        value_parser = |t: &str| count(t, 16, 1 << 24), help_heading = "Machine")]
    pub ring_events: usize,

    /// Events kept per topic, for subscribers that come back and those that are slow
    #[arg(long, env = "DOWNPOUR_HISTORY_EVENTS", value_name = "N", default_value = "16384",
        value_parser = |t: &str| count(t, 1, 1 << 30), help_heading = "History")]
    pub history_events: usize,

    /// Memory of the events kept per topic
    #[arg(long, env = "DOWNPOUR_HISTORY_BYTES", value_name = "B", default_value = "16MiB",
        value_parser = |t: &str| value::bytes(t, Bytes(4 << 10), Bytes(1 << 40), false),
        help_heading = "History")]
    pub history_bytes: Bytes,

    /// Memory of the events kept in all topics together; the oldest go first
    #[arg(long, env = "DOWNPOUR_HISTORY_BYTES_TOTAL", value_name = "B", default_value = "256MiB",
        value_parser = |t: &str| value::bytes(t, Bytes(64 << 10), Bytes(1 << 44), false),
        help_heading = "History")]
    pub history_bytes_total: Bytes,

    /// Age beyond which an event is not kept; 0 = no limit
    #[arg(long, env = "DOWNPOUR_HISTORY_AGE", value_name = "D", default_value = "10m",
        value_parser = |t: &str| {
            value::duration(t, Duration::from_secs(1), Duration::from_hours(24 * 365), true)
        },
        help_heading = "History")]
    pub history_age: Duration,

    /// Topics that exist at a time; the next one is refused
    #[arg(long, env = "DOWNPOUR_TOPICS_MAX", value_name = "N", default_value = "1000000",
        value_parser = |t: &str| count(t, 1, 1 << 30), help_heading = "Limits")]
    pub topics_max: usize,

    /// Topics of one subscriber
    #[arg(long, env = "DOWNPOUR_TOPICS_PER_SUBSCRIBER_MAX", value_name = "N",
        default_value = "256", value_parser = |t: &str| count(t, 1, 65_536),
        help_heading = "Limits")]
    pub topics_per_subscriber_max: usize,

    /// Connections at a time; further subscribers are told to come back later
    #[arg(long, env = "DOWNPOUR_CONNECTIONS_MAX", value_name = "N", default_value = "1100000",
        value_parser = |t: &str| count(t, 1, 100_000_000), help_heading = "Limits")]
    pub connections_max: usize,

    /// Connections of one IP address; 0 = no limit
    #[arg(long, env = "DOWNPOUR_CONNECTIONS_PER_ADDRESS_MAX", value_name = "N",
        default_value = "0", value_parser = |t: &str| count(t, 0, 100_000_000),
        help_heading = "Limits")]
    pub connections_per_address_max: usize,

    #[command(flatten)]
    pub rates: RateArgs,

    /// Quiet time after which a subscriber gets a comment, for proxies and to notice dead peers
    #[arg(long, env = "DOWNPOUR_HEARTBEAT", value_name = "D", default_value = "15s",
        value_parser = |t: &str| {
            value::duration(t, Duration::from_secs(1), HOUR, false)
        },
        help_heading = "Subscribers")]
    pub heartbeat: Duration,

    /// When subscribers should reconnect; each is told once to twice this, so that they spread
    #[arg(long, env = "DOWNPOUR_RETRY", value_name = "D", default_value = "3s",
        value_parser = |t: &str| value::duration(t, Duration::from_millis(100), HOUR, false),
        help_heading = "Subscribers")]
    pub retry: Duration,

    /// What a subscriber meets whose next event is no longer kept: skip (told of the gap, goes on)
    /// or disconnect (told, then closed)
    #[arg(
        long,
        env = "DOWNPOUR_LAG",
        value_name = "WHAT",
        default_value = "skip",
        hide_possible_values = true,
        help_heading = "Subscribers"
    )]
    pub lag: LagPolicy,

    /// How long a subscriber's socket may take nothing before it is closed
    #[arg(long, env = "DOWNPOUR_WRITE_TIMEOUT", value_name = "D", default_value = "30s",
        value_parser = |t: &str| value::duration(t, Duration::from_secs(1), HOUR, false),
        help_heading = "Subscribers")]
    pub write_timeout: Duration,

    /// Send buffer of a subscriber's socket (SO_SNDBUF, which the kernel doubles); 0 = the kernel's
    /// choice, up to tcp_wmem
    #[arg(long, env = "DOWNPOUR_SOCKET_SEND_BYTES", value_name = "B", default_value = "256KiB",
        value_parser = |t: &str| value::bytes(t, Bytes(4 << 10), Bytes(64 * MIB), true),
        help_heading = "Subscribers")]
    pub socket_send_bytes: Bytes,

    /// Bytes that may wait unsent in that buffer (TCP_NOTSENT_LOWAT): smaller is fresher
    #[arg(long, env = "DOWNPOUR_SOCKET_UNSENT_BYTES", value_name = "B", default_value = "16KiB",
        value_parser = |t: &str| value::bytes(t, Bytes(1 << 10), Bytes(64 * MIB), false),
        help_heading = "Subscribers")]
    pub socket_unsent_bytes: Bytes,

    /// How long a request head may take to arrive
    #[arg(long, env = "DOWNPOUR_HANDSHAKE_TIMEOUT", value_name = "D", default_value = "10s",
        value_parser = |t: &str| value::duration(t, Duration::from_millis(100), HOUR, false),
        help_heading = "Connections")]
    pub handshake_timeout: Duration,

    /// How long a connection may stay open between two requests
    #[arg(long, env = "DOWNPOUR_IDLE_TIMEOUT", value_name = "D", default_value = "75s",
        value_parser = |t: &str| value::duration(t, Duration::from_millis(100), HOUR, false),
        help_heading = "Connections")]
    pub idle_timeout: Duration,

    /// Over how long subscribers are sent away when the server is told to stop; 0 = at once
    #[arg(long, env = "DOWNPOUR_DRAIN_TIMEOUT", value_name = "D", default_value = "10s",
        value_parser = |t: &str| value::duration(t, Duration::from_millis(100), HOUR, true),
        help_heading = "Connections")]
    pub drain_timeout: Duration,
}

impl Cli {
    /// Reads a command line, its first word being the program. Without a command it serves, so
    /// that flags may follow `downpour` directly.
    ///
    /// # Errors
    /// What to print, and whether it is an error at all (`--help` is not).
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut words: Vec<OsString> = words.into_iter().collect();
        if words.is_empty() {
            words.push("downpour".into());
        }
        let own = ["-h", "--help", "-V", "--version"];
        let serves = match words.get(1).and_then(|word| word.to_str()) {
            None => words.len() == 1,
            Some(word) => word.starts_with('-') && !own.contains(&word),
        };
        if serves {
            words.insert(1, "serve".into());
        }
        let matches = Self::command().try_get_matches_from(words)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let source = matches.subcommand().and_then(|(_, matches)| matches.value_source("listen"));
        let (Command::Serve(args) | Command::Doctor(args)) = &mut cli.command;
        args.listen_is_default = source == Some(ValueSource::DefaultValue);
        Ok(cli)
    }

    /// The flags as a Markdown table, for the operator's manual.
    ///
    /// # Panics
    /// Never: `serve` is a command.
    #[must_use]
    pub fn flag_table() -> String {
        let cli = Self::command();
        let serve = cli.find_subcommand("serve").expect("serve is a command");
        let mut table = String::from("| flag | environment | default | meaning |\n");
        table.push_str("| --- | --- | --- | --- |\n");
        for arg in serve.get_arguments().filter(|arg| arg.get_long() != Some("help")) {
            let value = match arg.get_action().takes_values() {
                true => arg.get_value_names().map_or(String::new(), |n| format!(" {}", n[0])),
                false => String::new(),
            };
            let default: Vec<_> =
                arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
            let env = arg.get_env().unwrap_or_default().to_string_lossy();
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let long = arg.get_long().unwrap_or_default();
            let default = default.join(",");
            writeln!(table, "| `--{long}{value}` | `{env}` | {default} | {help} |")
                .expect("a String takes every write");
        }
        table
    }
}

/// Reads a whole number between two bounds, both allowed.
pub(super) fn count(text: &str, min: usize, max: usize) -> Result<usize, String> {
    // Not `parse` alone: it would take a sign.
    let number = text.trim().replace('_', "");
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    match number.parse() {
        Ok(number) if digits && (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}
