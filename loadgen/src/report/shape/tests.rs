//! Each shape put into a histogram, and what only looks like it.

use super::*;
use crate::report::model::metric::new_histogram;

/// From and to, in milliseconds, and how many samples between.
type Group = (u64, u64, u64);

/// Samples spread evenly from one time to another.
fn even(histogram: &mut Histogram<u64>, from_ns: u64, to_ns: u64, count: u64) {
    for number in 0..count {
        histogram.record(from_ns + (to_ns - from_ns) * number / count).unwrap();
    }
}

/// A brisk server: a thousand deliveries within a few milliseconds.
fn brisk() -> Histogram<u64> {
    let mut histogram = new_histogram();
    even(&mut histogram, MS / 5, 5 * MS, 1_000);
    histogram
}

#[test]
fn a_hump_at_either_delay_of_an_acknowledgement_is_named() {
    for (from, to, name) in [(40, 45, "40"), (200, 210, "200")] {
        let mut delivery = brisk();
        even(&mut delivery, from * MS, to * MS, 50);
        let notes = acknowledgements(&delivery);
        assert_eq!(notes.len(), 1, "{from} ms");
        assert!(notes[0].contains(&format!("hump at {name}")), "{notes:?}");
    }
}

#[test]
fn what_only_looks_like_a_delayed_acknowledgement_is_not_named() {
    let near_misses: [(&str, &[Group]); 5] = [
        ("nothing at all", &[]),
        ("a handful", &[(40, 45, 10)]),
        ("a hump elsewhere", &[(80, 90, 100)]),
        ("a tail that passes by", &[(5, 400, 2_000)]),
        ("less than a hundredth", &[(1, 5, 9_000), (40, 45, 50)]),
    ];
    for (name, parts) in near_misses {
        let mut delivery = brisk();
        for &(from, to, count) in parts {
            even(&mut delivery, from * MS, to * MS, count);
        }
        assert_eq!(acknowledgements(&delivery), Vec::<String>::new(), "{name}");
    }
    let mut all_late = new_histogram();
    even(&mut all_late, 40 * MS, 45 * MS, 1_000);
    assert_eq!(acknowledgements(&all_late), Vec::<String>::new(), "all are late");
    assert_eq!(acknowledgements(&new_histogram()), Vec::<String>::new());
}

#[test]
fn every_step_of_a_syn_sent_again_is_named_with_its_counters() {
    for seconds in SYN_STEPS_S {
        let mut tcp = brisk();
        even(&mut tcp, seconds * 1_000 * MS, (seconds * 1_000 + 30) * MS, 5);
        let notes = steps(&tcp, Some(5), Some(2));
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains(&format!("5 connects at {seconds} s:")), "{notes:?}");
        assert!(notes[0].contains("SYN retransmits +5, ListenOverflows +2"), "{notes:?}");
    }
}

#[test]
fn a_slow_ramp_is_no_step() {
    let mut tcp = brisk();
    even(&mut tcp, 5 * MS, 8_000 * MS, 10_000);
    assert_eq!(steps(&tcp, None, None), Vec::<String>::new());
    let mut tcp = brisk();
    even(&mut tcp, 1_000 * MS, 1_030 * MS, 2);
    assert_eq!(steps(&tcp, None, None), Vec::<String>::new(), "two may be anything");
    let mut tcp = brisk();
    even(&mut tcp, 1_500 * MS, 1_600 * MS, 20);
    assert_eq!(steps(&tcp, None, None), Vec::<String>::new(), "no timer of a SYN");
}

#[test]
fn a_stream_that_comes_in_bursts_is_named_with_its_period() {
    let note = |spaced, bunched| {
        let mut run = Run::default();
        (run.counts.spaced, run.counts.bunched) = (Some(spaced), Some(bunched));
        let mut bursts = metric::new_histogram();
        bursts.record_n(250 * MS, 100).unwrap();
        run.record(metric::BURST, &bursts, None);
        annotate(&mut run);
        run.notes.join("")
    };
    let text = note(1_000, 900);
    assert!(text.contains("90") && text.contains("250 ms"), "{text}");
    assert_eq!(note(1_000, 249), "");
    assert_eq!(note(99, 90), "");
}
