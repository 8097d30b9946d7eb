//! The page as a document: self-contained, inert, bounded. How it looks is checked in a browser.

use super::*;
use crate::report::sample::Sample;

/// The JSON that the page holds.
fn data(page: &str) -> serde_json::Value {
    let from = page.find("<script type=\"application/json\" id=\"data\">").unwrap();
    let text = &page[from..];
    let text = &text[text.find('>').unwrap() + 1..];
    serde_json::from_str(&text[..text.find("</script>").unwrap()]).unwrap()
}

#[test]
fn the_page_holds_the_runs_and_needs_nothing_else() {
    let run = Sample::default().run();
    let page = page(std::slice::from_ref(&run)).unwrap();
    let read: Vec<Run> = serde_json::from_value(data(&page)["runs"].clone()).unwrap();
    assert!(read == [run], "the run in the page is not the run");
    for needle in ["{{", "src=\"http", "href=\"http", "@import", "url(http", "fetch("] {
        assert!(!page.contains(needle), "{needle}");
    }
}

#[test]
fn a_comparison_holds_every_run_with_all_that_the_page_computes_from() {
    let mut runs: Vec<Run> = Vec::new();
    for (round, name) in [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")] {
        let mut run = Sample { name, subscribers: 600, ..Sample::default() }.run();
        run.labels.insert(crate::report::comparison::ROUND.to_owned(), round.to_owned());
        runs.push(run);
    }
    let page = page(&runs).unwrap();
    assert!(page.contains("<title>a, b compared</title>"));
    let read: Vec<Run> = serde_json::from_value(data(&page)["runs"].clone()).unwrap();
    assert_eq!(read.len(), 4);
    for (read, run) in read.iter().zip(&runs) {
        let same = read.metrics == run.metrics
            && read.counts == run.counts
            && read.server == run.server
            && read.labels == run.labels
            && read.plan == run.plan;
        assert!(same, "a figure changed on its way into the page");
        // The table is the same from the page as from the files.
        let [a, b] =
            [read, run].map(|run| crate::report::markdown::comparison(std::slice::from_ref(run)));
        assert_eq!(a, b);
        let (thin, full) = (read.fairness.as_ref().unwrap(), run.fairness.as_ref().unwrap());
        assert!(thin.by_order.len() <= ORDER_POINTS_MAX && full.by_order.len() > ORDER_POINTS_MAX);
        let all = |points: &[OrderPoint]| points.iter().map(|point| point.subscribers).sum::<u64>();
        assert_eq!(all(&thin.by_order), all(&full.by_order));
    }
}

#[test]
fn a_run_cannot_break_out_of_its_script_element() {
    let mut run = Sample::default().run();
    run.name = Some("</script><script>alert(1)</script><!-- {{data}} {{script}}".to_owned());
    let page = page(std::slice::from_ref(&run)).unwrap();
    assert!(page.contains("{{data}}"), "the name is shown as it is");
    assert!(!page.contains("<script>alert") && !page.contains("<!-- {{"));
    let read: Run = serde_json::from_value(data(&page)["runs"][0].clone()).unwrap();
    assert_eq!(read.name, run.name);
}

#[test]
fn a_long_run_is_thinned_without_losing_a_delivery() {
    let mut run = Sample { subscribers: 3, ..Sample::default() }.run();
    let row = run.series.iter().find(|row| row.deliveries > 0).unwrap().clone();
    run.series = (0..2_000).map(|i| Interval { t_ns: i * 1_000_000_000, ..row.clone() }).collect();
    let thin = bounded(&run).unwrap();
    assert!(thin.series.len() <= ROWS_MAX, "{}", thin.series.len());
    let deliveries: u64 = thin.series.iter().map(|row| row.deliveries).sum();
    assert_eq!(deliveries, 2_000 * row.deliveries);
    let length: u64 = thin.series.iter().map(|row| row.length_ns).sum();
    assert_eq!(length, 2_000 * row.length_ns);
    let samples = |row: &Interval| row.histograms[metric::DELIVERY].decode().unwrap().len();
    assert_eq!(thin.series.iter().map(samples).sum::<u64>(), 2_000 * samples(&row));
}

/// Writes sample pages for looking at them: `DOWNPOUR_WRITE_SAMPLES=<folder>`.
#[test]
fn sample_pages_are_made_of_every_kind_of_run() {
    let folder = std::env::var_os("DOWNPOUR_WRITE_SAMPLES").map(std::path::PathBuf::from);
    let (subscribers, measure_seconds) = if folder.is_some() { (1_000, 30) } else { (50, 12) };
    let server = |name, delivery_ns, rotate| Sample {
        name,
        delivery_ns,
        rotate,
        subscribers,
        measure_seconds,
        ..Sample::default()
    };
    let stalled = Sample { stall_ns: 1_400_000_000, ..server("downpour, stopped", 5_800, false) };
    let relative = Sample { publisher: false, ..server("any stream", 9_000, true) };
    let lossy = Sample { lose_every: Some(1_777), ..server("lossy", 7_000, true) };
    let servers = [
        server("downpour", 5_800, false),
        server("axum", 8_200, true),
        server("nchan", 10_300, false),
        server("mercure", 14_300, true),
    ];
    let mut pages = vec![("compare", servers.iter().map(Sample::run).collect::<Vec<Run>>())];
    for (name, sample) in [("single", &servers[0]), ("stalled", &stalled), ("lossy", &lossy)] {
        pages.push((name, vec![sample.run()]));
    }
    pages.push(("relative", vec![relative.run()]));
    pages.push(("empty", vec![Run::new(Vec::new(), 1, 0)]));
    for (name, runs) in &mut pages {
        runs.iter_mut().for_each(crate::report::confidence::annotate);
        let page = page(runs).unwrap();
        assert!(page.len() < 8_000_000, "{name}: {} bytes", page.len());
        let Some(folder) = std::env::var_os("DOWNPOUR_WRITE_SAMPLES") else {
            continue;
        };
        let folder = std::path::PathBuf::from(folder);
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
        let saved: String =
            runs.iter().map(|run| crate::report::file::json(run).unwrap()).collect();
        std::fs::write(folder.join(format!("{name}.json")), saved).unwrap();
    }
}
