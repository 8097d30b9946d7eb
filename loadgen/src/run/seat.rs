//! Which of the machines of a run this one is.
//!
//! The idea: a run on several machines is one plan. Every machine knows the whole of it and carries
//! out its part; with one machine that part is everything.

/// One machine's place among those of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Seat {
    /// Its number, from 0.
    pub(crate) machine: u32,
    /// Machines in all.
    pub(crate) of: u32,
    /// The number of its first subscriber, among those of all machines.
    pub(crate) first: u32,
    /// The number that marks the run's stamps, where the machines have agreed on one.
    pub(crate) run: Option<u32>,
}

impl Seat {
    /// Whether there are others.
    pub(crate) fn is_shared(&self) -> bool {
        self.of > 1
    }
}

/// The only machine of a run.
impl Default for Seat {
    fn default() -> Seat {
        Seat { machine: 0, of: 1, first: 0, run: None }
    }
}
