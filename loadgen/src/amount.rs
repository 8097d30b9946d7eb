//! Amounts on the command line: `200k`, `64KiB`, `1.5s`, `2.5k` a second, `5%`.

mod size;

use std::str::FromStr;
use std::time::Duration;

pub(crate) use size::{Part, Size};

/// A count: `1000`, `20k`, `1.5m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

/// A number of bytes: `100`, `4k`, `64KiB`. `k` is 1,000 and `KiB` is 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// A span of time: `500us`, `10ms`, `2s`, `5m`. A number alone is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A share or a count of subscribers: `5%` or `64`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Share {
    /// A part of the whole, 0 to 1.
    Part(f64),
    /// So many.
    Count(u64),
}

impl Share {
    /// The number it means among `all`.
    pub(crate) fn of(self, all: usize) -> usize {
        match self {
            Share::Part(part) => (all as f64 * part).round() as usize,
            Share::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        }
        .min(all)
    }
}

/// Splits `1.5ms` into 1.5 and `ms`.
fn split(text: &str) -> Result<(f64, &str), String> {
    let end =
        text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number
        .replace('_', "")
        .parse()
        .map_err(|_| format!("{text:?} does not begin with a number"))?;
    Ok((number, unit.trim()))
}

fn scaled(text: &str, units: &[(&str, f64)]) -> Result<f64, String> {
    let (number, unit) = split(text)?;
    let factor = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(|| {
            let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
            format!("{text:?} has the unit {unit:?}; known are: {}", known.join(" ").trim())
        })?
        .1;
    Ok(number * factor)
}

fn whole(text: &str, value: f64) -> Result<u64, String> {
    if value.fract() != 0.0 || value > 2f64.powi(53) {
        return Err(format!("{text:?} is not a whole number"));
    }
    Ok(value as u64)
}

const THOUSANDS: &[(&str, f64)] = &[("", 1.0), ("k", 1e3), ("m", 1e6), ("g", 1e9)];

const BYTES: &[(&str, f64)] = &[
    ("", 1.0),
    ("b", 1.0),
    ("k", 1e3),
    ("kb", 1e3),
    ("KiB", 1024.0),
    ("m", 1e6),
    ("mb", 1e6),
    ("MiB", 1_048_576.0),
];

const TIMES: &[(&str, f64)] = &[
    ("", 1.0),
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
];

impl FromStr for Count {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        whole(text, scaled(text, THOUSANDS)?).map(Count)
    }
}

impl FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        whole(text, scaled(text, BYTES)?).map(Bytes)
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Span(Duration::from_nanos((scaled(text, TIMES)? * 1e9).round() as u64)))
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse::<Count>().map(|count| Share::Count(count.0));
        };
        let percent: f64 = percent.parse().map_err(|_| format!("{text:?} is no percentage"))?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("{text:?} is not between 0% and 100%"));
        }
        Ok(Share::Part(percent / 100.0))
    }
}

/// Events or connects per second, the same all the time: `100`, `2.5k`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate(pub(crate) f64);

/// Reads events per second, 0 included.
///
/// # Errors
///
/// If it is no number.
pub(crate) fn per_second(text: &str) -> Result<f64, String> {
    scaled(text.trim(), THOUSANDS)
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains([':', '/', ',', '@']) {
            return Err(format!("{text:?}: give one rate; only that of run may change over time"));
        }
        match per_second(text)? {
            rate if rate > 0.0 => Ok(Rate(rate)),
            _ => Err(format!("{text:?} is no rate above 0")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        assert_eq!("200k".parse(), Ok(Count(200_000)));
        assert_eq!("1_000".parse(), Ok(Count(1_000)));
        assert_eq!("1.5m".parse(), Ok(Count(1_500_000)));
        assert_eq!("4KiB".parse(), Ok(Bytes(4_096)));
        assert_eq!("4k".parse(), Ok(Bytes(4_000)));
        assert_eq!("1.5ms".parse(), Ok(Span(Duration::from_micros(1_500))));
        assert_eq!("2".parse(), Ok(Span(Duration::from_secs(2))));
        assert_eq!("5%".parse(), Ok(Share::Part(0.05)));
        assert_eq!("64".parse(), Ok(Share::Count(64)));
        assert_eq!("2.5k".parse(), Ok(Rate(2_500.0)));
    }

    #[test]
    fn a_wrong_amount_is_answered_with_what_is_right() {
        assert!("5x".parse::<Count>().unwrap_err().contains("known are"));
        assert!("0.5".parse::<Count>().unwrap_err().contains("whole"));
        assert!("fast".parse::<Rate>().unwrap_err().contains("number"));
        assert!("120%".parse::<Share>().is_err());
        assert!("0".parse::<Rate>().is_err());
        assert!("1:2".parse::<Rate>().unwrap_err().contains("one rate"));
    }

    #[test]
    fn a_share_never_exceeds_the_whole() {
        assert_eq!(Share::Part(0.05).of(1_000), 50);
        assert_eq!(Share::Count(64).of(10), 10);
    }
}
