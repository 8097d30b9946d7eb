//! The delivery lane over a kernel that takes everything and costs nothing: what is left is the
//! planning, which the benches measure. Like the rig of the fuzz targets it is no part of an engine.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use super::lane::{Outcome, Outgoing};
use super::survey::TopicSurvey;
use super::*;
use crate::event::{Epoch, Event, EventId};
use crate::stream;

/// Which life of the engine the ids name.
const EPOCH: u64 = 0xabc;
/// Data of each event, in bytes.
const DATA_BYTES: usize = 100;
/// Events kept of each topic: enough for one under way.
const KEPT: usize = 16;

/// The kernel; it counts.
#[derive(Debug, Default)]
struct Taken {
    buffers: u64,
}

impl Lane for Taken {
    fn attach(&mut self, _slot: u32, _socket: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn send(&mut self, sends: &[Outgoing<'_>], _short: &mut dyn FnMut(usize, Outcome)) {
        self.buffers += sends.iter().map(|send| send.buffers.len() as u64).sum::<u64>();
    }

    fn harvest(&mut self, _woken: &mut Vec<Woken>) {}

    fn close(&mut self, _slot: u32) {}
}

/// A worker's subscribers and topics.
#[derive(Debug)]
pub struct Broadcasts {
    delivery: Delivery<Taken>,
    topics: Vec<String>,
    data: String,
    sequence: u64,
}

impl Broadcasts {
    /// `topic_count` topics with `subscribers_each` subscribers each; their slots alternate between
    /// the topics, as those of subscribers do that come by chance.
    ///
    /// # Panics
    /// When there are more than the engine takes.
    #[must_use]
    pub fn new(topic_count: usize, subscribers_each: usize) -> Broadcasts {
        let subscribers_max = topic_count * subscribers_each;
        let settings = DeliverySettings {
            subscribers_max,
            heartbeat_ticks: 0,
            write_timeout_ticks: u32::MAX,
            pinned_bytes_max: 1 << 20,
            ..DeliverySettings::with_history(EPOCH, KEPT)
        };
        let limits = Arc::new(Limits::new(subscribers_max, 0, 0));
        let stats = Arc::new(Stats::new(1));
        let mut delivery = Delivery::new(settings, Taken::default(), stats, 0, limits);
        let topics: Vec<String> = (0..topic_count).map(|number| format!("t{number}")).collect();
        for _ in 0..subscribers_each {
            topics.iter().for_each(|topic| join(&mut delivery, topic));
        }
        Broadcasts { delivery, topics, data: "x".repeat(DATA_BYTES), sequence: 0 }
    }

    /// Publishes an event to the topic of this number and delivers it to all; gives the turns that
    /// took.
    ///
    /// # Panics
    /// When there is no such topic.
    pub fn broadcast(&mut self, topic: usize) -> u32 {
        self.sequence += 1;
        let event = Event { topic: &self.topics[topic], data: &self.data, ..Event::default() };
        let id = EventId { epoch: Epoch::new(EPOCH), sequence: self.sequence };
        let frame = event.encode().expect("it is a valid event").number(id, 0);
        assert!(self.delivery.ingest(&frame), "nobody is behind");
        let mut turns = 1;
        while self.delivery.turn(|| 0) {
            turns += 1;
        }
        turns
    }

    /// Buffers of all sends so far.
    #[must_use]
    pub fn buffers(&self) -> u64 {
        self.delivery.lane.buffers
    }
}

/// A worker with many topics, which somebody asks to be listed.
#[derive(Debug)]
pub struct Listing {
    delivery: Delivery<Taken>,
    survey: TopicSurvey,
}

impl Listing {
    /// So many topics with an event and a subscriber each.
    ///
    /// # Panics
    /// When there are more than the engine takes.
    #[must_use]
    pub fn new(topic_count: usize) -> Listing {
        let mut broadcasts = Broadcasts::new(topic_count, 1);
        (0..topic_count).for_each(|topic| _ = broadcasts.broadcast(topic));
        Listing { delivery: broadcasts.delivery, survey: TopicSurvey::new(String::new(), 100) }
    }

    /// What a worker does of it between two turns; true when it was the last slice, and the next
    /// one begins anew.
    pub fn slice(&mut self) -> bool {
        let is_last = self.survey.step(&self.delivery).is_some();
        if is_last {
            self.survey = TopicSurvey::new(String::new(), 100);
        }
        is_last
    }
}

fn join(delivery: &mut Delivery<Taken>, topic: &str) {
    let pass = delivery.limits.enter(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("there is room");
    let topics = [topic.to_owned()];
    let resume = delivery.topics.resume_live(0);
    let greeting = stream::greeting(1000, None).into();
    let socket = io::stderr();
    let interest = Interest::Topics(&topics);
    let joined = delivery.subscribe(interest, &resume, socket.as_fd(), pass, greeting, None);
    joined.expect("there is a slot for every pass");
}

/// The walk of a sweep over the subscribers of one set, without what is sent to them.
#[derive(Debug, Default)]
pub struct Walk {
    audience: Audience,
    head: u64,
}

impl Walk {
    /// Over so many subscribers.
    #[must_use]
    pub fn new(subscribers: u32) -> Walk {
        let mut walk = Walk::default();
        (0..subscribers).for_each(|slot| _ = walk.audience.join(slot));
        walk
    }

    /// One cycle; gives the number of visits.
    pub fn cycle(&mut self) -> u64 {
        self.head += 1;
        self.audience.begin(self.head);
        let mut visits = 0;
        while let Some(slot) = self.audience.visit() {
            std::hint::black_box(slot);
            visits += 1;
        }
        visits
    }

    /// The subscriber at `place` leaves and another comes.
    pub fn change(&mut self, place: u32) {
        self.audience.leave(place);
        self.audience.join(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_one_buffer_to_each_subscriber_of_its_topic() {
        let mut broadcasts = Broadcasts::new(3, 300);
        let greeted = broadcasts.buffers();
        assert_eq!(greeted, 900);
        broadcasts.broadcast(1);
        assert_eq!(broadcasts.buffers() - greeted, 300);
    }

    #[test]
    fn a_listing_goes_on_by_slices_to_its_end() {
        let mut listing = Listing::new(5_000);
        let slices = (1..).find(|_| listing.slice()).expect("it ends");
        assert!(slices > 2, "{slices}");
    }

    #[test]
    fn a_walk_visits_all_in_every_cycle() {
        let mut walk = Walk::new(100);
        for _ in 0..3 {
            assert_eq!(walk.cycle(), 100);
            walk.change(7);
        }
    }
}
