//! How fast the link to the server is, as far as this machine knows.
//!
//! The idea: the routing table names the interface, the interface its speed. The loopback device,
//! most virtual ones and IPv6 routes give no speed, and then there is none.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use crate::profile::Url;

/// Bits per second of the interface that leads to all of these addresses; `None` if it is not
/// known, or they lie behind several.
pub(super) fn bits_per_second(urls: &[Url]) -> Option<u64> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let mut names = urls.iter().map(|url| match url.address.ip() {
        IpAddr::V4(address) if !address.is_loopback() => interface(&routes, address),
        _ => None,
    });
    let name = names.next()??;
    if !names.all(|other| other == Some(name)) {
        return None;
    }
    let megabits = fs::read_to_string(format!("/sys/class/net/{name}/speed")).ok()?;
    // -1 stands for unknown.
    megabits.trim().parse::<u64>().ok().map(|megabits| megabits * 1_000_000)
}

/// The interface of the most specific route: `eth0 DESTINATION GATEWAY FLAGS .. MASK ..`, with
/// addresses as hexadecimal numbers in the machine's byte order.
fn interface(routes: &str, address: Ipv4Addr) -> Option<&str> {
    let address = u32::from_ne_bytes(address.octets());
    let fitting = routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        let (destination, mask) = (number(1)?, number(7)?);
        (address & mask == destination).then_some((mask.count_ones(), *fields.first()?))
    });
    fitting.max_by_key(|(bits, _)| *bits).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_route_names_the_interface() {
        let hex = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let row = |name: &str, destination, mask| {
            let (destination, mask) = (hex(destination), hex(mask));
            format!("{name}\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n")
        };
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
            .to_owned()
            + &row("wan", [0, 0, 0, 0], [0, 0, 0, 0])
            + &row("lan", [10, 0, 0, 0], [255, 0, 0, 0])
            + &row("rack", [10, 0, 7, 0], [255, 255, 255, 0]);
        let of = |address| interface(&routes, address);
        assert_eq!(of(Ipv4Addr::new(10, 0, 7, 9)), Some("rack"));
        assert_eq!(of(Ipv4Addr::new(10, 1, 7, 9)), Some("lan"));
        assert_eq!(of(Ipv4Addr::new(192, 0, 2, 1)), Some("wan"));
        assert_eq!(interface("", Ipv4Addr::LOCALHOST), None);
    }

    #[test]
    fn the_loopback_device_has_no_speed() {
        let url = Url::parse("http://127.0.0.1:9").unwrap();
        assert_eq!(bits_per_second(&[url]), None);
    }
}
