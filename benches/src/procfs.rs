//! What the kernel says of processes and of its own memory, read from `/proc`.
//!
//! Slab figures are those of the whole machine: a difference of two readings belongs to the one
//! who made it only when nothing else on the machine opens sockets or files in between.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use crate::failure::{Doing, Failure};
use crate::sys;

/// Place of the user time in `/proc/PID/stat`, counted after the closing parenthesis of the
/// command name (field 14 of proc(5), the first after the name being field 3).
const USER_TIME_FIELD: usize = 11;

/// CPU time, in nanoseconds, in steps of one clock tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// Time in user mode.
    pub user_ns: u64,
    /// Time in kernel mode, the kernel's network work on its behalf included.
    pub system_ns: u64,
}

impl Cpu {
    /// CPU time that all threads of these processes have used together, ended threads included.
    ///
    /// # Errors
    /// When a process does not exist.
    pub fn of(pids: &[u32]) -> Result<Self, Failure> {
        let tick_ns = 1_000_000_000 / sys::ticks_per_second();
        let mut sum = Self::default();
        for pid in pids {
            let stat = read(&format!("/proc/{pid}/stat"))?;
            let (user, system) = cpu_ticks(&stat)
                .ok_or_else(|| Failure::new(format!("/proc/{pid}/stat has an unknown form")))?;
            sum.user_ns += user * tick_ns;
            sum.system_ns += system * tick_ns;
        }
        Ok(sum)
    }

    /// The time used since an earlier reading of the same processes.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user_ns: self.user_ns - earlier.user_ns,
            system_ns: self.system_ns - earlier.system_ns,
        }
    }

    /// User and kernel mode together.
    pub fn total_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}

/// Bytes in use in each of the kernel's slab caches.
#[derive(Clone, Debug, Default)]
pub struct Slabs(BTreeMap<String, i64>);

impl Slabs {
    /// Reads `/proc/slabinfo`.
    ///
    /// # Errors
    /// When it cannot be read, which takes root.
    pub fn now() -> Result<Self, Failure> {
        let text = read("/proc/slabinfo")?;
        Ok(Self(text.lines().skip(2).filter_map(slab_line).collect()))
    }

    /// Growth since `earlier`, per cache, largest first.
    pub fn growth(&self, earlier: &Self) -> Vec<(String, i64)> {
        let before = |name: &str| earlier.0.get(name).copied().unwrap_or(0);
        let mut growth: Vec<(String, i64)> =
            self.0.iter().map(|(name, bytes)| (name.clone(), bytes - before(name))).collect();
        growth.sort_by_key(|(_, bytes)| -bytes);
        growth
    }
}

/// One figure of `/proc/meminfo`, in bytes.
///
/// # Errors
/// When there is no such line.
pub fn meminfo_bytes(name: &str) -> Result<u64, Failure> {
    let text = read("/proc/meminfo")?;
    let value = figure(&text, name, 0).map(|kilobytes| kilobytes * 1024);
    value.ok_or_else(|| Failure::new(format!("/proc/meminfo has no line {name}")))
}

/// TCP sockets of the machine: their number, and the bytes of packets they hold.
///
/// # Errors
/// When `/proc/net/sockstat` has another form.
pub fn tcp_sockets() -> Result<(u64, u64), Failure> {
    const PAGE_BYTES: u64 = 4_096; // of x86-64 and of the usual arm64 kernels
    let text = read("/proc/net/sockstat")?;
    // TCP: inuse 8 orphan 0 tw 0 alloc 10 mem 1
    let figures = figure(&text, "TCP", 1).zip(figure(&text, "TCP", 9));
    let (socket_count, pages) =
        figures.ok_or_else(|| Failure::new("/proc/net/sockstat has an unknown form"))?;
    Ok((socket_count, pages * PAGE_BYTES))
}

/// The `place`-th word after `name:`, as a number.
fn figure(text: &str, name: &str, place: usize) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().nth(place)?.parse().ok()
}

fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    // The command name may hold spaces and parentheses; the last one closes it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(USER_TIME_FIELD);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn slab_line(line: &str) -> Option<(String, i64)> {
    // name <active_objs> <num_objs> <objsize> ...
    let mut fields = line.split_whitespace();
    let name = fields.next()?.to_owned();
    let active_count: i64 = fields.next()?.parse().ok()?;
    let object_bytes: i64 = fields.nth(1)?.parse().ok()?;
    Some((name, active_count * object_bytes))
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).doing(|| format!("read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 90 0 0 0 31 17 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some((31, 17)));
    }

    #[test]
    fn a_slab_line_counts_objects_in_use() {
        let line = "TCP   10   24   2368   13    8 : tunables 0 0 0 : slabdata 2 2 0";
        assert_eq!(slab_line(line), Some(("TCP".into(), 23_680)));
    }

    #[test]
    fn figures_are_found_by_name_and_place() {
        let text = "sockets: used 9\nTCP: inuse 8 orphan 0 tw 0 alloc 10 mem 3\nTCPX: 1\n";
        assert_eq!(figure(text, "TCP", 1), Some(8));
        assert_eq!(figure(text, "TCP", 9), Some(3));
        assert_eq!(figure(text, "UDP", 1), None);
    }

    #[test]
    fn growth_is_listed_from_the_largest() {
        let earlier = Slabs([("a".into(), 5), ("b".into(), 1)].into());
        let later = Slabs([("a".into(), 6), ("b".into(), 9), ("c".into(), 2)].into());
        let expected: Vec<(String, i64)> = vec![("b".into(), 8), ("c".into(), 2), ("a".into(), 1)];
        assert_eq!(later.growth(&earlier), expected);
    }

    #[test]
    fn the_cpu_time_of_this_process_grows_with_its_work() {
        let own = [std::process::id()];
        let before = Cpu::of(&own).expect("this process exists");
        while Cpu::of(&own).expect("this process exists").since(before).total_ns() == 0 {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
    }
}
