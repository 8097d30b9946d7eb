//! The blocks of the two machines: what the server spent, and how the rig was.

use super::layout::{blocks, table};
use crate::report::model::metric::{self, Per};
use crate::report::model::{Run, host};
use crate::report::unit;

pub(super) fn server(lines: &mut Vec<String>, run: &Run) {
    let Some(server) = &run.server else { return };
    let mut cpu = format!(
        "CPU {} user + {} kernel",
        unit::time(server.cpu_ns.user),
        unit::time(server.cpu_ns.sys)
    );
    if let Some(cores) = server.cores {
        cpu += &format!(" = {} cores", unit::digits(cores));
    }
    if let Some(cost) = server.cpu_per_delivery_ns {
        cpu += &format!(" = {} per delivery", unit::time(cost.round() as u64));
    }
    let mut parts: Vec<String> = server.pid.map(|pid| format!("pid {pid}")).into_iter().collect();
    parts.push(cpu);
    parts.extend(waited(server));
    let softirq = server.softirq_cores.map(unit::digits);
    parts.extend(softirq.map(|cores| format!("machine's softirq {cores} cores")));
    blocks(lines, "SERVER", &parts);
    blocks(lines, "", &memory(server));
    blocks(lines, "", &network(server));
}

/// What the server wanted of the processors and did not get.
fn waited(server: &host::Server) -> Option<String> {
    let waited = unit::time(server.runqueue_wait_ns?);
    let neighbours = server.neighbours_ns.map(unit::time);
    let neighbours = neighbours.map_or_else(String::new, |time| format!(", neighbours ran {time}"));
    Some(format!("waited {waited} for a CPU{neighbours}"))
}

fn memory(server: &host::Server) -> Vec<String> {
    let mut parts = Vec::new();
    let per = &server.mem_per_conn;
    if per.pss.is_some() || per.kernel.is_some() {
        let show = |bytes: Option<f64>| bytes.map_or_else(|| "n/a".to_owned(), unit::bytes);
        parts.push(format!(
            "memory per connection: user {}, kernel {}",
            show(per.pss),
            show(per.kernel)
        ));
    }
    parts.extend(per.kernel_unknown.as_ref().map(|why| format!("kernel memory unknown: {why}")));
    parts.extend(server.pss_bytes.map(|bytes| format!("process {}", unit::bytes(bytes as f64))));
    parts.extend(server.fds.map(|fds| format!("fds {}", unit::count(fds))));
    parts
}

fn network(server: &host::Server) -> Vec<String> {
    let net = &server.net;
    let named = [
        ("listen overflows", net.listen_overflows),
        ("segments sent again", net.retrans),
        ("backlog drops", net.backlog_drop),
        ("aborts for memory", net.abort_on_memory),
    ];
    let known = named.into_iter().filter_map(|(name, n)| Some((name, n?)));
    known.map(|(name, n)| format!("{name} {}", unit::count(n))).collect()
}

pub(super) fn rig(lines: &mut Vec<String>, run: &Run) {
    let rig = &run.rig;
    let parts: Vec<String> = [
        rig.busiest_thread.map(|share| format!("busiest thread {}", unit::percent(share))),
        rig.busiest_thread_waited
            .map(|share| format!("and waited for a CPU {} more", unit::percent(share))),
        rig.runqueue_wait_ns.map(|ns| format!("all threads waited {}", unit::time(ns))),
        rig.softnet.dropped.map(|n| format!("softnet drops {n}")),
        rig.softnet.squeezed.filter(|&n| n > 0).map(|n| format!("softnet out of budget {n}")),
        rig.steal.map(|share| format!("steal {}", unit::percent(share))),
        rig.floor.as_ref().map(|floor| format!("rig floor p99 {}", unit::time(floor.p99))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let machine: Vec<String> = [
        rig.cpu_count.map(|n| format!("{n} CPUs")),
        rig.cpu_model.clone(),
        rig.memory_bytes.map(|bytes| unit::bytes(bytes as f64)),
        rig.kernel.as_ref().map(|kernel| format!("kernel {kernel}")),
        rig.governor.as_ref().map(|governor| format!("governor {governor}")),
        (!rig.cpus.is_empty()).then(|| {
            let cpus: Vec<String> = rig.cpus.iter().map(ToString::to_string).collect();
            format!("pinned to CPU {}", cpus.join(", "))
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !parts.is_empty() || !machine.is_empty() {
        blocks(lines, "RIG", &parts);
    }
    blocks(lines, "", &machine);
    table(lines, run, |definition| {
        definition.per == Per::Rig || definition.name == metric::CLIENT_HOLD
    });
}
