//! The one error of the floors: a sentence for the person at the terminal.
//!
//! A floor that cannot do its work stops; nothing is handled, so nothing needs a kind. The text
//! says what was tried and what the system answered.

use std::fmt;
use std::process::ExitCode;

/// Why a floor cannot go on.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// A failure told in one sentence.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Says what was being done when a call failed.
pub trait Doing<T> {
    /// Turns the error into a [`Failure`] that reads `cannot <what>: <error>`.
    ///
    /// # Errors
    /// The failure, when `self` is an error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("cannot {}: {error}", what())))
    }
}

/// Ends a binary: prints the failure, if there is one, and gives the exit code.
pub fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
