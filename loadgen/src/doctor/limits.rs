//! From what a machine allows to the subscribers that it holds.
//!
//! The idea: pure arithmetic on readings. Every limit becomes a finding, and the memory of one
//! subscriber is a sum whose terms were measured.

use super::machine::Machine;
use crate::client::source::LOOPBACK_COUNT;

/// Kernel memory of a connected TCP socket with inode, directory entry and file (measured on
/// Linux 6.18).
const SOCKET_BYTES: u64 = 4_020;

/// Kernel memory of a receive that waits on a socket, and of the port it left from (the same).
const RECEIVE_BYTES: u64 = 990;

/// User memory of a subscriber: state 48 bytes, ledger 16, latencies 16, its share of the receive
/// buffers 16; when the report is made, the places in it 48.
const STATE_BYTES: u64 = 144;

/// User memory whatever the number of subscribers: the program, its histograms, the plan.
const FIXED_BYTES: u64 = 32 << 20;

/// The server's end where it is on this machine, beside the socket: its state of a subscriber and
/// what watches that one's socket.
const SERVER_BYTES: u64 = 128 + 240;

/// Memory that a ring locks: 512 submissions, 8,192 completions, its descriptions of buffers.
const RING_LOCKED_BYTES: u64 = 512 * 64 + 8_192 * 16 + 8_192;

/// Descriptors of a table that are no subscribers, and sockets of a ring at most: as a run has it.
const SPARE_DESCRIPTORS: u64 = 64;
const SLOTS_MAX: u64 = 65_536;

/// Processors from which on probes have one of their own.
const PROCESSORS_PROBING: u64 = 4;

/// What is to be opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) subscribers: u64,
    /// Whether the server is on this machine.
    pub(super) local: bool,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    /// What is set, in words.
    pub(super) value: String,
    /// What that is made of.
    pub(super) detail: Vec<String>,
    /// Subscribers that it allows; `None` if it bounds none.
    pub(super) allows: Option<u64>,
    /// What to do if that is too few, or if the setting spoils measurements.
    pub(super) cure: Option<String>,
}

impl Finding {
    /// A finding that bounds nothing and needs no cure.
    pub(super) fn new(name: &'static str, value: String) -> Finding {
        Finding { name, value, detail: Vec::new(), allows: None, cure: None }
    }
}

impl Demand {
    /// Ends of its connections on this machine.
    fn ends(&self) -> u64 {
        if self.local { 2 } else { 1 }
    }

    /// A limit with room for the demand and a tenth more.
    fn with_room(&self, each: u64) -> u64 {
        let needed = self.subscribers * each;
        needed + needed / 10
    }
}

/// All limits of a machine.
pub(super) fn findings(machine: &Machine, demand: &Demand) -> Vec<Finding> {
    let mut findings = vec![rings(machine, demand), memory(machine, demand)];
    findings.extend(locked(machine, demand));
    findings.extend(files(machine, demand));
    findings.extend(watches(machine, demand));
    findings.extend(conntrack(machine, demand));
    findings.push(ports(machine, demand));
    findings.extend(packets(machine, demand));
    findings.extend(queues(machine));
    findings.push(processors(machine, demand));
    findings
}

fn slots(machine: &Machine) -> u64 {
    machine.descriptors.saturating_sub(SPARE_DESCRIPTORS).clamp(1, SLOTS_MAX)
}

/// Whether rings can be made, and how many it takes: the limit on descriptors bounds a ring's
/// table and not the process.
fn rings(machine: &Machine, demand: &Demand) -> Finding {
    let slots = slots(machine);
    let Some(refused) = &machine.rings_refused else {
        let count = demand.subscribers.div_ceil(slots);
        let value = format!("{count} ring(s) of {slots} sockets");
        let note = slots * 50 < demand.subscribers;
        let cure = note.then(|| {
            "ulimit -n 65600  (fewer rings: each has buffers of its own and costs a call when it \
             has work)"
                .to_owned()
        });
        return Finding { cure, ..Finding::new("io_uring", value) };
    };
    let cure = match machine.rings_switch {
        Some(0) | None => "in a container: allow io_uring in the seccomp profile",
        Some(_) => "sysctl -w kernel.io_uring_disabled=0",
    };
    Finding {
        allows: Some(0),
        cure: Some(cure.to_owned()),
        ..Finding::new("io_uring", refused.clone())
    }
}

/// Memory of both ends, where both are here.
fn memory(machine: &Machine, demand: &Demand) -> Finding {
    let server = if demand.local { SOCKET_BYTES + SERVER_BYTES } else { 0 };
    let each = SOCKET_BYTES + RECEIVE_BYTES + STATE_BYTES + server;
    let total = each * demand.subscribers + FIXED_BYTES;
    let mut detail = vec![format!(
        "{} for {}: {each} bytes each, of them {STATE_BYTES} in this program, {} in the kernel \
         for its end",
        mebibytes(total),
        demand.subscribers,
        SOCKET_BYTES + RECEIVE_BYTES,
    )];
    if demand.local {
        detail.push(format!("and {server} for the server's end; packets on the way come on top"));
    }
    Finding {
        detail,
        allows: Some(machine.available_bytes.saturating_sub(FIXED_BYTES) / each),
        cure: Some("more memory, or the server on another machine (--remote)".to_owned()),
        ..Finding::new("memory", format!("{} available", mebibytes(machine.available_bytes)))
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Memory of rings counts against RLIMIT_MEMLOCK, except for who may lock what it likes.
fn locked(machine: &Machine, demand: &Demand) -> Option<Finding> {
    let limit = machine.locked_bytes?;
    let slots = slots(machine);
    let needed = demand.subscribers.div_ceil(slots) * RING_LOCKED_BYTES;
    Some(Finding {
        allows: Some(limit / RING_LOCKED_BYTES * slots),
        cure: Some(format!("ulimit -l {}  (or run with CAP_IPC_LOCK)", needed.div_ceil(1_024))),
        ..Finding::new("RLIMIT_MEMLOCK", format!("{} KiB", limit >> 10))
    })
}

/// All open files of the machine: sockets in ring tables count too.
fn files(machine: &Machine, demand: &Demand) -> Option<Finding> {
    let (used, most) = machine.files?;
    Some(Finding {
        allows: Some(most.saturating_sub(used) / demand.ends()),
        cure: Some(format!("sysctl -w fs.file-max={}", used + demand.with_room(demand.ends()))),
        ..Finding::new("fs.file-max", format!("{used} of {most} used"))
    })
}

/// Most servers watch each subscriber's socket with epoll.
fn watches(machine: &Machine, demand: &Demand) -> Option<Finding> {
    let most = machine.watches.filter(|_| demand.local)?;
    Some(Finding {
        allows: Some(most),
        cure: Some(format!("sysctl -w fs.epoll.max_user_watches={}", demand.with_room(1))),
        ..Finding::new("fs.epoll.max_user_watches", format!("{most} for the server"))
    })
}

/// A table of tracked connections that is full drops packets, those of new connections first. The
/// table may be there and no rule use it: then it holds far fewer than there are connections.
fn conntrack(machine: &Machine, demand: &Demand) -> Option<Finding> {
    let (used, most) = machine.conntrack?;
    if used < machine.connections.div_ceil(2) || used == 0 {
        let value = format!("{used} of {most} used: not tracking");
        return Some(Finding::new("net.netfilter.nf_conntrack_max", value));
    }
    Some(Finding {
        allows: Some(most.saturating_sub(used)),
        cure: Some(format!(
            "sysctl -w net.netfilter.nf_conntrack_max={}  (or do not track these connections)",
            used + demand.with_room(1)
        )),
        ..Finding::new("net.netfilter.nf_conntrack_max", format!("{used} of {most} used"))
    })
}

/// Ports: to one target, a source address is filled to half; on loopback, where addresses cost
/// nothing, to a quarter.
fn ports(machine: &Machine, demand: &Demand) -> Finding {
    let name = "net.ipv4.ip_local_port_range";
    if demand.local {
        let each = (machine.ports / 4).max(1);
        let needed = demand.subscribers.div_ceil(each);
        return Finding {
            allows: Some(each * LOOPBACK_COUNT as u64),
            cure: Some("sysctl -w net.ipv4.ip_local_port_range='1024 65535'".to_owned()),
            ..Finding::new(name, format!("{needed} loopback sources of {each}"))
        };
    }
    let needed = demand.subscribers.div_ceil((machine.ports / 2).max(1));
    Finding {
        allows: Some(machine.ports),
        cure: Some(format!(
            "sysctl -w net.ipv4.ip_local_port_range='1024 65535', or --source with {needed} \
             addresses of this machine"
        )),
        ..Finding::new(name, format!("{} of one source", machine.ports))
    }
}

/// Packets that nobody has read: each socket that has one takes a page of this.
fn packets(machine: &Machine, demand: &Demand) -> Option<Finding> {
    let [low, _, most] = machine.tcp_pages?;
    let wanted = demand.with_room(1);
    let short = most < demand.subscribers;
    Some(Finding {
        cure: short.then(|| {
            format!(
                "sysctl -w net.ipv4.tcp_mem='{} {} {}'  (an event on the way to every subscriber \
                 takes a page each; beyond that the kernel drops packets)",
                low.max(wanted),
                wanted * 3 / 2,
                wanted * 2
            )
        }),
        ..Finding::new("net.ipv4.tcp_mem", format!("{most} pages"))
    })
}

/// Queues that bound no number, but spoil latencies when they are short.
fn queues(machine: &Machine) -> Vec<Finding> {
    [
        ("net.core.somaxconn", machine.accept_queue, 4_096, 65_535),
        ("net.ipv4.tcp_max_syn_backlog", machine.syn_queue, 4_096, 65_535),
        ("net.core.netdev_max_backlog", machine.device_queue, 10_000, 100_000),
    ]
    .into_iter()
    .filter_map(|(name, value, least, better)| {
        let value = value?;
        let cure = format!(
            "sysctl -w {name}={better}  (a full queue drops, and a drop costs a retransmission of \
             0.2 to 1 s)"
        );
        let cure = (value < least).then_some(cure);
        Some(Finding { cure, ..Finding::new(name, value.to_string()) })
    })
    .collect()
}

/// Who reads what, on these processors.
fn processors(machine: &Machine, demand: &Demand) -> Finding {
    let count = machine.processors;
    let cure = if demand.local && count < 2 {
        Some("two processors at least: with one, server and load generator wait for each other")
    } else if count < PROCESSORS_PROBING {
        Some(
            "no processor to spare for probes: latencies rest on the kernel's receive stamps \
             (--ts kernel), which the reading of the others does not delay",
        )
    } else {
        None
    };
    Finding { cure: cure.map(str::to_owned), ..Finding::new("processors", count.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            descriptors: 20_000,
            rings_refused: None,
            rings_switch: Some(0),
            locked_bytes: None,
            files: Some((1_000, 1_001_000)),
            watches: Some(800_000),
            available_bytes: 10 << 30,
            ports: 28_000,
            conntrack: None,
            connections: 100,
            tcp_pages: Some([100_000, 200_000, 300_000]),
            accept_queue: Some(4_096),
            syn_queue: Some(4_096),
            device_queue: Some(1_000),
            processors: 8,
        }
    }

    fn find(machine: &Machine, demand: Demand, name: &str) -> Option<Finding> {
        findings(machine, &demand).into_iter().find(|finding| finding.name == name)
    }

    const HERE: Demand = Demand { subscribers: 1_000_000, local: true };
    const THERE: Demand = Demand { local: false, ..HERE };

    #[test]
    fn a_server_on_this_machine_takes_files_watches_and_memory_too() {
        let machine = machine();
        let allows = |demand, name| find(&machine, demand, name).map(|it| it.allows.unwrap());
        assert_eq!(allows(HERE, "fs.file-max"), Some(500_000));
        assert_eq!(allows(THERE, "fs.file-max"), Some(1_000_000));
        assert_eq!(allows(HERE, "fs.epoll.max_user_watches"), Some(800_000));
        assert_eq!(allows(THERE, "fs.epoll.max_user_watches"), None);
        assert!(allows(THERE, "memory") > allows(HERE, "memory").map(|most| most * 3 / 2));
    }

    #[test]
    fn a_cure_is_large_enough_to_cure() {
        let mut machine = machine();
        let cure = find(&machine, HERE, "fs.file-max").unwrap().cure.unwrap();
        let most = cure.split_once('=').unwrap().1.parse().unwrap();
        machine.files = Some((1_000, most));
        assert!(find(&machine, HERE, "fs.file-max").unwrap().allows >= Some(1_000_000));
        machine.locked_bytes = Some(8 << 20);
        let short = find(&machine, HERE, "RLIMIT_MEMLOCK").unwrap();
        assert!(short.allows < Some(1_000_000));
        let cure = short.cure.unwrap();
        let kilobytes: u64 = cure.split_whitespace().nth(2).unwrap().parse().unwrap();
        machine.locked_bytes = Some(kilobytes << 10);
        assert!(find(&machine, HERE, "RLIMIT_MEMLOCK").unwrap().allows >= Some(1_000_000));
    }

    #[test]
    fn what_only_spoils_figures_is_a_note_and_no_bound() {
        let machine = machine();
        for name in ["net.core.netdev_max_backlog", "net.ipv4.tcp_mem"] {
            let finding = find(&machine, HERE, name).unwrap();
            assert!(finding.allows.is_none() && finding.cure.is_some(), "{name}");
        }
        assert_eq!(find(&machine, HERE, "net.core.somaxconn").unwrap().cure, None);
        assert_eq!(find(&machine, HERE, "processors").unwrap().cure, None);
        let two = Machine { processors: 2, ..machine };
        assert!(find(&two, HERE, "processors").unwrap().cure.unwrap().contains("probes"));
    }

    #[test]
    fn a_table_of_connections_bounds_only_where_it_is_used() {
        let name = "net.netfilter.nf_conntrack_max";
        let idle = Machine { conntrack: Some((3, 1_000)), ..machine() };
        assert_eq!(find(&idle, HERE, name).unwrap().allows, None);
        let used = Machine { conntrack: Some((90, 1_000)), ..machine() };
        assert_eq!(find(&used, HERE, name).unwrap().allows, Some(910));
    }

    #[test]
    fn a_machine_without_rings_allows_nobody() {
        let machine = Machine { rings_refused: Some("no".to_owned()), ..machine() };
        let finding = find(&machine, HERE, "io_uring").unwrap();
        assert_eq!((finding.allows, finding.value.as_str()), (Some(0), "no"));
    }

    #[test]
    fn a_remote_fleet_is_told_how_many_sources_it_needs() {
        let finding = find(&machine(), THERE, "net.ipv4.ip_local_port_range").unwrap();
        assert_eq!(finding.allows, Some(28_000));
        assert!(finding.cure.unwrap().contains("--source with 72 addresses"));
        let finding = find(&machine(), HERE, "net.ipv4.ip_local_port_range").unwrap();
        assert!(finding.allows > Some(1_000_000));
    }
}
