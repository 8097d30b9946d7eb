//! Objectives that a run can no longer meet, found out while it lasts: `--abort-on-breach`.
//!
//! The idea: after every interval, the best that the run can still become is made of what it has
//! so far: every delivery that is planned and has not been measured takes no time at all, and
//! nothing further goes wrong. An objective that even this run would miss is breached for certain,
//! whatever comes. So a percentile of the whole plan is given up only when so many deliveries were
//! too slow that the rest cannot make up for them, and never because of a bad beginning.
//!
//! Only figures that are known while the run lasts, and that further deliveries cannot improve
//! beyond that, are judged: those of [`KNOWN`]. The others are judged at the end, as always.
//!
//! What is missing may still come; it is called lost when it has been missing for the horizon, and
//! for as long again as the end of a run would wait for it. Events that the server refused are due
//! to nobody, so each of them may explain a hole at every subscriber of its topic.

use hdrhistogram::Histogram;

use crate::client::tally::Tally;
use crate::report::figure::Statistic;
use crate::report::model::{Run, metric};
use crate::report::objective::Objective;

/// Counts that can only grow.
const KNOWN: [&str; 6] =
    ["lost", "duplicate", "out_of_order", "corrupt", "malformed", "disconnects"];

/// Metrics with one sample for each delivery, known as it arrives. Of the time to an event's last
/// subscriber the largest is known to be no less than the largest delivery.
const METRICS: [&str; 4] =
    [metric::DELIVERY, metric::DELIVERY_SENT, metric::DELIVERY_USER, metric::LAST];

/// What a run is held against while it lasts.
#[derive(Debug)]
pub(super) struct Breach {
    objectives: Vec<Objective>,
    /// Deliveries that the plan has, at most.
    planned: u64,
    /// The objectives that the run can no longer meet.
    pub(super) found: Vec<String>,
}

/// What is known of a run on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct SoFar<'a> {
    /// All closed intervals.
    pub(super) total: &'a Tally,
    /// Deliveries that are lost for certain.
    pub(super) lost: u64,
}

/// Whether an objective can be given up before the end.
pub(super) fn is_known_early(objective: &Objective) -> bool {
    let figure = objective.figure();
    let known = match figure.statistic() {
        Some((metric::LAST, Statistic::Max)) => true,
        Some((metric::LAST, _)) => false,
        Some((name, Statistic::Percentile(_) | Statistic::Mean | Statistic::Max)) => {
            METRICS.contains(&name)
        }
        Some(_) => false,
        None => KNOWN.contains(&figure.name.as_str()),
    };
    known && objective.is_upper_bound()
}

/// What can be given up before the end, for a message.
pub(super) fn known_early() -> String {
    format!(
        "upper bounds of {}, and of max, mean and percentiles of {} (of {}: max)",
        KNOWN.join(", "),
        METRICS[..3].join(", "),
        metric::LAST
    )
}

impl Breach {
    /// Watches for the objectives that can be given up early, in a plan of so many deliveries at
    /// most.
    pub(super) fn new(objectives: &[Objective], planned: u64) -> Breach {
        let known = objectives.iter().filter(|objective| is_known_early(objective));
        Breach { objectives: known.cloned().collect(), planned, found: Vec::new() }
    }

    /// Whether loss is of interest to any objective.
    pub(super) fn asks_for_loss(&self) -> bool {
        self.objectives.iter().any(|objective| objective.figure().name == KNOWN[0])
    }

    /// Looks whether an objective is out of reach by now.
    pub(super) fn look(&mut self, so_far: &SoFar<'_>) {
        if self.objectives.is_empty() {
            return;
        }
        let best = self.best(so_far);
        let missed = self.objectives.iter().filter(|objective| {
            objective.figure().read(&best).is_some_and(|value| objective.is_passed(value))
        });
        self.found = missed.map(|objective| objective.expr().to_owned()).collect();
    }

    /// The best that the run can still become.
    fn best(&self, so_far: &SoFar<'_>) -> Run {
        let mut run = Run::default();
        let bank = &so_far.total.measured;
        let planned = self.planned;
        let mut enter = |name: &str, so_far: &Histogram<u64>| {
            let mut histogram = so_far.clone();
            let left = planned.saturating_sub(histogram.len());
            histogram.record_n(0, left).expect("zero is within every histogram");
            run.record(name, &histogram, None);
        };
        enter(metric::DELIVERY, &bank.delivery);
        enter(metric::DELIVERY_SENT, &bank.sent);
        if !bank.user.is_empty() {
            enter(metric::DELIVERY_USER, &bank.user);
        }
        enter(metric::LAST, &bank.delivery);
        run.counts.lost = Some(so_far.lost);
        run.counts.duplicate = Some(bank.duplicate);
        run.counts.out_of_order = Some(bank.out_of_order);
        run.counts.corrupt = Some(bank.corrupt);
        run.counts.malformed = Some(bank.malformed);
        run.counts.disconnects =
            bank.disconnects.iter().map(|(reason, &count)| ((*reason).to_owned(), count)).collect();
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tally::enter;

    fn breach(expr: &str, planned: u64) -> Breach {
        Breach::new(&[Objective::parse(expr).expect(expr)], planned)
    }

    fn found(expr: &str, total: &Tally, lost: u64) -> bool {
        let mut breach = breach(expr, 1_000);
        breach.look(&SoFar { total, lost });
        !breach.found.is_empty()
    }

    #[test]
    fn a_percentile_is_given_up_when_the_rest_of_the_plan_cannot_save_it() {
        let mut total = Tally::default();
        for slow in 1..=100 {
            // However bad the beginning is: every delivery so far is slow.
            enter(&mut total.measured.delivery, 90_000_000);
            let is_lost = slow > 50;
            assert_eq!(found("delivery.p95<80ms", &total, 0), is_lost, "{slow} of 1,000");
            // The same run, with all that is left of it at no time.
            let mut whole = total.measured.delivery.clone();
            whole.record_n(0, 1_000 - slow).unwrap();
            let p95 = metric::percentile(&whole, 95.0).expect("many samples");
            assert_eq!(p95 > 80_000_000, is_lost);
        }
        assert!(found("delivery.max<80ms", &total, 0));
        assert!(found("last.max<=80ms", &total, 0));
        assert!(found("delivery.mean<5ms", &total, 0) && !found("delivery.mean<10ms", &total, 0));
        assert!(!found("delivery.p50<80ms", &total, 0));
        assert!(!found("delivery.max<90.5ms", &total, 0));
    }

    #[test]
    fn a_count_is_given_up_as_soon_as_it_is_above_its_bound() {
        let mut total = Tally::default();
        assert!(!found("duplicate==0", &total, 0) && !found("lost==0", &total, 0));
        total.measured.duplicate = 2;
        assert!(found("duplicate==0", &total, 0) && found("duplicate<2", &total, 0));
        assert!(!found("duplicate<=2", &total, 0) && !found("duplicate<3", &total, 0));
        assert!(found("lost==0", &total, 1) && !found("lost<=1", &total, 1));
        assert!(!found("lost==2", &total, 1) && found("lost==2", &total, 3));
        total.measured.disconnects.insert("closed", 7);
        assert!(found("disconnects<7", &total, 0));
    }

    #[test]
    fn what_may_still_become_better_is_not_given_up() {
        for expr in [
            "deliveries.rate>=1k",
            "unique>=5",
            "lost>=1",
            "lost!=0",
            "delivery.p99>1ms",
            "delivery.min<1ms",
            "delivery.stddev<1us",
            "delivery.n<5",
            "last.p99<1us",
            "publish.ack.p99<1us",
        ] {
            assert!(!is_known_early(&Objective::parse(expr).expect(expr)), "{expr}");
            assert!(breach(expr, 10).objectives.is_empty());
        }
    }
}
