//! Memory of io_uring's rings, which newer kernels count against RLIMIT_MEMLOCK.
//!
//! The limit is of the user, over all of his processes, and does not hold for whoever has
//! CAP_IPC_LOCK. Containers and services often have 64 KiB or 8 MiB.
//!
//! Knows nothing of what rings there are.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// The first kernel that counts rings: before, only registered buffers were.
const COUNTED_SINCE: (u32, u32) = (6, 14);
/// Bytes of an entry of the submission queue, of its index, and of an entry of the completion queue
/// (io_uring_setup(2)).
const SUBMISSION_BYTES: u64 = 64;
const INDEX_BYTES: u64 = 4;
const COMPLETION_BYTES: u64 = 16;
/// Heads and tails of both queues.
const HEADER_BYTES: u64 = 320;
/// CAP_IPC_LOCK as a bit of a capability set (capabilities(7)).
const IPC_LOCK: u64 = 1 << 14;

/// Bytes that are counted for a ring with queues of these sizes.
#[must_use]
pub const fn ring_bytes(submissions: u32, completions: u32, page_bytes: u64) -> u64 {
    let (submissions, completions) = (submissions as u64, completions as u64);
    let queues = HEADER_BYTES + completions * COMPLETION_BYTES + submissions * INDEX_BYTES;
    let entries = submissions * SUBMISSION_BYTES;
    queues.next_multiple_of(page_bytes) + entries.next_multiple_of(page_bytes)
}

/// Bytes that the rings of this user may take; none where that is not limited.
#[must_use]
pub fn rings_bytes_max() -> Option<u64> {
    let counted = super::version(&super::kernel_release()) >= Some(COUNTED_SINCE);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    if !counted || may_lock(&read("/proc/self/status"), &read("/proc/self/uid_map")) {
        return None;
    }
    getrlimit(Resource::Memlock).current
}

/// Whether the limit does not hold for this process: it has CAP_IPC_LOCK, and that in the first user
/// namespace, whose ids are mapped to themselves (user_namespaces(7)).
fn may_lock(status: &str, uid_map: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let is_first = uid_map.split_whitespace().eq(["0", "0", "4294967295"]);
    is_first && effective.is_some_and(|set| set & IPC_LOCK != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_takes_whole_pages_for_its_queues_and_for_its_entries() {
        // Found on Linux 6.18 by the least limit under which the ring can be built.
        for (submissions, completions, kib) in [(1024, 16_384, 328), (256, 512, 28), (8, 16, 8)] {
            assert_eq!(ring_bytes(submissions, completions, 4096), kib << 10);
        }
    }

    #[test]
    fn the_limit_does_not_hold_for_whoever_may_lock_memory_on_the_host() {
        const HOST: &str = "         0          0 4294967295\n";
        let status = |set: &str| format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{set}\nCapBnd:\t0\n");
        assert!(may_lock(&status("000001ffffffffff"), HOST));
        assert!(may_lock(&status("0000000000004000"), HOST));
        assert!(!may_lock(&status("0000000000003fff"), HOST));
        assert!(!may_lock(&status("000001ffffffffff"), "0 100000 65536\n"), "in a container");
        assert!(!may_lock("", HOST) && !may_lock(&status("?"), HOST));
    }
}
