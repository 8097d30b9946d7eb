//! The `downpour` program: reads the command line, runs the engine, and answers signals.

use std::process::ExitCode;

use downpour::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(std::env::args_os())
}
