//! What /proc says about a server and about this machine.
//!
//! The idea: counters are read at two moments and subtracted. A server is a process, or all
//! processes of the group that a spawned command leads. A counter that this kernel does not show
//! is `None`, never 0.

use std::collections::HashMap;
use std::fs;

use super::args::Cpus;

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
    /// Time that its threads of now were ready to run and had no processor; those that ended take
    /// theirs with them.
    pub(crate) waited_ns: Option<u64>,
}

impl Usage {
    /// Processor time since an earlier look. Processes that ended take theirs with them.
    pub(crate) fn busy_since(&self, earlier: &Usage) -> u64 {
        (self.user_ns + self.sys_ns).saturating_sub(earlier.user_ns + earlier.sys_ns)
    }

    /// Time waited for a processor since an earlier look.
    pub(crate) fn waited_since(&self, earlier: &Usage) -> Option<u64> {
        Some(self.waited_ns?.saturating_sub(earlier.waited_ns?))
    }
}

/// Threads of a process whose waits are read at most: each costs a file, every second.
const THREADS_COUNT_MAX: usize = 1_024;

/// The processes of a server: the one of that id, those of the group it leads, and what these have
/// started: workers often do what their master is asked for. Never this process.
pub(crate) fn processes(pid: u32) -> Vec<u32> {
    let all: Vec<[u32; 3]> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let other = entry.file_name().to_str()?.parse::<u32>().ok()?;
            let fields = stat_fields(other)?;
            let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
            Some([other, number(1)?, number(2)?])
        })
        .collect();
    family(pid, &all, std::process::id())
}

/// A process and all that belong to it, of processes given as id, parent and group.
fn family(pid: u32, all: &[[u32; 3]], without: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut seen = 0;
    while seen < found.len() {
        let one = found[seen];
        seen += 1;
        for &[other, parent, group] in all {
            let belongs = parent == one || group == pid;
            if belongs && other != without && !found.contains(&other) {
                found.push(other);
            }
        }
    }
    found
}

/// Whether there is such a process.
pub(crate) fn exists(pid: u32) -> bool {
    stat_fields(pid).is_some()
}

/// The processors of this machine, whichever of them this process may run on.
pub(crate) fn online_cpus() -> Option<Cpus> {
    fs::read_to_string("/sys/devices/system/cpu/online").ok()?.trim().parse().ok()
}

/// The processors that threads of this process may run on, as the kernel lists them: `0-3,8`.
pub(crate) fn allowed_cpus() -> Option<String> {
    cpus_of("self")
}

/// The processors that the busiest of these processes may run on: a shell that waits for the
/// server it started may run anywhere.
pub(crate) fn server_cpus(processes: &[u32]) -> Option<String> {
    let busiest = processes
        .iter()
        .max_by_key(|&&pid| usage(&[pid], false).map(|usage| usage.user_ns + usage.sys_ns))?;
    cpus_of(&busiest.to_string())
}

fn cpus_of(process: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
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
        let waited = waited_ns(&pid.to_string()).map(|ns| ns + sum.waited_ns.unwrap_or(0));
        sum.waited_ns = waited.or(sum.waited_ns);
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
    /// The same of each processor.
    ticks_by_cpu: HashMap<usize, Vec<u64>>,
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
        let (ticks, ticks_by_cpu) = ticks(&read("/proc/stat"));
        let (kernel_bytes, sockets) = (kernel_bytes(), sockets("alloc"));
        Machine { net, ticks, ticks_by_cpu, softnet: softnet(), kernel_bytes, sockets }
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

    /// Time that these processors were busy within a length of time since an earlier look, whoever
    /// kept them so: what they were neither idle nor taken by a hypervisor. Idle time is exact where
    /// busy time is only sampled by the clock's tick.
    pub(crate) fn busy_since(
        &self,
        earlier: &Machine,
        cpus: &[usize],
        length_ns: u64,
    ) -> Option<u64> {
        let idle = |machine: &Machine, cpu: usize| -> Option<u64> {
            let ticks = machine.ticks_by_cpu.get(&cpu)?;
            // idle, iowait, steal.
            [3, 4, 7].into_iter().map(|at| ticks.get(at).copied()).sum()
        };
        let busy = |&cpu: &usize| {
            let ticks = idle(self, cpu)?.saturating_sub(idle(earlier, cpu)?);
            Some(length_ns.saturating_sub(ticks * (1_000_000_000 / TICKS_PER_SECOND)))
        };
        let known: Vec<u64> = cpus.iter().filter_map(busy).collect();
        (!known.is_empty()).then(|| known.iter().sum())
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

/// The `cpu` lines of /proc/stat: of all processors together, and of each.
fn ticks(text: &str) -> (Vec<u64>, HashMap<usize, Vec<u64>>) {
    let (mut all, mut each) = (Vec::new(), HashMap::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next().and_then(|name| name.strip_prefix("cpu")) else { continue };
        let ticks = words.filter_map(|ticks| ticks.parse().ok()).collect();
        match name.parse() {
            Ok(cpu) => _ = each.insert(cpu, ticks),
            Err(_) => all = ticks,
        }
    }
    (all, each)
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
    waited_ns("self")
}

/// Second number of `schedstat` of all threads of a process (Documentation/scheduler/sched-stats);
/// `None` if there is no such process, if it has more threads than are worth it, or if the kernel
/// does not count it.
fn waited_ns(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/schedstat")).ok()?;
    let tasks: Vec<_> = fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten().collect();
    if tasks.len() > THREADS_COUNT_MAX {
        return None;
    }
    let mut sum = 0;
    for task in tasks {
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
    fn the_time_of_processors_is_read_of_each_and_of_all() {
        let stat = |idle: u64| {
            let text = format!(
                "cpu  30 0 0 900 0 0 0 0 0 0\ncpu0 9 1 2 {idle} 50 3 4 500 0 0\n\
                 cpu1 9 0 0 500 0 0 0 0 0 0\nintr 5\n"
            );
            let (ticks, ticks_by_cpu) = ticks(&text);
            assert_eq!(ticks[0], 30);
            Machine { ticks, ticks_by_cpu, ..Machine::default() }
        };
        // A tick is 10 ms: 70 ms idle.
        let (before, after) = (stat(20), stat(27));
        let busy = |cpus: &[usize]| after.busy_since(&before, cpus, 100_000_000);
        assert_eq!(busy(&[0]), Some(30_000_000));
        assert_eq!(busy(&[1]), Some(100_000_000));
        assert_eq!(busy(&[0, 1, 9]), Some(130_000_000));
        assert_eq!(busy(&[9]), None);
        assert_eq!(after.busy_since(&before, &[0], 50_000_000), Some(0));
        let machine = Machine::look();
        let Cpus(online) = online_cpus().unwrap();
        assert!(online.iter().all(|&cpu| machine.ticks_by_cpu.contains_key(&cpu)));
        let Cpus(allowed) = allowed_cpus().unwrap().parse().unwrap();
        assert!(!allowed.is_empty() && allowed.iter().all(|cpu| online.contains(cpu)));
    }

    #[test]
    fn a_thread_that_shares_its_processor_is_seen_to_wait() {
        let pid = std::process::id();
        let before = usage(&[pid], false).unwrap().waited_ns.unwrap();
        // Two threads on one processor: each waits while the other runs, whatever the machine.
        let cpus: Vec<usize> =
            allowed_cpus().unwrap().split([',', '-']).flat_map(str::parse).collect();
        let spin = || {
            crate::clock::pin(cpus[0]).unwrap();
            while usage(&[pid], false).unwrap().waited_ns.unwrap() < before + 20_000_000 {}
        };
        std::thread::scope(|scope| {
            scope.spawn(spin);
            scope.spawn(spin);
        });
        assert!(server_cpus(&[pid, u32::MAX]).is_some());
    }

    #[test]
    fn a_server_is_its_process_its_group_and_all_that_these_started() {
        // Id, parent, group: a shell (2) that started a master (3) with a worker (4) and a
        // process of its group whose parent is gone (5); another server (6, 7) and this one (8).
        let all = [[2, 1, 2], [3, 2, 2], [4, 3, 4], [5, 1, 2], [6, 1, 6], [7, 6, 6], [8, 3, 2]];
        let family = |pid| {
            let mut family = family(pid, &all, 8);
            family.sort_unstable();
            family
        };
        assert_eq!(family(2), [2, 3, 4, 5]);
        assert_eq!(family(3), [3, 4]);
        assert_eq!(family(6), [6, 7]);
        assert_eq!(family(9), [9], "one that has ended is seen as gone");
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
