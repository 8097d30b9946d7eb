//! The block of a run whose rate went in steps: latency at each rate.
//!
//! The rows over time carry their histograms, so a step's percentiles are read from the sum of the
//! rows that lie wholly within it; the second in which one step ends and the next begins belongs to
//! neither.

use super::layout::{CELL, block};
use crate::report::model::metric::{self, new_histogram};
use crate::report::model::plan::Phase;
use crate::report::model::{Run, series::Interval};
use crate::report::unit;

/// Width of a step's name.
const NAME: usize = 34;

/// Steps that are shown; more of them are a curve, which the page draws.
const SHOWN_MAX: usize = 40;

/// A stretch of the plan with a rate of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    /// From the start of the run.
    from_ns: u64,
    to_ns: u64,
    rates: [f64; 2],
}

pub(super) fn latencies(lines: &mut Vec<String>, run: &Run) {
    let steps = steps(run);
    if !(2..=SHOWN_MAX).contains(&steps.len()) {
        return;
    }
    lines.push(String::new());
    lines.push(block("STEPS", "to each subscriber, and to the last of each event, by rate"));
    let heads = ["events", "p50", "p99", "max", "LAST p50", "LAST max"];
    let heads: String = heads.iter().map(|head| format!("{head:>CELL$}")).collect();
    lines.push(format!("{:NAME$}{heads}", ""));
    lines.extend(steps.iter().map(|step| line(run, step)));
}

/// The steps of the measured window.
fn steps(run: &Run) -> Vec<Step> {
    let plan = &run.plan;
    let is_in_steps =
        plan.pace.as_ref().is_some_and(|pace| !pace.starts_with('@') && !pace.contains("sine"));
    let Some(measure) = run.span(Phase::Measure).filter(|_| is_in_steps) else {
        return Vec::new();
    };
    let begin_ns = measure.start_ns.saturating_sub(plan.phases.warmup_ns);
    let at_ns = |seconds: f64| begin_ns + (seconds * 1e9).round() as u64;
    let pairs = plan.rate.windows(2).map(|pair| Step {
        from_ns: at_ns(pair[0][0]),
        to_ns: at_ns(pair[1][0]).min(measure.start_ns + measure.length_ns),
        rates: [pair[0][1], pair[1][1]],
    });
    // A jump takes no time, and the warm-up is no step.
    let lasting = pairs.filter(|step| step.to_ns > step.from_ns.max(measure.start_ns));
    lasting.map(|step| Step { from_ns: step.from_ns.max(measure.start_ns), ..step }).collect()
}

fn line(run: &Run, step: &Step) -> String {
    let inside =
        |row: &&Interval| row.t_ns >= step.from_ns && row.t_ns + row.length_ns <= step.to_ns;
    let rows: Vec<&Interval> = run.series.iter().filter(inside).collect();
    let sum = |name: &str| {
        let mut sum = new_histogram();
        for row in &rows {
            if let Some(part) = row.histograms.get(name).and_then(|blob| blob.decode().ok()) {
                sum += &part;
            }
        }
        sum
    };
    let (delivery, last) = (sum(metric::DELIVERY), sum(metric::LAST));
    let at = |histogram, percent| metric::percentile(histogram, percent);
    let largest =
        |histogram: &hdrhistogram::Histogram<u64>| (!histogram.is_empty()).then(|| histogram.max());
    let [from, to] = step.rates.map(unit::short);
    let rate = if from == to { from } else { format!("{from} to {to}") };
    let name = format!("{rate} events/s for {}", unit::length(step.to_ns - step.from_ns));
    let times = [
        at(&delivery, 50.0),
        at(&delivery, 99.0),
        largest(&delivery),
        at(&last, 50.0),
        largest(&last),
    ];
    let events = unit::count(rows.iter().map(|row| row.events).sum());
    let cells = times.map(|time| time.map_or_else(|| "n/a".to_owned(), unit::time));
    let cells = std::iter::once(events).chain(cells).map(|cell| format!("{cell:>CELL$}"));
    format!("  {name:<width$}{}", cells.collect::<String>(), width = NAME - 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    #[test]
    fn each_step_has_the_latencies_of_its_own_rows() {
        let mut run = Sample::default().run();
        let warmup_s = run.plan.phases.warmup_ns as f64 / 1e9;
        let after = |seconds: f64| warmup_s + seconds;
        let measure_s = run.plan.phases.measure_ns as f64 / 1e9;
        run.plan.pace = Some("20/4s,50:90/1m".to_owned());
        run.plan.rate = vec![
            [0.0, 20.0],
            [warmup_s, 20.0],
            [after(4.0), 20.0],
            [after(4.0), 50.0],
            [after(measure_s), 90.0],
        ];
        let found = steps(&run);
        assert_eq!(
            found.iter().map(|step| step.rates).collect::<Vec<_>>(),
            [[20.0; 2], [50.0, 90.0]]
        );
        assert_eq!(found[0].to_ns - found[0].from_ns, 4_000_000_000);
        let mut lines = Vec::new();
        latencies(&mut lines, &run);
        let text = lines.join("\n");
        assert!(text.contains("20 events/s for 4 s") && text.contains("50 to 90"), "{text}");
        let within: Vec<&Interval> = run
            .series
            .iter()
            .filter(|row| (found[0].from_ns..found[0].to_ns).contains(&row.t_ns))
            .collect();
        let events: u64 = within.iter().map(|row| row.events).sum();
        let largest = within.iter().filter_map(|row| row.max_ns).max().expect("deliveries");
        assert!(lines[3].contains(&unit::count(events)), "{}", lines[3]);
        assert!(lines[3].contains(&unit::time(largest)), "{}", lines[3]);
    }

    #[test]
    fn other_plans_have_no_steps() {
        let mut run = Sample::default().run();
        for pace in [None, Some("sine:1:2/60s"), Some("@trace"), Some("20/4s")] {
            run.plan.pace = pace.map(str::to_owned);
            let mut lines = Vec::new();
            latencies(&mut lines, &run);
            assert!(lines.is_empty(), "{pace:?}: {lines:?}");
        }
    }
}
