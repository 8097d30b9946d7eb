//! How often somebody may ask: the flags, and what they come to.
//!
//! The idea: a rate is an average over a time, and that time says how much may come at once. Both
//! rates have the same, so that there is one thing to understand.
//!
//! Knows nothing of who asks, nor how it is counted (`limits`).

use std::time::Duration;

use clap::Args;

use super::cli::count;
use super::value;

/// The flags about requests that come too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(next_help_heading = "Limits")]
pub struct RateArgs {
    /// Requests a second of one IP address (IPv6: of one /64), on average; 0 = no limit
    #[arg(long, env = "DOWNPOUR_REQUESTS_PER_ADDRESS_MAX", value_name = "N", default_value = "0",
        value_parser = |t: &str| count(t, 0, 1_000_000))]
    pub requests_per_address_max: usize,

    /// Requests a second with one token, on average; 0 = no limit
    #[arg(long, env = "DOWNPOUR_REQUESTS_PER_TOKEN_MAX", value_name = "N", default_value = "0",
        value_parser = |t: &str| count(t, 0, 1_000_000))]
    pub requests_per_token_max: usize,

    /// Over how long these averages are taken: the requests of so long may come at once
    #[arg(long, env = "DOWNPOUR_REQUESTS_BURST", value_name = "D", default_value = "10s",
        value_parser = |t: &str| {
            value::duration(t, Duration::from_secs(1), Duration::from_hours(1), false)
        })]
    pub requests_burst: Duration,
}

impl RateArgs {
    /// Requests a second of an address, and of a token; 0 = no limit.
    #[must_use]
    pub fn per_second(&self) -> [u32; 2] {
        let number = |limit| u32::try_from(limit).expect("the flags allow a million at most");
        [self.requests_per_address_max, self.requests_per_token_max].map(number)
    }

    /// How many of them are limited.
    #[must_use]
    pub(super) fn count(&self) -> usize {
        self.per_second().iter().filter(|limit| **limit > 0).count()
    }
}
