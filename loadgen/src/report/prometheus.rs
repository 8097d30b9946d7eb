//! A running test for Prometheus: text exposition of the latest snapshot, over HTTP.
//!
//! The idea: one thread answers scrapes from the last snapshot it was handed. It holds the
//! lock only to copy a handle, so neither a slow scraper nor many of them can hold up the run.
//! An exporter dies with its run; the final figures belong in the files.
//!
//! Latencies are summaries with quantiles in seconds, as the format wants its base units. The
//! quantiles come from the whole window so far and are therefore not to be averaged.

mod listener;

pub(crate) use listener::Exporter;

use super::model::metric;
use super::snapshot::Snapshot;

/// Quantiles of each latency.
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

const PREFIX: &str = "downpour_load_";

/// A snapshot in the text exposition format, version 0.0.4.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    counters(&mut out, snapshot);
    gauges(&mut out, snapshot);
    phase(&mut out, snapshot);
    for definition in metric::DEFINITIONS {
        if let Some(histogram) = snapshot.metrics.get(definition.name) {
            summary(&mut out, definition, histogram);
        }
    }
    out
}

fn counters(out: &mut String, snapshot: &Snapshot) {
    let known = [
        ("events_total", "Events published, or seen when others publish", snapshot.events),
        ("deliveries_total", "Deliveries received", snapshot.deliveries),
        ("wire_bytes_total", "Bytes read from sockets", snapshot.wire_bytes),
        ("connect_errors_total", "Connects that failed", snapshot.connect_errors),
        ("disconnects_total", "Streams that ended before the run wanted it", snapshot.disconnects),
    ];
    for (name, help, value) in known {
        single(out, name, help, "counter", value as f64);
    }
    let maybe = [
        ("lost_total", "Deliveries lost", snapshot.lost),
        ("duplicate_total", "Deliveries received again", snapshot.duplicate),
        ("out_of_order_total", "Deliveries out of order", snapshot.out_of_order),
    ];
    for (name, help, value) in maybe {
        // What cannot be known is absent: a zero would be a claim.
        if let Some(value) = value {
            single(out, name, help, "counter", value as f64);
        }
    }
}

fn gauges(out: &mut String, snapshot: &Snapshot) {
    let whole = |value: Option<u64>| value.map(|value| value as f64);
    let all = [
        ("subscribers_asked", "Subscribers asked for", Some(snapshot.asked as f64)),
        ("subscribers_up", "Open streams", Some(snapshot.up as f64)),
        ("subscribers_connecting", "Connects under way", Some(snapshot.connecting as f64)),
        ("events_planned_per_second", "Planned rate of events", snapshot.events_planned_rate),
        ("elapsed_seconds", "Time since the start", Some(snapshot.elapsed_ns as f64 / 1e9)),
        ("busiest_thread_ratio", "Busy share of the busiest thread", snapshot.client_cpu),
        ("server_cores", "CPU cores the server keeps busy", snapshot.server_cpu),
        ("server_cores_waited", "CPU cores it is ready for and lacks", snapshot.server_cpu_waited),
        ("server_memory_bytes", "Memory of the server", whole(snapshot.server_pss_bytes)),
    ];
    for (name, help, value) in all {
        if let Some(value) = value {
            single(out, name, help, "gauge", value);
        }
    }
}

fn phase(out: &mut String, snapshot: &Snapshot) {
    head(out, "phase_info", "The phase of the run, as a label", "gauge");
    *out += &format!(
        "{PREFIX}phase_info{{phase=\"{}\",run=\"{}\"}} 1\n",
        snapshot.phase.word(),
        label(&snapshot.label)
    );
}

fn summary(
    out: &mut String,
    definition: &metric::Definition,
    histogram: &hdrhistogram::Histogram<u64>,
) {
    let name = format!("{}_seconds", definition.name.replace('.', "_"));
    head(out, &name, &format!("Latency {}", definition.text), "summary");
    for quantile in QUANTILES {
        let value = metric::percentile(histogram, quantile * 100.0);
        let value = value.map_or_else(|| "NaN".to_owned(), |ns| (ns as f64 / 1e9).to_string());
        *out += &format!("{PREFIX}{name}{{quantile=\"{quantile}\"}} {value}\n");
    }
    let sum = histogram.mean() * histogram.len() as f64 / 1e9;
    *out += &format!("{PREFIX}{name}_sum {sum}\n{PREFIX}{name}_count {}\n", histogram.len());
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    *out += &format!("# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n");
}

fn single(out: &mut String, name: &str, help: &str, kind: &str, value: f64) {
    head(out, name, help, kind);
    *out += &format!("{PREFIX}{name} {value}\n");
}

/// A label value, escaped as the format asks.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::snapshot::sample;

    /// Every line is a comment or a name, optional labels, and a number.
    fn check(text: &str) {
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value == "NaN" || value.parse::<f64>().is_ok(), "{line}");
            let bare = name.split('{').next().unwrap();
            assert!(bare.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        }
    }

    #[test]
    fn every_line_follows_the_format_and_every_name_has_a_type() {
        let text = text(&sample(7));
        check(&text);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = name.trim_end_matches("_sum").trim_end_matches("_count");
            assert!(text.contains(&format!("# TYPE {base} ")), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_known_is_absent() {
        let mut snapshot = sample(7);
        assert!(text(&snapshot).contains("downpour_load_lost_total 0"));
        snapshot.lost = None;
        (snapshot.server_cpu, snapshot.server_cpu_waited) = (None, None);
        let text = text(&snapshot);
        assert!(!text.contains("lost_total") && !text.contains("server_cores"), "{text}");
    }

    #[test]
    fn latencies_are_in_seconds() {
        let mut snapshot = sample(7);
        let mut histogram = metric::new_histogram();
        histogram.record_n(2_000_000, 100).unwrap();
        snapshot.metrics.insert(metric::DELIVERY, histogram);
        let text = text(&snapshot);
        assert!(
            text.contains("downpour_load_delivery_seconds{quantile=\"0.5\"} 0.002000"),
            "{text}"
        );
        assert!(text.contains("downpour_load_delivery_seconds{quantile=\"0.999\"} NaN"), "{text}");
        assert!(text.contains("downpour_load_delivery_seconds_count 100"), "{text}");
    }

    #[test]
    fn labels_are_escaped() {
        let mut snapshot = sample(7);
        snapshot.label = "a\"b\\c\nd".to_owned();
        assert!(text(&snapshot).contains("run=\"a\\\"b\\\\c\\nd\""));
    }
}
