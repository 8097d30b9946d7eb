//! The injector against streams written out by hand.

use super::*;

fn injector(faults: &[&str]) -> Injector {
    let faults = faults.iter().map(|text| text.parse().expect(text)).collect();
    Injector::new(faults, ResumeGap::Exact)
}

fn event(number: u64) -> Rc<Event> {
    Rc::new(Event::new(number, None, number.to_string().into_bytes()))
}

/// What each of `subscribers` is written for events 1 to `events`, in words, and the records as
/// (fault, subscriber, event).
fn streams(
    faults: &[&str],
    subscribers: u32,
    events: u64,
) -> (Vec<String>, Vec<(&'static str, u32, u64)>) {
    let mut injector = injector(faults);
    let mut taps: Vec<Tap> = (0..subscribers).map(|number| Tap::new(number, 0)).collect();
    let mut written = vec![Vec::new(); taps.len()];
    let mut records = Vec::new();
    for number in 1..=events {
        let event = event(number);
        for (tap, words) in taps.iter_mut().zip(&mut written) {
            let mut pieces = Vec::new();
            let injected = injector.deliver(tap, &event, &mut pieces);
            records.extend(injected.iter().map(|record| {
                let number = record.event.as_ref().expect("deliveries only").number;
                (record.fault, tap.number, number)
            }));
            words.extend(pieces.iter().map(word));
        }
    }
    (written.iter().map(|words| words.join(" ")).collect(), records)
}

fn word(piece: &Piece) -> String {
    match piece {
        Piece::Event(event, None) => event.number.to_string(),
        Piece::Event(event, Some(byte)) => format!("{}!{byte}", event.number),
        Piece::Gap { hole, after } => {
            format!("gap({},{after})", hole.missing.expect("known"))
        }
        Piece::Close { reset } => (if *reset { "reset" } else { "end" }).to_owned(),
    }
}

#[test]
fn without_faults_every_subscriber_gets_every_event_once_and_in_order() {
    let (written, records) = streams(&[], 2, 4);
    assert_eq!(written, ["1 2 3 4", "1 2 3 4"]);
    assert_eq!(records, []);
}

#[test]
fn a_fault_with_an_address_meets_that_delivery_only() {
    for (fault, met) in [
        ("drop:subscriber=1,event=2", "1 3 4"),
        ("duplicate:subscriber=1,event=2", "1 2 2 3 4"),
        ("swap:subscriber=1,event=2", "1 3 2 4"),
        ("corrupt:subscriber=1,event=2,byte=5", "1 2!5 3 4"),
        ("gap:subscriber=1,event=2", "1 gap(1,2) 3 4"),
        ("gap:subscriber=1,event=2,missing=2", "1 gap(2,3) 4"),
        ("gap:subscriber=1,event=2,late=1", "1 3 gap(1,2) 4"),
        ("gap:subscriber=1,event=2,silent=true", "1 3 4"),
        ("close:subscriber=1,event=2", "1 2 end 3 4"),
        ("close:subscriber=1,event=2,reset=true", "1 2 reset 3 4"),
    ] {
        let (written, records) = streams(&[fault], 3, 4);
        assert_eq!(written, ["1 2 3 4", met, "1 2 3 4"], "{fault}");
        let name = fault.split(':').next().expect("a kind");
        assert_eq!(records.len(), 1, "{fault}");
        assert_eq!((records[0].0, records[0].1, records[0].2), (name, 1, 2), "{fault}");
    }
}

#[test]
fn every_nth_counts_deliveries_over_all_subscribers() {
    let (written, records) = streams(&["drop:every=3"], 2, 4);
    assert_eq!(written, ["1 3 4", "1 2 4"]);
    assert_eq!(records, [("drop", 0, 2), ("drop", 1, 3)]);
}

#[test]
fn close_every_counts_deliveries_of_one_connection() {
    let (written, _) = streams(&["close:every=2"], 2, 3);
    assert_eq!(written, ["1 2 end 3", "1 2 end 3"]);
}

#[test]
fn faults_of_one_event_to_all_meet_each_subscriber() {
    let (written, records) = streams(&["swap:event=1", "duplicate:event=3"], 2, 3);
    assert_eq!(written, ["2 1 3 3", "2 1 3 3"]);
    assert_eq!(records.len(), 4);
}

#[test]
fn a_swapped_event_that_nothing_follows_stays_held() {
    let (written, _) = streams(&["swap:event=3"], 1, 3);
    assert_eq!(written, ["1 2"]);
}

#[test]
fn a_resumed_hole_is_told_first_later_or_never() {
    let hole = Hole { reason: Reason::Evicted, missing: Some(4) };
    for (resume_gap, expected, told) in [
        (ResumeGap::Exact, "gap(4,4) 5 6", None),
        (ResumeGap::Late, "5 gap(4,4) 6", Some("late")),
        (ResumeGap::Never, "5 6", Some("never")),
    ] {
        let mut injector = Injector::new(Vec::new(), resume_gap);
        let (mut tap, mut pieces) = (Tap::default(), Vec::new());
        let injected = injector.resume(&mut tap, hole, 4, &mut pieces);
        for number in [5, 6] {
            injector.deliver(&mut tap, &event(number), &mut pieces);
        }
        let words: Vec<String> = pieces.iter().map(word).collect();
        assert_eq!(words.join(" "), expected);
        assert_eq!(injected.and_then(|injected| injected.told), told);
    }
}

#[test]
fn a_status_meets_the_first_or_every_nth_subscription() {
    let refused = |fault: &str| -> Vec<u32> {
        let mut injector = injector(&[fault]);
        let refused = |number: &u32| matches!(injector.admit(*number), Admission::Refuse { .. });
        (0..6).filter(refused).collect()
    };
    assert_eq!(refused("status:code=503"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(refused("status:code=503,first=2"), [0, 1]);
    assert_eq!(refused("status:code=503,every=3"), [2, 5]);
}

#[test]
fn a_slow_head_meets_the_named_subscriber() {
    let mut injector = injector(&["slow-head:by=2s,subscriber=1"]);
    let delays: Vec<bool> = (0..3)
        .map(|number| injector.admit(number))
        .map(|admission| matches!(admission, Admission::Accept { head_delay: Some(_) }))
        .collect();
    assert_eq!(delays, [false, true, false]);
}

#[test]
fn stalls_hang_on_an_event_or_on_a_time() {
    let injector = injector(&["stall:by=1s,event=5", "stall:by=2s,at=3s", "delay:by=5ms"]);
    let second = Duration::from_secs(1);
    assert_eq!(injector.stall_at_event(4), None);
    assert_eq!(injector.stall_at_event(5), Some(second));
    assert_eq!(injector.timed_stalls(), [(3 * second, 2 * second)]);
    assert_eq!(injector.delay(), Duration::from_millis(5));
}
