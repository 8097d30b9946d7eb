//! Choices that are more than an amount: laws, ways and lists, as they are written in flags.

use crate::amount::{Bytes, Share};

/// How subscribers or events are spread over topics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Spread {
    /// In turn, so as many to each.
    Even,
    /// By Zipf's law with this exponent.
    Zipf(f64),
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Spread::Even => f.write_str("even"),
            Spread::Zipf(exponent) => write!(f, "zipf:{exponent}"),
        }
    }
}

impl std::str::FromStr for Spread {
    type Err = String;
    fn from_str(text: &str) -> Result<Spread, String> {
        if matches!(text, "even" | "const" | "uniform") {
            return Ok(Spread::Even);
        }
        let exponent = text.strip_prefix("zipf:").and_then(|exponent| exponent.parse().ok());
        exponent
            .filter(|exponent: &f64| (0.0..=10.0).contains(exponent))
            .map(Spread::Zipf)
            .ok_or_else(|| format!("{text:?} is neither even nor zipf:EXPONENT (0 to 10)"))
    }
}

/// How subscribers close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Close {
    /// With a reset (SO_LINGER 0)
    #[default]
    Rst,
    /// In order
    Fin,
}

/// Where an arrival is stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Stamps {
    /// Kernel
    #[default]
    Auto,
    /// When the kernel received it
    Kernel,
    /// When this program read it
    User,
}

/// Subscribers that read slowly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SlowPlan {
    pub(crate) share: Share,
    pub(crate) bytes_per_second: u64,
}

impl std::str::FromStr for SlowPlan {
    type Err = String;
    fn from_str(text: &str) -> Result<SlowPlan, String> {
        let (share, rate) = text
            .split_once(':')
            .ok_or_else(|| format!("{text:?} is not SHARE:BYTES_PER_SECOND, as 5%:1KiB"))?;
        let Bytes(bytes_per_second) = rate.trim_end_matches("/s").parse()?;
        Ok(SlowPlan { share: share.parse()?, bytes_per_second })
    }
}

/// Processors that a list can name: those of the kernel's affinity masks (CPU_SETSIZE).
const CPUS_MAX: usize = 1_024;

/// A list of processors: `0,2-5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cpus(pub(crate) Vec<usize>);

impl Cpus {
    /// What of these processors a server gets, `server` or the first half of them, and what is left
    /// for us; none where all may be used.
    pub(crate) fn divide(self, server: Option<Cpus>) -> (Option<Cpus>, Option<Cpus>) {
        let server = server.unwrap_or_else(|| Cpus(self.0[..self.0.len() / 2].to_vec()));
        let left = self.0.into_iter().filter(|cpu| !server.0.contains(cpu)).collect();
        let some = |cpus: Cpus| (!cpus.0.is_empty()).then_some(cpus);
        if server.0.is_empty() { (None, None) } else { (some(server), some(Cpus(left))) }
    }
}

impl std::str::FromStr for Cpus {
    type Err = String;
    fn from_str(text: &str) -> Result<Cpus, String> {
        let wrong = |_| format!("{text:?} is no list of processors; write it as 0,2-5");
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to): (usize, usize) =
                (from.parse().map_err(wrong)?, to.parse().map_err(wrong)?);
            if from > to || to >= CPUS_MAX {
                return Err(format!(
                    "{part:?} is no range of processors; write it upwards, as 2-5, within 0 to {}",
                    CPUS_MAX - 1
                ));
            }
            cpus.extend(from..=to);
        }
        Ok(Cpus(cpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_arguments_are_read() {
        assert_eq!("zipf:1.1".parse(), Ok(Spread::Zipf(1.1)));
        assert!("zipf:x".parse::<Spread>().is_err());
        assert_eq!("0,2-4".parse(), Ok(Cpus(vec![0, 2, 3, 4])));
        for text in ["a", "", "3-1", "0-", "0-1024", "0,18446744073709551615"] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
        let divide = |all: &str, server: Option<&str>| {
            let cpus = |text: &str| text.parse::<Cpus>().unwrap();
            cpus(all).divide(server.map(cpus))
        };
        let both = |server: &str, ours: &str| (server.parse().ok(), ours.parse().ok());
        assert_eq!(divide("0-3", None), both("0-1", "2-3"));
        assert_eq!(divide("2,4,6", None), both("2", "4,6"));
        assert_eq!(divide("0-3", Some("3")), both("3", "0-2"));
        assert_eq!(divide("0-1", Some("0-1")), (Some(Cpus(vec![0, 1])), None));
        assert_eq!(divide("5", None), (None, None));
        let slow = SlowPlan { share: Share::Part(0.05), bytes_per_second: 1_024 };
        assert_eq!("5%:1KiB/s".parse(), Ok(slow));
        assert!("5%".parse::<SlowPlan>().is_err());
    }
}
