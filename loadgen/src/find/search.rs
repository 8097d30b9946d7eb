//! The search itself: which value to try next, and when the answer is close enough.
//!
//! The idea: doubling from the lowest value until one fails brackets the limit within a factor
//! of two; halving the bracket (by ratio, not by difference: a limit is known to so many
//! per cent, not to so many subscribers) closes it. A value is tried several times and holds if
//! most of its trials hold, so that one bad second on a shared machine neither halves the answer
//! nor doubles it.
//!
//! Invariants: every value tried lies in the range; no value is settled twice; the number of
//! values is at most log2(highest/lowest) + log2(1/precision) + 2.
//!
//! It knows nothing of servers, runs or what a value means.

use serde::Serialize;

/// What became of one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// The objectives held.
    Held,
    /// They did not.
    Breached,
    /// The trial says nothing about the server: the rig was at its own limit.
    Invalid,
}

/// The range to search, and how finely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) lowest: u64,
    pub(super) highest: u64,
    /// Largest ratio of the lowest failing to the highest holding value, less 1.
    pub(super) precision: f64,
    /// Trials of each value.
    pub(super) repeats: u32,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "found", rename_all = "lowercase")]
pub(super) enum Answer {
    /// Even the lowest value fails.
    None { fails: u64, limit: Limit },
    /// The first holds, the second fails.
    Between { holds: u64, fails: u64, limit: Limit },
    /// The highest value of the range holds.
    Beyond { holds: u64 },
}

/// Whose limit was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Limit {
    /// The server's: the objectives were breached.
    Server,
    /// The rig's: beyond this the measurement is not valid, and the server may well hold more.
    Rig,
}

/// A search in progress.
#[derive(Debug)]
pub(super) struct Search {
    range: Range,
    holds: Option<u64>,
    fails: Option<(u64, Limit)>,
    /// The value on trial with its outcomes so far.
    value: u64,
    outcomes: Vec<Outcome>,
}

impl Search {
    /// A search of `range`.
    ///
    /// # Panics
    ///
    /// If the range is empty, starts at zero, or asks for no repeats or no precision.
    pub(super) fn new(range: Range) -> Self {
        assert!(range.lowest > 0 && range.lowest <= range.highest, "an empty range");
        assert!(range.repeats > 0 && range.precision > 0.0, "no way to settle a value");
        Self { range, holds: None, fails: None, value: range.lowest, outcomes: Vec::new() }
    }

    /// The value to try next, or none when the answer is there.
    pub(super) fn next(&self) -> Option<u64> {
        self.answer().is_none().then_some(self.value)
    }

    /// Takes the outcome of a trial of [`Search::next`].
    pub(super) fn record(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
        let Some(settled) = majority(&self.outcomes, self.range.repeats) else {
            return;
        };
        self.outcomes.clear();
        match settled {
            Outcome::Held => self.holds = Some(self.value),
            Outcome::Breached => self.fails = Some((self.value, Limit::Server)),
            Outcome::Invalid => self.fails = Some((self.value, Limit::Rig)),
        }
        self.value = self.propose();
    }

    /// The answer, once the search is over.
    pub(super) fn answer(&self) -> Option<Answer> {
        match (self.holds, self.fails) {
            (None, Some((fails, limit))) => Some(Answer::None { fails, limit }),
            (Some(holds), None) if holds == self.range.highest => Some(Answer::Beyond { holds }),
            (Some(holds), Some((fails, limit))) => {
                let close = fails as f64 <= holds as f64 * (1.0 + self.range.precision);
                (close || fails == holds + 1).then_some(Answer::Between { holds, fails, limit })
            }
            _ => None,
        }
    }

    fn propose(&self) -> u64 {
        let holds = self.holds.unwrap_or(self.range.lowest);
        match self.fails {
            None => holds.saturating_mul(2).min(self.range.highest),
            Some((fails, _)) => {
                let middle = (holds as f64 * fails as f64).sqrt().round() as u64;
                // Neither end again, however close they are.
                middle.max(holds + 1).min(fails.max(holds + 2) - 1)
            }
        }
    }
}

/// What most of `repeats` trials say, as soon as the missing ones cannot change it. Trials that
/// failed for whatever reason count together against holding; among them the server's own
/// failures decide whose limit it is.
fn majority(outcomes: &[Outcome], repeats: u32) -> Option<Outcome> {
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u32;
    let (held, breached, invalid) =
        (count(Outcome::Held), count(Outcome::Breached), count(Outcome::Invalid));
    if held * 2 > repeats {
        Some(Outcome::Held)
    } else if (breached + invalid) * 2 >= repeats {
        Some(if breached >= invalid { Outcome::Breached } else { Outcome::Invalid })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(lowest: u64, highest: u64, precision: f64) -> Range {
        Range { lowest, highest, precision, repeats: 1 }
    }

    /// Searches for `limit` and returns the answer and the values tried.
    fn search(range: Range, limit: u64, beyond: Outcome) -> (Answer, Vec<u64>) {
        let (mut search, mut tried) = (Search::new(range), Vec::new());
        while let Some(value) = search.next() {
            tried.push(value);
            search.record(if value <= limit { Outcome::Held } else { beyond });
        }
        (search.answer().expect("it ended"), tried)
    }

    #[test]
    fn every_limit_in_the_range_is_found_within_the_precision() {
        for highest in [1, 2, 3, 10, 97] {
            for lowest in 1..=highest {
                for limit in 0..=highest + 1 {
                    let (answer, tried) =
                        search(range(lowest, highest, 0.05), limit, Outcome::Breached);
                    let case = format!("{limit} in {lowest}..={highest}: {answer:?} by {tried:?}");
                    assert!(tried.iter().all(|value| (lowest..=highest).contains(value)), "{case}");
                    let mut distinct = tried.clone();
                    distinct.sort_unstable();
                    distinct.dedup();
                    assert_eq!(distinct.len(), tried.len(), "{case}");
                    let right = match answer {
                        Answer::None { fails, .. } => limit < lowest && fails == lowest,
                        Answer::Beyond { holds } => limit >= highest && holds == highest,
                        Answer::Between { holds, fails, .. } => {
                            let close = fails == holds + 1 || fails as f64 <= holds as f64 * 1.05;
                            holds <= limit && limit < fails && close
                        }
                    };
                    assert!(right, "{case}");
                }
            }
        }
    }

    #[test]
    fn a_wide_range_takes_few_values() {
        let (answer, tried) = search(range(100, 1_000_000, 0.05), 314_159, Outcome::Breached);
        assert!(matches!(answer, Answer::Between { holds, .. } if holds > 299_000), "{answer:?}");
        assert!(tried.len() <= 14 + 5 + 2, "{tried:?}");
    }

    #[test]
    fn a_rig_at_its_limit_is_not_taken_for_the_server() {
        let (answer, _) = search(range(1, 100, 0.05), 10, Outcome::Invalid);
        assert!(matches!(answer, Answer::Between { limit: Limit::Rig, .. }), "{answer:?}");
    }

    #[test]
    fn most_trials_of_a_value_decide_and_no_more_are_asked_for_than_needed() {
        use Outcome::{Breached as B, Held as H, Invalid as I};
        for (outcomes, repeats, settled) in [
            (&[H][..], 1, Some(H)),
            (&[H], 3, None),
            (&[H, H], 3, Some(H)),
            (&[H, B], 3, None),
            (&[H, B, H], 3, Some(H)),
            (&[B, B], 3, Some(B)),
            (&[B, I], 3, Some(B)),
            (&[I, I], 3, Some(I)),
            (&[H, I, I], 3, Some(I)),
            (&[B], 2, Some(B)),
            (&[H], 2, None),
        ] {
            assert_eq!(majority(outcomes, repeats), settled, "{outcomes:?} of {repeats}");
        }
    }
}
