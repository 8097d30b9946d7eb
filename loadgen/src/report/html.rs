//! The report as one HTML page that needs no network.
//!
//! The idea: the page carries the runs themselves, as the JSON of the data model, and draws
//! everything from that. Percentiles in the page are read from the embedded histograms, so what
//! is shown can be checked against the file that can be saved from it.
//!
//! Invariants: nothing in a run can end the script element that holds it; the number of rows
//! over time is bounded, so a run of a day makes a page of some megabytes.

use std::collections::BTreeMap;

use super::comparison::Comparison;
use super::model::Run;
use super::model::fairness::OrderPoint;
use super::model::metric::{self, DEFINITIONS, HistogramBlob, Per};
use super::model::series::Interval;

/// The page, with places for the rest.
const PAGE: &str = include_str!("../../assets/report.html");
const STYLE: &str = include_str!("../../assets/report.css");
/// In this order: `page` starts what the others declare.
const SCRIPTS: [&str; 12] = [
    include_str!("../../assets/report/hdr.js"),
    include_str!("../../assets/report/unit.js"),
    include_str!("../../assets/report/chart.js"),
    include_str!("../../assets/report/section.js"),
    include_str!("../../assets/report/latency.js"),
    include_str!("../../assets/report/overtime.js"),
    include_str!("../../assets/report/integrity.js"),
    include_str!("../../assets/report/connections.js"),
    include_str!("../../assets/report/compare.js"),
    include_str!("../../assets/report/head.js"),
    include_str!("../../assets/report/setup.js"),
    include_str!("../../assets/report/page.js"),
];

/// Rows over time at most. More are added up in pairs until they fit: a screen has no more
/// columns than this to show them.
const ROWS_MAX: usize = 600;

/// Points of latency against connect order at most, of each run of a comparison: a line a screen
/// wide, and some 20 KB.
const ORDER_POINTS_MAX: usize = 250;

/// The page of one or several runs.
///
/// # Errors
/// A histogram that cannot be decoded.
pub(crate) fn page(runs: &[Run]) -> Result<String, String> {
    let title = title(runs);
    let runs = match runs {
        [run] => vec![bounded(run)?],
        runs => runs.iter().map(|run| bounded(&slim(run))).collect::<Result<Vec<Run>, String>>()?,
    };
    let definitions: Vec<serde_json::Value> = DEFINITIONS
        .iter()
        .map(|one| {
            serde_json::json!({
                "name": one.name,
                "title": one.title,
                "text": one.text,
                "per": per(one.per),
            })
        })
        .collect();
    let data = serde_json::json!({ "runs": runs, "definitions": definitions });
    let data = inert(&data.to_string());
    Ok(fill(|place| match place {
        "title" => escape(&title),
        "style" => STYLE.to_owned(),
        "script" => SCRIPTS.concat(),
        "data" => data.clone(),
        other => unreachable!("assets/report.html has an unknown place {other:?}"),
    }))
}

fn title(runs: &[Run]) -> String {
    let comparison = Comparison::of(runs);
    let names: Vec<&str> = comparison.subjects.iter().map(|one| one.name.as_str()).collect();
    match names.as_slice() {
        [name] => (*name).to_owned(),
        names => format!("{} compared", names.join(", ")),
    }
}

/// The page with its `{{places}}` filled in one pass, so that nothing filled in is searched for
/// places again.
fn fill(value: impl Fn(&str) -> String) -> String {
    let mut parts = PAGE.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once("}}").expect("every place of the page is closed");
        out += &value(place);
        out += rest;
    }
    out
}

fn per(per: Per) -> &'static str {
    match per {
        Per::Delivery => "delivery",
        Per::Event => "event",
        Per::Connection => "connection",
        Per::Publish => "publish",
        Per::Rig => "rig",
    }
}

/// JSON that can stand in a script element: no `<` is left, so neither `</script>` nor `<!--`
/// can occur (WHATWG HTML, section 4.12.1.3).
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The run as one of many on a page: a comparison of thirty would be too large to open with all
/// that the page does not draw.
fn slim(run: &Run) -> Run {
    let mut run = run.clone();
    headline_only(&mut run);
    if let Some(fairness) = &mut run.fairness {
        fairness.by_order = grouped(&fairness.by_order);
    }
    run.runs = Vec::new();
    run
}

/// Drops from the rows the histograms that the page does not draw over time.
fn headline_only(run: &mut Run) {
    let headline = run.headline().map(|(name, _)| name.to_owned());
    for row in &mut run.series {
        row.histograms.retain(|name, _| Some(name) == headline.as_ref());
    }
}

/// At most [`ORDER_POINTS_MAX`] points, neighbours put together.
fn grouped(points: &[OrderPoint]) -> Vec<OrderPoint> {
    let group = points.len().div_ceil(ORDER_POINTS_MAX).max(1);
    let together = |points: &[OrderPoint]| {
        let subscribers: u64 = points.iter().map(|point| point.subscribers).sum();
        let sum: u64 = points.iter().map(|point| point.mean_ns * point.subscribers).sum();
        OrderPoint {
            order: points[0].order,
            subscribers,
            mean_ns: sum / subscribers.max(1),
            min_ns: points.iter().map(|point| point.min_ns).min().unwrap_or(0),
            max_ns: points.iter().map(|point| point.max_ns).max().unwrap_or(0),
        }
    };
    points.chunks(group).map(together).collect()
}

/// The run with at most [`ROWS_MAX`] rows over time, and, when rows had to be added up, with
/// the headline histogram of each alone.
fn bounded(run: &Run) -> Result<Run, String> {
    let mut run = run.clone();
    let before = run.series.len();
    if before <= ROWS_MAX {
        return Ok(run);
    }
    headline_only(&mut run);
    // Phases of one row each cannot be halved any further.
    let mut rows = usize::MAX;
    while run.series.len() > ROWS_MAX && run.series.len() < rows {
        rows = run.series.len();
        run.series = halved(&run.series)?;
    }
    run.notes.push(format!(
        "this page shows {} rows over time, added up from {before}; the .json of the run has all",
        run.series.len()
    ));
    Ok(run)
}

/// Neighbours of the same phase added up in pairs.
fn halved(rows: &[Interval]) -> Result<Vec<Interval>, String> {
    rows.chunk_by(|a, b| a.phase == b.phase)
        .flat_map(|phase| phase.chunks(2))
        .map(|pair| match pair {
            [a, b] => joined(a, b),
            one => Ok(one[0].clone()),
        })
        .collect()
}

fn joined(a: &Interval, b: &Interval) -> Result<Interval, String> {
    let add = |read: fn(&Interval) -> Option<u64>| Some(read(a)? + read(b)?);
    let mean = |read: fn(&Interval) -> Option<f64>| Some((read(a)? + read(b)?) / 2.0);
    let mut row = Interval {
        t_ns: a.t_ns,
        length_ns: a.length_ns + b.length_ns,
        phase: a.phase,
        up: b.up,
        connect_errors: a.connect_errors + b.connect_errors,
        events: a.events + b.events,
        deliveries: a.deliveries + b.deliveries,
        wire_bytes: add(|row| row.wire_bytes),
        lost: add(|row| row.lost),
        duplicate: add(|row| row.duplicate),
        out_of_order: add(|row| row.out_of_order),
        client_cpu: mean(|row| row.client_cpu),
        server_cpu: mean(|row| row.server_cpu),
        server_cpu_waited: mean(|row| row.server_cpu_waited),
        server_pss_bytes: b.server_pss_bytes,
        server_kernel_bytes: b.server_kernel_bytes,
        ..Interval::default()
    };
    let mut sums: BTreeMap<&str, hdrhistogram::Histogram<u64>> = BTreeMap::new();
    for (name, blob) in a.histograms.iter().chain(&b.histograms) {
        *sums.entry(name).or_insert_with(metric::new_histogram) += &HistogramBlob::decode(blob)?;
    }
    for (name, histogram) in &sums {
        row.record(name, histogram);
    }
    Ok(row)
}

#[cfg(test)]
mod tests;
