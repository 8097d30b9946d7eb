//! Figures by name: `last.p99`, `lost`, `deliveries.rate`.
//!
//! The idea: objectives, comparisons and tests all name a figure the same way, and this is the
//! one place that knows how a name becomes a number. A percentile may be any (`p99.5`), because
//! it is read from the histogram.

use super::model::Run;
use super::model::host::Server;
use super::model::metric::{self, DEFINITIONS, Metric};
use super::unit;

/// What a figure counts, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds.
    Time,
    /// A whole number.
    Count,
    /// Per second.
    Rate,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    ByteRate,
    /// A pure number.
    Ratio,
}

/// Which direction is an improvement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
    Neither,
}

/// A figure that is not read from a histogram.
#[derive(Debug)]
struct Scalar {
    name: &'static str,
    unit: Unit,
    better: Better,
    read: fn(&Run) -> Option<f64>,
}

const fn scalar(
    name: &'static str,
    unit: Unit,
    better: Better,
    read: fn(&Run) -> Option<f64>,
) -> Scalar {
    Scalar { name, unit, better, read }
}

fn whole(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

/// Every scalar figure, in the order of a report.
const SCALARS: &[Scalar] = &[
    scalar("connect.up", Unit::Count, Better::Higher, |run| Some(run.connect.up as f64)),
    scalar("connect.errors", Unit::Count, Better::Lower, |run| {
        Some(run.connect.errors.total() as f64)
    }),
    scalar("connect.rate", Unit::Rate, Better::Higher, |run| run.connect.achieved_rate),
    scalar("events", Unit::Count, Better::Neither, |run| Some(run.counts.events as f64)),
    scalar("unique", Unit::Count, Better::Neither, |run| Some(run.counts.unique as f64)),
    scalar("lost", Unit::Count, Better::Lower, |run| whole(run.counts.lost)),
    scalar("duplicate", Unit::Count, Better::Lower, |run| whole(run.counts.duplicate)),
    scalar("out_of_order", Unit::Count, Better::Lower, |run| whole(run.counts.out_of_order)),
    scalar("corrupt", Unit::Count, Better::Lower, |run| whole(run.counts.corrupt)),
    scalar("malformed", Unit::Count, Better::Lower, |run| whole(run.counts.malformed)),
    scalar("late", Unit::Count, Better::Lower, |run| whole(run.counts.late)),
    scalar("unread", Unit::Count, Better::Lower, |run| whole(run.counts.unread)),
    scalar("incomplete_events", Unit::Count, Better::Lower, |run| {
        whole(run.counts.incomplete_events)
    }),
    scalar("bunched", Unit::Ratio, Better::Lower, |run| {
        let (bunched, spaced) = (run.counts.bunched?, run.counts.spaced?);
        (spaced > 0).then(|| bunched as f64 / spaced as f64)
    }),
    scalar("gaps_announced", Unit::Count, Better::Lower, |run| whole(run.counts.gaps_announced)),
    scalar("gaps_late", Unit::Count, Better::Lower, |run| whole(run.counts.gaps_late)),
    scalar("gaps_unfounded", Unit::Count, Better::Lower, |run| whole(run.counts.gaps_unfounded)),
    scalar("lost_silent", Unit::Count, Better::Lower, |run| whole(run.counts.lost_silent)),
    scalar("disconnects", Unit::Count, Better::Lower, |run| {
        Some(run.counts.disconnects.values().sum::<u64>() as f64)
    }),
    scalar("events.rate", Unit::Rate, Better::Higher, |run| run.rates.events),
    scalar("deliveries.rate", Unit::Rate, Better::Higher, |run| run.rates.deliveries),
    scalar("wire.rate", Unit::ByteRate, Better::Neither, |run| run.rates.wire_bytes),
    scalar("publish.refused", Unit::Count, Better::Lower, |run| {
        run.publish.as_ref().map(|publish| publish.refused.values().sum::<u64>() as f64)
    }),
    scalar("publish.failed", Unit::Count, Better::Lower, |run| {
        run.publish.as_ref().map(|publish| publish.failed as f64)
    }),
    scalar("publish.withheld", Unit::Count, Better::Lower, |run| {
        run.publish.as_ref().map(|publish| publish.withheld as f64)
    }),
    scalar("achieved_ratio", Unit::Ratio, Better::Higher, |run| run.rates.achieved_ratio),
    scalar("fairness.jain", Unit::Ratio, Better::Higher, |run| {
        run.fairness.as_ref().map(|fairness| fairness.jain)
    }),
    scalar("fairness.mean_ratio", Unit::Ratio, Better::Lower, |run| {
        run.fairness.as_ref().and_then(|fairness| fairness.mean_ratio)
    }),
    scalar("fairness.position", Unit::Ratio, Better::Neither, |run| {
        run.fairness.as_ref().and_then(|fairness| fairness.position_rho)
    }),
    scalar("server.cores", Unit::Ratio, Better::Lower, |run| {
        run.server.as_ref().and_then(|server| server.cores)
    }),
    scalar("server.starved", Unit::Ratio, Better::Lower, |run| {
        run.server.as_ref().and_then(Server::starved)
    }),
    scalar("server.cpu_per_delivery", Unit::Time, Better::Lower, |run| {
        run.server.as_ref().and_then(|server| server.cpu_per_delivery_ns)
    }),
    scalar("server.user_memory_per_conn", Unit::Bytes, Better::Lower, |run| {
        run.server.as_ref().and_then(|server| server.mem_per_conn.pss)
    }),
    scalar("server.kernel_memory_per_conn", Unit::Bytes, Better::Lower, |run| {
        run.server.as_ref().and_then(|server| server.mem_per_conn.kernel)
    }),
    scalar("rig.busiest_thread", Unit::Ratio, Better::Lower, |run| run.rig.busiest_thread),
];

/// A figure of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Statistic {
    /// A percentile, 0 to 100.
    Percentile(f64),
    Mean,
    StdDev,
    Min,
    Max,
    /// Number of samples.
    Samples,
}

impl Statistic {
    /// The value in nanoseconds (or samples); `None` where too few samples support it.
    fn read(self, metric: &Metric) -> Option<f64> {
        let value = match self {
            Statistic::Percentile(percent) => {
                let histogram = metric.histogram.decode().ok()?;
                metric::percentile(&histogram, percent)?
            }
            Statistic::Mean => metric.mean,
            Statistic::StdDev => metric.stddev,
            Statistic::Min => metric.min,
            Statistic::Max => metric.max,
            Statistic::Samples => metric.n,
        };
        Some(value as f64)
    }

    fn parse(text: &str) -> Option<Statistic> {
        match text {
            "mean" => Some(Statistic::Mean),
            "stddev" => Some(Statistic::StdDev),
            "min" => Some(Statistic::Min),
            "max" => Some(Statistic::Max),
            "n" => Some(Statistic::Samples),
            _ => {
                let percent: f64 = text.strip_prefix('p')?.parse().ok()?;
                (0.0..=100.0).contains(&percent).then_some(Statistic::Percentile(percent))
            }
        }
    }
}

/// Where a figure comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Metric(&'static str, Statistic),
    Scalar(&'static Scalar),
}

/// A figure that has been named correctly; a given run may still lack it.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Its name, as given.
    pub(crate) name: String,
    source: Source,
}

impl Figure {
    /// The figure of that name.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the name and what is allowed.
    pub(crate) fn named(name: &str) -> Result<Figure, String> {
        let source = SCALARS
            .iter()
            .find(|scalar| scalar.name == name)
            .map(Source::Scalar)
            .or_else(|| statistic(name))
            .ok_or_else(|| unknown(name))?;
        Ok(Figure { name: name.to_owned(), source })
    }

    /// Its value in a run; `None` when the run does not have it, or too few samples support it.
    pub(crate) fn read(&self, run: &Run) -> Option<f64> {
        match self.source {
            Source::Scalar(scalar) => (scalar.read)(run),
            Source::Metric(name, statistic) => statistic.read(run.metrics.get(name)?),
        }
    }

    /// What it counts.
    pub(crate) fn unit(&self) -> Unit {
        match self.source {
            Source::Scalar(scalar) => scalar.unit,
            Source::Metric(_, Statistic::Samples) => Unit::Count,
            Source::Metric(..) => Unit::Time,
        }
    }

    /// Which direction is an improvement.
    pub(crate) fn better(&self) -> Better {
        match self.source {
            Source::Scalar(scalar) => scalar.better,
            Source::Metric(_, Statistic::Samples) => Better::Neither,
            Source::Metric(..) => Better::Lower,
        }
    }

    /// The metric and the statistic, where the figure is read from a histogram.
    pub(crate) fn statistic(&self) -> Option<(&'static str, Statistic)> {
        match self.source {
            Source::Metric(name, statistic) => Some((name, statistic)),
            Source::Scalar(_) => None,
        }
    }

    /// A value of this figure as text with its unit.
    pub(crate) fn show(&self, value: f64) -> String {
        show(self.unit(), value)
    }

    /// The names of all scalar figures, in the order of a report.
    pub(crate) fn scalar_names() -> impl Iterator<Item = &'static str> {
        SCALARS.iter().map(|scalar| scalar.name)
    }
}

/// `<metric>.<statistic>`. Metric names hold dots themselves, and so do percentiles, so the
/// name is matched against the known metrics.
fn statistic(name: &str) -> Option<Source> {
    DEFINITIONS.iter().find_map(|definition| {
        let rest = name.strip_prefix(definition.name)?.strip_prefix('.')?;
        Statistic::parse(rest).map(|statistic| Source::Metric(definition.name, statistic))
    })
}

fn unknown(name: &str) -> String {
    let metrics: Vec<&str> = DEFINITIONS.iter().map(|definition| definition.name).collect();
    let scalars: Vec<&str> = Figure::scalar_names().collect();
    format!(
        "{name:?} is not a figure. A figure is one of {} followed by .p50, .p99, .p99.9 (any \
         percentile), .mean, .stddev, .min, .max or .n; or one of {}",
        metrics.join(", "),
        scalars.join(", ")
    )
}

/// A value as text with its unit.
pub(crate) fn show(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Time if value < 0.0 => format!("-{}", unit::time(-value as u64)),
        Unit::Time => unit::time(value.round() as u64),
        Unit::Count => unit::count(value.round() as u64),
        Unit::Rate => format!("{}/s", unit::short(value)),
        Unit::Bytes => unit::bytes(value),
        Unit::ByteRate => format!("{}/s", unit::bytes(value)),
        Unit::Ratio => unit::digits(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    #[test]
    fn every_metric_and_every_scalar_can_be_named() {
        for definition in DEFINITIONS {
            for statistic in ["p50", "p99.9", "p99.5", "mean", "stddev", "min", "max", "n"] {
                let name = format!("{}.{statistic}", definition.name);
                let figure = Figure::named(&name).unwrap();
                assert_eq!(figure.statistic().unwrap().0, definition.name);
            }
        }
        for name in Figure::scalar_names() {
            Figure::named(name).unwrap();
        }
    }

    #[test]
    fn a_wrong_name_is_answered_with_what_is_allowed() {
        for name in ["", "p99", "delivery", "delivery.p", "delivery.p101", "delivery.p-1", "x.p9"] {
            let error = Figure::named(name).unwrap_err();
            assert!(error.contains("delivery.sent") && error.contains("lost"), "{error}");
        }
    }

    #[test]
    fn figures_agree_with_the_run() {
        let run = Sample { lose_every: Some(50), ..Sample::default() }.run();
        let read = |name: &str| Figure::named(name).unwrap().read(&run);
        let delivery = &run.metrics["delivery"];
        assert_eq!(read("delivery.p99"), delivery.percentile("99").map(|ns| ns as f64));
        assert_eq!(read("delivery.max"), Some(delivery.max as f64));
        assert_eq!(read("lost"), run.counts.lost.map(|lost| lost as f64));
        assert_eq!(read("last.p99.9"), None, "200 events do not support p99.9");
        assert_eq!(read("connect.tls.p50"), None);
    }

    #[test]
    fn values_are_written_with_their_unit() {
        assert_eq!(show(Unit::Time, 11_200_000.0), "11.2 ms");
        assert_eq!(show(Unit::Time, -1_500.0), "-1.50 µs");
        assert_eq!(show(Unit::Rate, 4_990_000.0), "4.99 M/s");
        assert_eq!(show(Unit::Count, 1_200.0), "1,200");
    }
}
