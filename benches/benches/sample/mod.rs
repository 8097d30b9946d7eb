//! What all benches measure with: short times, and events of common shape.
//!
//! A whole run takes a minute or two, so that it is run at all. The times are short for absolute
//! figures; for a comparison give `-- --measurement-time 5` and save a baseline.

#![allow(dead_code, reason = "each bench uses another part")]

use std::time::Duration;

use criterion::Criterion;
use downpour::event::{Draft, Epoch, Event, EventId, Frame};
use downpour::topic::{Bounds, Interest, SetIndex, Topics};

/// Data of the sizes that events have: a tick, a message, a document, the largest by default.
pub(crate) const SIZES: [usize; 4] = [16, 100, 1_000, 64_000];

/// A criterion that measures for a third of a second.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
}

/// Text without anything to escape.
pub(crate) fn text(bytes: usize) -> String {
    "abcdefghijklmnopqrstuvwxyz012345".chars().cycle().take(bytes).collect()
}

/// An event with nothing but its data.
pub(crate) fn event<'a>(topic: &'a str, data: &'a str) -> Event<'a> {
    Event { topic, data, ..Event::default() }
}

/// An encoded event of 100 bytes.
pub(crate) fn draft(topic: &str) -> Draft {
    event(topic, &text(100)).encode().expect("it is a valid event")
}

/// The same with a number.
pub(crate) fn frame(topic: &str, sequence: u64) -> Frame {
    draft(topic).number(EventId { epoch: Epoch::new(1), sequence }, sequence)
}

/// The set of one topic.
pub(crate) fn join(topics: &mut Topics, name: &str) -> SetIndex {
    topics.join(Interest::Topics(&[name.to_owned()]))
}

/// Histories of at most `events_max` events a topic and of any size.
pub(crate) fn topics(events_max: usize) -> Topics {
    Topics::new(Bounds {
        events_max,
        bytes_max: usize::MAX,
        bytes_total_max: usize::MAX,
        views_bytes_max: usize::MAX,
        age_ns_max: u64::MAX,
        forgotten_max: 1_000,
    })
}

/// One topic with the events `1..=count`.
pub(crate) fn kept(topic: &str, count: u64) -> Topics {
    let mut topics = topics(count as usize);
    (1..=count).for_each(|sequence| topics.append(frame(topic, sequence), |_| {}));
    topics
}
