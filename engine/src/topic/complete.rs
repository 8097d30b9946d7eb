//! Filling views that were made empty, as far back as a cursor asks.
//!
//! The views of a set are filled together: each topic is held against an index of their selectors
//! once, so a stream of a thousand new selectors asks each topic once and not a thousand times.

use super::member::{Member, Source};
use super::sets::SetIndex;
use super::view::{ENTRY_BYTES, View, Views};
use super::{Topic, Topics};
use crate::selector::index::Index;

/// What a view lacks of the events up to `through`.
struct Missing {
    view: u32,
    through: u64,
    /// Sequence and topic of those that are kept.
    entries: Vec<(u64, u32)>,
    /// Sequence of the newest that is lost; 0 for none.
    lost: u64,
}

impl Missing {
    /// Takes what a topic that the view matches has after `after`, each out of `room`; false when
    /// that does not suffice.
    fn meet(
        &mut self,
        view: &View,
        (index, topic): (u32, &Topic),
        after: u64,
        room: &mut usize,
    ) -> bool {
        let frames = topic.history.range(topic.position(after)..);
        let frames = frames.take_while(|frame| frame.sequence <= self.through);
        for frame in frames.filter(|frame| view.passes(frame)) {
            let Some(left) = room.checked_sub(1) else { return false };
            *room = left;
            self.entries.push((frame.sequence, index));
        }
        self.lost = self.lost.max(topic.evicted_through);
        true
    }
}

/// Views by their selectors: of public and of private events.
struct Seeking([Index; 2]);

impl Seeking {
    fn new(views: &Views, missing: &[Missing]) -> Seeking {
        let mut seeking = Seeking([Index::default(), Index::default()]);
        for (place, missing) in (0..).zip(missing) {
            let view = views.get(missing.view);
            seeking.0[usize::from(view.is_private())].insert(view.selector(), place);
        }
        seeking
    }

    /// Calls `found` with the place of each view that matches a topic.
    fn find(&self, name: &str, private: bool, places: &mut Vec<u32>) {
        places.clear();
        self.0[usize::from(private)].find(name, places);
    }
}

impl Topics {
    /// Makes the views of a set complete for cursors from `after` on. False when their lists would
    /// take more than is left of `Bounds::views_bytes_max`; nothing has been done then.
    #[must_use]
    pub fn complete_views(&mut self, set: SetIndex, after: u64) -> bool {
        if !self.sets.has_views(set) {
            return true;
        }
        let views = self.sets.members(set).filter_map(|member| match member.source() {
            Source::View(view) => Some((view, self.views.get(view).complete_from())),
            Source::Topic(_) => None,
        });
        let missing = views
            .filter(|(_, through)| *through > after)
            .map(|(view, through)| Missing { view, through, entries: Vec::new(), lost: 0 });
        let mut missing: Vec<Missing> = missing.collect();
        if missing.is_empty() {
            return true;
        }
        let room_bytes = self.bounds.views_bytes_max.saturating_sub(self.views.entries_bytes());
        let mut room = room_bytes / ENTRY_BYTES;
        let seeking = Seeking::new(&self.views, &missing);
        let mut places = Vec::new();
        for (index, topic) in &self.topics {
            if topic.newest > after || topic.evicted_through > after {
                seeking.find(&topic.name, topic.private, &mut places);
                for place in &places {
                    let missing = &mut missing[*place as usize];
                    let view = self.views.get(missing.view);
                    if !missing.meet(view, (index as u32, topic), after, &mut room) {
                        return false;
                    }
                }
            }
        }
        if self.newest_lost > after {
            self.find_forgotten(&seeking, &mut missing, after);
        }
        missing.into_iter().for_each(|missing| self.complete_view(missing, after));
        true
    }

    /// Finds what was lost with topics that have gone.
    fn find_forgotten(&self, seeking: &Seeking, missing: &mut [Missing], after: u64) {
        let mut places = Vec::new();
        for private in [false, true] {
            let forgotten = &self.forgotten[usize::from(private)];
            if seeking.0[usize::from(private)].is_empty() {
                continue;
            }
            for (through, name) in forgotten.evicted_after(after) {
                seeking.find(name, private, &mut places);
                for place in &places {
                    let lost = &mut missing[*place as usize].lost;
                    *lost = through.max(*lost);
                }
            }
        }
        for missing in missing {
            let forgotten = &self.forgotten[usize::from(self.views.get(missing.view).is_private())];
            missing.lost = missing.lost.max(forgotten.floor());
        }
    }

    fn complete_view(&mut self, missing: Missing, after: u64) {
        let Missing { view, through, mut entries, lost } = missing;
        entries.sort_unstable();
        self.views.complete(view, entries, after);
        if self.newest_lost <= after {
            return;
        }
        // What was lost later is known exactly. With a sieve it cannot be known whether a lost event
        // would have passed it; it is taken to have.
        if lost > after {
            self.views.raise(view, lost.min(through));
        }
        let listed = self.views.get(view);
        let partly = self.partly_lost(after, |topic| listed.matches(topic));
        for sequence in partly.into_iter().filter(|sequence| *sequence <= through) {
            if !self.view_keeps(view, sequence) {
                self.lose(Member::view(view), sequence);
            }
        }
    }
}
