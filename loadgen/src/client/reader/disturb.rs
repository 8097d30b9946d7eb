//! Subscribers that do not simply read: those that read slowly, and those that come and go.

use super::Reader;
use crate::client::ring::{Completion, Kind};
use crate::client::subscriber::End;
use crate::clock;

/// How often a slow subscriber reads.
const SLOW_READ_NS: u64 = 100_000_000;

/// Longest wait for what the kernel says at once.
const UNREAD_NS_MAX: u64 = 1_000_000_000;

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

    /// Bytes that the slow subscribers have left unread in this machine's socket buffers: neither
    /// delivered nor lost. To be asked when nothing else is read any more; `None` if the kernel
    /// does not say.
    pub(super) fn unread_bytes(&mut self) -> Option<u64> {
        let asked = self.slow.len();
        for place in 0..asked {
            let local = self.slow[place] as usize;
            let (ring, slot) = self.slot(local);
            let tag = self.tag(Kind::Unread, local);
            self.rings[ring].inquire(slot, tag);
        }
        let (mut bytes, mut answered, mut known) = (0, 0, true);
        let deadline_ns = clock::now_ns() + UNREAD_NS_MAX;
        let mut harvest = Vec::new();
        while answered < asked && clock::now_ns() < deadline_ns {
            for ring in &mut self.rings {
                ring.wait(UNREAD_NS_MAX / 100, 0);
                ring.harvest(&mut harvest);
                for completion in harvest.drain(..) {
                    if completion.tag.kind == Kind::Unread {
                        answered += 1;
                        known &= completion.result >= 0;
                        bytes += u64::try_from(completion.result).unwrap_or(0);
                    }
                    completion.buffer.into_iter().for_each(|buffer| ring.recycle(buffer));
                }
            }
        }
        (known && answered == asked).then_some(bytes)
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
