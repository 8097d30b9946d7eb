//! What selectors cost: the path of an event of one public topic with none of them, and finding which
//! of 100,000 match a topic.
//!
//! Question: is the plain path what it was, does an event to a new topic cost microseconds whatever
//! usual selectors there are, and what does it cost with those that somebody chose to make it dear?

use std::cell::LazyCell;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use downpour::event::{Epoch, Event, EventId, Frame};
use downpour::selector::Selector;
use downpour::selector::index::{CROWD_MAX, Index};
use downpour::topic::{BatchBounds, Bounds, Interest, Piece, SetIndex, Standing, Topics};

const SELECTORS: u32 = 100_000;
/// Events of one iteration of the plain path.
const EVENTS: u64 = 1000;
const BASE: &str = "https://example.com/.well-known/mercure";

fn bounds() -> Bounds {
    Bounds {
        events_max: 1000,
        bytes_max: usize::MAX,
        bytes_total_max: usize::MAX,
        views_bytes_max: usize::MAX,
        age_ns_max: u64::MAX,
        forgotten_max: 1000,
    }
}

fn frame(topic: &str, sequence: u64) -> Frame {
    let event = Event { topic, data: "a hundred bytes, more or less", ..Event::default() };
    let id = EventId { epoch: Epoch::new(1), sequence };
    event.encode().expect("valid").number(id, sequence)
}

/// Appends events and gives each to one subscriber, as a worker does for each cursor.
struct Stream {
    topics: Topics,
    set: SetIndex,
    frames: Vec<Frame>,
    next: usize,
}

impl Stream {
    fn new(mut topics: Topics, interest: Interest<'_>, frames: Vec<Frame>) -> Stream {
        let set = topics.join(interest);
        Stream { topics, set, frames, next: 0 }
    }

    fn run(&mut self) {
        let bounds = BatchBounds { frames_max: 1000, bytes_max: 256 << 10 };
        let mut cursor = self.topics.cursor(self.set, self.topics.head(), Standing::Live);
        let mut pieces: Vec<Piece> = Vec::new();
        for frame in &self.frames[self.next..self.next + EVENTS as usize] {
            assert!(self.topics.make_room(frame, |_| u64::MAX));
            self.topics.append(frame.clone(), |set| _ = black_box(set));
            pieces.clear();
            let batch = self.topics.batch(self.set, cursor, bounds, &mut pieces);
            cursor = black_box(batch).cursor;
        }
        self.next += EVENTS as usize;
    }
}

fn events(topic: impl Fn(u64) -> String, rounds: u64) -> Vec<Frame> {
    (1..=rounds * EVENTS).map(|sequence| frame(&topic(sequence), sequence)).collect()
}

fn plain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and batch, 1000 events");
    let bench = |frames: Vec<Frame>, names: Vec<String>| {
        move |bencher: &mut criterion::Bencher<'_>| {
            bencher.iter_batched_ref(
                || Stream::new(Topics::new(bounds()), Interest::Topics(&names), frames.clone()),
                Stream::run,
                criterion::BatchSize::LargeInput,
            );
        }
    };
    let one = events(|_| "prices/eur".into(), 1);
    group.bench_function("one topic", bench(one, vec!["prices/eur".into()]));
    let many = events(|sequence| format!("topic-{}", sequence % 100), 1);
    let names = (0..10).map(|n| format!("topic-{n}")).collect();
    group.bench_function("ten topics of a hundred", bench(many, names));
    group.finish();
}

/// A kind of selector: its name, the selector of each number, and a topic that one of them matches.
type Kind = (&'static str, fn(u32) -> Selector, &'static str);

/// Kinds of selectors, each a hundred thousand times.
fn kinds() -> [Kind; 5] {
    let url = "https://example.com/users/77777/books/5";
    [
        ("exact", |n| parse(&format!("https://example.com/users/{n}/books/5")), url),
        ("template, own prefix", |n| parse(&format!("https://example.com/users/{n}{{/x*}}")), url),
        ("template, own suffix", |n| parse(&format!("https://example.com/{{+x}}/{n}")), url),
        (
            "template, own middle",
            |n| parse(&format!("https://example.com{{/x,y}}/{n}/books{{/z}}")),
            url,
        ),
        (
            "url pattern",
            |n| Selector::url_pattern(&format!("/users/{n}/books/:id"), BASE).expect("valid"),
            url,
        ),
    ]
}

fn parse(text: &str) -> Selector {
    Selector::parse(text).expect("valid")
}

fn index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find among 100,000");
    for (name, selector, topic) in kinds() {
        let index: LazyCell<Index, _> = LazyCell::new(|| {
            let mut index = Index::default();
            (0..SELECTORS).for_each(|n| index.insert(&selector(n), n));
            index
        });
        let mut found = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                found.clear();
                index.find(black_box(topic), &mut found);
            });
        });
        let other = "https://example.org/something/else/altogether";
        group.bench_function(format!("{name}, none matches"), |bencher| {
            bencher.iter(|| index.find(black_box(other), &mut found));
        });
    }
    group.finish();
}

/// The expressions of number `n`: other operators for each number, and no literal.
fn expressions(n: u32) -> String {
    let operators = ["", ".", "/", ";", "?", "&", "#"];
    let mut text = String::new();
    (0..6).fold(n, |left, _| {
        text += &format!("{{{}x}}", operators[left as usize % 7]);
        left / 7
    });
    text
}

/// Part of a text that looks random and repeats nothing for long.
fn piece(n: u32, length: usize) -> String {
    let letters = (0..length as u64).map(|at| {
        let mixed = (u64::from(n) + at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        char::from(b'a' + (mixed >> 40) as u8 % 26)
    });
    letters.collect()
}

/// The same with a topic that may be long.
type Hostile = (&'static str, fn(u32) -> Selector, String);

/// Selectors that were chosen to make finding them dear, and the topic that does.
fn hostile() -> [Hostile; 10] {
    let usual = "https://example.com/users/77777/books/5".to_owned();
    [
        ("names differ", |n| parse(&format!("/x{{y{n}}}")), "/x1".into()),
        ("no literal, all expressions differ", |n| parse(&expressions(n)), usual.clone()),
        (
            "no literal, all expressions differ, 4,000 bytes",
            |n| parse(&expressions(n)),
            piece(0, 4000),
        ),
        (
            "each prefix of the topic, 100 bytes",
            |n| parse(&format!("{}{}", piece(0, n as usize % 100), expressions(n / 100))),
            piece(0, 100),
        ),
        (
            "each prefix of the topic, 4,000 bytes",
            |n| parse(&format!("{}{{x}}.{n}{{y}}", piece(0, n as usize % 4000))),
            piece(0, 4000),
        ),
        (
            "each middle of the topic, 100 bytes",
            |n| {
                let middle = piece(n / 97 % 97, n as usize % 97 + 1);
                parse(&format!("{{x}}{middle}{}", expressions(n / 97 / 97)))
            },
            piece(0, 100),
        ),
        (
            "each prefix and suffix of the topic, 1,000 bytes",
            |n| {
                let (start, end) = (n as usize / 316, n as usize % 316);
                parse(&format!("{}{{/x}}{}", piece(0, start), piece(999 - end as u32, end)))
            },
            piece(0, 999),
        ),
        (
            "url patterns, names differ",
            |n| Selector::url_pattern(&format!("/users/:u{n}/books/:b"), BASE).expect("valid"),
            usual.clone(),
        ),
        (
            "url patterns, all regular expressions differ",
            |n| Selector::url_pattern(&format!("/users/:u/(b{n}|books)/:b"), BASE).expect("valid"),
            usual.clone(),
        ),
        (
            "url patterns, all ends differ",
            |n| Selector::url_pattern(&format!("/users/:u{n}/books/{n}"), BASE).expect("valid"),
            usual,
        ),
    ]
}

/// As many of 100,000 selectors as the engine takes: those that would be too large a crowd are left.
fn hostile_index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hostile: find among 100,000");
    group.sample_size(10);
    for (name, selector, topic) in hostile() {
        let index: LazyCell<Index, _> = LazyCell::new(|| {
            let mut index = Index::default();
            for n in 0..SELECTORS {
                index.insert(&selector(n), n);
                if index.crowd() > CROWD_MAX {
                    index.remove(&selector(n), n);
                }
            }
            println!("{name}: {} taken", index.len());
            index
        });
        let mut found = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                found.clear();
                index.find(black_box(&topic), &mut found);
            });
        });
    }
    group.finish();
}

fn matching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match one");
    let long = format!("https://example.com/{}", "segment/".repeat(500));
    for (name, selector, topic) in [
        (
            "template",
            parse("https://example.com/users/{id}/books/{book}"),
            "https://example.com/users/7/books/5",
        ),
        ("template, 64 expressions on 4,000 bytes", parse(&"{+x}".repeat(64)), long.as_str()),
        (
            "url pattern",
            Selector::url_pattern("/users/:id/books/:book", BASE).expect("valid"),
            "https://example.com/users/7/books/5",
        ),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| selector.matches(black_box(topic))));
    }
    group.finish();
}

/// Events to topics that no worker has met before, with 100,000 subscribers of as many selectors.
fn new_topics(criterion: &mut Criterion) {
    let selector = |n| parse(&format!("https://example.com/users/{n}{{/x*}}"));
    let selectors: LazyCell<Vec<Selector>, _> =
        LazyCell::new(|| (0..SELECTORS).map(selector).collect());
    let frames = events(|n| format!("https://example.com/users/{}/books/{n}", n * 77), 1);
    criterion.bench_function("1000 events to new topics, 100,000 selectors", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut topics = Topics::new(bounds());
                for one in selectors.chunks(1) {
                    topics.join(Interest::Selectors { selectors: one, claims: &[] });
                }
                Stream::new(topics, Interest::Topics(&["other".to_owned()]), frames.clone())
            },
            Stream::run,
            criterion::BatchSize::LargeInput,
        );
    });
}

/// A stream of 1,000 selectors that nobody else has, which asks for all that is kept of 10,000 topics.
fn first_replay(criterion: &mut Criterion) {
    let frames = events(|n| format!("https://example.com/users/{}/books", n % 10_000), 20);
    let selectors: Vec<Selector> =
        (0..1000).map(|n| parse(&format!("https://example.com/users/{n}{{/x*}}"))).collect();
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    group.bench_function("1,000 new selectors, 10,000 topics, 20,000 events", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut topics = Topics::new(bounds());
                frames.iter().for_each(|frame| topics.append(frame.clone(), |_| ()));
                topics
            },
            |topics| {
                let interest = Interest::Selectors { selectors: &selectors, claims: &[] };
                let set = topics.join(interest);
                assert!(topics.complete_views(set, 0));
                black_box(topics.cursor(set, 0, Standing::Earliest))
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, plain, matching, index, hostile_index, new_topics, first_replay);
criterion_main!(benches);
