//! Admission and ring on real threads; the orderings themselves are in the loom tests.

use super::*;

#[test]
fn what_is_admitted_always_finds_a_place_on_every_ring() {
    const CAPACITY: usize = 7;
    const EVENTS: u64 = 20_000;
    let admission = Arc::new(Admission::new(CAPACITY, 2));
    let doorbell = || Arc::new(Doorbell::new(|| {}));
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..2).map(|_| ring::<u64>(CAPACITY, doorbell())).unzip();
    std::thread::scope(|scope| {
        for (worker, receiver) in receivers.iter().enumerate() {
            let admission = &admission;
            scope.spawn(move || {
                let mut next = 0;
                while next < EVENTS {
                    match receiver.pop() {
                        Some(event) => {
                            assert_eq!(event, next);
                            next += 1;
                            admission.consume(worker, 1);
                        }
                        None => std::thread::yield_now(),
                    }
                }
            });
        }
        let mut event = 0;
        while event < EVENTS {
            match admission.admit(1) {
                Ok(()) => {
                    senders.iter().for_each(|sender| sender.push(event));
                    event += 1;
                }
                Err(Overload) => std::thread::yield_now(),
            }
        }
    });
    assert_eq!((admission.depth(0), admission.depth(1)), (0, 0));
}

#[test]
fn events_are_admitted_all_or_none() {
    let admission = Admission::new(10, 2);
    assert_eq!(admission.admit(11), Err(Overload));
    assert_eq!(admission.admit(8), Ok(()));
    assert_eq!(admission.admit(3), Err(Overload));
    admission.consume(0, 8);
    assert_eq!(admission.admit(3), Err(Overload), "the slower worker decides");
    admission.consume(1, 1);
    assert_eq!(admission.admit(3), Ok(()));
    assert_eq!((admission.depth(0), admission.depth(1)), (3, 10));
}

#[test]
fn only_a_sleeping_worker_is_woken_and_only_once() {
    let wakes = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&wakes);
    let doorbell = Doorbell::new(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let wakes = || wakes.load(std::sync::atomic::Ordering::Relaxed);
    doorbell.ring();
    assert_eq!(wakes(), 0, "it is awake");
    assert!(!doorbell.may_sleep(|| true), "there is work");
    doorbell.ring();
    assert_eq!(wakes(), 0);
    assert!(doorbell.may_sleep(|| false));
    doorbell.ring();
    doorbell.ring();
    assert_eq!(wakes(), 1);
    assert!(doorbell.may_sleep(|| false));
    doorbell.awake();
    doorbell.ring();
    assert_eq!(wakes(), 1, "it woke by itself");
}
