//! Tests of the names of faults: each alone, and many at random against a list of what was done.

use super::*;
use crate::ledger::Ledger;

const SEQUENCES: u32 = 400;

/// One subscriber of a topic with some streams, and its ledgers.
struct Reader {
    whose: Whose,
    ledgers: Vec<Ledger>,
    clock: u64,
}

impl Reader {
    fn new(local: u32, streams: usize) -> Reader {
        let whose =
            Whose { local, order: local * 2 + 1, topic: 0, stream: 0, at_ns: 0, measured: true };
        Reader { whose, ledgers: vec![Ledger::default(); streams], clock: 0 }
    }

    fn at(&mut self, stream: usize) -> Whose {
        self.clock += 1;
        Whose { stream: stream as u32, at_ns: self.clock, ..self.whose }
    }

    fn event(&mut self, offences: &mut Offences, stream: usize, sequence: u32) {
        let expected = self.ledgers[stream].next() as u32;
        let arrival = self.ledgers[stream].enter(u64::from(sequence));
        let whose = self.at(stream);
        if sequence != expected || !offences.is_idle() {
            offences.arrived(&whose, stream, &Step { arrival, expected, sequence });
        }
    }

    fn gap(&mut self, offences: &mut Offences) {
        let whose = self.at(0);
        offences.gap(&whose, self.ledgers.len());
    }

    fn end(&mut self, offences: &mut Offences) {
        let whose = self.at(0);
        let ended = |ledger: &Ledger| Ended {
            next: ledger.next() as u32,
            due: 0..SEQUENCES,
            unread: false,
            measured: 0..SEQUENCES,
        };
        let streams: Vec<Ended> = self.ledgers.iter().map(ended).collect();
        offences.end(&whose, &streams);
    }
}

/// What an occurrence names: kind, subscriber, stream, expected, met, count.
type Name = (Kind, u64, u32, Option<u64>, Option<u64>, u64);

fn names(offences: &mut Offences) -> Vec<Name> {
    let mut names: Vec<Name> = offences
        .finish()
        .iter()
        .map(|one| (one.kind, one.subscriber, one.stream, one.expected, one.met, one.count))
        .collect();
    names.sort_unstable();
    names
}

/// Sequences told of as missing, by stream and sequence.
fn told(offences: &Offences) -> BTreeMap<(u32, u32), i32> {
    let mut sums = BTreeMap::new();
    for told in &offences.told {
        for sequence in told.sequences.clone() {
            *sums.entry((told.stream, sequence)).or_default() += told.by;
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// Plays events of one stream in this order (`None` is a gap event) and ends the session.
fn play(script: impl IntoIterator<Item = Option<u32>>) -> (Vec<Name>, Offences) {
    let (mut offences, mut reader) = (Offences::default(), Reader::new(0, 1));
    for step in script {
        match step {
            Some(sequence) => reader.event(&mut offences, 0, sequence),
            None => reader.gap(&mut offences),
        }
    }
    reader.end(&mut offences);
    (names(&mut offences), offences)
}

fn rest(from: u32) -> impl Iterator<Item = Option<u32>> {
    (from..SEQUENCES).map(Some)
}

#[test]
fn a_right_stream_has_no_names() {
    assert_eq!(play(rest(0)).0, []);
}

#[test]
fn each_fault_is_named_by_subscriber_and_sequence() {
    let lost = |from, met, count| (Kind::Lost, 1, 0, Some(from), met, count);
    let start = || rest(0).take(10);
    assert_eq!(play(start().chain(rest(11))).0, [lost(10, Some(11), 1)]);
    assert_eq!(play(rest(0).take(10)).0, [lost(10, None, u64::from(SEQUENCES) - 10)]);
    let twice = play(start().chain([Some(9)]).chain(rest(10))).0;
    assert_eq!(twice, [(Kind::Duplicate, 1, 0, Some(10), Some(9), 1)]);
    let swapped = play(start().chain([Some(11), Some(10)]).chain(rest(12))).0;
    assert_eq!(swapped, [(Kind::OutOfOrder, 1, 0, Some(12), Some(10), 1)]);
}

#[test]
fn a_gap_in_its_place_is_told_apart_from_one_that_is_late_and_one_for_nothing() {
    let start = || rest(0).take(10);
    let lost = (Kind::Lost, 1, 0, Some(10), Some(13), 3);
    let (found, offences) = play(start().chain([None]).chain(rest(13)));
    assert_eq!(found, [lost, (Kind::Gap, 1, 0, Some(10), Some(13), 3)]);
    assert_eq!((offences.gaps_late, told(&offences).len()), (0, 3));
    let (found, offences) = play(start().chain([Some(13), None]).chain(rest(14)));
    assert_eq!(found, [lost, (Kind::GapLate, 1, 0, Some(10), Some(13), 3)]);
    assert_eq!((offences.gaps_late, told(&offences).len()), (1, 3));
    let (found, offences) = play(start().chain([None]).chain(rest(10)));
    assert_eq!(found, [(Kind::GapUnfounded, 1, 0, None, None, 0)]);
    assert_eq!((offences.gaps_unfounded, told(&offences).len()), (1, 0));
}

#[test]
fn a_gap_in_its_place_leaves_an_older_silent_hole_silent() {
    let script = (0..5).chain(6..10).map(Some).chain([None]).chain(rest(12));
    let (found, offences) = play(script);
    let kinds: Vec<Kind> = found.iter().map(|name| name.0).collect();
    assert_eq!(kinds, [Kind::Lost, Kind::Lost, Kind::Gap]);
    assert_eq!(told(&offences).keys().copied().collect::<Vec<_>>(), [(0, 10), (0, 11)]);
}

#[test]
fn a_gap_behind_the_last_event_explains_what_never_came() {
    let (found, offences) = play(rest(0).take(390).chain([None]));
    assert_eq!(found[0], (Kind::Lost, 1, 0, Some(390), None, 10));
    assert_eq!(found[1].0, Kind::Gap);
    assert_eq!((offences.gaps_late, told(&offences).len()), (0, 10));
}

#[test]
fn a_gap_is_for_all_streams_of_a_topic() {
    let (mut offences, mut reader) = (Offences::default(), Reader::new(0, 2));
    (0..5).for_each(|n| (0..2).for_each(|stream| reader.event(&mut offences, stream, n)));
    reader.gap(&mut offences);
    // The first stream lost nothing, the second did.
    reader.event(&mut offences, 0, 5);
    (7..SEQUENCES).for_each(|n| reader.event(&mut offences, 1, n));
    (6..SEQUENCES).for_each(|n| reader.event(&mut offences, 0, n));
    reader.end(&mut offences);
    assert_eq!((offences.gaps_late, offences.gaps_unfounded), (0, 0));
    let expected =
        [(Kind::Lost, 1, 1, Some(5), Some(7), 2), (Kind::Gap, 1, 1, Some(5), Some(7), 2)];
    assert_eq!(names(&mut offences), expected);
}

#[test]
fn a_gap_before_what_was_left_unread_is_neither_late_nor_for_nothing() {
    let (mut offences, mut reader) = (Offences::default(), Reader::new(0, 1));
    (0..10).for_each(|n| reader.event(&mut offences, 0, n));
    reader.gap(&mut offences);
    let ended = Ended { next: 10, due: 0..10, unread: true, measured: 0..SEQUENCES };
    let whose = reader.at(0);
    offences.end(&whose, &[ended]);
    assert_eq!((offences.gaps_late, offences.gaps_unfounded), (0, 0));
    assert_eq!(names(&mut offences), []);
}

#[test]
fn a_hole_that_fills_up_from_any_side_is_no_loss() {
    for order in [[10, 11, 12], [12, 11, 10], [11, 10, 12], [11, 12, 10]] {
        let script = rest(0).take(10).chain([Some(13)]).chain(order.map(Some)).chain(rest(14));
        let (found, offences) = play(script);
        assert!(found.iter().all(|name| name.0 == Kind::OutOfOrder), "{order:?}: {found:?}");
        assert!(found.len() == 3 && offences.holes.is_empty(), "{order:?}");
    }
}

#[test]
fn lists_stay_bounded_and_keep_the_first() {
    let mut offences = Offences::default();
    for local in 0..3_000 {
        let mut reader = Reader::new(local, 1);
        (0..SEQUENCES).step_by(2).for_each(|n| reader.event(&mut offences, 0, n));
        assert!(offences.holes.len() <= HOLES_MAX && offences.lost.len() <= 2 * LISTED_MAX);
        // The last thousand stay open, until there are more holes than are followed.
        if local < 2_000 {
            reader.end(&mut offences);
        }
    }
    let found = crate::report::model::offence::first(offences.finish());
    assert_eq!(found.len(), LISTED_MAX);
    assert!(found.iter().all(|one| one.at_ns <= 2), "the first holes are the oldest");
}

/// A stream with faults that do not touch each other, and their names.
fn scripted(random: &mut fastrand::Rng, subscriber: u64) -> (Vec<Option<u32>>, Vec<Name>) {
    // A silent hole takes the blame for a later gap that nothing else explains, and a duplicate
    // may ask for what is missing: a stream has the faults of one of these groups.
    let faults: &[u32] = [&[0, 1, 5][..], &[1, 2, 3, 5], &[3, 4, 5]][random.usize(..3)];
    let (mut script, mut truth) = (Vec::new(), Vec::new());
    let mut next = 0;
    while next < SEQUENCES - 30 {
        let calm = random.u32(3..12);
        script.extend((next..next + calm).map(Some));
        next += calm;
        let (from, missing) = (u64::from(next), random.u32(1..5));
        let hole = (Some(from), Some(from + u64::from(missing)), u64::from(missing));
        let mut name = |kind, (expected, met, count): (Option<u64>, Option<u64>, u64)| {
            truth.push((kind, subscriber, 0, expected, met, count));
        };
        match faults[random.usize(..faults.len())] {
            0 => {
                name(Kind::Lost, hole);
                next += missing;
            }
            1 => {
                script.push(None);
                name(Kind::Lost, hole);
                name(Kind::Gap, hole);
                next += missing;
            }
            2 => {
                let late = random.u32(1..4);
                next += missing;
                script.extend((next..next + late).map(Some));
                next += late;
                script.push(None);
                name(Kind::Lost, hole);
                name(Kind::GapLate, hole);
            }
            3 => {
                script.push(None);
                name(Kind::GapUnfounded, (None, None, 0));
            }
            4 => {
                let back = random.u32(1..=next.min(200));
                script.push(Some(next - back));
                name(Kind::Duplicate, (Some(from), Some(from - u64::from(back)), 1));
            }
            _ => {
                script.extend([Some(next + 1), Some(next)]);
                name(Kind::OutOfOrder, (Some(from + 2), Some(from), 1));
                next += 2;
            }
        }
    }
    script.extend(rest(next));
    (script, truth)
}

#[test]
fn what_was_done_to_many_subscribers_at_once_is_named_exactly() {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |s| s.parse().unwrap());
    println!("SEED={seed} reruns this case");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let mut offences = Offences::default();
        let mut truth = Vec::new();
        let mut readers = Vec::new();
        for local in 0..3 {
            let (script, faults) = scripted(&mut random, u64::from(local) * 2 + 1);
            truth.extend(faults);
            readers.push((Reader::new(local, 1), script.into_iter()));
        }
        while !readers.is_empty() {
            let place = random.usize(..readers.len());
            let (reader, script) = &mut readers[place];
            match script.next() {
                Some(Some(sequence)) => reader.event(&mut offences, 0, sequence),
                Some(None) => reader.gap(&mut offences),
                None => {
                    reader.end(&mut offences);
                    readers.swap_remove(place);
                }
            }
        }
        let late = truth.iter().filter(|name| name.0 == Kind::GapLate).count() as u64;
        assert_eq!(offences.gaps_late, late);
        truth.sort_unstable();
        assert_eq!(names(&mut offences), truth);
    }
}
