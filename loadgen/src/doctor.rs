//! The `doctor` command: what this machine can open, and the settings that would raise it.
//!
//! The idea: each limit is read where the kernel keeps it, turned into a number of subscribers,
//! and shown with the command that raises it. The smallest number is the answer.

use std::process::ExitCode;

use crate::amount::Count;
use crate::client::socket;
use crate::client::source;
use crate::run::procfs;

/// Kernel memory of one subscriber here: a TCP socket of 3.9 KiB, a pending receive of 0.9 KiB
/// (measured on Linux 6.18).
const KERNEL_BYTES: u64 = 4_900;

/// User memory of one subscriber: its state, its ledger, its share of the buffers.
const USER_BYTES: u64 = 300;

/// The same again for the server's end, when it is on this machine.
const SERVER_BYTES: u64 = 4_300;

/// Source addresses that loopback can be counted on for: 127.64.0.1 to 127.127.255.250.
const LOOPBACK_SOURCES: u64 = 64 * 256 * 250;

/// Arguments of `downpour-load doctor`.
#[derive(Debug, clap::Args)]
#[group(id = "doctor")]
pub(crate) struct Args {
    /// Subscribers that are to be opened
    #[arg(short = 'c', long, default_value = "100k", value_name = "N")]
    subscribers: Count,
    /// The server runs elsewhere
    #[arg(long)]
    remote: bool,
}

/// One limit.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    name: &'static str,
    /// What is set, in words.
    value: String,
    /// Subscribers that it allows; `None` if it bounds none.
    allows: Option<u64>,
    /// What to do if that is too few, or if the setting spoils measurements.
    cure: Option<String>,
}

/// Runs the command: exit code 0 if the subscribers can be opened, 1 if not.
pub(crate) fn run(args: &Args) -> ExitCode {
    let wanted = args.subscribers.0;
    let findings = findings(args);
    for finding in &findings {
        println!("{}", row(finding, wanted));
    }
    let least = findings.iter().filter_map(|it| Some((it.allows?, it.name))).min();
    let (most, name) = least.expect("memory bounds every machine");
    if most < wanted {
        println!("\n{wanted} subscribers cannot be opened here: {name} allows {most}.");
        return ExitCode::from(1);
    }
    println!("\n{wanted} subscribers can be opened here, and up to {most} ({name}).");
    ExitCode::SUCCESS
}

fn row(finding: &Finding, wanted: u64) -> String {
    let allows = finding.allows.map_or_else(|| "-".to_owned(), |most| most.to_string());
    let short = finding.allows.is_some_and(|most| most < wanted);
    let mark = match (&finding.cure, short) {
        (_, true) => "SHORT",
        (Some(_), false) if finding.allows.is_none() => "note",
        _ => "ok",
    };
    let mut row = format!("{mark:<6}{:<31}{:<26}{allows:>12}", finding.name, finding.value);
    if let Some(cure) = finding.cure.as_ref().filter(|_| mark != "ok") {
        row.push_str(&format!("\n      {cure}"));
    }
    row
}

fn findings(args: &Args) -> Vec<Finding> {
    let mut findings = vec![rings(), files(), memory(args), ports(args)];
    findings.extend(queues());
    findings
}

/// Whether rings can be made, and how large a table is.
fn rings() -> Finding {
    let limit = socket::raise_descriptor_limit();
    let disabled = procfs::line("/proc/sys/kernel/io_uring_disabled");
    let usable = crate::client::can_make_rings();
    Finding {
        name: "io_uring",
        value: match &usable {
            Ok(()) => format!("{limit} sockets per ring"),
            Err(error) => error.clone(),
        },
        // Every ring has a table of its own, so the limit on descriptors bounds only a table.
        allows: usable.is_err().then_some(0),
        cure: usable.is_err().then(|| match disabled.as_deref() {
            Some("0") | None => "in a container: allow io_uring in the seccomp profile".to_owned(),
            Some(_) => "sysctl -w kernel.io_uring_disabled=0".to_owned(),
        }),
    }
}

/// All open files of the machine: sockets in ring tables count too.
fn files() -> Finding {
    let text = procfs::line("/proc/sys/fs/file-nr").unwrap_or_default();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let (used, most) = match numbers[..] {
        [used, _, most] => (used, most),
        _ => (0, u64::MAX),
    };
    Finding {
        name: "fs.file-max",
        value: format!("{used} of {most} used"),
        allows: Some((most - used.min(most)) / 2),
        cure: Some("sysctl -w fs.file-max=4000000".to_owned()),
    }
}

fn memory(args: &Args) -> Finding {
    let available = procfs::memory_available_bytes().unwrap_or(0);
    let server = if args.remote { 0 } else { SERVER_BYTES };
    let each = KERNEL_BYTES + USER_BYTES + server;
    Finding {
        name: "memory",
        value: format!("{} MiB free", available >> 20),
        allows: Some(available / each),
        cure: Some(format!("each subscriber takes {each} bytes, kernel and server included")),
    }
}

fn ports(args: &Args) -> Finding {
    let each = source::ports_count() as u64 / 2;
    let sources = if args.remote { 1 } else { LOOPBACK_SOURCES };
    let needed = args.subscribers.0.div_ceil(each.max(1));
    Finding {
        name: "net.ipv4.ip_local_port_range",
        value: format!("{each} per source address"),
        allows: Some(if args.remote { each * 2 } else { each * sources }),
        cure: Some(format!(
            "sysctl -w net.ipv4.ip_local_port_range='1024 65535', or --source with {needed} \
             addresses of this machine"
        )),
    }
}

/// Queues that bound no number, but spoil latencies when they are short.
fn queues() -> Vec<Finding> {
    let read = |path: &str| procfs::line(path).and_then(|text| text.parse::<u64>().ok());
    [
        ("net.core.somaxconn", "/proc/sys/net/core/somaxconn", 4_096, 65_535),
        ("net.ipv4.tcp_max_syn_backlog", "/proc/sys/net/ipv4/tcp_max_syn_backlog", 4_096, 65_535),
        ("net.core.netdev_max_backlog", "/proc/sys/net/core/netdev_max_backlog", 10_000, 100_000),
    ]
    .into_iter()
    .filter_map(|(name, path, least, better)| {
        let value = read(path)?;
        let cure = format!(
            "sysctl -w {name}={better}  (a full queue drops, and a drop costs a \
                            retransmission of 0.2 to 1 s)"
        );
        Some(Finding {
            name,
            value: value.to_string(),
            allows: None,
            cure: (value < least).then_some(cure),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_limit_is_shown_with_its_cure() {
        let finding = Finding {
            name: "x",
            value: "1".to_owned(),
            allows: Some(10),
            cure: Some("do that".to_owned()),
        };
        assert!(row(&finding, 11).contains("SHORT") && row(&finding, 11).contains("do that"));
        assert!(row(&finding, 10).starts_with("ok") && !row(&finding, 10).contains("do that"));
    }

    #[test]
    fn every_limit_of_this_machine_can_be_read() {
        let args = Args { subscribers: Count(1), remote: false };
        for finding in findings(&args) {
            assert_ne!(finding.value, "", "{}", finding.name);
            assert!(finding.allows.is_none_or(|most| most > 0), "{finding:?}");
        }
    }
}
