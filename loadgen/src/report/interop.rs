//! Our files in the hands of other people's readers: the `.hlog` and the `.hgrm` in the Python
//! HdrHistogram, the histograms of the page in its own JavaScript, and the page in a browser.
//!
//! The tests need what they check against: Python 3 with `venv` and access to PyPI (the package
//! is kept beside the build, so once), Node 20 or newer, and Chromium.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::model::Run;
use super::model::metric::{self, HistogramBlob};
use super::sample::Sample;
use super::{hgrm, hlog, html, unit};

/// The version the tests were written against.
const PACKAGE: &str = "hdrhistogram==0.10.8";

const PERCENTILES: [f64; 6] = [50.0, 75.0, 90.0, 99.0, 99.9, 100.0];

/// Reads the log given as argument; prints percentiles by tag as JSON.
const READ_LOG: &str = r#"
import json, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
sums = {}
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 3600 * 10**9, 3))
while True:
    interval = reader.get_next_interval_histogram()
    if interval is None:
        break
    tag = interval.get_tag() or ""
    total = sums.setdefault(tag, HdrHistogram(1, 3600 * 10**9, 3))
    total.add(interval)
figures = {
    tag: [total.get_total_count()] + [total.get_value_at_percentile(p) for p in json.loads(sys.argv[2])]
    for tag, total in sums.items()
}
print(json.dumps({"start": reader.get_start_time_sec(), "figures": figures}))
"#;

/// Reads the histogram given as second argument and, with the rule of the HdrHistogram plotter,
/// the spectrum given as first; prints for each point the value below which the histogram has as
/// many samples, as JSON.
const READ_SPECTRUM: &str = r##"
import json, sys
from hdrh.histogram import HdrHistogram
histogram = HdrHistogram.decode(sys.argv[2])
counts = [(it.value_iterated_to, it.total_count_to_this_value)
          for it in histogram.get_recorded_iterator()]
points, totals = [], {}
for line in open(sys.argv[1]):
    fields = line.split()
    if line.startswith("#["):
        for part in line.strip("#[]\n ").split(","):
            name, value = part.split("=")
            totals[name.strip()] = float(value)
    elif len(fields) == 4 and fields[0] != "Value":
        value, quantile, total, inverse = map(float, fields)
        theirs = next(value for value, count in counts if count >= total)
        points.append([value, theirs / 1e6, total, quantile, inverse * (1 - quantile)])
print(json.dumps({"points": points, "totals": totals, "n": histogram.get_total_count(),
                  "max": histogram.get_max_value() / 1e6, "mean": histogram.get_mean_value() / 1e6}))
"##;

/// Reads blobs from standard input; prints their counts and percentiles as JSON.
const READ_BLOBS: &str = r#"
const [blobs, percents] = JSON.parse(require("fs").readFileSync(0, "utf8"));
(async () => {
  const out = [];
  for (const blob of blobs) {
    const histogram = await decodeHistogram(blob);
    out.push([histogram.n, ...percents.map((p) => valueAt(histogram, p / 100))]);
  }
  console.log(JSON.stringify(out));
})();
"#;

/// The folder of the build, where downloaded packages may stay.
fn build_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

fn run(command: &mut Command, input: &str) -> String {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}; this test needs that program"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A Python that has the package, made on the first use, by one test for all.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = build_folder().join("python-hdrhistogram");
        let python = folder.join("bin/python");
        let ready = folder.join("ready");
        if !ready.exists() {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), "");
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE]), "");
            std::fs::write(ready, PACKAGE).unwrap();
        }
        python
    })
}

/// Equal to the third digit, which is what the recording promises.
fn agree(ours: u64, theirs: u64) -> bool {
    ours.abs_diff(theirs) as f64 <= (ours.max(theirs) as f64 / 1000.0).max(1.0)
}

#[test]
fn python_reads_the_interval_log_and_finds_the_same_percentiles() {
    let sample = Sample { stall_ns: 700_000_000, ..Sample::default() }.run();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.hlog");
    std::fs::write(&path, hlog::text(&sample)).unwrap();
    let percents = serde_json::to_string(&PERCENTILES).unwrap();
    let mut reader = Command::new(python());
    let text = run(reader.args(["-c", READ_LOG]).arg(&path).arg(percents), "");
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["start"].as_f64().unwrap(), sample.started_unix_ns as f64 / 1e9);
    let figures: BTreeMap<String, Vec<u64>> =
        serde_json::from_value(read["figures"].clone()).unwrap();
    for (name, metric) in &sample.metrics {
        let tag = if name == metric::DELIVERY { "" } else { name };
        let theirs = figures.get(tag).unwrap_or_else(|| panic!("{name} is not in the log"));
        assert_eq!(theirs[0], metric.n, "{name}");
        let histogram = metric.histogram.decode().unwrap();
        for (percent, theirs) in PERCENTILES.iter().zip(&theirs[1..]) {
            let ours = histogram.value_at_percentile(*percent);
            assert!(agree(ours, *theirs), "{name} p{percent}: {ours} here, {theirs} there");
        }
    }
    assert!(figures.contains_key("delivery@warmup"));
}

#[test]
fn python_counts_as_many_samples_below_each_point_of_a_spectrum() {
    let sample = Sample { stall_ns: 700_000_000, ..Sample::default() }.run();
    let metric = &sample.metrics[metric::DELIVERY];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.hgrm");
    std::fs::write(&path, hgrm::text(&metric.histogram.decode().unwrap())).unwrap();
    let mut reader = Command::new(python());
    reader.args(["-c", READ_SPECTRUM]).arg(&path).arg(&metric.histogram.data);
    let read: serde_json::Value = serde_json::from_str(&run(&mut reader, "")).unwrap();
    let close = |a: f64, b: f64| (a - b).abs() <= a.max(b) / 1000.0 + 1e-6;
    let points: Vec<[f64; 5]> = serde_json::from_value(read["points"].clone()).unwrap();
    assert!(points.len() > 30, "{}", points.len());
    for [ours, theirs, total, quantile, inverse] in &points {
        assert!(close(*ours, *theirs), "{ours} here, {theirs} there below which are {total}");
        assert!(*total >= quantile * metric.n as f64 - 0.5, "{total} of p{quantile}");
        // Two decimals of the inverse: near the end of the scale that is exact enough.
        assert!((inverse - 1.0).abs() < 0.01, "{inverse}");
    }
    assert!(points.is_sorted_by(|a, b| a[2] <= b[2]));
    let total = |name: &str| read["totals"][name].as_f64().unwrap();
    let theirs = |name: &str| read[name].as_f64().unwrap();
    assert_eq!(total("Total count"), theirs("n"));
    assert!(close(total("Max"), theirs("max")) && close(total("Mean"), theirs("mean")), "{read}");
}

#[test]
fn the_page_decodes_every_histogram_to_the_same_figures() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut histograms = Vec::new();
    for size in [1, 2, 10, 1_000, 100_000] {
        let mut histogram = metric::new_histogram();
        for _ in 0..size {
            let bits = random.u32(1..50);
            histogram.record(random.u64(..1 << bits)).unwrap();
        }
        histograms.push(histogram);
    }
    // Counts of several bytes, a value of zero, and long runs of empty buckets.
    let mut wide = metric::new_histogram();
    for (value, count) in [(0, 1), (1, 127), (2_047, 1 << 20), (2_048, 1 << 40), (1 << 52, 3)] {
        wide.record_n(value, count).unwrap();
    }
    histograms.push(wide);

    let blobs: Vec<HistogramBlob> = histograms.iter().map(HistogramBlob::encode).collect();
    let input = serde_json::to_string(&(blobs, PERCENTILES)).unwrap();
    let script = include_str!("../../assets/report/hdr.js").to_owned() + READ_BLOBS;
    let text = run(Command::new("node").args(["-e", &script]), &input);
    let read: Vec<Vec<u64>> = serde_json::from_str(&text).unwrap();
    assert_eq!(read.len(), histograms.len());
    for (histogram, theirs) in histograms.iter().zip(read) {
        let ours = PERCENTILES.iter().map(|p| histogram.value_at_percentile(*p));
        let ours: Vec<u64> = std::iter::once(histogram.len()).chain(ours).collect();
        assert_eq!(theirs, ours);
    }
}

/// The page as Chromium has it after its scripts have run.
fn drawn(runs: &[Run]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    std::fs::write(&page, html::page(runs).unwrap()).unwrap();
    let mut browser = Command::new("chromium");
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", page.display()));
    let document = run(&mut browser, "");
    // After this element come only the data and the scripts themselves.
    document.split_once("<p id=\"announce\"").unwrap().0.to_owned()
}

#[test]
fn a_browser_draws_every_section_with_the_figures_of_the_run() {
    let run = Sample { lose_every: Some(50), ..Sample::default() }.run();
    let text = drawn(std::slice::from_ref(&run));
    assert!(!text.contains("could not be drawn"), "{text}");
    for id in [
        "objectives",
        "latency",
        "percentiles",
        "time",
        "events",
        "throughput",
        "fairness",
        "integrity",
        "connects",
        "server",
        "setup",
        "words",
    ] {
        assert!(text.contains(&format!("<section id=\"{id}\"")), "no section {id}");
    }
    let delivery = &run.metrics[metric::DELIVERY];
    for figure in [
        unit::time(delivery.percentile("99").unwrap()),
        unit::time(delivery.max),
        unit::count(run.counts.lost.unwrap()),
        run.verdict.reasons[0].text.clone(),
    ] {
        assert!(text.contains(&figure), "{figure} is not on the page");
    }
    assert!(!text.contains("NaN") && !text.contains("undefined"), "a figure went wrong");
}

#[test]
fn a_browser_sets_side_by_side_what_has_little_in_common() {
    let relative = Sample { name: "relative", publisher: false, ..Sample::default() }.run();
    let runs = [Sample::default().run(), relative, Run::new(Vec::new(), 1, 0)];
    let text = drawn(&runs);
    assert!(!text.contains("could not be drawn"), "{text}");
    assert!(text.contains("3 runs compared") && text.contains("<section id=\"compare\""), "{text}");
    assert!(!text.contains("NaN") && !text.contains("undefined"), "a figure went wrong");
}
