//! What the program does with its command line and its signals.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::config::cli::{Cli, Command, ServeArgs};
use crate::doctor;
use crate::engine::Engine;
use crate::kernel::{self, Machine};

mod hub;

/// Exit code of a command line or configuration that cannot hold, as of every clap program.
const USAGE: u8 = 2;

/// Runs the program on this command line, its first word being the program.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Cli::read(words) {
        Ok(cli) => cli.command,
        Err(error) => {
            // A broken pipe is nobody's fault who still reads.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    match command {
        Command::Serve(args) => {
            let file = args.mercure_file.clone();
            resolved(*args, |config| serve(config, file.as_deref()))
        }
        Command::Doctor(args) => resolved(*args, examine),
    }
}

fn resolved(mut args: ServeArgs, run: impl FnOnce(&Config) -> ExitCode) -> ExitCode {
    if let Err(error) = hub::read(&mut args) {
        eprintln!("error: Mercure hub: {error}");
        return ExitCode::from(USAGE);
    }
    match Config::resolve(args, &kernel::allowed_cpus()) {
        Ok(config) => run(&config),
        Err(refused) => {
            eprintln!("error: {refused}");
            ExitCode::from(USAGE)
        }
    }
}

fn examine(config: &Config) -> ExitCode {
    raise_limits();
    let report = doctor::examine(config, &Machine::read());
    print!("{report}");
    if report.has_problem() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// `hub_file` has directives of the hub, to be read again for its keys.
fn serve(config: &Config, hub_file: Option<&Path>) -> ExitCode {
    raise_limits();
    // Before the first thread, so that no signal finds its default.
    let mut signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: the kernel refuses signal handlers: {error}");
            return ExitCode::FAILURE;
        }
    };
    let bound = config.memory_bound();
    let engine = match Engine::start(config.clone()) {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    engine.announce(&bound);
    hub::announce(config);
    for signal in signals.forever() {
        if signal != SIGHUP {
            break;
        }
        let hub = hub::read_again(config, hub_file);
        let reloaded =
            hub.and_then(|hub| engine.reload_keys(hub.as_ref()).map_err(|error| error.to_string()));
        match reloaded {
            Ok(true) => eprintln!("downpour: SIGHUP: the keys were read again"),
            Ok(false) => eprintln!("downpour: SIGHUP: there is no file of keys to read"),
            Err(error) => eprintln!("downpour: SIGHUP: {error}; nothing was changed"),
        }
    }
    end_on_second_signal(signals);
    eprintln!("downpour: draining");
    engine.drain();
    eprintln!("downpour: drained");
    ExitCode::SUCCESS
}

/// Whoever asks twice does not want to wait for the drain.
fn end_on_second_signal(mut signals: Signals) {
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal != SIGHUP {
                eprintln!("downpour: stopped without draining");
                std::process::exit(1);
            }
        }
    });
}

/// Raises the soft limits that io_uring looks at to the hard ones: RLIMIT_NOFILE for the size of a
/// table, RLIMIT_MEMLOCK for the memory of all rings.
fn raise_limits() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for resource in [Resource::Nofile, Resource::Memlock] {
        let limit = getrlimit(resource);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // Refused only where a sandbox forbids the call; then the limit is what it was.
        let _ = setrlimit(resource, raised);
    }
}
