//! The blocks of what was measured: connects, deliveries, integrity, fairness, publishes, and
//! the special populations of a run.

use super::layout::{CELL, TITLE, block, blocks, table};
use super::position;
use crate::report::figure::Figure;
use crate::report::model::Run;
use crate::report::model::counts::Wave;
use crate::report::model::metric::{self, Per};
use crate::report::model::offence::{Kind, LISTED_MAX, Offence};
use crate::report::unit;

pub(super) fn connect(lines: &mut Vec<String>, run: &Run) {
    let connect = &run.connect;
    let mut up = format!("{} / {} up", unit::count(connect.up), unit::count(connect.asked));
    if let Some(length) = connect.length_ns {
        up += &format!(" in {}", unit::time(length));
    }
    if let Some(rate) = connect.achieved_rate {
        up += &format!(" ({}/s", unit::short(rate));
        match run.plan.connect_rate {
            Some(planned) => up += &format!(", planned {}/s)", unit::short(planned)),
            None => up += ")",
        }
    }
    let mut parts = vec![up];
    parts.extend(errors(run));
    lines.push(String::new());
    blocks(lines, "CONNECT", &parts);
    table(lines, run, |definition| definition.per == Per::Connection);
}

/// Failed connects in words; the two that matter most are named even when there are none.
fn errors(run: &Run) -> Vec<String> {
    let errors = &run.connect.errors;
    let mut parts =
        vec![format!("refused {}", errors.refused), format!("timeout {}", errors.timeout)];
    let rest = [
        ("reset", errors.reset),
        ("closed early", errors.closed),
        ("not an event stream", errors.mime),
        ("local error", errors.local),
    ];
    let found = rest.into_iter().filter(|(_, n)| *n > 0);
    parts.extend(found.map(|(name, n)| format!("{name} {n}")));
    parts.extend(errors.status.iter().map(|(status, n)| format!("status {status}: {n}")));
    parts.extend(run.connect.syn_retrans.map(|n| format!("SYN sent again {n}")));
    parts
}

pub(super) fn delivery(lines: &mut Vec<String>, run: &Run) {
    let counts = &run.counts;
    let mut parts = vec![format!("{} events", unit::count(counts.events))];
    parts.push(match counts.expected {
        Some(due) => {
            format!("{} of {} deliveries", unit::count(counts.unique), unit::count(due))
        }
        None => format!("{} deliveries", unit::count(counts.unique)),
    });
    parts.extend(run.rates.deliveries.map(|rate| format!("{} deliveries/s", unit::short(rate))));
    parts.extend(run.rates.payload_bytes.map(|rate| format!("{}/s of data", unit::bytes(rate))));
    parts.extend(run.rates.wire_bytes.map(|rate| format!("{}/s read", unit::bytes(rate))));
    let bunched = Figure::named("bunched").ok().and_then(|figure| figure.read(run));
    let bunched = bunched.filter(|share| *share >= BUNCHED_SHARE_MIN);
    parts.extend(bunched.map(|share| format!("{} in bursts", unit::percent(share))));
    lines.push(String::new());
    blocks(lines, "DELIVERY", &parts);
    table(lines, run, |definition| {
        matches!(definition.per, Per::Delivery | Per::Event)
            && ![metric::CLIENT_HOLD, metric::BURST].contains(&definition.name)
    });
    if let Some(floor) = &run.rig.bandwidth_floor {
        lines.push(format!(
            "  {:<w$}{:>CELL$}   = {} an event, {} a delivery, at {}bit/s",
            "link floor",
            unit::time(floor.time_ns),
            unit::bytes(floor.time_ns as f64 / 8e9 * floor.link_bits_per_second as f64),
            unit::bytes(floor.wire_bytes_per_delivery),
            unit::short(floor.link_bits_per_second as f64),
            w = TITLE - 2,
        ));
    }
}

pub(super) fn integrity(lines: &mut Vec<String>, run: &Run) {
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
    blocks(lines, "INTEGRITY", &text);
    let rest = [
        ("late", counts.late),
        ("unread at the end", counts.unread),
        ("foreign", counts.foreign),
        ("ambiguous", counts.ambiguous),
        ("in flight at the end", counts.in_flight),
        ("lost without a word", counts.lost_silent),
        ("gaps announced", counts.gaps_announced),
        ("gaps announced late", counts.gaps_late),
        ("gaps announced for nothing", counts.gaps_unfounded),
        ("reads of several events", counts.coalesced_reads),
    ];
    let mut text: Vec<String> = rest
        .iter()
        .filter_map(|(name, n)| Some((name, n.filter(|&n| n > 0)?)))
        .map(|(name, n)| format!("{name} {}", unit::count(n)))
        .collect();
    if let Some(bytes) = counts.unread_bytes.filter(|_| counts.unread > Some(0)) {
        text.push(format!("{} in our sockets", unit::bytes(bytes as f64)));
    }
    for (reason, n) in &counts.disconnects {
        text.push(format!("disconnected ({reason}) {}", unit::count(*n)));
    }
    blocks(lines, "", &text);
    offences(lines, run);
}

/// Share of deliveries in bursts below which nobody needs to know.
const BUNCHED_SHARE_MIN: f64 = 0.01;

/// Occurrences of each kind that are named in the text; the JSON has more.
const NAMED_MAX: usize = 3;

/// The first faults of each kind by name.
fn offences(lines: &mut Vec<String>, run: &Run) {
    for kind in Kind::ALL {
        let all: Vec<&Offence> =
            run.counts.offences.iter().filter(|one| one.kind == kind).collect();
        for one in all.iter().take(NAMED_MAX) {
            lines.push(block("", &named(run, one)));
        }
        if all.len() > NAMED_MAX {
            let more = all.len() - NAMED_MAX;
            let listed = if all.len() < LISTED_MAX { "" } else { " or more" };
            lines.push(block("", &format!("{}: {more}{listed} further, in --json", kind.words())));
        }
    }
}

/// One fault in words: `lost: subscriber 3, sequence 300, seen when 301 came, at 4.02 s`.
fn named(run: &Run, one: &Offence) -> String {
    let mut text = format!("{}: subscriber {}", one.kind.words(), one.subscriber);
    if run.plan.topics > 1 {
        text += &format!(", topic {}", one.topic);
    }
    if u64::from(run.plan.publishers) > run.plan.topics {
        text += &format!(", stream {}", one.stream);
    }
    let last = one.expected.map(|first| first + one.count.saturating_sub(1));
    let range = match (one.expected, last) {
        (Some(first), Some(last)) if last > first => format!(", sequences {first} to {last}"),
        (Some(first), _) => format!(", sequence {first}"),
        (None, _) => String::new(),
    };
    text += &match (one.kind, one.met) {
        (Kind::Duplicate | Kind::OutOfOrder, Some(met)) => {
            format!(", sequence {met} where {} was next", unit::count_or_unknown(one.expected))
        }
        (Kind::Lost, None) => format!("{range}, nothing came behind"),
        (Kind::Lost | Kind::GapLate, Some(met)) => format!("{range}, {met} came instead"),
        _ => range,
    };
    text + &format!(", at {}", unit::time(one.at_ns))
}

pub(super) fn fairness(lines: &mut Vec<String>, run: &Run) {
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
    blocks(lines, "FAIRNESS", &parts);
}

pub(super) fn publish(lines: &mut Vec<String>, run: &Run) {
    let Some(publish) = &run.publish else { return };
    let mut parts = vec![
        format!("plan {}", unit::count(publish.planned)),
        format!("sent {}", unit::count(publish.sent)),
        format!("accepted {}", unit::count(publish.acked)),
    ];
    let refused = publish.refused.iter();
    parts.extend(refused.map(|(status, n)| format!("refused {status}: {}", unit::count(*n))));
    if publish.failed > 0 {
        parts.push(format!("failed {}", unit::count(publish.failed)));
    }
    if publish.withheld > 0 {
        parts.push(format!("not taken by the server {}", unit::count(publish.withheld)));
    }
    blocks(lines, "PUBLISH", &parts);
    table(lines, run, |definition| definition.per == Per::Publish);
}

pub(super) fn populations(lines: &mut Vec<String>, run: &Run) {
    if let Some(slow) = &run.slow {
        let rate = unit::bytes(slow.read_bytes_per_second as f64);
        let mut parts = vec![format!("{} subscribers at {rate}/s", unit::count(slow.subscribers))];
        parts.push(match slow.cut_after_ns {
            Some(after) => {
                let after = unit::time(after);
                format!("cut by the server {} (median after {after})", unit::count(slow.cut))
            }
            None => format!("cut by the server {}", unit::count(slow.cut)),
        });
        let without = slow.p99_without_ns.map(unit::time);
        parts.extend(without.map(|p99| format!("p99 of the others without them {p99}")));
        let isolation = slow.isolation.map(unit::digits);
        parts.extend(isolation.map(|factor| format!("with them x {factor}")));
        let unread = slow.unread_bytes.map(|bytes| unit::bytes(bytes as f64));
        parts.extend(unread.map(|bytes| format!("unread at the end {bytes}")));
        blocks(lines, "SLOW", &parts);
    }
    if let Some(storm) = &run.storm {
        for (i, wave) in storm.waves.iter().enumerate() {
            blocks(lines, if i == 0 { "STORM" } else { "" }, &wave_parts(i, wave));
        }
        let integrity = [
            format!("missing without notice {}", unit::count_or_unknown(storm.replay_gap)),
            format!("doubled {}", unit::count_or_unknown(storm.replay_duplicate)),
        ];
        blocks(lines, "", &integrity);
    }
}

fn wave_parts(index: usize, wave: &Wave) -> Vec<String> {
    let after = |ns: Option<u64>| ns.map_or_else(|| "never".to_owned(), unit::time);
    vec![
        format!("wave {}: dropped {}", index + 1, unit::count(wave.dropped)),
        format!("back {}", unit::count(wave.back)),
        format!("half after {}", after(wave.back_50_ns)),
        format!("99 % after {}", after(wave.back_99_ns)),
        format!("all after {}", after(wave.back_all_ns)),
    ]
}
