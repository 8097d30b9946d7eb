//! One frame of the live view: what it says, and how it fits the terminal.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use crate::report::model::metric;
use crate::report::model::plan::Phase;
use crate::report::snapshot::Snapshot;
use crate::report::{bars, unit};

/// Seconds of the past kept for the lines over time.
const HISTORY_SECONDS: usize = 240;

/// Wider frames would tear figures apart.
const COLUMNS_MAX: usize = 100;

/// First column of the figures.
const LABEL: usize = 13;

/// Heights of a line over time.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// One second of the past.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    index: u64,
    p99_ns: u64,
    deliveries: f64,
}

/// Rates between the last two snapshots, per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) events: f64,
    pub(super) deliveries: f64,
    pub(super) wire_bytes: f64,
}

/// Totals of a snapshot, from which rates are made.
#[derive(Debug, Clone, Copy)]
struct Totals {
    elapsed_ns: u64,
    phase: Phase,
    events: u64,
    deliveries: u64,
    wire_bytes: u64,
}

/// What the view remembers of the past.
#[derive(Debug)]
pub(super) struct History {
    seconds: VecDeque<Second>,
    before: Option<Totals>,
    now: Option<Totals>,
}

impl History {
    pub(super) fn new() -> History {
        History { seconds: VecDeque::new(), before: None, now: None }
    }

    /// Takes in a snapshot.
    pub(super) fn push(&mut self, snapshot: &Snapshot) {
        self.before = self.now;
        self.now = Some(Totals {
            elapsed_ns: snapshot.elapsed_ns,
            phase: snapshot.phase,
            events: snapshot.events,
            deliveries: snapshot.deliveries,
            wire_bytes: snapshot.wire_bytes,
        });
        let index = snapshot.elapsed_ns / 1_000_000_000;
        if self.seconds.back().is_none_or(|second| second.index < index) {
            self.seconds.push_back(Second { index, ..Second::default() });
        }
        while self.seconds.len() > HISTORY_SECONDS {
            self.seconds.pop_front();
        }
        let deliveries = self.rates().map_or(0.0, |rates| rates.deliveries);
        if let Some(second) = self.seconds.back_mut() {
            // The worst of a second: an average would hide the stall one is watching for.
            if !snapshot.recent.is_empty() {
                second.p99_ns = second.p99_ns.max(snapshot.recent.value_at_percentile(99.0));
            }
            second.deliveries = second.deliveries.max(deliveries);
        }
    }

    /// Rates since the snapshot before the last; `None` with fewer than two.
    pub(super) fn rates(&self) -> Option<Rates> {
        let (before, now) = (self.before?, self.now?);
        let seconds =
            now.elapsed_ns.checked_sub(before.elapsed_ns).filter(|ns| *ns > 0)? as f64 / 1e9;
        let per_second = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        Some(Rates {
            events: per_second(before.events, now.events),
            deliveries: per_second(before.deliveries, now.deliveries),
            wire_bytes: per_second(before.wire_bytes, now.wire_bytes),
        })
    }

    /// Whether the last snapshot is the first of its phase.
    pub(super) fn phase_changed(&self) -> bool {
        self.before.map(|before| before.phase) != self.now.map(|now| now.phase)
    }
}

/// The faults that a viewer must see at once.
pub(super) fn faults(snapshot: &Snapshot) -> Vec<(&'static str, u64)> {
    let known = [
        ("lost", snapshot.lost),
        ("duplicate", snapshot.duplicate),
        ("out of order", snapshot.out_of_order),
        ("connect errors", Some(snapshot.connect_errors)),
        ("disconnected", Some(snapshot.disconnects)),
    ];
    known.into_iter().filter_map(|(name, n)| Some((name, n?))).collect()
}

/// A frame to be drawn.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) history: &'a History,
    pub(super) colored: bool,
}

impl Frame<'_> {
    /// The lines of the frame, none wider and together not higher than the terminal.
    pub(super) fn lines(&self, size: Size) -> Vec<String> {
        // One column and one row are left free, or the terminal would wrap and scroll.
        let columns = size.columns.saturating_sub(1).min(COLUMNS_MAX);
        let rows = size.rows.saturating_sub(1);
        let mut lines = vec![self.title(columns), self.progress(columns), String::new()];
        lines.push(self.row("subscribers", &self.subscribers()));
        lines.push(self.row("rates", &self.rates()));
        lines.push(self.faults());
        lines.extend(self.machines().map(|text| self.row("cpu", &text)));
        lines.push(String::new());
        lines.extend(self.latencies());
        lines.extend(self.over_time(columns));
        lines.extend(self.distribution(columns, rows.saturating_sub(lines.len())));
        lines.truncate(rows);
        lines.into_iter().map(|line| clip(&line, columns)).collect()
    }

    fn title(&self, columns: usize) -> String {
        let snapshot = self.snapshot;
        let elapsed = unit::time(snapshot.phase_elapsed_ns);
        let phase = match snapshot.phase_length_ns {
            Some(length) => {
                format!("{}  {elapsed} of {}", snapshot.phase.word(), unit::length(length))
            }
            None => format!("{}  {elapsed}", snapshot.phase.word()),
        };
        let room = columns.saturating_sub(phase.chars().count() + 2);
        let label: String = snapshot.label.chars().filter(|c| !c.is_control()).take(room).collect();
        let gap = " ".repeat(columns.saturating_sub(label.chars().count() + phase.chars().count()));
        format!("{}{gap}{phase}", self.paint("1", &label))
    }

    fn progress(&self, columns: usize) -> String {
        let share = self.snapshot.phase_length_ns.filter(|length| *length > 0).map_or_else(
            || self.snapshot.up as f64 / self.snapshot.asked.max(1) as f64,
            |length| self.snapshot.phase_elapsed_ns as f64 / length as f64,
        );
        let done = bars::blocks(share.clamp(0.0, 1.0) * columns as f64);
        let left = "░".repeat(columns.saturating_sub(done.chars().count()));
        format!("{}{}", self.paint("36", &done), self.paint("2", &left))
    }

    fn row(&self, name: &str, text: &str) -> String {
        format!("{}{text}", self.paint("2", &format!("{name:<LABEL$}")))
    }

    fn subscribers(&self) -> String {
        let snapshot = self.snapshot;
        let mut text =
            format!("{} of {} up", unit::count(snapshot.up), unit::count(snapshot.asked));
        if snapshot.connecting > 0 {
            text += &format!("   connecting {}", unit::count(snapshot.connecting));
        }
        text
    }

    fn rates(&self) -> String {
        let Some(rates) = self.history.rates() else { return "…".to_owned() };
        let planned = self
            .snapshot
            .events_planned_rate
            .map_or_else(String::new, |rate| format!(" (plan {})", unit::short(rate)));
        format!(
            "{} events/s{planned}   {} deliveries/s   {}/s read",
            unit::short(rates.events),
            unit::short(rates.deliveries),
            unit::bytes(rates.wire_bytes)
        )
    }

    fn faults(&self) -> String {
        let texts: Vec<String> = faults(self.snapshot)
            .into_iter()
            .map(|(name, n)| {
                let text = format!("{name} {}", unit::count(n));
                if n > 0 { self.paint("1;31", &text) } else { text }
            })
            .collect();
        self.row("faults", &texts.join("   "))
    }

    fn server(&self) -> Option<String> {
        let mut text = format!("server {} cores", unit::digits(self.snapshot.server_cpu?));
        if let Some(cores) = self.snapshot.server_cpu_waited {
            text += &format!(", waits for {}", unit::digits(cores));
        }
        Some(text)
    }

    fn machines(&self) -> Option<String> {
        let snapshot = self.snapshot;
        let parts: Vec<String> = [
            snapshot.client_cpu.map(|share| format!("busiest thread {}", unit::percent(share))),
            self.server(),
            snapshot.server_pss_bytes.map(|bytes| format!("server {}", unit::bytes(bytes as f64))),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| parts.join("   "))
    }

    fn latencies(&self) -> Vec<String> {
        const COLUMNS: [(&str, f64); 5] =
            [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];
        let shown = [metric::DELIVERY, metric::DELIVERY_RELATIVE, metric::LAST, metric::SPREAD];
        let rows: Vec<String> = shown
            .iter()
            .filter_map(|name| Some((*name, self.snapshot.metrics.get(name)?)))
            .filter(|(_, histogram)| !histogram.is_empty())
            .map(|(name, histogram)| {
                let name = if name == metric::DELIVERY_RELATIVE { "after first" } else { name };
                let cells = COLUMNS.map(|(_, percent)| cell(histogram, percent));
                self.row(name, &cells.concat())
            })
            .collect();
        if rows.is_empty() {
            return rows;
        }
        let head: String = COLUMNS.iter().map(|(name, _)| format!("{name:>10}")).collect();
        let mut lines = vec![self.row("", &self.paint("2", &head))];
        lines.extend(rows);
        lines.push(String::new());
        lines
    }

    fn over_time(&self, columns: usize) -> Vec<String> {
        let width = columns.saturating_sub(LABEL + 24).max(1);
        let seconds = &self.history.seconds;
        let recent = || seconds.iter().skip(seconds.len().saturating_sub(width));
        let p99: Vec<f64> = recent().map(|second| second.p99_ns as f64).collect();
        let rate: Vec<f64> = recent().map(|second| second.deliveries).collect();
        let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        if most(&rate) == 0.0 {
            return Vec::new();
        }
        let up_to = |text: String| self.paint("2", &format!("  up to {text}"));
        vec![
            self.row(
                "p99",
                &format!("{}{}", spark(&p99, width), up_to(unit::time(most(&p99) as u64))),
            ),
            self.row(
                "deliveries/s",
                &format!("{}{}", spark(&rate, width), up_to(unit::short(most(&rate)))),
            ),
            String::new(),
        ]
    }

    fn distribution(&self, columns: usize, room: usize) -> Vec<String> {
        let headline = [metric::DELIVERY, metric::DELIVERY_RELATIVE]
            .iter()
            .find_map(|name| self.snapshot.metrics.get(name));
        let Some(histogram) = headline.filter(|histogram| !histogram.is_empty()) else {
            return Vec::new();
        };
        let bars = bars::bars(histogram);
        let most = bars.iter().map(|bar| bar.count).max().unwrap_or(1).max(1);
        let width = columns.saturating_sub(LABEL + 12) as f64;
        // The tail matters more than the head when there is not room for both.
        let skipped = bars.len().saturating_sub(room);
        bars.iter()
            .skip(skipped)
            .map(|bar| {
                let share = bar.count as f64 / histogram.len() as f64;
                let drawn = bars::blocks(bar.count as f64 / most as f64 * width);
                let name = format!("≤ {}", unit::time(bar.to_ns));
                self.row(
                    &name,
                    &format!("{:>8}  {}", unit::percent(share), self.paint("36", &drawn)),
                )
            })
            .collect()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colored && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn cell(histogram: &Histogram<u64>, percent: f64) -> String {
    let value = if percent >= 100.0 {
        Some(histogram.max())
    } else {
        metric::percentile(histogram, percent)
    };
    format!("{:>10}", value.map_or_else(|| "n/a".to_owned(), unit::time))
}

/// Values as a line of blocks from zero up, right-aligned in `width`.
fn spark(values: &[f64], width: usize) -> String {
    let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let pad = " ".repeat(width.saturating_sub(values.len()));
    let line: String = values
        .iter()
        .map(|value| LEVELS[((value / most * 7.0).round() as usize).min(LEVELS.len() - 1)])
        .collect();
    pad + &line
}

/// A line cut to so many columns, between two figures where it has several: half a figure would be
/// another one. Escape sequences take no column and are kept.
pub(super) fn clip(line: &str, columns: usize) -> String {
    let columns = whole_figures(line, columns);
    let mut out = String::with_capacity(line.len());
    let (mut seen, mut escape) = (0, false);
    for letter in line.chars() {
        if escape {
            escape = letter != 'm';
            out.push(letter);
        } else if letter == '\x1b' {
            escape = true;
            out.push(letter);
        } else if seen < columns {
            seen += 1;
            out.push(letter);
        }
    }
    out
}

/// Columns of a line that is too long up to the last gap between its figures; all that there are,
/// if it fits or has no gap behind its label.
fn whole_figures(line: &str, columns: usize) -> usize {
    let mut escape = false;
    let visible: Vec<char> = line
        .chars()
        .filter(|&letter| {
            let was_escape = escape;
            escape = letter == '\x1b' || (escape && letter != 'm');
            !was_escape && !escape
        })
        .collect();
    if visible.len() <= columns {
        return columns;
    }
    let is_gap = |&at: &usize| visible[at - 1] != ' ' && visible[at..].starts_with(&[' ', ' ']);
    (LABEL + 1..=columns).rev().find(is_gap).unwrap_or(columns)
}
