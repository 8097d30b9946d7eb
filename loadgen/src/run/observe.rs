//! The server's process and this machine while a run lasts.

use std::collections::BTreeMap;

use super::args::Cpus;
use super::procfs::{self, Machine, Usage};
use crate::client::source;
use crate::clock;
use crate::report::model::host::{CpuTime, MemoryPerConnection, NetHealth, Rig, Server, Softnet};

/// One look at everything.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) at_ns: u64,
    pub(super) server: Option<Usage>,
    /// The processors that the server may run on.
    pub(super) server_cpus: Vec<usize>,
    pub(super) machine: Machine,
    pub(super) runqueue_wait_ns: Option<u64>,
    /// First arrivals so far.
    pub(super) unique: u64,
}

/// What a row of the series knows of the server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Second {
    pub(super) cores: Option<f64>,
    pub(super) cores_waited: Option<f64>,
    pub(super) pss_bytes: Option<u64>,
    pub(super) kernel_bytes: Option<u64>,
}

/// What the run itself put on the machine between the looks before the first connect and at the
/// settled fleet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Open streams.
    pub(super) up: u64,
    /// Publisher connections.
    pub(super) publishers: u64,
    /// Whether both ends of each connection are on this machine.
    pub(super) loopback: bool,
}

/// Share of this run's own sockets by which the machine's may have changed otherwise.
const FOREIGN_SHARE_MAX: f64 = 0.02;

impl Load {
    /// Why the machine's kernel memory, so many bytes for each stream between two counts of its
    /// sockets, does not tell what a connection takes.
    fn doubt(&self, (before, after): (u64, u64), bytes: f64) -> Option<String> {
        let ends = if self.loopback { 2 } else { 1 };
        let own = ((self.up + self.publishers) * ends) as f64;
        let foreign = after as f64 - before as f64 - own;
        if foreign.abs() > (own * FOREIGN_SHARE_MAX).max(2.0) {
            return Some(format!(
                "{} other TCP sockets of this machine {} meanwhile",
                foreign.abs(),
                if foreign < 0.0 { "went" } else { "came" }
            ));
        }
        (bytes <= 0.0).then(|| "the kernel gave back more memory meanwhile".to_owned())
    }
}

/// Looks at the server and the machine again and again.
#[derive(Debug)]
pub(super) struct Observer {
    pid: Option<u32>,
    processes: Vec<u32>,
    last: Option<(u64, Usage)>,
    /// Before the first connect.
    pub(super) before: Option<Look>,
    /// All connected, nothing published.
    pub(super) idle: Option<Look>,
    /// The ends of the measured window.
    pub(super) window: (Option<Look>, Option<Look>),
    /// By interval.
    pub(super) seconds: BTreeMap<u64, Second>,
}

impl Observer {
    /// An observer of a server, if its process is known.
    pub(super) fn new(pid: Option<u32>) -> Observer {
        Observer {
            processes: pid.map(procfs::processes).unwrap_or_default(),
            pid,
            last: None,
            before: None,
            idle: None,
            window: (None, None),
            seconds: BTreeMap::new(),
        }
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, unique: u64) -> Look {
        if let Some(pid) = self.pid {
            // A server may have started processes since.
            self.processes = procfs::processes(pid);
        }
        Look {
            at_ns: clock::now_ns(),
            server: procfs::usage(&self.processes, true),
            server_cpus: self.cpus(),
            machine: Machine::look(),
            runqueue_wait_ns: procfs::runqueue_wait_ns(),
            unique,
        }
    }

    /// Takes a row's figures. Reading a large process's memory map takes its locks for
    /// milliseconds, so in the measured window only its CPU time is read.
    pub(super) fn second(&mut self, interval: u64, with_memory: bool) {
        let Some(usage) = procfs::usage(&self.processes, with_memory) else { return };
        let now_ns = clock::now_ns();
        let cores = |ns: u64, (at_ns, _): (u64, Usage)| ns as f64 / (now_ns - at_ns).max(1) as f64;
        let second = Second {
            cores: self.last.map(|last| cores(usage.busy_since(&last.1), last)),
            cores_waited: self
                .last
                .and_then(|last| Some(cores(usage.waited_since(&last.1)?, last))),
            pss_bytes: usage.pss_bytes,
            kernel_bytes: procfs::kernel_bytes(),
        };
        self.last = Some((now_ns, usage));
        self.seconds.insert(interval, second);
    }

    /// The cost on the server's side; `None` if it was not observed.
    pub(super) fn server(&self, load: &Load) -> Option<Server> {
        let (from, to) = (self.window.0.as_ref()?, self.window.1.as_ref()?);
        // A server that is gone by then was seen last by a row.
        let (start, end) = (from.server?, to.server.or(self.last.map(|(_, usage)| usage))?);
        let cpu_ns = CpuTime {
            user: end.user_ns.saturating_sub(start.user_ns),
            sys: end.sys_ns.saturating_sub(start.sys_ns),
        };
        let busy_ns = cpu_ns.user + cpu_ns.sys;
        let window_ns = to.at_ns - from.at_ns;
        let all_ns = to.machine.busy_since(&from.machine, &from.server_cpus, window_ns);
        let length_s = (to.at_ns - from.at_ns).max(1) as f64 / 1e9;
        let deliveries = to.unique - from.unique;
        let net = |name| to.machine.net_since(&from.machine, name);
        Some(Server {
            pid: self.pid,
            command: self.pid.and_then(procfs::command),
            cores: Some(busy_ns as f64 / 1e9 / length_s),
            cpu_per_delivery_ns: (deliveries > 0).then(|| busy_ns as f64 / deliveries as f64),
            cpu_ns,
            runqueue_wait_ns: end.waited_since(&start),
            neighbours_ns: all_ns.map(|all_ns| all_ns.saturating_sub(busy_ns)),
            softirq_cores: to.machine.softirq_since(&from.machine).map(|time| time / length_s),
            pss_bytes: end.pss_bytes,
            mem_per_conn: self.memory(load),
            fds: end.fds,
            net: NetHealth {
                listen_overflows: net("ListenOverflows"),
                retrans: net("RetransSegs"),
                backlog_drop: net("TCPBacklogDrop"),
                abort_on_memory: net("TCPAbortOnMemory"),
            },
        })
    }

    /// The processors that the server may run on; none if it is not known or gone.
    fn cpus(&self) -> Vec<usize> {
        let listed = procfs::server_cpus(&self.processes);
        let cpus = listed.and_then(|list| list.parse::<Cpus>().ok());
        cpus.map_or_else(Vec::new, |cpus| cpus.0)
    }

    fn memory(&self, load: &Load) -> MemoryPerConnection {
        let (Some(before), Some(idle)) = (&self.before, &self.idle) else {
            return MemoryPerConnection::default();
        };
        let each = |before: Option<u64>, after: Option<u64>| {
            Some((after? as f64 - before? as f64) / load.up.max(1) as f64)
        };
        let pss = |look: &Look| look.server.and_then(|usage| usage.pss_bytes);
        let kernel = each(before.machine.kernel_bytes, idle.machine.kernel_bytes);
        let kernel_unknown = kernel.and_then(|bytes| {
            let sockets = before.machine.sockets.zip(idle.machine.sockets);
            load.doubt(sockets?, bytes)
        });
        MemoryPerConnection {
            pss: each(pss(before), pss(idle)),
            kernel: kernel.filter(|_| kernel_unknown.is_none()),
            kernel_unknown,
        }
    }

    /// The state of this machine over the measured window.
    pub(super) fn rig(&self, busiest: Option<[f64; 2]>, cpus: &[usize]) -> Rig {
        let window = self.window.0.as_ref().zip(self.window.1.as_ref());
        let softnet = window.and_then(|(from, to)| to.machine.softnet_since(&from.machine));
        Rig {
            cpu_model: procfs::cpu_model(),
            cpu_count: procfs::online_cpus().map(|Cpus(cpus)| cpus.len() as u32),
            cpus: cpus.iter().map(|&cpu| cpu as u32).collect(),
            memory_bytes: procfs::memory_bytes(),
            kernel: procfs::line("/proc/sys/kernel/osrelease"),
            governor: procfs::line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            busiest_thread: busiest.map(|[busy, _]| busy),
            busiest_thread_waited: clock::thread_waited_ns().and(busiest).map(|[_, waited]| waited),
            runqueue_wait_ns: window.and_then(|(from, to)| {
                Some(to.runqueue_wait_ns?.saturating_sub(from.runqueue_wait_ns?))
            }),
            softnet: Softnet {
                dropped: softnet.map(|(dropped, _)| dropped),
                squeezed: softnet.map(|(_, squeezed)| squeezed),
            },
            steal: window.and_then(|(from, to)| to.machine.steal_since(&from.machine)),
            floor: None,
            bandwidth_floor: None,
            limits: limits(),
        }
    }
}

/// The limits that bound a run, as this machine has them.
fn limits() -> BTreeMap<String, String> {
    let mut limits = BTreeMap::new();
    let nofile = crate::client::socket::raise_descriptor_limit();
    limits.insert("nofile".to_owned(), nofile.to_string());
    limits.insert("ports_per_source".to_owned(), source::ports_count().to_string());
    for (name, path) in [
        ("somaxconn", "/proc/sys/net/core/somaxconn"),
        ("netdev_max_backlog", "/proc/sys/net/core/netdev_max_backlog"),
        ("tcp_congestion_control", "/proc/sys/net/ipv4/tcp_congestion_control"),
    ] {
        if let Some(value) = procfs::line(path) {
            limits.insert(name.to_owned(), value);
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_memory_is_told_only_where_the_sockets_are_those_of_the_run() {
        let load = Load { up: 1_000, publishers: 1, loopback: true };
        assert_eq!(load.doubt((50, 2_052), 4_000.0), None);
        assert_eq!(load.doubt((50, 2_090), 4_000.0), None);
        let doubt = |after, bytes| load.doubt((500, after), bytes).unwrap();
        assert!(doubt(2_700, 4_000.0).contains("198 other TCP sockets"));
        assert!(doubt(2_100, 4_000.0).contains("went meanwhile"));
        assert!(doubt(2_502, -3.0).contains("gave back"));
        let far = Load { loopback: false, ..load };
        assert_eq!(far.doubt((50, 1_051), 2_000.0), None);
        assert!(far.doubt((50, 2_052), 2_000.0).is_some());
    }
}
