//! From what the threads saw to the figures of a report.
//!
//! The definitions are those of `docs/BENCHMARKING.md`. Who was due for an event, and who got
//! it, comes from the readers; whether the server took the event at all, from the publishers.

mod events;
mod series;

use hdrhistogram::Histogram;

use super::args::{Args, SlowPlan};
use super::link;
use super::observe::Load;
use super::phases::Evidence;
use crate::amount::{Part, Size};
use crate::client::record::Outcome;
use crate::client::tally::Tally;
use crate::clock;
use crate::pace::Curve;
use crate::publisher::Fate;
use crate::report::model::counts::{Connect, Counts, Publish, Rates, Slow};
use crate::report::model::fairness::{Fairness, Moments};
use crate::report::model::host::BandwidthFloor;
use crate::report::model::plan::{Clock, Phase, PhasePlan, Plan, SizePart, SizePlan, Target};
use crate::report::model::{Mark, Run, metric};
use crate::schedule::Arrival;
use events::Summary;

/// A report, and what the one of several machines needs of it beside.
pub(super) struct Assembled {
    pub(super) run: Run,
    /// Which of the measured events did not reach everybody in time.
    pub(super) incomplete_events: Vec<bool>,
}

/// Makes the report of a run, without verdict and objectives.
pub(super) fn run(args: &Args, evidence: &mut Evidence) -> Assembled {
    let mut run = Run::new(crate::cli::command(), args.seed, evidence.course.began_ns);
    run.name.clone_from(&args.name);
    run.labels = args.label.iter().cloned().collect();
    run.breached = std::mem::take(&mut evidence.breached);
    run.interrupted = evidence.signal.is_some() || !run.breached.is_empty();
    run.target = target(args, evidence);
    run.plan = plan(args, evidence);
    run.marks = std::mem::take(&mut evidence.marks);
    run.notes = run.marks.iter().map(|mark| format!("injected: {}", mark.text)).collect();
    run.marks.extend(step_marks(evidence));
    run.timeline = std::mem::take(&mut evidence.timeline);
    run.clock = clock_of(args, evidence);
    let total = std::mem::take(&mut evidence.collector.total);
    let mut summary = events::summarize(evidence);
    if let Some(relative) = &evidence.course.relative {
        let finished = relative.finish(&evidence.course.window());
        summary.events = finished.events;
        summary.spread = finished.spread;
    }
    evidence.refused_but_delivered = summary.refused_but_delivered;
    run.connect = connect(args, evidence, &total);
    run.publish = publish(evidence);
    run.counts = counts(args, evidence, &total, &summary);
    run.rates = rates(&run, args, &total);
    metrics(&mut run, evidence, &total, &summary);
    run.fairness = Fairness::of(&moments(evidence, &summary, args.subscribers.0 as usize));
    run.slow = args.slow.map(|slow| slow_of(slow, args, evidence));
    run.series = series::rows(evidence, &summary);
    run.ramp = series::thinned(std::mem::take(&mut evidence.ramp));
    run.events = summary.sampler.finish();
    run.server = evidence.observer.server(&Load {
        up: evidence.up,
        publishers: u64::from(run.plan.publishers),
        loopback: run.target.loopback,
    });
    let cpus = args.cpus.as_ref().map(|cpus| cpus.0.as_slice()).unwrap_or_default();
    run.rig = evidence.observer.rig(series::busiest_thread(evidence, &run), cpus);
    let speed = args.link.map(|link| link.0).or_else(|| link::bits_per_second(&evidence.urls));
    run.rig.bandwidth_floor = speed.and_then(|speed| bandwidth_floor(&run, speed));
    Assembled { run, incomplete_events: summary.incomplete_events }
}

fn target(args: &Args, evidence: &Evidence) -> Target {
    let urls: Vec<String> =
        evidence.urls.iter().map(|url| format!("http://{}{}", url.authority, url.path)).collect();
    Target {
        url: urls.join(" "),
        profile: Some(args.profile.name().to_owned()),
        publish_url: evidence.publish_url.clone(),
        http: "1.1".to_owned(),
        tls: None,
        loopback: evidence.urls.iter().all(|url| url.address.ip().is_loopback()),
        hosts: None,
    }
}

fn sizes(size: &Size) -> SizePlan {
    let part = |part: &Part| SizePart {
        min_bytes: part.min as u64,
        max_bytes: part.max as u64,
        share: part.share,
    };
    let (min, max) = (size.min(), size.max());
    let (kind, parts) = match size.parts() {
        [_] if min == max => ("const", Vec::new()),
        [_] => ("uniform", Vec::new()),
        parts => ("mix", parts.iter().map(part).collect()),
    };
    SizePlan { kind: kind.to_owned(), min_bytes: min as u64, max_bytes: max as u64, parts }
}

fn plan(args: &Args, evidence: &Evidence) -> Plan {
    let outline = &evidence.outline;
    let curve = outline.curve.as_ref();
    let connect_rate = args.connect_rate.map(|rate| rate.0);
    let published = curve.is_some();
    Plan {
        scenario: args.scenario_kind.to_owned(),
        subscribers: args.subscribers.0,
        connect_rate,
        rate: curve.map(Curve::points).unwrap_or_default(),
        pace: curve.and_then(|curve| curve.pace().shape()),
        arrival: published.then(|| match args.arrival {
            Arrival::Fixed => "fixed".to_owned(),
            Arrival::Poisson => "poisson".to_owned(),
        }),
        size: published.then(|| sizes(&args.size)),
        topics: args.topics.0,
        distribution: (args.topics.0 > 1).then(|| args.dist.to_string()),
        event_distribution: (published && args.topics.0 > 1).then(|| args.publish_dist.to_string()),
        batch_ns: args.publish_batch.filter(|_| published).map(|gather| clock::ns(gather.0)),
        phases: PhasePlan {
            connect_ns: connect_rate
                .map_or(0, |rate| (args.subscribers.0 as f64 / rate * 1e9) as u64),
            settle_ns: clock::ns(args.settle.0),
            warmup_ns: clock::ns(args.warmup.0),
            measure_ns: clock::ns(args.window()),
            drain_ns: clock::ns(args.horizon.0),
        },
        horizon_ns: clock::ns(args.horizon.0),
        stamp: if published { "payload" } else { "relative" }.to_owned(),
        publishers: if published { evidence.publisher_count } else { 0 },
        tokens: args.token_file.as_ref().map_or(0, |tokens| tokens.count() as u64),
        sources: evidence.source_count as u32,
        threads: evidence.thread_count as u32,
        probes: evidence.deal.probe_count() as u32,
        churn: args.churn.map(|rate| rate.0),
        life: args.life.map(|life| life.to_string()),
        injected: args.inject.iter().map(ToString::to_string).collect(),
    }
}

/// Where each step of the rate begins.
fn step_marks(evidence: &Evidence) -> Vec<Mark> {
    let Some(start_ns) = evidence.course.start_ns() else { return Vec::new() };
    let window = &evidence.course.window_ns;
    let begin_ns = start_ns - evidence.course.began_ns + window.start;
    let steps = evidence.outline.curve.as_ref().map(|curve| curve.pace().steps());
    let inside = steps.unwrap_or_default().into_iter();
    let inside = inside.filter(|(at_ns, _)| *at_ns < window.end - window.start);
    inside.map(|(at_ns, text)| Mark { t_ns: begin_ns + at_ns, text }).collect()
}

fn clock_of(args: &Args, evidence: &Evidence) -> Clock {
    let timed = if args.seat.is_shared() { "swarm" } else { "single" };
    Clock {
        domain: "realtime".to_owned(),
        rx: if evidence.stamped { "kernel" } else { "user" }.to_owned(),
        mode: if evidence.outline.curve.is_some() { timed } else { "none" }.to_owned(),
        agents: Vec::new(),
    }
}

fn connect(args: &Args, evidence: &Evidence, total: &Tally) -> Connect {
    let length_s = evidence.connect_ns as f64 / 1e9;
    let machine = evidence.observer.before.as_ref().zip(evidence.observer.idle.as_ref());
    Connect {
        asked: args.subscribers.0,
        up: evidence.up,
        min_up: evidence.min_up,
        length_ns: Some(evidence.connect_ns),
        achieved_rate: (length_s > 0.0).then(|| evidence.up as f64 / length_s),
        errors: total.connects.errors.clone(),
        syn_retrans: machine
            .and_then(|(from, to)| to.machine.net_since(&from.machine, "TCPSynRetrans")),
    }
}

fn publish(evidence: &Evidence) -> Option<Publish> {
    let (measured, fates) = evidence.published.as_ref()?;
    let mut publish = Publish { withheld: measured.withheld, ..Publish::default() };
    let (course, events) = (&evidence.course, evidence.course.schedule.events());
    for event in course.measured().filter(|&event| course.is_own(events[event].stream)) {
        publish.planned += 1;
        let fate = fates.of(event);
        publish.sent += u64::from(fate != Fate::Planned);
        publish.acked += u64::from(fate == Fate::Accepted);
        publish.failed += u64::from(fate == Fate::Failed);
    }
    publish.refused =
        measured.refused.iter().map(|(status, count)| (status.to_string(), *count)).collect();
    Some(publish)
}

fn counts(args: &Args, evidence: &Evidence, total: &Tally, summary: &Summary) -> Counts {
    let bank = &total.measured;
    let planned = evidence.outline.curve.is_some();
    let known = |count: u64| planned.then_some(count);
    let sum = |of: fn(&Outcome) -> u64| evidence.outcomes.iter().map(of).sum::<u64>();
    let in_flight = sum(|outcome| outcome.in_flight);
    let unique = if planned { summary.received } else { bank.unique };
    Counts {
        events: summary.events,
        expected: known(summary.received + summary.missing() + in_flight),
        unique,
        lost: known(summary.lost),
        duplicate: known(bank.duplicate),
        out_of_order: known(bank.out_of_order),
        corrupt: known(bank.corrupt),
        foreign: known(bank.foreign),
        malformed: Some(bank.malformed),
        late: known(summary.late),
        unread: known(summary.unread),
        unread_bytes: evidence.outcomes.iter().map(|outcome| outcome.unread_bytes).sum(),
        ambiguous: known(bank.ambiguous),
        in_flight: known(in_flight),
        incomplete_events: known(summary.incomplete),
        coalesced_reads: Some(bank.coalesced_reads),
        spaced: known(bank.spaced),
        bunched: known(bank.bunched),
        gaps_announced: Some(bank.gaps_announced),
        gaps_late: known(sum(|outcome| outcome.gaps_late)),
        gaps_unfounded: known(sum(|outcome| outcome.gaps_unfounded)),
        lost_silent: known(summary.lost_silent),
        disconnects: bank
            .disconnects
            .iter()
            .map(|(reason, count)| ((*reason).to_owned(), *count))
            .collect(),
        offences: events::offences(evidence, summary, args.seat.first),
    }
}

fn rates(run: &Run, args: &Args, total: &Tally) -> Rates {
    let window_ns =
        run.span(Phase::Measure).map_or(0, |span| span.length_ns).min(clock::ns(args.window()));
    let seconds = window_ns as f64 / 1e9;
    let each = |count: u64| (seconds > 0.0).then(|| count as f64 / seconds);
    let published = run.publish.as_ref().filter(|publish| publish.planned > 0);
    Rates {
        events: each(run.counts.events),
        deliveries: each(run.counts.unique),
        payload_bytes: each(total.measured.payload_bytes),
        wire_bytes: each(total.measured.wire_bytes),
        achieved_ratio: published
            .filter(|_| !run.interrupted)
            .map(|publish| publish.sent as f64 / publish.planned as f64),
    }
}

fn metrics(run: &mut Run, evidence: &Evidence, total: &Tally, summary: &Summary) {
    let bank = &total.measured;
    let events = Some(summary.events);
    // A delivery that did not come within the horizon took longer: left out, the worst deliveries
    // would improve every percentile.
    let (horizon_ns, missing) = (evidence.course.horizon_ns, summary.own_missing);
    let with_missing = |histogram: &Histogram<u64>| {
        let mut histogram = histogram.clone();
        if missing > 0 {
            // Recording nothing would still move the maximum.
            histogram.record_n(horizon_ns, missing).expect("a histogram that grows");
        }
        histogram
    };
    run.record(metric::DELIVERY, &with_missing(&bank.delivery), events);
    run.record(metric::DELIVERY_SENT, &with_missing(&bank.sent), events);
    for name in [metric::DELIVERY, metric::DELIVERY_SENT] {
        if let Some(metric) = run.metrics.get_mut(name) {
            metric.censored = missing;
        }
    }
    run.record(metric::DELIVERY_RELATIVE, &bank.relative, events);
    run.record(metric::DELIVERY_USER, &bank.user, events);
    run.record(metric::DELIVERY_PROBE, &bank.probe, events);
    run.record(metric::CLIENT_HOLD, &bank.hold, events);
    run.record(metric::BURST, &bank.burst, None);
    run.record(metric::FIRST, &summary.first, events);
    run.record(metric::HALF, &summary.half, Some(summary.half.len()));
    run.record(metric::LAST, &summary.last, events);
    run.record(metric::SPREAD, &summary.spread, events);
    if let Some((measured, _)) = &evidence.published {
        run.record(metric::PUBLISH_ACK, &measured.ack, None);
        run.record(metric::PUBLISH_SLIP, &measured.slip, None);
    }
    run.record(metric::CONNECT_TCP, &total.connects.tcp, None);
    run.record(metric::CONNECT_TTFB, &total.connects.ttfb, None);
    run.record(metric::CONNECT_READY, &total.connects.ready, None);
    run.record(metric::CONNECT_FIRST_EVENT, &total.connects.first_event, None);
    run.record(metric::RIG_HICCUP, &evidence.hiccups, None);
}

/// What the link alone needs to carry a mean event to everybody who receives it.
fn bandwidth_floor(run: &Run, link_bits_per_second: u64) -> Option<BandwidthFloor> {
    let wire_bytes_per_delivery = run.rates.wire_bytes? / run.rates.deliveries?;
    let deliveries = run.counts.unique as f64 / run.counts.events as f64;
    let time_ns =
        wire_bytes_per_delivery * deliveries * 8.0 * 1e9 / link_bits_per_second.max(1) as f64;
    // Nothing delivered, nothing to carry.
    time_ns.is_finite().then(|| BandwidthFloor {
        time_ns: time_ns.round() as u64,
        wire_bytes_per_delivery,
        link_bits_per_second,
    })
}

/// The moments of all subscribers in connect order.
fn moments(evidence: &Evidence, summary: &Summary, subscribers: usize) -> Vec<Moments> {
    let mut all = vec![Moments::default(); subscribers];
    for (thread, outcome) in evidence.outcomes.iter().enumerate() {
        for (local, &latencies) in outcome.latencies.iter().enumerate() {
            all[evidence.deal.order(thread, local)] = latencies.into();
        }
    }
    for cell in summary.cells.all().iter().filter(|cell| cell.count > 0) {
        all[cell.last_subscriber as usize].times_last += 1;
    }
    all
}

fn slow_of(plan: SlowPlan, args: &Args, evidence: &Evidence) -> Slow {
    let mut cut_ns: Vec<u64> =
        evidence.outcomes.iter().flat_map(|outcome| outcome.slow_cut_ns.clone()).collect();
    cut_ns.sort_unstable();
    Slow {
        subscribers: plan.share.of(args.subscribers.0 as usize) as u64,
        read_bytes_per_second: plan.bytes_per_second,
        isolation: None,
        p99_without_ns: None,
        cut: cut_ns.len() as u64,
        cut_after_ns: cut_ns.get(cut_ns.len() / 2).copied(),
        unread_bytes: evidence.outcomes.iter().map(|outcome| outcome.slow_unread_bytes).sum(),
    }
}
