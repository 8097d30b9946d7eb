//! A pace laid over the warm-up and the measured window of a run.
//!
//! The idea: whatever its form, a pace is told in straight pieces of the rate, and the planned
//! count over a piece is a parabola whose inverse is a closed form. A walk goes through the pieces
//! once, in step with the events, so that no list of them is ever held.
//!
//! The pace begins with the measured window. Before it, in the warm-up, the rate is the one that
//! the pace begins with, or the mean rate of a trace. The last step lasts to the end of the window.
//!
//! Times are nanoseconds from the start of the warm-up.

use std::f64::consts::TAU;
use std::ops::Range;

use super::{Form, Pace, Step};

/// Straight lines that stand for one period of a sine: a chord is then nowhere off by more than
/// 0.06 % of the difference of both rates, and their sum over a period is exact.
const CHORDS_PER_PERIOD: u64 = 64;

/// Stretches in which a report tells the rate of a trace.
const STRETCHES_COUNT: u64 = 100;

/// A pace over a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    pace: Pace,
    window_ns: Range<u64>,
}

/// A straight piece of the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    start_ns: f64,
    length_ns: f64,
    /// Events per second at both ends.
    from: f64,
    to: f64,
    /// Planned events in it.
    work: f64,
}

impl Piece {
    fn line(span: Range<f64>, from: f64, to: f64) -> Piece {
        let length_ns = span.end - span.start;
        let work = length_ns / 1e9 * (from + to) / 2.0;
        Piece { start_ns: span.start, length_ns, from, to, work }
    }

    /// When it has done `work` events: the inverse of `from*t + slope*t^2/2`, written so that a
    /// slope of zero, or a tiny one, loses no digits.
    fn after(&self, work: f64) -> f64 {
        if work <= 0.0 || self.length_ns == 0.0 {
            return self.start_ns;
        }
        let slope = (self.to - self.from) / (self.length_ns / 1e9);
        let root = (self.from * self.from + 2.0 * slope * work).max(0.0);
        let at_ns = 2.0 * work / (self.from + root.sqrt()) * 1e9;
        self.start_ns + at_ns.min(self.length_ns)
    }
}

impl Curve {
    /// Lays a pace over a run with this measured window, from the start of its warm-up.
    pub(crate) fn new(pace: Pace, window_ns: Range<u64>) -> Curve {
        Curve { pace, window_ns }
    }

    /// The pace.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// When `k` events have been done, for ascending `k`; a number need not be whole.
    pub(crate) fn walk(&self) -> Walk<'_> {
        let mut pieces = self.pieces();
        Walk { current: pieces.next(), pieces, before: 0.0, end_ns: self.window_ns.end }
    }

    /// Planned events per second at a time; of a trace, in the second around it.
    pub(crate) fn rate_at(&self, at_ns: u64) -> f64 {
        const HALF_NS: u64 = 500_000_000;
        let in_warmup = at_ns < self.window_ns.start;
        match &self.pace.form {
            Form::Trace(times) if in_warmup => mean_rate(times),
            Form::Trace(times) => {
                let at_ns = at_ns - self.window_ns.start;
                let before = |end_ns: u64| times.partition_point(|&time_ns| time_ns < end_ns);
                let from_ns = at_ns.saturating_sub(HALF_NS);
                let seconds = (at_ns + HALF_NS - from_ns) as f64 / 1e9;
                (before(at_ns + HALF_NS) - before(from_ns)) as f64 / seconds
            }
            Form::Sine { from, .. } if in_warmup => *from,
            Form::Sine { from, to, period_ns } => {
                let turn = (at_ns - self.window_ns.start) as f64 / *period_ns as f64;
                swing(*from, *to, turn)
            }
            Form::Steps(_) => {
                let at = at_ns as f64;
                let holds = |piece: &Piece| at < piece.start_ns + piece.length_ns;
                let mut last = 0.0;
                for piece in self.pieces() {
                    if holds(&piece) {
                        let share = ((at - piece.start_ns) / piece.length_ns).max(0.0);
                        return piece.from + (piece.to - piece.from) * share;
                    }
                    last = piece.to;
                }
                last
            }
        }
    }

    /// The rate over time for a report: pairs of seconds and events per second, linear between; one
    /// pair if it never changes. Of a sine the first period, of a trace the means of stretches.
    pub(crate) fn points(&self) -> Vec<[f64; 2]> {
        let pieces: Vec<Piece> = match &self.pace.form {
            Form::Steps(_) => self.pieces().collect(),
            Form::Sine { period_ns, .. } => {
                let end_ns = (self.window_ns.start + period_ns) as f64;
                self.pieces().take_while(|piece| piece.start_ns < end_ns).collect()
            }
            Form::Trace(times) => self.stretches(times),
        };
        let ends = pieces.iter().filter(|piece| piece.length_ns > 0.0).flat_map(|piece| {
            let end_ns = piece.start_ns + piece.length_ns;
            [[piece.start_ns / 1e9, piece.from], [end_ns / 1e9, piece.to]]
        });
        let mut points: Vec<[f64; 2]> = ends.collect();
        points.dedup();
        match points.first() {
            Some(&[_, rate]) if points.iter().all(|point| point[1] == rate) => vec![[0.0, rate]],
            _ => points,
        }
    }

    fn stretches(&self, times: &[u64]) -> Vec<Piece> {
        let length_ns = self.window_ns.end - self.window_ns.start;
        let bound = |stretch: u64| length_ns * stretch / STRETCHES_COUNT;
        let before = |end_ns: u64| times.partition_point(|&time_ns| time_ns < end_ns) as f64;
        let stretch = |place: u64| {
            let (from_ns, to_ns) = (bound(place), bound(place + 1));
            let rate = (before(to_ns) - before(from_ns)) / ((to_ns - from_ns).max(1) as f64 / 1e9);
            let start_ns = self.window_ns.start;
            Piece::line((start_ns + from_ns) as f64..(start_ns + to_ns) as f64, rate, rate)
        };
        (0..STRETCHES_COUNT).map(stretch).collect()
    }

    /// The pieces in order of time, without a hole; the last may end behind the window.
    fn pieces(&self) -> Box<dyn Iterator<Item = Piece> + '_> {
        let (start, end) = (self.window_ns.start as f64, self.window_ns.end as f64);
        let in_window = move |piece: &Piece| piece.start_ns < end;
        match &self.pace.form {
            Form::Steps(steps) => {
                let rate = steps[0].from;
                let warmup = Piece::line(0.0..start, rate, rate);
                let steps = self.steps(steps).take_while(in_window);
                Box::new(std::iter::once(warmup).chain(steps))
            }
            &Form::Sine { from, to, period_ns } => {
                let chord = move |place: u64| {
                    let at = |place: u64| place as f64 / CHORDS_PER_PERIOD as f64;
                    let when = |place: u64| start + at(place) * period_ns as f64;
                    let rate = |place: u64| swing(from, to, at(place % CHORDS_PER_PERIOD));
                    Piece::line(when(place)..when(place + 1), rate(place), rate(place + 1))
                };
                let warmup = Piece::line(0.0..start, from, from);
                Box::new(std::iter::once(warmup).chain((0..).map(chord).take_while(in_window)))
            }
            Form::Trace(times) => {
                // Whole events before it, so that its own are at whole numbers, and exactly when
                // they are due.
                let work = (mean_rate(times) * start / 1e9).ceil();
                let rate = if start > 0.0 { work / (start / 1e9) } else { 0.0 };
                let warmup = Piece { start_ns: 0.0, length_ns: start, from: rate, to: rate, work };
                let ends = times[1..].iter().copied().chain([super::length_ns(times)]);
                let gaps = times.iter().zip(ends).map(move |(&from_ns, to_ns)| {
                    let length_ns = (to_ns - from_ns) as f64;
                    let rate = 1e9 / length_ns.max(1.0);
                    let start_ns = start + from_ns as f64;
                    Piece { start_ns, length_ns, from: rate, to: rate, work: 1.0 }
                });
                Box::new(std::iter::once(warmup).chain(gaps.take_while(in_window)))
            }
        }
    }

    fn steps<'a>(&self, steps: &'a [Step]) -> impl Iterator<Item = Piece> + use<'a> {
        let (mut start_ns, end_ns) = (self.window_ns.start, self.window_ns.end);
        let last = steps.len() - 1;
        steps.iter().enumerate().flat_map(move |(place, step)| {
            let rest_ns = end_ns.saturating_sub(start_ns);
            let length_ns = step.length_ns.unwrap_or(rest_ns);
            let from_ns = start_ns;
            start_ns += length_ns;
            let own = Piece::line(from_ns as f64..start_ns as f64, step.from, step.to);
            // What is left of the window behind the last step keeps its rate.
            let is_short = place == last && start_ns < end_ns;
            let rest = Piece::line(start_ns as f64..end_ns as f64, step.to, step.to);
            [Some(own), Some(rest).filter(|_| is_short)].into_iter().flatten()
        })
    }
}

/// A sine from one rate to the other, after so many turns.
fn swing(from: f64, to: f64, turns: f64) -> f64 {
    from + (to - from) * (1.0 - (turns * TAU).cos()) / 2.0
}

/// Events per second of a trace.
fn mean_rate(times: &[u64]) -> f64 {
    times.len() as f64 / (super::length_ns(times) as f64 / 1e9)
}

/// One pass over a curve.
pub(crate) struct Walk<'a> {
    current: Option<Piece>,
    pieces: Box<dyn Iterator<Item = Piece> + 'a>,
    /// Events before the current piece.
    before: f64,
    end_ns: u64,
}

impl Walk<'_> {
    /// When `work` events have been done; `None` behind the end. `work` never falls from call to
    /// call.
    pub(crate) fn due(&mut self, work: f64) -> Option<u64> {
        while let Some(piece) = self.current {
            if work < self.before + piece.work {
                let at_ns = piece.after(work - self.before).round() as u64;
                return (at_ns < self.end_ns).then_some(at_ns);
            }
            self.before += piece.work;
            self.current = self.pieces.next();
        }
        None
    }
}
