//! What /proc says about a server and about this machine.
//!
//! The idea: counters are read at two moments and subtracted. A server is a process, or all
//! processes of the group that a spawned command leads. A counter that this kernel does not show
//! is `None`, never 0.

use std::collections::HashMap;
use std::fs;

/// Clock ticks of /proc/PID/stat per second; the kernel's interface fixes them to 100 for
/// every architecture in use (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// Bytes of the pages that socket memory is counted in.
const PAGE_BYTES: u64 = 4_096;

/// One look at a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time in user mode.
    pub(crate) user_ns: u64,
    /// Processor time in the kernel.
    pub(crate) sys_ns: u64,
    /// Proportional set size.
    pub(crate) pss_bytes: Option<u64>,
    /// Open descriptors.
    pub(crate) fds: Option<u64>,
}

/// The processes of a server: the one of that id, and those of the group it leads.
pub(crate) fn processes(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let group = stat_fields(other).and_then(|fields| fields.get(2)?.parse::<u32>().ok());
        if other != pid && group == Some(pid) {
            found.push(other);
        }
    }
    found
}

/// Whether there is such a process.
pub(crate) fn exists(pid: u32) -> bool {
    stat_fields(pid).is_some()
}

/// The processors that threads of this process may run on, as the kernel lists them: `0-3,8`.
pub(crate) fn allowed_cpus() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// Looks at the processes of a server; `None` when none is there.
pub(crate) fn usage(processes: &[u32], memory: bool) -> Option<Usage> {
    let mut sum = Usage::default();
    let mut any = false;
    for &pid in processes {
        let Some(fields) = stat_fields(pid) else { continue };
        any = true;
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        let ns = |ticks: Option<u64>| ticks.unwrap_or(0) * (1_000_000_000 / TICKS_PER_SECOND);
        sum.user_ns += ns(ticks(11));
        sum.sys_ns += ns(ticks(12));
        if memory {
            let pss = pss(pid).map(|bytes| bytes + sum.pss_bytes.unwrap_or(0));
            sum.pss_bytes = pss.or(sum.pss_bytes);
            let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok().map(|fds| fds.count() as u64);
            sum.fds = fds.map(|fds| fds + sum.fds.unwrap_or(0)).or(sum.fds);
        }
    }
    any.then_some(sum)
}

/// The fields of /proc/PID/stat behind the name, which may hold anything: state first.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    kilobytes(&text, "Pss:")
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}

/// The command line of a process.
pub(crate) fn command(pid: u32) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&text).replace('\0', " ");
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// One look at this machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// Counters of /proc/net/netstat and /proc/net/snmp by name.
    net: HashMap<String, u64>,
    /// Ticks of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
    ticks: Vec<u64>,
    /// Packets dropped, and budgets exhausted, over all processors.
    softnet: Option<(u64, u64)>,
    /// Slab and socket memory.
    pub(crate) kernel_bytes: Option<u64>,
    /// TCP sockets, whatever their state but TIME_WAIT.
    pub(crate) sockets: Option<u64>,
}

impl Machine {
    /// Reads all counters.
    pub(crate) fn look() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut net = table(&read("/proc/net/netstat"));
        net.extend(table(&read("/proc/net/snmp")));
        let ticks = read("/proc/stat").lines().next().map_or_else(Vec::new, |line| {
            line.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect()
        });
        let (kernel_bytes, sockets) = (kernel_bytes(), sockets("alloc"));
        Machine { net, ticks, softnet: softnet(), kernel_bytes, sockets }
    }

    /// The growth of a network counter since an earlier look.
    pub(crate) fn net_since(&self, earlier: &Machine, name: &str) -> Option<u64> {
        Some(self.net.get(name)?.saturating_sub(*earlier.net.get(name)?))
    }

    /// Packets dropped and budgets exhausted since an earlier look.
    pub(crate) fn softnet_since(&self, earlier: &Machine) -> Option<(u64, u64)> {
        let (dropped, squeezed) = self.softnet?;
        let (dropped_before, squeezed_before) = earlier.softnet?;
        Some((dropped - dropped_before.min(dropped), squeezed - squeezed_before.min(squeezed)))
    }

    /// Processor time spent in soft interrupts since an earlier look, in seconds.
    pub(crate) fn softirq_since(&self, earlier: &Machine) -> Option<f64> {
        let ticks = self.ticks.get(6)?.saturating_sub(*earlier.ticks.get(6)?);
        Some(ticks as f64 / TICKS_PER_SECOND as f64)
    }

    /// Share of all processor time that the hypervisor took since an earlier look.
    pub(crate) fn steal_since(&self, earlier: &Machine) -> Option<f64> {
        let delta = |at: usize| -> Option<u64> {
            Some(self.ticks.get(at)?.saturating_sub(*earlier.ticks.get(at)?))
        };
        let total: u64 = (0..8).filter_map(delta).sum();
        (total > 0).then(|| delta(7).map(|steal| steal as f64 / total as f64)).flatten()
    }
}

/// Two lines each, names and values: `TcpExt: A B` and `TcpExt: 1 2`.
fn table(text: &str) -> HashMap<String, u64> {
    let mut counters = HashMap::new();
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()).skip(1) {
            if let Ok(value) = value.parse() {
                counters.insert(name.to_owned(), value);
            }
        }
    }
    counters
}

fn softnet() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/net/softnet_stat").ok()?;
    let column = |line: &str, at: usize| {
        let text = line.split_whitespace().nth(at)?;
        u64::from_str_radix(text, 16).ok()
    };
    let sum = |at: usize| text.lines().filter_map(|line| column(line, at)).sum();
    Some((sum(1), sum(2)))
}

/// Memory of slabs and of TCP sockets.
pub(crate) fn kernel_bytes() -> Option<u64> {
    let slab = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "Slab:")?;
    Some(slab + sockets("mem")? * PAGE_BYTES)
}

/// A figure of all TCP sockets: `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1`.
fn sockets(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").ok()?;
    let mut words = text.lines().find(|line| line.starts_with("TCP:"))?.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

/// Time that the threads of this process have waited for a processor, in nanoseconds.
pub(crate) fn runqueue_wait_ns() -> Option<u64> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        sum += text.split_whitespace().nth(1).and_then(|wait| wait.parse().ok()).unwrap_or(0);
    }
    Some(sum)
}

/// A line of text from a file, if there is one.
pub(crate) fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// The processor's name.
pub(crate) fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Memory that could be had without swapping.
pub(crate) fn memory_available_bytes() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// Memory of this machine.
pub(crate) fn memory_bytes() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let pid = std::process::id();
        let usage = usage(&processes(pid), true).unwrap();
        assert!(usage.pss_bytes.unwrap() > 100_000);
        assert!(usage.fds.unwrap() >= 3);
        assert!(command(pid).unwrap().contains("downpour"));
        assert!(usage_of_nobody().is_none());
    }

    fn usage_of_nobody() -> Option<Usage> {
        usage(&[u32::MAX], true)
    }

    #[test]
    fn counters_are_read_by_name() {
        let table = table("TcpExt: A B\nTcpExt: 1 2\nIpExt: C\nIpExt: 3\n");
        assert_eq!((table["A"], table["B"], table["C"]), (1, 2, 3));
        let machine = Machine::look();
        assert_eq!(machine.net_since(&machine, "RetransSegs"), Some(0));
        assert_eq!(machine.softnet_since(&machine), Some((0, 0)));
        assert!(machine.kernel_bytes.unwrap() > 0);
        assert!(machine.sockets.is_some());
    }
}
