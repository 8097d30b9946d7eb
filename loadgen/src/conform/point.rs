//! What a conformance point is, and what can become of it.
//!
//! The idea: a point is one rule with the place where it is written and one function that asks a
//! live server. The function says what it saw, or how the rule was broken with the bytes that
//! show it, or why the point does not apply.
//!
//! This module knows neither sockets nor any single rule.

use std::time::Duration;

use super::site::Site;

/// How binding a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// A standard demands it: clients may break otherwise.
    Must,
    /// Clients or proxies in the field need it.
    Should,
    /// Only told, never judged.
    Info,
}

impl Level {
    /// The level as it is printed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::Info => "INFO",
        }
    }
}

/// One rule and how it is tested.
#[derive(Debug)]
pub(super) struct Point {
    /// Its short name, which never changes: `H1`.
    pub(super) id: &'static str,
    pub(super) level: Level,
    /// The rule as a sentence.
    pub(super) rule: &'static str,
    /// Where it is written.
    pub(super) source: &'static str,
    pub(super) check: fn(&Site) -> Checked,
}

/// What a check comes to: what it saw, or why it did not pass.
pub(super) type Checked = Result<String, Broken>;

/// Why a check did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// The rule is broken: what was seen, and the bytes of the connection.
    Fails { what: String, log: String },
    /// What the check needs is missing: the server does not have it, or the user did not give it.
    Absent(String),
}

impl Broken {
    /// What the check needs is missing.
    pub(super) fn absent(why: impl Into<String>) -> Broken {
        Broken::Absent(why.into())
    }

    /// The same with what led to it in front; what is missing stays as it is.
    pub(super) fn behind(self, before: &str) -> Broken {
        match self {
            Broken::Fails { what, log } => Broken::Fails { what: format!("{before}: {what}"), log },
            absent => absent,
        }
    }

    /// The rule is broken by what several connections show together.
    pub(super) fn fails(what: impl Into<String>) -> Broken {
        Broken::Fails { what: what.into(), log: String::new() }
    }
}

/// A point after it was tested.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) point: &'static Point,
    pub(super) checked: Checked,
    pub(super) took: Duration,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    /// A MUST or a SHOULD is broken.
    Fail,
    /// An INFO point that has something to say.
    Note,
    /// Not checked.
    Absent,
}

impl Judged {
    /// What became of it.
    pub(super) fn outcome(&self) -> Outcome {
        match (&self.checked, self.point.level) {
            (Ok(_), Level::Info) | (Err(Broken::Fails { .. }), Level::Info) => Outcome::Note,
            (Ok(_), _) => Outcome::Pass,
            (Err(Broken::Fails { .. }), _) => Outcome::Fail,
            (Err(Broken::Absent(_)), _) => Outcome::Absent,
        }
    }

    /// What was seen, in words.
    pub(super) fn words(&self) -> &str {
        match &self.checked {
            Ok(seen) => seen,
            Err(Broken::Fails { what, .. }) => what,
            Err(Broken::Absent(why)) => why,
        }
    }

    /// The bytes that show a failure; empty if there are none.
    pub(super) fn log(&self) -> &str {
        match &self.checked {
            Err(Broken::Fails { log, .. }) => log,
            _ => "",
        }
    }
}

/// All points, in the order in which they are tested: last those after which the server is not
/// what it was.
pub(super) fn all() -> impl Iterator<Item = &'static Point> {
    let parts = [
        super::head::POINTS,
        super::request::POINTS,
        super::http2::POINTS,
        super::events::POINTS,
        super::resume::POINTS,
        super::life::POINTS,
        super::churn::POINTS,
        super::slow::POINTS,
        super::limits::POINTS,
        super::restart::POINTS,
    ];
    parts.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own_and_a_source() {
        let names: BTreeSet<&str> = all().map(|point| point.id).collect();
        assert_eq!(names.len(), all().count());
        assert!(all().all(|point| !point.source.is_empty() && !point.rule.is_empty()));
    }
}
