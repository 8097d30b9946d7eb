//! The proof for one subscriber: every event once and in order, or one announcement for each
//! hole.
//!
//! The idea: events of a topic are numbered without holes by the publisher, so a stream is
//! right exactly if each number is the last one plus one. A cut in between changes nothing about
//! that. A hole is allowed only if `event: gap` stood in its place, and if that says how many
//! events are missing, it must be right.
//!
//! This module knows nothing of connections, bytes or time.

/// What one subscriber has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracker {
    /// The number that comes next.
    next: u64,
    /// An announced hole that no event has followed yet.
    announced: Option<Announced>,
    /// The connection is another since the last announcement.
    reconnected: bool,
}

/// The counts that the announcements of one hole claim; none where one does not count.
///
/// Cut off between an announcement and the next event, a subscriber comes back and may be told
/// again: of what is missing behind the announcement, or of everything from the start.
#[derive(Debug, Clone, Copy)]
struct Announced {
    last: Option<u64>,
    all: Option<u64>,
}

/// The sums over all subscribers. All but `events`, `holes_announced` and `missing_announced`
/// are broken promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Proof {
    /// Events received for the first time.
    pub(super) events: u64,
    /// Holes announced once, in the right place, with a right count or none.
    pub(super) holes_announced: u64,
    /// Events in those holes.
    pub(super) missing_announced: u64,
    /// Holes that were not announced.
    pub(super) holes_silent: u64,
    /// Events in those holes.
    pub(super) missing_silent: u64,
    /// Events received again, or after a later one.
    pub(super) duplicate: u64,
    /// Events whose bytes are not what was published.
    pub(super) corrupt: u64,
    /// Holes announced with a wrong count.
    pub(super) gap_miscounted: u64,
    /// Announcements that count events where there is no hole.
    pub(super) gap_needless: u64,
    /// Announcements of a hole that was announced already.
    pub(super) gap_repeated: u64,
}

impl Tracker {
    /// A subscriber that must see event `first` first.
    pub(super) fn from(first: u64) -> Self {
        Self { next: first, ..Self::default() }
    }

    /// Takes an event.
    pub(super) fn event(&mut self, number: u64, proof: &mut Proof) {
        if number < self.next {
            proof.duplicate += 1;
            return;
        }
        self.hole(number - self.next, proof);
        proof.events += 1;
        self.next = number + 1;
    }

    /// Takes an announcement of a hole; `missing` is the count it claims.
    pub(super) fn gap(&mut self, missing: Option<u64>, proof: &mut Proof) {
        let all = match self.announced {
            None => missing,
            Some(before) => {
                if !self.reconnected {
                    proof.gap_repeated += 1;
                }
                before.all.zip(missing).map(|(before, missing)| before + missing)
            }
        };
        self.announced = Some(Announced { last: missing, all });
        self.reconnected = false;
    }

    /// Notes that what comes is from another connection.
    pub(super) fn reconnected(&mut self) {
        self.reconnected = true;
    }

    /// Ends the account: everything up to and with `last` should have come.
    pub(super) fn finish(&mut self, last: u64, proof: &mut Proof) {
        self.hole((last + 1).saturating_sub(self.next), proof);
        self.next = self.next.max(last + 1);
    }

    fn hole(&mut self, missing: u64, proof: &mut Proof) {
        let Some(Announced { last, all }) = self.announced.take() else {
            proof.holes_silent += u64::from(missing > 0);
            proof.missing_silent += missing;
            return;
        };
        // A server that cannot count may have to announce what turns out to be nothing.
        let uncounted = last.is_none() || all.is_none();
        if uncounted || (missing > 0 && (last == Some(missing) || all == Some(missing))) {
            proof.holes_announced += 1;
            proof.missing_announced += missing;
        } else if missing == 0 {
            proof.gap_needless += 1;
        } else {
            proof.gap_miscounted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a subscriber saw: an event, or a gap with its claim.
    #[derive(Clone, Copy)]
    enum Saw {
        E(u64),
        G(Option<u64>),
        /// A new connection.
        C,
    }
    use Saw::{C, E, G};

    fn proof(saw: &[Saw], last: u64) -> Proof {
        let (mut tracker, mut proof) = (Tracker::from(1), Proof::default());
        for saw in saw {
            match *saw {
                E(number) => tracker.event(number, &mut proof),
                G(missing) => tracker.gap(missing, &mut proof),
                C => tracker.reconnected(),
            }
        }
        tracker.finish(last, &mut proof);
        proof
    }

    /// Whether every promise was kept.
    fn holds(proof: &Proof) -> bool {
        let kept = Proof {
            events: proof.events,
            holes_announced: proof.holes_announced,
            missing_announced: proof.missing_announced,
            ..Proof::default()
        };
        *proof == kept
    }

    #[test]
    fn a_stream_without_holes_holds() {
        assert_eq!(proof(&[E(1), E(2), E(3)], 3), Proof { events: 3, ..Proof::default() });
    }

    #[test]
    fn a_hole_holds_only_behind_one_announcement_that_counts_right() {
        for (saw, expected) in [
            (&[E(1), E(4)][..], false),
            (&[E(1), G(None), E(4)], true),
            (&[E(1), G(Some(2)), E(4)], true),
            (&[E(1), G(Some(1)), E(4)], false),
            (&[E(1), G(Some(2)), G(Some(2)), E(4)], false),
            (&[E(1), G(Some(2)), C, E(4)], true),
            (&[E(1), G(Some(1)), C, G(Some(1)), E(4)], true),
            (&[E(1), G(Some(1)), C, G(Some(2)), E(4)], true),
            (&[E(1), G(Some(1)), C, G(Some(3)), E(4)], false),
            (&[E(1), G(None), C, G(None), E(4)], true),
            (&[E(1), G(None), C, G(None), G(None), E(4)], false),
            (&[E(1), E(4), G(Some(2))], false),
            (&[E(1), G(None), E(2), E(3), E(4)], true),
            (&[E(1), G(Some(1)), E(2), E(3), E(4)], false),
            (&[E(1), G(Some(0)), E(2), E(3), E(4)], false),
            (&[G(Some(3)), E(4)], true),
            (&[E(1), E(2), E(2), E(3), E(4)], false),
            (&[E(1), E(3), E(2), E(4)], false),
            (&[E(1), E(2)], false),
            (&[E(1), E(2), G(Some(2))], true),
        ] {
            let proof = proof(saw, 4);
            assert_eq!(holds(&proof), expected, "{proof:?}");
        }
    }

    #[test]
    fn every_single_change_of_a_right_stream_is_found() {
        let right: Vec<Saw> = (1..=6).map(E).collect();
        for at in 0..right.len() {
            let mut lost = right.clone();
            lost.remove(at);
            assert_eq!(proof(&lost, 6).missing_silent, 1);
            for to in 0..right.len() {
                let mut doubled = right.clone();
                doubled.insert(to, right[at]);
                let proof = proof(&doubled, 6);
                assert!(!holds(&proof), "{at} again at {to}");
            }
        }
    }
}
