//! What every test from the outside needs: the real program, raw sockets, and a reader of streams.
//!
//! Nothing of the engine's library is used here, and no client library either: what goes over the
//! wire is written and read byte by byte, so that neither side can hide a mistake of the other.
//!
//! Invariants:
//! - Every wait has the deadline of its engine, so a test ends, and says what it was waiting for.
//! - A test never sleeps to let something happen: it waits for the condition itself.
//! - An engine that panicked anywhere fails the test that started it.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "compiled into each test binary, which uses its own part"
)]

pub(crate) mod engine;
pub(crate) mod issuer;
pub(crate) mod metrics;
mod silence;
pub(crate) mod sse;
pub(crate) mod wire;

pub(crate) use engine::{Backend, Engine};
pub(crate) use sse::{Event, Stream};
pub(crate) use wire::{Response, Wire};

/// Makes two tests of each function: one for each backend.
///
/// A function that is left out of the list is unused, which clippy refuses.
macro_rules! on_both_backends {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn uring() {
                super::$name($crate::harness::Backend::Uring);
            }

            #[test]
            fn epoll() {
                super::$name($crate::harness::Backend::Epoll);
            }
        }
    )+};
}
pub(crate) use on_both_backends;
