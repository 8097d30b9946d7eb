//! Downpour: one event in, every Server-Sent-Events subscriber of its topic gets it.
//!
//! # Layout
//! Lower lines know nothing of higher ones; `docs/ARCHITECTURE.md` follows one event through them.
//!
//! - [`event`], [`selector`], [`token`], [`topic`], [`mercure`], [`stream`], [`http`], [`config`],
//!   [`close`]: pure. No I/O, no clock, no atomics.
//! - [`kernel`], [`backend`]: what the machine allows, and which lane runs on it.
//! - [`ring`], `submission`, `sequencer`, [`stats`], [`limits`]: shared between threads.
//! - `delivery`, `control`: the two lanes of a worker.
//! - `worker`, [`engine`], [`doctor`], [`cli`]: the house.

pub mod backend;
pub mod cli;
pub mod close;
pub mod config;
pub(crate) mod control;
pub(crate) mod delivery;
pub mod doctor;
pub mod engine;
pub mod event;
pub mod http;
pub mod kernel;
pub(crate) mod keys;
pub mod limits;
pub mod mercure;
pub mod ring;
pub mod selector;
pub(crate) mod sequencer;
pub mod stats;
pub mod stream;
pub(crate) mod submission;
pub mod token;
pub mod topic;
pub(crate) mod worker;

/// What the benches reach and nobody else should.
#[doc(hidden)]
pub mod benching {
    pub use crate::delivery::bench::{Broadcasts, Listing, Walk};
    pub use crate::sequencer::bench::Numbering;
}

/// What the fuzz targets reach and nobody else should.
#[doc(hidden)]
pub mod fuzzing {
    #[cfg(fuzzing)]
    pub use crate::delivery::rig::Rig;
    pub use crate::event::object::{
        LineSplitter, LineTooLong, ObjectError, draft, drafts, line_bytes_max,
    };
}
