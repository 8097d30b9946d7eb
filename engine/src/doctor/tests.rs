use super::*;
use crate::config::cli::{Cli, Command};
use crate::kernel::uring::UringSupport;

fn config(words: &str) -> Config {
    let words = format!("downpour doctor {words}");
    let words = words.split_whitespace().map(Into::into);
    let Command::Doctor(args) = Cli::read(words).unwrap().command else { panic!() };
    Config::resolve(*args, &[0, 1]).unwrap()
}

/// A machine that limits nothing.
fn machine() -> Machine {
    Machine {
        kernel_release: "6.18.1".into(),
        uring: UringSupport { available: Ok(()), vectored_send: true },
        cpus: vec![0, 1],
        nofile_max: Some(20_000),
        rings_bytes_max: Some(8 << 20),
        files_free: Some(2_000_000),
        epoll_watches: Some(5_000_000),
        nr_open: Some(1 << 20),
        somaxconn: Some(65_535),
        syn_backlog: Some(2_048),
        syn_cookies: Some(1),
        netdev_backlog: Some(1_000),
        wmem_max: Some(4 << 20),
        tcp_mem: Some([1_000_000, 2_000_000, 3_000_000]),
        tcp_wmem: Some([4_096, 16_384, 4 << 20]),
        tcp_rmem: Some([4_096, 131_072, 32 << 20]),
        port_range: Some([32_768, 60_999]),
        memory_available: Some(24 << 30),
        page_bytes: 4_096,
    }
}

fn refused(refusal: UringRefusal) -> Machine {
    let uring = UringSupport { available: Err(refusal), vectored_send: false };
    Machine { uring, ..machine() }
}

fn row(report: &Report, name: &str) -> Row {
    let row = report.rows.iter().find(|row| row.name == name);
    row.unwrap_or_else(|| panic!("no row {name} in:\n{report}")).clone()
}

/// Checks one row: its state, and that value, meaning and command together say what they must.
fn check(words: &str, machine: &Machine, name: &str, state: State, says: &[&str]) {
    let row = row(&examine(&config(words), machine), name);
    let all = format!("{} {} {}", row.value, row.meaning, row.raise.clone().unwrap_or_default());
    assert_eq!(row.state, state, "{name}: {all}");
    for text in says {
        assert!(all.contains(text), "{name}: '{text}' is missing in: {all}");
    }
    assert_eq!(row.raise.is_some(), state != State::Ok, "{name}: a command iff it limits");
}

#[test]
fn a_machine_that_limits_nothing_holds_what_is_configured() {
    let report = examine(&config(""), &machine());
    for row in &report.rows {
        assert_eq!(row.state, State::Ok, "{}: {}", row.name, row.meaning);
    }
    assert_eq!(report.rows.len(), 16);
    assert_eq!((report.subscribers, report.limited_by), (1_100_000, "--connections-max"));
    assert!(!report.has_problem());
    let text = report.to_string();
    assert!(text.ends_with("verdict: holds 1100000 subscribers, limited by --connections-max\n"));
}

#[test]
fn fixed_files_lift_the_descriptor_limit_and_epoll_does_not() {
    let name = "RLIMIT_NOFILE (hard)";
    // 550,000 connections of a worker fit 28 tables of 20,000.
    check("", &machine(), name, State::Ok, &["1100000 in 56 tables of 20000"]);
    let says = [
        "a descriptor for each of --connections-max 1100000",
        "fs.nr_open=1100512",
        "ulimit -Hn 1100512",
    ];
    check("--backend epoll", &machine(), name, State::Limits, &says);
    check("--backend epoll --connections-max 19488", &machine(), name, State::Ok, &[]);
    let report = examine(&config("--backend epoll"), &machine());
    assert_eq!(report.subscribers, 19_488);
    assert!(report.limited_by.contains("RLIMIT_NOFILE"), "{}", report.limited_by);
    let few = Machine { nofile_max: Some(256), ..machine() };
    check("", &few, name, State::Problem, &["ulimit -Hn 65536"]);
    let unlimited = Machine { nofile_max: None, ..machine() };
    assert_eq!(examine(&config("--backend epoll"), &unlimited).subscribers, 1_100_000);
}

#[test]
fn whoever_refuses_io_uring_is_named_with_the_way_out() {
    for (refusal, says) in [
        (UringRefusal::Sysctl(2), "sysctl -w kernel.io_uring_disabled=0"),
        (UringRefusal::Seccomp, "--security-opt seccomp="),
        (UringRefusal::Missing, "ENOSYS"),
        (UringRefusal::TooOld, "6.1"),
        (UringRefusal::Incomplete, "6.17"),
        (UringRefusal::Other(libc::ENOMEM), "ulimit -Hl"),
        (UringRefusal::Other(libc::EPERM), "journalctl -k"),
    ] {
        let machine = refused(refusal);
        check("", &machine, "io_uring", State::Limits, &[says, "epoll delivers instead"]);
        check("--backend uring", &machine, "io_uring", State::Problem, &[says, "--backend uring"]);
        check("--backend epoll", &machine, "io_uring", State::Ok, &["Not used"]);
        let report = examine(&config(""), &machine);
        assert!(report.limited_by.contains("epoll"), "{}", report.limited_by);
        assert!(report.rows.iter().all(|row| row.name != "vectored send"));
    }
    let report = examine(&config("--backend uring"), &refused(UringRefusal::Seccomp));
    assert!(report.has_problem());
    let text = report.to_string();
    assert!(text.ends_with("verdict: will not run as configured because of io_uring\n"), "{text}");
}

#[test]
fn rings_are_judged_by_the_memory_that_may_be_locked() {
    let name = "RLIMIT_MEMLOCK (hard)";
    // 356 KiB a worker, and 28 KiB for each of 54 further tables.
    check("", &machine(), name, State::Ok, &["8.0 MiB", "2.2 MiB of all rings"]);
    let none = Machine { rings_bytes_max: Some(64 << 10), ..machine() };
    let says = ["64 KiB", "epoll delivers instead", "2 workers take 712 KiB", "LimitMEMLOCK"];
    check("", &none, name, State::Limits, &says);
    check("--backend uring", &none, name, State::Problem, &["2 workers take 712 KiB"]);
    assert!(examine(&config(""), &none).limited_by.contains("epoll"));
    let report = examine(&config("--backend uring"), &none);
    assert!(report.to_string().ends_with("because of RLIMIT_MEMLOCK (hard)\n"), "{report}");
    check("", &none, "io_uring", State::Ok, &["do not fit under RLIMIT_MEMLOCK"]);
    let few = Machine { rings_bytes_max: Some(800 << 10), ..machine() };
    check("", &few, name, State::Limits, &["2.2 MiB", "told to come back later"]);
    // Those of the start, and three of 28 KiB.
    assert_eq!(examine(&config(""), &few).subscribers, 100_000);
    let rows = examine(&config("--backend epoll"), &none).rows;
    assert!(rows.iter().all(|row| row.name != name), "epoll has no rings");
    let free = Machine { rings_bytes_max: None, ..machine() };
    assert!(examine(&config(""), &free).rows.iter().all(|row| row.name != name));
}

#[test]
fn an_older_kernel_delivers_with_less() {
    let uring = UringSupport { available: Ok(()), vectored_send: false };
    let older = Machine { kernel_release: "6.12.9".into(), uring, ..machine() };
    check("", &older, "kernel", State::Limits, &["6.17"]);
    check("", &older, "vectored send", State::Limits, &["6.17"]);
    let oldest = Machine { kernel_release: "5.15.0".into(), ..refused(UringRefusal::TooOld) };
    check("", &oldest, "kernel", State::Limits, &["epoll delivers"]);
}

#[test]
fn memory_holds_subscribers_beside_everything_else_at_its_bound() {
    let config = config("");
    let each = (SUBSCRIBER_BYTES + SOCKET_KERNEL_BYTES + WATCH_KERNEL_BYTES) as u64;
    let memory_available = Some(fixed_bytes(&config) + 500_000 * each);
    let smaller = Machine { memory_available, ..machine() };
    let report = examine(&config, &smaller);
    assert_eq!((report.subscribers, report.limited_by), (500_000, "memory"));
    check("", &smaller, "memory", State::Limits, &["holds 500000 idle subscribers", "add memory"]);
    let tiny = Machine { memory_available: Some(64 << 20), ..machine() };
    check("", &tiny, "memory", State::Problem, &["--history-bytes-total"]);
}

#[test]
fn open_files_of_the_system_are_a_hard_limit() {
    let few = Machine { files_free: Some(100_000), ..machine() };
    check("", &few, "fs.file-max", State::Limits, &["sysctl -w fs.file-max=1375000"]);
    let report = examine(&config(""), &few);
    assert_eq!((report.subscribers, report.limited_by), (100_000, "fs.file-max"));
}

#[test]
fn watches_of_the_user_are_a_hard_limit() {
    let few = Machine { epoll_watches: Some(200_000), ..machine() };
    let says = ["sysctl -w fs.epoll.max_user_watches=1375000"];
    check("", &few, "fs.epoll.max_user_watches", State::Limits, &says);
    let report = examine(&config(""), &few);
    assert_eq!((report.subscribers, report.limited_by), (200_000, "fs.epoll.max_user_watches"));
}

#[test]
fn tcp_memory_is_judged_by_an_event_on_the_way_to_everyone() {
    let small = Machine { tcp_mem: Some([287_898, 383_867, 575_796]), ..machine() };
    let says = [
        "383867 subscribers",
        "or 2998 with full buffers",
        "sysctl -w net.ipv4.tcp_mem=\"1100000 1650000 2200000\"",
    ];
    check("", &small, "net.ipv4.tcp_mem", State::Limits, &says);
    check("--connections-max 300000", &small, "net.ipv4.tcp_mem", State::Ok, &[]);
}

#[test]
fn socket_buffers_are_judged_by_what_is_asked_for() {
    let capped = Machine { wmem_max: Some(32 << 10), ..machine() };
    check("", &capped, "net.core.wmem_max", State::Limits, &["net.core.wmem_max=262144"]);
    let own = "--socket-send-bytes 0";
    check(own, &machine(), "net.ipv4.tcp_wmem", State::Ok, &["4.0 MiB at most"]);
}

#[test]
fn bursts_of_connections_are_judged() {
    let short = Machine { somaxconn: Some(128), ..machine() };
    let says = ["256 clients", "2 listeners × 128", "net.core.somaxconn=65535"];
    check("", &short, "net.core.somaxconn", State::Limits, &says);
    let says = ["262140 clients", "4 listeners × 65535"];
    let large = Machine { somaxconn: Some(65_535), ..machine() };
    check("--listen 1 2", &large, "net.core.somaxconn", State::Ok, &says);
    let bare = Machine { syn_cookies: Some(0), ..machine() };
    let says = ["tcp_syncookies=1"];
    check("", &bare, "net.ipv4.tcp_max_syn_backlog", State::Limits, &says);
}

#[test]
fn more_workers_than_cpus_share_them() {
    check("--workers 3", &machine(), "workers", State::Limits, &["--workers 2"]);
    check("--cpus 1", &machine(), "workers", State::Ok, &["may use 2 CPUs"]);
}

#[test]
fn what_could_not_be_read_is_not_judged() {
    let unknown = Machine { cpus: vec![0, 1], ..Machine::default() };
    let report = examine(&config("--backend epoll"), &unknown);
    assert_eq!(report.rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["io_uring", "workers"]);
    assert_eq!(report.subscribers, 1_100_000);
}
