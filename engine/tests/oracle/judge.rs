//! The judge: compares what every subscriber got with what was published.

use std::collections::{HashMap, HashSet};

use crate::subscriber::{Item, Subscriber, Visit};
use crate::{HISTORY_EVENTS, Published, TOPICS};

/// What was published to each topic, in order.
type Histories = [Vec<u64>; TOPICS];

/// Judges everybody; gives the number of events delivered and of gaps announced.
pub(crate) fn judge(subscribers: &[Subscriber], truth: &HashMap<u64, Published>) -> (usize, usize) {
    let mut histories: Histories = [const { Vec::new() }; TOPICS];
    for (sequence, event) in truth {
        histories[event.topic].push(*sequence);
    }
    histories.iter_mut().for_each(|history| history.sort_unstable());
    let (mut events, mut gaps) = (0, 0);
    for (index, subscriber) in subscribers.iter().enumerate() {
        for (number, visit) in subscriber.visits.iter().enumerate() {
            let case = Case { truth, histories: &histories, subscriber, visit };
            if let Err(verdict) = case.judge() {
                panic!("subscriber {index}, visit {number}: {verdict}\n{visit:#?}");
            }
            let is_gap = |item: &&Item| matches!(item, Item::Gap { .. });
            let count = visit.items.iter().filter(is_gap).count();
            gaps += count;
            events += visit.items.len() - count;
        }
    }
    (events, gaps)
}

/// One visit before the judge.
struct Case<'a> {
    truth: &'a HashMap<u64, Published>,
    histories: &'a Histories,
    subscriber: &'a Subscriber,
    visit: &'a Visit,
}

impl Case<'_> {
    fn judge(&self) -> Result<(), String> {
        let Some(primed) = self.visit.primed else {
            return Ok(());
        };
        if self.visit.came_with.is_some_and(|came_with| came_with != primed) {
            return Err(format!("it came with {:?} and was primed {primed}", self.visit.came_with));
        }
        self.judge_order(primed)?;
        self.judge_contents()?;
        let mut excused = Vec::new();
        for topic in &self.subscriber.topics {
            self.judge_topic(*topic, primed, &mut excused)?;
        }
        let end = self.visit.items.last().map_or(primed, Item::sequence);
        for item in &self.visit.items {
            if let Item::Gap { lost_through, .. } = item
                && *lost_through <= end
                && !excused.contains(lost_through)
            {
                return Err(format!("the gap to {lost_through} ends where nothing is missing"));
            }
        }
        Ok(())
    }

    /// Everything is newer than what came before; so nothing comes twice.
    fn judge_order(&self, primed: u64) -> Result<(), String> {
        let mut newest = primed;
        for item in &self.visit.items {
            // The gap of one topic of several leaves the cursor where it is.
            let stays = matches!(item, Item::Gap { .. }) && item.sequence() == newest;
            if item.sequence() <= newest && !stays {
                return Err(format!("{} after {newest}", item.sequence()));
            }
            newest = item.sequence();
        }
        Ok(())
    }

    /// Everything is what was published, to a topic that was asked for.
    fn judge_contents(&self) -> Result<(), String> {
        for item in &self.visit.items {
            let Item::Event { sequence, data } = item else { continue };
            let known = self.truth.get(sequence);
            let known = known.ok_or_else(|| format!("nobody published {sequence}"))?;
            if known.data != *data || !self.subscriber.topics.contains(&known.topic) {
                return Err(format!("{data:?} came as {sequence}, which is {known:?}"));
            }
        }
        Ok(())
    }

    /// Everything between the start and the newest item came, or is excused by a gap.
    fn judge_topic(&self, topic: usize, primed: u64, excused: &mut Vec<u64>) -> Result<(), String> {
        let items = &self.visit.items;
        let history = &self.histories[topic];
        let end = items.last().map_or(primed, Item::sequence);
        let from = history.partition_point(|sequence| *sequence <= primed);
        let is_event = |item: &&Item| matches!(item, Item::Event { .. });
        let came: HashSet<u64> = items.iter().filter(is_event).map(Item::sequence).collect();
        for (at, &sequence) in history.iter().enumerate().skip(from) {
            if sequence > end {
                break;
            }
            if !came.contains(&sequence) {
                self.judge_missing(topic, at)?;
                excused.push(sequence);
            }
        }
        Ok(())
    }

    /// A missing event is covered by a gap that comes before the topic's next event, and had left
    /// the history when that gap was announced. With several topics it may have left it since: the
    /// gap covers what is lost up to where the worst of them has lost events.
    fn judge_missing(&self, topic: usize, at: usize) -> Result<(), String> {
        let missing = self.histories[topic][at];
        for item in &self.visit.items {
            match item {
                Item::Event { sequence, .. } if *sequence > missing => {
                    if self.truth[sequence].topic == topic {
                        break;
                    }
                }
                Item::Event { .. } => {}
                Item::Gap { lost_through, .. } if *lost_through < missing => {}
                Item::Gap { submitted, lost_through, .. } => {
                    let alone = self.subscriber.topics.len() == 1;
                    if alone && submitted[topic] <= at + HISTORY_EVENTS {
                        let still =
                            format!("{missing} was still kept at the gap to {lost_through}");
                        return Err(still);
                    }
                    return Ok(());
                }
            }
        }
        Err(format!("{missing} of topic {topic} is missing, and nothing says so"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred events to one topic, of which somebody who came back at 20 gets the newest 50
    /// behind a gap; `change` spoils that.
    fn verdict(change: impl FnOnce(&mut Visit)) -> Result<(), String> {
        let publish =
            |sequence: u64| (sequence, Published { topic: 0, data: sequence.to_string() });
        let truth: HashMap<u64, Published> = (1..=100).map(publish).collect();
        let mut histories: Histories = [const { Vec::new() }; TOPICS];
        histories[0] = (1..=100).collect();
        let mut submitted = Box::new([0; TOPICS]);
        submitted[0] = 100;
        let mut items = vec![Item::Gap { sequence: 50, lost_through: 50, submitted }];
        items.extend(
            (51..=100).map(|sequence| Item::Event { sequence, data: sequence.to_string() }),
        );
        let mut visit = Visit { came_with: Some(20), primed: Some(20), items };
        change(&mut visit);
        let subscriber = Subscriber::of_one_topic(0);
        Case { truth: &truth, histories: &histories, subscriber: &subscriber, visit: &visit }
            .judge()
    }

    #[test]
    fn the_judge_lets_what_is_right_pass_and_nothing_else() {
        assert_eq!(verdict(|_| {}), Ok(()));
        type Wrong = (&'static str, fn(&mut Visit));
        let wrong: [Wrong; 8] = [
            ("an event is lost", |visit| drop(visit.items.remove(10))),
            ("the gap is not announced", |visit| drop(visit.items.remove(0))),
            ("two events change places", |visit| visit.items.swap(3, 4)),
            ("an event comes twice", |visit| {
                visit.items.insert(5, Item::Event { sequence: 55, data: "55".into() });
                visit.items.insert(6, Item::Event { sequence: 55, data: "55".into() });
            }),
            ("an event was never published", |visit| {
                visit.items.push(Item::Event { sequence: 101, data: "101".into() });
            }),
            ("an event has the data of another", |visit| {
                visit.items[1] = Item::Event { sequence: 51, data: "52".into() };
            }),
            ("the gap hides an event that was still kept", |visit| {
                let Item::Gap { submitted, .. } = &mut visit.items[0] else { unreachable!() };
                submitted[0] = 99;
            }),
            ("it goes on elsewhere than it came back", |visit| visit.came_with = Some(19)),
        ];
        for (what, change) in wrong {
            assert!(verdict(change).is_err(), "{what}, and the judge says nothing");
        }
        let idle = |visit: &mut Visit| (visit.came_with, visit.primed) = (Some(50), Some(50));
        assert!(verdict(idle).is_err(), "a gap where nothing is missing");
    }
}
