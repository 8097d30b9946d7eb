//! The live view against terminals of every size, and against what goes wrong.

use std::sync::{Arc, Mutex};

use super::frame::clip;
use super::*;
use crate::report::model::plan::Phase;
use crate::report::snapshot::sample;

/// A terminal that keeps what was written to it.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Columns that a line takes.
fn columns(line: &str) -> usize {
    let mut escape = false;
    line.chars()
        .filter(|letter| {
            let counts = !escape && *letter != '\x1b';
            escape = *letter == '\x1b' || (escape && *letter != 'm');
            counts
        })
        .count()
}

fn history(snapshots: &[Snapshot]) -> History {
    let mut history = History::new();
    for snapshot in snapshots {
        history.push(snapshot);
    }
    history
}

/// Snapshots of a run over some seconds, four per second.
fn course(seconds: u64) -> Vec<Snapshot> {
    (0..seconds * 4)
        .map(|i| {
            let mut snapshot = sample(i);
            snapshot.elapsed_ns = i * 250_000_000;
            snapshot.phase_elapsed_ns = i * 250_000_000;
            snapshot.phase = if i < 8 { Phase::Warmup } else { Phase::Measure };
            snapshot.events = i * 5;
            snapshot.deliveries = i * 25_000;
            snapshot
        })
        .collect()
}

#[test]
fn no_frame_is_larger_than_its_terminal() {
    let mut snapshots = course(5);
    snapshots.last_mut().unwrap().label = "a very long name \u{1b}[31m\n".repeat(20);
    let history = history(&snapshots);
    for colored in [true, false] {
        let frame = Frame { snapshot: snapshots.last().unwrap(), history: &history, colored };
        for width in 1..140 {
            for rows in [1, 2, 5, 24, 60] {
                let lines = frame.lines(Size { columns: width, rows });
                assert!(lines.len() < rows.max(2), "{} lines on {rows} rows", lines.len());
                for line in lines {
                    assert!(columns(&line) < width.max(2), "{width}: {line:?}");
                    assert!(!line.contains('\n'), "{line:?}");
                }
            }
        }
    }
}

#[test]
fn a_narrow_terminal_shows_whole_figures_or_none() {
    let line = "delivery        1.43 ms   \x1b[1m83.7 ms\x1b[0m    197 ms";
    assert_eq!(clip(line, 43), line);
    let cut = "delivery        1.43 ms   \x1b[1m83.7 ms\x1b[0m";
    for width in 33..43 {
        assert_eq!(clip(line, width), cut, "{width}");
    }
    for width in 23..33 {
        assert_eq!(clip(line, width), "delivery        1.43 ms\x1b[1m\x1b[0m", "{width}");
    }
    assert_eq!(clip("one long word of a title", 8), "one long");
}

#[test]
fn a_frame_shows_rates_latencies_and_faults() {
    let mut snapshots = course(3);
    snapshots.last_mut().unwrap().lost = Some(17);
    let history = history(&snapshots);
    let frame = Frame { snapshot: snapshots.last().unwrap(), history: &history, colored: false };
    let text = frame.lines(Size { columns: 100, rows: 40 }).join("\n");
    for part in ["20 events/s", "100 k deliveries/s", "lost 17", "delivery", "last", "p99.9", "█"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_view_without_any_figure_is_drawn_too() {
    let mut snapshot = sample(1);
    snapshot.metrics.clear();
    snapshot.recent.clear();
    snapshot.asked = 0;
    snapshot.phase_length_ns = None;
    (snapshot.lost, snapshot.client_cpu, snapshot.server_cpu) = (None, None, None);
    let history = history(std::slice::from_ref(&snapshot));
    let frame = Frame { snapshot: &snapshot, history: &history, colored: true };
    assert!(!frame.lines(Size { columns: 80, rows: 24 }).is_empty());
}

#[test]
fn a_frame_is_drawn_over_the_one_before_and_the_cursor_comes_back() {
    let paper = Paper::default();
    let mut live = Live::on(Box::new(paper.clone()), Mode::Screen, false);
    let snapshots = course(1);
    live.update(&snapshots[0]);
    let first = paper.text();
    let lines = first.matches('\n').count();
    live.update(&snapshots[1]);
    assert!(paper.text()[first.len()..].contains(&format!("\x1b[{lines}F")));
    drop(live);
    assert!(paper.text().ends_with("\x1b[?25h"));
}

#[test]
fn plain_lines_come_once_a_second_and_at_each_phase() {
    let paper = Paper::default();
    let mut live = Live::on(Box::new(paper.clone()), Mode::Plain, false);
    for snapshot in course(5) {
        live.update(&snapshot);
    }
    live.finish();
    let text = paper.text();
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.lines().nth(2).unwrap().contains("measure"), "{text}");
}

#[test]
fn a_quiet_view_says_only_what_it_must() {
    let paper = Paper::default();
    let mut live = Live::on(Box::new(paper.clone()), Mode::Quiet, false);
    live.update(&sample(1));
    live.say("the server closed 12 streams");
    drop(live);
    assert_eq!(paper.text(), "the server closed 12 streams\n");
}
