//! Who is subscribed to the Mercure hub, for its subscription API and events.
//!
//! The idea: a list beside the delivery lane, kept only where `subscriptions` is set. A subscriber
//! enters it before its stream starts, and the lane tells its number when the stream has ended.
//!
//! Invariants: an event tells of each subscription's beginning and of its end, in this order, unless
//! the engine stops in between or the events wait for room in greater number than
//! [`ANNOUNCEMENTS_MAX`]. Its mutex is held for one step, three times in a subscriber's life and once
//! for each list.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Control, hub};
use crate::control::publish::try_hand_in;
use crate::delivery::lane::Lane;
use crate::event::{Event, Form};
use crate::mercure::Version;
use crate::mercure::subscribe::Ask;
use crate::mercure::subscription::{Filter, Subscription};
use crate::mercure::update::HUB_TYPE;
use crate::submission::Drafts;
use crate::token::Rights;

/// Events that wait for room on one worker, at most: what a worker's subscribers may cause by leaving
/// together while the engine is overloaded.
const ANNOUNCEMENTS_MAX: usize = 65_536;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    subscribers: BTreeMap<u64, Vec<Subscription>>,
}

impl Roster {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Each step leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The subscriptions that a filter has, in the order in which they began.
    pub(super) fn list(&self, filter: &Filter) -> Vec<Subscription> {
        let entries = self.entries();
        let all = entries.subscribers.values().flatten();
        all.filter(|subscription| filter.has(subscription)).cloned().collect()
    }
}

/// Enters a subscriber whose stream is about to start, so that whoever has seen the stream's first
/// byte finds it listed; gives the entry's number.
pub(super) fn enter<L>(control: &Control<L>, ask: &Ask, rights: Option<&Rights>) -> u64 {
    let subscriber = uuid();
    let payload = |selector: &str| {
        let payload = rights?.payload_of(selector)?;
        // It was JSON when the token was read.
        serde_json::from_str(payload.get())
            .ok()
            .filter(|value: &serde_json::Value| !value.is_null())
    };
    let subscriptions = ask.wanted.iter().map(|wanted| Subscription {
        version: wanted.version,
        selector: wanted.selector.as_str().to_owned(),
        match_type: wanted.match_type,
        subscriber: subscriber.clone(),
        payload: payload(wanted.selector.as_str()),
    });
    let subscriptions = subscriptions.collect();
    let mut entries = hub(control).roster.entries();
    entries.last += 1;
    let number = entries.last;
    entries.subscribers.insert(number, subscriptions);
    number
}

/// Tells of an entry whose stream has started, and has the lane tell of its end.
pub(super) fn begin<L: Lane>(control: &Rc<Control<L>>, number: u64, slot: u32) {
    let begun = hub(control).roster.entries().subscribers.get(&number).cloned();
    tell(control, &begun.unwrap_or_default(), true);
    control.delivery.borrow_mut().watch_end(slot, number);
}

/// Takes out an entry whose stream could not start. Nobody was told of it.
pub(super) fn withdraw<L>(control: &Control<L>, number: u64) {
    hub(control).roster.entries().subscribers.remove(&number);
}

/// Takes out the subscribers of these numbers, and tells of it.
pub(crate) fn depart<L: Lane>(control: &Rc<Control<L>>, numbers: &[u64]) {
    for number in numbers {
        let gone = hub(control).roster.entries().subscribers.remove(number);
        if let Some(subscriptions) = gone {
            tell(control, &subscriptions, false);
        }
    }
}

/// Publishes an event for each subscription.
fn tell<L: Lane>(control: &Rc<Control<L>>, subscriptions: &[Subscription], active: bool) {
    for subscription in subscriptions {
        let (topic, data) = (subscription.path(), subscription.event(active));
        let event = Event {
            topic: &topic,
            data: &data,
            private: true,
            form: Form::Mercure,
            event: (subscription.version == Version::V1).then_some(HUB_TYPE),
            ..Event::default()
        };
        let mut waiting = control.announcements.borrow_mut();
        // A selector whose path is too long for a topic is not told of.
        if let Ok(draft) = event.encode()
            && waiting.len() < ANNOUNCEMENTS_MAX
        {
            waiting.push_back(draft);
        }
    }
    announce(control);
}

/// Hands in what waits, as far as there is room.
pub(crate) fn announce<L: Lane>(control: &Rc<Control<L>>) {
    loop {
        let Some(draft) = control.announcements.borrow_mut().pop_front() else { return };
        if let Err((_, Drafts::One(draft))) = try_hand_in(control, Drafts::One(draft)) {
            control.announcements.borrow_mut().push_front(draft);
            return;
        }
    }
}

/// A name for a subscriber: a UUID of version 4 (RFC 9562, section 5.4). It is no secret.
fn uuid() -> String {
    let bits = fastrand::u128(..) & !(0xF << 76 | 3 << 62) | 4 << 76 | 2 << 62;
    let group = |shift: u32, bits_count: u32| bits >> shift & ((1 << bits_count) - 1);
    format!(
        "urn:uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        group(96, 32),
        group(80, 16),
        group(64, 16),
        group(48, 16),
        group(0, 48)
    )
}
