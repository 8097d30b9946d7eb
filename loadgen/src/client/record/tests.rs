use super::*;
use crate::amount::Size;
use crate::client::course::Plan;
use crate::pace::Curve;
use crate::report::model::offence::Kind;
use crate::schedule::{Arrival as Law, Outline, Schedule};

const START: u64 = 1_000_000_000_000;

/// Ten events a second for two seconds, of which the second one is measured; horizon 500 ms,
/// guard 50 ms.
fn recorder(subscribers: usize) -> Recorder {
    recorder_of(1, subscribers)
}

/// The same on the first of so many machines, which publish in turn.
fn recorder_of(machines: u32, subscribers: usize) -> Recorder {
    let outline = Outline {
        curve: Some(Curve::new("10".parse().unwrap(), 0..2_000_000_000)),
        arrival: Law::Fixed,
        size: Size::between(64, 64),
        popularity: crate::topics::Topics::Even(1),
        topics: 1,
        publishers: 1,
        machines,
        seed: 1,
    };
    let course = Course::new(Plan {
        schedule: Schedule::new(&outline).unwrap(),
        run: 9,
        machine: 0,
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
    assert_eq!((measured.out_of_order, measured.duplicate, recorder.late_count), (1, 1, 1));
    assert_eq!((measured.corrupt, measured.foreign, measured.gaps_announced), (1, 2, 1));
    assert_eq!(measured.delivery.len(), 4);
    assert!(measured.delivery.equivalent(measured.delivery.min(), 5_000_000));
    assert!(measured.sent.equivalent(measured.sent.max(), 4_000_000));
}

fn session(local: usize, opened_ns: u64, unread: bool) -> Session {
    Session { local, order: local as u32, topic: 0, opened_ns, unread }
}

#[test]
fn a_subscriber_is_due_from_its_guard_to_its_end() {
    let mut recorder = recorder(3);
    // Opened before the start, stays to the drained end: due for all twenty.
    let session = |local, opened_ns| session(local, opened_ns, false);
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
fn what_a_stream_with_more_to_read_has_not_brought_is_unread_and_what_it_has_skipped_is_lost() {
    // Of the ten measured events each of two subscribers reads up to 15, but for 13; the socket of
    // the second holds more.
    let mut recorder = recorder(2);
    for (local, unread) in [(0, false), (1, true)] {
        for sequence in (0..=15).filter(|sequence| *sequence != 13) {
            arrive(&mut recorder, local, sequence, 5);
        }
        let session = session(local, START - 1_000_000_000, unread);
        recorder.end_session(session, START + 3_000_000_000, true);
    }
    let outcome = recorder.finish();
    assert_eq!(outcome.due, [2; 20], "both were due for everything");
    let unread: Vec<u32> = (0..20).map(|event| u32::from(event >= 16)).collect();
    assert_eq!(outcome.unread, unread);
    let mut lost: Vec<_> = outcome
        .offences
        .iter()
        .map(|one| (one.kind, one.subscriber, one.expected, one.count))
        .collect();
    lost.sort_unstable();
    assert_eq!(
        lost,
        [(Kind::Lost, 0, Some(13), 1), (Kind::Lost, 0, Some(16), 4), (Kind::Lost, 1, Some(13), 1),]
    );
}

#[test]
fn of_a_run_cut_short_only_what_is_past_the_horizon_is_unread() {
    let mut recorder = recorder(1);
    (0..=11).for_each(|sequence| arrive(&mut recorder, 0, sequence, 5));
    // At 1.95 s the horizon of the events up to 14 has passed.
    recorder.end_session(session(0, START - 1_000_000_000, true), START + 1_950_000_000, false);
    let outcome = recorder.finish();
    let unread: Vec<u32> = (0..20).map(|event| u32::from((12..15).contains(&event))).collect();
    assert_eq!((outcome.unread, outcome.in_flight), (unread, 5));
    assert_eq!(outcome.offences, []);
}

#[test]
fn who_has_everything_lacks_nothing() {
    let mut recorder = recorder(1);
    (0..5).for_each(|sequence| arrive(&mut recorder, 0, sequence, 5));
    let after = |sequence: u64| START + sequence * 100_000_000 + 1;
    assert!(!recorder.lacks(0, 0, after(4)));
    assert!(recorder.lacks(0, 0, after(5)));
}

#[test]
fn an_arrival_after_the_horizon_is_counted_with_its_event() {
    let mut recorder = recorder(2);
    arrive(&mut recorder, 0, 12, 501);
    arrive(&mut recorder, 1, 12, 900);
    arrive(&mut recorder, 0, 13, 499);
    assert_eq!((recorder.late_count, recorder.unique), (2, 1));
    let late: Vec<u32> = (10..20).map(|event| if event == 12 { 2 } else { 0 }).collect();
    assert_eq!(recorder.finish().late, late);
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

#[test]
fn an_event_of_another_machine_is_held_against_the_plan_by_our_clock_and_not_timed() {
    let mut recorder = recorder_of(2, 2);
    const MS: u64 = 1_000_000;
    // The clock of the other machine is an hour ahead, or behind.
    for (sequence, theirs_ns) in [(6, START + 3_600_000 * MS), (7, 0)] {
        let mut payload = vec![0; 64];
        let stamp = Stamp { run: 9, stream: 1, sequence, intended_ns: theirs_ns, slip_ns: 5 * MS };
        stamp.write(&mut payload);
        // Its events are the odd ones.
        let due_ns = START + (2 * u64::from(sequence) + 1) * 100 * MS;
        recorder.event(&place(0, due_ns - 30 * MS), b"", &payload);
        recorder.event(&place(1, due_ns - 26 * MS), b"", &payload);
        recorder.event(&place(1, due_ns - 20 * MS), b"", &payload);
    }
    let mut late = vec![0; 64];
    let stamp = Stamp { run: 9, stream: 1, sequence: 8, intended_ns: 0, slip_ns: 0 };
    stamp.write(&mut late);
    recorder.event(&place(0, START + 1_700 * MS + 501 * MS), b"", &late);
    let measured = &recorder.tally.measured;
    assert_eq!((measured.unique, measured.duplicate, recorder.late_count), (4, 2, 1));
    assert!(measured.delivery.is_empty() && measured.sent.is_empty());
    // Sequence 6 is event 13, the fourth of the measured ones; it came before it was due here,
    // since its machine began earlier.
    for event in [3, 5] {
        let cell = recorder.cells.all()[event];
        assert_eq!((cell.count, cell.last_ns - cell.first_ns), (2, 4 * MS), "{cell:?}");
    }
    // One of our own is timed.
    arrive(&mut recorder, 0, 0, 5);
    let mut own = vec![0; 64];
    let intended_ns = START + 1_200 * MS;
    let stamp = Stamp { run: 9, stream: 0, sequence: 6, intended_ns, slip_ns: 0 };
    stamp.write(&mut own);
    recorder.event(&place(0, intended_ns + 7 * MS), b"", &own);
    let delivery = &recorder.tally.measured.delivery;
    assert!(delivery.len() == 1 && delivery.equivalent(delivery.max(), 7 * MS));
}
