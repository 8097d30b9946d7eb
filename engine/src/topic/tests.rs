//! Topics against the plainest model there is: a list of all events ever, and what a subscriber
//! that was cut and lapped at random must have been told.

use std::collections::HashMap;

use super::*;
use crate::event::{Epoch, Event, EventId};

const EPOCH: u64 = 0xabc;

fn frame(topic: &str, sequence: u64, id: Option<&str>) -> Frame {
    let event = Event { topic, data: "x", id, ..Event::default() };
    let id = EventId { epoch: Epoch::new(EPOCH), sequence };
    event.encode().expect("valid").number(id, sequence)
}

fn bounds(events_max: usize) -> Bounds {
    Bounds {
        events_max,
        bytes_max: usize::MAX,
        bytes_total_max: usize::MAX,
        views_bytes_max: usize::MAX,
        age_ns_max: u64::MAX,
        forgotten_max: 1000,
    }
}

const ALL: BatchBounds = BatchBounds { frames_max: 1024, bytes_max: usize::MAX };

fn join(topics: &mut Topics, names: &[&str]) -> SetIndex {
    topics.join(Interest::Topics(&strings(names)))
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn publish(topics: &mut Topics, topic: &str, sequence: u64) {
    let frame = frame(topic, sequence, None);
    assert!(topics.make_room(&frame, |_| u64::MAX));
    topics.append(frame, |_| {});
}

/// What a batch delivers: sequences, and gaps as (reason, missing, lost through).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Event(u64),
    Gap(GapReason, Option<u32>, u64),
}

fn next(topics: &mut Topics, set: SetIndex, cursor: &mut Cursor, bounds: BatchBounds) -> Vec<Seen> {
    let mut pieces = Vec::new();
    let batch = topics.batch(set, *cursor, bounds, &mut pieces);
    *cursor = batch.cursor;
    let mut seen = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Frames { topic, index, count } => {
                seen.extend(topics.frames(topic, index, count).map(|f| Seen::Event(f.sequence)));
            }
            Piece::Gap(gap) => seen.push(Seen::Gap(gap.reason, gap.missing, gap.lost_through)),
        }
    }
    seen
}

fn live(topics: &mut Topics, set: SetIndex) -> Cursor {
    let head = topics.head();
    topics.cursor(set, head, Standing::Live)
}

#[test]
fn a_cursor_at_the_head_gets_each_event_of_its_topic_once() {
    let mut topics = Topics::new(bounds(10));
    let set = join(&mut topics, &["a"]);
    let mut cursor = live(&mut topics, set);
    publish(&mut topics, "a", 1);
    publish(&mut topics, "b", 2);
    publish(&mut topics, "a", 3);
    assert_eq!(topics.lag(set, cursor), 2);
    let seen = next(&mut topics, set, &mut cursor, ALL);
    assert_eq!(seen, [Seen::Event(1), Seen::Event(3)]);
    assert_eq!(topics.lag(set, cursor), 0);
    assert_eq!(next(&mut topics, set, &mut cursor, ALL), []);
}

#[test]
fn a_set_of_topics_is_merged_in_the_order_of_sequences() {
    let mut topics = Topics::new(bounds(100));
    let set = join(&mut topics, &["b", "a", "c", "a"]);
    assert_eq!(join(&mut topics, &["a", "b", "c"]), set, "sets are interned");
    let mut cursor = live(&mut topics, set);
    for sequence in 1..=60 {
        publish(&mut topics, ["a", "b", "c", "d"][(sequence as usize * 7 / 3) % 4], sequence);
    }
    let expected: Vec<_> = (1..=60).filter(|s| (s * 7 / 3) % 4 != 3).map(Seen::Event).collect();
    let bounds = BatchBounds { frames_max: 7, bytes_max: usize::MAX };
    let mut seen = Vec::new();
    while topics.lag(set, cursor) > 0 {
        let more = next(&mut topics, set, &mut cursor, bounds);
        assert!(more.len() <= 7 && !more.is_empty());
        seen.extend(more);
    }
    assert_eq!(seen, expected);
}

#[test]
fn a_lapped_subscriber_is_told_once_how_many_it_missed() {
    let mut topics = Topics::new(bounds(3));
    let set = join(&mut topics, &["a"]);
    let mut cursor = live(&mut topics, set);
    (1..=10).for_each(|sequence| publish(&mut topics, "a", sequence));
    let seen = next(&mut topics, set, &mut cursor, ALL);
    let gap = Seen::Gap(GapReason::Lapped, Some(7), 7);
    assert_eq!(seen, [gap, Seen::Event(8), Seen::Event(9), Seen::Event(10)]);
    publish(&mut topics, "a", 11);
    assert_eq!(next(&mut topics, set, &mut cursor, ALL), [Seen::Event(11)]);
}

#[test]
fn what_other_topics_keep_is_delivered_behind_the_gap_of_one() {
    let mut topics = Topics::new(bounds(2));
    let set = join(&mut topics, &["hot", "quiet"]);
    let mut cursor = live(&mut topics, set);
    publish(&mut topics, "hot", 1);
    publish(&mut topics, "quiet", 2);
    (3..=6).for_each(|sequence| publish(&mut topics, "hot", sequence));
    let first = next(&mut topics, set, &mut cursor, BatchBounds { frames_max: 1, ..ALL });
    assert_eq!(first, [Seen::Gap(GapReason::Lapped, Some(3), 4), Seen::Event(2)]);
    assert_eq!(cursor.sequence, 2, "an id behind the lost events would pass over kept ones");
    assert_eq!(next(&mut topics, set, &mut cursor, ALL), [Seen::Event(5), Seen::Event(6)]);
}

#[test]
fn a_gap_is_told_again_only_when_more_is_lost_than_was_told() {
    let mut topics = Topics::new(bounds(2));
    let set = join(&mut topics, &["a", "b"]);
    let mut cursor = live(&mut topics, set);
    for (sequence, topic) in [(1, "b"), (2, "b"), (3, "a"), (4, "a"), (5, "a"), (6, "a")] {
        publish(&mut topics, topic, sequence);
    }
    let one = BatchBounds { frames_max: 1, ..ALL };
    let first = next(&mut topics, set, &mut cursor, one);
    assert_eq!(first, [Seen::Gap(GapReason::Lapped, Some(2), 4), Seen::Event(1)]);
    publish(&mut topics, "b", 7);
    publish(&mut topics, "b", 8);
    // 2 of b is lost as well, which was told with the others up to 4.
    assert_eq!(next(&mut topics, set, &mut cursor, one), [Seen::Event(5)]);
    publish(&mut topics, "a", 9);
    let seen = next(&mut topics, set, &mut cursor, ALL);
    let rest = [6, 7, 8, 9].map(Seen::Event);
    assert_eq!(seen, rest, "5 was lost after it came");
    publish(&mut topics, "a", 10);
    assert_eq!(next(&mut topics, set, &mut cursor, ALL), [Seen::Event(10)]);
}

#[test]
fn ids_of_every_kind_lead_where_they_should() {
    let mut topics = Topics::new(bounds(3));
    (1..=5).for_each(|sequence| publish(&mut topics, "a", sequence));
    topics.append(frame("b", 6, Some("own")), |_| {});
    let epoch = Epoch::new(EPOCH);
    let resume =
        |names: &[&str], id: &str| topics.resume(Interest::Topics(&strings(names)), id, epoch, 9);
    let at = |sequence, standing, gap| Resume { sequence, standing, gap };
    use GapReason::{OtherEpoch, UnknownId};
    use Standing::{Earliest, Resumed};
    for (names, id, expected) in [
        (&["a"][..], "000000000abc-4", at(4, Resumed, None)),
        (&["a"], "000000000abc-1", at(1, Resumed, None)),
        (&["a"], "000000000abc-9", at(9, Resumed, None)),
        (&["a"], "000000000abc-10", at(2, Earliest, Some(UnknownId))),
        (&["a"], "000000000def-4", at(2, Earliest, Some(OtherEpoch))),
        (&["a"], "nonsense", at(2, Earliest, Some(UnknownId))),
        (&["a"], "own", at(2, Earliest, Some(UnknownId))),
        (&["a", "b"], "own", at(6, Resumed, None)),
        (&["a"], "earliest", at(2, Earliest, None)),
        (&["a", "b"], "earliest", at(2, Earliest, None)),
        (&["new"], "earliest", at(0, Earliest, None)),
        (&["new"], "000000000abc-3", at(3, Resumed, None)),
    ] {
        assert_eq!(resume(names, id), expected, "{names:?} {id}");
    }
}

#[test]
fn a_resumed_subscriber_is_told_of_evicted_events_and_earliest_is_not() {
    let mut topics = Topics::new(bounds(2));
    (1..=5).for_each(|sequence| publish(&mut topics, "a", sequence));
    let set = join(&mut topics, &["a"]);
    let mut resumed = topics.cursor(set, 1, Standing::Resumed);
    let seen = next(&mut topics, set, &mut resumed, ALL);
    let gap = Seen::Gap(GapReason::Evicted, None, 3);
    assert_eq!(seen, [gap, Seen::Event(4), Seen::Event(5)]);
    let mut exact = topics.cursor(set, 3, Standing::Resumed);
    assert_eq!(next(&mut topics, set, &mut exact, ALL), [Seen::Event(4), Seen::Event(5)]);
    let both = join(&mut topics, &["a", "b"]);
    let mut earliest = topics.cursor(both, 0, Standing::Earliest);
    assert_eq!(next(&mut topics, both, &mut earliest, ALL), [Seen::Event(4), Seen::Event(5)]);
    // Lapped while it reads from the start is a gap all the same.
    let mut earliest = topics.cursor(both, 0, Standing::Earliest);
    publish(&mut topics, "a", 6);
    let seen = next(&mut topics, both, &mut earliest, ALL);
    assert_eq!(seen, [Seen::Gap(GapReason::Lapped, Some(1), 4), Seen::Event(5), Seen::Event(6)]);
}

#[test]
fn an_event_that_a_healthy_subscriber_needs_is_not_evicted() {
    let mut topics = Topics::new(bounds(2));
    let set = join(&mut topics, &["a"]);
    publish(&mut topics, "a", 1);
    publish(&mut topics, "a", 2);
    let third = frame("a", 3, None);
    assert!(!topics.make_room(&third, |s| if s == set { 0 } else { u64::MAX }));
    assert_eq!(topics.event_count(), 2);
    assert!(topics.make_room(&third, |_| 1));
    assert_eq!(topics.event_count(), 1);
}

#[test]
fn bytes_in_total_evict_the_oldest_of_all_topics() {
    let size = frame("a", 1, None).memory_bytes() + EVENT_OVERHEAD_BYTES;
    let mut topics = Topics::new(Bounds { bytes_total_max: 3 * size, ..bounds(100) });
    for (sequence, topic) in [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "c")] {
        publish(&mut topics, topic, sequence);
    }
    assert_eq!(topics.event_bytes(), 3 * size);
    assert!(!topics.contains("b", false), "it is empty and unused");
    let kept: Vec<_> = (0..topics.places())
        .filter_map(|place| topics.at(place))
        .map(|topic| (topic.name, topic.events))
        .collect();
    assert_eq!(kept, [("a", 1), ("c", 2)]);
    let set = join(&mut topics, &["b"]);
    let mut back = topics.cursor(set, 1, Standing::Resumed);
    let seen = next(&mut topics, set, &mut back, ALL);
    assert_eq!(seen, [Seen::Gap(GapReason::Evicted, None, 2)], "forgetting hides no gap");
}

#[test]
fn old_events_expire_and_unused_topics_are_forgotten() {
    let mut topics = Topics::new(Bounds { age_ns_max: 10, ..bounds(100) });
    (1..=4).for_each(|sequence| publish(&mut topics, "a", sequence));
    publish(&mut topics, "b", 5);
    assert!(topics.expire(14, 2), "there may be more");
    assert!(!topics.expire(14, 2));
    assert_eq!(topics.event_count(), 2, "4 - 14 is not older than 10");
    let set = join(&mut topics, &["b"]);
    assert!(!topics.expire(100, 10));
    assert_eq!((topics.event_count(), topics.count()), (0, 1), "b is listened to");
    topics.leave(set);
    assert_eq!((topics.count(), topics.set_count()), (0, 0));
}

#[test]
fn leaving_one_of_many_sets_of_a_topic_keeps_the_others_right() {
    let mut topics = Topics::new(bounds(10));
    let names: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
    let sets: Vec<_> = names.iter().map(|name| join(&mut topics, &["hot", name])).collect();
    let mut left: Vec<_> = sets.clone();
    for round in 0..40 {
        topics.leave(left.swap_remove((round * 7) % left.len()));
        let sequence = round as u64 + 1;
        let frame = frame("hot", sequence, None);
        assert!(topics.make_room(&frame, |_| u64::MAX));
        let mut touched = Vec::new();
        topics.append(frame, |set| touched.push(set));
        touched.sort_unstable();
        let mut expected = left.clone();
        expected.sort_unstable();
        assert_eq!(touched, expected);
    }
}

/// Random publishes, cuts, resumes and stalls of subscribers to random sets, against the list of
/// all events. Run one seed again with `DOWNPOUR_SEED=n`.
#[test]
fn every_subscriber_gets_each_event_once_or_a_gap_that_covers_it() {
    let seeds = std::env::var("DOWNPOUR_SEED")
        .map_or(0..300, |seed| seed.parse().map(|seed| seed..seed + 1).expect("a number"));
    for seed in seeds {
        model_run(seed);
    }
}

struct Reader {
    names: Vec<&'static str>,
    set: SetIndex,
    cursor: Cursor,
    /// Sequence its stream is known to be complete up to, by event or by gap.
    through: u64,
    /// Up to where it was told that events are lost.
    told: u64,
}

fn model_run(seed: u64) {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let mut random = fastrand::Rng::with_seed(seed);
    let kept = random.usize(1..20);
    let mut topics = Topics::new(bounds(kept));
    let mut all: Vec<&str> = Vec::new();
    let mut readers: Vec<Reader> = Vec::new();
    let mut listeners: HashMap<SetIndex, usize> = HashMap::new();
    for _ in 0..400 {
        match random.u8(0..10) {
            0..5 => {
                let topic = NAMES[random.usize(..).trailing_zeros() as usize % NAMES.len()];
                all.push(topic);
                publish(&mut topics, topic, all.len() as u64);
            }
            5 if readers.len() < 20 => {
                let mut names = NAMES.to_vec();
                random.shuffle(&mut names);
                names.truncate(random.usize(1..=3));
                let set = join(&mut topics, &names);
                *listeners.entry(set).or_default() += 1;
                let (sequence, standing) = if random.bool() {
                    (topics.head(), Standing::Live)
                } else {
                    (random.u64(0..=topics.head()), Standing::Resumed)
                };
                let cursor = topics.cursor(set, sequence, standing);
                readers.push(Reader { names, set, cursor, through: sequence, told: 0 });
            }
            6 if !readers.is_empty() => {
                let gone = readers.swap_remove(random.usize(..readers.len()));
                let count = listeners.get_mut(&gone.set).expect("it listens");
                *count -= 1;
                if *count == 0 {
                    listeners.remove(&gone.set);
                    topics.leave(gone.set);
                }
            }
            _ if !readers.is_empty() => {
                let reader = random.usize(..readers.len());
                let bounds =
                    BatchBounds { frames_max: random.usize(1..6), bytes_max: random.usize(1..200) };
                read_some(seed, &mut topics, &mut readers[reader], &all, kept, bounds);
            }
            _ => {}
        }
    }
    for reader in &mut readers {
        while topics.lag(reader.set, reader.cursor) > 0 {
            read_some(seed, &mut topics, reader, &all, kept, ALL);
        }
        let mut rest = (reader.through + 1..=all.len() as u64)
            .filter(|s| reader.names.contains(&all[*s as usize - 1]) && *s > reader.told);
        assert_eq!(rest.next(), None, "seed {seed}: lag 0, events left");
    }
}

/// Reads one batch and checks it against `all`: what is kept is never skipped, what is lost was told
/// before any later event, and a gap stands only where something was lost.
fn read_some(
    seed: u64,
    topics: &mut Topics,
    reader: &mut Reader,
    all: &[&str],
    kept: usize,
    bounds: BatchBounds,
) {
    let topic = |sequence: u64| all[sequence as usize - 1];
    let is_kept = |sequence: u64| {
        all[sequence as usize..].iter().filter(|t| **t == topic(sequence)).count() < kept
    };
    let mut cursor = reader.cursor;
    for seen in next(topics, reader.set, &mut cursor, bounds) {
        let sequence = match seen {
            Seen::Gap(_, _, lost) => {
                assert!(!is_kept(lost), "seed {seed}: a gap ends at an event that is kept");
                assert!(lost > reader.through.max(reader.told), "seed {seed}: a gap told again");
                reader.told = lost;
                continue;
            }
            Seen::Event(sequence) => sequence,
        };
        assert!(sequence > reader.through, "seed {seed}: twice or out of order");
        let passed = (reader.through + 1..sequence).filter(|s| reader.names.contains(&topic(*s)));
        let lost: Vec<u64> = passed.collect();
        assert!(!lost.iter().any(|s| is_kept(*s)), "seed {seed}: {lost:?} skipped, some are kept");
        assert!(lost.iter().all(|s| *s <= reader.told), "seed {seed}: {lost:?} lost silently");
        assert!(reader.names.contains(&topic(sequence)), "seed {seed}: not its topic");
        reader.through = sequence;
    }
    reader.cursor = cursor;
}
