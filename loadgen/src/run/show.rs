//! Progress while a run lasts: the live view on standard error, and a line of JSON per interval.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use super::args::Args;
use crate::report::live::{Live, Mode};
use crate::report::model::series::Interval;
use crate::report::ndjson;
use crate::report::prometheus::Exporter;
use crate::report::snapshot::Snapshot;

/// Where progress goes.
pub(super) struct Show {
    live: Live,
    rows: Option<BufWriter<Box<dyn Write + Send>>>,
    exporter: Option<Exporter>,
}

impl Show {
    /// The view that the flags ask for.
    ///
    /// # Errors
    ///
    /// If the file for the rows cannot be made.
    pub(super) fn new(args: &Args) -> Result<Show, String> {
        let mode = if args.quiet { Mode::Quiet } else { Mode::of_stderr() };
        let rows: Option<Box<dyn Write + Send>> = match args.ndjson.as_deref() {
            None => None,
            Some("-") => Some(Box::new(std::io::stdout())),
            Some(path) => Some(Box::new(
                File::create(path).map_err(|error| format!("--ndjson {path}: {error}"))?,
            )),
        };
        let exporter = args.prom.as_deref().map(Exporter::start).transpose();
        Ok(Show { live: Live::new(mode), rows: rows.map(BufWriter::new), exporter: exporter? })
    }

    /// Writes a finished row. A pipe that has gone away is no error of the run.
    pub(super) fn row(&mut self, row: &Interval) {
        if let Some(out) = &mut self.rows {
            let _ = ndjson::write(out, row, false).and_then(|()| out.flush());
        }
    }

    /// Shows the state of the run.
    pub(super) fn snapshot(&mut self, snapshot: Snapshot) {
        self.live.update(&snapshot);
        if let Some(exporter) = &self.exporter {
            exporter.update(Arc::new(snapshot));
        }
    }

    /// Says something that is not to be lost.
    pub(super) fn say(&mut self, message: &str) {
        self.live.say(message);
    }

    /// Ends the view.
    pub(super) fn finish(self) {
        self.live.finish();
    }
}
