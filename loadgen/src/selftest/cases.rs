//! The list of cases: every claim that the report makes, against a server that breaks it.
//!
//! Counts must be exact: the server injects by number, and the journal says what it did. Times
//! are bounded from below by what was injected, because nothing can be faster than a server that
//! stands still; an upper bound on a shared machine would test the machine. Where a bound needs
//! a margin, it says which.

use std::time::Duration;

use super::case::{Case, Disturbance, Load};
use super::finding::{Finding, at_least, at_most, exactly, named, value};
use super::rig::Evidence;
use crate::report::model::verdict::Status;

/// Events 300 to 400 lie well inside the measured window of [`Load::LIGHT`], which is 101 to 900.
const INTEGRITY: [&str; 5] = [
    "drop:subscriber=3,event=300",
    "duplicate:subscriber=5,event=320",
    "swap:subscriber=7,event=340",
    "corrupt:subscriber=9,event=360,byte=100",
    "gap:subscriber=11,event=380,missing=3",
];

/// One delivery in a million lost, and four more faults of one delivery each (a gap is of three),
/// at events of the measured window of [`MILLION`], which is 151 to 2,250.
const RARE: [&str; 5] = [
    "drop:every=1000000",
    "duplicate:subscriber=5,event=320",
    "swap:subscriber=207,event=640",
    "corrupt:subscriber=309,event=960,byte=100",
    "gap:subscriber=411,event=1280,missing=3,late=2",
];

/// Every case, in the order in which they are run.
pub(super) fn all() -> Vec<Case> {
    let mut cases = vec![
        Case::new("a right server", Load::LIGHT, &[], clean).quick(),
        Case::new("one fault of each kind", Load::LIGHT, &INTEGRITY, each_kind).quick(),
        Case::new("a stall of 100 ms", Load::LIGHT, &["stall:by=100ms,event=500"], stall).quick(),
        Case::new("a constant delay of 5 ms", Load::LIGHT, &["delay:by=5ms"], delay).quick(),
        Case::new("a server stopped for 2 s", STOPPED, &[], stopped)
            .disturbed(Disturbance::Stop {
                after: Duration::from_millis(2_500),
                length: Duration::from_secs(2),
            })
            .quick(),
        Case::new("a publisher held up for 2 s", HELD_UP, &["stall:by=2s,event=200"], held_up),
        Case::new("more than the rig can do", SATURATED, &[], saturated).with("--cpus 0"),
        Case::new("a reader without a processor", STARVED, &[], starved)
            .with("--cpus 0 --threads 1")
            .disturbed(Disturbance::Hog { cpu: 0, threads: 100 })
            .quick(),
        Case::new("each fault once in a million", MILLION, &RARE, one_in_a_million),
        Case::new("first connected, first served", BIASED, &[], first_is_first),
        Case::new("last connected, first served", BIASED, &[], last_is_first)
            .served("--order last"),
        Case::new("connections that end", Load::LIGHT, &["close:every=200"], ends),
        Case::new("subscriptions refused", Load::LIGHT, &["status:code=503,first=5"], refused),
        Case::new("a slow response head", Load::LIGHT, &["slow-head:by=300ms,every=5"], slow_head),
    ];
    cases.extend(single_faults());
    cases.extend(wire_formats());
    cases
}

/// Long enough for the stop to lie inside the window even if this machine takes a second to
/// start: the run's connect, settle and warm-up phases together are below 2 s.
const STOPPED: Load = Load { subscribers: 25, events_per_second: 100, seconds: 6, size: 128 };

/// Payloads so large that the buffers of the kernel, some 10 MB, are full long before a stall of
/// 2 s is over, and the publisher has to wait.
const HELD_UP: Load = Load { subscribers: 2, events_per_second: 100, seconds: 6, size: 131_072 };

/// 400 million deliveries a second through one thread of this tool: 2.5 ns for each, to read it, to
/// check its sum and to enter it; a million events a second to publish beside it.
const SATURATED: Load =
    Load { subscribers: 400, events_per_second: 1_000_000, seconds: 1, size: 128 };

/// 100,000 deliveries a second: a tenth of a processor's time for this tool, of which it gets a
/// hundredth.
const STARVED: Load = Load { subscribers: 50, events_per_second: 2_000, seconds: 4, size: 128 };

/// A little over a million deliveries.
const MILLION: Load = Load { subscribers: 500, events_per_second: 300, seconds: 7, size: 128 };

/// So many subscribers that the last is served measurably later than the first.
const BIASED: Load = Load { subscribers: 1_000, events_per_second: 20, seconds: 4, size: 128 };

/// Each fault alone, so that one cannot stand in for another.
fn single_faults() -> Vec<Case> {
    let case = |name, fault, check| Case::new(name, Load::LIGHT, &[fault], check);
    vec![
        case("one delivery lost", "drop:subscriber=3,event=300", |it| {
            counts(it, &[("lost", 1), ("lost_silent", 1)])
        }),
        case("one delivery doubled", "duplicate:subscriber=3,event=300", |it| {
            counts(it, &[("duplicate", 1)])
        }),
        case("two deliveries swapped", "swap:subscriber=3,event=300", |it| {
            counts(it, &[("out_of_order", 1)])
        }),
        case("one byte of a stamp wrong", "corrupt:subscriber=3,event=300,byte=30", |it| {
            counts(it, &[("lost", 1), ("lost_silent", 1), ("corrupt", 1)])
        }),
        case("one byte of padding wrong", "corrupt:subscriber=3,event=300,byte=127", |it| {
            counts(it, &[("lost", 1), ("lost_silent", 1), ("corrupt", 1)])
        }),
        case("a gap announced in time", "gap:subscriber=3,event=300,missing=2", |it| {
            counts(it, &[("lost", 2), ("gaps_announced", 1)])
        }),
        case("a gap announced late", "gap:subscriber=3,event=300,missing=2,late=3", |it| {
            counts(it, &[("lost", 2), ("gaps_announced", 1), ("gaps_late", 1)])
        }),
        case("a gap never announced", "gap:subscriber=3,event=300,missing=2,silent=true", |it| {
            counts(it, &[("lost", 2), ("lost_silent", 2)])
        }),
        case("the last delivery lost", "drop:subscriber=3,event=900", |it| {
            counts(it, &[("lost", 1), ("lost_silent", 1)])
        }),
        case("a fault in the warm-up", "drop:subscriber=3,event=50", |it| counts(it, &[])),
        case("an event lost to everybody", "drop:event=300", |it| {
            counts(it, &[("lost", 25), ("lost_silent", 25)])
        }),
    ]
}

/// A right server in every way of writing: none may look like a fault.
fn wire_formats() -> Vec<Case> {
    let case = |name, how| Case::new(name, Load::LIGHT, &[], clean).served(how);
    vec![
        case("chunks and CRLF", "--framing chunked --line-end crlf"),
        case("CR alone", "--line-end cr"),
        // Single bytes would be a million writes a second.
        case("chunks in pieces of 13 bytes", "--framing chunked --write-bytes-max 13"),
        case("heartbeats", "--heartbeat 7ms --retry 100ms"),
    ]
}

/// The counts of integrity. What a case does not give is to be 0.
const COUNTS: [&str; 10] = [
    "lost",
    "late",
    "unread",
    "lost_silent",
    "duplicate",
    "out_of_order",
    "corrupt",
    "gaps_announced",
    "gaps_late",
    "gaps_unfounded",
];

/// The counts of integrity, and every fault by subscriber and sequence.
fn counts(evidence: &Evidence, truth: &[(&str, u64)]) -> Vec<Finding> {
    counted_and_named(evidence, truth, Load::LIGHT)
}

fn counted_and_named(evidence: &Evidence, truth: &[(&str, u64)], load: Load) -> Vec<Finding> {
    let of = |name| truth.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
    let mut findings: Vec<Finding> =
        COUNTS.into_iter().map(|name| exactly(&evidence.run, name, of(name))).collect();
    findings.push(named(&evidence.run, &evidence.injections, &load.measured()));
    findings
}

fn clean(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = counts(evidence, &[]);
    findings.push(exactly(&evidence.run, "unique", Load::LIGHT.delivery_count()));
    findings.push(exactly(&evidence.run, "events", Load::LIGHT.measured_count()));
    let written = (Load::LIGHT.measured_count() + Load::LIGHT.warmup_count())
        * u64::from(Load::LIGHT.subscribers);
    findings.push(Finding::new(
        evidence.summary.deliveries == written,
        format!("the server wrote {} of {written}", evidence.summary.deliveries),
    ));
    // On a shared machine a run may well be SUSPECT; then it must say why. A valid one may have
    // remarks, of which this one cannot lack the loopback device.
    let verdict = &evidence.run.verdict;
    let codes: Vec<&str> = verdict.reasons.iter().map(|reason| reason.code.as_str()).collect();
    let explained = verdict.reasons.iter().any(|reason| reason.status == verdict.status);
    findings.push(Finding::new(
        verdict.status != Status::Invalid && explained && codes.contains(&"loopback"),
        format!("{} {}", verdict.status.word(), codes.join(" ")),
    ));
    findings
}

/// Lost are the dropped one, the corrupt one, which is not an arrival, and the gap's three.
fn each_kind(evidence: &Evidence) -> Vec<Finding> {
    let truth = [
        ("lost", 1 + 1 + 3),
        ("lost_silent", 1 + 1),
        ("duplicate", 1),
        ("out_of_order", 1),
        ("corrupt", 1),
        ("gaps_announced", 1),
    ];
    let mut findings = counts(evidence, &truth);
    findings.push(exactly(&evidence.run, "incomplete_events", 5));
    findings
}

/// An event intended `t` into a stall of `D` is late by `D - t`, so of 800 events, 200 a second,
/// 1 % are late by `D` - 40 ms or more, and 0.1 % by `D` - 4 ms. The bounds leave two events of
/// room for where the plan falls. The journal says how long the stall really was.
fn stall(evidence: &Evidence) -> Vec<Finding> {
    let Some(stalled_ns) = evidence.stalled_ns() else {
        return vec![Finding::new(false, "the server did not stall")];
    };
    let stalled = stalled_ns as f64;
    vec![
        at_least(&evidence.run, "delivery.p99", stalled - 50e6),
        at_least(&evidence.run, "delivery.p99.9", stalled - 14e6),
        at_least(&evidence.run, "delivery.max", stalled - 14e6),
        exactly(&evidence.run, "lost", 0),
    ]
}

/// No delivery can be faster than the delay, and at least half must not be much slower than the
/// longest that the server held an event for: the median is robust against a busy machine.
fn delay(evidence: &Evidence) -> Vec<Finding> {
    let Some((least, most)) = evidence.summary.delay_ns else {
        return vec![Finding::new(false, "the server did not delay")];
    };
    vec![
        // A histogram with three digits may round down by a thousandth.
        at_least(&evidence.run, "delivery.min", least as f64 * 0.999),
        at_most(&evidence.run, "delivery.p50", (most as f64) + 5e6),
        exactly(&evidence.run, "lost", 0),
    ]
}

/// Of 600 events, 100 a second, those of the stop are late: 10 % by 0.6 s less than it lasted.
/// The rest of the margin is for a plan that does not start with the stop.
fn stopped(evidence: &Evidence) -> Vec<Finding> {
    let Some(stopped) = evidence.stopped else {
        return vec![Finding::new(false, "the server was not stopped")];
    };
    let stopped_ns = stopped.as_nanos() as f64;
    vec![
        at_least(&evidence.run, "delivery.p90", stopped_ns - 0.7e9),
        at_least(&evidence.run, "delivery.max", stopped_ns - 0.1e9),
        exactly(&evidence.run, "lost", 0),
    ]
}

/// Of 600 events, 200 are late. The first of them wait in the kernel's buffers and are late by
/// either count; the others wait in the publisher, and only the intended time knows. At p80, 120
/// events are above: of the corrected ones all are late by 0.8 s, of the uncorrected ones less
/// than that many are late at all.
fn held_up(evidence: &Evidence) -> Vec<Finding> {
    let run = &evidence.run;
    let corrected = value(run, "delivery.p80");
    vec![
        at_least(run, "delivery.p80", 0.6e9),
        at_most(run, "delivery.sent.p80", corrected / 2.0),
        at_least(run, "publish.slip.max", 0.5e9),
        exactly(run, "lost", 0),
    ]
}

fn saturated(evidence: &Evidence) -> Vec<Finding> {
    invalid(evidence, |codes| !codes.is_empty())
}

/// The server delivered everything, and this program did not get to it: that is no loss.
fn starved(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = invalid(evidence, |codes| codes.contains(&"client_cpu"));
    findings.push(exactly(&evidence.run, "lost", 0));
    findings
}

/// The verdict is INVALID, for reasons that are as they should be.
fn invalid(evidence: &Evidence, right: fn(&[&str]) -> bool) -> Vec<Finding> {
    let verdict = &evidence.run.verdict;
    let invalid = verdict.reasons.iter().filter(|reason| reason.status == Status::Invalid);
    let codes: Vec<&str> = invalid.map(|reason| reason.code.as_str()).collect();
    let text = format!("{} {}", verdict.status.word(), codes.join(" "));
    vec![
        Finding::new(verdict.status == Status::Invalid && right(&codes), text),
        Finding::new(evidence.code == Some(EXIT_INVALID), format!("exit code {:?}", evidence.code)),
    ]
}

/// Exit code of a run whose verdict is INVALID.
const EXIT_INVALID: i32 = 4;

/// Lost are the dropped one, the corrupt one and the gap's three, which came to be told too late.
fn one_in_a_million(evidence: &Evidence) -> Vec<Finding> {
    let truth = [
        ("lost", 1 + 1 + 3),
        ("lost_silent", 1 + 1),
        ("duplicate", 1),
        ("out_of_order", 1),
        ("corrupt", 1),
        ("gaps_announced", 1),
        ("gaps_late", 1),
    ];
    let mut findings = counted_and_named(evidence, &truth, MILLION);
    findings.push(exactly(&evidence.run, "unique", MILLION.delivery_count() - (1 + 1 + 3)));
    findings
}

/// The server sweeps its subscribers one after the other. A busy machine interrupts the sweep and
/// blurs that; but among 1,000 subscribers a correlation of 0.2 is six times what chance makes.
fn first_is_first(evidence: &Evidence) -> Vec<Finding> {
    vec![at_least(&evidence.run, "fairness.position", 0.2)]
}

fn last_is_first(evidence: &Evidence) -> Vec<Finding> {
    vec![at_most(&evidence.run, "fairness.position", -0.2)]
}

/// Each of 25 connections ends after its 200th event, and again after 200 more.
fn ends(evidence: &Evidence) -> Vec<Finding> {
    let closed = evidence.injections.len() as u64;
    let seen: u64 = evidence.run.counts.disconnects.values().sum();
    let enough = closed >= u64::from(Load::LIGHT.subscribers);
    // Ends in the warm-up belong to no window, but the 200th event is not in it.
    vec![Finding::new(enough && seen == closed, format!("{seen} of {closed} ends counted"))]
}

fn refused(evidence: &Evidence) -> Vec<Finding> {
    let status = &evidence.run.connect.errors.status;
    let seen = status.get("503").copied().unwrap_or(0);
    vec![Finding::new(seen == 5, format!("{seen} of 5 answers with 503 counted"))]
}

fn slow_head(evidence: &Evidence) -> Vec<Finding> {
    vec![
        at_least(&evidence.run, "connect.ready.max", 300e6),
        // Twenty of 25 heads came at once; a busy machine may hold up some, hardly half.
        at_most(&evidence.run, "connect.ready.p50", 300e6),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Run;
    use crate::serve::journal::Summary;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut names: Vec<&str> = all().iter().map(|case| case.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn no_check_passes_on_a_report_that_says_nothing() {
        let nothing = Evidence {
            run: Run::default(),
            code: None,
            injections: Vec::new(),
            summary: Summary::default(),
            stopped: None,
        };
        for case in all() {
            let findings = (case.check)(&nothing);
            assert!(findings.iter().any(|finding| !finding.holds), "{}", case.name);
        }
    }

    fn event_of(fault: &str) -> Option<u64> {
        fault.split("event=").nth(1)?.split(',').next()?.parse().ok()
    }

    #[test]
    fn faults_with_an_event_meet_the_measured_window() {
        let window = Load::LIGHT.warmup_count() + 1
            ..Load::LIGHT.warmup_count() + Load::LIGHT.measured_count();
        for fault in INTEGRITY {
            assert!(window.contains(&event_of(fault).expect("an event")), "{fault}");
        }
        for event in RARE.into_iter().filter_map(event_of) {
            assert!(MILLION.measured().contains(&(event - 1)), "{event}");
        }
    }
}
