//! Why a command ended without a result, and the exit code that says which kind of why.
//!
//! The idea: a script that starts a measurement must be able to tell a flag that it got wrong from
//! a server that did not answer, without reading English. The message is for people: it names what
//! was wrong, and what is allowed or how to mend it.

use std::fmt;
use std::process::ExitCode;

/// A command without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was asked for cannot be, whatever machine or server: 2.
    Usage(String),
    /// It can be, and did not go: 1.
    Broken(String),
    /// It went, and is not to be believed: 4.
    Invalid(String),
}

impl Failure {
    /// Says it on standard error, and gives the exit code.
    pub(crate) fn tell(&self, command: &str) -> ExitCode {
        eprintln!("downpour-load {command}: {self}");
        ExitCode::from(match self {
            Failure::Usage(_) => 2,
            Failure::Broken(_) => 1,
            Failure::Invalid(_) => 4,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(text) | Failure::Broken(text) | Failure::Invalid(text)) = self;
        f.write_str(text)
    }
}

/// Most of what goes wrong goes wrong on the way.
impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure::Broken(text)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> String {
        failure.to_string()
    }
}
