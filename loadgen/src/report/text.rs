//! The text report: one screen that says what was measured, how far to believe it, and what
//! came out.
//!
//! The idea: every block opens with its name in capitals and every figure stands beside its
//! meaning. A figure that the run does not have is left out or called `n/a`, never printed as
//! zero.

use super::hgrm;
use super::model::counts::Wave;
use super::model::metric::{self, Definition, Metric, Per};
use super::model::plan::Plan;
use super::model::verdict::SloResult;
use super::model::{Run, host};
use super::objective::Objective;
use super::unit;

/// Columns of the percentile tables.
const COLUMNS: [&str; 5] = ["50", "90", "99", "99.9", "99.99"];

/// Width of a figure's cell.
const CELL: usize = 10;

/// Width of the first column.
const TITLE: usize = 15;

/// The report of a run. With `spectrum`, the percentile spectrum of each latency follows.
pub(crate) fn report(run: &Run, spectrum: bool) -> String {
    let mut lines = Vec::new();
    head(&mut lines, run);
    connect(&mut lines, run);
    delivery(&mut lines, run);
    integrity(&mut lines, run);
    fairness(&mut lines, run);
    publish(&mut lines, run);
    populations(&mut lines, run);
    server(&mut lines, run);
    rig(&mut lines, run);
    objectives(&mut lines, run);
    for note in &run.notes {
        lines.push(block("NOTE", note));
    }
    definitions(&mut lines, run);
    if spectrum {
        spectra(&mut lines, run);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A line that begins a block.
fn block(name: &str, text: &str) -> String {
    format!("{name:<TITLE$}{text}").trim_end().to_owned()
}

fn head(lines: &mut Vec<String>, run: &Run) {
    let name = run.name.as_ref().map_or_else(String::new, |name| format!("   run \"{name}\""));
    let cut = if run.interrupted { " (interrupted)" } else { "" };
    lines.push(format!(
        "{} {}{name}   VERDICT: {}{cut}",
        run.tool.name,
        run.tool.version,
        run.verdict.status.word()
    ));
    for reason in &run.verdict.reasons {
        lines.push(block(reason.status.word().to_lowercase().as_str(), &reason.text));
    }
    lines.push(block("started", &unit::utc(run.started_unix_ns)));
    lines.push(block("target", &target(run)));
    lines.push(block("plan", &plan(&run.plan)));
    lines.push(block("clock", &clock(run)));
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

/// The planned events in a few words.
pub(crate) fn load(plan: &Plan) -> String {
    let topics = match plan.topics {
        1 => "1 topic".to_owned(),
        n => format!("{} topics", unit::count(n)),
    };
    let rate = match plan.rate.as_slice() {
        [] => return format!("publishes nothing, {topics}"),
        [[_, rate]] => format!("{} events/s", unit::short(*rate)),
        [[_, from], .., [_, to]] => {
            format!("{} to {} events/s", unit::short(*from), unit::short(*to))
        }
    };
    let arrival = plan.arrival.as_deref().unwrap_or("");
    let size = plan.size.as_ref().map_or_else(String::new, |size| {
        let low = unit::bytes(size.min_bytes as f64);
        match size.max_bytes {
            max if max > size.min_bytes => format!(" x {low} to {}", unit::bytes(max as f64)),
            _ => format!(" x {low}"),
        }
    });
    format!("{rate} {arrival}{size}, {topics}")
}

/// What the figures rest on, in one line.
pub(crate) fn clock(run: &Run) -> String {
    let mode = match run.clock.mode.as_str() {
        "single" => "one machine publishes and receives",
        "swarm" => "each machine times its own events",
        "offset" => "clocks compared over the network",
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

fn connect(lines: &mut Vec<String>, run: &Run) {
    let connect = &run.connect;
    let mut text = format!("{} / {} up", unit::count(connect.up), unit::count(connect.asked));
    if let Some(length) = connect.length_ns {
        text += &format!(" in {}", unit::time(length));
    }
    if let Some(rate) = connect.achieved_rate {
        text += &format!(" ({}/s", unit::short(rate));
        match run.plan.connect_rate {
            Some(planned) => text += &format!(", planned {}/s)", unit::short(planned)),
            None => text += ")",
        }
    }
    text += &errors(run);
    lines.push(String::new());
    lines.push(block("CONNECT", &text));
    table(lines, run, |definition| definition.per == Per::Connection);
}

/// Failed connects in words; the two that matter most are named even when there are none.
fn errors(run: &Run) -> String {
    let errors = &run.connect.errors;
    let mut text = format!("   refused {}   timeout {}", errors.refused, errors.timeout);
    let rest = [
        ("reset", errors.reset),
        ("closed early", errors.closed),
        ("not an event stream", errors.mime),
        ("local error", errors.local),
    ];
    for (name, n) in rest.into_iter().filter(|(_, n)| *n > 0) {
        text += &format!("   {name} {n}");
    }
    for (status, n) in &errors.status {
        text += &format!("   status {status}: {n}");
    }
    if let Some(retrans) = run.connect.syn_retrans {
        text += &format!("   SYN sent again {retrans}");
    }
    text
}

fn delivery(lines: &mut Vec<String>, run: &Run) {
    let counts = &run.counts;
    let mut parts = vec![format!("{} events", unit::count(counts.events))];
    parts.push(match counts.expected {
        Some(due) => {
            format!("{} of {} deliveries", unit::count(counts.unique), unit::count(due))
        }
        None => format!("{} deliveries", unit::count(counts.unique)),
    });
    parts.extend(run.rates.deliveries.map(|rate| format!("{} deliveries/s", unit::short(rate))));
    parts.extend(run.rates.wire_bytes.map(|rate| format!("{}/s read", unit::bytes(rate))));
    lines.push(String::new());
    lines.push(block("DELIVERY", &parts.join("   ")));
    table(lines, run, |definition| {
        matches!(definition.per, Per::Delivery | Per::Event)
            && definition.name != metric::CLIENT_HOLD
    });
    if let Some(floor) = &run.rig.bandwidth_floor {
        lines.push(format!(
            "  {:<w$}{:>CELL$}   = {} x {} on the wire at {}bit/s",
            "link floor",
            unit::time(floor.time_ns),
            unit::count(run.connect.up),
            unit::bytes(floor.wire_bytes_per_delivery),
            unit::short(floor.link_bits_per_second as f64),
            w = TITLE - 2,
        ));
    }
}

/// A table of the metrics that the run has, among those chosen.
fn table(lines: &mut Vec<String>, run: &Run, chosen: impl Fn(&Definition) -> bool) {
    let rows: Vec<(&Definition, &Metric)> = metric::DEFINITIONS
        .iter()
        .filter(|definition| chosen(definition))
        .filter_map(|definition| Some((definition, run.metrics.get(definition.name)?)))
        .collect();
    if rows.is_empty() {
        return;
    }
    let names = COLUMNS.iter().map(|name| format!("p{name}")).chain(["max".to_owned()]);
    let cells: String = names.map(|name| format!("{name:>CELL$}")).collect();
    lines.push(format!("{:TITLE$}{cells}", ""));
    for (definition, metric) in rows {
        lines.push(row(definition, metric));
        lines.extend(interval(definition, metric));
    }
}

fn row(definition: &Definition, metric: &Metric) -> String {
    let values = COLUMNS.iter().map(|name| metric.percentile(name));
    let cells: String = values
        .chain([Some(metric.max)])
        .map(|value| value.map_or_else(|| "n/a".to_owned(), unit::time))
        .map(|text| format!("{text:>CELL$}"))
        .collect();
    let mut note = definition.short.to_owned();
    if metric.censored > 0 {
        note += &format!(", {} cut at the horizon", unit::count(metric.censored));
    }
    let title = if definition.name == metric::LAST { "LAST" } else { definition.title };
    format!("  {title:<w$}{cells}   {note}", w = TITLE - 2)
}

/// The confidence line below the two headline rows.
fn interval(definition: &Definition, metric: &Metric) -> Option<String> {
    let shown = [metric::DELIVERY, metric::LAST, metric::SPREAD, metric::DELIVERY_RELATIVE];
    if !shown.contains(&definition.name) {
        return None;
    }
    let (name, [low, high]) =
        ["99", "90", "50"].iter().find_map(|name| Some((name, metric.ci95.get(*name)?)))?;
    let events =
        metric.n_events.map_or_else(String::new, |n| format!(", {} events", unit::count(n)));
    Some(format!(
        "{:TITLE$}{:>CELL$}95 % interval of p{name}: {} to {} (bootstrap{events})",
        "",
        "",
        unit::time(*low),
        unit::time(*high)
    ))
}

fn integrity(lines: &mut Vec<String>, run: &Run) {
    let counts = &run.counts;
    let named = [
        ("lost", counts.lost),
        ("duplicate", counts.duplicate),
        ("out of order", counts.out_of_order),
        ("corrupt", counts.corrupt),
        ("malformed", counts.malformed),
        ("incomplete events", counts.incomplete_events),
    ];
    let text: Vec<String> =
        named.iter().map(|(name, n)| format!("{name} {}", unit::count_or_unknown(*n))).collect();
    lines.push(String::new());
    lines.push(block("INTEGRITY", &text.join("   ")));
    let rest = [
        ("late", counts.late),
        ("foreign", counts.foreign),
        ("ambiguous", counts.ambiguous),
        ("in flight at the end", counts.in_flight),
        ("gaps announced", counts.gaps_announced),
    ];
    let mut text: Vec<String> = rest
        .iter()
        .filter_map(|(name, n)| Some((name, n.filter(|&n| n > 0)?)))
        .map(|(name, n)| format!("{name} {}", unit::count(n)))
        .collect();
    for (reason, n) in &counts.disconnects {
        text.push(format!("disconnected ({reason}) {}", unit::count(*n)));
    }
    if !text.is_empty() {
        lines.push(block("", &text.join("   ")));
    }
}

fn fairness(lines: &mut Vec<String>, run: &Run) {
    let Some(fairness) = &run.fairness else {
        return;
    };
    let mut parts = vec![format!("Jain {}", unit::digits(fairness.jain))];
    parts.extend(
        fairness
            .mean_ratio
            .map(|ratio| format!("slowest/fastest subscriber mean {}", unit::digits(ratio))),
    );
    parts.extend(
        fairness.position_rho.map(|rho| format!("position bias {rho:+.2} ({})", position(rho))),
    );
    parts.extend(
        fairness
            .last_share_top_percent
            .map(|share| format!("same 1 % last in {}", unit::percent(share))),
    );
    if fairness.silent > 0 {
        parts.push(format!("{} subscribers received nothing", unit::count(fairness.silent)));
    }
    lines.push(block("FAIRNESS", &parts.join("   ")));
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

fn publish(lines: &mut Vec<String>, run: &Run) {
    let Some(publish) = &run.publish else { return };
    let mut text = format!(
        "plan {}   sent {}   accepted {}",
        unit::count(publish.planned),
        unit::count(publish.sent),
        unit::count(publish.acked)
    );
    for (status, n) in &publish.refused {
        text += &format!("   refused {status}: {}", unit::count(*n));
    }
    if publish.failed > 0 {
        text += &format!("   failed {}", unit::count(publish.failed));
    }
    lines.push(block("PUBLISH", &text));
    table(lines, run, |definition| definition.per == Per::Publish);
}

fn populations(lines: &mut Vec<String>, run: &Run) {
    if let Some(slow) = &run.slow {
        let mut text = format!(
            "{} subscribers at {}/s   cut by the server {}",
            unit::count(slow.subscribers),
            unit::bytes(slow.read_bytes_per_second as f64),
            unit::count(slow.cut)
        );
        if let Some(after) = slow.cut_after_ns {
            text += &format!(" (median after {})", unit::time(after));
        }
        if let Some(isolation) = slow.isolation {
            text += &format!("   p99 of the others x {}", unit::digits(isolation));
        }
        lines.push(block("SLOW", &text));
    }
    if let Some(storm) = &run.storm {
        for (i, wave) in storm.waves.iter().enumerate() {
            lines.push(block("STORM", &format!("wave {}   {}", i + 1, wave_line(wave))));
        }
        let text = format!(
            "missing without notice {}   doubled {}",
            unit::count_or_unknown(storm.replay_gap),
            unit::count_or_unknown(storm.replay_duplicate)
        );
        lines.push(block("", &text));
    }
}

fn wave_line(wave: &Wave) -> String {
    let never = || "never".to_owned();
    format!(
        "dropped {}   back {}   half after {}   99 % after {}   all after {}",
        unit::count(wave.dropped),
        unit::count(wave.back),
        wave.back_50_ns.map_or_else(never, unit::time),
        wave.back_99_ns.map_or_else(never, unit::time),
        wave.back_all_ns.map_or_else(never, unit::time)
    )
}

fn server(lines: &mut Vec<String>, run: &Run) {
    let Some(server) = &run.server else { return };
    let mut cpu = server.pid.map_or_else(String::new, |pid| format!("pid {pid}   "));
    cpu += &format!(
        "CPU {} user + {} kernel",
        unit::time(server.cpu_ns.user),
        unit::time(server.cpu_ns.sys)
    );
    if let Some(cores) = server.cores {
        cpu += &format!(" = {} cores", unit::digits(cores));
    }
    if let Some(cost) = server.cpu_per_delivery_ns {
        cpu += &format!(" = {} per delivery", unit::time(cost.round() as u64));
    }
    if let Some(softirq) = server.softirq_cores {
        cpu += &format!("   machine's softirq {} cores", unit::digits(softirq));
    }
    lines.push(block("SERVER", &cpu));
    let memory = memory(server);
    if !memory.is_empty() {
        lines.push(block("", &memory));
    }
}

/// Memory, descriptors and network health of the server, in one line.
fn memory(server: &host::Server) -> String {
    let mut parts = Vec::new();
    let per = &server.mem_per_conn;
    if per.pss.is_some() || per.kernel.is_some() {
        let show = |bytes: Option<f64>| bytes.map_or_else(|| "n/a".to_owned(), unit::bytes);
        parts.push(format!(
            "memory per connection: user {}, kernel {}",
            show(per.pss),
            show(per.kernel)
        ));
    }
    parts.extend(server.pss_bytes.map(|bytes| format!("process {}", unit::bytes(bytes as f64))));
    parts.extend(server.fds.map(|fds| format!("fds {}", unit::count(fds))));
    let net = &server.net;
    let named = [
        ("listen overflows", net.listen_overflows),
        ("segments sent again", net.retrans),
        ("backlog drops", net.backlog_drop),
        ("aborts for memory", net.abort_on_memory),
    ];
    for (name, n) in named {
        parts.extend(n.map(|n| format!("{name} {}", unit::count(n))));
    }
    parts.join("   ")
}

fn rig(lines: &mut Vec<String>, run: &Run) {
    let rig = &run.rig;
    let mut parts = Vec::new();
    parts
        .extend(rig.busiest_thread.map(|share| format!("busiest thread {}", unit::percent(share))));
    parts.extend(rig.runqueue_wait_ns.map(|ns| format!("waited for a CPU {}", unit::time(ns))));
    parts.extend(rig.softnet.dropped.map(|n| format!("softnet drops {n}")));
    parts.extend(rig.steal.map(|share| format!("steal {}", unit::percent(share))));
    parts
        .extend(rig.floor.as_ref().map(|floor| format!("rig floor p99 {}", unit::time(floor.p99))));
    let machine: Vec<String> = [
        rig.cpu_count.map(|n| format!("{n} CPUs")),
        rig.cpu_model.clone(),
        rig.memory_bytes.map(|bytes| unit::bytes(bytes as f64)),
        rig.kernel.as_ref().map(|kernel| format!("kernel {kernel}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    lines.push(block("RIG", &parts.join("   ")));
    if !machine.is_empty() {
        lines.push(block("", &machine.join("   ")));
    }
    table(lines, run, |definition| {
        definition.per == Per::Rig || definition.name == metric::CLIENT_HOLD
    });
}

fn objectives(lines: &mut Vec<String>, run: &Run) {
    for (i, slo) in run.slo.iter().enumerate() {
        let name = if i == 0 { "SLO" } else { "" };
        lines.push(block(name, &objective(slo)));
    }
}

/// An objective and its outcome in one line.
pub(crate) fn objective(slo: &SloResult) -> String {
    let outcome = match slo.ok {
        Some(true) => "PASS",
        Some(false) => "FAIL",
        None => "NOT JUDGED",
    };
    let objective = Objective::parse(&slo.expr).ok();
    let value = slo.value.map_or_else(
        || "no value".to_owned(),
        |value| objective.map_or_else(|| unit::digits(value), |one| one.show(value)),
    );
    format!("{outcome:<6} {}   {value}", slo.expr)
}

fn definitions(lines: &mut Vec<String>, run: &Run) {
    let used = metric::DEFINITIONS.iter().filter(|one| run.metrics.contains_key(one.name));
    let mut named: Vec<String> =
        used.map(|one| format!("  {:<22}{}", one.name, one.text)).collect();
    if named.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("WHAT THE NAMES MEAN".to_owned());
    lines.append(&mut named);
    lines.push(
        "  n/a                   fewer than ten samples lie above that percentile".to_owned(),
    );
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
