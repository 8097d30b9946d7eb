//! What this machine's kernel says about its limits.
//!
//! A reading that this kernel does not show is `None`, and then bounds nothing.

use crate::client::{self, socket, source};
use crate::run::procfs;

/// The capability that frees a process from RLIMIT_MEMLOCK (capabilities(7), CAP_IPC_LOCK).
const CAP_IPC_LOCK: u64 = 1 << 14;

/// All readings.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Descriptors of this process, and so the sockets of one ring's table.
    pub(super) descriptors: u64,
    /// Why rings cannot be made, if they cannot.
    pub(super) rings_refused: Option<String>,
    /// kernel.io_uring_disabled: 0 = allowed.
    pub(super) rings_switch: Option<u64>,
    /// RLIMIT_MEMLOCK, where it holds for this process.
    pub(super) locked_bytes: Option<u64>,
    /// Open files, and the most there may be.
    pub(super) files: Option<(u64, u64)>,
    /// Sockets that epoll may watch, of one user.
    pub(super) watches: Option<u64>,
    /// Memory that could be had without swapping.
    pub(super) available_bytes: u64,
    /// Ephemeral ports of one source address.
    pub(super) ports: u64,
    /// Tracked connections, and the most there may be.
    pub(super) conntrack: Option<(u64, u64)>,
    /// TCP connections of this machine.
    pub(super) connections: u64,
    /// net.ipv4.tcp_mem: pages of packets without concern, under pressure, and at most.
    pub(super) tcp_pages: Option<[u64; 3]>,
    /// net.core.somaxconn.
    pub(super) accept_queue: Option<u64>,
    /// net.ipv4.tcp_max_syn_backlog.
    pub(super) syn_queue: Option<u64>,
    /// net.core.netdev_max_backlog.
    pub(super) device_queue: Option<u64>,
    /// Processors that this process may use.
    pub(super) processors: u64,
}

impl Machine {
    /// Reads everything.
    pub(super) fn look() -> Machine {
        Machine {
            descriptors: socket::raise_descriptor_limit(),
            rings_refused: client::can_make_rings().err(),
            rings_switch: number("/proc/sys/kernel/io_uring_disabled"),
            locked_bytes: locked_bytes(),
            files: files(),
            watches: number("/proc/sys/fs/epoll/max_user_watches"),
            available_bytes: procfs::memory_available_bytes().unwrap_or(0),
            ports: source::ports_count() as u64,
            conntrack: number("/proc/sys/net/netfilter/nf_conntrack_count")
                .zip(number("/proc/sys/net/netfilter/nf_conntrack_max")),
            connections: connections(),
            tcp_pages: numbers("/proc/sys/net/ipv4/tcp_mem").try_into().ok(),
            accept_queue: number("/proc/sys/net/core/somaxconn"),
            syn_queue: number("/proc/sys/net/ipv4/tcp_max_syn_backlog"),
            device_queue: number("/proc/sys/net/core/netdev_max_backlog"),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
        }
    }
}

fn numbers(path: &str) -> Vec<u64> {
    let text = procfs::line(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn number(path: &str) -> Option<u64> {
    numbers(path).first().copied()
}

/// `fs.file-nr`: files in use, a zero, the most there may be.
fn files() -> Option<(u64, u64)> {
    match numbers("/proc/sys/fs/file-nr")[..] {
        [used, _, most] => Some((used, most)),
        _ => None,
    }
}

/// `TCP: inuse N ...` of /proc/net/sockstat.
fn connections() -> u64 {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: inuse "));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The soft limit on locked memory; `None` if it is unlimited or does not hold for this process.
fn locked_bytes() -> Option<u64> {
    let of = |path: &str, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let capabilities = of("/proc/self/status", "CapEff:")?;
    if u64::from_str_radix(&capabilities, 16).ok()? & CAP_IPC_LOCK != 0 {
        return None;
    }
    of("/proc/self/limits", "Max locked memory")?.split_whitespace().next()?.parse().ok()
}
