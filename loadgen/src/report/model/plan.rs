//! What a run set out to do: target, plan, phases and clocks.

use serde::{Deserialize, Serialize};

use super::verdict::Status;

/// The server under test.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Target {
    /// The subscribe address, placeholders included.
    pub(crate) url: String,
    /// The server profile in use ("generic", "mercure").
    pub(crate) profile: Option<String>,
    /// The publish address, when this run publishes.
    pub(crate) publish_url: Option<String>,
    /// HTTP version spoken ("1.1").
    pub(crate) http: String,
    /// TLS version; null without TLS.
    pub(crate) tls: Option<String>,
    /// True when server and load generator share a machine over the loopback device: no wire, no
    /// interrupts, and the sender's CPU runs the receiver's TCP.
    #[serde(default)]
    pub(crate) loopback: bool,
    /// Number of machines that took part, the server's included.
    pub(crate) hosts: Option<u32>,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Plan {
    /// Kind of run: `run`, `connect`, `storm`, `find`.
    pub(crate) scenario: String,
    /// Subscribers asked for.
    pub(crate) subscribers: u64,
    /// Connects per second asked for; null = as fast as possible.
    pub(crate) connect_rate: Option<f64>,
    /// Planned events per second over time: pairs of (seconds from the start of the warm-up,
    /// events per second), linear between, two at the same time where it jumps; empty when this run
    /// publishes nothing. Of a sine its first period, of a trace the means of a hundred stretches.
    #[serde(default)]
    pub(crate) rate: Vec<[f64; 2]>,
    /// The rate as `--rate` said it, where it goes in steps, as a sine or by a trace; null for one
    /// rate, and for a line from one to another.
    #[serde(default)]
    pub(crate) pace: Option<String>,
    /// Law of the intended times: `fixed` or `poisson`.
    pub(crate) arrival: Option<String>,
    /// Payload sizes.
    pub(crate) size: Option<SizePlan>,
    /// Topics published to.
    pub(crate) topics: u64,
    /// How subscribers are spread over topics ("even", "zipf:1.1").
    pub(crate) distribution: Option<String>,
    /// How events are spread over topics ("even", "zipf:1.1").
    #[serde(default)]
    pub(crate) event_distribution: Option<String>,
    /// How long events were gathered that went out in one request; null = each in one of its own.
    #[serde(default)]
    pub(crate) batch_ns: Option<u64>,
    /// Planned lengths of the phases.
    pub(crate) phases: PhasePlan,
    /// How long after its intended time a delivery is waited for. Later ones count as lost, or
    /// as censored samples at this value.
    pub(crate) horizon_ns: u64,
    /// How events are recognised: `payload` (a stamp we publish), `server` (a stamp the server
    /// writes), `id`, `relative` (nothing known: identity by content).
    pub(crate) stamp: String,
    /// Publisher connections.
    pub(crate) publishers: u32,
    /// Tokens dealt out to the subscribers in turn; 0 if they show none, or all the same.
    #[serde(default)]
    pub(crate) tokens: u64,
    /// Source addresses used.
    pub(crate) sources: u32,
    /// Threads that read subscribers.
    pub(crate) threads: u32,
    /// Subscribers read as probes, on a core of their own.
    #[serde(default)]
    pub(crate) probes: u32,
    /// Subscribers per second that leave and come anew; null for none.
    #[serde(default)]
    pub(crate) churn: Option<f64>,
    /// How long each subscriber stays before it leaves and comes anew (`120s`, `exp:120s`); null
    /// where all stay.
    #[serde(default)]
    pub(crate) life: Option<String>,
    /// Faults put upon the server's process, from the start of the measured window
    /// (`sigstop:1.4s@30s`).
    #[serde(default)]
    pub(crate) injected: Vec<String>,
}

/// Payload sizes of a plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SizePlan {
    /// `const`, `uniform` or `mix`.
    pub(crate) kind: String,
    /// Smallest payload.
    pub(crate) min_bytes: u64,
    /// Largest payload; equals the smallest for `const`.
    pub(crate) max_bytes: u64,
    /// The sizes of a `mix` and how many events have each; empty otherwise.
    #[serde(default)]
    pub(crate) parts: Vec<SizePart>,
}

/// Events of any size of a range alike, within a mix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SizePart {
    /// Smallest payload.
    pub(crate) min_bytes: u64,
    /// Largest payload.
    pub(crate) max_bytes: u64,
    /// Share of the events, 0 to 1.
    pub(crate) share: f64,
}

/// Planned lengths of the five phases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PhasePlan {
    /// Connections are opened.
    pub(crate) connect_ns: u64,
    /// All are open, nothing is published.
    pub(crate) settle_ns: u64,
    /// Events flow and are not counted.
    pub(crate) warmup_ns: u64,
    /// The measured window.
    pub(crate) measure_ns: u64,
    /// Nothing is published any more; late deliveries are waited for.
    pub(crate) drain_ns: u64,
}

/// The phases of a run. Only `measure` enters the figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Connections are opened.
    #[default]
    Connect,
    /// All are open, nothing is published.
    Settle,
    /// Events flow and are not counted.
    Warmup,
    /// The measured window.
    Measure,
    /// Nothing is published any more; late deliveries are waited for.
    Drain,
}

impl Phase {
    /// The phase in words.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Settle => "settle",
            Phase::Warmup => "warm-up",
            Phase::Measure => "measure",
            Phase::Drain => "drain",
        }
    }
}

/// Which clocks the figures rest on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Clock {
    /// Clock of the stamps: `realtime` or `monotonic`.
    pub(crate) domain: String,
    /// Where an arrival is stamped: `kernel` (receive stamp) or `user` (after the read; the
    /// load generator's own delay is then inside every figure).
    pub(crate) rx: String,
    /// `single` (one machine publishes and receives), `swarm` (each machine times its own
    /// events), or `none` (relative figures only).
    pub(crate) mode: String,
    /// The machines that made the load, in the order of `--agents`; empty if it was this one.
    #[serde(default)]
    pub(crate) agents: Vec<Agent>,
}

/// One machine of several that made the load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Agent {
    /// Where it was reached.
    pub(crate) host: String,
    /// Its share of the subscribers.
    pub(crate) subscribers: u64,
    /// How many of them were open when the measured window began.
    pub(crate) up: Option<u64>,
    /// Deliveries to them.
    pub(crate) unique: Option<u64>,
    /// Deliveries that they lost.
    pub(crate) lost: Option<u64>,
    /// Whether its own measurement can be believed; null when it was lost on the way.
    pub(crate) verdict: Option<Status>,
    /// How much later than the word was given it may have started: until it said that it had
    /// heard it.
    pub(crate) start_within_ns: Option<u64>,
    /// Why it has no part in the figures; null when it has.
    pub(crate) missing: Option<String>,
}
