//! A case: what the server does wrong, what load meets it, and what the report must say.

use std::time::Duration;

use super::finding::Finding;
use super::rig::Evidence;

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Part of `--quick`.
    pub(super) quick: bool,
    /// Arguments of `serve`.
    pub(super) server: Vec<String>,
    /// Arguments of `run` behind the address.
    pub(super) run: Vec<String>,
    pub(super) disturbance: Option<Disturbance>,
    /// Holds the report against the truth.
    pub(super) check: fn(&Evidence) -> Vec<Finding>,
}

/// Something done to the server, or to the run, from outside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Disturbance {
    /// SIGSTOP to the server this long after the start of the run, for this long.
    Stop { after: Duration, length: Duration },
    /// So many threads that do nothing but keep a processor busy, from before the run to its end.
    Hog { cpu: usize, threads: usize },
}

/// A load in the words of `run`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) subscribers: u32,
    pub(super) events_per_second: u32,
    /// Length of the measured window.
    pub(super) seconds: u32,
    /// Bytes of a payload.
    pub(super) size: u32,
}

impl Load {
    /// Length of the warm-up: short, because the scripted server has none; not zero, so that a
    /// case would notice if warm-up events were counted.
    const WARMUP: &'static str = "500ms";

    /// A load of which every case is a variation: 20,000 deliveries in 4 s. So few that any
    /// machine carries it, so many that p99.9 stands on twenty samples.
    pub(super) const LIGHT: Self =
        Self { subscribers: 25, events_per_second: 200, seconds: 4, size: 128 };

    /// Events before the measured window.
    pub(super) fn warmup_count(self) -> u64 {
        u64::from(self.events_per_second) / 2
    }

    /// Events of the measured window.
    pub(super) fn measured_count(self) -> u64 {
        u64::from(self.events_per_second) * u64::from(self.seconds)
    }

    /// Sequences of the measured window; a case has one stream.
    pub(super) fn measured(self) -> std::ops::Range<u64> {
        self.warmup_count()..self.warmup_count() + self.measured_count()
    }

    /// Deliveries of the measured window.
    pub(super) fn delivery_count(self) -> u64 {
        self.measured_count() * u64::from(self.subscribers)
    }

    /// The arguments of `run`.
    pub(super) fn arguments(self) -> Vec<String> {
        let Self { subscribers, events_per_second, seconds, size } = self;
        let text = format!(
            "--subscribers {subscribers} --rate {events_per_second} --duration {seconds}s \
             --size {size} --warmup {}",
            Self::WARMUP
        );
        text.split(' ').map(str::to_owned).collect()
    }
}

impl Case {
    /// A case of the full list with a load and faults.
    pub(super) fn new(
        name: &'static str,
        load: Load,
        faults: &[&str],
        check: fn(&Evidence) -> Vec<Finding>,
    ) -> Self {
        let faults = faults.iter().flat_map(|fault| ["--fault".to_owned(), (*fault).to_owned()]);
        Self {
            name,
            quick: false,
            server: faults.collect(),
            run: load.arguments(),
            disturbance: None,
            check,
        }
    }

    /// The same, also in the quick list.
    pub(super) fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    /// The same with further arguments of `serve`, separated by blanks.
    pub(super) fn served(mut self, arguments: &str) -> Self {
        self.server.extend(arguments.split(' ').map(str::to_owned));
        self
    }

    /// The same with further arguments of `run`, separated by blanks.
    pub(super) fn with(mut self, arguments: &str) -> Self {
        self.run.extend(arguments.split(' ').map(str::to_owned));
        self
    }

    /// The same with something done to the server from outside.
    pub(super) fn disturbed(self, disturbance: Disturbance) -> Self {
        Self { disturbance: Some(disturbance), ..self }
    }
}
