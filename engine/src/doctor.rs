//! `downpour doctor`: what this machine will hold with this configuration, and what limits it.
//!
//! The idea: every figure of the machine that has ever been the limit of such a server is a row:
//! its value, what it means here, and the command that raises it. The verdict is the smallest of
//! the hard limits. A report is judged from plain values, so that every judgement can be tested.
//!
//! Invariants: `problem` means that the server will not run as configured; `limits` means that it
//! will, and what it will not reach. What could not be read is not judged.
//!
//! Knows nothing of how the values were read (`kernel`).

use std::fmt;

use crate::config::cli::BackendChoice;
use crate::config::memory::{
    Amount, SOCKET_KERNEL_BYTES, SUBSCRIBER_BYTES, Side, WATCH_KERNEL_BYTES,
};
use crate::config::{Config, TABLE_FILES_MAX};
use crate::delivery::uring::ring_bytes;
use crate::kernel::Machine;
use crate::kernel::uring::UringRefusal;
use crate::worker::thread;

mod rows;
#[cfg(test)]
mod tests;

/// Descriptors that are not subscribers: listeners, rings, eventfds, standard streams, and
/// connections in the handshake.
const OWN_DESCRIPTORS: u64 = 512;

/// The judgement on one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Does not limit this configuration.
    Ok,
    /// The server runs, and this is what it meets first.
    Limits,
    /// The server does not run as configured.
    Problem,
}

/// One figure of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub state: State,
    pub name: &'static str,
    pub value: String,
    /// What it means for this configuration.
    pub meaning: String,
    /// The command that raises it.
    pub raise: Option<String>,
}

/// The report. `Display` prints it, with a line end behind each line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<Row>,
    /// How many subscribers the machine holds with this configuration.
    pub subscribers: u64,
    /// What that number comes from.
    pub limited_by: &'static str,
}

/// What delivers on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Uring,
    Epoll,
}

/// Judges the machine for the configuration.
#[must_use]
pub fn examine(config: &Config, machine: &Machine) -> Report {
    let lane = match config.backend {
        BackendChoice::Uring => Lane::Uring,
        BackendChoice::Auto if machine.uring.available.is_ok() && has_memory(config, machine) => {
            Lane::Uring
        }
        BackendChoice::Auto | BackendChoice::Epoll => Lane::Epoll,
    };
    let (subscribers, limited_by) = capacity(config, machine, lane);
    Report { rows: rows::all(config, machine, lane), subscribers, limited_by }
}

/// Bytes of the rings that are built at the start, as RLIMIT_MEMLOCK counts them.
fn start_bytes(config: &Config, machine: &Machine) -> u64 {
    config.workers as u64 * thread::rings_bytes(machine.page_bytes)
}

/// Whether all workers' rings fit under RLIMIT_MEMLOCK at the start.
fn has_memory(config: &Config, machine: &Machine) -> bool {
    machine.rings_bytes_max.is_none_or(|max| start_bytes(config, machine) <= max)
}

/// Sockets of one table of fixed files, and tables that all workers need for all connections.
fn tables(config: &Config, machine: &Machine) -> (u64, u64) {
    let table = machine.nofile_max.unwrap_or(u64::MAX).min(TABLE_FILES_MAX);
    let each = (config.connections_max as u64).div_ceil(config.workers as u64);
    (table, each.div_ceil(table) * config.workers as u64)
}

/// The smallest of the hard limits, and its name.
fn capacity(config: &Config, machine: &Machine, lane: Lane) -> (u64, &'static str) {
    let descriptors = match (lane, machine.nofile_max) {
        (Lane::Epoll, Some(limit)) => limit.saturating_sub(OWN_DESCRIPTORS),
        // Fixed files count per table, and there is a table for every so many connections.
        _ => u64::MAX,
    };
    let limits = [
        (config.connections_max as u64, "--connections-max"),
        (descriptors, "RLIMIT_NOFILE (the epoll lane needs a descriptor for each)"),
        (rings_capacity(config, machine, lane), "RLIMIT_MEMLOCK (a ring for each table)"),
        (machine.files_free.unwrap_or(u64::MAX), "fs.file-max"),
        (machine.epoll_watches.unwrap_or(u64::MAX), "fs.epoll.max_user_watches"),
        (memory_capacity(config, machine).unwrap_or(u64::MAX), "memory"),
    ];
    limits.into_iter().min_by_key(|(count, _)| *count).expect("the array is not empty")
}

/// How many subscribers the rings hold that fit under RLIMIT_MEMLOCK.
fn rings_capacity(config: &Config, machine: &Machine, lane: Lane) -> u64 {
    match (lane, machine.rings_bytes_max) {
        (Lane::Uring, Some(max)) => {
            let left = max.saturating_sub(start_bytes(config, machine));
            let more = left / ring_bytes(machine.page_bytes);
            (config.workers as u64 + more).saturating_mul(tables(config, machine).0)
        }
        _ => u64::MAX,
    }
}

/// How many idle subscribers fit what memory is left when all else is at its bound.
fn memory_capacity(config: &Config, machine: &Machine) -> Option<u64> {
    let each = SUBSCRIBER_BYTES + SOCKET_KERNEL_BYTES + WATCH_KERNEL_BYTES;
    let left = machine.memory_available?.saturating_sub(fixed_bytes(config));
    Some(left / each as u64)
}

/// The user memory that does not depend on how many subscribers there are.
fn fixed_bytes(config: &Config) -> u64 {
    let user = config.memory_bound().total(Side::User);
    (user - config.connections_max * SUBSCRIBER_BYTES) as u64
}

impl Report {
    /// Whether the server will not run as configured; `doctor` then exits with 1.
    #[must_use]
    pub fn has_problem(&self) -> bool {
        self.rows.iter().any(|row| row.state == State::Problem)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(f, "{:<8} {}: {}", row.state.name(), row.name, row.value)?;
            writeln!(f, "         {}", row.meaning)?;
            if let Some(command) = &row.raise {
                writeln!(f, "         to raise it: {command}")?;
            }
        }
        let Self { subscribers, limited_by, .. } = self;
        match self.rows.iter().find(|row| row.state == State::Problem) {
            Some(row) => writeln!(f, "verdict: will not run as configured because of {}", row.name),
            None => {
                writeln!(f, "verdict: holds {subscribers} subscribers, limited by {limited_by}")
            }
        }
    }
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limits => "limits",
            Self::Problem => "problem",
        }
    }
}
