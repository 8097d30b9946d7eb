//! The `agent` command: a machine that makes load for a run that is started elsewhere.
//!
//! The idea: a run on several machines is one plan of which each carries out its part. The agent
//! takes plans from whoever may give them, one at a time, does what `run` would do, and sends the
//! report back; it keeps nothing.
//!
//! | module | knows |
//! | --- | --- |
//! | `protocol` | what is said, and in which order |
//! | `plan` | the flags of `run` on their way |
//! | `wire` | lines over TCP |
//! | `key` | who may give plans |
//! | `letters` | what became of millions of events, in some bytes |
//! | `session` | one coordinator |
//!
//! Invariants: an agent opens connections for nobody who has not proved its key, and without a key
//! it listens on loopback alone; when a coordinator is gone, so are the subscribers of its run.
//! Who divides a run and joins the parts is `run::swarm`.

pub(crate) mod key;
pub(crate) mod letters;
pub(crate) mod plan;
pub(crate) mod protocol;
mod session;
pub(crate) mod wire;

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::failure::Failure;
use crate::run::Cpus;
use key::Key;
use session::Outcome;

/// How often a quiet agent looks for coordinators and signals.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Who may be connected at a time: more are no coordinators.
const COORDINATORS_MAX: usize = 16;

/// Arguments of `downpour-load agent`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An agent opens connections to wherever a coordinator says, with the flags that 'run --agents' was
given. It listens on loopback; at any other address it needs --key, which the coordinator proves to
have without sending it. Nothing is encrypted: over a network that others can read, listen on
loopback and tunnel ('ssh -L 7000:127.0.0.1:7000 machine').

Exit codes: 0 with --once, when the plan was carried out; 1 could not listen, or the plan was not
carried out; 2 wrong usage; 130 and 143 interrupted.

Example:
  machine-1$ downpour-load agent --listen 10.0.0.1:7000 --key agents.key
  machine-2$ downpour-load agent --listen 10.0.0.2:7000 --key agents.key
  here$      downpour-load run http://10.0.0.9:8080 --agents 10.0.0.1:7000,10.0.0.2:7000 \\
                 --agents-key agents.key -c 200k --rate 20")]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one, which the first line of output names
    #[arg(long, default_value = "127.0.0.1:7000", value_name = "ADDR:PORT")]
    listen: SocketAddr,

    /// File with the key that coordinators must have; of 16 bytes or more
    #[arg(long, value_name = "FILE")]
    key: Option<String>,

    /// End after one plan
    #[arg(long)]
    once: bool,

    /// Addresses of this machine to connect from
    #[arg(long, value_delimiter = ',', value_name = "IP", help_heading = "Rig")]
    source: Vec<IpAddr>,

    /// Processors of this machine to pin the reading threads to: 0,2-5
    #[arg(long, value_name = "LIST", help_heading = "Rig")]
    cpus: Option<Cpus>,

    /// Processor of this machine to pin the publishing thread to
    #[arg(long, value_name = "N", help_heading = "Rig")]
    publisher_cpu: Option<usize>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> ExitCode {
    match serve(args) {
        Ok(code) => code,
        Err(failure) => failure.tell("agent"),
    }
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Agent {
    key: Option<Key>,
    /// Flags of `run` that are this machine's own.
    flags: Vec<String>,
    /// The plan that is being prepared or carried out.
    busy: Mutex<Option<Busy>>,
    /// Runs that have begun and are not reported. The Release of an end pairs with the Acquire of
    /// the look before the process ends.
    runs: AtomicUsize,
}

/// Who has the agent, and what ends his run.
#[derive(Debug, Clone)]
pub(crate) struct Busy {
    coordinator: SocketAddr,
    signal: Arc<AtomicUsize>,
}

impl Agent {
    /// Who has the agent. A session that panicked has it no longer.
    pub(crate) fn busy(&self) -> std::sync::MutexGuard<'_, Option<Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(args: &Args) -> Result<ExitCode, Failure> {
    let key = args.key.as_deref().map(Key::read).transpose();
    let key = key.map_err(|error| Failure::Usage(format!("--key {error}")))?;
    if key.is_none() && !args.listen.ip().is_loopback() {
        return Err(Failure::Usage(format!(
            "--listen {}: whoever reaches an agent makes it open connections; give --key FILE, or \
             listen on loopback and tunnel (ssh -L)",
            args.listen
        )));
    }
    let explain = |error| format!("--listen {}: {error}", args.listen);
    let listener = TcpListener::bind(args.listen).map_err(explain)?;
    listener.set_nonblocking(true).map_err(explain)?;
    let signal = crate::run::signals()?;
    say(&format!("listening on {}", listener.local_addr().map_err(explain)?));
    let runs = AtomicUsize::new(0);
    let agent = Arc::new(Agent { key, flags: flags(args), busy: Mutex::new(None), runs });
    Ok(receive(&agent, &listener, &signal, args.once))
}

/// Takes whoever comes, until there is a signal, or a plan was carried out and one was asked for.
fn receive(
    agent: &Arc<Agent>,
    listener: &TcpListener,
    signal: &AtomicUsize,
    once: bool,
) -> ExitCode {
    let (over, ends) = crossbeam_channel::unbounded();
    let mut there = 0;
    loop {
        let number = signal.load(Ordering::Relaxed);
        if number != 0 {
            if let Some(busy) = agent.busy().as_ref() {
                busy.signal.store(number, Ordering::Relaxed);
            }
            if agent.runs.load(Ordering::Acquire) == 0 {
                return ExitCode::from(128 + number as u8);
            }
        }
        while let Ok(outcome) = ends.try_recv() {
            there -= 1;
            match outcome {
                Outcome::Done if once => return ExitCode::SUCCESS,
                Outcome::Failed if once => return ExitCode::from(1),
                Outcome::Done | Outcome::Failed | Outcome::Refused => {}
            }
        }
        match listener.accept() {
            Ok((socket, from)) if there < COORDINATORS_MAX => {
                there += 1;
                let (agent, over) = (agent.clone(), over.clone());
                std::thread::spawn(move || {
                    let session = AssertUnwindSafe(|| greet(&agent, socket, from));
                    // A panic ends one session.
                    let _ = over.send(catch_unwind(session).unwrap_or(Outcome::Failed));
                });
            }
            // Nobody there, one too many, or one who has gone already.
            Ok(_) | Err(_) => std::thread::sleep(LOOK_INTERVAL),
        }
    }
}

fn greet(agent: &Agent, socket: TcpStream, from: SocketAddr) -> Outcome {
    match socket.set_nonblocking(false) {
        Ok(()) => session::hold(agent, socket, from),
        Err(_) => Outcome::Refused,
    }
}

/// The flags of `run` that are this machine's own.
fn flags(args: &Args) -> Vec<String> {
    let source: Vec<String> = args.source.iter().map(ToString::to_string).collect();
    let list = |cpus: &Cpus| cpus.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let given = [
        ("source", (!source.is_empty()).then(|| source.join(","))),
        ("cpus", args.cpus.as_ref().map(list)),
        ("publisher-cpu", args.publisher_cpu.map(|cpu| cpu.to_string())),
    ];
    let words = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
    words.map(|(name, value)| format!("--{name}={value}")).collect()
}

/// Says something on standard output. Nobody has to listen.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
