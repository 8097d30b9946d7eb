//! What the server is told to do: how it writes its streams, and which faults it injects.
//!
//! The idea: one vocabulary for both ways in. A fault is a table in a TOML script
//! (`[[fault]]`, `kind = "drop"`, `event = 17`) and the same table in one line as a flag
//! (`--fault drop:event=17`), and both are read by the same derived reader.
//!
//! The faults are in `fault`; this file has the options of the wire and the script that holds
//! both. It knows nothing of sockets.

mod fault;

use std::time::Duration;

use serde::Deserialize;

use crate::amount;

pub(crate) use fault::Fault;
pub(super) use fault::{Gap, Which};

/// A length of time in a script or a flag, as [`amount::Span`] reads it: `100ms`, `2s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

/// A script file: `[wire]` and any number of `[[fault]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Script {
    pub(super) wire: Wire,
    #[serde(rename = "fault")]
    pub(super) faults: Vec<Fault>,
}

/// How streams are written. Every field left out keeps the default named in its description.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Wire {
    /// How the end of a stream is marked: `close` (default) or `chunked`
    #[arg(long, value_enum, value_name = "HOW")]
    pub(super) framing: Option<Framing>,
    /// What ends a line of the stream: `lf` (default), `cr` or `crlf`
    #[arg(long, value_enum, value_name = "END")]
    pub(super) line_end: Option<LineEnd>,
    /// Largest write to a subscriber's socket, in bytes; 1 makes every byte a write of its own
    #[arg(long, value_name = "N")]
    pub(super) write_bytes_max: Option<usize>,
    /// Who is served first: `first` connected (default) or `last`
    #[arg(long, value_enum, value_name = "WHO")]
    pub(super) order: Option<Order>,
    /// Events kept for each topic, for subscribers that come back [default: 100000]
    #[arg(long, value_name = "N")]
    pub(super) history_events: Option<usize>,
    /// Reconnection time sent to every subscriber [default: none]
    #[arg(long, value_name = "TIME")]
    pub(super) retry: Option<Span>,
    /// Interval of comments sent to every subscriber [default: none]
    #[arg(long, value_name = "TIME")]
    pub(super) heartbeat: Option<Span>,
    /// What a subscriber hears whose position is gone: `exact` (default), `late` or `never`
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(super) resume_gap: Option<ResumeGap>,
    /// Leading part of every event id; a client's id with another part is of another epoch
    /// [default: the start time]
    #[arg(long, value_name = "TEXT")]
    pub(super) epoch: Option<String>,
}

/// How the end of a response body is marked (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Framing {
    Close,
    Chunked,
}

/// What ends a line; the event stream format allows all three (WHATWG HTML, section 9.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LineEnd {
    Lf,
    Cr,
    Crlf,
}

/// In which order the subscribers of a topic are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    First,
    Last,
}

/// Whether a hole in a resumed stream is announced before it, after the next event, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ResumeGap {
    Exact,
    Late,
    Never,
}

impl Script {
    /// Reads a script file's text and checks every fault in it.
    ///
    /// # Errors
    ///
    /// The position and the reason, as text for the user.
    pub(super) fn from_toml(text: &str) -> Result<Self, String> {
        let script: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for fault in &script.faults {
            fault.check()?;
        }
        Ok(script)
    }
}

impl Wire {
    /// These options where they are given, otherwise those of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            framing: self.framing.or(other.framing),
            line_end: self.line_end.or(other.line_end),
            write_bytes_max: self.write_bytes_max.or(other.write_bytes_max),
            order: self.order.or(other.order),
            history_events: self.history_events.or(other.history_events),
            retry: self.retry.or(other.retry),
            heartbeat: self.heartbeat.or(other.heartbeat),
            resume_gap: self.resume_gap.or(other.resume_gap),
            epoch: self.epoch.or(other.epoch),
        }
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<amount::Span>().map(|span| Self(span.0))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_refuses_unknown_tables() {
        let error = Script::from_toml("[[faults]]\nkind='drop'").expect_err("a typo");
        assert!(error.contains("fault"), "{error}");
    }

    #[test]
    fn a_flag_of_the_command_line_wins_over_the_script() {
        let file = Script::from_toml("[wire]\nline-end='cr'\nretry='1s'").expect("valid").wire;
        let flags = Wire { line_end: Some(LineEnd::Crlf), ..Wire::default() };
        let wire = flags.or(file);
        assert_eq!(wire.line_end, Some(LineEnd::Crlf));
        assert_eq!(wire.retry, Some(Span(Duration::from_secs(1))));
    }
}
