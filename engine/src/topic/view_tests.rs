//! Views, private events and events of several topics against the plainest model there is: the list
//! of all events, each asked for by whom it is.
//!
//! `DOWNPOUR_SEED=n` runs one seed again, `DOWNPOUR_SEEDS=n` as many. What is kept is read off the histories, which `tests.rs` checks; what sets, views and gaps make of
//! it is what is checked here.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::event::{Epoch, Event, EventId};
use crate::selector::{Selector, any_matches};

const EPOCH: u64 = 0xabc;
const NAMES: [&str; 7] = ["a", "a/1", "a/2", "b", "b/1", "b/{x}", "c"];
const SELECTORS: [&str; 11] =
    ["*", "a", "a/1", "b", "a/{x}", "b{/x}", "{x}", "{+x}", "b/{x}", "{/x}", "nobody{+x}"];

/// An event as the model knows it.
struct Published {
    topics: Vec<&'static str>,
    private: bool,
    id: Option<String>,
}

impl Published {
    fn frame(&self, sequence: u64) -> Frame {
        let event = Event {
            topic: self.topics[0],
            alternates: &self.topics[1..],
            private: self.private,
            data: "x",
            id: self.id.as_deref(),
            ..Event::default()
        };
        let id = EventId { epoch: Epoch::new(EPOCH), sequence };
        event.encode().expect("valid").number(id, sequence)
    }

    fn is_for(&self, reader: &Reader) -> bool {
        let any = |selectors: &[Selector]| self.topics.iter().any(|t| any_matches(selectors, t));
        any(&reader.selectors) && (!self.private || any(&reader.claims))
    }
}

struct Reader {
    selectors: Vec<Selector>,
    claims: Vec<Selector>,
    set: SetIndex,
    cursor: Cursor,
    /// It is read for before anything is evicted that it has not got.
    healthy: bool,
    /// Sequence its stream is known to be complete up to, by event or by gap.
    through: u64,
    /// Up to where it was told that events are lost.
    told: u64,
    /// What was lost before it came.
    gone: BTreeSet<u64>,
}

/// One run of the model.
struct Run {
    seed: u64,
    random: fastrand::Rng,
    topics: Topics,
    /// Event `n` is at `n - 1`.
    all: Vec<Published>,
    readers: Vec<Reader>,
    listeners: BTreeMap<SetIndex, usize>,
    now_ns: u64,
    /// Topics may be forgotten, and with them what exactly they had lost.
    forgets: bool,
}

#[test]
fn every_event_comes_once_to_those_it_is_for_or_a_gap_that_covers_it() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds: std::ops::Range<u64> = match number("DOWNPOUR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DOWNPOUR_SEEDS").unwrap_or(400),
    };
    for seed in seeds {
        let mut run = Run::new(seed);
        for _ in 0..300 {
            run.step();
        }
        run.finish();
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = fastrand::Rng::with_seed(seed);
        let forgets = random.bool();
        let bounds = Bounds {
            events_max: random.usize(1..12),
            bytes_max: usize::MAX,
            bytes_total_max: if forgets { random.usize(2_000..20_000) } else { usize::MAX },
            views_bytes_max: if random.bool() { random.usize(..4_000) } else { usize::MAX },
            age_ns_max: if forgets { random.u64(5..80) } else { u64::MAX },
            forgotten_max: if random.bool() { 100 } else { 2 },
        };
        Run {
            seed,
            random,
            topics: Topics::new(bounds),
            all: Vec::new(),
            readers: Vec::new(),
            listeners: BTreeMap::new(),
            now_ns: 0,
            forgets,
        }
    }

    fn step(&mut self) {
        match self.random.u8(0..20) {
            0..9 => self.publish(),
            9..12 if self.readers.len() < 20 => self.subscribe(),
            12 if !self.readers.is_empty() => {
                let reader = self.random.usize(..self.readers.len());
                self.leave(reader);
            }
            13 if self.forgets => {
                self.now_ns = self.now_ns.max(self.random.u64(0..=self.topics.head()));
                self.topics.expire(self.now_ns, 100);
                // Age waits for nobody.
                self.readers.iter_mut().for_each(|reader| reader.healthy = false);
            }
            14 => self.check_tables(),
            _ if !self.readers.is_empty() => {
                let reader = self.random.usize(..self.readers.len());
                let frames_max = self.random.usize(1..6);
                self.read(reader, BatchBounds { frames_max, bytes_max: usize::MAX });
            }
            _ => {}
        }
    }

    fn publish(&mut self) {
        let mut names = NAMES.to_vec();
        self.random.shuffle(&mut names);
        names.truncate(1 + self.random.u8(..).leading_zeros() as usize % 4);
        let id = (self.random.u8(0..4) == 0).then(|| format!("own{}", self.random.u8(0..20)));
        let event = Published { topics: names, private: self.random.u8(0..3) == 0, id };
        let sequence = self.all.len() as u64 + 1;
        let frame = event.frame(sequence);
        self.all.push(event);
        while !self.make_room(&frame) {
            let healthy = |run: &Run, at: usize| run.readers[at].healthy;
            for at in 0..self.readers.len() {
                while healthy(self, at) && self.lag(at) > 0 {
                    self.read(at, BatchBounds { frames_max: 3, bytes_max: usize::MAX });
                }
            }
            assert!(
                self.make_room(&frame),
                "seed {}: all that are healthy are at the head",
                self.seed
            );
        }
        let topics = &self.topics;
        let over = topics.views.entries_bytes().saturating_sub(topics.bounds.views_bytes_max);
        let fits = topics.bytes + over <= topics.bounds.bytes_total_max;
        assert!(fits || topics.events == 0, "seed {}: histories give what lists take", self.seed);
        let mut touched = Vec::new();
        self.topics.append(frame, |set| touched.push(set));
        touched.sort_unstable();
        let event = self.all.last().expect("it was pushed");
        let concerned = self.readers.iter().filter(|reader| event.is_for(reader));
        let expected: BTreeSet<SetIndex> = concerned.map(|reader| reader.set).collect();
        let expected: Vec<SetIndex> = expected.into_iter().collect();
        assert_eq!(touched, expected, "seed {}: event {sequence}", self.seed);
    }

    fn make_room(&mut self, frame: &Frame) -> bool {
        let healthy = self.readers.iter().filter(|reader| reader.healthy);
        let mut floors: BTreeMap<SetIndex, u64> = BTreeMap::new();
        for reader in healthy {
            let floor = floors.entry(reader.set).or_insert(u64::MAX);
            *floor = reader.cursor.sequence.min(*floor);
        }
        self.topics.make_room(frame, |set| floors.get(&set).copied().unwrap_or(u64::MAX))
    }

    fn some_selectors(&mut self, count: std::ops::Range<usize>) -> Vec<Selector> {
        let count = self.random.usize(count);
        (0..count)
            .map(|_| SELECTORS[self.random.usize(..SELECTORS.len())])
            .map(|text| Selector::parse(text).expect("valid"))
            .collect()
    }

    fn subscribe(&mut self) {
        let selectors = self.some_selectors(1..4);
        let claims = self.some_selectors(0..3);
        let interest = Interest::Selectors { selectors: &selectors, claims: &claims };
        let head = self.topics.head();
        let resume = match self.random.u8(0..4) {
            0 => self.topics.resume_live(head),
            1 => self.topics.resume(interest, "earliest", Epoch::new(EPOCH), head),
            _ => {
                let id = EventId { epoch: Epoch::new(EPOCH), sequence: self.random.u64(0..=head) };
                let text = if self.random.bool() { id.to_string() } else { id.urn().to_string() };
                let resume = self.topics.resume(interest, &text, Epoch::new(EPOCH), head);
                assert_eq!((resume.sequence, resume.gap), (id.sequence, None));
                resume
            }
        };
        let set = self.topics.join(interest);
        if !self.topics.complete_views(set, resume.sequence) {
            assert!(self.topics.bounds.views_bytes_max < usize::MAX);
            if !self.listeners.contains_key(&set) {
                self.topics.leave(set);
            }
            return;
        }
        *self.listeners.entry(set).or_default() += 1;
        let cursor = self.topics.cursor(set, resume.sequence, resume.standing);
        let mut reader = Reader {
            selectors,
            claims,
            set,
            cursor,
            healthy: false,
            through: resume.sequence,
            told: 0,
            gone: BTreeSet::new(),
        };
        if resume.standing == Standing::Earliest {
            let kept = (1..=resume.sequence).filter(|sequence| self.has(&reader, *sequence));
            assert_eq!(kept.count(), 0, "seed {}: kept before the earliest", self.seed);
            // To one that asks for all there is, it is no gap.
            reader.gone = (1..=head).filter(|sequence| !self.has(&reader, *sequence)).collect();
        }
        let kept = (resume.sequence + 1..=head).filter(|s| self.has(&reader, *s)).count() as u32;
        assert_eq!(self.topics.lag(set, cursor), kept, "seed {}: what it has to get", self.seed);
        reader.healthy = resume.standing == Standing::Live && self.random.bool();
        self.readers.push(reader);
    }

    fn leave(&mut self, reader: usize) {
        let gone = self.readers.swap_remove(reader);
        let count = self.listeners.get_mut(&gone.set).expect("it listens");
        *count -= 1;
        if *count == 0 {
            self.listeners.remove(&gone.set);
            self.topics.leave(gone.set);
        }
    }

    fn keeps(&self, topic: &str, sequence: u64) -> bool {
        let event = &self.all[sequence as usize - 1];
        let Some(index) = self.topics.index(topic.as_bytes(), event.private) else { return false };
        let history = &self.topics.topics[index as usize].history;
        history.iter().any(|frame| frame.sequence == sequence)
    }

    /// True when an event is there for a reader: for it, and kept by one of the topics through which
    /// it comes. Through which a private event comes that matches selector and claim by different
    /// topics is the implementation's choice, the one that leaves less open.
    fn has(&self, reader: &Reader, sequence: u64) -> bool {
        let event = &self.all[sequence as usize - 1];
        event.is_for(reader)
            && event.topics.iter().any(|topic| self.comes_by(reader, event, topic, sequence))
    }

    fn comes_by(&self, reader: &Reader, event: &Published, topic: &str, sequence: u64) -> bool {
        if !self.keeps(topic, sequence) {
            return false;
        }
        if !event.private {
            return any_matches(&reader.selectors, topic);
        }
        let pairs = reader.selectors.iter().flat_map(|s| reader.claims.iter().map(move |c| (s, c)));
        let matches = |selector: &Selector| event.topics.iter().any(|t| selector.matches(t));
        let mut pairs = pairs.filter(|(s, c)| matches(s) && matches(c));
        pairs.any(|(selector, claim)| {
            let granted = reader.claims.iter().any(|claim| claim.covers(selector));
            let wanted = reader.selectors.iter().any(|selector| selector.covers(claim));
            let shorter = selector.literal_bytes() < claim.literal_bytes();
            (granted && selector.matches(topic))
                || (wanted && claim.matches(topic))
                || (!granted && !wanted && shorter && claim.matches(topic))
                || (!granted && !wanted && !shorter && selector.matches(topic))
        })
    }

    fn lag(&self, reader: usize) -> u32 {
        self.topics.lag(self.readers[reader].set, self.readers[reader].cursor)
    }

    /// Reads one batch and checks it: what is there is never skipped, what is lost was told before
    /// anything later, and a gap stands only where something was lost.
    fn read(&mut self, at: usize, bounds: BatchBounds) {
        let seed = self.seed;
        let (set, before) = (self.readers[at].set, self.readers[at].cursor);
        let mut pieces = Vec::new();
        let batch = self.topics.batch(set, before, bounds, &mut pieces);
        let reader = &self.readers[at];
        let (mut through, mut told) = (reader.through, reader.told);
        let mut count = 0;
        for piece in pieces {
            match piece {
                Piece::Gap(gap) => {
                    assert!(!reader.healthy, "seed {seed}: a healthy reader was lapped");
                    assert!(gap.lost_through > through.max(told), "seed {seed}: told again");
                    self.was_lost(reader, &gap);
                    told = gap.lost_through;
                }
                Piece::Frames { topic, index, count: frames } => {
                    count += frames;
                    for frame in self.topics.frames(topic, index, frames) {
                        let sequence = frame.sequence;
                        self.follows(reader, through, told, sequence);
                        through = sequence;
                    }
                }
            }
        }
        assert_eq!(count, batch.frames);
        assert!(count > 0 || !batch.more, "seed {seed}: an empty batch that is not the last");
        if !batch.more {
            self.follows(
                reader,
                through,
                told,
                self.all.len().min(self.topics.head() as usize) as u64 + 1,
            );
        }
        let left = (through + 1..=self.topics.head()).filter(|s| self.has(reader, *s)).count();
        assert_eq!(batch.more, left > 0, "seed {seed}: {left} left");
        let lag = self.topics.lag(set, batch.cursor) as usize;
        assert!(lag >= left && (left > 0 || lag == 0), "seed {seed}: lag {lag}, {left} left");
        let reader = &mut self.readers[at];
        (reader.cursor, reader.through, reader.told) = (batch.cursor, through, told);
    }

    /// `sequence` comes after `through`: is it for the reader, and all between lost and told of?
    fn follows(&self, reader: &Reader, through: u64, told: u64, sequence: u64) {
        let seed = self.seed;
        assert!(sequence > through, "seed {seed}: {sequence} twice or out of order");
        if let Some(event) = self.all.get(sequence as usize - 1) {
            assert!(
                event.is_for(reader) || sequence > self.topics.head(),
                "seed {seed}: {sequence} is not for it"
            );
        }
        for passed in through + 1..sequence {
            if self.all[passed as usize - 1].is_for(reader) {
                assert!(!self.has(reader, passed), "seed {seed}: {passed} skipped, it is kept");
                let known = passed <= told || reader.gone.contains(&passed);
                assert!(known, "seed {seed}: {passed} lost silently");
            }
        }
    }

    fn was_lost(&self, reader: &Reader, gap: &Gap) {
        let (seed, lost) = (self.seed, gap.lost_through);
        // A topic that is forgotten leaves one number behind, and of a view that was made later it is
        // not known what its sieve would have passed.
        if self.forgets || !reader.claims.is_empty() {
            return;
        }
        assert!(self.all[lost as usize - 1].is_for(reader), "seed {seed}: {lost} is not for it");
        assert!(!self.has(reader, lost), "seed {seed}: {lost} is not lost");
    }

    /// What the tables say against what the histories have.
    fn check_tables(&self) {
        let topics = &self.topics;
        let mut kept: BTreeMap<u64, (usize, &Frame)> = BTreeMap::new();
        for frame in topics.topics.iter().flat_map(|(_, topic)| &topic.history) {
            kept.entry(frame.sequence).or_insert((0, frame)).0 += 1;
        }
        let places: usize = kept.values().map(|(places, _)| places).sum();
        let texts: usize = kept.values().map(|(_, frame)| frame.memory_bytes()).sum();
        assert_eq!(topics.event_count(), places);
        assert_eq!(topics.event_bytes(), texts + places * EVENT_OVERHEAD_BYTES);
        let ids = kept.iter().filter_map(|(sequence, (_, frame))| {
            frame.own_id().map(|id| (Rc::from(id), *sequence))
        });
        assert_eq!(topics.own_ids, ids.collect::<BTreeSet<(Rc<str>, u64)>>());
        let by_topic = topics.topics.iter().flat_map(|(index, topic)| {
            topic.history.iter().filter_map(move |frame| {
                frame.own_id().map(|id| (index as u32, Rc::from(id), frame.sequence))
            })
        });
        assert_eq!(topics.own_ids_by_topic, by_topic.collect::<BTreeSet<(u32, Rc<str>, u64)>>());
        let shared = kept.values().filter(|(_, frame)| frame.has_alternates()).count();
        assert_eq!(topics.shared.is_empty(), shared == 0);
        let entries: usize = topics.views.iter().map(|(_, view)| view.entries.len()).sum();
        assert_eq!(topics.views.entries_bytes(), entries * view::ENTRY_BYTES);
        for (index, view) in self.topics.views.iter() {
            let has = |topic: u32, frame: &&Frame| {
                topics.views.lists(index, &topics.topics[topic as usize])
                    && topics.views.has(index, frame)
            };
            let all = topics.topics.iter().flat_map(|(topic, entry)| {
                entry.history.iter().map(move |frame| (topic as u32, frame))
            });
            let expected: BTreeSet<(u64, u32)> = all
                .filter(|(topic, frame)| {
                    has(*topic, frame) && frame.sequence > view.complete_from()
                })
                .map(|(topic, frame)| (frame.sequence, topic))
                .collect();
            let entries = view.entries.iter().copied();
            let entries: Vec<(u64, u32)> =
                entries.filter(|(s, t)| is_kept(&topics.topics, *s, *t)).collect();
            assert!(entries.is_sorted_by_key(|(sequence, _)| *sequence));
            assert_eq!(entries.iter().copied().collect::<BTreeSet<_>>(), expected);
            assert_eq!((entries.len(), view.live()), (expected.len(), expected.len()));
        }
    }

    fn finish(&mut self) {
        for at in 0..self.readers.len() {
            let all = BatchBounds { frames_max: 1000, bytes_max: usize::MAX };
            // Once at least: who came back may have nothing to get and a gap to be told of.
            self.read(at, all);
            while self.lag(at) > 0 {
                self.read(at, all);
            }
            let reader = &self.readers[at];
            self.follows(reader, reader.through, reader.told, self.topics.head() + 1);
        }
        self.check_tables();
        for at in (0..self.readers.len()).rev() {
            self.leave(at);
        }
        let topics = &self.topics;
        assert_eq!((topics.set_count(), topics.view_count()), (0, 0), "seed {}", self.seed);
        self.topics.expire(u64::MAX, if self.forgets { usize::MAX } else { 0 });
        if self.forgets {
            assert_eq!((self.topics.count(), self.topics.event_bytes()), (0, 0));
            assert!(self.topics.shared.is_empty() && self.topics.own_ids_by_topic.is_empty());
        }
    }
}

#[test]
fn lists_of_views_are_bounded_and_what_live_events_add_is_taken_from_the_histories() {
    const LISTED: usize = 100;
    let bounds = Bounds {
        events_max: usize::MAX,
        bytes_max: usize::MAX,
        bytes_total_max: usize::MAX,
        views_bytes_max: LISTED * view::ENTRY_BYTES,
        age_ns_max: u64::MAX,
        forgotten_max: 10,
    };
    let event = Published { topics: vec!["a/1"], private: false, id: None };
    let append = |topics: &mut Topics, sequence| {
        let frame = event.frame(sequence);
        let has_room = topics.make_room(&frame, |_| u64::MAX);
        topics.append(frame, |_| ());
        has_room
    };
    let mut topics = Topics::new(bounds);
    (1..=LISTED as u64).for_each(|sequence| assert!(append(&mut topics, sequence)));
    let selectors = |text: &str| vec![Selector::parse(text).expect("valid")];
    let wanted = [selectors("a/{x}"), selectors("{+x}"), selectors("*")];
    let interest = |of: usize| Interest::Selectors { selectors: &wanted[of], claims: &[] };

    let first = topics.join(interest(0));
    assert!(topics.complete_views(first, 0), "all that is kept fits once");
    let second = topics.join(interest(1));
    assert!(!topics.complete_views(second, 0), "and not twice");
    assert!(!topics.complete_views(second, LISTED as u64 - 1), "not even one of them");
    assert!(topics.complete_views(second, LISTED as u64), "from now on costs nothing yet");
    topics.leave(first);
    assert!(topics.complete_views(second, 0), "what has gone makes room");

    // Two lists of each event from here on, in memory for one: half of the events go.
    let third = topics.join(interest(2));
    let whole = topics.event_bytes();
    topics.bounds.bytes_total_max = whole;
    for sequence in LISTED as u64 + 1..=5 * LISTED as u64 {
        assert!(append(&mut topics, sequence));
        let over = topics.views.entries_bytes().saturating_sub(bounds.views_bytes_max);
        // Those of the event that has just been added are paid for by the next.
        assert!(topics.event_bytes() + over <= whole + 2 * view::ENTRY_BYTES);
    }
    assert!(topics.event_count() > LISTED / 2, "{} are kept", topics.event_count());
    [second, third].into_iter().for_each(|set| topics.leave(set));
    assert_eq!(topics.views.entries_bytes(), 0);
}
