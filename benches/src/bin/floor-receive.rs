//! Floor: a bare receive loop over N sockets. What does receiving an event cost at least?
//!
//! A load generator on the same machine as the server shares its fate, so its own cost must be
//! known. With `--read count` this loop only counts events; with `--read stamps` it is a minimal
//! client that publishes by plan and measures latency, loss and the server's CPU. It proves no
//! delivery beyond counting; `downpour-load` does that.
//!
//! The result is one JSON object on standard output; progress goes to standard error.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use downpour_benches::failure::{self, Doing, Failure};
use downpour_benches::pace::Pace;
use downpour_benches::procfs::Cpu;
use downpour_benches::publisher::{Plan, Publisher, Way};
use downpour_benches::subscribers::{self, Received, Subscribers};
use downpour_benches::tally::{Summary, Tally};
use downpour_benches::{stamp, sys};
use serde::Serialize;

/// From the last connection to the first event: acknowledgements and greetings pass.
const SETTLE_NS: u64 = 500_000_000;
/// How long deliveries may still come after the last publish.
const DRAIN_NS: u64 = 3_000_000_000;
/// How often the clock is looked at when nothing comes in.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A bare receive loop; publishes to the server it receives from.
#[derive(Parser)]
struct Args {
    /// Address of the server.
    #[arg(long)]
    connect: SocketAddr,
    /// Topic to subscribe and publish to.
    #[arg(long, default_value = "t")]
    topic: String,
    /// Subscribers that read.
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Further subscribers that never read. They are part of no figure.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Events per second to publish; 0 when the server publishes by itself, or to stay idle.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Bytes of data per event.
    #[arg(long, default_value_t = 100, value_parser = stamp::payload_bytes)]
    bytes: usize,
    /// How events reach the server.
    #[arg(long, value_enum, default_value_t = Way::Post)]
    publish: Way,
    /// What is read out of the streams.
    #[arg(long, value_enum, default_value_t = Reading::Stamps)]
    read: Reading,
    /// Seconds of load before the measured window.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Seconds of the measured window.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Process of the server, to measure its CPU time; repeat it for all of its processes.
    #[arg(long)]
    server_pid: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Reading {
    /// Events are counted and nothing else.
    Count,
    /// Each event's latency and loss are recorded.
    Stamps,
}

/// The moments of a run, in monotonic nanoseconds.
struct Schedule {
    publish_ns: u64,
    window_ns: u64,
    end_ns: u64,
}

/// What is read at both ends of the window.
#[derive(Clone, Copy)]
struct Snapshot {
    now_ns: u64,
    received: Received,
    client_cpu_ns: u64,
    server_cpu: Cpu,
}

/// The result: figures of the window, then of the whole run.
#[derive(Serialize)]
struct Report {
    subscriber_count: usize,
    stalled_count: usize,
    window_ns: u64,
    delivery_count: u64,
    read_count: u64,
    stream_bytes: u64,
    client_cpu_ns: u64,
    client_cpu_ns_per_delivery: Option<f64>,
    server_cpu: Option<Cpu>,
    server_cpu_ns_per_delivery: Option<f64>,
    deliveries_per_server_cpu_second: Option<f64>,
    latency: Option<Summary>,
    whole_run: WholeRun,
}

#[derive(Serialize)]
struct WholeRun {
    published_count: u64,
    delivery_count: u64,
    missing_count: u64,
    closed_count: u64,
}

fn main() -> ExitCode {
    failure::exit(run(&Args::parse()))
}

fn run(args: &Args) -> Result<(), Failure> {
    sys::raise_descriptor_limit().doing(|| "raise the descriptor limit".into())?;
    let mut subscribers = Subscribers::connect(args.connect, &args.topic, args.subscribers)?;
    let stalled = subscribers::connect_stalled(args.connect, &args.topic, args.stalled)?;
    eprintln!(
        "{} subscribers connected, {} of them stalled",
        args.subscribers + stalled.len(),
        stalled.len()
    );

    let schedule = Schedule::from_now(args);
    let mut tally = Tally::new(schedule.window_ns..schedule.end_ns);
    let mut tally = (args.read == Reading::Stamps).then_some(&mut tally);
    let publisher = start_publisher(args, &schedule)?;
    receive_until(schedule.window_ns, &mut subscribers, &mut tally)?;
    let begin = Snapshot::take(&subscribers, args)?;
    receive_until(schedule.end_ns, &mut subscribers, &mut tally)?;
    let end = Snapshot::take(&subscribers, args)?;
    let published_count = drain(args, publisher, &mut subscribers, &mut tally)?;

    let received = subscribers.received;
    let expected_count = published_count * args.subscribers as u64;
    let whole_run = WholeRun {
        published_count,
        delivery_count: received.event_count,
        missing_count: expected_count.saturating_sub(received.event_count),
        closed_count: received.closed_count,
    };
    let latency = tally.map(|tally| tally.summary(published_count, args.subscribers as u64));
    let report = Report { latency, ..Report::of_window(args, begin, end, whole_run) };
    let json = serde_json::to_string_pretty(&report).doing(|| "write the result".into())?;
    println!("{json}");
    Ok(())
}

fn start_publisher(args: &Args, schedule: &Schedule) -> Result<Option<Publisher>, Failure> {
    if args.rate == 0 {
        return Ok(None);
    }
    let plan = Plan {
        server: args.connect,
        topic: args.topic.clone(),
        way: args.publish,
        pace: Pace::new(schedule.publish_ns, args.rate),
        payload_bytes: args.bytes,
        end_ns: schedule.end_ns,
    };
    Publisher::start(plan).map(Some)
}

fn receive_until(
    end_ns: u64,
    subscribers: &mut Subscribers,
    tally: &mut Option<&mut Tally>,
) -> Result<(), Failure> {
    while sys::monotonic_ns() < end_ns {
        subscribers.receive(LOOK_INTERVAL, tally.as_deref_mut())?;
    }
    Ok(())
}

/// Receives what is still on its way; says how many events were published. A server that has far
/// more before it than it can deliver is not waited for: the rest counts as missing.
fn drain(
    args: &Args,
    publisher: Option<Publisher>,
    subscribers: &mut Subscribers,
    tally: &mut Option<&mut Tally>,
) -> Result<u64, Failure> {
    let Some(publisher) = publisher else {
        return Ok(0);
    };
    let end_ns = sys::monotonic_ns() + DRAIN_NS;
    let expected_count = || publisher.published_count() * args.subscribers as u64;
    while sys::monotonic_ns() < end_ns
        && !(publisher.is_finished() && subscribers.received.event_count >= expected_count())
    {
        subscribers.receive(LOOK_INTERVAL, tally.as_deref_mut())?;
    }
    let published_count = publisher.published_count();
    if publisher.is_finished() {
        publisher.finish()?;
    }
    Ok(published_count)
}

impl Schedule {
    fn from_now(args: &Args) -> Self {
        let publish_ns = sys::monotonic_ns() + SETTLE_NS;
        let window_ns = publish_ns + args.warm_up * 1_000_000_000;
        Self { publish_ns, window_ns, end_ns: window_ns + args.seconds * 1_000_000_000 }
    }
}

impl Snapshot {
    fn take(subscribers: &Subscribers, args: &Args) -> Result<Self, Failure> {
        Ok(Self {
            now_ns: sys::monotonic_ns(),
            received: subscribers.received,
            client_cpu_ns: sys::thread_cpu_ns(),
            server_cpu: Cpu::of(&args.server_pid)?,
        })
    }
}

impl Report {
    fn of_window(args: &Args, begin: Snapshot, end: Snapshot, whole_run: WholeRun) -> Self {
        let delivery_count = end.received.event_count - begin.received.event_count;
        let per_delivery =
            |cpu_ns: u64| (delivery_count > 0).then(|| cpu_ns as f64 / delivery_count as f64);
        let client_cpu_ns = end.client_cpu_ns - begin.client_cpu_ns;
        let server_cpu = end.server_cpu.since(begin.server_cpu);
        let server_ns = Some(server_cpu.total_ns()).filter(|cpu_ns| *cpu_ns > 0);
        Self {
            subscriber_count: args.subscribers,
            stalled_count: args.stalled,
            window_ns: end.now_ns - begin.now_ns,
            delivery_count,
            read_count: end.received.read_count - begin.received.read_count,
            stream_bytes: end.received.stream_bytes - begin.received.stream_bytes,
            client_cpu_ns,
            client_cpu_ns_per_delivery: per_delivery(client_cpu_ns),
            server_cpu: (!args.server_pid.is_empty()).then_some(server_cpu),
            server_cpu_ns_per_delivery: server_ns.and_then(per_delivery),
            deliveries_per_server_cpu_second: server_ns
                .map(|cpu_ns| delivery_count as f64 * 1e9 / cpu_ns as f64),
            latency: None,
            whole_run,
        }
    }
}
