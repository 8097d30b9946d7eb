//! Payload sizes on the command line: `128`, `64:4k`, `64:70%,1k:25%,4k:64k:5%`.
//!
//! The idea: a size is a mix of ranges, each with its share of the events. A constant is one range
//! of one value, so that a plan draws every event's size in the same way.
//!
//! Invariants: never empty; shares are above 0 and make up the whole; every size can hold a stamp.

use std::fmt;
use std::str::FromStr;

use super::Bytes;
use crate::stamp::{PAYLOAD_BYTES_MAX, STAMP_BYTES};

/// Sizes of one mix at most: more than that is a measured distribution, which a handful of ranges
/// tells as well.
const PARTS_COUNT_MAX: usize = 64;

/// How far from 100 the percentages of a mix may end by their decimals: 33.3 three times.
const PERCENT_ERROR_MAX: f64 = 0.11;

/// What sizes the events of a plan have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Size {
    parts: Vec<Part>,
}

/// Events of any size of a range alike, and how many of all they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    /// Smallest, in bytes.
    pub(crate) min: usize,
    /// Largest, in bytes.
    pub(crate) max: usize,
    /// Their share of the events, 0 to 1.
    pub(crate) share: f64,
}

impl Size {
    /// Any size of a range alike.
    ///
    /// # Panics
    ///
    /// If no payload has such a size.
    #[cfg(test)]
    pub(crate) fn between(min: usize, max: usize) -> Size {
        assert!(STAMP_BYTES <= min && min <= max && max <= PAYLOAD_BYTES_MAX);
        Size { parts: vec![Part { min, max, share: 1.0 }] }
    }

    /// The ranges and their shares.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The smallest, in bytes.
    pub(crate) fn min(&self) -> usize {
        self.parts.iter().map(|part| part.min).min().expect("never empty")
    }

    /// The largest, in bytes.
    pub(crate) fn max(&self) -> usize {
        self.parts.iter().map(|part| part.max).max().expect("never empty")
    }

    /// One event's size.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let part = self.drawn_part(random);
        random.usize(part.min..=part.max)
    }

    fn drawn_part(&self, random: &mut fastrand::Rng) -> Part {
        let [others @ .., last] = self.parts.as_slice() else { unreachable!("never empty") };
        if others.is_empty() {
            return *last;
        }
        let mut left = random.f64();
        for part in others {
            left -= part.share;
            if left < 0.0 {
                return *part;
            }
        }
        *last
    }
}

impl fmt::Display for Size {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.parts.iter().enumerate() {
            let separator = if place > 0 { "," } else { "" };
            write!(f, "{separator}{}", part.min)?;
            if part.max > part.min {
                write!(f, ":{}", part.max)?;
            }
            if self.parts.len() > 1 {
                write!(f, ":{}%", part.share * 100.0)?;
            }
        }
        Ok(())
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains([',', '%']) {
            let (min, max) = range(text)?;
            return Ok(Size { parts: vec![Part { min, max, share: 1.0 }] });
        }
        let parts = text.split(',').map(part).collect::<Result<Vec<Part>, String>>()?;
        if parts.len() > PARTS_COUNT_MAX {
            return Err(format!("{} sizes are more than {PARTS_COUNT_MAX}", parts.len()));
        }
        let percent: f64 = parts.iter().map(|part| part.share * 100.0).sum();
        if (percent - 100.0).abs() > PERCENT_ERROR_MAX {
            let percent = (percent * 100.0).round() / 100.0;
            return Err(format!("the shares of {text:?} make up {percent}%, not 100%"));
        }
        let whole = |part: Part| Part { share: part.share * 100.0 / percent, ..part };
        Ok(Size { parts: parts.into_iter().map(whole).collect() })
    }
}

/// A size of a mix and its share: `1k:25%`, `64:4k:25%`.
fn part(text: &str) -> Result<Part, String> {
    let form = || format!("{text:?} is not SIZE:SHARE, such as 1k:25%, or MIN:MAX:SHARE");
    let (sizes, share) = text.trim().rsplit_once(':').ok_or_else(form)?;
    let percent = share.strip_suffix('%').ok_or_else(form)?;
    let percent: f64 = percent.parse().map_err(|_| form())?;
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(format!("{text:?}: a share is above 0% and at most 100%"));
    }
    let (min, max) = range(sizes)?;
    Ok(Part { min, max, share: percent / 100.0 })
}

/// `128` or `64:4k`.
fn range(text: &str) -> Result<(usize, usize), String> {
    let (min, max) = text.split_once(':').unwrap_or((text, text));
    let bytes = |text: &str| -> Result<usize, String> {
        let Bytes(bytes) = text.parse()?;
        usize::try_from(bytes).map_err(|_| format!("{text:?} is too large"))
    };
    let (min, max) = (bytes(min)?, bytes(max)?);
    let allowed = STAMP_BYTES..=PAYLOAD_BYTES_MAX;
    if min > max {
        return Err(format!("{text:?} ends below where it begins; write the smaller size first"));
    }
    if !allowed.contains(&min) || !allowed.contains(&max) {
        return Err(format!(
            "{text:?} is not a size or a range within {STAMP_BYTES} and {PAYLOAD_BYTES_MAX} bytes: \
             the stamp alone takes {STAMP_BYTES}"
        ));
    }
    Ok((min, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> Size {
        text.parse().unwrap()
    }

    #[test]
    fn a_size_a_range_and_a_mix_are_read_and_written_alike() {
        assert_eq!(size("128"), Size::between(128, 128));
        assert_eq!(size("64:4k"), Size::between(64, 4_000));
        let mix = size("64:70%, 1k:25%,4k:16k:5%");
        assert_eq!((mix.min(), mix.max(), mix.parts().len()), (64, 16_000, 3));
        assert_eq!(mix.parts()[1], Part { min: 1_000, max: 1_000, share: 0.25 });
        for text in ["128", "64:4000", "64:75%,1000:2000:25%"] {
            assert_eq!(size(text).to_string(), text);
        }
    }

    #[test]
    fn shares_that_were_rounded_by_hand_are_made_whole() {
        let thirds = size("64:33.3%,100:33.3%,200:33.3%");
        let sum: f64 = thirds.parts().iter().map(|part| part.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert_eq!(size("100:100%").draw(&mut fastrand::Rng::with_seed(1)), 100);
    }

    #[test]
    fn a_wrong_size_is_answered_with_what_is_right() {
        for (text, answer) in [
            ("10", "stamp alone takes 64"),
            ("4k:64", "smaller size first"),
            ("100m", "within 64 and"),
            ("64:70%,1k:25%", "make up 95%, not 100%"),
            ("64:70%,1k", "SIZE:SHARE"),
            ("64,1k", "SIZE:SHARE"),
            ("64:70%,1k:30", "SIZE:SHARE"),
            ("70%", "SIZE:SHARE"),
            ("64:x%", "SIZE:SHARE"),
            ("64:NaN%", "above 0%"),
            ("64:0%,1k:100%", "above 0%"),
            ("64:-10%,1k:110%", "above 0%"),
            ("8:50%,1k:50%", "stamp alone takes 64"),
            ("64:50%,,1k:50%", "SIZE:SHARE"),
            ("", "number"),
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains(answer), "{text:?}: {error}");
        }
        let many = vec!["64:1%"; 100].join(",");
        assert!(many.parse::<Size>().unwrap_err().contains("more than 64"));
    }

    #[test]
    fn sizes_are_drawn_by_their_shares() {
        let mix = size("64:70%,1k:25%,4k:16k:5%");
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = [0u32; 3];
        for _ in 0..100_000 {
            match mix.draw(&mut random) {
                64 => counts[0] += 1,
                1_000 => counts[1] += 1,
                4_000..=16_000 => counts[2] += 1,
                other => panic!("{other} is none of the sizes"),
            }
        }
        // Six standard deviations of a binomial count of 100,000.
        for (count, expected, error) in
            [(counts[0], 70_000u32, 870), (counts[1], 25_000, 822), (counts[2], 5_000, 414)]
        {
            assert!(count.abs_diff(expected) < error, "{counts:?}");
        }
    }
}
