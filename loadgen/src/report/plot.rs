//! The `plot` command: saved runs as one self-contained HTML page.

use std::io::IsTerminal as _;
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
    match args.plot() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("downpour-load plot: {error}");
            ExitCode::from(1)
        }
    }
}

impl Args {
    fn plot(self) -> Result<(), String> {
        if self.output == "-" && std::io::stdout().is_terminal() {
            return Err(
                "a page is of no use on a terminal: -o page.html, or > page.html".to_owned()
            );
        }
        let runs = file::read_all(&self.files)?;
        file::write_text(&html::page(&runs)?, &self.output)
    }
}
