//! The Mercure hub as its clients meet it: the real program over TCP, on both backends.
//!
//! Each test is a rule of protocol 8 (hubs up to 0.24), of version 1.0, or of what is promised beyond
//! them; `docs/PROTOCOL.md` has the table. Answers are compared whole where clients depend on them.

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod hostile;
mod keys;
mod operation;
mod pages;
mod publish;
mod query;
mod replay;
mod rig;
mod subscribe;
mod subscriptions;
mod truth;
mod version_1;
mod whole;
