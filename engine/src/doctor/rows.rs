//! The rows of the report, each a judgement of its own.
//!
//! The idea: one function per figure, which says when it limits and how far to raise it.
//!
//! Knows nothing of the verdict.

use std::fmt;

use super::{
    Amount, BackendChoice, Config, Lane, Machine, OWN_DESCRIPTORS, Row, State, UringRefusal,
    fixed_bytes, has_memory, memory_capacity, ring_bytes, start_bytes, tables,
};
use crate::config::ACCEPT_BACKLOG;

/// Connections that may arrive at once while a worker is busy; the length we ask for in listen(2).
const BACKLOG: u64 = ACCEPT_BACKLOG as u64;

/// How the memory for rings is raised.
const MEMLOCK_RAISED: &str = "ulimit -Hl unlimited (systemd: LimitMEMLOCK=infinity)";

/// Ports from which one client address can connect to one server address and port.
const PORTS_WANTED: u64 = 28_000;

pub(super) fn all(config: &Config, machine: &Machine, lane: Lane) -> Vec<Row> {
    let rows = [
        kernel(machine),
        Some(uring(config, machine)),
        locked_memory(config, machine),
        vectored_send(machine, lane),
        Some(workers(config, machine)),
        descriptors(config, machine, lane),
        files(config, machine),
        watches(config, machine),
        memory(config, machine),
        tcp_memory(config, machine),
        send_buffer(config, machine),
        receive_buffer(machine),
        accept_queue(config, machine),
        handshakes(machine),
        device_queue(machine),
        ports(machine),
    ];
    rows.into_iter().flatten().collect()
}

fn ok(name: &'static str, value: &dyn fmt::Display, meaning: impl Into<String>) -> Row {
    let (value, meaning) = (value.to_string(), meaning.into());
    Row { state: State::Ok, name, value, meaning, raise: None }
}

impl Row {
    fn limits(self, raise: impl Into<String>) -> Row {
        Row { state: State::Limits, raise: Some(raise.into()), ..self }
    }

    fn problem(self, raise: impl Into<String>) -> Row {
        Row { state: State::Problem, raise: Some(raise.into()), ..self }
    }
}

fn kernel(machine: &Machine) -> Option<Row> {
    let row = |meaning: &str| ok("kernel", &machine.kernel_release, meaning);
    match crate::kernel::version(&machine.kernel_release)? {
        version if version >= (6, 17) => Some(row("Has everything that delivery can use.")),
        version if version >= (6, 1) => Some(
            row("io_uring delivery works; vectored sends came with 6.17.").limits("a newer kernel"),
        ),
        _ => Some(
            row("Too old for io_uring delivery, which needs 6.1; epoll delivers.")
                .limits("a newer kernel"),
        ),
    }
}

fn uring(config: &Config, machine: &Machine) -> Row {
    let refusal = match (machine.uring.available, config.backend) {
        (Ok(()), BackendChoice::Epoll) => {
            return ok("io_uring", &"available", "Not used: --backend epoll.");
        }
        (Ok(()), _) if has_memory(config, machine) => {
            return ok("io_uring", &"available", "Delivers, with fixed files.");
        }
        (Ok(()), _) => {
            return ok("io_uring", &"available", "Its rings do not fit under RLIMIT_MEMLOCK.");
        }
        (Err(refusal), _) => refusal,
    };
    let command = match refusal {
        UringRefusal::Sysctl(_) => "sysctl -w kernel.io_uring_disabled=0",
        UringRefusal::Seccomp => {
            "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register \
             (docker run --security-opt seccomp=PROFILE.json)"
        }
        UringRefusal::Missing | UringRefusal::TooOld | UringRefusal::Incomplete => {
            "a kernel of 6.1 or newer (6.17 for all of it), outside of sandboxes that hide it"
        }
        UringRefusal::Other(libc::ENOMEM) => MEMLOCK_RAISED,
        UringRefusal::Other(_) => {
            "the kernel's log says which security module refused it: journalctl -k"
        }
    };
    let value = format!("refused: {refusal}");
    match config.backend {
        BackendChoice::Uring => {
            ok("io_uring", &value, "--backend uring asks for it; auto would deliver by epoll.")
                .problem(command)
        }
        BackendChoice::Auto => {
            ok("io_uring", &value, "epoll delivers instead: a system call for each send.")
                .limits(command)
        }
        BackendChoice::Epoll => ok("io_uring", &value, "Not used: --backend epoll."),
    }
}

/// The memory of the rings, over all processes of the user.
fn locked_memory(config: &Config, machine: &Machine) -> Option<Row> {
    let (max, start) = (machine.rings_bytes_max?, start_bytes(config, machine));
    let all = start
        + (tables(config, machine).1 - config.workers as u64) * ring_bytes(machine.page_bytes);
    let row = |meaning: String| ok("RLIMIT_MEMLOCK (hard)", &amount(max), meaning);
    let rings = format!("the rings of {} workers take {} of it", config.workers, amount(start));
    match config.backend {
        BackendChoice::Epoll => None,
        BackendChoice::Uring if max < start => {
            let meaning = format!("With --backend uring {rings} from the start.");
            Some(row(meaning).problem(MEMLOCK_RAISED))
        }
        BackendChoice::Auto if max < start => {
            let meaning = format!("epoll delivers instead: {rings} from the start.");
            Some(row(meaning).limits(MEMLOCK_RAISED))
        }
        _ if max < all => Some(
            row(format!(
                "All rings for --connections-max take {}: beyond it subscribers are told to come \
                 back later.",
                amount(all),
            ))
            .limits(MEMLOCK_RAISED),
        ),
        _ => Some(row(format!("Enough for the {} of all rings.", amount(all)))),
    }
}

fn vectored_send(machine: &Machine, lane: Lane) -> Option<Row> {
    match (lane, machine.uring.vectored_send) {
        (Lane::Epoll, _) => None,
        (Lane::Uring, true) => {
            Some(ok("vectored send", &"yes", "Sends point at the shared frames directly."))
        }
        (Lane::Uring, false) => Some(
            ok("vectored send", &"no", "A message header is built for each send (a few percent).")
                .limits("a kernel of 6.17 or newer"),
        ),
    }
}

fn workers(config: &Config, machine: &Machine) -> Row {
    let (workers, cpus) = (config.workers, machine.cpus.len());
    let row = |meaning: String| ok("workers", &workers, meaning);
    match workers {
        _ if workers > config.cpus.len() => {
            let cpus = config.cpus.len();
            row(format!("More than their {cpus} CPUs: some share one and wait for each other."))
                .limits(format!("--workers {cpus}"))
        }
        _ if workers < cpus => row(format!("This process may use {cpus} CPUs.")),
        _ => row("One for each CPU.".into()),
    }
}

fn descriptors(config: &Config, machine: &Machine, lane: Lane) -> Option<Row> {
    let limit = machine.nofile_max?;
    let connections = config.connections_max as u64;
    let row = |meaning: String| ok("RLIMIT_NOFILE (hard)", &limit, meaning);
    let raise = |wanted: u64| {
        let sysctl = match machine.nr_open {
            Some(nr_open) if nr_open < wanted => format!("sysctl -w fs.nr_open={wanted} && "),
            _ => String::new(),
        };
        format!("{sysctl}ulimit -Hn {wanted} (systemd: LimitNOFILE={wanted})")
    };
    if limit <= OWN_DESCRIPTORS {
        let meaning = format!("Listeners, rings and handshakes need {OWN_DESCRIPTORS} alone.");
        return Some(row(meaning).problem(raise(65_536)));
    }
    match lane {
        Lane::Epoll if limit - OWN_DESCRIPTORS < connections => Some(
            row(format!(
                "The epoll lane needs a descriptor for each of --connections-max {connections}."
            ))
            .limits(raise(connections + OWN_DESCRIPTORS)),
        ),
        Lane::Epoll => Some(row("Enough for a descriptor for each connection.".into())),
        Lane::Uring => {
            let (table, tables) = tables(config, machine);
            Some(row(format!(
                "Does not limit subscribers: they are fixed files, {connections} in {tables} tables \
                 of {table}. Handshakes and publishers share it."
            )))
        }
    }
}

fn files(config: &Config, machine: &Machine) -> Option<Row> {
    let free = machine.files_free?;
    let connections = config.connections_max as u64;
    let row = |meaning: &str| ok("fs.file-max", &format!("{free} files free"), meaning);
    if free >= connections {
        return Some(row("Enough for every connection."));
    }
    let wanted = connections + connections / 4;
    Some(
        row("Every connection is an open file, for root as well as for others.")
            .limits(format!("sysctl -w fs.file-max={wanted}")),
    )
}

fn watches(config: &Config, machine: &Machine) -> Option<Row> {
    let limit = machine.epoll_watches?;
    let connections = config.connections_max as u64;
    let row = |meaning: &str| ok("fs.epoll.max_user_watches", &limit, meaning);
    if limit >= connections {
        return Some(row("Enough for every connection."));
    }
    let wanted = connections + connections / 4;
    Some(
        row("Every subscriber is watched by epoll, whichever lane delivers.")
            .limits(format!("sysctl -w fs.epoll.max_user_watches={wanted}")),
    )
}

fn memory(config: &Config, machine: &Machine) -> Option<Row> {
    let available = machine.memory_available?;
    let (fixed, fits) = (fixed_bytes(config), memory_capacity(config, machine)?);
    let value = format!("{} available", amount(available));
    let row = |meaning: String| ok("memory", &value.clone(), meaning);
    let fixed_text = format!("Histories, topics and buffers may take {}", amount(fixed));
    if fixed >= available {
        return Some(
            row(format!("{fixed_text}, which is all there is."))
                .problem("lower --history-bytes-total, --topics-max or --workers, or add memory"),
        );
    }
    let row = row(format!(
        "{fixed_text}; the rest holds {fits} idle subscribers (128 B here and 4.3 KiB in the kernel \
         each)."
    ));
    if fits >= config.connections_max as u64 {
        return Some(row);
    }
    Some(row.limits("add memory, or lower --topics-max and --history-bytes-total"))
}

/// Every socket with unacknowledged data holds at least a page of it.
fn tcp_memory(config: &Config, machine: &Machine) -> Option<Row> {
    let [low, pressure, high] = machine.tcp_mem?;
    let connections = config.connections_max as u64;
    let page = machine.page_bytes;
    let value = format!("{low} {pressure} {high} pages ({} at most)", amount(high * page));
    let stalled = match config.memory_bound().stalled_subscriber_bytes {
        Some(bytes) => format!("; or {} with full buffers", pressure * page / bytes as u64),
        None => String::new(),
    };
    let row = ok(
        "net.ipv4.tcp_mem",
        &value,
        format!(
            "Before the kernel shrinks all windows, {pressure} subscribers can have an event on \
             the way at a time, a page each{stalled}."
        ),
    );
    if pressure >= connections {
        return Some(row);
    }
    let (low, high) = (connections, connections * 2);
    let pressure = connections + connections / 2;
    Some(row.limits(format!("sysctl -w net.ipv4.tcp_mem=\"{low} {pressure} {high}\"")))
}

fn send_buffer(config: &Config, machine: &Machine) -> Option<Row> {
    let Some(wanted) = config.socket_send_bytes else {
        let [_, _, most] = machine.tcp_wmem?;
        let meaning = "What one stalled subscriber may cost; --socket-send-bytes would bound it.";
        return Some(ok("net.ipv4.tcp_wmem", &format!("{} at most", amount(most)), meaning));
    };
    let most = machine.wmem_max?;
    let row = |meaning: &str| ok("net.core.wmem_max", &amount(most), meaning);
    if most >= wanted as u64 {
        return Some(row("Allows --socket-send-bytes."));
    }
    Some(
        row("Caps --socket-send-bytes: sockets fill up earlier than configured.")
            .limits(format!("sysctl -w net.core.wmem_max={wanted}")),
    )
}

fn receive_buffer(machine: &Machine) -> Option<Row> {
    let [least, default, most] = machine.tcp_rmem?;
    let meaning = "Subscribers send nothing, so this is paid for by publishers only.";
    Some(ok("net.ipv4.tcp_rmem", &format!("{least} {default} {most}"), meaning))
}

fn accept_queue(config: &Config, machine: &Machine) -> Option<Row> {
    let limit = machine.somaxconn?;
    let listeners = (config.workers * config.listen.len()) as u64;
    let queue = limit.min(BACKLOG);
    let row = ok(
        "net.core.somaxconn",
        &limit,
        format!(
            "{} clients can arrive at once ({listeners} listeners × {queue}); others retry after a \
             second.",
            queue * listeners
        ),
    );
    if limit >= BACKLOG {
        return Some(row);
    }
    Some(row.limits(format!("sysctl -w net.core.somaxconn={BACKLOG}")))
}

fn handshakes(machine: &Machine) -> Option<Row> {
    let limit = machine.syn_backlog?;
    let name = "net.ipv4.tcp_max_syn_backlog";
    match machine.syn_cookies {
        Some(0) if limit < BACKLOG => Some(
            ok(name, &limit, "Half-open connections beyond it are dropped: SYN cookies are off.")
                .limits("sysctl -w net.ipv4.tcp_syncookies=1"),
        ),
        _ => Some(ok(name, &limit, "Half-open connections beyond it are served by SYN cookies.")),
    }
}

fn device_queue(machine: &Machine) -> Option<Row> {
    let meaning = "Packets that wait for a CPU. Matters for clients on this machine and for \
                   containers; network cards have queues of their own.";
    Some(ok("net.core.netdev_max_backlog", &machine.netdev_backlog?, meaning))
}

fn ports(machine: &Machine) -> Option<Row> {
    let [first, last] = machine.port_range?;
    let count = last.saturating_sub(first) + 1;
    let meaning = match count {
        _ if count >= PORTS_WANTED => "Matters for clients on this machine only",
        _ => "Few, but matters for clients on this machine only",
    };
    let meaning = format!("{meaning}: {count} connections for each pair of addresses.");
    Some(ok("net.ipv4.ip_local_port_range", &format!("{first} {last}"), meaning))
}

fn amount(bytes: u64) -> Amount {
    Amount(usize::try_from(bytes).unwrap_or(usize::MAX))
}
