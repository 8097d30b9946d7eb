//! Which addresses subscribers leave from.
//!
//! The idea: a connection is told apart by its two addresses and ports, so one source address
//! holds at most as many connections to one target as there are ephemeral ports. Linux looks for
//! a free port among half of them first, one after the other: the fuller that half, the longer it
//! looks, and it slows down much when that half is used up. So a machine's own addresses are
//! filled to half; on loopback, where every address of 127.0.0.0/8 is ours to use, to a quarter.
//! Where one address is enough, the kernel chooses it: binding each socket costs a connect 4 %.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Ephemeral ports of a Linux that nobody configured (32768 to 60999).
const PORTS_COUNT: usize = 28_232;

/// Loopback addresses that subscribers leave from: 127.64.0.1 to 127.64.255.250.
pub(crate) const LOOPBACK_COUNT: usize = 256 * 250;

/// The source addresses of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Empty: the kernel chooses.
    addresses: Vec<IpAddr>,
}

impl Sources {
    /// Sources for `subscribers` that connect to `targets`; `given` by the user, if at all.
    ///
    /// # Errors
    ///
    /// If so many connections do not fit, with the number of addresses that would do.
    pub(crate) fn new(
        subscribers: usize,
        targets: &[SocketAddr],
        given: &[IpAddr],
    ) -> Result<Sources, String> {
        let each = ports_count() / 2 * targets.len();
        let needed = subscribers.div_ceil(each.max(1));
        let is_loopback =
            targets.iter().all(|target| target.ip().is_loopback() && target.is_ipv4());
        if !given.is_empty() {
            // The user's own addresses may be filled to the brim, slow as that is.
            if subscribers > given.len() * each * 2 {
                return Err(format!(
                    "--source: {} addresses hold {} connections to {} target(s); \
                     {subscribers} subscribers need {needed}",
                    given.len(),
                    given.len() * each * 2,
                    targets.len()
                ));
            }
            return Ok(Sources { addresses: given.to_vec() });
        }
        if is_loopback {
            let needed = subscribers.div_ceil((each / 2).max(1));
            if needed > LOOPBACK_COUNT {
                return Err(format!(
                    "{subscribers} subscribers need {needed} loopback addresses, and there are \
                     {LOOPBACK_COUNT} for them; name more targets or raise \
                     net.ipv4.ip_local_port_range"
                ));
            }
            let needed = if needed == 1 { 0 } else { needed };
            return Ok(Sources { addresses: (0..needed).map(loopback).collect() });
        }
        if subscribers > each * 2 {
            return Err(format!(
                "one source address holds {} connections to {} target(s); {subscribers} \
                 subscribers need --source with {needed} addresses of this machine",
                each * 2,
                targets.len()
            ));
        }
        Ok(Sources { addresses: Vec::new() })
    }

    /// The source of a subscriber; `None` leaves it to the kernel.
    pub(crate) fn of(&self, subscriber: usize) -> Option<IpAddr> {
        if self.addresses.is_empty() {
            return None;
        }
        Some(self.addresses[subscriber % self.addresses.len()])
    }

    /// How many addresses are in use.
    pub(crate) fn count(&self) -> usize {
        self.addresses.len().max(1)
    }
}

/// The `n`-th loopback source: 127.64.0.1 and on, leaving 127.0.0.x to servers.
fn loopback(n: usize) -> IpAddr {
    let (high, low) = (n / 250, n % 250 + 1);
    IpAddr::V4(Ipv4Addr::new(127, 64, high as u8, low as u8))
}

/// Ephemeral ports per source address, as this machine is set up.
pub(crate) fn ports_count() -> usize {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| {
            let mut ends = text.split_whitespace().filter_map(|end| end.parse::<usize>().ok());
            Some((ends.next()?, ends.next()?))
        })
        .map_or(PORTS_COUNT, |(low, high)| (high + 1).saturating_sub(low).max(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &[SocketAddr] = &[SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80)];
    const REMOTE: &[SocketAddr] = &[SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 80)];

    #[test]
    fn a_loopback_fleet_gets_as_many_sources_as_ranges_filled_to_a_quarter_need() {
        let part = ports_count() / 2 / 2;
        for (subscribers, sources) in [(1, 1), (part, 1), (part + 1, 2), (part * 300, 300)] {
            let plan = Sources::new(subscribers, LOCAL, &[]).unwrap();
            assert_eq!(plan.count(), sources, "{subscribers}");
            let all: std::collections::HashSet<_> = (0..sources).map(|n| plan.of(n)).collect();
            assert_eq!(all.len(), sources);
        }
        assert!(Sources::new(part * LOOPBACK_COUNT, LOCAL, &[]).is_ok());
        let error = Sources::new(part * LOOPBACK_COUNT + 1, LOCAL, &[]).unwrap_err();
        assert!(error.contains("loopback addresses"), "{error}");
    }

    #[test]
    fn a_remote_fleet_that_does_not_fit_is_told_what_it_needs() {
        let each = ports_count() / 2 * 2;
        assert_eq!(Sources::new(each, REMOTE, &[]).unwrap().of(7), None);
        let error = Sources::new(each * 3, REMOTE, &[]).unwrap_err();
        assert!(error.contains("--source with 6 addresses"), "{error}");
        let given = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))];
        assert!(Sources::new(each, REMOTE, &given).is_ok());
        assert!(Sources::new(each + 1, REMOTE, &given).is_err());
    }
}
