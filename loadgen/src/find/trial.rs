//! One trial: the server started anew, one run against it, and what came of it.
//!
//! The run is a child process, the same program a user would start, so that a trial measures
//! nothing else than `downpour-load run` with these arguments does.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::Command;

use serde::Serialize;

use super::child;
use super::search::Outcome;
use crate::report::model::Run;
use crate::report::model::verdict::{SloResult, Status};
use crate::report::objective::Objective;
use crate::serve::process::ServerProcess;

/// How trials are made.
#[derive(Debug)]
pub(super) struct Setting {
    /// Command line of the server, started before each trial and ended behind it.
    pub(super) spawn: Option<String>,
    /// Command line run before each trial.
    pub(super) between: Option<String>,
    pub(super) objectives: Vec<Objective>,
    /// The arguments of `run` that never change.
    pub(super) arguments: Vec<String>,
}

/// One finished trial.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Trial {
    pub(super) value: u64,
    pub(super) outcome: Outcome,
    pub(super) slo: Vec<SloResult>,
    /// The run's verdict and its reasons, as words.
    pub(super) verdict: String,
    pub(super) reasons: Vec<String>,
}

impl Setting {
    /// Runs one trial with `flags` added to the fixed arguments.
    ///
    /// # Errors
    ///
    /// Why there is no result at all: the server did not start, or the run could not be made.
    pub(super) fn trial(&self, value: u64, flags: &[String]) -> Result<Trial, String> {
        if let Some(between) = &self.between {
            let status = Command::new("sh").args(["-c", between]).status();
            if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
                return Err(format!("--between {between:?}: {status:?}"));
            }
        }
        let server = self.start_server()?;
        let result = self.run(flags);
        if let Some(server) = server {
            server.end().map_err(|error| format!("--spawn: {error}"))?;
        }
        Ok(self.judge(value, &result?))
    }

    fn start_server(&self) -> Result<Option<ServerProcess>, String> {
        let Some(line) = &self.spawn else {
            return Ok(None);
        };
        let address = address(&self.arguments)?;
        let explain = |error: std::io::Error| format!("--spawn {line:?}: {error}");
        let mut server = ServerProcess::shell(line).map_err(explain)?;
        server.wait_for(address).map_err(explain)?;
        Ok(Some(server))
    }

    fn run(&self, flags: &[String]) -> Result<Run, String> {
        let arguments = [self.arguments.as_slice(), flags].concat();
        child::run(&arguments)?
            .run
            .map_err(|error| format!("run {}: {error}", flags.join(" ")))
    }

    fn judge(&self, value: u64, run: &Run) -> Trial {
        let slo: Vec<SloResult> = self
            .objectives
            .iter()
            .map(|objective| objective.judge(run))
            .collect();
        let outcome = if run.verdict.status == Status::Invalid {
            Outcome::Invalid
        } else if slo.iter().any(|slo| slo.ok == Some(false)) {
            Outcome::Breached
        } else if slo.iter().all(|slo| slo.ok == Some(true)) {
            Outcome::Held
        } else {
            Outcome::Invalid
        };
        Trial {
            value,
            outcome,
            slo,
            verdict: run.verdict.status.word().to_owned(),
            reasons: run
                .verdict
                .reasons
                .iter()
                .map(|reason| reason.text.clone())
                .collect(),
        }
    }
}

/// The address that the first URL among `arguments` names.
///
/// # Errors
///
/// If there is none, or its host is unknown.
pub(super) fn address(arguments: &[String]) -> Result<SocketAddr, String> {
    let url = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("http://"));
    let Some(url) = url else {
        return Err("no http:// address among the arguments of run (after --)".to_owned());
    };
    let authority = url.split(['/', '?']).next().unwrap_or_default();
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut found = with_port
        .to_socket_addrs()
        .map_err(|error| format!("{authority}: {error}"))?;
    found
        .next()
        .ok_or_else(|| format!("{authority}: no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addressed(url: &str) -> Result<String, String> {
        let arguments = ["--rate".to_owned(), "5".to_owned(), url.to_owned()];
        address(&arguments).map(|address| address.to_string())
    }

    #[test]
    fn the_server_is_where_the_address_of_the_run_says() {
        assert_eq!(
            addressed("http://127.0.0.1:8080/events/t").as_deref(),
            Ok("127.0.0.1:8080")
        );
        assert_eq!(
            addressed("http://127.0.0.1?x=1:2").as_deref(),
            Ok("127.0.0.1:80")
        );
        assert_eq!(addressed("http://[::1]:81/").as_deref(), Ok("[::1]:81"));
        assert_eq!(addressed("http://[::1]/").as_deref(), Ok("[::1]:80"));
        assert!(addressed("127.0.0.1:8080").is_err());
    }
}
