//! What one thread counted in one interval.
//!
//! The idea: counts and histograms are kept in two banks, one for what belongs to the measured
//! window and one for the rest, so that the figures of the window are a plain sum over intervals
//! and warm-up can never leak into them. A delivery belongs where its intended time lies;
//! whatever has no intended time belongs to the phase in which it was seen.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::subscriber::End;
use crate::report::model::counts::ConnectErrors;
use crate::report::model::metric::new_histogram;

/// The counts of one interval and thread, or sums of them.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What belongs to the measured window.
    pub(crate) measured: Bank,
    /// What does not.
    pub(crate) other: Bank,
    /// Connects, by phase.
    pub(crate) connects: Connects,
    /// Bytes read from sockets in the interval.
    pub(crate) wire_bytes: u64,
    /// Processor time of the thread.
    pub(crate) cpu_ns: u64,
    /// How long it was ready to run and had no processor; 0 where the kernel does not say.
    pub(crate) waited_ns: u64,
}

/// Deliveries.
#[derive(Debug)]
pub(crate) struct Bank {
    /// From the intended time.
    pub(crate) delivery: Histogram<u64>,
    /// From the actual send.
    pub(crate) sent: Histogram<u64>,
    /// From the intended time to the read in user space; empty unless the kernel stamps.
    pub(crate) user: Histogram<u64>,
    /// From the intended time to the read in user space, at the probes alone.
    pub(crate) probe: Histogram<u64>,
    /// From the kernel's stamp to the read in user space.
    pub(crate) hold: Histogram<u64>,
    /// From the first arrival anywhere.
    pub(crate) relative: Histogram<u64>,
    /// From the beginning of one burst of events to that of the next.
    pub(crate) burst: Histogram<u64>,
    /// Deliveries sent well behind the one before, and those of them that came together with it, at
    /// the subscribers that are followed.
    pub(crate) spaced: u64,
    pub(crate) bunched: u64,
    /// Events as the stream decoder gave them, whatever they turned out to be.
    pub(crate) events: u64,
    /// First arrivals that count.
    pub(crate) unique: u64,
    /// Bytes of their data.
    pub(crate) payload_bytes: u64,
    /// Bytes read from sockets.
    pub(crate) wire_bytes: u64,
    pub(crate) duplicate: u64,
    pub(crate) out_of_order: u64,
    pub(crate) corrupt: u64,
    /// Events without a stamp of this run, or of another topic.
    pub(crate) foreign: u64,
    /// Arrivals at a subscriber that was just connecting, or too old to be told from duplicates.
    pub(crate) ambiguous: u64,
    /// Reads that brought several events.
    pub(crate) coalesced_reads: u64,
    /// Gaps that the server announced.
    pub(crate) gaps_announced: u64,
    /// Streams that broke the rules.
    pub(crate) malformed: u64,
    /// Streams that ended before the run wanted it.
    pub(crate) disconnects: BTreeMap<&'static str, u64>,
}

/// Connects.
#[derive(Debug)]
pub(crate) struct Connects {
    /// Start to established.
    pub(crate) tcp: Histogram<u64>,
    /// Start to first byte of the answer.
    pub(crate) ttfb: Histogram<u64>,
    /// Planned start to complete head.
    pub(crate) ready: Histogram<u64>,
    /// Planned start to first event.
    pub(crate) first_event: Histogram<u64>,
    /// Streams opened.
    pub(crate) opened: u64,
    /// Connects failed.
    pub(crate) errors: ConnectErrors,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            measured: Bank::default(),
            other: Bank::default(),
            connects: Connects {
                tcp: new_histogram(),
                ttfb: new_histogram(),
                ready: new_histogram(),
                first_event: new_histogram(),
                opened: 0,
                errors: ConnectErrors::default(),
            },
            wire_bytes: 0,
            cpu_ns: 0,
            waited_ns: 0,
        }
    }
}

impl Default for Bank {
    fn default() -> Bank {
        Bank {
            delivery: new_histogram(),
            sent: new_histogram(),
            user: new_histogram(),
            probe: new_histogram(),
            hold: new_histogram(),
            relative: new_histogram(),
            burst: new_histogram(),
            spaced: 0,
            bunched: 0,
            events: 0,
            unique: 0,
            payload_bytes: 0,
            wire_bytes: 0,
            duplicate: 0,
            out_of_order: 0,
            corrupt: 0,
            foreign: 0,
            ambiguous: 0,
            coalesced_reads: 0,
            gaps_announced: 0,
            malformed: 0,
            disconnects: BTreeMap::new(),
        }
    }
}

/// Enters a value; one beyond what a histogram can hold (584 years) cannot occur.
pub(crate) fn enter(histogram: &mut Histogram<u64>, value_ns: u64) {
    histogram.record(value_ns).expect("a histogram that grows");
}

/// Adds a histogram to another.
pub(crate) fn add(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    sum.add(part).expect("a histogram that grows");
}

impl Tally {
    /// Adds another thread's or interval's counts.
    pub(crate) fn merge(&mut self, other: &Tally) {
        self.measured.merge(&other.measured);
        self.other.merge(&other.other);
        self.connects.merge(&other.connects);
        self.wire_bytes += other.wire_bytes;
        self.cpu_ns += other.cpu_ns;
        self.waited_ns += other.waited_ns;
    }
}

impl Bank {
    /// Adds another bank.
    pub(crate) fn merge(&mut self, other: &Bank) {
        add(&mut self.delivery, &other.delivery);
        add(&mut self.sent, &other.sent);
        add(&mut self.user, &other.user);
        add(&mut self.probe, &other.probe);
        add(&mut self.hold, &other.hold);
        add(&mut self.relative, &other.relative);
        add(&mut self.burst, &other.burst);
        self.spaced += other.spaced;
        self.bunched += other.bunched;
        self.events += other.events;
        self.unique += other.unique;
        self.payload_bytes += other.payload_bytes;
        self.wire_bytes += other.wire_bytes;
        self.duplicate += other.duplicate;
        self.out_of_order += other.out_of_order;
        self.corrupt += other.corrupt;
        self.foreign += other.foreign;
        self.ambiguous += other.ambiguous;
        self.coalesced_reads += other.coalesced_reads;
        self.gaps_announced += other.gaps_announced;
        self.malformed += other.malformed;
        for (reason, count) in &other.disconnects {
            *self.disconnects.entry(reason).or_default() += count;
        }
    }
}

impl Connects {
    fn merge(&mut self, other: &Connects) {
        add(&mut self.tcp, &other.tcp);
        add(&mut self.ttfb, &other.ttfb);
        add(&mut self.ready, &other.ready);
        add(&mut self.first_event, &other.first_event);
        self.opened += other.opened;
        let (mine, theirs) = (&mut self.errors, &other.errors);
        mine.refused += theirs.refused;
        mine.reset += theirs.reset;
        mine.timeout += theirs.timeout;
        mine.mime += theirs.mime;
        mine.closed += theirs.closed;
        mine.local += theirs.local;
        for (status, count) in &theirs.status {
            *mine.status.entry(status.clone()).or_default() += count;
        }
    }

    /// Enters a connect that failed.
    pub(super) fn fail(&mut self, end: End) {
        let errors = &mut self.errors;
        match end {
            End::Wanted => {}
            End::Refused => errors.refused += 1,
            End::Reset => errors.reset += 1,
            End::Timeout => errors.timeout += 1,
            End::Status(status) => *errors.status.entry(status.to_string()).or_default() += 1,
            End::Mime => errors.mime += 1,
            End::Closed | End::Cut | End::Malformed => errors.closed += 1,
            End::Local => errors.local += 1,
        }
    }
}

impl End {
    /// The name of the reason in a report.
    pub(super) fn reason(self) -> &'static str {
        match self {
            End::Wanted => "wanted",
            End::Closed => "closed",
            End::Cut => "cut",
            End::Reset => "reset",
            End::Refused => "refused",
            End::Timeout => "timeout",
            End::Status(_) => "status",
            End::Mime => "mime",
            End::Malformed => "malformed",
            End::Local => "local",
        }
    }
}
