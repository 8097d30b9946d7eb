//! What the machine allows, read once at start: kernel, io_uring, limits, memory.
//!
//! The idea: reading is here and in one pass; judging is elsewhere (`doctor`), from plain values.
//! What cannot be read is absent and never guessed.
//!
//! Knows nothing of the configuration.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

pub mod locked;
pub mod uring;

use uring::UringSupport;

/// The machine as this process sees it.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// As `uname -r` prints it.
    pub kernel_release: String,
    /// What of io_uring this process may use.
    pub uring: UringSupport,
    /// CPUs of the process's affinity mask; not empty.
    pub cpus: Vec<usize>,
    /// Hard RLIMIT_NOFILE; the soft one is raised to it at start. `None` = unlimited.
    pub nofile_max: Option<u64>,
    /// Bytes of io_uring rings that this user may have; `None` = not limited, or not for us.
    pub rings_bytes_max: Option<u64>,
    /// Files that the system may still open (`fs.file-max` less what is open).
    pub files_free: Option<u64>,
    /// Sockets that this user may watch with epoll (`fs.epoll.max_user_watches`).
    pub epoll_watches: Option<u64>,
    /// The highest RLIMIT_NOFILE that can be set.
    pub nr_open: Option<u64>,
    pub somaxconn: Option<u64>,
    pub syn_backlog: Option<u64>,
    pub syn_cookies: Option<u64>,
    pub netdev_backlog: Option<u64>,
    /// Bytes, the cap of SO_SNDBUF.
    pub wmem_max: Option<u64>,
    /// Pages: low, pressure, high.
    pub tcp_mem: Option<[u64; 3]>,
    /// Bytes: least, default, most.
    pub tcp_wmem: Option<[u64; 3]>,
    /// Bytes: least, default, most.
    pub tcp_rmem: Option<[u64; 3]>,
    /// First and last port of outgoing connections.
    pub port_range: Option<[u64; 2]>,
    /// Bytes that new memory can come from, cgroup limits included.
    pub memory_available: Option<u64>,
    pub page_bytes: u64,
}

impl Machine {
    /// Reads the machine.
    #[must_use]
    pub fn read() -> Self {
        let file_nr = sysctl::<3>("fs/file-nr");
        Self {
            kernel_release: kernel_release(),
            uring: UringSupport::probe(),
            cpus: allowed_cpus(),
            nofile_max: getrlimit(Resource::Nofile).maximum,
            rings_bytes_max: locked::rings_bytes_max(),
            files_free: file_nr.map(|[open, _, max]| max.saturating_sub(open)),
            epoll_watches: sysctl_one("fs/epoll/max_user_watches"),
            nr_open: sysctl_one("fs/nr_open"),
            somaxconn: sysctl_one("net/core/somaxconn"),
            syn_backlog: sysctl_one("net/ipv4/tcp_max_syn_backlog"),
            syn_cookies: sysctl_one("net/ipv4/tcp_syncookies"),
            netdev_backlog: sysctl_one("net/core/netdev_max_backlog"),
            wmem_max: sysctl_one("net/core/wmem_max"),
            tcp_mem: sysctl("net/ipv4/tcp_mem"),
            tcp_wmem: sysctl("net/ipv4/tcp_wmem"),
            tcp_rmem: sysctl("net/ipv4/tcp_rmem"),
            port_range: sysctl("net/ipv4/ip_local_port_range"),
            memory_available: memory_available(),
            page_bytes: rustix::param::page_size() as u64,
        }
    }
}

/// The CPUs that this process may run on; never empty.
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    let cpus: Vec<usize> = rustix::thread::sched_getaffinity(None)
        .map(|set| (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
        .unwrap_or_default();
    if cpus.is_empty() { vec![0] } else { cpus }
}

fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// `(major, minor)` of a release such as `6.18.44-generic`.
#[must_use]
pub fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The numbers of a file below `/proc/sys`.
fn sysctl<const COUNT: usize>(name: &str) -> Option<[u64; COUNT]> {
    numbers(&fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?)
}

fn sysctl_one(name: &str) -> Option<u64> {
    sysctl::<1>(name).map(|[value]| value)
}

/// Exactly `COUNT` numbers separated by blanks.
fn numbers<const COUNT: usize>(text: &str) -> Option<[u64; COUNT]> {
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// What the system has left, or a cgroup if it allows less.
fn memory_available() -> Option<u64> {
    let system = meminfo_available(&fs::read_to_string("/proc/meminfo").ok()?);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = cgroup_files(&groups).into_iter().filter_map(|[limit, used]| {
        let read = |path: String| numbers::<1>(&fs::read_to_string(path).ok()?);
        let ([limit], [used]) = (read(limit)?, read(used)?);
        Some(limit.saturating_sub(used))
    });
    system.into_iter().chain(group).min()
}

/// `MemAvailable` in bytes.
fn meminfo_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Pairs of files with a limit and what is used of it, for this process's memory cgroup and those
/// around it. In a container the path is often that of the host, so the root is tried as well.
fn cgroup_files(proc_self_cgroup: &str) -> Vec<[String; 2]> {
    let mut files = Vec::new();
    for line in proc_self_cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, names) = match controllers {
            "" => ("/sys/fs/cgroup", ["memory.max", "memory.current"]),
            c if c.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", ["memory.limit_in_bytes", "memory.usage_in_bytes"])
            }
            _ => continue,
        };
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let folder = Path::new(root).join(group);
            files.push(names.map(|name| folder.join(name).to_string_lossy().into_owned()));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_up_to_the_minor_number() {
        for (release, expected) in [
            ("6.18.44-fc-v669", Some((6, 18))),
            ("6.1", Some((6, 1))),
            ("5.15.0-91-generic", Some((5, 15))),
            ("7.0-rc1", Some((7, 0))),
            ("10.20+", Some((10, 20))),
            ("6", None),
            ("", None),
            ("linux", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn numbers_are_exactly_as_many_as_asked_for() {
        assert_eq!(numbers("287898\t383867\t575796\n"), Some([287_898, 383_867, 575_796]));
        assert_eq!(numbers("4096\n"), Some([4_096]));
        assert_eq!(numbers::<1>("max\n"), None);
        assert_eq!(numbers::<1>("1 2"), None);
        assert_eq!(numbers::<2>("1"), None);
    }

    #[test]
    fn available_memory_is_read_from_meminfo() {
        let text = "MemTotal:       24684084 kB\nMemAvailable:   24073868 kB\nBuffers: 1 kB\n";
        assert_eq!(meminfo_available(text), Some(24_073_868 * 1024));
        assert_eq!(meminfo_available("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn both_versions_of_cgroups_are_found_with_their_ancestors() {
        let files = cgroup_files("4:cpu:/x\n3:hugetlb,memory:/a/b\n0::/c\n");
        let limits: Vec<_> = files.iter().map(|[limit, _]| limit.as_str()).collect();
        assert_eq!(
            limits,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/c/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(cgroup_files("garbage\n0\n"), Vec::<[String; 2]>::new());
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Machine::read();
        assert!(version(&machine.kernel_release).is_some(), "{machine:?}");
        assert!(!machine.cpus.is_empty());
        assert!(machine.page_bytes >= 4_096 && machine.page_bytes.is_power_of_two());
        assert!(machine.memory_available.is_some_and(|bytes| bytes > 1 << 20), "{machine:?}");
    }
}
