//! What the floors are made of.
//!
//! A floor is a bare loop that does only the kernel's part of a job. It says what a machine can
//! do at best, in the same run in which a server is measured, so that a result is a ratio and not
//! an absolute number of one machine on one day. The floors are the binaries of this crate:
//!
//! | binary | floor of |
//! | --- | --- |
//! | `floor-send` | CPU per delivery and latency, one `send(2)` per subscriber and event |
//! | `floor-coalesce` | deliveries per CPU-second, one `send(2)` for everything outstanding |
//! | `floor-receive` | CPU per received event; also a minimal client for any server |
//! | `floor-pairs` | connections per second and kernel memory per socket |
//!
//! Invariants: no event logic of the engine is used here, and no loop allocates per delivery.
//! This crate does not know the engine or the load generator; it meets them over TCP only.

pub mod failure;
pub mod frame;
pub mod front;
pub mod inbox;
pub mod pace;
pub mod procfs;
pub mod publisher;
pub mod stamp;
pub mod subscribers;
pub mod sys;
pub mod tally;
