//! What of io_uring this process may use, and who refuses it otherwise.
//!
//! The idea: a ring like the ones that deliver is really built, with a table, so that
//! "available" means that delivery will start. An error number alone does not say who
//! refused; together with the sysctl and the process's seccomp mode it does.
//!
//! Knows nothing of what is done with the rings.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};
use rustix::io::Errno;

/// What of io_uring this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UringSupport {
    /// Whether a delivering ring can be built; else who refuses and why.
    pub available: Result<(), UringRefusal>,
    /// Whether `SEND` takes an array of buffers (`IORING_SEND_VECTORIZED`, Linux 6.17). Without
    /// it a message header is built for each send.
    pub vectored_send: bool,
}

/// Who refuses io_uring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UringRefusal {
    /// The kernel was built without it, or a sandbox such as gVisor hides it.
    Missing,
    /// `kernel.io_uring_disabled` has this value.
    Sysctl(u64),
    /// A seccomp filter, such as the default profile of Docker and containerd.
    Seccomp,
    /// The kernel is older than 6.1, the first long-term one with `SINGLE_ISSUER` (Linux 6.0).
    TooOld,
    /// An operation or a table is missing.
    Incomplete,
    /// Locked memory or descriptors ran out, or a security module refused: the error number.
    Other(i32),
}

impl std::fmt::Display for UringRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => write!(f, "the kernel has none, or a sandbox hides it (ENOSYS)"),
            Self::Sysctl(value) => write!(f, "sysctl kernel.io_uring_disabled is {value}"),
            Self::Seccomp => write!(f, "a seccomp filter refuses it (EPERM)"),
            Self::TooOld => write!(f, "the kernel is older than 6.1"),
            Self::Incomplete => write!(f, "the kernel lacks an operation that delivery needs"),
            Self::Other(errno) => write!(f, "{}", io::Error::from_raw_os_error(*errno)),
        }
    }
}

impl std::error::Error for UringRefusal {}

impl Default for UringSupport {
    fn default() -> Self {
        Self { available: Err(UringRefusal::Missing), vectored_send: false }
    }
}

impl UringSupport {
    /// Builds a ring and looks.
    #[must_use]
    pub fn probe() -> Self {
        let available = build().map_err(|error| {
            let sysctl = super::sysctl_one("kernel/io_uring_disabled");
            let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
            refusal(error, sysctl, has_seccomp_filter(&status))
        });
        let version = super::version(&super::kernel_release());
        Self { vectored_send: available.is_ok() && version >= Some((6, 17)), available }
    }
}

/// A ring as delivery builds it, and the operations delivery uses.
fn build() -> Result<(), Option<Errno>> {
    let errno = |error: io::Error| Errno::from_io_error(&error);
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_submit_all()
        .build(8)
        .map_err(errno)?;
    ring.submitter().register_files_sparse(8).map_err(errno)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(errno)?;
    // Sends are all that delivery asks of a ring; the control lane polls with its own.
    let needed = [opcode::Send::CODE, opcode::SendMsg::CODE, opcode::PollAdd::CODE];
    if needed.iter().all(|&code| probe.is_supported(code)) { Ok(()) } else { Err(None) }
}

/// Who refused, from the error (`None` = an operation is missing) and what the process can see.
fn refusal(error: Option<Errno>, sysctl: Option<u64>, has_filter: bool) -> UringRefusal {
    match error {
        None => UringRefusal::Incomplete,
        Some(Errno::NOSYS) => UringRefusal::Missing,
        Some(Errno::PERM) => match sysctl {
            Some(value) if value > 0 => UringRefusal::Sysctl(value),
            _ if has_filter => UringRefusal::Seccomp,
            _ => UringRefusal::Other(Errno::PERM.raw_os_error()),
        },
        Some(Errno::INVAL) => UringRefusal::TooOld,
        Some(errno) => UringRefusal::Other(errno.raw_os_error()),
    }
}

/// Whether `/proc/self/status` says that a filter is installed (`Seccomp: 2`, proc(5)).
fn has_seccomp_filter(status: &str) -> bool {
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_refuses_is_named() {
        for (error, sysctl, filter, expected) in [
            (Some(Errno::NOSYS), None, false, UringRefusal::Missing),
            (Some(Errno::NOSYS), Some(0), true, UringRefusal::Missing),
            (Some(Errno::PERM), Some(2), true, UringRefusal::Sysctl(2)),
            (Some(Errno::PERM), Some(1), false, UringRefusal::Sysctl(1)),
            (Some(Errno::PERM), Some(0), true, UringRefusal::Seccomp),
            (Some(Errno::PERM), None, true, UringRefusal::Seccomp),
            (Some(Errno::PERM), Some(0), false, UringRefusal::Other(1)),
            (Some(Errno::INVAL), Some(0), false, UringRefusal::TooOld),
            (Some(Errno::NOMEM), Some(0), false, UringRefusal::Other(12)),
            (None, Some(0), false, UringRefusal::Incomplete),
        ] {
            assert_eq!(refusal(error, sysctl, filter), expected, "{error:?} {sysctl:?} {filter}");
        }
    }

    #[test]
    fn every_refusal_is_said_in_words() {
        for (refusal, says) in [
            (UringRefusal::Missing, "ENOSYS"),
            (UringRefusal::Sysctl(2), "kernel.io_uring_disabled is 2"),
            (UringRefusal::Seccomp, "seccomp"),
            (UringRefusal::TooOld, "6.1"),
            (UringRefusal::Incomplete, "operation"),
            (UringRefusal::Other(12), "memory"),
        ] {
            assert!(refusal.to_string().contains(says), "{refusal}");
        }
    }

    #[test]
    fn a_seccomp_filter_is_seen_in_the_process_status() {
        assert!(has_seccomp_filter("NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!has_seccomp_filter("Seccomp:\t0\nSeccomp_filters:\t0\n"));
        assert!(!has_seccomp_filter("Seccomp:\t1\n"));
        assert!(!has_seccomp_filter(""));
    }

    #[test]
    fn the_probe_gives_a_reason_or_says_that_it_works() {
        let support = UringSupport::probe();
        assert!(support.available.is_ok() || !support.vectored_send, "{support:?}");
    }
}
