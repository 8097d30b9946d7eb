//! The topics of the server: for each its history and who subscribes to it, in order.
//!
//! Invariant: a connection stands in the list of at most one topic, under its arrival there.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::history::{Event, History};
use super::script::Order;

/// All topics, made when they are first named.
#[derive(Debug, Default)]
pub(super) struct Topics {
    topics: BTreeMap<String, Topic>,
    arrivals: u64,
}

#[derive(Debug, Default)]
struct Topic {
    history: History,
    /// Places in the server's table, by arrival.
    subscribers: BTreeMap<u64, usize>,
}

impl Topics {
    /// Appends an event to a topic.
    pub(super) fn accept(
        &mut self,
        topic: &str,
        name: Option<String>,
        data: Vec<u8>,
        events_max: usize,
    ) -> Rc<Event> {
        self.topic(topic).history.accept(name, data, events_max)
    }

    pub(super) fn history(&mut self, topic: &str) -> &History {
        &self.topic(topic).history
    }

    /// Adds a subscriber behind all others and returns its arrival, the key to remove it by.
    pub(super) fn subscribe(&mut self, topic: &str, place: usize) -> u64 {
        self.arrivals += 1;
        let arrival = self.arrivals;
        self.topic(topic).subscribers.insert(arrival, place);
        arrival
    }

    pub(super) fn unsubscribe(&mut self, topic: &str, arrival: u64) {
        self.topic(topic).subscribers.remove(&arrival);
    }

    /// Fills `places` with the subscribers of a topic, in the order in which to serve them.
    pub(super) fn serve_order(&self, topic: &str, order: Order, places: &mut Vec<usize>) {
        places.clear();
        let Some(topic) = self.topics.get(topic) else {
            return;
        };
        match order {
            Order::First => places.extend(topic.subscribers.values()),
            Order::Last => places.extend(topic.subscribers.values().rev()),
        }
    }

    /// Fills `places` with every subscriber of every topic.
    pub(super) fn all_subscribers(&self, places: &mut Vec<usize>) {
        places.clear();
        places.extend(self.topics.values().flat_map(|topic| topic.subscribers.values()));
    }

    fn topic(&mut self, name: &str) -> &mut Topic {
        if !self.topics.contains_key(name) {
            self.topics.insert(name.to_owned(), Topic::default());
        }
        self.topics.get_mut(name).expect("just inserted")
    }
}
