//! How many events a second are meant to go out, and how that changes over a run: what `--rate`
//! takes.
//!
//! The idea: whatever its form, a pace is a planned count over time, and the k-th event is due when
//! that count reaches k. So when each event is due is fixed before the run, by its number alone,
//! and random arrivals are the same count walked in random steps. [`Curve`] lays a pace over the
//! warm-up and the measured window of a run.
//!
//! Invariants: rates are never below 0, and somewhere above; a trace has two different times.

mod curve;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::amount::{Span, per_second};

pub(crate) use curve::Curve;

/// Steps of one pace at most: more of them are a trace.
const STEPS_COUNT_MAX: usize = 1_000;

/// Shortest period of a sine: one that swings faster is burstiness, which `--arrival poisson` is
/// for.
const PERIOD_MIN: Duration = Duration::from_secs(1);

/// Longest trace: some hundred days, in which a float holds every nanosecond.
const TRACE_NS_MAX: u64 = 1 << 53;

/// Planned events per second over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pace {
    /// As on the command line.
    text: String,
    form: Form,
}

#[derive(Debug, Clone, PartialEq)]
enum Form {
    /// Straight lines, one behind the other; never empty.
    Steps(Vec<Step>),
    /// A sine that begins at one rate and reaches the other after half a period.
    Sine { from: f64, to: f64, period_ns: u64 },
    /// The times themselves, ascending from 0.
    Trace(Arc<[u64]>),
}

/// A straight line from one rate to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    from: f64,
    to: f64,
    /// `None` lasts as long as the measured window.
    length_ns: Option<u64>,
}

impl Pace {
    /// The length of the measured window that it has by itself.
    pub(crate) fn length(&self) -> Option<Duration> {
        let ns = match &self.form {
            Form::Steps(steps) => steps.iter().map(|step| step.length_ns).sum::<Option<u64>>()?,
            Form::Sine { .. } => return None,
            Form::Trace(times) => length_ns(times),
        };
        Some(Duration::from_nanos(ns))
    }

    /// Whether nothing is known of it beyond its own length.
    pub(crate) fn is_trace(&self) -> bool {
        matches!(self.form, Form::Trace(_))
    }

    /// The text of a pace that needs words: neither one rate nor a line from one to another.
    pub(crate) fn shape(&self) -> Option<String> {
        match self.form.clone() {
            Form::Steps(steps) if steps[0].length_ns.is_none() => None,
            _ => Some(self.text.clone()),
        }
    }

    /// When each step begins within the measured window, and its rate in words; empty for what has
    /// no steps.
    pub(crate) fn steps(&self) -> Vec<(u64, String)> {
        let Form::Steps(steps) = &self.form else { return Vec::new() };
        let mut at_ns = 0;
        let mut found = Vec::new();
        for step in steps.iter().filter(|_| steps.len() > 1) {
            let text = match step.from == step.to {
                true => format!("{} events/s", step.from),
                false => format!("{} to {} events/s", step.from, step.to),
            };
            found.push((at_ns, text));
            at_ns += step.length_ns.unwrap_or(0);
        }
        found
    }
}

impl fmt::Display for Pace {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Pace, String> {
        let form = if let Some(path) = text.strip_prefix('@') {
            let read = std::fs::read_to_string(path).map_err(|error| {
                format!("{path}: {error}; @FILE reads the times of a trace, in seconds, one a line")
            })?;
            Form::Trace(trace(&read).map_err(|error| format!("{path}: {error}"))?)
        } else if let Some(sine) = text.strip_prefix("sine:") {
            read_sine(text, sine)?
        } else if text.contains(['/', ',']) {
            Form::Steps(read_steps(text)?)
        } else {
            let (from, to) = line(text)?;
            Form::Steps(vec![Step { from, to, length_ns: None }])
        };
        let is_above_zero = match &form {
            Form::Steps(steps) => steps.iter().any(|step| step.from > 0.0 || step.to > 0.0),
            Form::Sine { from, to, .. } => from.max(*to) > 0.0,
            Form::Trace(_) => true,
        };
        if !is_above_zero {
            return Err(format!("{text:?} is no rate above 0"));
        }
        Ok(Pace { text: text.to_owned(), form })
    }
}

/// `20` or `20:200`.
fn line(text: &str) -> Result<(f64, f64), String> {
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    Ok((per_second(from)?, per_second(to)?))
}

/// `10/30s,10:50/1m`.
fn read_steps(text: &str) -> Result<Vec<Step>, String> {
    let steps: Vec<Step> = text.split(',').map(step).collect::<Result<_, _>>()?;
    if steps.len() > STEPS_COUNT_MAX {
        return Err(format!(
            "{} steps are more than {STEPS_COUNT_MAX}; write a trace of times, @FILE",
            steps.len()
        ));
    }
    Ok(steps)
}

fn step(text: &str) -> Result<Step, String> {
    let (rate, length) = text.trim().split_once('/').ok_or_else(|| {
        format!("{text:?} is not RATE/TIME, such as 20/30s, or FROM:TO/TIME, such as 20:50/30s")
    })?;
    let (from, to) = line(rate)?;
    let Span(length) = length.parse()?;
    if length.is_zero() {
        return Err(format!("{text:?}: a step takes time; give more than 0"));
    }
    Ok(Step { from, to, length_ns: Some(crate::clock::ns(length)) })
}

/// `10:50/60s`, of `sine:10:50/60s`.
fn read_sine(text: &str, sine: &str) -> Result<Form, String> {
    let form =
        || format!("{text:?} is not sine:FROM:TO/PERIOD, such as sine:10:50/60s (both rates)");
    let (rates, period) = sine.split_once('/').ok_or_else(form)?;
    let (from, to) = line(Some(rates).filter(|rates| rates.contains(':')).ok_or_else(form)?)?;
    let Span(period) = period.parse()?;
    if period < PERIOD_MIN {
        return Err(format!("{text:?}: a period is {PERIOD_MIN:?} or longer"));
    }
    Ok(Form::Sine { from, to, period_ns: crate::clock::ns(period) })
}

/// The times of a trace from its first line on.
fn trace(text: &str) -> Result<Arc<[u64]>, String> {
    let mut times: Vec<u64> = Vec::new();
    let mut first = None;
    let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let time_ns = nanoseconds(line).ok_or_else(|| {
            format!("line {number}: {line:?} is not a time in seconds, such as 12.345")
        })?;
        let at_ns = time_ns.checked_sub(*first.get_or_insert(time_ns));
        let at_ns = at_ns.filter(|at_ns| *at_ns <= TRACE_NS_MAX).ok_or_else(|| {
            format!("line {number}: {line} is before the first time, or years later")
        })?;
        if times.last().is_some_and(|last| at_ns < *last) {
            return Err(format!(
                "line {number}: {line} comes before the line above it; sort the times (sort -n)"
            ));
        }
        times.push(at_ns);
    }
    match times.last() {
        None | Some(0) => Err("a trace has two different times or more, one a line".to_owned()),
        Some(_) => Ok(times.into()),
    }
}

/// Seconds as nanoseconds, digit by digit: a float would lose some of those since 1970. Digits
/// behind the ninth are left out.
fn nanoseconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_sound = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_sound(whole) || !is_sound(fraction) {
        return None;
    }
    let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let seconds: u64 = whole.parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos.parse().ok()?)
}

/// How long a trace lasts: a mean gap longer than its last time, as a comb of that rate would.
fn length_ns(times: &[u64]) -> u64 {
    let last_ns = times.last().copied().unwrap_or(0);
    last_ns + last_ns / (times.len() as u64 - 1)
}

#[cfg(test)]
mod tests;
