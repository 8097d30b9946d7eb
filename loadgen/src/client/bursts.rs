//! Events that were sent apart and arrive together.
//!
//! The idea: something between publisher and subscriber that gathers bytes (a proxy that buffers,
//! a compressor, a server that coalesces) turns an even stream into bursts. Two successive events
//! at one subscriber are **spaced** if they were sent at least [`SPACED_NS_MIN`] apart, and
//! **bunched** if they then arrived within a tenth of that. The time between the beginnings of two
//! bursts is the period of whatever gathers them.
//!
//! Every subscriber would tell the same, so a thread follows [`FOLLOWED_MAX`] of them, spread over
//! all. Sends count as they really were, so that a late publisher makes no bursts.
//!
//! It knows nothing of whose doing a burst is. This program makes some itself when it is late to
//! read: several events of one read have the stamp of the last.

use super::tally::{Bank, enter};

/// Subscribers of a thread that are followed: 32 KB.
const FOLLOWED_MAX: usize = 1_024;

/// Sends at least so far apart are an even stream to everybody who reads it: many times what a
/// wake-up costs.
const SPACED_NS_MIN: u64 = 5_000_000;

/// How much closer than they were sent bunched events arrive.
const BUNCHED_FACTOR: u64 = 10;

/// The followed subscribers of one thread.
#[derive(Debug)]
pub(super) struct Bursts {
    /// One in `2^shift` subscribers is followed: a power of two, because every delivery asks.
    shift: u32,
    last: Vec<Last>,
}

/// The event that a subscriber received last.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// When it was sent; 0 before the first.
    sent_ns: u64,
    received_ns: u64,
    /// When the burst began that it belongs to, alone or not.
    began_ns: u64,
    /// Whether it came together with the one before.
    is_bunched: bool,
}

impl Bursts {
    pub(super) fn new(subscribers: usize) -> Bursts {
        let stride = subscribers.div_ceil(FOLLOWED_MAX).next_power_of_two();
        let last = vec![Last::default(); subscribers.div_ceil(stride)];
        Bursts { shift: stride.trailing_zeros(), last }
    }

    /// Enters a delivery, if its subscriber is followed.
    pub(super) fn enter(&mut self, local: usize, sent_ns: u64, received_ns: u64, bank: &mut Bank) {
        let place = local >> self.shift;
        if place << self.shift != local {
            return;
        }
        let last = &mut self.last[place];
        let sent_apart_ns = sent_ns.saturating_sub(last.sent_ns);
        let is_first = last.sent_ns == 0;
        if !is_first && sent_apart_ns < SPACED_NS_MIN {
            // Sent together: whether it arrives so says nothing.
            *last = Last { sent_ns, received_ns, ..*last };
            return;
        }
        let apart_ns = received_ns.saturating_sub(last.received_ns);
        let is_bunched = !is_first && apart_ns < sent_apart_ns / BUNCHED_FACTOR;
        if !is_first {
            bank.spaced += 1;
            bank.bunched += u64::from(is_bunched);
            if last.is_bunched && !is_bunched {
                enter(&mut bank.burst, received_ns.saturating_sub(last.began_ns));
            }
        }
        let began_ns = if is_bunched { last.began_ns } else { received_ns };
        *last = Last { sent_ns, received_ns, began_ns, is_bunched };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// What is counted of events (sent, received), in milliseconds.
    fn counted(events: impl Iterator<Item = (u64, u64)>) -> Bank {
        let (mut bursts, mut bank) = (Bursts::new(1), Bank::default());
        for (sent, received) in events {
            bursts.enter(0, 1 + sent * MS, 1 + received * MS, &mut bank);
        }
        bank
    }

    #[test]
    fn an_even_stream_has_no_bursts_however_late_it_is() {
        let bank = counted((0..100).map(|k| (k * 10, k * 10 + 250)));
        assert_eq!((bank.spaced, bank.bunched, bank.burst.len()), (99, 0, 0));
    }

    #[test]
    fn a_proxy_that_flushes_every_so_often_shows_its_period() {
        for period in [50u64, 100, 1_000] {
            let bank = counted((0..1_000u64).map(|k| (k * 10, (k * 10).div_ceil(period) * period)));
            assert_eq!(bank.spaced, 999);
            let bursts = 10_000 / period;
            assert!(bank.bunched.abs_diff(999 - bursts) <= 2, "{period}: {}", bank.bunched);
            let middle = bank.burst.value_at_quantile(0.5);
            assert!(middle.abs_diff(period * MS) < period * MS / 100, "{period}: {middle}");
        }
    }

    #[test]
    fn what_was_sent_together_says_nothing() {
        let bank = counted((0..100).map(|k| (k / 10 * 10, k / 10 * 10 + 1)));
        assert_eq!((bank.spaced, bank.bunched), (9, 0));
        assert_eq!(counted((0..100).map(|k| (k, k / 20 * 20))).spaced, 0);
    }

    #[test]
    fn a_bounded_number_of_subscribers_is_followed() {
        let (mut bursts, mut bank) = (Bursts::new(10_000), Bank::default());
        for at in [0, 10, 20] {
            (0..10_000).for_each(|local| {
                bursts.enter(local, 1 + at * MS, 1 + at * MS, &mut bank);
            });
        }
        // Of 10,000 every sixteenth.
        assert_eq!((bank.spaced, bursts.last.len()), (2 * 625, 625));
    }
}
