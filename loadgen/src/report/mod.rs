//! Finished runs: the data model that a run is saved in, and the commands that read it.

pub(crate) mod bars;
pub(crate) mod comparison;
pub(crate) mod confidence;
pub(crate) mod diff;
pub(crate) mod figure;
pub(crate) mod file;
pub(crate) mod hgrm;
pub(crate) mod hlog;
pub(crate) mod html;
#[cfg(test)]
mod interop;
pub(crate) mod junit;
pub(crate) mod live;
pub(crate) mod markdown;
pub(crate) mod merge;
pub(crate) mod model;
pub(crate) mod ndjson;
pub(crate) mod objective;
pub(crate) mod output;
pub(crate) mod plot;
pub(crate) mod prometheus;
#[cfg(test)]
mod sample;
pub(crate) mod shape;
pub(crate) mod show;
pub(crate) mod snapshot;
pub(crate) mod text;
pub(crate) mod unit;
