//! The engine as its users meet it: the real program over TCP, on both backends.
//!
//! Each module is one part of `docs/PROTOCOL.md`; each test is one rule of it. Everything is sent
//! and read as bytes by `harness`, which says why.

#[path = "../harness/mod.rs"]
mod harness;

mod admin;
mod cors;
mod fair;
mod fields;
mod hostile;
mod keys;
mod life;
mod limits;
mod lines;
mod locked;
mod publish;
mod rates;
mod refusals;
mod requests;
mod resume;
mod slow;
mod stream;
mod tokens;
mod topics;
