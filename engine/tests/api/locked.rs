//! Rings that do not fit under RLIMIT_MEMLOCK, as for most users and in most containers.
//!
//! The limit is of a user, so each engine has one of its own; the last limit of each test holds all
//! rings but one.

use crate::harness::engine::{Confined, run_confined_to_end};
use crate::harness::{Backend, Engine};

/// Rings of one worker (Linux 6.18): 328 KiB for requests and 28 KiB for delivery.
const WORKER_KIB: u32 = 356;

fn confined(locked_kib: u32) -> Confined {
    Confined { locked_kib, descriptors: 256 }
}

/// Older kernels count no rings.
fn counts_rings() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    downpour::kernel::version(&release) >= Some((6, 14))
}

#[test]
fn where_not_all_rings_can_be_had_epoll_delivers_and_says_why() {
    for locked_kib in [0, 64, WORKER_KIB, 2 * WORKER_KIB - 4] {
        let mut engine = Engine::start_confined(Backend::Auto, &[], confined(locked_kib));
        let line = engine.line("backend");
        if counts_rings() {
            assert!(line.contains("backend epoll"), "{line}");
            let says = ["the rings of 2 workers take 712 KiB", "RLIMIT_MEMLOCK", "LimitMEMLOCK="];
            for part in says {
                assert!(line.contains(part), "no {part:?} in {line}");
            }
        }
        let mut stream = engine.subscribe("t");
        engine.publish("t", "delivered all the same");
        assert_eq!(stream.event().data, "delivered all the same");
    }
}

#[test]
fn where_all_rings_can_be_had_io_uring_delivers() {
    let confined = confined(2 * WORKER_KIB);
    let mut engine = Engine::start_confined(Backend::Auto, &[], confined);
    let line = engine.line("backend");
    assert!(line.contains("backend uring"), "{line}");
    let mut stream = engine.subscribe("t");
    engine.publish("t", "by rings");
    assert_eq!(stream.event().data, "by rings");
}

#[test]
fn io_uring_that_is_demanded_and_cannot_be_had_is_an_error_that_says_why() {
    if !counts_rings() {
        return;
    }
    for locked_kib in [0, 2 * WORKER_KIB - 4] {
        let flags = ["--backend", "uring", "--workers", "2", "--listen", "127.0.0.1:0"];
        let flags = [&flags[..], &["--admin", "off"]].concat();
        let (ok, printed) = run_confined_to_end(confined(locked_kib), &flags);
        assert!(!ok, "{printed}");
        for part in ["--backend uring", "2 workers take 712 KiB", "RLIMIT_MEMLOCK"] {
            assert!(printed.contains(part), "no {part:?} in {printed}");
        }
    }
}
