//! When subscribers are started: by the plan of connects, or as fast as they succeed.

use std::sync::atomic::Ordering;

use super::Reader;
use crate::client::ring::Kind;
use crate::client::socket;
use crate::client::subscriber::{End, Opening, Stage};
use crate::clock;

/// Connects under way on one thread when no rate is asked for: enough to keep a server busy,
/// few enough for its accept queue.
const CONNECTING_MAX: u64 = 128;

/// Connects under way on one thread at most. A plan that outruns the server this far has shown
/// what it was to show; `connect.ready` counts from the planned start all the same.
const CONNECTING_LIMIT: u64 = 4_096;

impl Reader {
    /// When the next subscriber is to be started.
    pub(super) fn next_start(&self) -> u64 {
        let again = self.again.front().map_or(u64::MAX, |&(at_ns, _)| at_ns);
        if self.next >= self.pack.count() || self.connecting >= self.connecting_max() {
            return again;
        }
        again.min(self.planned(self.next))
    }

    pub(super) fn connecting_max(&self) -> u64 {
        if self.pack.connect_rate.is_some() { CONNECTING_LIMIT } else { CONNECTING_MAX }
    }

    /// The planned start of a subscriber's first session.
    pub(super) fn planned(&self, local: usize) -> u64 {
        let offset = self.pack.connect_rate.map_or(0.0, |rate| self.order(local) as f64 / rate);
        self.course.began_ns + (offset * 1e9) as u64
    }

    pub(super) fn start_due(&mut self, now_ns: u64) {
        while self.again.front().is_some_and(|&(at_ns, _)| at_ns <= now_ns) {
            let (at_ns, local) = self.again.pop_front().expect("a front");
            self.start(local as usize, at_ns);
        }
        while self.next < self.pack.count() && self.connecting < self.connecting_max() {
            let planned_ns = self.planned(self.next);
            if planned_ns > now_ns {
                break;
            }
            let planned_ns = if self.pack.connect_rate.is_some() { planned_ns } else { now_ns };
            self.gauges.started.fetch_add(1, Ordering::Relaxed);
            self.next += 1;
            self.start(self.next - 1, planned_ns);
        }
    }

    pub(super) fn start(&mut self, local: usize, planned_ns: u64) {
        let order = self.order(local) as usize;
        let target = order % self.pack.targets.len();
        let source = self.pack.sources.of(order);
        let (ring, slot) = self.slot(local);
        let subscriber = &mut self.subscribers[local];
        subscriber.session = subscriber.session.wrapping_add(1);
        subscriber.has_event = false;
        self.connecting += 1;
        self.gauges.connecting.fetch_add(1, Ordering::Relaxed);
        let mut setup = self.pack.setup;
        if !self.pack.is_slow(order) {
            setup.receive_bytes = None;
        }
        let opened = socket::open(&setup, self.pack.targets[target], source)
            .and_then(|socket| self.rings[ring].install(slot, &socket));
        self.subscribers[local].stage =
            Stage::Connecting(Opening::new(planned_ns, clock::now_ns()));
        match opened {
            Ok(()) => {
                let tag = self.tag(Kind::Connect, local);
                self.rings[ring].connect(slot, target, tag);
            }
            Err(_) => self.finish(local, End::Local),
        }
    }
}
