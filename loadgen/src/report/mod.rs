//! Finished runs: the data model that a run is saved in, and the commands that read it.

pub(crate) mod diff;
pub(crate) mod merge;
pub(crate) mod model;
pub(crate) mod plot;
pub(crate) mod show;
