//! What a storm found out, as a saved run and as text.

use std::time::Duration;

use super::Args;
use super::account::Account;
use super::fleet::CutBy;
use super::member::Back;
use crate::report::model::counts::{self, Connect, ConnectErrors, Counts, Publish};
use crate::report::model::metric::{RECONNECT_RECOVER, REPLAY_CATCHUP};
use crate::report::model::plan::{Clock, PhasePlan, Plan, SizePlan, Target};
use crate::report::model::verdict::{Reason, SloResult, Status};
use crate::report::model::{Mark, Run};
use crate::report::{text, unit};

/// A finished storm.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) args: Args,
    /// Where events went.
    pub(super) publish_url: String,
    /// Subscribers with a stream before the first wave.
    pub(super) up: u64,
    /// Subscribers without a stream at the end, those who were refused for good included.
    pub(super) away: u64,
    pub(super) loopback: bool,
    /// Events published.
    pub(super) published: u64,
    pub(super) waves: Vec<Wave>,
    pub(super) length: Duration,
    pub(super) started_unix_ns: u64,
    pub(super) account: Account,
}

/// One finished wave.
#[derive(Debug)]
pub(super) struct Wave {
    /// From the start of the storm.
    pub(super) at: Duration,
    pub(super) dropped: u64,
    /// Times from the start of the wave to open streams, sorted.
    pub(super) back: Vec<Duration>,
}

impl Outcome {
    /// Whether nobody missed or doubled anything unannounced, and everybody is back.
    pub(super) fn holds(&self) -> bool {
        self.promises().iter().all(|promise| promise.broken == 0)
    }

    /// The storm as text for a terminal.
    pub(super) fn text(&self) -> String {
        text::report(&self.run(), false)
    }

    /// The storm as a run to save.
    pub(super) fn run(&self) -> Run {
        let seed = self.args.seed;
        let mut run = Run::new(crate::cli::command(), seed, self.started_unix_ns);
        run.target = self.target();
        run.plan = self.plan();
        run.clock = clock();
        run.connect = self.connect();
        run.publish = Some(Publish {
            planned: self.published,
            sent: self.published,
            acked: self.published,
            ..Publish::default()
        });
        run.counts = self.counts();
        let seconds = self.length.as_secs_f64();
        run.rates.events = Some(self.published as f64 / seconds);
        run.rates.deliveries = Some(self.account.proof.events as f64 / seconds);
        run.rates.wire_bytes = Some(self.account.bytes as f64 / seconds);
        run.record(RECONNECT_RECOVER, &self.account.recover, None);
        run.record(REPLAY_CATCHUP, &self.account.catch_up, None);
        run.storm = Some(self.storm());
        run.marks = self.waves.iter().map(Wave::mark).collect();
        run.slo = self.promises().into_iter().map(Promise::into_slo).collect();
        run.notes = self.notes();
        run.verdict.reasons.extend(self.loopback.then(loopback_reason));
        run
    }

    fn target(&self) -> Target {
        Target {
            url: self.args.url.clone(),
            publish_url: Some(self.publish_url.clone()),
            profile: Some(self.args.profile.name().to_owned()),
            http: "1.1".to_owned(),
            loopback: self.loopback,
            ..Target::default()
        }
    }

    fn plan(&self) -> Plan {
        let bytes = self.args.size.min() as u64;
        Plan {
            scenario: "storm".to_owned(),
            subscribers: self.args.subscribers.0,
            rate: vec![[0.0, self.args.rate.0]],
            arrival: Some("fixed".to_owned()),
            size: Some(SizePlan {
                kind: "const".to_owned(),
                min_bytes: bytes,
                max_bytes: bytes,
                parts: Vec::new(),
            }),
            topics: 1,
            // A storm lasts as long as its waves do; all of it counts.
            phases: PhasePlan { measure_ns: nanos(self.length), ..PhasePlan::default() },
            stamp: "payload".to_owned(),
            publishers: 1,
            sources: 1,
            threads: 1,
            ..Plan::default()
        }
    }

    fn connect(&self) -> Connect {
        let status = self
            .account
            .gone_reason
            .iter()
            .map(|reason| (reason.trim_start_matches("status ").to_owned(), self.account.gone));
        Connect {
            asked: self.args.subscribers.0,
            up: self.up,
            errors: ConnectErrors {
                refused: self.account.refused,
                reset: self.account.reset,
                timeout: self.account.timeout,
                status: status.collect(),
                ..ConnectErrors::default()
            },
            ..Connect::default()
        }
    }

    fn counts(&self) -> Counts {
        let proof = &self.account.proof;
        let told = proof.holes_announced + proof.gap_miscounted + proof.gap_needless;
        let lost = Some(self.account.lost).filter(|&lost| lost > 0).into_iter();
        let lost = lost.map(|lost| ("by the server".to_owned(), lost));
        Counts {
            events: self.published,
            unique: proof.events,
            lost: Some(proof.missing_silent),
            duplicate: Some(proof.duplicate),
            corrupt: Some(proof.corrupt),
            malformed: Some(self.account.malformed),
            gaps_announced: Some(told + proof.gap_repeated),
            disconnects: lost.collect(),
            ..Counts::default()
        }
    }

    fn storm(&self) -> counts::Storm {
        counts::Storm {
            waves: self.waves.iter().map(Wave::saved).collect(),
            replay_gap: Some(self.account.proof.missing_silent),
            replay_duplicate: Some(self.account.proof.duplicate),
        }
    }

    fn promises(&self) -> Vec<Promise> {
        let proof = &self.account.proof;
        let promise = |text, broken| Promise { text, broken };
        vec![
            promise("events missing without notice", proof.missing_silent),
            promise("events doubled or out of order", proof.duplicate),
            promise("events with changed bytes", proof.corrupt),
            promise("gaps announced with a wrong count", proof.gap_miscounted),
            promise("gaps announced where none was", proof.gap_needless),
            promise("gaps announced twice", proof.gap_repeated),
            promise("malformed streams", self.account.malformed),
            promise("subscribers not back in the time of their wave", self.missed()),
            promise("subscribers not back at the end", self.away),
        ]
    }

    /// Dropped subscribers who were not back when the patience with their wave ended.
    fn missed(&self) -> u64 {
        self.waves.iter().map(|wave| wave.dropped - wave.back.len() as u64).sum()
    }

    fn notes(&self) -> Vec<String> {
        let proof = &self.account.proof;
        let by = match self.args.cut {
            CutBy::Rst => "a reset",
            CutBy::Fin => "an orderly end",
            CutBy::Server => "a restart of the server",
        };
        let back = match self.args.back {
            Back::Retry => "after the reconnection time".to_owned(),
            Back::After(Duration::ZERO) => "at once".to_owned(),
            Back::After(delay) => format!("after {delay:?}"),
        };
        let verdict = if self.holds() { "PROOF HOLDS" } else { "PROOF BROKEN" };
        let mut notes = vec![
            format!(
                "{verdict}: {} events proved one by one, {} missing events announced in {} gaps",
                unit::count(proof.events),
                unit::count(proof.missing_announced),
                unit::count(proof.holes_announced)
            ),
            format!(
                "{} waves by {by}, subscribers come back {back} with Last-Event-ID",
                self.waves.len()
            ),
        ];
        notes.extend(self.account.gone_reason.as_ref().map(|reason| {
            format!("{} subscribers were answered {reason} and stay away", self.account.gone)
        }));
        notes
    }
}

fn clock() -> Clock {
    Clock {
        domain: "monotonic".to_owned(),
        rx: "user".to_owned(),
        mode: "single".to_owned(),
        agents: Vec::new(),
    }
}

/// A remark that takes nothing from the proof.
fn loopback_reason() -> Reason {
    Reason {
        code: "loopback".to_owned(),
        status: Status::Valid,
        value: None,
        limit: None,
        text: "server and subscribers share this machine: the times to be back contain both sides"
            .to_owned(),
    }
}

/// Something that must not happen.
#[derive(Debug)]
struct Promise {
    text: &'static str,
    broken: u64,
}

impl Promise {
    fn into_slo(self) -> SloResult {
        SloResult {
            expr: format!("{} == 0", self.text),
            value: Some(self.broken as f64),
            ok: Some(self.broken == 0),
        }
    }
}

impl Wave {
    fn mark(&self) -> Mark {
        Mark { t_ns: nanos(self.at), text: format!("storm: {} dropped", self.dropped) }
    }

    fn saved(&self) -> counts::Wave {
        counts::Wave {
            at_ns: nanos(self.at),
            dropped: self.dropped,
            back: self.back.len() as u64,
            back_50_ns: self.back_share(0.5),
            back_99_ns: self.back_share(0.99),
            back_all_ns: self.back_share(1.0),
        }
    }

    /// The time until this share of the dropped was back; none if it never was.
    fn back_share(&self, share: f64) -> Option<u64> {
        let needed = ((self.dropped as f64 * share).ceil() as usize).max(1);
        self.back.get(needed - 1).copied().map(nanos)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_wave_count_those_who_never_came_back() {
        let back = (1..=99).map(Duration::from_millis).collect();
        let wave = Wave { at: Duration::ZERO, dropped: 100, back }.saved();
        assert_eq!(wave.back_50_ns, Some(50_000_000));
        assert_eq!(wave.back_99_ns, Some(99_000_000));
        assert_eq!(wave.back_all_ns, None);
        let nobody = Wave { at: Duration::ZERO, dropped: 0, back: Vec::new() }.saved();
        assert_eq!(nobody.back_50_ns, None);
    }
}
