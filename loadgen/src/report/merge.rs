//! The `merge` command: the saved runs of several generators, or several repeats, as one.
//!
//! The idea: counts add, histograms add, and percentiles are read again from the sum; averages
//! of percentiles do not exist. Runs whose measured windows overlap were made side by side by
//! several generators, so their rates and subscribers add; runs one after the other are repeats,
//! so their rates are those of the whole time.
//!
//! Unknown stays unknown: a sum with an unknown part is unknown.

mod series;

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::model::counts::{Connect, ConnectErrors, Counts, Publish, Rates, Slow};
use super::model::metric::{self, Metric, Per};
use super::model::plan::Phase;
use super::model::series::Interval;
use super::model::verdict::{Reason, Verdict};
use super::model::{Run, host};
use super::objective::Objective;
use super::{confidence, file};

/// Arguments of `downpour-load merge`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files written by --json; `-` reads standard input. One run alone stays as it is
    #[arg(required = true)]
    files: Vec<String>,

    /// Where to write the merged run
    #[arg(short, long, default_value = "-")]
    output: String,

    /// Name of the merged run; without it, that of its parts
    #[arg(long)]
    name: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    let merged = file::read_all(&args.files).and_then(|runs| merge(&runs));
    let written = merged.and_then(|mut run| {
        run.name = args.name.or(run.name);
        file::write(&run, &args.output)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("downpour-load merge: {error}");
            ExitCode::from(1)
        }
    }
}

/// How runs lie to each other in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Side by side: several generators of one test.
    Parallel,
    /// One after the other: repeats.
    Repeats,
}

/// One run made of several.
///
/// # Errors
/// No run at all, or a histogram that cannot be decoded.
pub(crate) fn merge(runs: &[Run]) -> Result<Run, String> {
    match runs {
        [] => Err("nothing to merge".to_owned()),
        [only] => Ok(only.clone()),
        several => join(several, order(several)),
    }
}

/// One run made of several that were made side by side, as far as it is known otherwise than from
/// their clocks.
///
/// # Errors
/// As [`merge`].
pub(crate) fn side_by_side(runs: &[Run]) -> Result<Run, String> {
    match runs {
        [] => Err("nothing to merge".to_owned()),
        [only] => Ok(only.clone()),
        several => join(several, Order::Parallel),
    }
}

/// One row of those that several generators made in the same second.
///
/// # Errors
/// A histogram that cannot be decoded.
pub(crate) fn row(rows: &[Interval]) -> Result<Interval, String> {
    series::add(rows)
}

/// The slow subscribers of generators side by side. Until half of all were cut off cannot be told
/// from the halves.
pub(crate) fn slow(runs: &[Run]) -> Option<Slow> {
    let parts: Vec<&Slow> = runs.iter().filter_map(|run| run.slow.as_ref()).collect();
    let first = *parts.first()?;
    Some(Slow {
        subscribers: parts.iter().map(|slow| slow.subscribers).sum(),
        cut: parts.iter().map(|slow| slow.cut).sum(),
        cut_after_ns: first.cut_after_ns.filter(|_| parts.len() == 1),
        unread_bytes: parts.iter().map(|slow| slow.unread_bytes).sum(),
        ..first.clone()
    })
}

fn join(runs: &[Run], order: Order) -> Result<Run, String> {
    let first = &runs[0];
    let start = runs.iter().map(|run| run.started_unix_ns).min().unwrap_or(0);
    let mut merged = Run {
        name: name(runs),
        labels: common_labels(runs),
        started_unix_ns: start,
        verdict: verdict(runs),
        interrupted: runs.iter().any(|run| run.interrupted),
        breached: breached(runs),
        connect: connect(runs, order),
        publish: publish(runs),
        counts: counts(runs, start),
        rates: rates(runs, order),
        metrics: metrics(runs)?,
        fairness: None,
        events: series::events(runs, start),
        slow: None,
        storm: None,
        server: server(runs, order),
        rig: rig(runs),
        slo: Vec::new(),
        ramp: series::ramp(runs, start, order),
        series: series::rows(runs, start, order)?,
        timeline: series::timeline(runs, start, order),
        marks: series::marks(runs, start),
        notes: notes(runs, order),
        runs: parts(runs),
        ..first.clone()
    };
    if order == Order::Parallel {
        merged.plan.subscribers = runs.iter().map(|run| run.plan.subscribers).sum();
        merged.plan.publishers = runs.iter().map(|run| run.plan.publishers).sum();
        merged.plan.threads = runs.iter().map(|run| run.plan.threads).sum();
        merged.plan.sources = runs.iter().map(|run| run.plan.sources).sum();
        merged.plan.probes = runs.iter().map(|run| run.plan.probes).sum();
        merged.plan.connect_rate = total(runs, |run| run.plan.connect_rate);
        merged.plan.churn = total(runs, |run| run.plan.churn);
    }
    merged.slo = objectives(runs, &merged);
    confidence::annotate(&mut merged);
    Ok(merged)
}

/// Side by side when at least half of the shorter window is shared by the first two.
fn order(runs: &[Run]) -> Order {
    let window = |run: &Run| {
        let span = run.span(Phase::Measure)?;
        let start = run.started_unix_ns + span.start_ns;
        Some((start, start + span.length_ns))
    };
    let (Some(a), Some(b)) = (window(&runs[0]), window(&runs[1])) else {
        return Order::Repeats;
    };
    let shared = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    let shorter = (a.1 - a.0).min(b.1 - b.0);
    if shared > 0 && 2 * shared >= shorter { Order::Parallel } else { Order::Repeats }
}

fn name(runs: &[Run]) -> Option<String> {
    let mut names: Vec<String> = runs.iter().map(Run::label).collect();
    names.dedup();
    Some(names.join(" + "))
}

fn common_labels(runs: &[Run]) -> BTreeMap<String, String> {
    let mut labels = runs[0].labels.clone();
    labels.retain(|key, value| runs.iter().all(|run| run.labels.get(key) == Some(value)));
    labels
}

fn verdict(runs: &[Run]) -> Verdict {
    let mut verdict = Verdict::default();
    for reason in runs.iter().flat_map(|run| &run.verdict.reasons) {
        let known = |other: &Reason| other.code == reason.code && other.text == reason.text;
        if !verdict.reasons.iter().any(known) {
            verdict.add(reason.clone());
        }
    }
    verdict.status = runs.iter().map(|run| run.verdict.status).max().unwrap_or_default();
    verdict
}

/// The sum, or unknown when a part is.
fn total(runs: &[Run], read: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    runs.iter().map(read).sum()
}

fn whole(runs: &[Run], read: impl Fn(&Run) -> Option<u64>) -> Option<u64> {
    runs.iter().map(read).sum()
}

fn add_map<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (key, n) in maps.flatten() {
        *sum.entry(key.clone()).or_insert(0) += n;
    }
    sum
}

/// Side by side, subscribers add; of repeats, the worst run stands for all.
fn connect(runs: &[Run], order: Order) -> Connect {
    let parts = || runs.iter().map(|run| &run.connect);
    let fold = |read: fn(&Connect) -> u64| match order {
        Order::Parallel => parts().map(read).sum(),
        Order::Repeats => parts().map(read).min().unwrap_or(0),
    };
    let known =
        |read: fn(&Connect) -> Option<u64>| -> Option<Vec<u64>> { parts().map(read).collect() };
    Connect {
        asked: fold(|connect| connect.asked),
        up: fold(|connect| connect.up),
        min_up: known(|connect| connect.min_up).map(|all| match order {
            Order::Parallel => all.iter().sum(),
            Order::Repeats => all.into_iter().min().unwrap_or(0),
        }),
        length_ns: known(|connect| connect.length_ns).and_then(|all| all.into_iter().max()),
        achieved_rate: match order {
            Order::Parallel => total(runs, |run| run.connect.achieved_rate),
            Order::Repeats => {
                total(runs, |run| run.connect.achieved_rate).map(|sum| sum / runs.len() as f64)
            }
        },
        errors: ConnectErrors {
            refused: parts().map(|connect| connect.errors.refused).sum(),
            reset: parts().map(|connect| connect.errors.reset).sum(),
            timeout: parts().map(|connect| connect.errors.timeout).sum(),
            status: add_map(parts().map(|connect| &connect.errors.status)),
            mime: parts().map(|connect| connect.errors.mime).sum(),
            closed: parts().map(|connect| connect.errors.closed).sum(),
            local: parts().map(|connect| connect.errors.local).sum(),
        },
        syn_retrans: whole(runs, |run| run.connect.syn_retrans),
    }
}

fn publish(runs: &[Run]) -> Option<Publish> {
    let parts: Vec<&Publish> = runs.iter().filter_map(|run| run.publish.as_ref()).collect();
    (!parts.is_empty()).then(|| Publish {
        planned: parts.iter().map(|publish| publish.planned).sum(),
        sent: parts.iter().map(|publish| publish.sent).sum(),
        acked: parts.iter().map(|publish| publish.acked).sum(),
        refused: add_map(parts.iter().map(|publish| &publish.refused)),
        failed: parts.iter().map(|publish| publish.failed).sum(),
        withheld: parts.iter().map(|publish| publish.withheld).sum(),
    })
}

fn counts(runs: &[Run], start: u64) -> Counts {
    let sum = |read: fn(&Counts) -> Option<u64>| whole(runs, |run| read(&run.counts));
    Counts {
        events: runs.iter().map(|run| run.counts.events).sum(),
        expected: sum(|counts| counts.expected),
        unique: runs.iter().map(|run| run.counts.unique).sum(),
        lost: sum(|counts| counts.lost),
        duplicate: sum(|counts| counts.duplicate),
        out_of_order: sum(|counts| counts.out_of_order),
        corrupt: sum(|counts| counts.corrupt),
        foreign: sum(|counts| counts.foreign),
        malformed: sum(|counts| counts.malformed),
        late: sum(|counts| counts.late),
        unread: sum(|counts| counts.unread),
        unread_bytes: sum(|counts| counts.unread_bytes),
        ambiguous: sum(|counts| counts.ambiguous),
        in_flight: sum(|counts| counts.in_flight),
        incomplete_events: sum(|counts| counts.incomplete_events),
        coalesced_reads: sum(|counts| counts.coalesced_reads),
        spaced: sum(|counts| counts.spaced),
        bunched: sum(|counts| counts.bunched),
        gaps_announced: sum(|counts| counts.gaps_announced),
        gaps_late: sum(|counts| counts.gaps_late),
        gaps_unfounded: sum(|counts| counts.gaps_unfounded),
        lost_silent: sum(|counts| counts.lost_silent),
        disconnects: add_map(runs.iter().map(|run| &run.counts.disconnects)),
        offences: series::offences(runs, start),
    }
}

/// Side by side, rates add; of repeats, they are those of the whole time.
fn rates(runs: &[Run], order: Order) -> Rates {
    let fold = |read: fn(&Rates) -> Option<f64>| match order {
        Order::Parallel => total(runs, |run| read(&run.rates)),
        Order::Repeats => over_time(runs, |run| read(&run.rates)),
    };
    Rates {
        events: fold(|rates| rates.events),
        deliveries: fold(|rates| rates.deliveries),
        payload_bytes: fold(|rates| rates.payload_bytes),
        wire_bytes: fold(|rates| rates.wire_bytes),
        achieved_ratio: over_time(runs, |run| run.rates.achieved_ratio),
    }
}

/// The mean over the measured windows, weighted by their lengths.
fn over_time(runs: &[Run], read: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
    let seconds = |run: &Run| run.span(Phase::Measure).map_or(1.0, |span| span.length_ns as f64);
    let sum = total(runs, |run| Some(read(run)? * seconds(run)))?;
    Some(sum / runs.iter().map(seconds).sum::<f64>())
}

/// The sums of all histograms, by metric.
fn metrics(runs: &[Run]) -> Result<BTreeMap<String, Metric>, String> {
    let mut merged = BTreeMap::new();
    let names = runs.iter().flat_map(|run| run.metrics.keys());
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let parts: Vec<&Metric> = runs.iter().filter_map(|run| run.metrics.get(name)).collect();
        let mut sum = metric::new_histogram();
        for part in &parts {
            let histogram = part.histogram.decode().map_err(|error| format!("{name}: {error}"))?;
            sum += &histogram;
        }
        let n_events = parts.iter().map(|part| part.n_events).sum();
        if let Some(mut metric) = Metric::of(&sum, n_events) {
            metric.censored = parts.iter().map(|part| part.censored).sum();
            merged.insert(name.clone(), metric);
        }
    }
    Ok(merged)
}

/// One server seen by several generators is one server; in repeats its costs add up.
fn server(runs: &[Run], order: Order) -> Option<host::Server> {
    let parts: Vec<&host::Server> = runs.iter().filter_map(|run| run.server.as_ref()).collect();
    let mut server = (*parts.first()?).clone();
    if order == Order::Parallel {
        // Its CPU served the deliveries of all generators.
        let cpu = server.cpu_ns.user + server.cpu_ns.sys;
        let deliveries: u64 = runs.iter().map(|run| run.counts.unique).sum();
        server.cpu_per_delivery_ns = (deliveries > 0).then(|| cpu as f64 / deliveries as f64);
        return Some(server);
    }
    let mean = |read: fn(&host::Server) -> Option<f64>| -> Option<f64> {
        let sum: f64 = parts.iter().map(|part| read(part)).sum::<Option<f64>>()?;
        Some(sum / parts.len() as f64)
    };
    server.cpu_ns.user = parts.iter().map(|part| part.cpu_ns.user).sum();
    server.cpu_ns.sys = parts.iter().map(|part| part.cpu_ns.sys).sum();
    let sum = |read: fn(&host::Server) -> Option<u64>| parts.iter().map(|part| read(part)).sum();
    server.runqueue_wait_ns = sum(|part| part.runqueue_wait_ns);
    server.neighbours_ns = sum(|part| part.neighbours_ns);
    server.cores = mean(|part| part.cores);
    server.cpu_per_delivery_ns = mean(|part| part.cpu_per_delivery_ns);
    server.softirq_cores = mean(|part| part.softirq_cores);
    server.mem_per_conn.pss = mean(|part| part.mem_per_conn.pss);
    server.mem_per_conn.kernel = mean(|part| part.mem_per_conn.kernel);
    server.pss_bytes = parts.iter().filter_map(|part| part.pss_bytes).max();
    Some(server)
}

/// The machine of the first run, with the worst of every reading.
fn rig(runs: &[Run]) -> host::Rig {
    let worst = |read: fn(&host::Rig) -> Option<f64>| {
        runs.iter().filter_map(|run| read(&run.rig)).reduce(f64::max)
    };
    let slowest = runs.iter().filter_map(|run| run.rig.floor.clone()).max_by_key(|floor| floor.p99);
    host::Rig {
        busiest_thread: worst(|rig| rig.busiest_thread),
        busiest_thread_waited: worst(|rig| rig.busiest_thread_waited),
        steal: worst(|rig| rig.steal),
        runqueue_wait_ns: whole(runs, |run| run.rig.runqueue_wait_ns),
        softnet: host::Softnet {
            dropped: whole(runs, |run| run.rig.softnet.dropped),
            squeezed: whole(runs, |run| run.rig.softnet.squeezed),
        },
        floor: slowest,
        ..runs[0].rig.clone()
    }
}

/// The objectives that ended any of the runs, each once.
fn breached(runs: &[Run]) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> =
        runs.iter().flat_map(|run| &run.breached).collect();
    all.into_iter().cloned().collect()
}

/// The objectives of all runs, judged again on the merged figures.
fn objectives(runs: &[Run], merged: &Run) -> Vec<super::model::verdict::SloResult> {
    let mut exprs: Vec<&str> =
        runs.iter().flat_map(|run| &run.slo).map(|slo| slo.expr.as_str()).collect();
    let mut seen = std::collections::BTreeSet::new();
    exprs.retain(|expr| seen.insert(*expr));
    exprs
        .into_iter()
        .filter_map(|expr| Objective::parse(expr).ok())
        .map(|objective| objective.judge(merged))
        .collect()
}

fn notes(runs: &[Run], order: Order) -> Vec<String> {
    let mut notes: Vec<String> = runs.iter().flat_map(|run| run.notes.clone()).collect();
    notes.dedup();
    let plan = |run: &Run| {
        (run.plan.rate.clone(), run.plan.pace.clone(), run.plan.size.clone(), run.plan.topics)
    };
    let alike = runs.iter().all(|run| {
        let same_size = run.plan.subscribers == runs[0].plan.subscribers;
        plan(run) == plan(&runs[0]) && (same_size || order == Order::Parallel)
    });
    if !alike {
        notes.push("the merged runs did not follow the same plan".to_owned());
    }
    let per_event = |run: &Run| {
        run.metrics.keys().any(|name| {
            metric::definition(name).is_some_and(|definition| definition.per == Per::Event)
        })
    };
    if order == Order::Parallel && runs.iter().any(per_event) {
        notes.push(
            "merged from generators that ran side by side: first, half, last and spread are over \
             the subscribers of one generator each, not over all"
                .to_owned(),
        );
    }
    notes
}

/// The merged runs as they are kept inside: their figures and histograms, without what the
/// merged run now holds itself.
fn parts(runs: &[Run]) -> Vec<Run> {
    let slim = |run: &Run| Run {
        series: Vec::new(),
        events: None,
        ramp: Vec::new(),
        runs: Vec::new(),
        ..run.clone()
    };
    runs.iter()
        .flat_map(|run| if run.runs.is_empty() { vec![slim(run)] } else { run.runs.clone() })
        .collect()
}

#[cfg(test)]
mod tests;
