//! Downpour: one event in, every Server-Sent-Events subscriber of its topic gets it.
//!
//! # Layout
//! Lower lines know nothing of higher ones; `docs/ARCHITECTURE.md` follows one event through them.
//!
//! - [`event`], [`topic`], [`http`], [`config`], [`close`]: pure. No I/O, no clock, no atomics.
//! - [`ring`], [`stats`]: shared between threads.
//! - [`delivery`], [`control`]: the two lanes of a worker.
//! - [`worker`], [`sequencer`], [`engine`]: the house.

pub mod close;
pub(crate) mod delivery;
pub mod config;
pub mod doctor;
pub mod event;
pub mod http;
pub mod kernel;
pub mod limits;
pub mod ring;
pub mod stats;
pub mod stream;
pub mod topic;

/// What the fuzz targets reach and nobody else should.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::event::object::{
        LineSplitter, LineTooLong, ObjectError, draft, drafts, line_bytes_max,
    };
}
