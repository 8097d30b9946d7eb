//! How many connections there may be: in all, from one network, and streams of one token; and how
//! often a network or a token may ask.
//!
//! Taken once per connection and given back at its end, by any worker. The counts by network are
//! the one place of the engine with a lock: it is held for one step in a hash table, at most twice in
//! a connection's life, and not at all when there is no such limit.
//!
//! This module knows the close reasons and no other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::close::CloseReason;

pub mod rate;

use rate::Rates;

/// Counts of open connections.
#[derive(Debug)]
pub struct Limits {
    connections_max: u64,
    /// 0 for no limit.
    per_network_max: u32,
    connections: AtomicU64,
    networks: Mutex<HashMap<u64, u32>>,
    /// 0 for no limit.
    per_token_max: u32,
    tokens: Mutex<HashMap<u64, u32>>,
    /// Makes numbers of tokens that nobody outside can foresee.
    numbers: RandomState,
    /// None for no limit.
    network_rates: Option<Rates>,
    token_rates: Option<Rates>,
}

/// The right to be one of the connections; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    /// None when the count has gone over to whoever holds the network's number.
    limits: Option<Arc<Limits>>,
    network: u64,
}

impl Limits {
    /// At most `connections_max` connections, `per_network_max` of one network, `per_token_max`
    /// streams of one token; 0 is no limit.
    #[must_use]
    pub fn new(connections_max: usize, per_network_max: u32, per_token_max: u32) -> Limits {
        Limits {
            connections_max: connections_max as u64,
            per_network_max,
            connections: AtomicU64::new(0),
            networks: Mutex::default(),
            per_token_max,
            tokens: Mutex::default(),
            numbers: RandomState::new(),
            network_rates: None,
            token_rates: None,
        }
    }

    /// The same with limits on how often a network, and the bearer of a token, may ask.
    #[must_use]
    pub fn with_rates(self, of_networks: Option<Rates>, of_tokens: Option<Rates>) -> Limits {
        Limits { network_rates: of_networks, token_rates: of_tokens, ..self }
    }

    /// Counts a request from a network, by the number of [`network`].
    ///
    /// # Errors
    /// It comes too soon: how long to wait.
    pub fn ask_network(&self, network: u64, now_ns: u64) -> Result<(), Duration> {
        self.network_rates.as_ref().map_or(Ok(()), |rates| rates.ask(network, now_ns))
    }

    /// Counts a request of whoever shows this token, which is a good one: nobody has a place in the
    /// table for tokens that he made up.
    ///
    /// # Errors
    /// It comes too soon: how long to wait.
    pub fn ask_token(&self, token: &[u8], now_ns: u64) -> Result<(), Duration> {
        let number = || self.numbers.hash_one(token);
        self.token_rates.as_ref().map_or(Ok(()), |rates| rates.ask(number(), now_ns))
    }

    /// Counts one more stream of this token; gives the number to give it back by, if streams of a
    /// token are counted. Two tokens share a number once in 2^64 pairs, which is no harm but to them.
    ///
    /// # Errors
    /// The close reason when there are as many as may be.
    pub fn enter_token(&self, token: &[u8]) -> Result<Option<u64>, CloseReason> {
        if self.per_token_max == 0 {
            return Ok(None);
        }
        let number = self.numbers.hash_one(token);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tokens.entry(number).or_insert(0);
        if *count >= self.per_token_max {
            return Err(CloseReason::TokenMax);
        }
        *count += 1;
        Ok(Some(number))
    }

    /// Gives back what [`Limits::enter_token`] has counted.
    pub fn leave_token(&self, number: u64) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tokens.get_mut(&number).expect("it was counted when it entered");
        *count -= 1;
        if *count == 0 {
            tokens.remove(&number);
        }
    }

    /// Counts one more connection.
    ///
    /// # Errors
    /// The close reason when there are as many as may be.
    pub fn enter(self: &Arc<Limits>, address: IpAddr) -> Result<Pass, CloseReason> {
        // Relaxed: a count orders nothing. Whoever exceeds it takes his own step back.
        if self.connections.fetch_add(1, Relaxed) >= self.connections_max {
            self.connections.fetch_sub(1, Relaxed);
            return Err(CloseReason::ConnectionsMax);
        }
        let network = network(address);
        if self.per_network_max > 0 {
            let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
            let count = networks.entry(network).or_insert(0);
            if *count >= self.per_network_max {
                self.connections.fetch_sub(1, Relaxed);
                return Err(CloseReason::AddressMax);
            }
            *count += 1;
        }
        Ok(Pass { limits: Some(Arc::clone(self)), network })
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Gives back what a slot holds in place of a [`Pass`].
    pub fn leave(&self, network: u64) {
        self.connections.fetch_sub(1, Relaxed);
        if self.per_network_max > 0 {
            let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
            let count = networks.get_mut(&network).expect("it was counted when it entered");
            *count -= 1;
            if *count == 0 {
                networks.remove(&network);
            }
        }
    }
}

impl Pass {
    /// The number to keep in eight bytes instead of the pass, for [`Limits::leave`].
    #[must_use]
    pub fn into_network(mut self) -> u64 {
        self.limits = None;
        self.network
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(limits) = &self.limits {
            limits.leave(self.network);
        }
    }
}

/// An IPv4 address, or the /64 of an IPv6 address: what one host can choose from freely.
#[must_use]
pub fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn limits_hold_at_the_limit_and_are_given_back() {
        let limits = Arc::new(Limits::new(3, 2, 0));
        let a = limits.enter(address("192.0.2.1")).expect("first");
        let b = limits.enter(address("::ffff:192.0.2.1")).expect("the same host as IPv6");
        assert_eq!(limits.enter(address("192.0.2.1")).unwrap_err(), CloseReason::AddressMax);
        let c = limits.enter(address("2001:db8::1")).expect("third");
        assert_eq!(limits.enter(address("2001:db8::2")).unwrap_err(), CloseReason::ConnectionsMax);
        drop(a);
        let d = limits.enter(address("2001:db8::2")).expect("the second of its /64");
        drop(b);
        assert_eq!(limits.enter(address("2001:db8::3")).unwrap_err(), CloseReason::AddressMax);
        let network = c.into_network();
        assert_eq!(limits.connections(), 2, "a number holds what its pass held");
        limits.leave(network);
        drop(d);
        assert_eq!(limits.connections(), 0);
        assert!(limits.networks.lock().unwrap().is_empty());
    }

    #[test]
    fn streams_of_one_token_are_counted_by_themselves() {
        let limits = Limits::new(9, 0, 2);
        let first = limits.enter_token(b"a").unwrap().expect("it is counted");
        let second = limits.enter_token(b"a").unwrap().expect("it is counted");
        assert_eq!(limits.enter_token(b"a"), Err(CloseReason::TokenMax));
        let other = limits.enter_token(b"b").unwrap().expect("another token");
        limits.leave_token(first);
        assert!(limits.enter_token(b"a").is_ok());
        [second, second, other].into_iter().for_each(|number| limits.leave_token(number));
        assert!(limits.tokens.lock().unwrap().is_empty());
        assert_eq!(Limits::new(9, 0, 0).enter_token(b"a"), Ok(None), "no limit, no count");
    }

    #[test]
    fn requests_are_counted_by_ipv4_address_by_ipv6_network_and_by_token() {
        let rates = || Some(Rates::new(1, Duration::from_secs(2)));
        let limits = Limits::new(9, 0, 0).with_rates(rates(), rates());
        let ask = |text: &str| limits.ask_network(network(address(text)), 0).is_ok();
        assert_eq!(["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(ask), [true, true, false]);
        assert!(ask("2001:db8:0:1::1"), "another /64");
        assert_eq!(["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"].map(ask), [true, true, false]);
        assert!(ask("192.0.2.2"), "another address");
        let token = |text: &str| limits.ask_token(text.as_bytes(), 0);
        assert_eq!((token("a"), token("a")), (Ok(()), Ok(())));
        assert_eq!((token("a"), token("b")), (Err(Duration::from_secs(1)), Ok(())));
        let open = Limits::new(9, 0, 0);
        assert!(
            (0..1_000).all(|_| open.ask_network(7, 0).is_ok() && open.ask_token(b"a", 0).is_ok())
        );
    }
}
