//! Whether a measurement can be believed: each check, its limit, and what to do about it.
//!
//! The idea: a bad measurement must not look like a result. INVALID says that the figures
//! describe the rig or a broken run; SUSPECT says that they hold with a reservation.

use crate::report::model::Run;
use crate::report::model::metric;
use crate::report::model::verdict::{Reason, Status};

/// Subscribers that must have come up.
const UP_SHARE_MIN: f64 = 0.999;
/// Events that must have been sent.
const SENT_SHARE_MIN: f64 = 0.99;
/// Busy share of a reading thread beyond which its own queue is measured.
const BUSY_SHARE_MAX: f64 = 0.8;
/// Deliveries that waited this long (p99) to be read lay in sockets until those were full, and a
/// full socket holds up the server: then not even the kernel's stamps are the server's.
const HOLD_NS_MAX: f64 = 1e9;
/// Share of the delivery's p99 that may be the load generator's own delay.
const HOLD_SHARE_MAX: f64 = 0.1;
/// Lateness of sends (p99) that is harmless in any case.
const SLIP_NS_MAX: f64 = 1e6;
/// ... and relative to the delivery's p99.
const SLIP_SHARE_MAX: f64 = 0.05;
/// Stall of the rig relative to the largest delivery.
const HICCUP_SHARE_MAX: f64 = 0.1;
/// Share of the time that the server was ready to run and others had its processors: what it does
/// for an event then takes a quarter longer. Pinned on a quiet machine it waits for the kernel's
/// own threads for 5 to 13 %; beside the load generator on the same processors for half.
const STARVED_SHARE_MAX: f64 = 0.2;
/// Share of processor time that a hypervisor may take.
const STEAL_SHARE_MAX: f64 = 0.01;
/// Share of the deliveries that may be late: with more, even p99 is no more than the horizon.
const LATE_SHARE_MAX: f64 = 0.01;
/// Events below which not even a median over events means much.
pub(super) const EVENTS_MIN: f64 = 100.0;

/// What the run knows beside its figures.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    /// A step of the wall clock.
    pub(super) clock_step_ns: Option<i64>,
    /// Whether the arrivals were stamped by the kernel.
    pub(super) kernel_stamps: bool,
    /// Events that the server refused and yet delivered.
    pub(super) refused_but_delivered: u64,
}

/// Judges a run and writes the verdict into it.
pub(super) fn judge(run: &mut Run, circumstances: &Circumstances) {
    for reason in reasons(run, circumstances) {
        run.verdict.add(reason);
    }
}

fn reasons(run: &Run, circumstances: &Circumstances) -> Vec<Reason> {
    let mut found = Vec::new();
    load(run, &mut found);
    client(run, circumstances, &mut found);
    rig(run, circumstances, &mut found);
    found
}

fn p99(run: &Run, name: &str) -> Option<f64> {
    let metric = run.metrics.get(name)?;
    metric.percentile("99").or(Some(metric.max)).map(|ns| ns as f64)
}

fn reason(code: &str, status: Status, value: f64, limit: f64, text: String) -> Reason {
    Reason { code: code.to_owned(), status, value: Some(value), limit: Some(limit), text }
}

/// Did the load exist that was asked for?
fn load(run: &Run, found: &mut Vec<Reason>) {
    let up = run.connect.up as f64 / (run.connect.asked.max(1) as f64);
    if up < UP_SHARE_MIN {
        let text = format!(
            "only {} of {} subscribers came up; see the connect errors",
            run.connect.up, run.connect.asked
        );
        found.push(reason("connections", Status::Invalid, up, UP_SHARE_MIN, text));
    }
    if let Some(ratio) = run.rates.achieved_ratio
        && ratio < SENT_SHARE_MIN
    {
        found.push(unsent(run, ratio));
    }
    if let Some(reason) = refused(run) {
        found.push(reason);
    } else if run.publish.is_some() && (run.counts.events as f64) < EVENTS_MIN {
        let text = few_events(run.counts.events);
        let value = run.counts.events as f64;
        found.push(reason("events", Status::Suspect, value, EVENTS_MIN, text));
    }
    if run.interrupted {
        let (code, text) = match run.breached.as_slice() {
            [] => ("interrupted", "the run was interrupted".to_owned()),
            exprs => {
                ("breach", format!("the run was ended: {} can no longer be met", exprs.join(", ")))
            }
        };
        let (code, status) = (code.to_owned(), Status::Suspect);
        let text = text + "; it covers what was measured until then";
        found.push(Reason { code, status, value: None, limit: None, text });
    }
}

pub(super) fn few_events(events: u64) -> String {
    format!("{events} events show little of how events differ; measure longer")
}

/// A server that took no event at all: nothing was measured, and a script must not take that for
/// a result.
fn refused(run: &Run) -> Option<Reason> {
    let publish = run.publish.as_ref().filter(|publish| publish.sent > 0 && publish.acked == 0);
    let publish = publish.filter(|_| !run.interrupted)?;
    let statuses: Vec<String> =
        publish.refused.iter().map(|(status, count)| format!("{status} for {count}")).collect();
    let why = match statuses.is_empty() {
        true => "no answer came".to_owned(),
        false => format!("it answered {}", statuses.join(", ")),
    };
    let text = format!(
        "the server accepted none of {} events: {why}; see --publish, --publish-header and \
         --profile",
        publish.sent
    );
    Some(reason("refused", Status::Invalid, 0.0, 1.0, text))
}

/// Who is to blame for events that were not sent: the server, if they were at hand and it did not
/// take them; else this program, which did not get to them.
fn unsent(run: &Run, sent: f64) -> Reason {
    let publish = run.publish.clone().unwrap_or_default();
    let withheld = publish.withheld as f64 / publish.planned.max(1) as f64;
    if sent + withheld < SENT_SHARE_MIN {
        let text = "the publishers could not keep the plan; lower --rate or add --publishers";
        return reason("rate", Status::Invalid, sent, SENT_SHARE_MIN, text.to_owned());
    }
    let text = format!(
        "the server did not take {} of {} events until the run ended, and what was not sent is in \
         no figure; that is its limit, not ours",
        publish.withheld, publish.planned
    );
    reason("publish_blocked", Status::Invalid, sent, SENT_SHARE_MIN, text)
}

/// Is it the load generator that was measured?
fn client(run: &Run, circumstances: &Circumstances, found: &mut Vec<Reason>) {
    let delivery = p99(run, metric::DELIVERY);
    if is_saturated(run) {
        // With kernel stamps a busy reader is late to read, not late to stamp; unless it is so late
        // that the server had to wait for it.
        let behind = [run.counts.late, run.counts.unread].iter().any(|count| *count > Some(0));
        let full = p99(run, metric::CLIENT_HOLD).is_some_and(|hold| hold > HOLD_NS_MAX);
        let stamped = circumstances.kernel_stamps && !behind && !full;
        let status = if stamped { Status::Suspect } else { Status::Invalid };
        let text = match run.rig.busiest_thread_waited.unwrap_or(0.0) {
            waited if waited > 1.0 - BUSY_SHARE_MAX => {
                "a reading thread was nearly always busy or waiting for a processor that others \
                 had; give it one of its own (--cpus), or use more machines"
            }
            _ => "a reading thread was nearly always busy; use more --threads or machines",
        };
        found.push(reason("client_cpu", status, demand(run), BUSY_SHARE_MAX, text.to_owned()));
    }
    found.extend(late(run));
    found.extend(unread(run));
    if let (Some(hold), Some(delivery)) = (p99(run, metric::CLIENT_HOLD), delivery) {
        let share = hold / delivery.max(1.0);
        if share > HOLD_SHARE_MAX && !circumstances.kernel_stamps {
            let text = "deliveries waited in the load generator, inside the figures".to_owned();
            found.push(reason("client_hold", Status::Suspect, share, HOLD_SHARE_MAX, text));
        }
    }
    if let (Some(slip), Some(delivery)) = (p99(run, metric::PUBLISH_SLIP), delivery) {
        let limit = SLIP_NS_MAX.max(delivery * SLIP_SHARE_MAX);
        if slip > limit {
            let text = "events were sent late, by the rig or by a server that stopped reading; \
                        their delay is inside delivery"
                .to_owned();
            found.push(reason("slip", Status::Suspect, slip, limit, text));
        }
    }
}

/// So many deliveries after the horizon that the percentiles end there.
fn late(run: &Run) -> Option<Reason> {
    let (late, expected) = (run.counts.late? as f64, run.counts.expected? as f64);
    let share = late / expected.max(1.0);
    let text = format!(
        "{late} of {expected} deliveries came after the horizon, where the percentiles end; a \
         longer --horizon would tell how late they were"
    );
    let reason = || reason("late", Status::Suspect, share, LATE_SHARE_MAX, text);
    (share > LATE_SHARE_MAX).then(reason)
}

/// Share of the window in which the busiest reading thread was ready to run. One that waits for a
/// processor is as late as one that is busy.
fn demand(run: &Run) -> f64 {
    run.rig.busiest_thread.unwrap_or(0.0) + run.rig.busiest_thread_waited.unwrap_or(0.0)
}

fn is_saturated(run: &Run) -> bool {
    demand(run) > BUSY_SHARE_MAX
}

/// Who is behind with deliveries that were still on their way when the run ended: this program, if
/// it was saturated or at least half of them lay in its sockets; else the server.
fn unread(run: &Run) -> Option<Reason> {
    let count = run.counts.unread.filter(|&count| count > 0)?;
    let least = run.plan.size.as_ref().map_or(0, |size| size.min_bytes) as f64;
    let in_sockets = |bytes: u64| bytes as f64 >= count as f64 * least / 2.0;
    let ours = is_saturated(run) || run.counts.unread_bytes.is_none_or(in_sockets);
    let (status, text) = if ours {
        let text =
            "this program did not keep up; use more --threads or machines, or a smaller load";
        (Status::Invalid, text)
    } else {
        (Status::Suspect, "the server was behind; a longer --horizon would wait for more")
    };
    let text = format!(
        "{count} deliveries past the horizon were still on their way when the run ended, and are \
         not counted as lost: {text}"
    );
    Some(reason("unread", status, count as f64, 0.0, text))
}

/// Was the machine in order?
fn rig(run: &Run, circumstances: &Circumstances, found: &mut Vec<Reason>) {
    if let Some(step_ns) = circumstances.clock_step_ns {
        let text = "the wall clock was set during the run; stop its synchronisation meanwhile";
        let value = step_ns as f64;
        found.push(reason("clock_step", Status::Invalid, value, 1e6, text.to_owned()));
    }
    if let (Some(hiccup), Some(delivery)) =
        (run.metrics.get(metric::RIG_HICCUP), run.metrics.get(metric::DELIVERY))
    {
        let share = hiccup.max as f64 / delivery.max.max(1) as f64;
        if share > HICCUP_SHARE_MAX {
            let text = "this machine stalled for a good part of the largest delivery; the tail \
                        may be its own"
                .to_owned();
            found.push(reason("hiccup", Status::Suspect, share, HICCUP_SHARE_MAX, text));
        }
    }
    if let Some(dropped) = run.rig.softnet.dropped.filter(|&dropped| dropped > 0) {
        let text = "the network stack dropped packets; raise net.core.netdev_max_backlog";
        found.push(reason("softnet", Status::Suspect, dropped as f64, 0.0, text.to_owned()));
    }
    if let Some(steal) = run.rig.steal
        && steal > STEAL_SHARE_MAX
    {
        let text = "the hypervisor gave processor time to others".to_owned();
        found.push(reason("steal", Status::Suspect, steal, STEAL_SHARE_MAX, text));
    }
    found.extend(starved(run));
    if circumstances.refused_but_delivered > 0 {
        let value = circumstances.refused_but_delivered as f64;
        let text = "the server delivered events that it had refused".to_owned();
        found.push(reason("refused_delivered", Status::Suspect, value, 0.0, text));
    }
    if run.target.loopback {
        let text = "server and load generator share this machine over loopback: no wire, and the \
                    sender's processor runs the receiver's TCP"
            .to_owned();
        let status = Status::Valid;
        found.push(Reason { code: "loopback".to_owned(), status, value: None, limit: None, text });
    }
}

/// A server that would have been faster alone.
fn starved(run: &Run) -> Option<Reason> {
    let share = run.server.as_ref()?.starved()?;
    let text = "others had the server's processors for a good part of the time that it was ready \
                to run; give it and the load generator different ones (--spawn does, or \
                taskset and --cpus)"
        .to_owned();
    let reason = || reason("server_starved", Status::Suspect, share, STARVED_SHARE_MAX, text);
    (share > STARVED_SHARE_MAX).then(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::counts::Publish;
    use crate::report::model::host::{CpuTime, Server};
    use crate::report::model::metric::new_histogram;
    use crate::report::model::plan::SizePlan;

    fn sound() -> Run {
        let mut run = Run::new(Vec::new(), 1, 0);
        run.connect.asked = 1_000;
        run.connect.up = 1_000;
        run.counts.events = 1_000;
        run.rates.achieved_ratio = Some(1.0);
        let mut delivery = new_histogram();
        delivery.record_n(10_000_000, 10_000).unwrap();
        run.record(metric::DELIVERY, &delivery, Some(1_000));
        run
    }

    fn status(change: impl Fn(&mut Run), circumstances: &Circumstances) -> (Status, Vec<String>) {
        let mut run = sound();
        change(&mut run);
        judge(&mut run, circumstances);
        let codes = run.verdict.reasons.into_iter().map(|reason| reason.code).collect();
        (run.verdict.status, codes)
    }

    #[test]
    fn every_check_fires_on_what_it_is_for() {
        let none = Circumstances::default();
        assert_eq!(status(|_| {}, &none), (Status::Valid, vec![]));
        let of = |code: &str, status| (status, vec![code.to_owned()]);
        assert_eq!(status(|run| run.connect.up = 998, &none), of("connections", Status::Invalid));
        assert_eq!(
            status(|run| run.rates.achieved_ratio = Some(0.98), &none),
            of("rate", Status::Invalid)
        );
        assert_eq!(
            status(|run| run.rig.busiest_thread = Some(0.9), &none),
            of("client_cpu", Status::Invalid)
        );
        let blocked = |run: &mut Run| {
            run.rates.achieved_ratio = Some(0.5);
            run.publish = Some(Publish { planned: 100, withheld: 50, ..Publish::default() });
        };
        assert_eq!(status(blocked, &none), of("publish_blocked", Status::Invalid));
        let both = |run: &mut Run| {
            run.rates.achieved_ratio = Some(0.5);
            run.publish = Some(Publish { planned: 100, withheld: 40, ..Publish::default() });
        };
        assert_eq!(status(both, &none), of("rate", Status::Invalid));
        let refused = |run: &mut Run| {
            let refused = [("401".to_owned(), 7)].into();
            run.counts.events = 0;
            run.publish = Some(Publish { planned: 7, sent: 7, refused, ..Publish::default() });
        };
        assert_eq!(status(refused, &none), of("refused", Status::Invalid));
        let kernel = Circumstances { kernel_stamps: true, ..none };
        assert_eq!(
            status(|run| run.rig.busiest_thread = Some(0.9), &kernel),
            of("client_cpu", Status::Suspect)
        );
        let late = |run: &mut Run| {
            run.rig.busiest_thread = Some(0.9);
            run.counts.late = Some(1);
        };
        assert_eq!(status(late, &kernel), of("client_cpu", Status::Invalid));
        let many_late = |run: &mut Run| {
            (run.counts.late, run.counts.expected) = (Some(11), Some(1_000));
        };
        assert_eq!(status(many_late, &none), of("late", Status::Suspect));
        let unread = |bytes| {
            move |run: &mut Run| {
                let bytes_of_each = SizePlan { min_bytes: 100, ..SizePlan::default() };
                run.plan.size = Some(bytes_of_each);
                run.counts.unread = Some(7);
                run.counts.unread_bytes = bytes;
            }
        };
        assert_eq!(status(unread(Some(100)), &none), of("unread", Status::Suspect));
        assert_eq!(status(unread(Some(900)), &none), of("unread", Status::Invalid));
        assert_eq!(status(unread(None), &none), of("unread", Status::Invalid));
        let step = Circumstances { clock_step_ns: Some(-5_000_000), ..none };
        assert_eq!(status(|_| {}, &step), of("clock_step", Status::Invalid));
        assert_eq!(
            status(|run| run.rig.softnet.dropped = Some(3), &none),
            of("softnet", Status::Suspect)
        );
        assert_eq!(status(|run| run.rig.steal = Some(0.05), &none), of("steal", Status::Suspect));
        assert_eq!(status(|run| run.interrupted = true, &none), of("interrupted", Status::Suspect));
        assert_eq!(status(|run| run.target.loopback = true, &none), of("loopback", Status::Valid));
    }

    #[test]
    fn a_starved_reader_is_a_busy_one_and_a_long_hold_takes_the_stamps_away() {
        let kernel = Circumstances { kernel_stamps: true, ..Circumstances::default() };
        let starved = |hold_ns: u64| {
            move |run: &mut Run| {
                run.rig.busiest_thread = Some(0.1);
                run.rig.busiest_thread_waited = Some(0.8);
                let mut hold = new_histogram();
                hold.record_n(hold_ns, 1_000).unwrap();
                run.record(metric::CLIENT_HOLD, &hold, None);
            }
        };
        let of = |status| (status, vec!["client_cpu".to_owned()]);
        assert_eq!(status(starved(500_000_000), &kernel), of(Status::Suspect));
        assert_eq!(status(starved(1_500_000_000), &kernel), of(Status::Invalid));
        assert_eq!(status(starved(500_000_000), &Circumstances::default()).0, Status::Invalid);
        let unread = |run: &mut Run| {
            starved(0)(run);
            run.counts.unread = Some(5);
            run.counts.unread_bytes = Some(0);
        };
        let both = vec!["client_cpu".to_owned(), "unread".to_owned()];
        assert_eq!(status(unread, &kernel), (Status::Invalid, both));
    }

    #[test]
    fn a_server_is_starved_by_others_and_not_by_itself() {
        let none = Circumstances::default();
        let server = |waited_ns, neighbours_ns| {
            move |run: &mut Run| {
                run.server = Some(Server {
                    cpu_ns: CpuTime { user: 300, sys: 600 },
                    runqueue_wait_ns: waited_ns,
                    neighbours_ns,
                    ..Server::default()
                });
            }
        };
        let starved = (Status::Suspect, vec!["server_starved".to_owned()]);
        let valid = (Status::Valid, vec![]);
        assert_eq!(status(server(Some(230), Some(230)), &none), starved);
        assert_eq!(status(server(Some(220), Some(9_000)), &none), valid);
        // Threads that outnumber their processors wait for each other, whoever else is there.
        assert_eq!(status(server(Some(9_000), Some(220)), &none), valid);
        assert_eq!(status(server(None, Some(9_000)), &none), valid);
        assert_eq!(status(server(Some(9_000), None), &none), valid);
    }

    #[test]
    fn late_sends_and_stalls_are_held_against_the_delivery() {
        let none = Circumstances::default();
        let with = |name: &'static str, ns: u64| {
            move |run: &mut Run| {
                let mut histogram = new_histogram();
                histogram.record_n(ns, 1_000).unwrap();
                run.record(name, &histogram, None);
            }
        };
        assert_eq!(status(with(metric::PUBLISH_SLIP, 900_000), &none).0, Status::Valid);
        assert_eq!(status(with(metric::PUBLISH_SLIP, 1_100_000), &none).0, Status::Suspect);
        assert_eq!(status(with(metric::RIG_HICCUP, 900_000), &none).0, Status::Valid);
        assert_eq!(status(with(metric::RIG_HICCUP, 1_100_000), &none).0, Status::Suspect);
    }
}
