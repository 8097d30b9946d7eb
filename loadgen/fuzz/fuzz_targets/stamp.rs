//! Any data, and a sound stamp within it: nothing may panic, and a stamp is read back as it was
//! written whatever stands around it, or is called corrupt when one of its bytes has changed.
//!
//! The first bytes of the input place the stamp and the change; the rest is what surrounds it.
//! `cargo +nightly fuzz run stamp`

#![no_main]

use libfuzzer_sys::fuzz_target;

// The load generator is a program, not a library: its pure modules are compiled in here.
#[path = "../../src/stamp.rs"]
#[allow(dead_code, unreachable_pub)]
mod stamp;

use stamp::{Found, STAMP_BYTES, Stamp};

fuzz_target!(|input: &[u8]| {
    let finder = Stamp::finder();
    let _ = Stamp::find(&finder, input);
    let Some((head, around)) = input.split_first_chunk::<12>() else { return };
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let written = Stamp {
        run: number(0),
        stream: number(4),
        sequence: number(8),
        intended_ns: u64::from(number(0)) << 32 | u64::from(number(4)),
        slip_ns: u64::from(number(8)),
    };
    let mut payload = vec![0; STAMP_BYTES + usize::from(head[3])];
    written.write(&mut payload);
    // Data that begins a stamp of its own comes first, and is what is found.
    let place = usize::from(head[0]).min(around.len());
    let before = &around[..place];
    if !matches!(Stamp::find(&finder, &[before, b"~"].concat()), Found::None) {
        return;
    }
    let data = [before, b" ", &payload, &around[place..]].concat();
    assert_eq!(Stamp::find(&finder, &data), Found::Stamp(written));
    let changed = place + 1 + usize::from(head[1]) % payload.len();
    let mut broken = data;
    broken[changed] ^= head[2] | 1;
    assert!(!matches!(Stamp::find(&finder, &broken), Found::Stamp(stamp) if stamp == written));
});
