//! The plan of a run: every event's intended time, stream and size, fixed before it begins.
//!
//! The idea: open loop. When an event is due follows from its number alone, never from how the
//! server or this program got on with the events before it, so that no delay can thin out the
//! load that would have shown it.
//!
//! Times here count from the first moment of the warm-up; the start itself is added when it is
//! known. A **stream** is one sequence of numbers: the events of one topic that go through one
//! publisher connection. A topic has several streams only when there are more publisher
//! connections than topics, because order is defined only within one connection.
//!
//! Of a run on several machines each draws up the whole plan and sends its part of it: every topic
//! has streams of every machine, and the events, in order of time, fall to the machines in turn.

use crate::amount::Size;
use crate::pace::Curve;
use crate::topics::Topics;

/// Events of one run at most: 16 bytes each, and some more per reading thread.
const EVENTS_COUNT_MAX: usize = 50_000_000;

/// What the plan is made from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outline {
    /// Events per second over warm-up and measured window; `None` publishes nothing.
    pub(crate) curve: Option<Curve>,
    /// Whether the planned count is walked in steps of one event or in random ones (a Poisson
    /// process of that rate).
    pub(crate) arrival: Arrival,
    /// Payload sizes.
    pub(crate) size: Size,
    /// Topics published to.
    pub(crate) topics: u32,
    /// Which of them an event goes to.
    pub(crate) popularity: Topics,
    /// Publisher connections of each machine.
    pub(crate) publishers: u32,
    /// Machines that publish.
    pub(crate) machines: u32,
    /// Seed of all draws.
    pub(crate) seed: u64,
}

/// The law of the intended times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Arrival {
    /// Evenly spaced
    #[default]
    Fixed,
    /// Independent of each other, as many users would cause them
    Poisson,
}

/// One planned event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// When it is due, from the start of the warm-up.
    pub(crate) at_ns: u64,
    /// Its stream.
    pub(crate) stream: u32,
    /// Bytes of its payload.
    pub(crate) size: u32,
}

/// All events of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schedule {
    events: Vec<Event>,
    streams_per_topic: u32,
    publishers: u32,
    machines: u32,
    /// The events of stream `s` are `by_stream[start[s]..start[s + 1]]`, in order.
    start: Vec<u32>,
    by_stream: Vec<u32>,
}

impl Schedule {
    /// Draws up the plan.
    ///
    /// # Errors
    ///
    /// If it has more events than can be followed one by one.
    pub(crate) fn new(outline: &Outline) -> Result<Schedule, String> {
        let machines = outline.machines;
        let streams_per_topic = (outline.publishers / outline.topics).max(1) * machines;
        let stream_count = outline.topics * streams_per_topic;
        let mut turns = vec![0; outline.topics as usize];
        let mut random = fastrand::Rng::with_seed(outline.seed);
        let mut events = Vec::new();
        let mut work = 0.0;
        let mut walk = outline.curve.as_ref().map(Curve::walk);
        while let Some(at_ns) = walk.as_mut().and_then(|walk| walk.due(work)) {
            if events.len() == EVENTS_COUNT_MAX {
                return Err(format!(
                    "the plan has more than {EVENTS_COUNT_MAX} events; \
                     lower --rate or shorten --duration"
                ));
            }
            let size = outline.size.draw(&mut random);
            let topic = outline.popularity.of(events.len());
            // The streams of a topic take its events in turn, and so do its machines; which of
            // them begins, differs from topic to topic.
            let turn = &mut turns[topic as usize];
            let stream = topic * streams_per_topic + (*turn + topic) % streams_per_topic;
            *turn += 1;
            events.push(Event { at_ns, stream, size: size as u32 });
            work += match outline.arrival {
                Arrival::Fixed => 1.0,
                // The gaps of a Poisson process are exponential; 1 - u is never 0.
                Arrival::Poisson => -(1.0 - random.f64()).ln(),
            };
        }
        let (start, by_stream) = index(&events, stream_count as usize);
        let publishers = outline.publishers;
        Ok(Schedule { events, streams_per_topic, publishers, machines, start, by_stream })
    }

    /// All events by time.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Number of streams.
    pub(crate) fn stream_count(&self) -> usize {
        self.start.len() - 1
    }

    /// Streams of each topic.
    pub(crate) fn streams_per_topic(&self) -> usize {
        self.streams_per_topic as usize
    }

    /// The topic of a stream.
    pub(crate) fn topic(&self, stream: u32) -> u32 {
        stream / self.streams_per_topic
    }

    /// The machine that publishes a stream.
    pub(crate) fn machine(&self, stream: u32) -> u32 {
        stream % self.streams_per_topic % self.machines
    }

    /// The publisher connection of a stream, among those of its machine.
    pub(crate) fn publisher(&self, stream: u32) -> u32 {
        // A machine has every `machines`-th stream of a topic.
        stream / self.machines % self.publishers
    }

    /// The number of an event (its index in [`Schedule::events`]) by stream and sequence.
    pub(crate) fn number(&self, stream: u32, sequence: u32) -> Option<u32> {
        let start = *self.start.get(stream as usize)?;
        let end = *self.start.get(stream as usize + 1)?;
        let place = start.checked_add(sequence)?;
        (place < end).then(|| self.by_stream[place as usize])
    }

    /// The numbers of a stream's events in order.
    pub(crate) fn stream(&self, stream: u32) -> &[u32] {
        let (start, end) = (self.start[stream as usize], self.start[stream as usize + 1]);
        &self.by_stream[start as usize..end as usize]
    }

    /// Where a stream's numbers begin in a table that has one place for each event and one more
    /// for the end of each stream.
    pub(crate) fn place(&self, stream: u32) -> usize {
        self.start[stream as usize] as usize + stream as usize
    }

    /// How many events of a stream are due before `at_ns`.
    pub(crate) fn due_before(&self, stream: u32, at_ns: i64) -> u32 {
        let due = |&number: &u32| (self.events[number as usize].at_ns as i64) < at_ns;
        self.stream(stream).partition_point(due) as u32
    }
}

/// Sorts event numbers by stream, keeping their order: a counting sort.
fn index(events: &[Event], stream_count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut start = vec![0u32; stream_count + 1];
    for event in events {
        start[event.stream as usize + 1] += 1;
    }
    for stream in 0..stream_count {
        start[stream + 1] += start[stream];
    }
    let mut next = start.clone();
    let mut by_stream = vec![0u32; events.len()];
    for (number, event) in events.iter().enumerate() {
        let place = &mut next[event.stream as usize];
        by_stream[*place as usize] = number as u32;
        *place += 1;
    }
    (start, by_stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(pace: &str, seconds: u64) -> Outline {
        Outline {
            curve: Some(Curve::new(pace.parse().unwrap(), 0..seconds * 1_000_000_000)),
            arrival: Arrival::Fixed,
            size: Size::between(100, 100),
            topics: 1,
            popularity: Topics::Even(1),
            publishers: 1,
            machines: 1,
            seed: 1,
        }
    }

    #[test]
    fn a_fixed_rate_is_a_comb() {
        let schedule = Schedule::new(&outline("20", 60)).unwrap();
        assert_eq!(schedule.events().len(), 1_200);
        for (number, event) in schedule.events().iter().enumerate() {
            assert_eq!(event.at_ns, number as u64 * 50_000_000);
        }
    }

    #[test]
    fn a_ramp_spends_its_rate_where_it_says() {
        for (from, to) in [(0.0f64, 100.0f64), (100.0, 0.0), (10.0, 90.0)] {
            let schedule = Schedule::new(&outline(&format!("{from}:{to}"), 10)).unwrap();
            let half = schedule.due_before(0, 5_000_000_000);
            let expected = (from * 5.0 + (to - from) * 0.5 * 2.5).round() as u32;
            assert!(half.abs_diff(expected) <= 1, "{from}:{to}: {half}, not {expected}");
            assert!(schedule.events().len().abs_diff(500) <= 1);
            assert!(schedule.events().is_sorted_by_key(|event| event.at_ns));
        }
    }

    #[test]
    fn poisson_times_keep_the_rate_and_follow_the_seed() {
        let plan = |pace, seed| {
            let arrival = Arrival::Poisson;
            Schedule::new(&Outline { arrival, seed, ..outline(pace, 10) }).unwrap()
        };
        // Each is 100,000 events in ten seconds, and by half time as many as it says.
        for (pace, half) in [
            ("10k", 50_000u32),
            ("0:20k", 25_000),
            ("5k/5s,15k/5s", 25_000),
            ("sine:0:20k/20s", 18_169),
        ] {
            let schedule = plan(pace, 1);
            // Six standard deviations of a Poisson count.
            assert!(schedule.events().len().abs_diff(100_000) < 1_900, "{pace}");
            assert!(schedule.due_before(0, 5_000_000_000).abs_diff(half) < 1_350, "{pace}");
            assert_eq!(schedule, plan(pace, 1));
            assert_ne!(schedule, plan(pace, 2));
        }
    }

    #[test]
    fn every_event_is_found_again_by_stream_and_sequence() {
        for (topics, publishers) in [(1, 1), (3, 1), (3, 2), (1, 4), (2, 5)] {
            let popularity = Topics::Even(topics);
            let outline = Outline { topics, popularity, publishers, ..outline("100", 1) };
            let schedule = Schedule::new(&outline).unwrap();
            let mut found = 0;
            for stream in 0..schedule.stream_count() as u32 {
                assert!(schedule.topic(stream) < topics);
                for (sequence, &number) in schedule.stream(stream).iter().enumerate() {
                    assert_eq!(schedule.events()[number as usize].stream, stream);
                    assert_eq!(schedule.number(stream, sequence as u32), Some(number));
                    found += 1;
                }
                let end = schedule.stream(stream).len() as u32;
                assert_eq!(schedule.number(stream, end), None);
            }
            assert_eq!(found, 100);
            assert_eq!(schedule.number(schedule.stream_count() as u32, 0), None);
        }
    }

    #[test]
    fn machines_have_the_events_in_turn_and_streams_of_their_own_in_every_topic() {
        for (topics, publishers, machines) in
            [(1, 1, 1), (1, 1, 2), (5, 2, 3), (2, 4, 2), (1, 3, 4), (7, 1, 2), (3, 6, 1)]
        {
            let popularity = Topics::Even(topics);
            let outline = Outline { topics, popularity, publishers, machines, ..outline("1k", 1) };
            let schedule = Schedule::new(&outline).unwrap();
            let alone = Schedule::new(&Outline { machines: 1, ..outline }).unwrap();
            let mut shares = vec![0u32; machines as usize];
            let mut used = std::collections::BTreeSet::new();
            for (event, same) in schedule.events().iter().zip(alone.events()) {
                assert_eq!((event.at_ns, event.size), (same.at_ns, same.size), "one plan");
                assert_eq!(schedule.topic(event.stream), alone.topic(same.stream));
                shares[schedule.machine(event.stream) as usize] += 1;
                let counts = || shares.iter().copied();
                assert!(counts().max().unwrap() - counts().min().unwrap() <= 2, "{shares:?}");
                assert!(schedule.publisher(event.stream) < publishers);
                used.insert((schedule.machine(event.stream), schedule.publisher(event.stream)));
            }
            assert_eq!(schedule.events().len(), alone.events().len());
            for topic in 0..topics {
                let streams = schedule.streams_per_topic() as u32;
                let own = |machine| {
                    let mut count = 0;
                    for stream in topic * streams..(topic + 1) * streams {
                        count += u32::from(schedule.machine(stream) == machine);
                    }
                    count
                };
                let each = streams / machines;
                assert!((0..machines).all(|machine| own(machine) == each), "{topics} topics");
            }
            // No more connections than streams, and none idle beyond that.
            let busy = publishers.min(topics * (publishers / topics).max(1));
            assert_eq!(used.len() as u32, machines * busy);
        }
    }

    #[test]
    fn popular_topics_get_their_share_of_the_events() {
        for publishers in [1, 8] {
            let popularity = Topics::zipf(4, 1.0);
            let outline = Outline { topics: 4, popularity, publishers, ..outline("1k", 25) };
            let schedule = Schedule::new(&outline).unwrap();
            let mut of_topic = [0usize; 4];
            for event in schedule.events() {
                of_topic[schedule.topic(event.stream) as usize] += 1;
            }
            // 1, 1/2, 1/3, 1/4 of 25/12.
            for (got, expected) in of_topic.iter().zip([12_000usize, 6_000, 4_000, 3_000]) {
                assert!(got.abs_diff(expected) < 60, "{publishers}: {of_topic:?}");
            }
            let of_stream = |stream| schedule.stream(stream).len();
            let spread = schedule.streams_per_topic() as u32;
            assert!((1..spread).all(|stream| of_stream(stream).abs_diff(of_stream(0)) <= 1));
        }
    }

    #[test]
    fn nothing_is_planned_without_a_rate() {
        let schedule = Schedule::new(&Outline { curve: None, ..outline("1", 9) }).unwrap();
        assert!(schedule.events().is_empty());
    }
}
