//! The `report` command: print the report of a saved run.

use std::process::ExitCode;

use super::model::Run;
use super::model::metric;
use super::{bars, file, hgrm, hlog, junit, markdown, text};

/// Arguments of `downpour-load report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files written by --json; `-` reads standard input
    #[arg(default_value = "-")]
    files: Vec<String>,

    /// Form of the report
    #[arg(short = 't', long = "type", value_enum, default_value = "text")]
    form: Form,

    /// Metric of the forms hist and hgrm
    #[arg(short, long, default_value = metric::DELIVERY)]
    metric: String,

    /// Add the percentile spectrum of every latency to the text report
    #[arg(long)]
    latency: bool,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One screen of text
    Text,
    /// GitHub Markdown; several runs become one table
    Markdown,
    /// Bars over a latency scale
    Hist,
    /// Percentile spectrum for the HdrHistogram plotter
    Hgrm,
    /// Interval log for the HdrHistogram tools
    Hlog,
    /// Objectives for build servers
    Junit,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> ExitCode {
    match args.print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("downpour-load report: {error}");
            ExitCode::from(1)
        }
    }
}

impl Args {
    fn print(self) -> Result<(), String> {
        let runs = file::read_all(&self.files)?;
        let report = self.report(&runs)?;
        let report = if self.form == Form::Text { text::shown(report) } else { report };
        file::write_text(&report, "-")
    }

    fn report(&self, runs: &[Run]) -> Result<String, String> {
        let each = |form: &dyn Fn(&Run) -> Result<String, String>| -> Result<String, String> {
            runs.iter().map(form).collect::<Result<Vec<_>, _>>().map(|all| all.join("\n"))
        };
        match self.form {
            Form::Text => each(&|run| Ok(text::report(run, self.latency))),
            Form::Markdown => Ok(markdown::report(runs)),
            Form::Hist => each(&|run| self.bars(run)),
            Form::Hgrm => each(&|run| Ok(hgrm::text(&self.histogram(run)?))),
            Form::Hlog => each(&|run| Ok(hlog::text(run))),
            Form::Junit => Ok(junit::text(runs)),
        }
    }

    fn histogram(&self, run: &Run) -> Result<hdrhistogram::Histogram<u64>, String> {
        let metric = run.metrics.get(&self.metric).ok_or_else(|| {
            let known: Vec<&str> = run.metrics.keys().map(String::as_str).collect();
            format!("{}: no metric {:?}; it has {}", run.label(), self.metric, known.join(", "))
        })?;
        metric.histogram.decode()
    }

    fn bars(&self, run: &Run) -> Result<String, String> {
        let histogram = self.histogram(run)?;
        let meaning = metric::definition(&self.metric).map_or("", |definition| definition.text);
        let head = format!("{}: {} ({meaning})\n", run.label(), self.metric);
        Ok(head + &bars::lines(&histogram).join("\n") + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    fn args(form: Form, metric: &str) -> Args {
        Args { files: Vec::new(), form, metric: metric.to_owned(), latency: false }
    }

    #[test]
    fn every_form_is_made_of_every_kind_of_run() {
        for publisher in [true, false] {
            let runs = [Sample { publisher, ..Sample::default() }.run()];
            let metric = if publisher { metric::DELIVERY } else { metric::DELIVERY_RELATIVE };
            for form in <Form as clap::ValueEnum>::value_variants() {
                assert!(!args(*form, metric).report(&runs).unwrap().is_empty(), "{form:?}");
            }
        }
    }

    #[test]
    fn a_missing_metric_is_answered_with_those_there_are() {
        let runs = [Sample { publisher: false, ..Sample::default() }.run()];
        let error = args(Form::Hist, metric::DELIVERY).report(&runs).unwrap_err();
        assert!(error.contains("delivery.relative"), "{error}");
    }
}
