//! A small server that keeps every rule of `conform`, but for the one that it is told to break.
//!
//! The idea: a point is worth something when a server that breaks it alone is found by it alone.
//! So this server is right by itself, written for nothing but that, and at each place where a rule
//! is kept stands the question whether it is to be broken: `breaks("H3")`. It runs as a process of
//! its own, because points look at descriptors and memory: the test binary starts itself anew.
//!
//! It is blocking code with a thread for each connection, and knows nothing of the load generator.

mod h2;
mod request;
mod server;
mod stream;
mod topic;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The variable that names the rule to break, and makes a process the server.
const BREAKS: &str = "REFERENCE_BREAKS";
/// The variable that bounds the streams at a time.
const STREAMS_MAX: &str = "REFERENCE_STREAMS_MAX";
/// What the line begins with that says where it listens; the test harness prints others before.
const LISTENS: &str = "reference: ";

/// A running reference server.
pub(crate) struct Reference {
    child: Child,
    /// Held open: the test harness of that process complains there when a test takes long.
    _output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// The same server, as through a proxy.
    pub(crate) via: SocketAddr,
    /// Where its pipes are.
    folder: tempfile::TempDir,
}

impl Reference {
    /// Starts a server that breaks one rule, or none; `server` is the test that is the server.
    pub(crate) fn start(breaks: &str, streams_max: usize, server: &str) -> Reference {
        let folder = tempfile::tempdir().expect("a folder");
        for pipe in ["restart", "restarted"] {
            let made = Command::new("mkfifo").arg(folder.path().join(pipe)).status();
            assert!(made.expect("coreutils").success());
        }
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", server, "--ignored", "--nocapture"])
            .env(BREAKS, breaks)
            .env(STREAMS_MAX, streams_max.to_string())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test starts itself");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let said = output.by_ref().lines().map_while(Result::ok);
        let line = said.filter_map(|line| line.split(LISTENS).nth(1).map(str::to_owned)).next();
        let line = line.expect("the server says where it listens");
        let (address, via) = line.split_once(' ').expect("two addresses");
        let parsed = |text: &str| text.parse().expect("an address");
        Reference { address: parsed(address), via: parsed(via), child, _output: output, folder }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The shell command that restarts it and waits until it has.
    pub(crate) fn restart(&self) -> String {
        let folder = self.folder.path().display();
        format!("echo > {folder}/restart && cat {folder}/restarted")
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It is gone already if it failed, and a test says so by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends, in the process that is the server; does nothing in others.
pub(crate) fn serve() {
    let Ok(breaks) = std::env::var(BREAKS) else { return };
    let streams_max = std::env::var(STREAMS_MAX).ok().and_then(|most| most.parse().ok());
    let (address, via) = server::start(breaks, streams_max.unwrap_or(usize::MAX));
    println!("{LISTENS}{address} {via}");
    // Who started it holds the other end, whatever becomes of it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(0);
}
