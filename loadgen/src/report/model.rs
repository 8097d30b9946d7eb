//! A finished run as data: what is saved, read back, merged, compared and drawn.
//!
//! The idea: every report is a view of one [`Run`], so that text, Markdown, JUnit, HTML and the
//! HdrHistogram files can never disagree. The JSON form of this type is a public format: its
//! schema is `schema/run.schema.json`, generated from the comments here.
//!
//! Invariants:
//! - Times are integer nanoseconds. A time offset (`t_ns`, `start_ns`, `at_ns`) counts from
//!   `started_unix_ns`.
//! - Unknown is `null` and never 0; a metric without a single sample is absent from the map.
//! - Percentiles can always be computed again: each metric carries its whole histogram.
//!
//! It knows nothing of how a run is made, nor of how it is shown.

pub(crate) mod counts;
pub(crate) mod event;
pub(crate) mod fairness;
pub(crate) mod host;
pub(crate) mod metric;
pub(crate) mod offence;
pub(crate) mod plan;
pub(crate) mod series;
pub(crate) mod verdict;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use counts::{Connect, Counts, Publish, Rates, Slow, Storm};
use event::EventSamples;
use fairness::Fairness;
use host::{Rig, Server};
use metric::Metric;
use plan::{Clock, Phase, Plan, Target};
use series::{Interval, RampPoint};
use verdict::{SloResult, Verdict};

/// Version of the JSON format. It grows when a reader of the old version would misread a new
/// file; added optional fields do not change it.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// One finished (or interrupted) run of the load generator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Run {
    /// Version of this format.
    pub(crate) schema_version: u32,
    /// The program that made the file.
    pub(crate) tool: Tool,
    /// Name the user gave the run, used as its label in comparisons.
    pub(crate) name: Option<String>,
    /// Free labels of the user (`--label k=v`).
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Seed of every random choice of the run.
    pub(crate) seed: u64,
    /// The full command line, the program's name first, to run it again.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// Wall-clock time at which the run began: nanoseconds since the UNIX epoch. All offsets of
    /// this file count from here.
    pub(crate) started_unix_ns: u64,
    /// Whether the measurement itself can be believed, and why not.
    pub(crate) verdict: Verdict,
    /// True when the run was stopped before its plan was done, from outside or because of a breach.
    /// Its figures cover what was measured; objectives are not judged but for those breached.
    #[serde(default)]
    pub(crate) interrupted: bool,
    /// The objectives that the run could no longer meet, for which it was ended before its plan was
    /// done (`--abort-on-breach`); it is `interrupted` then, and these objectives are missed.
    #[serde(default)]
    pub(crate) breached: Vec<String>,
    /// The server under test.
    pub(crate) target: Target,
    /// What was asked for.
    pub(crate) plan: Plan,
    /// The phases as they really were, in order of time.
    #[serde(default)]
    pub(crate) timeline: Vec<PhaseSpan>,
    /// Which clocks the figures rest on.
    pub(crate) clock: Clock,
    /// How the subscribers came up.
    pub(crate) connect: Connect,
    /// What the publishers did; null when this run published nothing itself.
    pub(crate) publish: Option<Publish>,
    /// What was delivered and what was not, in the measured window.
    pub(crate) counts: Counts,
    /// Rates over the measured window.
    pub(crate) rates: Rates,
    /// Latencies of the measured window by metric name. The names and their definitions are
    /// listed in `metric::DEFINITIONS`; a metric without a sample is absent.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// How evenly the subscribers were served; null when it was not followed.
    pub(crate) fairness: Option<Fairness>,
    /// Per-event times, at most some thousands, for confidence intervals and the event chart.
    pub(crate) events: Option<EventSamples>,
    /// The part of subscribers that read slowly or not at all; null when there was none.
    pub(crate) slow: Option<Slow>,
    /// The reconnect storm; null when there was none.
    pub(crate) storm: Option<Storm>,
    /// Cost on the server's side; null when the server's process was not observed.
    pub(crate) server: Option<Server>,
    /// The state of the machine that made the load.
    pub(crate) rig: Rig,
    /// The objectives and whether they hold.
    #[serde(default)]
    pub(crate) slo: Vec<SloResult>,
    /// Connections planned and achieved over time, down-sampled.
    #[serde(default)]
    pub(crate) ramp: Vec<RampPoint>,
    /// One row per reporting interval (usually a second), over all phases.
    #[serde(default)]
    pub(crate) series: Vec<Interval>,
    /// Things that happened at a point in time: an injected stall, a storm wave.
    #[serde(default)]
    pub(crate) marks: Vec<Mark>,
    /// Shapes recognised in the figures, in words ("a 40 ms hump: delayed acknowledgement?").
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// The runs that this one was made of, by repetition or by merge; empty for a plain run.
    #[serde(default)]
    pub(crate) runs: Vec<Run>,
}

/// The program that made a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Tool {
    /// Name of the program.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Commit or build identity, where known.
    pub(crate) build: Option<String>,
}

/// A phase as it really was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PhaseSpan {
    /// Which phase.
    pub(crate) phase: Phase,
    /// When it began, from the start of the run.
    pub(crate) start_ns: u64,
    /// How long it lasted.
    pub(crate) length_ns: u64,
}

/// Something that happened at a point in time and explains the curves around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Mark {
    /// When, from the start of the run.
    pub(crate) t_ns: u64,
    /// What, in a few words ("server stopped for 1.4 s").
    pub(crate) text: String,
}

impl Run {
    /// An empty run of this program: everything unknown, no sample, verdict valid.
    pub(crate) fn new(command: Vec<String>, seed: u64, started_unix_ns: u64) -> Run {
        Run {
            schema_version: SCHEMA_VERSION,
            tool: Tool {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                build: None,
            },
            command,
            seed,
            started_unix_ns,
            ..Run::default()
        }
    }

    /// Stores the histogram of a metric; one without a sample stays absent.
    ///
    /// `n_events` is the number of independent events behind the samples, where events exist:
    /// the deliveries of one event are not independent of each other.
    pub(crate) fn record(
        &mut self,
        name: &str,
        histogram: &hdrhistogram::Histogram<u64>,
        n_events: Option<u64>,
    ) {
        if let Some(metric) = Metric::of(histogram, n_events) {
            self.metrics.insert(name.to_owned(), metric);
        }
    }

    /// The span of a phase, if it took place.
    pub(crate) fn span(&self, phase: Phase) -> Option<&PhaseSpan> {
        self.timeline.iter().find(|span| span.phase == phase)
    }

    /// The metric that stands for the run: delivery from the planned time, or, without a
    /// publisher's clock, delivery after the first arrival.
    pub(crate) fn headline(&self) -> Option<(&'static str, &Metric)> {
        [metric::DELIVERY, metric::DELIVERY_RELATIVE]
            .into_iter()
            .find_map(|name| Some((name, self.metrics.get(name)?)))
    }

    /// How the run is called in a table: its name, else the target, else its start.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            Some(name) if !name.is_empty() => name.clone(),
            _ if !self.target.url.is_empty() => self.target.url.clone(),
            _ => format!("run {}", self.started_unix_ns / 1_000_000_000),
        }
    }
}
