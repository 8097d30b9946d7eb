//! From the parts of all agents to one report.
//!
//! The idea: histograms are added and counts summed, as for saved runs that were made side by side.
//! What the parts cannot know is put right here: they began at the same moment whatever their
//! clocks say, an event that several of them missed is one event, and who is not there any more
//! makes the run INVALID.

use super::super::args::Args;
use super::super::verdict::{EVENTS_MIN, few_events};
use super::crew::Member;
use super::site::Finished;
use crate::agent::letters;
use crate::agent::protocol::Part;
use crate::clock;
use crate::failure::Failure;
use crate::report::merge;
use crate::report::model::plan::{Agent, Phase};
use crate::report::model::verdict::{Reason, Status, Verdict};
use crate::report::model::{Mark, Run};

/// How the run went, seen from here.
pub(super) struct Course {
    /// When the word to start was given.
    pub(super) begun: Option<u64>,
    pub(super) finished: Finished,
    pub(super) signal: Option<i32>,
}

/// The report.
///
/// # Errors
///
/// If no agent has anything to report.
pub(super) fn join(args: &Args, mut members: Vec<Member>, course: &Course) -> Result<Run, Failure> {
    let parts: Vec<Option<Part>> = members.iter_mut().map(|member| member.part.take()).collect();
    let agents: Vec<Agent> = members
        .iter()
        .zip(&parts)
        .map(|(member, part)| agent(member, part.as_ref(), course.begun))
        .collect();
    let lost: Vec<Reason> = agents.iter().filter_map(missing).collect();
    let (incomplete, mut runs): (Vec<String>, Vec<Run>) =
        parts.into_iter().flatten().map(|part| (part.incomplete, part.run)).unzip();
    if runs.is_empty() {
        let texts: Vec<String> = lost.into_iter().map(|reason| reason.text).collect();
        return Err(Failure::Invalid(texts.join("; ")));
    }
    for run in &mut runs {
        align(run, course);
        // An agent has it from a file of its own.
        run.plan.pace = args.rate.shape().filter(|_| run.publish.is_some());
    }
    let mut run = merge::side_by_side(&runs)?;
    run.started_unix_ns = runs.iter().map(|run| run.started_unix_ns).min().unwrap_or(0);
    run.verdict = verdict(&agents, &runs, &run);
    lost.into_iter().chain(apart(args, &agents)).for_each(|reason| run.verdict.add(reason));
    run.command = crate::cli::command();
    run.name.clone_from(&args.name);
    run.labels = args.label.iter().cloned().collect();
    run.interrupted |= course.signal.is_some();
    run.plan.scenario = args.scenario_kind.to_owned();
    run.plan.subscribers = args.subscribers.0;
    run.plan.injected = args.inject.iter().map(ToString::to_string).collect();
    run.connect.asked = args.subscribers.0;
    run.clock.agents = agents;
    if run.publish.is_none() {
        // Every agent has counted the events that others publish.
        run.counts.events = runs.iter().map(|run| run.counts.events).max().unwrap_or(0);
        run.rates.events = runs.iter().filter_map(|run| run.rates.events).reduce(f64::max);
    }
    if run.counts.incomplete_events.is_some() {
        run.counts.incomplete_events = Some(incomplete_count(&incomplete)?);
    }
    run.slow = merge::slow(&runs);
    let injected = &course.finished.marks;
    run.notes.extend(injected.iter().map(|mark| format!("injected: {}", mark.text)));
    // What an agent marks follows from the plan, and is the same for all.
    run.marks = moved(&runs[0].marks, runs[0].started_unix_ns, &run);
    run.marks.extend(moved(injected, course.finished.began_ns, &run));
    run.server = course.finished.server(&run);
    // The parts are no repeats, whose spread would say how far the figures can be trusted.
    run.runs = Vec::new();
    Ok(run)
}

/// Marks that count from another time than the report.
fn moved(marks: &[Mark], from_ns: u64, run: &Run) -> Vec<Mark> {
    let by_ns = from_ns.saturating_sub(run.started_unix_ns);
    marks.iter().map(|mark| Mark { t_ns: mark.t_ns + by_ns, ..mark.clone() }).collect()
}

/// Moves a run to the coordinator's clock: all parts began to settle at its word.
fn align(run: &mut Run, course: &Course) {
    let settled = run.span(Phase::Settle).map(|span| span.start_ns).zip(course.begun);
    run.started_unix_ns = match settled {
        Some((start_ns, begun_ns)) => begun_ns.saturating_sub(start_ns),
        None => course.finished.began_ns,
    };
}

fn agent(member: &Member, part: Option<&Part>, begun: Option<u64>) -> Agent {
    let run = part.map(|part| &part.run);
    Agent {
        host: member.name.clone(),
        subscribers: member.subscribers,
        up: run.map(|run| run.connect.up).or(member.up),
        unique: run.map(|run| run.counts.unique),
        lost: run.and_then(|run| run.counts.lost),
        verdict: run.map(|run| run.verdict.status),
        start_within_ns: begun
            .zip(member.started_ns)
            .map(|(begun_ns, started_ns)| started_ns.saturating_sub(begun_ns)),
        missing: match run {
            Some(_) => None,
            None => Some(member.lost.clone().unwrap_or_else(|| "it sent no report".to_owned())),
        },
    }
}

fn missing(agent: &Agent) -> Option<Reason> {
    let why = agent.missing.as_ref()?;
    Some(Reason {
        code: "agent_lost".to_owned(),
        status: Status::Invalid,
        value: None,
        limit: None,
        text: format!(
            "agent {} was lost: {why}; its subscribers, and what its events' latencies were, are in \
             no figure",
            agent.host
        ),
    })
}

/// Starts that lie so far apart that an event of one agent may be due before a subscriber of
/// another counts.
fn apart(args: &Args, agents: &[Agent]) -> Option<Reason> {
    let within_ns = agents.iter().filter_map(|agent| agent.start_within_ns).max()?;
    let limit_ns = clock::ns(args.settle.0) / 2;
    (within_ns > limit_ns).then(|| Reason {
        code: "agent_start".to_owned(),
        status: Status::Invalid,
        value: Some(within_ns as f64),
        limit: Some(limit_ns as f64),
        text: "the agents may have started further apart than half of --settle, so what was due \
               to whom is not known; give a longer --settle"
            .to_owned(),
    })
}

/// The verdicts of all agents, each reason with the names of those that give it.
fn verdict(agents: &[Agent], runs: &[Run], all: &Run) -> Verdict {
    let mut given: Vec<(Reason, Vec<&str>)> = Vec::new();
    let present = agents.iter().filter(|agent| agent.missing.is_none());
    for (agent, run) in present.zip(runs) {
        for reason in &run.verdict.reasons {
            let alike = |known: &Reason| known.code == reason.code && known.text == reason.text;
            match given.iter_mut().find(|(known, _)| alike(known) || is_few(known, reason)) {
                Some((known, names)) => {
                    known.value =
                        [known.value, reason.value].into_iter().flatten().reduce(f64::max);
                    names.push(&agent.host);
                }
                None => given.push((reason.clone(), vec![&agent.host])),
            }
        }
    }
    let mut verdict = Verdict::default();
    for (mut reason, names) in given {
        let events = all.counts.events;
        match (reason.code.as_str(), names.as_slice()) {
            // How many events there are, only the whole knows.
            ("events", _) if events as f64 >= EVENTS_MIN => continue,
            ("events", _) => {
                reason.value = Some(events as f64);
                reason.text = few_events(events);
            }
            // All were interrupted, or none: one alone would have been lost.
            ("interrupted", _) => {}
            _ if reason.status == Status::Valid => {}
            (_, [one]) => reason.text = format!("agent {one}: {}", reason.text),
            (_, several) => {
                reason.text = format!("agents {}: {}", several.join(", "), reason.text);
            }
        }
        verdict.add(reason);
    }
    verdict
}

/// Whether both say that there are few events, which have other numbers in their texts.
fn is_few(one: &Reason, other: &Reason) -> bool {
    one.code == "events" && other.code == "events"
}

/// Events that did not reach everybody in time on one agent at least.
fn incomplete_count(parts: &[String]) -> Result<u64, String> {
    let mut some: Vec<bool> = Vec::new();
    for part in parts {
        let letters = letters::read_all(part)?;
        some.resize(some.len().max(letters.len()), false);
        some.iter_mut().zip(letters).for_each(|(some, letter)| *some |= letter == b'y');
    }
    Ok(some.iter().filter(|&&some| some).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(host: &str, missing: Option<&str>) -> Agent {
        Agent {
            host: host.to_owned(),
            missing: missing.map(str::to_owned),
            start_within_ns: Some(1_000_000),
            ..Agent::default()
        }
    }

    fn run(reasons: &[(&str, Status)]) -> Run {
        let mut run = Run::new(Vec::new(), 1, 0);
        for (code, status) in reasons {
            run.verdict.add(Reason {
                code: (*code).to_owned(),
                status: *status,
                value: None,
                limit: None,
                text: format!("{code} it is"),
            });
        }
        run
    }

    #[test]
    fn the_verdict_is_the_worst_and_names_who_said_it() {
        let agents = [agent("a:1", None), agent("b:1", Some("gone")), agent("c:1", None)];
        let (valid, suspect) = (Status::Valid, Status::Suspect);
        let runs = [
            run(&[("loopback", valid), ("events", suspect), ("steal", suspect)]),
            run(&[
                ("loopback", valid),
                ("events", suspect),
                ("hiccup", suspect),
                ("steal", suspect),
            ]),
        ];
        let mut all = run(&[]);
        all.counts.events = 100;
        let of = |all: &Run| verdict(&agents, &runs, all);
        let texts = |verdict: &Verdict| -> Vec<String> {
            verdict.reasons.iter().map(|reason| reason.text.clone()).collect()
        };
        assert_eq!(
            texts(&of(&all)),
            ["loopback it is", "agents a:1, c:1: steal it is", "agent c:1: hiccup it is"]
        );
        assert_eq!(of(&all).status, Status::Suspect);
        all.counts.events = 99;
        assert!(texts(&of(&all))[1].starts_with("99 events"), "too few even together");
        let lost = agents.iter().find_map(missing).unwrap();
        assert!(lost.status == Status::Invalid && lost.text.contains("agent b:1 was lost: gone"));
    }

    #[test]
    fn an_event_that_several_agents_missed_is_one_event() {
        let parts = ["n5yn4", "yn4yn4", "n10"].map(str::to_owned);
        assert_eq!(incomplete_count(&parts), Ok(2));
        assert_eq!(incomplete_count(&[]), Ok(0));
    }
}
