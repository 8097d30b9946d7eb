//! The `plot` command: saved runs as one self-contained HTML page.

use std::process::ExitCode;

use super::{file, html};

/// Arguments of `downpour-load plot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files written by --json; several runs become a comparison; `-` reads standard input
    #[arg(default_value = "-")]
    files: Vec<String>,

    /// Where to write the page
    #[arg(short, long, default_value = "-")]
    output: String,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { files, output } = args;
    let page = file::read_all(&files).and_then(|runs| html::page(&runs));
    match page.and_then(|page| file::write_text(&page, &output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("downpour-load plot: {error}");
            ExitCode::from(1)
        }
    }
}
