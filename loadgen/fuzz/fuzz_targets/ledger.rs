//! Any arrivals, in any order: the ledger says of each what a set of everything would say.
//!
//! The input is a list of steps: a byte moves the head on, another steps back from it.
//! `cargo +nightly fuzz run ledger`

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;

// The load generator is a program, not a library: its pure modules are compiled in here.
#[path = "../../src/ledger.rs"]
#[allow(dead_code, unreachable_pub)]
mod ledger;

use ledger::{Arrival, Ledger, WINDOW_COUNT};

fuzz_target!(|input: &[u8]| {
    let (mut ledger, mut seen, mut next, mut head) = (Ledger::default(), HashSet::new(), 0, 0);
    for step in input.chunks_exact(2) {
        // Far enough apart to leave the window at once, near enough to fill it.
        head += u64::from(step[0] >> 6) * if step[0] & 1 == 0 { 1 } else { 80 };
        let sequence = u64::saturating_sub(head, u64::from(step[1]) * u64::from(step[0] >> 1 & 3));
        let expected = if sequence >= next {
            next = sequence + 1;
            seen.insert(sequence);
            Arrival::New
        } else if next - sequence > WINDOW_COUNT {
            Arrival::TooOld
        } else if seen.insert(sequence) {
            Arrival::OutOfOrder
        } else {
            Arrival::Duplicate
        };
        assert_eq!(ledger.enter(sequence), expected, "sequence {sequence}");
        assert_eq!(ledger.next(), next);
    }
});
