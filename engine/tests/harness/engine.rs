//! The program under test, started for one test and stopped with it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::metrics::Metrics;
use super::sse::Stream;
use super::wire::{Response, Wire, request};

/// How long one test may take. A condition that never comes true fails after this time; nothing
/// else depends on it, so it is long enough for the slowest machine.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two looks at a condition that cannot be waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Which lane delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Uring,
    Epoll,
    /// The one that the machine gives.
    Auto,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Uring => "uring",
            Backend::Epoll => "epoll",
            Backend::Auto => "auto",
        }
    }
}

/// What the program has printed so far.
#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    news: Condvar,
}

impl Output {
    /// The lines; a test that failed while it looked at them leaves them as they are.
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    child: Child,
    output: Arc<Output>,
    /// They end with the program's output.
    collectors: [JoinHandle<()>; 2],
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) deadline: Instant,
}

impl Engine {
    /// Two workers on free ports, with further flags.
    #[track_caller]
    pub(crate) fn start(backend: Backend, flags: &[&str]) -> Engine {
        Engine::run(backend, flags, Command::new(env!("CARGO_BIN_EXE_downpour")))
    }

    /// The same with at most `descriptors` open files.
    #[track_caller]
    pub(crate) fn start_with_descriptors(
        backend: Backend,
        flags: &[&str],
        descriptors: u32,
    ) -> Engine {
        let mut command = Command::new("/bin/sh");
        let limited = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(limited).arg(env!("CARGO_BIN_EXE_downpour"));
        Engine::run(backend, flags, command)
    }

    /// The same for a user without privileges, with limits of his own.
    #[track_caller]
    pub(crate) fn start_confined(backend: Backend, flags: &[&str], confined: Confined) -> Engine {
        let (command, _place) = confined.command();
        Engine::run(backend, flags, command)
    }

    #[track_caller]
    fn run(backend: Backend, flags: &[&str], mut command: Command) -> Engine {
        command.arg("serve").args(["--backend", backend.name()]).args(flags);
        for (flag, value) in
            [("--listen", "127.0.0.1:0"), ("--admin", "127.0.0.1:0"), ("--workers", "2")]
        {
            if !flags.contains(&flag) {
                command.args([flag, value]);
            }
        }
        let (child, output, collectors) = spawn(command);
        let deadline = Instant::now() + TEST_TIMEOUT;
        let mut engine = Engine {
            child,
            output,
            collectors,
            address: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            deadline,
        };
        engine.address = engine.announced("listening on http://");
        if !flags.windows(2).any(|pair| pair == ["--admin", "off"]) {
            engine.admin = engine.announced("admin on http://");
        }
        engine
    }

    /// The address behind `prefix` on a line of the program's output.
    #[track_caller]
    fn announced(&mut self, prefix: &str) -> SocketAddr {
        let line = self.line(prefix);
        let (_, rest) = line.split_once(prefix).expect("it was found by it");
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        rest[..end.unwrap_or(rest.len())].parse().unwrap_or_else(|_| panic!("no address: {line}"))
    }

    /// The first line of the program's output with `part` in it.
    #[track_caller]
    pub(crate) fn line(&mut self, part: &str) -> String {
        let mut lines = self.output.lines();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(part)) {
                return line.clone();
            }
            let over = self.collectors.iter().all(JoinHandle::is_finished);
            let late = Instant::now() >= self.deadline;
            assert!(!over && !late, "no line with {part:?} in {lines:#?}");
            // Ends early: an engine that refuses to start says nothing more.
            let pause = Duration::from_millis(50);
            lines = self.output.news.wait_timeout(lines, pause).expect("no panic").0;
        }
    }

    /// Everything it has printed.
    pub(crate) fn printed(&self) -> String {
        self.output.lines().join("\n")
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.address, self.deadline)
    }

    /// The whole answer to one request on a connection of its own.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut wire = self.connect();
        wire.send_if_taken(request);
        wire.response()
    }

    /// Opens a stream: `target` as in `/events/t`, headers without their line ends.
    #[track_caller]
    pub(crate) fn stream(&self, target: &str, headers: &[&str]) -> Stream {
        let mut wire = self.connect();
        wire.send(request("GET", target, headers, b""));
        Stream::open(wire)
    }

    /// Subscribes to one topic.
    #[track_caller]
    pub(crate) fn subscribe(&self, topic: &str) -> Stream {
        self.stream(&format!("/events/{topic}"), &[])
    }

    /// Comes back to one topic with the id of the last event that was seen.
    #[track_caller]
    pub(crate) fn resume(&self, topic: &str, last_event_id: &str) -> Stream {
        self.stream(&format!("/events/{topic}"), &[&format!("Last-Event-ID: {last_event_id}")])
    }

    /// Publishes one event as a bare body; gives its id.
    #[track_caller]
    pub(crate) fn publish(&self, topic: &str, data: impl AsRef<[u8]>) -> String {
        self.publish_to(&format!("/events/{topic}"), data)
    }

    /// The same with a whole target, such as `/events/t?event=tick`.
    #[track_caller]
    pub(crate) fn publish_to(&self, target: &str, data: impl AsRef<[u8]>) -> String {
        let answer = self.ask(request("POST", target, &[], data.as_ref())).json();
        answer["id"].as_str().expect("an id").into()
    }

    /// Publishes a JSON body.
    pub(crate) fn publish_json(&self, body: &str) -> Response {
        self.ask(request("POST", "/events", &["Content-Type: application/json"], body.as_bytes()))
    }

    /// Publishes a body of JSON lines.
    pub(crate) fn publish_lines(&self, body: impl AsRef<[u8]>) -> Response {
        let headers = ["Content-Type: application/x-ndjson"];
        self.ask(request("POST", "/events", &headers, body.as_ref()))
    }

    /// A page of the admin listener.
    #[track_caller]
    pub(crate) fn admin(&self, target: &str) -> Response {
        let mut wire = Wire::connect(self.admin, self.deadline);
        wire.send(request("GET", target, &["Connection: close"], b""));
        wire.response()
    }

    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        let page = self.admin("/metrics");
        assert_eq!(page.status, 200);
        Metrics::read(page.text())
    }

    /// Waits until the sum of a metric over its labels that contain `label` is as asked.
    #[track_caller]
    pub(crate) fn await_metric(&self, name: &str, label: &str, is: impl Fn(f64) -> bool) -> f64 {
        loop {
            let value = self.metrics().sum(name, label);
            if is(value) {
                return value;
            }
            assert!(Instant::now() < self.deadline, "{name}{{{label}}} stays at {value}");
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until so many connections have ended for a reason.
    #[track_caller]
    pub(crate) fn await_closed(&self, reason: &str, count: u64) {
        self.await_closed_by(&[reason], count);
    }

    /// Waits until so many connections have ended for one of these reasons.
    #[track_caller]
    pub(crate) fn await_closed_by(&self, reasons: &[&str], count: u64) {
        loop {
            let metrics = self.metrics();
            let of = |reason| metrics.sum("downpour_closed_total", &format!("reason=\"{reason}\""));
            let ended: f64 = reasons.iter().map(|reason| of(*reason)).sum();
            if ended >= count as f64 {
                return;
            }
            assert!(Instant::now() < self.deadline, "{ended} ended by {reasons:?}, not {count}");
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until there are so many subscribers.
    #[track_caller]
    pub(crate) fn await_subscribers(&self, count: usize) {
        self.await_metric("downpour_subscribers", "", |value| value == count as f64);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is our child");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the program to end.
    #[track_caller]
    pub(crate) fn exit(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < self.deadline, "it does not end: {}", self.printed());
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let printed = self.printed();
        if thread::panicking() {
            eprintln!("the engine said:\n{printed}");
        } else {
            assert!(!printed.contains("panicked at"), "the engine panicked:\n{printed}");
        }
    }
}

/// The limits of a process that belongs to a user of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confined {
    /// RLIMIT_MEMLOCK in KiB. Root is not bound by it.
    pub(crate) locked_kib: u32,
    /// RLIMIT_NOFILE.
    pub(crate) descriptors: u32,
}

impl Confined {
    /// A command that still lacks its arguments, and where the program is until it has started.
    pub(crate) fn command(self) -> (Command, Option<TempDir>) {
        let Confined { locked_kib, descriptors } = self;
        let mut command = Command::new("/bin/sh");
        let limits = format!("ulimit -l {locked_kib} && ulimit -n {descriptors}");
        command.arg("-c").arg(format!("{limits} && exec \"$0\" \"$@\""));
        let program = Path::new(env!("CARGO_BIN_EXE_downpour"));
        if !rustix::process::geteuid().is_root() {
            command.arg(program);
            return (command, None);
        }
        // Locked memory is counted by user, so nobody else may be him.
        static USERS: AtomicU32 = AtomicU32::new(0);
        let user = 1_000_000 + 16 * std::process::id() + USERS.fetch_add(1, Ordering::Relaxed);
        command.uid(user).gid(user);
        // Where the program was built may be closed to him.
        let place = tempfile::tempdir().expect("a directory");
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(place.path(), open).expect("it is ours");
        let copy = place.path().join("downpour");
        if fs::hard_link(program, &copy).is_err() {
            fs::copy(program, &copy).expect("there is room for the program");
        }
        command.arg(copy);
        (command, Some(place))
    }
}

/// Runs the program to its end; gives whether it succeeded and all it printed.
pub(crate) fn run_to_end(arguments: &[&str]) -> (bool, String) {
    end(Command::new(env!("CARGO_BIN_EXE_downpour")), arguments)
}

/// The same for a user without privileges.
pub(crate) fn run_confined_to_end(confined: Confined, arguments: &[&str]) -> (bool, String) {
    let (command, _place) = confined.command();
    end(command, arguments)
}

fn end(mut command: Command, arguments: &[&str]) -> (bool, String) {
    let command = command.args(arguments).stdin(Stdio::null());
    let output = command.output().expect("the program was built");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).expect("UTF-8"))
}

fn spawn(mut command: Command) -> (Child, Arc<Output>, [JoinHandle<()>; 2]) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOWNPOUR_")) {
        command.env_remove(name);
    }
    command.env("RUST_BACKTRACE", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    let output = Arc::new(Output::default());
    let collectors = [
        collect(child.stdout.take().expect("it is piped"), Arc::clone(&output)),
        collect(child.stderr.take().expect("it is piped"), Arc::clone(&output)),
    ];
    (child, output, collectors)
}

/// Collects a pipe's lines for as long as somebody writes to it.
fn collect(pipe: impl Read + Send + 'static, output: Arc<Output>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            output.lines().push(line);
            output.news.notify_all();
        }
    })
}
