//! `downpour-load`: a load generator for Server-Sent-Events servers.
//!
//! It opens very many subscribers, publishes on a plan that is fixed before the run, and
//! reports what each subscriber received and when, together with a verdict on whether the
//! measurement itself can be believed.
//!
//! This file knows the commands and nothing else; each command lives in a module of its own
//! with its arguments and one function `run`.

mod agent;
mod amount;
mod calibrate;
mod cli;
mod client;
mod clock;
mod compare;
mod conform;
mod connect;
mod decoder;
mod doctor;
mod failure;
mod find;
mod http;
mod ledger;
mod pace;
mod profile;
mod publisher;
mod report;
mod run;
mod scenario;
mod schedule;
mod selftest;
mod serve;
mod stamp;
mod storm;
mod topics;

use std::process::ExitCode;

/// A run allocates little, but from many threads at once; mimalloc keeps that per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match scenario::expand(std::env::args_os().collect()) {
        Ok(command) => cli::Cli::read(command).unwrap_or_else(|error| error.exit()).run(),
        Err(error) => {
            eprintln!("downpour-load: {error}");
            ExitCode::from(2)
        }
    }
}
