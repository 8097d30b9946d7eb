//! `downpour-load run` as a child process, and the run that it saved.
//!
//! A search and a self-test measure with the very program that a user starts, arguments, process
//! start and files included; nothing of the measuring core is called behind its back.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::report::file;
use crate::report::model::Run;

/// A finished child.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What it saved; the reason, in its own words, if it saved nothing.
    pub(crate) run: Result<Run, String>,
    /// Its exit code, if it was not ended by a signal.
    pub(crate) code: Option<i32>,
}

/// Runs `downpour-load run` with these arguments and waits for it.
///
/// # Errors
///
/// If the program cannot be started at all.
pub(crate) fn run(arguments: &[String]) -> Result<Finished, String> {
    start(arguments)?.finish()
}

/// A child that is running.
#[derive(Debug)]
pub(crate) struct Started {
    child: std::process::Child,
    saved: PathBuf,
}

/// Starts `downpour-load run` with these arguments.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn start(arguments: &[String]) -> Result<Started, String> {
    let saved = scratch();
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let child = Command::new(program)
        .args(["run", "--quiet"])
        .args(arguments)
        .arg("--json")
        .arg(&saved)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("downpour-load run: {error}"))?;
    Ok(Started { child, saved })
}

impl Started {
    /// Waits for the child and reads what it saved.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for.
    pub(crate) fn finish(self) -> Result<Finished, String> {
        let output = self.child.wait_with_output().map_err(|error| error.to_string())?;
        let run = match file::read_one(&self.saved.to_string_lossy()) {
            Ok(run) => Ok(run),
            Err(error) => Err(reason(&output, &error)),
        };
        // Gone already if the run saved nothing.
        let _ = std::fs::remove_file(&self.saved);
        Ok(Finished { run, code: output.status.code() })
    }
}

fn reason(output: &Output, error: &str) -> String {
    let message = String::from_utf8_lossy(&output.stderr);
    match message.trim() {
        "" => format!("{}, and {error}", output.status),
        message => message.to_owned(),
    }
}

/// A file name that no other process and no other call has.
fn scratch() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Relaxed: only that every caller gets another number matters.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("downpour-load-{}-{count}.json", std::process::id());
    std::env::temp_dir().join(name)
}
