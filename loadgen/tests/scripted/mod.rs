//! A scripted server as a child process, for the tests that need a server with a known truth.

#![allow(dead_code, reason = "each test binary uses another part")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// An address that nothing else listens on: each test has a number, each process of tests a network
/// of loopback, so that several may run at a time, servers that share their ports included.
pub(crate) fn own_address(test: u8) -> String {
    let process = std::process::id();
    format!("127.{}.{}.{}:8080", 128 + test, process / 250 % 250, 1 + process % 250)
}

/// A running `downpour-load serve` on a port of its own.
pub(crate) struct Server {
    child: Child,
    journal: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) epoch: String,
}

impl Server {
    /// Starts a server with further arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_downpour-load"))
            .args(["serve", "--listen", "127.0.0.1:0", "--until-stdin-ends"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary under test starts");
        let mut journal = BufReader::new(child.stdout.take().expect("piped"));
        let first = line(&mut journal).expect("the server says where it listens");
        assert_eq!(first["record"], "listening");
        let text = |key: &str| first[key].as_str().expect("text").to_owned();
        let address = text("address").parse().expect("an address");
        Self { child, journal, address, epoch: text("epoch") }
    }

    /// The next line of its journal.
    pub(crate) fn journal_line(&mut self) -> Option<Value> {
        line(&mut self.journal)
    }

    /// Stops the server and returns its injections and its summary.
    pub(crate) fn stop(mut self) -> (Vec<Value>, Value) {
        drop(self.child.stdin.take());
        let mut lines: Vec<Value> = std::iter::from_fn(|| line(&mut self.journal)).collect();
        assert!(self.child.wait().expect("it ends").success());
        let summary = lines.pop().expect("a summary");
        assert_eq!(summary["record"], "summary");
        (lines, summary)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a failed assertion; after `stop` it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a load generator that saves to standard output; gives its exit code and what it saved.
pub(crate) fn saved(command: &mut Command) -> (Option<i32>, Value) {
    // No floor of the machine's user, whose note would be one of ours.
    let command = command.env("XDG_STATE_HOME", "/nonexistent");
    let output = command.output().expect("the binary under test starts");
    let saved = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code(), saved)
}

fn line(journal: &mut impl BufRead) -> Option<Value> {
    let mut text = String::new();
    journal.read_line(&mut text).expect("the journal is text");
    (!text.is_empty()).then(|| serde_json::from_str(&text).expect("a line is one object"))
}
