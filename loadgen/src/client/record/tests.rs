use super::*;
use crate::amount::{Rate, Size};
use crate::client::course::Plan;
use crate::schedule::{Arrival as Law, Outline, Schedule};

const START: u64 = 1_000_000_000_000;

/// Ten events a second for two seconds, of which the second one is measured; horizon 500 ms,
/// guard 50 ms.
fn recorder(subscribers: usize) -> Recorder {
    let outline = Outline {
        rate: Some(Rate { from: 10.0, to: 10.0 }),
        arrival: Law::Fixed,
        length_ns: 2_000_000_000,
        size: Size { min: 64, max: 64 },
        topics: 1,
        publishers: 1,
        seed: 1,
    };
    let course = Course::new(Plan {
        schedule: Schedule::new(&outline).unwrap(),
        run: 9,
        window_ns: 1_000_000_000..2_000_000_000,
        guard_ns: 50_000_000,
        horizon_ns: 500_000_000,
        began_ns: START,
        relative: false,
    });
    course.set_start(START);
    Recorder::new(Arc::new(course), subscribers, false)
}

fn payload(sequence: u32) -> Vec<u8> {
    let stamp = Stamp {
        run: 9,
        stream: 0,
        sequence,
        intended_ns: START + u64::from(sequence) * 100_000_000,
        slip_ns: 1_000_000,
    };
    let mut payload = vec![0; 64];
    stamp.write(&mut payload);
    payload
}

/// Event `sequence` arrives `latency_ms` after its intended time.
fn arrive(recorder: &mut Recorder, local: usize, sequence: u32, latency_ms: u64) {
    let at_ns = START + u64::from(sequence) * 100_000_000 + latency_ms * 1_000_000;
    recorder.event(&place(local, at_ns), b"", &payload(sequence));
}

fn place(local: usize, at_ns: u64) -> Place {
    Place {
        local,
        order: local as u32,
        topic: 0,
        opened_ns: START - 1_000_000_000,
        read_ns: at_ns,
        stamp_ns: None,
    }
}

#[test]
fn arrivals_are_told_apart() {
    let mut recorder = recorder(1);
    for sequence in [3, 10, 11, 13, 12, 11] {
        arrive(&mut recorder, 0, sequence, 5);
    }
    arrive(&mut recorder, 0, 14, 501);
    let mut broken = payload(15);
    broken[20] ^= 1;
    recorder.course.set_phase(Phase::Measure);
    recorder.event(&place(0, START), b"", &broken);
    recorder.event(&place(0, START), b"", b"hello");
    recorder.event(&place(0, START), b"gap", b"{}");
    recorder.event(&Place { topic: 1, ..place(0, START) }, b"", &payload(16));
    let (measured, other) = (&recorder.tally.measured, &recorder.tally.other);
    assert_eq!((measured.unique, other.unique), (4, 1));
    assert_eq!((measured.out_of_order, measured.duplicate, measured.late), (1, 1, 1));
    assert_eq!((measured.corrupt, measured.foreign, measured.gaps_announced), (1, 2, 1));
    assert_eq!(measured.delivery.len(), 4);
    assert!(measured.delivery.equivalent(measured.delivery.min(), 5_000_000));
    assert!(measured.sent.equivalent(measured.sent.max(), 4_000_000));
}

#[test]
fn a_subscriber_is_due_from_its_guard_to_its_end() {
    let mut recorder = recorder(3);
    // Opened before the start, stays to the drained end: due for all twenty.
    let session = |local, opened_ns| Session { local, order: local as u32, topic: 0, opened_ns };
    recorder.end_session(session(0, START - 1_000_000_000), START + 3_000_000_000, true);
    // Opened at 1.02 s: due from 1.07 s, so from event 11; gone at 1.75 s: the horizon of the
    // events up to 12 had passed, and it received 13 itself.
    arrive(&mut recorder, 1, 13, 5);
    recorder.end_session(session(1, START + 1_020_000_000), START + 1_750_000_000, false);
    let outcome = recorder.finish();
    let due: Vec<u32> = (0..20).map(|event| 1 + u32::from((11..14).contains(&event))).collect();
    assert_eq!(outcome.due, due);
    // Planned before it left, received by nobody, not settled: 14, 15, 16, 17.
    assert_eq!(outcome.in_flight, 4);
}

#[test]
fn an_event_at_a_subscriber_that_is_just_connecting_is_ambiguous() {
    let mut recorder = recorder(1);
    let opened_ns = START + 1_080_000_000;
    let place = Place { opened_ns, ..place(0, START + 1_101_000_000) };
    recorder.event(&place, b"", &payload(11));
    recorder.event(&place, b"", &payload(12));
    assert_eq!(recorder.tally.measured.ambiguous, 1);
    assert_eq!(recorder.tally.measured.unique, 1);
}
