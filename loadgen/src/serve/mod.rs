//! The `serve` command: a small event-stream server that is wrong on demand.
//!
//! The idea: an instrument is tested against a known truth. This server is correct by default,
//! injects exactly the faults that a script names, and writes down what it injected, so that
//! the report of a run can be held against it. It is no product and no rival: one thread, plain
//! code, some ten thousand subscribers.
//!
//! | module | knows |
//! | --- | --- |
//! | `script` | the vocabulary of options and faults |
//! | `history` | events of a topic, resuming |
//! | `wire` | bytes of a stream |
//! | `request` | bytes of a request |
//! | `injector` | which fault meets which delivery |
//! | `journal` | what was injected |
//! | `process` | a server as a child process |
//! | `connection`, `topics`, `server`, `routes`, `delivery` | sockets, and all of the above |

mod connection;
mod delivery;
mod history;
mod injector;
pub(crate) mod journal;
pub(crate) mod process;
mod request;
mod routes;
mod script;
mod server;
mod topics;
mod wire;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::failure::Failure;
use injector::Injector;
use journal::Journal;
use script::{Fault, Framing, LineEnd, Order, ResumeGap, Script, Wire};
use server::{Options, Parts, Server};
use wire::Writer;

/// Connections that may wait to be accepted: a whole fleet may return at once.
const BACKLOG: i32 = 4096;

/// Events kept for each topic unless told otherwise: minutes of a brisk test.
const HISTORY_EVENTS: usize = 100_000;

/// Arguments of `downpour-load serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Faults, as kind:key=value,key=value. Subscribers are numbered from 0 in the order in which they
subscribe (or by subscriber= in the query), events from 1 in each topic.
  delay:by=5ms                           every event is delivered 5 ms late
  stall:by=100ms,event=500               the server stands still before it delivers event 500
  stall:by=2s,at=10s                     ... 10 s after the first event
  drop:subscriber=3,event=17             one delivery is lost; also: event=17, every=1000000
  duplicate:... swap:... corrupt:...     likewise; corrupt takes byte=N, an offset
  gap:event=9,missing=3[,subscriber=3]   events 9 to 11 are left out and announced;
                                         late=2: two events too late; silent=true: never
  close:every=1000[,reset=true]          each connection is closed after every 1000 deliveries
  status:code=503,first=10               the first ten subscriptions are refused
  slow-head:by=2s,every=100              every 100th subscription waits for its response head

A script (--script) is the same in TOML: a table [wire] with the options above, and one [[fault]]
for each fault with its kind and keys.")]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one, which the first line of the journal names
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDR")]
    listen: SocketAddr,
    /// Read options and faults from this TOML file
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Inject this fault; may be given many times
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
    /// Write the journal here instead of standard output
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Stop when standard input ends, so that the server never outlives who started it
    #[arg(long)]
    until_stdin_ends: bool,
    #[command(flatten)]
    wire: Wire,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell("serve"),
    }
}

fn serve(args: Args) -> Result<(), Failure> {
    let script = match &args.script {
        None => Script::default(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| error.to_string())
            .and_then(|text| Script::from_toml(&text))
            .map_err(|error| Failure::Usage(format!("--script {}: {error}", path.display())))?,
    };
    let wire = args.wire.or(script.wire);
    if wire.write_bytes_max == Some(0) {
        let text = "--write-bytes-max 0 would write nothing; give 1 or more";
        return Err(Failure::Usage(text.to_owned()));
    }
    let faults = script.faults.into_iter().chain(args.faults).collect();
    let journal: Box<dyn Write> = match &args.journal {
        None => Box::new(io::stdout()),
        Some(path) => Box::new(
            std::fs::File::create(path)
                .map_err(|error| format!("--journal {}: {error}", path.display()))?,
        ),
    };
    let listener =
        listen(args.listen).map_err(|error| format!("--listen {}: {error}", args.listen))?;
    let parts = |stop| Parts {
        listener: mio::net::TcpListener::from_std(listener),
        stop,
        writer: writer(&wire),
        injector: Injector::new(faults, wire.resume_gap.unwrap_or(ResumeGap::Exact)),
        options: options(&wire),
        journal: Journal::new(journal),
    };
    stop_stream(args.until_stdin_ends)
        .and_then(|stop| Server::new(parts(stop)))
        .and_then(Server::run)
        .map_err(|error| Failure::Broken(error.to_string()))
}

fn writer(wire: &Wire) -> Writer {
    Writer {
        framing: wire.framing.unwrap_or(Framing::Close),
        line_end: wire.line_end.unwrap_or(LineEnd::Lf),
        // Base 36 keeps ids short; the start in nanoseconds keeps two starts apart.
        epoch: wire.epoch.clone().unwrap_or_else(|| base36(crate::clock::now_ns())),
    }
}

fn options(wire: &Wire) -> Options {
    Options {
        write_bytes_max: wire.write_bytes_max.unwrap_or(usize::MAX),
        order: wire.order.unwrap_or(Order::First),
        history_events: wire.history_events.unwrap_or(HISTORY_EVENTS),
        retry: wire.retry.map(|span| span.0),
        heartbeat: wire.heartbeat.map(|span| span.0.max(Duration::from_millis(1))),
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % 36) as u32, 36).expect("below 36"));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A stream that becomes readable at SIGTERM or SIGINT, or when standard input ends.
fn stop_stream(until_stdin_ends: bool) -> io::Result<mio::net::UnixStream> {
    let (stop, sender) = UnixStream::pair()?;
    stop.set_nonblocking(true)?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
    }
    if until_stdin_ends {
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = (&sender).write_all(&[0]);
        });
    }
    Ok(mio::net::UnixStream::from_std(stop))
}

#[cfg(test)]
mod tests {
    use super::base36;

    #[test]
    fn base36_is_what_the_standard_library_reads_back() {
        for number in [0, 1, 35, 36, 1_234_567, u64::MAX] {
            assert_eq!(u64::from_str_radix(&base36(number), 36), Ok(number));
        }
    }
}
