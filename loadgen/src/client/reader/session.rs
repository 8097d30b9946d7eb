//! A session from its connect to its end: what each completion means for it.

use std::sync::atomic::Ordering;

use super::{RETRY_NS, Reader};
use crate::client::record::Place;
use crate::client::ring::{Completion, Kind};
use crate::client::subscriber::{End, Progress, Stage};
use crate::client::tally::enter;
use crate::clock;
use crate::decoder::Item;

impl Reader {
    pub(super) fn connected(&mut self, local: usize) {
        let now_ns = clock::now_ns();
        let (ring, slot) = self.slot(local);
        let subscriber = &mut self.subscribers[local];
        let since_ns = subscriber.opening().map_or(now_ns, |opening| opening.since_ns);
        enter(&mut self.recorder.tally.connects.tcp, now_ns.saturating_sub(since_ns));
        subscriber.connected();
        self.request.clear();
        let order = self.order(local);
        let topic = self.pack.topic(order as usize);
        self.pack.request.write(topic, self.pack.first + order, &mut self.request);
        let (send, receive) = (self.tag(Kind::Send, local), self.tag(Kind::Receive, local));
        self.rings[ring].send(slot, &self.request, send);
        if self.pack.is_slow(order as usize) {
            // A slow subscriber counts as connected, and for nothing else: when it gets an event
            // is its own doing. Whether it is open only its reading would show, and a stopped
            // one never reads.
            let subscriber = &mut self.subscribers[local];
            subscriber.stage = Stage::Slow;
            subscriber.opened_ns = since_ns;
            self.connecting -= 1;
            self.gauges.connecting.fetch_sub(1, Ordering::Relaxed);
            self.gauges.up.fetch_add(1, Ordering::Relaxed);
            self.slow.push(local as u32);
        } else {
            self.rings[ring].receive(slot, receive);
        }
    }

    pub(super) fn received(&mut self, ring: usize, local: usize, completion: &Completion) {
        let Some(content) = self.rings[ring].content(completion) else {
            return self.nothing_received(local, completion);
        };
        let read_ns = self.harvested_ns;
        let bytes = content.bytes.len() as u64;
        let order = self.order(local);
        let subscriber = &mut self.subscribers[local];
        let opening_ns = subscriber.opening().map(|one| (one.planned_ns, one.since_ns));
        if let Some((planned_ns, since_ns)) = opening_ns {
            if subscriber.is_unanswered() {
                let ttfb_ns = read_ns.saturating_sub(since_ns);
                enter(&mut self.recorder.tally.connects.ttfb, ttfb_ns);
            }
            // In case that this is what opens the stream.
            subscriber.opened_ns = read_ns;
            let ready_us = read_ns.saturating_sub(planned_ns) / 1_000;
            subscriber.ready_us = u32::try_from(ready_us).unwrap_or(u32::MAX);
        }
        let place = Place {
            local,
            order,
            topic: self.pack.topic(order as usize),
            opened_ns: subscriber.opened_ns,
            read_ns,
            stamp_ns: content.stamp_ns,
        };
        let recorder = &mut self.recorder;
        let mut events = 0;
        let progress = subscriber.take(content.bytes, |item| {
            if let Item::Event { name, data } = item {
                events += 1;
                recorder.event(&place, name, data);
            }
        });
        recorder.tally.wire_bytes += bytes;
        let bank = recorder.bank_now();
        bank.wire_bytes += bytes;
        bank.coalesced_reads += u64::from(events > 1);
        if events > 0 {
            self.gauges.unique.store(recorder.unique, Ordering::Relaxed);
            self.gauges.late.store(recorder.late_count, Ordering::Relaxed);
            if !subscriber.has_event {
                subscriber.has_event = true;
                let ready_ns = u64::from(subscriber.ready_us) * 1_000;
                let first_ns = read_ns.saturating_sub(subscriber.opened_ns) + ready_ns;
                enter(&mut recorder.tally.connects.first_event, first_ns);
            }
        }
        match progress {
            Progress::Opened => {
                self.opened(local, opening_ns.map_or(read_ns, |(planned_ns, _)| planned_ns));
                if self.subscribers[local].is_over() {
                    return self.finish(local, End::Closed);
                }
            }
            Progress::Ended(end) => return self.finish(local, end),
            Progress::Going => {}
        }
        if !completion.more {
            self.receive_again(local);
        }
    }

    fn nothing_received(&mut self, local: usize, completion: &Completion) {
        match completion.result {
            // All buffers were taken: they are back by the next turn.
            result if result == -libc::ENOBUFS => {
                let (ring, slot) = self.slot(local);
                let tag = self.tag(Kind::Receive, local);
                self.rings[ring].receive_in_turn(slot, tag);
            }
            result if result < 0 => self.finish(local, end_of(-result)),
            // A stamped receive of nothing still has a header, so 0 and a bare header are both
            // the end of the stream.
            _ => {
                let end = self.subscribers[local].end_of_input();
                self.finish(local, end);
            }
        }
    }

    fn receive_again(&mut self, local: usize) {
        let (ring, slot) = self.slot(local);
        let tag = self.tag(Kind::Receive, local);
        self.rings[ring].receive(slot, tag);
    }

    fn opened(&mut self, local: usize, planned_ns: u64) {
        if let Some(lives) = &mut self.lives {
            lives.opened(self.harvested_ns, local as u32, self.subscribers[local].session);
        }
        let connects = &mut self.recorder.tally.connects;
        enter(&mut connects.ready, self.harvested_ns.saturating_sub(planned_ns));
        connects.opened += 1;
        self.connecting -= 1;
        self.gauges.connecting.fetch_sub(1, Ordering::Relaxed);
        self.gauges.up.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a session. A stream that was open is not opened again, unless this program closed
    /// it; a connect that failed is tried again while subscribers are still coming up.
    pub(super) fn finish(&mut self, local: usize, end: End) {
        let now_ns = clock::now_ns();
        let (ring, slot) = self.slot(local);
        let receive = self.tag(Kind::Receive, local);
        self.rings[ring].close(slot, receive);
        let subscriber = &mut self.subscribers[local];
        let (was_open, opened_ns) = (subscriber.is_open(), subscriber.opened_ns);
        let was_slow = matches!(subscriber.stage, Stage::Slow);
        subscriber.stage = Stage::Idle;
        subscriber.session = subscriber.session.wrapping_add(1);
        if was_slow {
            self.slow.retain(|&one| one as usize != local);
            self.gauges.up.fetch_sub(1, Ordering::Relaxed);
            if end != End::Wanted {
                self.recorder.slow_cut_ns.push(now_ns.saturating_sub(opened_ns));
            }
            return;
        }
        if was_open {
            self.gauges.up.fetch_sub(1, Ordering::Relaxed);
            let session = self.session(local, opened_ns);
            self.recorder.end_session(session, now_ns, false);
            if end != End::Wanted {
                self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
                let bank = self.recorder.bank_now();
                bank.malformed += u64::from(matches!(end, End::Malformed | End::Cut));
                *bank.disconnects.entry(end.reason()).or_default() += 1;
            }
            return;
        }
        self.connecting -= 1;
        self.gauges.connecting.fetch_sub(1, Ordering::Relaxed);
        self.gauges.failed.fetch_add(1, Ordering::Relaxed);
        self.recorder.tally.connects.fail(end);
        if self.pack.retry {
            self.again.push_back((now_ns + RETRY_NS, local as u32));
        } else {
            self.gauges.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What an errno of a connect, a send or a receive means for the session.
pub(super) fn end_of(errno: i32) -> End {
    match errno {
        libc::ECONNREFUSED => End::Refused,
        libc::ECONNRESET | libc::EPIPE => End::Reset,
        libc::ETIMEDOUT => End::Timeout,
        _ => End::Local,
    }
}
