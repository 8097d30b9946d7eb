//! Faults by name: which subscriber, which event, when.
//!
//! The idea: a count says that something is wrong, a name lets somebody look for it. Of each kind
//! the first [`LISTED_MAX`] occurrences are kept; the counts beside them say how many there were.

use serde::{Deserialize, Serialize};

/// Occurrences listed of each kind: enough to see a pattern, and some 15 KB of JSON.
pub(crate) const LISTED_MAX: usize = 100;

/// What went wrong.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Due and never received. Also what was received corrupt and not again.
    #[default]
    Lost,
    /// Received again.
    Duplicate,
    /// Received after a later event of the same stream.
    OutOfOrder,
    /// Received with a payload whose checksum does not hold.
    Corrupt,
    /// Received after the horizon: counted as lost too.
    Late,
    /// A gap that the server announced in its place, before anything from behind it.
    Gap,
    /// A gap that the server announced only after an event from behind it had been delivered.
    GapLate,
    /// A gap that the server announced although nothing was missing.
    GapUnfounded,
}

impl Kind {
    /// Every kind, in the order of a report.
    pub(crate) const ALL: [Kind; 8] = [
        Kind::Lost,
        Kind::Duplicate,
        Kind::OutOfOrder,
        Kind::Corrupt,
        Kind::Late,
        Kind::GapLate,
        Kind::GapUnfounded,
        Kind::Gap,
    ];

    /// The kind in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Kind::Lost => "lost",
            Kind::Duplicate => "duplicate",
            Kind::OutOfOrder => "out of order",
            Kind::Corrupt => "corrupt",
            Kind::Late => "late",
            Kind::Gap => "gap announced",
            Kind::GapLate => "gap announced late",
            Kind::GapUnfounded => "gap announced, nothing missing",
        }
    }
}

/// One occurrence of a fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Offence {
    /// What went wrong.
    pub(crate) kind: Kind,
    /// The subscriber: its place in the connect order, from 0.
    pub(crate) subscriber: u64,
    /// Number of its topic, from 0.
    pub(crate) topic: u32,
    /// The stream: the events of one topic through one publisher connection.
    pub(crate) stream: u32,
    /// The sequence that was to come next in the stream, from 0; for a hole the first one
    /// missing. Null where the stream is not known (a corrupt event among several streams).
    pub(crate) expected: Option<u64>,
    /// The sequence that came. For a hole the one that showed it; null if nothing came behind it
    /// or what came cannot be read.
    pub(crate) met: Option<u64>,
    /// Events concerned: for a hole how many are missing, from `expected` on; else 1, and 0 for a
    /// gap without a hole.
    pub(crate) count: u64,
    /// When it was noticed, from the start of the run.
    pub(crate) at_ns: u64,
}

/// The first occurrences of each kind among many, by time.
pub(crate) fn first(mut all: Vec<Offence>) -> Vec<Offence> {
    all.sort_by_key(|one| (one.at_ns, one.subscriber, one.stream, one.expected));
    let mut listed = [0; Kind::ALL.len()];
    all.retain(|one| {
        let kind = &mut listed[one.kind as usize];
        *kind += 1;
        *kind <= LISTED_MAX
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_are_kept_in_order_of_time() {
        let of = |kind, at_ns| Offence { kind, at_ns, ..Offence::default() };
        let many = (0..500).rev().map(|at_ns| of(Kind::Lost, at_ns));
        let kept = first(many.chain([of(Kind::Gap, 900), of(Kind::Corrupt, 3)]).collect());
        assert_eq!(kept.len(), LISTED_MAX + 2);
        assert!(kept.is_sorted_by_key(|one| one.at_ns));
        assert_eq!(kept.last(), Some(&of(Kind::Gap, 900)));
        let lost = kept.iter().filter(|one| one.kind == Kind::Lost);
        assert_eq!(lost.map(|one| one.at_ns).max(), Some(LISTED_MAX as u64 - 1));
    }

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let mut places: Vec<usize> = Kind::ALL.iter().map(|kind| *kind as usize).collect();
        places.sort_unstable();
        assert_eq!(places, (0..Kind::ALL.len()).collect::<Vec<_>>());
    }
}
