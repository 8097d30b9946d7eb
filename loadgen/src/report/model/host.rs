//! The two machines of a run: what the server spent, and what state the rig was in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Cost on the server's side over the measured window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Server {
    /// Its process id.
    pub(crate) pid: Option<u32>,
    /// Its command line.
    pub(crate) command: Option<String>,
    /// CPU time of all of its threads.
    pub(crate) cpu_ns: CpuTime,
    /// CPU cores it kept busy: CPU time over wall time.
    pub(crate) cores: Option<f64>,
    /// CPU time per delivery, kernel included.
    pub(crate) cpu_per_delivery_ns: Option<f64>,
    /// Time that its threads were ready to run and had no processor. Null where they are more than
    /// a thousand.
    #[serde(default)]
    pub(crate) runqueue_wait_ns: Option<u64>,
    /// CPU time of everything else on the processors that it may run on.
    #[serde(default)]
    pub(crate) neighbours_ns: Option<u64>,
    /// CPU cores the whole machine spent in soft interrupts; over loopback that is the
    /// receiving half of TCP, which runs on the sender's account.
    pub(crate) softirq_cores: Option<f64>,
    /// Memory of its process at the end of the window (proportional set size).
    pub(crate) pss_bytes: Option<u64>,
    /// Memory per connection: the growth from before the first connect, divided by their number.
    pub(crate) mem_per_conn: MemoryPerConnection,
    /// Open descriptors.
    pub(crate) fds: Option<u64>,
    /// Counters of the kernel's network stack, as differences over the window.
    pub(crate) net: NetHealth,
}

impl Server {
    /// Share of the time in which the server was ready to run and others had its processor, 0 to
    /// 1: of what it waited no more than others ran, for the rest it waited for threads of its
    /// own.
    pub(crate) fn starved(&self) -> Option<f64> {
        let starved_ns = self.runqueue_wait_ns?.min(self.neighbours_ns?) as f64;
        let wanted_ns = (self.cpu_ns.user + self.cpu_ns.sys) as f64 + starved_ns;
        (wanted_ns > 0.0).then(|| starved_ns / wanted_ns)
    }
}

/// CPU time of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CpuTime {
    /// In user mode.
    pub(crate) user: u64,
    /// In the kernel.
    pub(crate) sys: u64,
}

/// Memory per connection, two numbers because the resident set hides socket memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MemoryPerConnection {
    /// User memory: growth of the proportional set size per connection, in bytes.
    pub(crate) pss: Option<f64>,
    /// Kernel memory: growth of socket buffers and slabs of the machine per connection, in bytes;
    /// over loopback that is both ends.
    pub(crate) kernel: Option<f64>,
    /// Why `kernel` is null, where it could have been known.
    #[serde(default)]
    pub(crate) kernel_unknown: Option<String>,
}

/// Network counters of the server's machine over the window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct NetHealth {
    /// Connections dropped because the accept queue was full (ListenOverflows).
    pub(crate) listen_overflows: Option<u64>,
    /// Segments sent again (RetransSegs).
    pub(crate) retrans: Option<u64>,
    /// Segments dropped because a socket's backlog was full (TCPBacklogDrop).
    pub(crate) backlog_drop: Option<u64>,
    /// Connections aborted for want of memory (TCPAbortOnMemory).
    pub(crate) abort_on_memory: Option<u64>,
}

/// The machine that made the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Rig {
    /// Processor model.
    pub(crate) cpu_model: Option<String>,
    /// Processors of the machine.
    pub(crate) cpu_count: Option<u32>,
    /// Processors the load generator was pinned to; empty = not pinned.
    #[serde(default)]
    pub(crate) cpus: Vec<u32>,
    /// Memory of the machine.
    pub(crate) memory_bytes: Option<u64>,
    /// Kernel release.
    pub(crate) kernel: Option<String>,
    /// Frequency governor.
    pub(crate) governor: Option<String>,
    /// Busy share of the busiest reading thread of the load generator, 0 to 1: of the one that was
    /// ready to run for most of the window, the share in which it ran.
    pub(crate) busiest_thread: Option<f64>,
    /// Share of the window in which that thread was ready to run and had no processor.
    #[serde(default)]
    pub(crate) busiest_thread_waited: Option<f64>,
    /// Time the load generator's threads waited for a processor, summed.
    pub(crate) runqueue_wait_ns: Option<u64>,
    /// What the network stack dropped or put off on this machine.
    pub(crate) softnet: Softnet,
    /// Share of time that the hypervisor took away, 0 to 1.
    pub(crate) steal: Option<f64>,
    /// The same plan against the built-in null server: what this rig cannot get below.
    pub(crate) floor: Option<RigFloor>,
    /// Smallest possible time to the last subscriber at the link's speed, and its sum in words.
    pub(crate) bandwidth_floor: Option<BandwidthFloor>,
    /// Limits in force, by name (`nofile`, `ip_local_port_range`).
    #[serde(default)]
    pub(crate) limits: BTreeMap<String, String>,
}

/// Network stack counters of the rig over the window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Softnet {
    /// Packets dropped because a processor's backlog was full.
    pub(crate) dropped: Option<u64>,
    /// Times a processor ran out of its budget for packets.
    pub(crate) squeezed: Option<u64>,
}

/// The rig's own floor, measured against the built-in null server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RigFloor {
    /// The file it was read from.
    pub(crate) source: String,
    /// p99 delivery of that run.
    pub(crate) p99: u64,
}

/// The time the link alone needs to carry one event to all subscribers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct BandwidthFloor {
    /// Subscribers of an event times wire bytes times 8 over the link's speed.
    pub(crate) time_ns: u64,
    /// Bytes on the wire per delivery.
    pub(crate) wire_bytes_per_delivery: f64,
    /// Speed of the link in bits per second.
    pub(crate) link_bits_per_second: u64,
}
