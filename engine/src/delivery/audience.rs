//! The subscribers of one set of topics, and the sweep that goes through them.
//!
//! A cycle of the sweep visits every subscriber once. Cycles go up and down in turn, so that over
//! two of them every subscriber waits equally long, whatever its place.
//!
//! Invariant: between cycles and during them, every subscriber of the set that is `Live` has a
//! cursor at or above `floor`. History above the floor of a set that waits for its sweep is not
//! evicted; so a subscriber that reads is never lapped by the engine's own slowness.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    members: Vec<u32>,
    /// Members that this cycle has still to visit: in a cycle upwards the last ones, downwards the
    /// first ones.
    remaining: usize,
    upwards: bool,
    /// Newest sequence of the set when this cycle began.
    cycle_head: u64,
    floor: u64,
    /// True while the set stands in the queue of the sweep.
    pub(crate) queued: bool,
}

impl Audience {
    /// Adds a subscriber; gives its place. The current cycle does not visit it if it goes down.
    pub(crate) fn join(&mut self, slot: u32) -> u32 {
        self.members.push(slot);
        if self.upwards && self.remaining > 0 {
            self.remaining += 1;
        }
        self.members.len() as u32 - 1
    }

    /// Removes the subscriber at `place`. Gives the one that took the place, and whether the
    /// current cycle will therefore not visit it.
    pub(crate) fn leave(&mut self, place: u32) -> Option<(u32, bool)> {
        let place = place as usize;
        let length = self.members.len();
        self.members.swap_remove(place);
        let moved = self.members.get(place).copied();
        let missed = if self.upwards {
            let next = length - self.remaining;
            // The last one moves down, past the next to be visited.
            let missed = self.remaining > 0 && place < next;
            self.remaining = self.remaining.saturating_sub(1);
            missed
        } else {
            self.remaining = self.remaining.min(self.members.len());
            false
        };
        moved.map(|slot| (slot, missed))
    }

    /// Begins a cycle if none is under way and the set has something newer than the last one saw.
    /// False when there is nothing to do.
    pub(crate) fn begin(&mut self, head: u64) -> bool {
        if self.remaining > 0 {
            return true;
        }
        self.floor = self.cycle_head;
        if self.members.is_empty() || head <= self.cycle_head {
            return false;
        }
        self.cycle_head = head;
        self.upwards = !self.upwards;
        self.remaining = self.members.len();
        true
    }

    /// The next subscriber of this cycle; none at its end.
    pub(crate) fn visit(&mut self) -> Option<u32> {
        if self.remaining == 0 {
            return None;
        }
        let place =
            if self.upwards { self.members.len() - self.remaining } else { self.remaining - 1 };
        self.remaining -= 1;
        Some(self.members[place])
    }

    /// No `Live` subscriber has a cursor below this.
    pub(crate) fn floor(&self) -> u64 {
        if self.queued { self.floor } else { u64::MAX }
    }

    /// Makes the place of a set that has gone ready for another; it may still stand in the queue.
    pub(crate) fn reset(&mut self) {
        *self = Audience { queued: self.queued, ..Audience::default() };
    }

    /// Number of subscribers.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random joins and leaves during cycles: a member that was there when a cycle began is visited
    /// by it, or is reported as missed when the one before it in the table leaves.
    #[test]
    fn a_cycle_visits_all_that_were_there_when_it_began() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut audience = Audience::default();
            let mut places: Vec<u32> = Vec::new();
            let mut next_slot = 0;
            let mut head = 0;
            for _ in 0..20 {
                for _ in 0..random.u8(0..4) {
                    assert_eq!(audience.join(next_slot), places.len() as u32);
                    places.push(next_slot);
                    next_slot += 1;
                }
                head += 1;
                let mut due: Vec<u32> = places.clone();
                assert_eq!(audience.begin(head), !due.is_empty());
                while let Some(slot) = audience.visit() {
                    due.retain(|other| *other != slot);
                    if random.u8(0..3) == 0 && !places.is_empty() {
                        let place = random.usize(..places.len());
                        let gone = places.swap_remove(place);
                        due.retain(|other| *other != gone);
                        let moved = audience.leave(place as u32);
                        assert_eq!(moved.map(|m| m.0), places.get(place).copied());
                        if let Some((slot, true)) = moved {
                            due.retain(|other| *other != slot);
                        }
                    }
                    if random.u8(0..5) == 0 {
                        audience.join(next_slot);
                        places.push(next_slot);
                        next_slot += 1;
                    }
                }
                assert!(due.is_empty(), "seed {seed}: {due:?}");
            }
        }
    }

    #[test]
    fn over_two_cycles_every_member_waits_equally_long() {
        let mut audience = Audience::default();
        (0..10).for_each(|slot| _ = audience.join(slot));
        let mut waited = [0; 10];
        for head in 1..=2 {
            assert!(audience.begin(head));
            let mut turn = 0;
            while let Some(slot) = audience.visit() {
                waited[slot as usize] += turn;
                turn += 1;
            }
        }
        assert_eq!(waited, [9; 10]);
    }
}
