//! The text report: one screen that says what was measured, how far to believe it, and what
//! came out.
//!
//! The idea: every block opens with its name in capitals and every figure stands beside its
//! meaning. A figure that the run does not have is left out or called `n/a`, never printed as
//! zero.

mod layout;
mod machines;
mod measured;
mod repeats;
mod steps;

use super::model::Run;
use super::model::metric;
use super::model::plan::{Agent, Plan, SizePart, SizePlan};
use super::model::verdict::{SloResult, Status};
use super::objective::Objective;
use super::{hgrm, unit};
use layout::block;

/// A report as standard output shows it: within the columns of a terminal, if it is one.
pub(crate) fn shown(report: String) -> String {
    match terminal_size::terminal_size_of(std::io::stdout()) {
        Some((terminal_size::Width(columns), _)) => layout::fit(&report, usize::from(columns)),
        None => report,
    }
}

/// The report of a run. With `spectrum`, the percentile spectrum of each latency follows.
pub(crate) fn report(run: &Run, spectrum: bool) -> String {
    let mut lines = Vec::new();
    head(&mut lines, run);
    measured::connect(&mut lines, run);
    // Handshakes are all that `connect` asks for.
    if run.plan.scenario != "connect" || run.counts.unique > 0 {
        measured::delivery(&mut lines, run);
        steps::latencies(&mut lines, run);
        measured::integrity(&mut lines, run);
    }
    measured::fairness(&mut lines, run);
    measured::publish(&mut lines, run);
    measured::populations(&mut lines, run);
    machines::server(&mut lines, run);
    machines::rig(&mut lines, run);
    repeats::spread(&mut lines, run);
    objectives(&mut lines, run);
    for note in &run.notes {
        lines.extend(layout::wrapped("NOTE", note));
    }
    definitions(&mut lines, run);
    if spectrum {
        spectra(&mut lines, run);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn head(lines: &mut Vec<String>, run: &Run) {
    let name = run.name.as_ref().map_or_else(String::new, |name| format!("   run \"{name}\""));
    let cut = match (run.interrupted, run.breached.is_empty()) {
        (false, _) => "",
        (true, true) => " (interrupted)",
        (true, false) => " (ended by a breach)",
    };
    lines.push(format!(
        "{} {}{name}   VERDICT: {}{cut}",
        run.tool.name,
        run.tool.version,
        run.verdict.status.word()
    ));
    for reason in &run.verdict.reasons {
        // A reason that takes nothing away is worth knowing all the same.
        let name = match reason.status {
            Status::Valid => "note",
            Status::Suspect => "suspect",
            Status::Invalid => "invalid",
        };
        lines.extend(layout::wrapped(name, &reason.text));
    }
    lines.push(block("started", &unit::utc(run.started_unix_ns)));
    lines.push(block("target", &target(run)));
    lines.push(block("plan", &plan(&run.plan)));
    lines.extend(means(&run.plan).map(|means| block("with", &means)));
    lines.push(block("clock", &clock(run)));
    for (place, agent) in run.clock.agents.iter().enumerate() {
        lines.push(block(if place == 0 { "agents" } else { "" }, &self::agent(agent)));
    }
    if !run.runs.is_empty() {
        let text = format!("{} runs, their histograms merged", run.runs.len());
        lines.push(block("made of", &text));
    }
}

/// The target in one line.
pub(crate) fn target(run: &Run) -> String {
    let target = &run.target;
    let mut parts = vec![target.url.clone()];
    parts.extend(target.profile.as_ref().map(|profile| format!("profile {profile}")));
    if !target.http.is_empty() {
        parts.push(format!("http/{}", target.http));
    }
    parts.extend(target.tls.clone());
    if target.loopback {
        parts.push("LOOPBACK".to_owned());
    }
    parts.extend(target.hosts.filter(|&n| n > 1).map(|n| format!("{n} machines")));
    parts.join("   ")
}

/// The plan in one line.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut subscribers = format!("{} subscribers", unit::count(plan.subscribers));
    if plan.sources > 1 {
        subscribers += &format!(" from {} source addresses", plan.sources);
    }
    let phases = &plan.phases;
    let mut window = unit::length(phases.measure_ns);
    if phases.warmup_ns > 0 {
        window += &format!(" after {} warm-up", unit::length(phases.warmup_ns));
    }
    format!("{subscribers} | {} | {window}", load(plan))
}

/// What the load generator used and did beside publishing and reading, in one line.
fn means(plan: &Plan) -> Option<String> {
    let some = |count: u64, one: &str, many: &str| {
        (count > 0)
            .then(|| format!("{} {}", unit::count(count), if count == 1 { one } else { many }))
    };
    let mut parts: Vec<String> = [
        some(plan.threads.into(), "thread", "threads"),
        some(plan.publishers.into(), "publisher connection", "publisher connections"),
        some(plan.probes.into(), "probe", "probes"),
        some(plan.tokens, "token", "tokens"),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.extend(plan.distribution.as_ref().map(|law| format!("topics shared {law}")));
    parts.extend(plan.event_distribution.as_ref().map(|law| format!("events by topic {law}")));
    parts.extend(plan.batch_ns.map(batches));
    parts.extend(plan.churn.map(|rate| format!("churn {}/s", unit::short(rate))));
    parts.extend(plan.life.as_ref().map(|life| format!("lives of {life}")));
    parts.extend(plan.injected.iter().map(|what| format!("injected {what}")));
    (!parts.is_empty()).then(|| parts.join(" | "))
}

fn batches(gather_ns: u64) -> String {
    match gather_ns {
        0 => "what is due together in one request".to_owned(),
        _ => format!("gathered {} for a request", unit::length(gather_ns)),
    }
}

/// The planned events in a few words.
pub(crate) fn load(plan: &Plan) -> String {
    let topics = match plan.topics {
        1 => "1 topic".to_owned(),
        n => format!("{} topics", unit::count(n)),
    };
    let rate = match plan.rate.as_slice() {
        [] => return format!("publishes nothing, {topics}"),
        points => rate(points, plan.pace.as_deref()),
    };
    let arrival = plan.arrival.as_deref().unwrap_or("");
    let size = plan.size.as_ref().map_or_else(String::new, |size| format!(" x {}", sizes(size)));
    format!("{rate} {arrival}{size}, {topics}")
}

/// A rate over time in a few words.
fn rate(points: &[[f64; 2]], pace: Option<&str>) -> String {
    match (pace.map(|pace| (pace, pace.strip_prefix('@'))), points) {
        (Some((_, Some(path))), _) => format!("the trace {path}"),
        (Some((pace, None)), _) => format!("{pace} events/s"),
        (None, [[_, from], .., [_, to]]) if from != to => {
            format!("{} to {} events/s", unit::short(*from), unit::short(*to))
        }
        (None, points) => {
            format!("{} events/s", unit::short(points.first().map_or(0.0, |it| it[1])))
        }
    }
}

/// Payload sizes in a few words.
pub(crate) fn sizes(size: &SizePlan) -> String {
    let range = |min: u64, max: u64| match max > min {
        true => format!("{} to {}", unit::bytes(min as f64), unit::bytes(max as f64)),
        false => unit::bytes(min as f64),
    };
    let part = |part: &SizePart| {
        format!("{} {}", unit::percent(part.share), range(part.min_bytes, part.max_bytes))
    };
    match size.parts.as_slice() {
        [] => range(size.min_bytes, size.max_bytes),
        parts => format!("({})", parts.iter().map(part).collect::<Vec<_>>().join(", ")),
    }
}

/// What the figures rest on, in one line.
pub(crate) fn clock(run: &Run) -> String {
    let mode = match run.clock.mode.as_str() {
        "single" => "one machine publishes and receives",
        "swarm" => "each machine times its own events",
        "none" => "no publisher's clock: relative figures only",
        other => other,
    };
    let rx = match run.clock.rx.as_str() {
        "kernel" => "arrival = kernel receive stamp",
        "user" => "arrival = read in user space, our own delay included",
        other => other,
    };
    let mut parts = vec![mode.to_owned(), rx.to_owned()];
    if !run.clock.domain.is_empty() {
        parts.push(format!("{} clock", run.clock.domain));
    }
    parts.push(format!("seed {}", run.seed));
    parts.retain(|part| !part.is_empty());
    parts.join(" | ")
}

/// One machine of several in a line.
pub(crate) fn agent(agent: &Agent) -> String {
    let count = |n: Option<u64>| n.map_or_else(|| "n/a".to_owned(), unit::count);
    if let Some(why) = &agent.missing {
        return format!("{}   {} subscribers | LOST: {why}", agent.host, agent.subscribers);
    }
    let verdict = agent.verdict.map_or("", Status::word);
    format!(
        "{}   {} of {} subscribers | {} received, {} lost | {verdict}",
        agent.host,
        count(agent.up),
        unit::count(agent.subscribers),
        count(agent.unique),
        count(agent.lost)
    )
}

/// A rank correlation with the connect order, in words.
pub(crate) fn position(rho: f64) -> &'static str {
    match rho {
        r if r > 0.5 => "earlier connected = earlier served",
        r if r < -0.5 => "later connected = earlier served",
        r if r.abs() > 0.2 => "weak",
        _ => "none",
    }
}

fn objectives(lines: &mut Vec<String>, run: &Run) {
    for (i, slo) in run.slo.iter().enumerate() {
        let name = if i == 0 { "SLO" } else { "" };
        lines.push(block(name, &objective(slo)));
    }
}

/// An objective and its outcome in one line.
pub(crate) fn objective(slo: &SloResult) -> String {
    let (outcome, value) = outcome(slo);
    format!("{outcome:<11}{}   {value}", slo.expr)
}

/// The outcome of an objective in a word, and the value of its figure.
pub(crate) fn outcome(slo: &SloResult) -> (&'static str, String) {
    let word = match slo.ok {
        Some(true) => "PASS",
        Some(false) => "FAIL",
        None => "NOT JUDGED",
    };
    let objective = Objective::parse(&slo.expr).ok();
    let value = slo.value.map_or_else(
        || "no value".to_owned(),
        |value| objective.map_or_else(|| unit::digits(value), |one| one.show(value)),
    );
    (word, value)
}

fn definitions(lines: &mut Vec<String>, run: &Run) {
    let used: Vec<&metric::Definition> = metric::DEFINITIONS
        .iter()
        .filter(|definition| run.metrics.contains_key(definition.name))
        .collect();
    if used.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("WHAT THE NAMES MEAN".to_owned());
    for definition in used {
        lines.extend(layout::defined(definition.name, definition.text));
    }
    lines.extend(layout::defined("n/a", "fewer than ten samples lie above that percentile"));
}

fn spectra(lines: &mut Vec<String>, run: &Run) {
    for definition in metric::DEFINITIONS {
        let Some(metric) = run.metrics.get(definition.name) else {
            continue;
        };
        let Ok(histogram) = metric.histogram.decode() else {
            continue;
        };
        lines.push(String::new());
        lines.push(format!("Percentile spectrum of {} (ms): {}", definition.name, definition.text));
        lines.push(hgrm::text(&histogram).trim_end().to_owned());
    }
}
