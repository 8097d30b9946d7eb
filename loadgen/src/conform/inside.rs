//! What is known of a server beyond its requests: its process, its sockets, how to restart it.
//!
//! The idea: each of these is an option of the user's. A check that needs one that is not given
//! says which, and is not counted as passed.
//!
//! This module knows nothing of event streams.

mod diag;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::point::Broken;
use super::probe::Probe;
use super::site::Target;
use crate::profile::Url;
use crate::run::procfs::{self, Usage};

/// How long a restarted server may take to accept connections again.
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks at what cannot be waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What the user said of the server beyond its requests.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// Its process, for descriptors and memory.
    pub(super) pid: Option<u32>,
    /// A figure of its own that counts open streams or connections.
    pub(super) gauge: Option<Gauge>,
    /// A command that restarts it and returns.
    pub(super) restart: Option<String>,
    /// How many connections it takes.
    pub(super) connections_max: Option<usize>,
    /// Within what time it ends a request head that does not get finished.
    pub(super) head_timeout: Option<Duration>,
    /// Within what time it ends a stream whose reader has stopped.
    pub(super) stall_timeout: Option<Duration>,
    /// Where a stream is over for good.
    pub(super) ended: Option<Url>,
    /// Where a stream has moved from.
    pub(super) moved: Option<Url>,
    /// Proxies before it.
    pub(super) via: Vec<Url>,
    /// Header fields of somebody who may not read the topics.
    pub(super) stranger: Vec<String>,
}

impl Hooks {
    /// A look at the server's process.
    pub(super) fn usage(&self) -> Result<Usage, Broken> {
        let pid = self.pid.ok_or_else(|| Broken::absent("the server's process: give --pid"))?;
        procfs::usage(&procfs::processes(pid), true)
            .ok_or_else(|| Broken::absent(format!("there is no process {pid} on this machine")))
    }

    /// What the server counts as open, or else its process's descriptors.
    pub(super) fn open_count(&self, patience: Duration) -> Result<u64, Broken> {
        if let Some(gauge) = &self.gauge {
            return gauge.read(patience);
        }
        if self.pid.is_none() {
            return Err(Broken::absent("what it holds open: give --gauge or --pid"));
        }
        self.usage()?.fds.ok_or_else(|| Broken::absent("its descriptors cannot be read"))
    }

    /// Restarts the server and waits until it accepts connections.
    pub(super) fn restart(&self, address: SocketAddr) -> Result<(), Broken> {
        let command = self.restart.as_ref();
        let command = command.ok_or_else(|| Broken::absent("a restart: give --restart COMMAND"))?;
        let status = std::process::Command::new("sh").args(["-c", command]).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(Broken::absent(format!("--restart ended with {status}"))),
            Err(error) => return Err(Broken::absent(format!("--restart: {error}"))),
        }
        let accepts = || std::net::TcpStream::connect_timeout(&address, RESTART_TIMEOUT).is_ok();
        match holds_within(RESTART_TIMEOUT, accepts) {
            true => Ok(()),
            false => Err(Broken::absent("after --restart nothing accepts connections")),
        }
    }
}

/// Looks again and again until something holds, or the time is over.
pub(super) fn holds_within(time: Duration, holds: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + time;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// A figure in the server's metrics, in the text format of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gauge {
    url: Url,
    name: String,
}

impl Gauge {
    /// Reads `http://host:port/metrics#name`.
    ///
    /// # Errors
    ///
    /// If there is no name, or the address is none.
    pub(super) fn parse(text: &str) -> Result<Gauge, String> {
        let (url, name) =
            text.split_once('#').filter(|(_, name)| !name.is_empty()).ok_or_else(|| {
                format!("--gauge {text:?}: write it as http://host:port/metrics#name")
            })?;
        let url = Url::parse(url).map_err(|error| format!("--gauge {error}"))?;
        Ok(Gauge { url, name: name.to_owned() })
    }

    /// The figure's value, over all its labels.
    fn read(&self, patience: Duration) -> Result<u64, Broken> {
        let Url { authority, path, address } = &self.url;
        let mut probe = Probe::connect_to(Target { address: *address, patience })?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        let answer = probe.exchange(request.as_bytes(), false)?;
        let text = probe.body(answer.head.body)?;
        let sum = total(&String::from_utf8_lossy(&text), &self.name);
        sum.ok_or_else(|| Broken::absent(format!("--gauge: there is no {} in it", self.name)))
    }
}

fn total(text: &str, name: &str) -> Option<u64> {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let labelled = rest.starts_with(['{', ' ']);
        labelled.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    };
    let mut values = text.lines().filter_map(value).peekable();
    values.peek()?;
    Some(values.sum::<f64>() as u64)
}

/// States of a socket whose process has not closed it (tcp_states.h): ESTABLISHED, and CLOSE_WAIT,
/// which lasts until the process does.
const OPEN_STATES: [u8; 2] = [1, 8];

/// Whether the kernel of this machine holds the server's end of a connection, and the server has
/// not closed it. Never so where the server runs elsewhere.
pub(super) fn server_end_is_open(server: SocketAddr, client: SocketAddr) -> bool {
    diag::state(server, client).is_some_and(|state| OPEN_STATES.contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_servers_end_is_open_until_its_process_closes_it() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(host).expect("a port");
            let server = listener.local_addr().expect("bound");
            let ours = TcpStream::connect(server).expect("it listens");
            let client = ours.local_addr().expect("bound");
            let (theirs, _) = listener.accept().expect("a connection");
            assert!(server_end_is_open(server, client));
            drop(ours);
            assert!(server_end_is_open(server, client), "the server has not closed it yet");
            drop(theirs);
            assert!(!server_end_is_open(server, client));
        }
    }

    #[test]
    fn a_figure_is_the_sum_over_its_labels_and_no_other_of_a_longer_name() {
        let text = "# TYPE open gauge\nopen{w=\"0\"} 2\nopen{w=\"1\"} 3.0\nopen_total 9\n";
        assert_eq!(total(text, "open"), Some(5));
        assert_eq!(total(text, "shut"), None);
        assert!(Gauge::parse("http://127.0.0.1/metrics").unwrap_err().contains("#name"));
    }
}
