//! The `.hlog` file: every interval's histograms, in the log format of HdrHistogram (1.3).
//!
//! Values are nanoseconds. The headline metric is untagged, because HistogramLogProcessor reads
//! only untagged lines unless told otherwise; all others carry their name as tag, and what was
//! recorded during the warm-up carries `@warmup`, so that no reader can mix it in. Both
//! StartTime and BaseTime are written: the Java reader takes a relative time for the start when
//! only one of them is there.

use super::model::Run;
use super::model::metric::{self, HistogramBlob};
use super::model::plan::Phase;

/// Written after the start time of a line, as the tool's divisor: the maximum is for human
/// eyes and stands in milliseconds.
const MAX_DIVISOR: f64 = 1e6;

/// The log of a run.
pub(crate) fn text(run: &Run) -> String {
    let start = run.started_unix_ns as f64 / 1e9;
    let mut out = format!(
        "#[{} {}, values in nanoseconds, maximum in milliseconds]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {start:.3} (seconds since epoch), {}]\n\
         #[BaseTime: {start:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
         \"Interval_Compressed_Histogram\"\n",
        run.tool.name,
        run.tool.version,
        super::unit::utc(run.started_unix_ns)
    );
    let headline = run.headline().map_or(metric::DELIVERY, |(name, _)| name);
    let mut lines = Vec::new();
    for row in &run.series {
        for (name, blob) in &row.histograms {
            let tag = tag(name, row.phase, headline);
            lines.push((row.t_ns, line(tag.as_deref(), row.t_ns, row.length_ns, blob)));
        }
    }
    whole_window(run, headline, &mut lines);
    // Readers stop at the first line beyond the range they are asked for.
    lines.sort_by_key(|(t_ns, _)| *t_ns);
    out.extend(lines.into_iter().map(|(_, line)| line));
    out
}

/// The tag of a histogram; only the headline metric of the measured window has none.
fn tag(name: &str, phase: Phase, headline: &str) -> Option<String> {
    match phase {
        Phase::Measure if name == headline => None,
        Phase::Measure => Some(name.to_owned()),
        Phase::Warmup => Some(format!("{name}@warmup")),
        Phase::Connect => Some(format!("{name}@connect")),
        Phase::Settle => Some(format!("{name}@settle")),
        Phase::Drain => Some(format!("{name}@drain")),
    }
}

/// Metrics that are recorded once for the whole window, such as those of connecting.
fn whole_window(run: &Run, headline: &str, lines: &mut Vec<(u64, String)>) {
    let window = run.span(Phase::Measure);
    let (start, length) = window.map_or((0, 0), |span| (span.start_ns, span.length_ns));
    for (name, metric) in &run.metrics {
        let in_series = run.series.iter().any(|row| row.histograms.contains_key(name));
        if !in_series {
            let tag = tag(name, Phase::Measure, headline);
            lines.push((start, line(tag.as_deref(), start, length, &metric.histogram)));
        }
    }
}

fn line(tag: Option<&str>, t_ns: u64, length_ns: u64, blob: &HistogramBlob) -> String {
    let Ok(histogram) = blob.decode() else {
        return String::new();
    };
    let tag = tag.map_or_else(String::new, |tag| format!("Tag={tag},"));
    format!(
        "{tag}{:.3},{:.3},{:.3},{}\n",
        t_ns as f64 / 1e9,
        length_ns as f64 / 1e9,
        histogram.max() as f64 / MAX_DIVISOR,
        blob.data
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    /// The histograms of a log by tag, added up.
    fn read(text: &str) -> std::collections::BTreeMap<String, hdrhistogram::Histogram<u64>> {
        let mut found = std::collections::BTreeMap::new();
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            let LogEntry::Interval(interval) = entry.unwrap() else {
                continue;
            };
            let tag = interval.tag().map_or(String::new(), |tag| tag.as_str().to_owned());
            let blob = HistogramBlob {
                data: interval.encoded_histogram().to_owned(),
                ..HistogramBlob::encode(&metric::new_histogram())
            };
            let sum = found.entry(tag).or_insert_with(metric::new_histogram);
            *sum += &blob.decode().unwrap();
        }
        found
    }

    #[test]
    fn the_untagged_lines_add_up_to_the_headline_without_the_warm_up() {
        let run = Sample::default().run();
        let found = read(&text(&run));
        let delivery = &run.metrics[metric::DELIVERY];
        assert_eq!(found[""], delivery.histogram.decode().unwrap());
        assert!(!found["delivery@warmup"].is_empty());
        for name in [metric::LAST, metric::DELIVERY_SENT, metric::CONNECT_TCP] {
            assert_eq!(found[name].len(), run.metrics[name].n, "{name}");
        }
    }

    #[test]
    fn without_a_publisher_the_relative_metric_is_the_headline() {
        let run = Sample { publisher: false, ..Sample::default() }.run();
        let found = read(&text(&run));
        assert_eq!(found[""].len(), run.metrics[metric::DELIVERY_RELATIVE].n);
    }

    #[test]
    fn lines_are_in_order_of_time() {
        let text = text(&Sample::default().run());
        let starts: Vec<f64> = text
            .lines()
            .filter(|line| line.contains(",HIST"))
            .map(|line| line.split(',').rev().nth(3).unwrap().parse().unwrap())
            .collect();
        assert!(starts.len() > 20 && starts.is_sorted(), "{starts:?}");
    }

    #[test]
    fn both_times_and_the_legend_stand_before_the_first_interval() {
        let text = text(&Sample::default().run());
        let head: Vec<&str> = text.lines().take_while(|line| !line.contains("HIST")).collect();
        for expected in ["#[StartTime: 1795251995.000", "#[BaseTime: 1795251995.000", "\"StartT"] {
            assert!(head.iter().any(|line| line.starts_with(expected)), "{expected}");
        }
    }
}
