//! Subscribers that do not simply read: those that read slowly, and those that come and go.

use super::Reader;
use crate::client::ring::{Completion, Kind};
use crate::client::subscriber::End;

/// How often a slow subscriber reads.
const SLOW_READ_NS: u64 = 100_000_000;

impl Reader {
    /// Lets every slow subscriber read its share, some times a second.
    pub(super) fn read_slow(&mut self, now_ns: u64) {
        let Some(slow) = self.pack.slow.filter(|slow| slow.bytes_per_second > 0) else { return };
        if now_ns < self.slow_ns + SLOW_READ_NS {
            return;
        }
        self.slow_ns = now_ns;
        let bytes = slow.bytes_per_second * SLOW_READ_NS / 1_000_000_000;
        for place in 0..self.slow.len() {
            let local = self.slow[place] as usize;
            let (ring, slot) = self.slot(local);
            let tag = self.tag(Kind::Read, local);
            self.rings[ring].read(slot, bytes.clamp(1, u64::from(u32::MAX)) as u32, tag);
        }
    }

    pub(super) fn read_slowly(&mut self, ring: usize, local: usize, completion: &Completion) {
        if let Some(content) = self.rings[ring].content(completion) {
            self.recorder.tally.wire_bytes += content.bytes.len() as u64;
        } else if completion.result != -libc::EAGAIN && completion.result != -libc::ENOBUFS {
            self.finish(local, if completion.result == 0 { End::Closed } else { End::Reset });
        }
    }

    /// Closes subscribers whose lives are over and starts them anew.
    pub(super) fn end_lives(&mut self, now_ns: u64) {
        let Some(lives) = self.lives.as_mut().filter(|_| self.course.start_ns().is_some()) else {
            return;
        };
        let subscribers = self.subscribers.iter().enumerate();
        let open = subscribers.filter(|(_, subscriber)| subscriber.is_open());
        lives.begin(now_ns, open.map(|(local, subscriber)| (local as u32, subscriber.session)));
        while let Some((local, session)) = self.lives.as_mut().and_then(|lives| lives.over(now_ns))
        {
            let subscriber = &self.subscribers[local as usize];
            if subscriber.session == session && subscriber.is_open() {
                self.finish(local as usize, End::Wanted);
                self.again.push_back((now_ns, local));
            }
        }
    }

    /// Closes subscribers at the rate of churn and starts them anew.
    pub(super) fn churn(&mut self, now_ns: u64) {
        let Some(every_ns) = self.pack.churn_every_ns.filter(|_| self.course.start_ns().is_some())
        else {
            return;
        };
        if self.churned_ns == 0 {
            self.churned_ns = now_ns;
        }
        while self.churned_ns + every_ns <= now_ns {
            self.churned_ns += every_ns;
            let local = self.random.usize(..self.pack.count());
            if self.subscribers[local].is_open() {
                self.finish(local, End::Wanted);
                self.again.push_back((now_ns, local as u32));
            }
        }
    }
}
