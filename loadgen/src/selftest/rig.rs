//! One case carried out: a scripted server and a run against it, both as child processes.
//!
//! What comes back is the report and the truth: the saved run, and the journal of what the
//! server really injected.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::case::{Case, Disturbance};
use crate::clock;
use crate::find::child;
use crate::report::model::Run;
use crate::serve::journal::{Injection, Line, Summary};
use crate::serve::process::{ServerProcess, Signal};

/// What a case produced.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) run: Run,
    /// Exit code of the run.
    pub(super) code: Option<i32>,
    /// What the server injected, in order.
    pub(super) injections: Vec<Injection>,
    pub(super) summary: Summary,
    /// How long the server was stopped from outside.
    pub(super) stopped: Option<Duration>,
}

impl Evidence {
    /// How long the one injected stall really lasted.
    pub(super) fn stalled_ns(&self) -> Option<u64> {
        self.injections.iter().find_map(|injection| injection.lasted_ns)
    }
}

/// Carries out a case.
///
/// # Errors
///
/// Why there is nothing to judge: a child did not start, or the run saved nothing.
pub(super) fn carry_out(case: &Case) -> Result<Evidence, String> {
    let server = Server::start(&case.server)?;
    // The server's numbers for subscribers are those of the run, whoever is accepted first.
    let url = format!("http://{}/events/{{topic}}?subscriber={{subscriber}}", server.address);
    let arguments: Vec<String> = [url].into_iter().chain(case.run.iter().cloned()).collect();
    let hogs = match case.disturbance {
        Some(Disturbance::Hog { cpu, threads }) => Some(Hogs::start(cpu, threads)?),
        _ => None,
    };
    let started = child::start(&arguments)?;
    let stopped = match case.disturbance {
        Some(Disturbance::Stop { after, length }) => Some(server.stand_still(after, length)?),
        _ => None,
    };
    let finished = started.finish()?;
    drop(hogs);
    let lines = server.end()?;
    let mut injections = Vec::new();
    let mut summary = None;
    for line in lines {
        match line {
            Line::Injected(injection) => injections.push(injection),
            Line::Summary(sums) => summary = Some(sums),
            Line::Listening { .. } => {}
        }
    }
    Ok(Evidence {
        run: finished.run?,
        code: finished.code,
        injections,
        summary: summary.ok_or("the server ended without a summary")?,
        stopped,
    })
}

/// Threads that keep a processor busy for as long as this lives.
#[derive(Debug)]
struct Hogs {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    fn start(cpu: usize, threads: usize) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..threads).map(|_| {
            let stop = stop.clone();
            std::thread::Builder::new().spawn(move || {
                // Where the processor is not ours, the reader that is to be starved says so.
                if clock::pin(cpu).is_ok() {
                    // Relaxed: nothing else depends on it.
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                }
            })
        });
        let threads = threads.collect::<Result<_, _>>().map_err(|error| format!("{error}"))?;
        Ok(Self { stop, threads })
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it only counts"));
    }
}

/// A scripted server whose journal is read as it is written, so that it never waits for us.
#[derive(Debug)]
pub(crate) struct Server {
    process: ServerProcess,
    pub(crate) address: SocketAddr,
    journal: JoinHandle<Vec<Line>>,
}

impl Server {
    pub(crate) fn start(arguments: &[String]) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-ends"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process =
            ServerProcess::start(&mut command).map_err(|error| format!("serve: {error}"))?;
        let mut journal = BufReader::new(process.take_stdout().expect("piped"));
        let mut first = String::new();
        journal.read_line(&mut first).map_err(|error| error.to_string())?;
        match serde_json::from_str(&first) {
            Ok(Line::Listening { address, .. }) => {
                Ok(Self { process, address, journal: std::thread::spawn(|| lines(journal)) })
            }
            _ => Err(format!("serve {} does not listen", arguments.join(" "))),
        }
    }

    /// Stops the server with SIGSTOP, and returns how long it really stood still.
    fn stand_still(&self, after: Duration, length: Duration) -> Result<Duration, String> {
        let send = |signal| self.process.signal(signal).map_err(|error| error.to_string());
        std::thread::sleep(after);
        let start = Instant::now();
        send(Signal::Stop)?;
        std::thread::sleep(length);
        send(Signal::Continue)?;
        Ok(start.elapsed())
    }

    pub(crate) fn end(mut self) -> Result<Vec<Line>, String> {
        self.process.close_stdin();
        let lines = self.journal.join().map_err(|_| "the journal's reader panicked".to_owned())?;
        self.process.end().map_err(|error| error.to_string())?;
        Ok(lines)
    }
}

fn lines(journal: BufReader<ChildStdout>) -> Vec<Line> {
    let lines = journal.lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok()).collect()
}
