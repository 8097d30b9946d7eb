//! Whether a measurement can be believed, and whether the objectives hold: two questions that
//! are never mixed. The verdict judges the measurement; an objective judges the server.

use serde::{Deserialize, Serialize};

/// The verdict on the measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Verdict {
    /// The worst status among the reasons; valid without a reason.
    pub(crate) status: Status,
    /// What speaks against the measurement.
    #[serde(default)]
    pub(crate) reasons: Vec<Reason>,
}

/// How far a measurement can be believed. Ordered: later is worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Nothing speaks against it.
    #[default]
    Valid,
    /// The figures hold, with the reservations listed.
    Suspect,
    /// The figures describe the rig or a broken run, not the server.
    Invalid,
}

/// One reason of a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Reason {
    /// Stable name of the check ("client_cpu", "loopback", "rate").
    pub(crate) code: String,
    /// How much this reason alone takes away.
    pub(crate) status: Status,
    /// The value observed, where the check compares one.
    pub(crate) value: Option<f64>,
    /// The limit it was compared with.
    pub(crate) limit: Option<f64>,
    /// One sentence for the reader: what was seen, and what to do about it.
    pub(crate) text: String,
}

impl Verdict {
    /// Adds a reason; the status becomes the worst of all reasons.
    pub(crate) fn add(&mut self, reason: Reason) {
        self.status = self.status.max(reason.status);
        self.reasons.push(reason);
    }
}

impl Status {
    /// The word of the report's first line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Valid => "VALID",
            Status::Suspect => "SUSPECT",
            Status::Invalid => "INVALID",
        }
    }
}

/// An objective and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SloResult {
    /// The objective as given: `last.p99<80ms`, `lost==0`.
    pub(crate) expr: String,
    /// The value of its figure (nanoseconds for times); null when the run does not have it.
    pub(crate) value: Option<f64>,
    /// Whether it holds; null when it was not judged (interrupted, or too few samples).
    pub(crate) ok: Option<bool>,
}
