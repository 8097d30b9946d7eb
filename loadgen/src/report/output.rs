//! The files a run leaves behind, and the arguments that ask for them.
//!
//! One flattened set of arguments serves every command that measures, so that they are named
//! alike everywhere.

use super::model::Run;
use super::{file, hgrm, hlog, html, junit, markdown};

/// Where to write the results of a run; `-` is standard output.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// The whole run as JSON, histograms included
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) json: Option<String>,

    /// One self-contained HTML page
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) html: Option<String>,

    /// Percentile spectrum of the headline latency, for the HdrHistogram plotter
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hgrm: Option<String>,

    /// Interval log of all latencies, for the HdrHistogram tools
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hlog: Option<String>,

    /// Objectives as JUnit XML, for build servers
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) junit: Option<String>,

    /// GitHub Markdown, for instance to $GITHUB_STEP_SUMMARY
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) md: Option<String>,
}

impl Args {
    /// Writes every file that was asked for; a failure does not keep the others from being
    /// written.
    ///
    /// # Errors
    /// One sentence per file that could not be written.
    pub(crate) fn write(&self, run: &Run) -> Result<(), String> {
        let runs = std::slice::from_ref(run);
        let mut failed = Vec::new();
        let mut one = |path: &Option<String>, make: &dyn Fn() -> Result<String, String>| {
            let Some(path) = path else { return };
            if let Err(error) = make().and_then(|text| file::write_text(&text, path)) {
                failed.push(error);
            }
        };
        one(&self.json, &|| file::json(run));
        one(&self.html, &|| html::page(runs));
        one(&self.hgrm, &|| spectrum(run));
        one(&self.hlog, &|| Ok(hlog::text(run)));
        one(&self.junit, &|| Ok(junit::text(runs)));
        one(&self.md, &|| Ok(markdown::report(runs)));
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    }

    /// Whether a result goes to standard output, where nothing else may then be written.
    pub(crate) fn takes_stdout(&self) -> bool {
        [&self.json, &self.html, &self.hgrm, &self.hlog, &self.junit, &self.md]
            .into_iter()
            .any(|path| path.as_deref() == Some("-"))
    }
}

fn spectrum(run: &Run) -> Result<String, String> {
    match run.headline() {
        Some((_, metric)) => Ok(hgrm::text(&metric.histogram.decode()?)),
        None => Err("no delivery was measured, so there is no percentile spectrum".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    #[test]
    fn every_file_asked_for_is_written_even_when_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name).to_str().unwrap().to_owned());
        let args = Args {
            json: Some("/nonexistent/run.json".to_owned()),
            html: path("run.html"),
            hgrm: path("run.hgrm"),
            hlog: path("run.hlog"),
            junit: path("run.xml"),
            md: path("run.md"),
        };
        let error = args.write(&Sample::default().run()).unwrap_err();
        assert!(error.contains("/nonexistent/run.json"), "{error}");
        for name in ["run.html", "run.hgrm", "run.hlog", "run.xml", "run.md"] {
            assert!(folder.path().join(name).metadata().unwrap().len() > 0, "{name}");
        }
        assert!(!args.takes_stdout());
    }
}
