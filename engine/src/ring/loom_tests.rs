//! Every interleaving of the doorbell and of admission, by loom.
//!
//! Run: `RUSTFLAGS="--cfg loom" cargo test -p downpour --lib --release ring::`
//! crossbeam's channel is not built on loom; a counter stands in for the ring here, with the
//! weakest orderings that the real one could have.

use loom::sync::atomic::{AtomicU64 as LoomU64, Ordering::Relaxed};
use loom::thread;

use super::*;

/// A worker that goes to sleep as the pump does, against ringers that push as the sequencer does.
fn no_wake_is_lost(ringers: u64) {
    loom::model(move || {
        let ring = loom::sync::Arc::new(LoomU64::new(0));
        let woken = loom::sync::Arc::new(LoomU64::new(0));
        let counted = woken.clone();
        let doorbell = loom::sync::Arc::new(Doorbell::new(move || {
            counted.fetch_add(1, Relaxed);
        }));
        let threads: Vec<_> = (0..ringers)
            .map(|_| {
                let (ring, doorbell) = (ring.clone(), doorbell.clone());
                thread::spawn(move || {
                    ring.fetch_add(1, Relaxed);
                    doorbell.ring();
                })
            })
            .collect();
        let slept = doorbell.may_sleep(|| ring.load(Relaxed) > 0);
        let seen_before = ring.load(Relaxed);
        for thread in threads {
            thread.join().expect("no panic");
        }
        if slept && seen_before < ringers {
            assert!(woken.load(Relaxed) > 0, "asleep with an event on the ring");
        }
        assert!(woken.load(Relaxed) <= 1, "one sleep is woken at most once");
    });
}

#[test]
fn a_worker_never_sleeps_on_an_event() {
    no_wake_is_lost(1);
}

#[test]
fn two_ringers_wake_a_worker_once() {
    no_wake_is_lost(2);
}

#[test]
fn admission_never_exceeds_the_capacity() {
    loom::model(|| {
        const CAPACITY: u64 = 1;
        let admission = loom::sync::Arc::new(Admission::new(CAPACITY as usize, 1));
        let on_ring = loom::sync::Arc::new(LoomU64::new(0));
        let publishers: Vec<_> = (0..2)
            .map(|_| {
                let (admission, on_ring) = (admission.clone(), on_ring.clone());
                thread::spawn(move || {
                    if admission.admit(1).is_ok() {
                        let before = on_ring.fetch_add(1, Relaxed);
                        assert!(before < CAPACITY, "a full ring was pushed to");
                    }
                })
            })
            .collect();
        // The worker takes one event off, then says so, as the pump does.
        if on_ring.load(Relaxed) > 0 {
            on_ring.fetch_sub(1, Relaxed);
            admission.consume(0, 1);
        }
        for publisher in publishers {
            publisher.join().expect("no panic");
        }
    });
}
