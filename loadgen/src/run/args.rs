//! The arguments of `run`, and what can be said about them before anything starts.

mod choice;
mod sense;

use std::net::IpAddr;
use std::time::Duration;

use super::inject::Injection;
use super::seat::Seat;
use crate::amount::{Bytes, Count, Rate, Share, Size, Span};
use crate::client::life::Life;
use crate::pace::Pace;
use crate::profile::field::{self, Fields};
use crate::profile::{Profile, Tokens, Wishes};
use crate::report::objective::Objective;
use crate::report::output;
use crate::schedule::Arrival;

pub(crate) use choice::{Close, Cpus, SlowPlan, Spread, Stamps};

/// The measured window where nobody said how long.
const WINDOW: Duration = Duration::from_secs(10);

/// Probes where nobody asked for a number: a thousand events give 64,000 samples of them.
const PROBES_COUNT: usize = 64;

/// Processors for reading from which on one is spared for probes.
const PROBING_PROCESSORS_MIN: usize = 4;

/// Arguments of `downpour-load run`.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "run")]
#[command(args_override_self = true)]
#[command(after_help = "\
Exit codes: 0 all is well, 1 could not run, 2 wrong usage, 3 an objective was missed, 4 the
measurement is INVALID (with --strict also SUSPECT), 130 and 143 interrupted (the report is
written, objectives are not judged).

Placeholders: {topic} in URLs, bodies and header fields; {subscriber}, its number from 0, and
{token} in the subscribe URL and in --header; {data} in --publish-body.")]
pub(crate) struct Args {
    /// Where to subscribe: http://host:port, or with a path and {topic}; several share the load
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Read arguments from a TOML file (keys are the names of these flags); flags given on the
    /// command line win
    #[arg(long, value_name = "FILE", help_heading = "Plan")]
    pub(crate) scenario: Option<String>,

    /// Subscribers
    #[arg(short = 'c', long, default_value = "1000", value_name = "N", help_heading = "Plan")]
    pub(crate) subscribers: Count,

    /// Events per second: one rate; from one to another over the window (20:200); in steps
    /// (10/30s,20/30s,20:50/1m); as a sine (sine:10:50/60s); or the times of a trace, @FILE with
    /// seconds, one a line
    #[arg(short, long, default_value = "10", value_name = "RATE", help_heading = "Plan")]
    pub(crate) rate: Pace,

    /// Length of the measured window: unless given, that of the steps or the trace of --rate, else
    /// 10s
    #[arg(short, long, value_name = "TIME", help_heading = "Plan")]
    pub(crate) duration: Option<Span>,

    /// Load before it that is not measured
    #[arg(long, default_value = "2s", value_name = "TIME", help_heading = "Plan")]
    pub(crate) warmup: Span,

    /// Quiet between the last connect and the first event; a subscriber is due for events from
    /// this long after its stream opened
    #[arg(long, default_value = "500ms", value_name = "TIME", help_heading = "Plan")]
    pub(crate) settle: Span,

    /// A delivery that takes longer than this is late: it counts with this value, as one that never
    /// came
    #[arg(long, default_value = "5s", value_name = "TIME", help_heading = "Plan")]
    pub(crate) horizon: Span,

    /// Bytes of an event's data; a range of sizes (64:4k); or several with the share of the events
    /// that have them (64:70%,1k:25%,4k:16k:5%). The stamp takes 64
    #[arg(short, long, default_value = "128", value_name = "BYTES", help_heading = "Plan")]
    pub(crate) size: Size,

    /// Topics
    #[arg(long, default_value = "1", value_name = "N", help_heading = "Plan")]
    pub(crate) topics: Count,

    /// How subscribers are spread over topics: even, or zipf:EXPONENT
    #[arg(long, default_value = "even", value_name = "LAW", help_heading = "Plan")]
    pub(crate) dist: Spread,

    /// How events are spread over topics: even (in turn), or zipf:EXPONENT
    #[arg(long, default_value = "even", value_name = "LAW", help_heading = "Plan")]
    pub(crate) publish_dist: Spread,

    /// Name of the topic; with several, a number is appended
    #[arg(long, default_value = "load", value_name = "NAME", help_heading = "Plan")]
    pub(crate) topic: String,

    /// Law of the intended times
    #[arg(long, value_enum, default_value_t, help_heading = "Plan")]
    pub(crate) arrival: Arrival,

    /// Seed of all random choices
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Plan")]
    pub(crate) seed: u64,

    /// Connects per second; as fast as they succeed unless given
    #[arg(long, value_name = "RATE", help_heading = "Subscribers")]
    pub(crate) connect_rate: Option<Rate>,

    /// How long a connect may take, and how long the ramp may stand still
    #[arg(long, default_value = "10s", value_name = "TIME", help_heading = "Subscribers")]
    pub(crate) connect_timeout: Span,

    /// Header field of the subscribe request, or @FILE with one on each line; may be given many times
    #[arg(short = 'H', long, value_name = "FIELD", help_heading = "Subscribers")]
    pub(crate) header: Vec<Fields>,

    /// Tokens, one on each line, dealt out to the subscribers in turn: many users, each with a right
    /// of its own. Sent as Authorization: Bearer, or wherever {token} stands in the URL or a --header
    #[arg(long, value_name = "FILE", help_heading = "Subscribers")]
    pub(crate) token_file: Option<Tokens>,

    /// Source addresses to connect from; on loopback they are chosen
    #[arg(long, value_delimiter = ',', value_name = "IP", help_heading = "Subscribers")]
    pub(crate) source: Vec<IpAddr>,

    /// How subscribers close at the end; a reset leaves no TIME_WAIT behind
    #[arg(long, value_enum, default_value_t, help_heading = "Subscribers")]
    pub(crate) close: Close,

    /// Subscribers that read slowly or not at all: SHARE:BYTES_PER_SECOND, 5%:1KiB or 10:0
    #[arg(long, value_name = "SHARE:RATE", help_heading = "Subscribers")]
    pub(crate) slow: Option<SlowPlan>,

    /// Measure the other subscribers alone first, and say how much slower the slow ones make them
    #[arg(long, requires = "slow", help_heading = "Subscribers")]
    pub(crate) isolation: bool,

    /// Receive buffer of slow subscribers
    #[arg(long, default_value = "4KiB", value_name = "BYTES", help_heading = "Subscribers")]
    pub(crate) slow_rcvbuf: Bytes,

    /// Subscribers per second that leave and come anew while events flow
    #[arg(long, value_name = "RATE", help_heading = "Subscribers")]
    pub(crate) churn: Option<Rate>,

    /// How long each subscriber stays before it leaves and comes anew, while events flow: a time, or
    /// drawn with a mean, exp:120s
    #[arg(long, value_name = "LAW", conflicts_with = "churn", help_heading = "Subscribers")]
    pub(crate) life: Option<Life>,

    /// Server profile, which says where to subscribe and how to publish: downpour; mercure; nchan
    /// (/sub/{topic}, /pub/{topic}); centrifugo (uni_sse and its API); generic (any stream, and what
    /// --publish says); or a FILE that describes a server
    #[arg(long, default_value = "downpour", value_name = "PROFILE", help_heading = "Publishing")]
    pub(crate) profile: Profile,

    /// Publish nothing; without a stamp only arrivals are counted
    #[arg(long, help_heading = "Publishing")]
    pub(crate) no_publish: bool,

    /// Publish elsewhere than the profile says: 'POST http://host/path/{topic}'
    #[arg(long, value_name = "METHOD URL", help_heading = "Publishing")]
    pub(crate) publish: Option<String>,

    /// Body of a publish, with {data} in it
    #[arg(long, value_name = "TEMPLATE", help_heading = "Publishing")]
    pub(crate) publish_body: Option<String>,

    /// Header field of the publish request, or @FILE; may be given many times
    #[arg(long, value_name = "FIELD", help_heading = "Publishing")]
    pub(crate) publish_header: Vec<Fields>,

    /// Publisher connections; with more than topics, each has a sequence of its own
    #[arg(long, default_value = "1", value_name = "N", help_heading = "Publishing")]
    pub(crate) publishers: Count,

    /// Send events that are due together in one request, where the server takes that; with a TIME,
    /// those that come due within it, which the first of them then waits for
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0",
        help_heading = "Publishing"
    )]
    pub(crate) publish_batch: Option<Span>,

    /// Threads that read subscribers; one per processor (of --cpus, if given) unless given
    #[arg(long, value_name = "N", help_heading = "Rig")]
    pub(crate) threads: Option<usize>,

    /// Subscribers, spread over the connect order, that a thread of its own reads at once: their
    /// latency, taken in user space, shows what the reading of all the others hides. 64 unless
    /// given, where there are four processors or more; else none, and the kernel's stamps alone
    /// keep the reading out of the figures
    #[arg(long, value_name = "SHARE", help_heading = "Rig")]
    pub(crate) probes: Option<Share>,

    /// Processors to pin the reading threads to, the probes' last: 0,2-5
    #[arg(long, value_name = "LIST", help_heading = "Rig")]
    pub(crate) cpus: Option<Cpus>,

    /// Processor to pin the publishing thread to
    #[arg(long, value_name = "N", help_heading = "Rig")]
    pub(crate) publisher_cpu: Option<usize>,

    /// Where an arrival is stamped; auto takes the kernel's stamps
    #[arg(long, value_enum, default_value_t, help_heading = "Rig")]
    pub(crate) ts: Stamps,

    /// Bits per second of the link to the server (25G), for the time that the link alone needs;
    /// taken from the network interface unless given
    #[arg(long, value_name = "BITS", help_heading = "Rig")]
    pub(crate) link: Option<Count>,

    /// A run saved with --json against 'downpour-load serve': its p99 is shown as the least that
    /// this rig can measure. What calibrate stored is found without this flag
    #[arg(long, value_name = "FILE", help_heading = "Rig")]
    pub(crate) floor: Option<String>,

    /// Start the server with this shell command, and stop it at the end
    #[arg(long, value_name = "COMMAND", help_heading = "Server")]
    pub(crate) spawn: Option<String>,

    /// Processors that the spawned server may use, those that are left being ours; the first half
    /// of them unless this or --cpus is given
    #[arg(long, value_name = "LIST", help_heading = "Server")]
    pub(crate) server_cpus: Option<Cpus>,

    /// Process of the server, to measure its CPU and memory; known if it was spawned
    #[arg(long, value_name = "PID", help_heading = "Server")]
    pub(crate) pid: Option<u32>,

    /// Put a fault upon the server's process, from the start of the measured window:
    /// sigstop:1.4s@30s stops it for a while, sigkill@20s kills it; may be given many times
    #[arg(long, value_name = "FAULT@TIME", help_heading = "Server")]
    pub(crate) inject: Vec<Injection>,

    /// Objective, as last.p99<80ms or lost==0; may be given many times
    #[arg(long, value_name = "EXPR", value_parser = objective, help_heading = "Verdict")]
    pub(crate) slo: Vec<Objective>,

    /// End the run as soon as an objective can no longer be met, however well the rest goes: one
    /// that bounds lost, duplicate, out_of_order, corrupt, malformed, disconnects, or max, mean or a
    /// percentile of delivery (also .sent, .user), or last.max, from above
    #[arg(long, requires = "slo", conflicts_with = "no_publish", help_heading = "Verdict")]
    pub(crate) abort_on_breach: bool,

    /// Let a SUSPECT measurement fail too
    #[arg(long, help_heading = "Verdict")]
    pub(crate) strict: bool,

    /// Carry out the plan so many times, a spawned server started anew each time: a report of each,
    /// in files with -1, -2 and so on before their endings, and one of all with the spread of each
    /// figure from run to run
    #[arg(long, default_value_t = 1, value_name = "N", conflicts_with_all = ["ndjson", "prom"],
          help_heading = "Results")]
    pub(crate) runs: u32,

    /// Run this shell command between two of --runs
    #[arg(long, value_name = "COMMAND", help_heading = "Results")]
    pub(crate) between: Option<String>,

    /// Name of the run in comparisons
    #[arg(long, value_name = "NAME", help_heading = "Results")]
    pub(crate) name: Option<String>,

    /// Label kept with the run, as KEY=VALUE; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label, help_heading = "Results")]
    pub(crate) label: Vec<(String, String)>,

    /// Add the percentile spectrum of every latency to the text report
    #[arg(long, help_heading = "Results")]
    pub(crate) latency: bool,

    /// One line of JSON per second while the run lasts
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) ndjson: Option<String>,

    /// Serve the run's state to Prometheus at this address
    #[arg(long, value_name = "ADDRESS", help_heading = "Results")]
    pub(crate) prom: Option<String>,

    /// No progress on standard error
    #[arg(short, long, help_heading = "Results")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) output: output::Args,

    /// Agents ('downpour-load agent') that make the load in place of this machine, each an equal
    /// share of the subscribers and of the events
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        help_heading = "Several machines"
    )]
    pub(crate) agents: Vec<String>,

    /// File with the key that the agents were started with
    #[arg(long, value_name = "FILE", requires = "agents", help_heading = "Several machines")]
    pub(crate) agents_key: Option<String>,

    /// What kind of run this is, for the report.
    #[arg(skip = "run")]
    pub(crate) scenario_kind: &'static str,

    /// Which of the machines of the run this one is.
    #[arg(skip)]
    pub(crate) seat: Seat,
}

fn objective(text: &str) -> Result<Objective, String> {
    Objective::parse(text)
}

fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is not KEY=VALUE"))
}

impl Args {
    /// The same run without its slow subscribers, and without output while it lasts.
    pub(crate) fn without_slow(&self) -> Args {
        let all = self.subscribers.0;
        let slow = self.slow.map_or(0, |slow| slow.share.of(all as usize) as u64);
        Args {
            slow: None,
            subscribers: Count(all - slow),
            abort_on_breach: false,
            ndjson: None,
            prom: None,
            ..self.clone()
        }
    }

    /// Length of the measured window.
    pub(crate) fn window(&self) -> Duration {
        let own = self.rate.length().filter(|_| !self.no_publish);
        self.duration.map(|Span(length)| length).or(own).unwrap_or(WINDOW)
    }

    /// What was said about the server.
    pub(crate) fn wishes(&self) -> Wishes {
        Wishes {
            headers: field::all(&self.header),
            tokens: self.token_file.clone(),
            publish: self.publish.clone(),
            publish_headers: field::all(&self.publish_header),
            publish_body: self.publish_body.clone(),
            batch: self.publish_batch.map(|gather| gather.0),
        }
    }

    /// Threads that read subscribers other than probes: never more than those.
    pub(crate) fn thread_count(&self) -> usize {
        let spare = usize::from(self.probe_count() > 0);
        let wanted = self.threads.unwrap_or(self.processor_count().saturating_sub(spare));
        let others = (self.subscribers.0 as usize).saturating_sub(self.probe_count());
        wanted.clamp(1, others.max(1))
    }

    /// Subscribers that are probes.
    pub(crate) fn probe_count(&self) -> usize {
        let subscribers = self.subscribers.0 as usize;
        let default = match self.processor_count() {
            PROBING_PROCESSORS_MIN.. if subscribers > 10 * PROBES_COUNT => PROBES_COUNT,
            _ => 0,
        };
        self.probes.map_or(default, |share| share.of(subscribers)).min(subscribers.max(1) - 1)
    }

    /// The same with the processors divided between a spawned server and this process, as far as
    /// nobody has said how: what shares a processor with a server is part of what is measured.
    pub(crate) fn apart(&self) -> Args {
        let mut apart = self.clone();
        if self.spawn.is_some() && self.cpus.is_none() && self.agents.is_empty() {
            (apart.server_cpus, apart.cpus) = Cpus::apart(apart.server_cpus);
        }
        apart
    }

    /// Processors for the threads that read.
    fn processor_count(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.cpus.as_ref().map_or_else(all, |cpus| cpus.0.len())
    }
}
