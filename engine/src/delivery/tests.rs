//! The order in which subscribers are served, and what a turn may cost.

use std::cmp::Reverse;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use super::lane::{Outcome, Outgoing};
use super::plan::{BYTES_MAX, SENDS_MAX};
use super::survey::{ListenerSurvey, SubscriberSurvey, TopicSurvey};
use super::*;
use crate::event::{Epoch, Event, EventId};

/// A kernel that takes everything, and remembers to whom it was sent.
#[derive(Debug, Default)]
struct Recorder {
    sent: Vec<u32>,
    bytes: usize,
}

impl Lane for Recorder {
    fn attach(&mut self, _slot: u32, _socket: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }

    fn send(&mut self, sends: &[Outgoing<'_>], _short: &mut dyn FnMut(usize, Outcome)) {
        for send in sends {
            self.sent.push(send.slot);
            self.bytes += send.buffers.iter().map(|buffer| buffer.len()).sum::<usize>();
        }
    }

    fn harvest(&mut self, _woken: &mut Vec<Woken>) {}

    fn close(&mut self, _slot: u32) {}
}

struct Rig {
    delivery: Delivery<Recorder>,
    sequence: u64,
}

impl Rig {
    fn new(heartbeat_ticks: u32, drain_ns: u64) -> Rig {
        let settings = DeliverySettings {
            subscribers_max: 200_000,
            heartbeat_ticks,
            write_timeout_ticks: 100,
            drain_ns,
            ..DeliverySettings::with_history(1, 1000)
        };
        let limits = Arc::new(Limits::new(200_000, 0, 0));
        let lane = Recorder::default();
        let delivery = Delivery::new(settings, lane, Arc::new(Stats::new(1)), 0, limits);
        Rig { delivery, sequence: 0 }
    }

    fn subscribe(&mut self, topic: &str) -> u32 {
        self.subscribe_until(topic, None)
    }

    /// A subscriber whose stream ends at this time, if at any.
    fn subscribe_until(&mut self, topic: &str, ends_ns: Option<u64>) -> u32 {
        let term = ends_ns.map(|ends_ns| Term { ends_ns, token: None });
        self.subscribe_to(&[topic.to_owned()], term)
    }

    fn subscribe_to(&mut self, names: &[String], term: Option<Term>) -> u32 {
        let slot = self.delivery.slots.vacant().expect("there is room");
        let resume = self.delivery.topics().resume_live(0);
        let pass = self.delivery.limits.enter(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("no limit");
        let socket = io::stderr();
        let (socket, greeting) = (socket.as_fd(), Bytes::from_static(b":\n\n"));
        let subscribed =
            self.delivery.subscribe(Interest::Topics(names), &resume, socket, pass, greeting, term);
        subscribed.expect("there is room");
        self.delivery.lane = Recorder::default();
        slot
    }

    fn publish(&mut self, topic: &str, data: &str) {
        self.sequence += 1;
        let event = Event { topic, data, ..Event::default() };
        let id = EventId { epoch: Epoch::new(1), sequence: self.sequence };
        assert!(self.delivery.ingest(&event.encode().expect("valid").number(id, 0)));
    }

    /// Sends of one turn, in order.
    fn turn(&mut self, now_ns: u64) -> Vec<u32> {
        self.delivery.turn(|| now_ns);
        std::mem::take(&mut self.delivery.lane.sent)
    }
}

#[test]
fn a_small_topic_waits_for_a_quantum_of_each_broadcast_and_no_longer() {
    let mut rig = Rig::new(0, 1);
    for _ in 0..3 {
        (0..20_000).for_each(|_| _ = rig.subscribe("hot-1"));
        (0..20_000).for_each(|_| _ = rig.subscribe("hot-2"));
    }
    let small: Vec<u32> = (0..QUANTUM).map(|_| rig.subscribe("small")).collect();
    rig.publish("hot-1", "x");
    rig.publish("hot-2", "x");
    // The broadcasts are well under way when the small topic has an event.
    (0..10).for_each(|_| _ = rig.turn(0));
    rig.publish("small", "x");
    let mut before = 0;
    let mut waiting: Vec<u32> = small;
    while !waiting.is_empty() {
        for slot in rig.turn(0) {
            let place = waiting.iter().position(|other| *other == slot);
            match place {
                Some(place) => _ = waiting.swap_remove(place),
                None if !waiting.is_empty() => before += 1,
                None => {}
            }
        }
    }
    assert!(before <= 2 * QUANTUM, "{before} sends of two broadcasts went first");
}

#[test]
fn a_hundred_thousand_small_topics_do_not_hold_up_each_other_or_a_broadcast() {
    let mut rig = Rig::new(0, 1);
    let hot: Vec<u32> = (0..1_000).map(|_| rig.subscribe("hot")).collect();
    let names: Vec<String> = (0..100_000).map(|topic| format!("t{topic}")).collect();
    names.iter().for_each(|name| _ = rig.subscribe(name));
    names.iter().for_each(|name| rig.publish(name, "x"));
    rig.publish("hot", "x");
    let mut served = vec![0u32; 101_000];
    while rig.delivery.queue.front().is_some() {
        let sent = rig.turn(0);
        assert!(sent.len() <= SENDS_MAX);
        sent.into_iter().for_each(|slot| served[slot as usize] += 1);
    }
    assert!(served.iter().all(|times| *times == 1), "each subscriber was served once");
    assert_eq!(hot.len() + names.len(), served.len());
}

#[test]
fn subscribers_that_catch_up_leave_half_of_each_turn_to_the_sweep() {
    let mut rig = Rig::new(0, 1);
    let live: Vec<u32> = (0..1_000).map(|_| rig.subscribe("live")).collect();
    (0..50).for_each(|_| rig.publish("old", "x"));
    for _ in 0..5_000 {
        let slot = rig.subscribe("old");
        rig.delivery.slots[slot].cursor.sequence = 0;
        rig.delivery.set_behind(slot);
    }
    rig.publish("live", "x");
    let sent = rig.turn(0);
    let swept = sent.iter().filter(|slot| live.contains(slot)).count();
    assert!(swept >= QUANTUM && sent.len() - swept >= SENDS_MAX / 2, "{swept} of {}", sent.len());
}

#[test]
fn large_replays_leave_half_of_each_turn_to_the_sweep_too() {
    let mut rig = Rig::new(0, 1);
    let live = rig.subscribe("live");
    (0..100).for_each(|_| rig.publish("old", &"x".repeat(10_000)));
    for _ in 0..500 {
        let slot = rig.subscribe("old");
        rig.delivery.slots[slot].cursor.sequence = 0;
        rig.delivery.set_behind(slot);
    }
    rig.publish("live", "x");
    assert!(rig.turn(0).contains(&live));
    assert!(rig.delivery.lane.bytes <= 3 * BYTES_MAX / 2, "{}", rig.delivery.lane.bytes);
}

#[test]
fn what_outran_the_sweep_goes_out_in_one_send() {
    let mut rig = Rig::new(0, 1);
    (0..10).for_each(|_| _ = rig.subscribe("t"));
    (0..400).for_each(|_| rig.publish("t", "x"));
    assert_eq!(rig.turn(0).len(), 10);
    assert_eq!(rig.delivery.stats().deliveries.get(), 4_000);
    assert_eq!(rig.delivery.plan.batches.len(), 1, "planned once for all of them");
    assert_eq!(rig.turn(0), [] as [u32; 0]);
}

#[test]
fn heartbeats_go_to_the_quiet_only_and_are_spread() {
    let mut rig = Rig::new(40, 1);
    (0..2_000).for_each(|_| _ = rig.subscribe("quiet"));
    let busy = rig.subscribe("busy");
    let mut times = Vec::new();
    for tick in 1..60u64 {
        let now_ns = tick * TICK_NS;
        rig.delivery.advance(now_ns);
        rig.publish("busy", "x");
        let mut count = 0;
        loop {
            let more = rig.delivery.turn(|| now_ns);
            let sent = std::mem::take(&mut rig.delivery.lane.sent);
            count += sent.iter().filter(|slot| **slot != busy).count();
            if !more {
                break;
            }
        }
        times.push(count);
    }
    let total: usize = times.iter().sum();
    assert_eq!(total, 2_000, "each quiet subscriber had one: {times:?}");
    assert_eq!(rig.delivery.stats().heartbeats.get(), 2_000);
    assert!(times.iter().all(|count| *count <= 400), "not all at once: {times:?}");
    assert!(times[..29].iter().all(|count| *count == 0), "none before its time: {times:?}");
}

#[test]
fn a_drain_is_spread_over_its_time_and_ends_in_it() {
    let mut rig = Rig::new(0, 10 * 1_000_000_000);
    (0..100_000).for_each(|_| _ = rig.subscribe("t"));
    rig.delivery.drain(0);
    let mut left = Vec::new();
    for tick in 0..=100u64 {
        while rig.delivery.turn(|| tick * TICK_NS) {}
        left.push(rig.delivery.slots.count());
    }
    assert_eq!(left.last(), Some(&0));
    assert!(rig.delivery.is_drained());
    let most = left.windows(2).map(|pair| pair[0] - pair[1]).max().expect("steps");
    assert!(most <= 1_500, "at most 1.5 times an even share a tick: {most}");
    let drained = rig.delivery.stats().closed[CloseReason::Drained as usize].get();
    assert_eq!(drained, 100_000);
}

/// How many streams are open after the turns that are due at this time.
fn open_at(rig: &mut Rig, now_ns: u64) -> usize {
    rig.delivery.advance(now_ns);
    while rig.delivery.turn(|| now_ns) {}
    rig.delivery.count()
}

#[test]
fn streams_end_before_their_time_and_not_all_at_once() {
    let mut rig = Rig::new(0, 1);
    const END_NS: u64 = 3_600_000_000_000;
    (0..1_000).for_each(|_| _ = rig.subscribe_until("t", Some(END_NS)));
    (0..10).for_each(|_| _ = rig.subscribe("t"));
    let first_ns = END_NS - super::END_SPREAD_NS;
    assert_eq!(open_at(&mut rig, first_ns - 1), 1_010, "nobody is sent away sooner");
    let half = open_at(&mut rig, END_NS - super::END_SPREAD_NS / 2);
    assert!((400..620).contains(&half), "{half}");
    assert_eq!(open_at(&mut rig, END_NS), 10, "nobody with a term stays");
    let closed = &rig.delivery.stats().closed[CloseReason::Expired as usize];
    assert_eq!(closed.get(), 1_000);
}

#[test]
fn a_short_term_keeps_four_fifths_of_its_time() {
    let mut rig = Rig::new(0, 1);
    (0..1_000).for_each(|_| _ = rig.subscribe_until("t", Some(10_000_000_000)));
    assert_eq!(open_at(&mut rig, 7_999_999_999), 1_000);
    assert_eq!(open_at(&mut rig, 10_000_000_000), 0);
}

#[test]
fn no_amount_of_events_keeps_a_stream_open() {
    let mut rig = Rig::new(0, 1);
    let ending = rig.subscribe_until("busy", Some(1_000_000_000));
    (0..5_000).for_each(|_| _ = rig.subscribe("busy"));
    let mut sends = 0;
    // There is never a turn without events to send.
    for now_ns in [999_999_999, 1_000_000_000] {
        rig.publish("busy", "x");
        rig.publish("busy", "y");
        let sent = rig.turn(now_ns);
        sends += sent.iter().filter(|slot| **slot == ending).count();
    }
    assert_eq!(rig.delivery.count(), 5_000);
    assert!((1..=2).contains(&sends), "its last word, and an event before it perhaps: {sends}");
    // The slot is another's now, who has no end.
    assert_eq!(rig.subscribe("busy"), ending);
    assert_eq!(open_at(&mut rig, 60_000_000_000), 5_001);
}

/// Steps a survey to its end; gives what it has found, and in how many slices.
fn finish<T>(mut step: impl FnMut() -> Option<T>) -> (T, usize) {
    for slices in 1.. {
        if let Some(report) = step() {
            return (report, slices);
        }
    }
    unreachable!("a survey ends")
}

#[test]
fn a_listing_of_topics_is_made_in_slices_and_has_those_with_most_subscribers() {
    let mut rig = Rig::new(0, 1);
    let mut random = fastrand::Rng::with_seed(1);
    let mut listed: Vec<(Reverse<usize>, String)> = Vec::new();
    for number in 0..10_000 {
        let name = format!("{}/{number}", if number % 4 == 0 { "other" } else { "topic" });
        let count = random.usize(0..3);
        (0..count).for_each(|_| _ = rig.subscribe(&name));
        if count == 0 || number % 2 == 0 {
            rig.publish(&name, "x");
        }
        listed.push((Reverse(count), name));
    }
    listed.retain(|(_, name)| name.starts_with("topic/"));
    listed.sort();
    for count_max in [1, 100, 10_000] {
        let mut survey = TopicSurvey::new("topic/".into(), count_max);
        let (report, slices) = finish(|| survey.step(&rig.delivery));
        assert!(slices >= 10_000 / 2_048, "{slices}");
        let mut rows = report.topics;
        rows.sort_unstable_by(|a, b| b.cmp(a));
        let rows: Vec<_> = rows.into_iter().map(|r| (Reverse(r.subscribers), r.name.0)).collect();
        assert_eq!(rows, listed[..count_max.min(listed.len())]);
        assert_eq!(report.kept + report.unkept.iter().flatten().count(), listed.len());
    }
}

/// A topic that many have beside one of their own is in as many sets.
#[test]
fn subscribers_of_a_topic_in_many_sets_are_counted_over_slices() {
    let mut rig = Rig::new(0, 1);
    for number in 0..5_000 {
        rig.subscribe_to(&["news".into(), format!("users/{number}")], None);
    }
    let mut survey = TopicSurvey::new("n".into(), 10);
    let (report, slices) = finish(|| survey.step(&rig.delivery));
    assert_eq!((report.topics.len(), report.topics[0].subscribers), (1, 5_000));
    assert!(slices > 3, "{slices}");
    let names = [("news".to_owned(), false), ("users/7".into(), false), ("nobody".into(), false)];
    let mut survey = ListenerSurvey::new(Arc::new(names));
    let (counts, slices) = finish(|| survey.step(&rig.delivery));
    assert_eq!(counts, [5_000, 1, 0]);
    assert!(slices >= 3, "{slices}");
}

#[test]
fn a_listing_of_subscribers_is_made_in_slices_and_has_those_furthest_behind() {
    let mut rig = Rig::new(0, 1);
    for topic in 0..10 {
        (0..1_000).for_each(|_| _ = rig.subscribe(&format!("t{topic}")));
    }
    // Nothing is sent yet, so that a topic's subscribers are behind by its events.
    for topic in 0..10 {
        (0..topic).for_each(|_| rig.publish(&format!("t{topic}"), "x"));
    }
    let gone = 9_500;
    rig.delivery.close(gone, CloseReason::PeerClosed);
    let mut survey = SubscriberSurvey::new(1_500);
    let (report, slices) = finish(|| survey.step(&rig.delivery));
    assert!(slices > 4, "{slices}");
    assert_eq!(report.count, 9_999);
    let lags = |lag: u32| report.subscribers.iter().filter(|row| row.lag == lag).count();
    assert_eq!((lags(9), lags(8), report.subscribers.len()), (999, 501, 1_500));
    assert!(report.subscribers.iter().all(|row| row.slot != gone));
}
