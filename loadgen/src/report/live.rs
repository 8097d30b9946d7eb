//! The live view of a running test, on standard error.
//!
//! The idea: a frame is a pure function of the last snapshots and the size of the terminal; it
//! is drawn over the one before, without an alternate screen, so that the last frame stays in
//! the scroll-back. Where standard error is not a terminal, one plain line per second is
//! written instead.
//!
//! Invariants: no line is wider than the terminal and no frame higher, or redrawing would
//! scroll; the cursor is visible again when the view is dropped, however the run ends.

mod frame;

use std::io::{IsTerminal as _, Write};

use super::snapshot::Snapshot;
use super::unit;
use frame::{Frame, History, Size};

/// A plain line is written at most this often.
const PLAIN_INTERVAL_NS: u64 = 1_000_000_000;

/// How the view is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Redrawn in place.
    Screen,
    /// A line per second.
    Plain,
    /// Nothing.
    Quiet,
}

impl Mode {
    /// What suits standard error: a screen on a terminal that can move its cursor, else lines.
    pub(crate) fn of_stderr() -> Mode {
        let capable = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        if capable && std::io::stderr().is_terminal() { Mode::Screen } else { Mode::Plain }
    }
}

/// The live view. Feed it snapshots; it draws when it has something to show.
pub(crate) struct Live {
    mode: Mode,
    out: Box<dyn Write + Send>,
    colored: bool,
    history: History,
    drawn_lines: usize,
    plain_due_ns: u64,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Live {
    /// A view on standard error. Colours are left out when `NO_COLOR` is set.
    pub(crate) fn new(mode: Mode) -> Live {
        let colored = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Live::on(Box::new(std::io::stderr()), mode, colored)
    }

    fn on(out: Box<dyn Write + Send>, mode: Mode, colored: bool) -> Live {
        Live { mode, out, colored, history: History::new(), drawn_lines: 0, plain_due_ns: 0 }
    }

    /// Shows a snapshot. A terminal that has gone away is not an error of the run.
    pub(crate) fn update(&mut self, snapshot: &Snapshot) {
        self.history.push(snapshot);
        match self.mode {
            Mode::Screen => {
                let frame = Frame { snapshot, history: &self.history, colored: self.colored };
                let lines = frame.lines(terminal_size());
                self.redraw(&lines);
            }
            Mode::Plain => self.plain(snapshot),
            Mode::Quiet => {}
        }
    }

    /// Writes a message that must not be lost under the next frame.
    pub(crate) fn say(&mut self, message: &str) {
        self.erase();
        let _ = writeln!(self.out, "{message}");
    }

    /// Ends the view: the last frame stays, the cursor stands below it.
    pub(crate) fn finish(mut self) {
        self.release();
    }

    fn redraw(&mut self, lines: &[String]) {
        let mut text = String::new();
        // Synchronised output: terminals that know it show the frame at once, others ignore it.
        text += "\x1b[?2026h\x1b[?25l";
        if self.drawn_lines > 0 {
            text += &format!("\x1b[{}F", self.drawn_lines);
        }
        for line in lines {
            text += line;
            text += "\x1b[K\n";
        }
        text += "\x1b[J\x1b[?2026l";
        self.drawn_lines = lines.len();
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    fn erase(&mut self) {
        if self.drawn_lines > 0 {
            let _ = write!(self.out, "\x1b[{}F\x1b[J", self.drawn_lines);
            self.drawn_lines = 0;
        }
    }

    fn plain(&mut self, snapshot: &Snapshot) {
        let changed = self.history.phase_changed();
        if !changed && snapshot.elapsed_ns < self.plain_due_ns {
            return;
        }
        self.plain_due_ns = snapshot.elapsed_ns + PLAIN_INTERVAL_NS;
        let line = plain_line(snapshot, &self.history);
        let _ = writeln!(self.out, "{line}");
    }

    fn release(&mut self) {
        if self.mode == Mode::Screen {
            let _ = self.out.write_all(b"\x1b[?25h");
            let _ = self.out.flush();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.release();
    }
}

fn terminal_size() -> Size {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((terminal_size::Width(columns), terminal_size::Height(rows))) => {
            Size { columns: usize::from(columns), rows: usize::from(rows) }
        }
        None => Size { columns: 80, rows: 24 },
    }
}

/// A snapshot in one line.
fn plain_line(snapshot: &Snapshot, history: &History) -> String {
    let mut line = format!(
        "{:>8} {:<8} up {} / {}",
        unit::time(snapshot.elapsed_ns),
        snapshot.phase.word(),
        unit::count(snapshot.up),
        unit::count(snapshot.asked)
    );
    if let Some(rates) = history.rates() {
        line += &format!(
            "   {} events/s   {} deliveries/s",
            unit::short(rates.events),
            unit::short(rates.deliveries)
        );
    }
    if !snapshot.recent.is_empty() {
        let at = |percent| unit::time(snapshot.recent.value_at_percentile(percent));
        line += &format!("   p50 {}   p99 {}   max {}", at(50.0), at(99.0), at(100.0));
    }
    for (name, n) in frame::faults(snapshot).into_iter().filter(|(_, n)| *n > 0) {
        line += &format!("   {name} {}", unit::count(n));
    }
    line
}

#[cfg(test)]
mod tests;
