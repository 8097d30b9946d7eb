//! Values as people write them: durations, sizes, addresses, CPU lists, origins.
//!
//! The idea: each kind is parsed in one place, prints as it is written, and says what it allows
//! when it does not understand.
//!
//! Knows nothing of which flag a value belongs to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A size in bytes, written `512`, `64KiB`, `16MiB`, `1GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

const BYTE_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl fmt::Display for Bytes {
    /// The largest binary unit that divides it, so that it reads back as the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        let (unit, size) = BYTE_UNITS[2..6]
            .iter()
            .rev()
            .find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size))
            .unwrap_or(&BYTE_UNITS[0]);
        write!(f, "{}{unit}", bytes / size)
    }
}

/// Reads a size between two bounds. `or_zero` also allows 0, which then has a meaning of its own.
///
/// # Errors
/// What is allowed.
pub fn bytes(text: &str, min: Bytes, max: Bytes, or_zero: bool) -> Result<Bytes, String> {
    let zero = if or_zero { ", or 0" } else { "" };
    let allowed = format!("a size from {min} to {max}{zero}, such as 512, 64KiB, 16MiB or 1GB");
    let value = number_with_unit(text, &BYTE_UNITS)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .map(Bytes)
        .ok_or_else(|| format!("must be {allowed}"))?;
    match value {
        Bytes(0) if or_zero => Ok(value),
        _ if value < min || value > max => Err(format!("must be {allowed}")),
        _ => Ok(value),
    }
}

/// Reads a duration between two bounds, written `250ms`, `15s`, `10m`, `1h`.
///
/// # Errors
/// What is allowed.
pub fn duration(
    text: &str,
    min: Duration,
    max: Duration,
    or_zero: bool,
) -> Result<Duration, String> {
    let zero = if or_zero { ", or 0" } else { "" };
    let (shortest, longest) = (written(min), written(max));
    let allowed = format!("a time from {shortest} to {longest}{zero}, such as 250ms, 15s or 10m");
    if text.trim() == "0" && or_zero {
        return Ok(Duration::ZERO);
    }
    let value = number_with_unit(text, &TIME_UNITS)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("must be {allowed}"))?;
    match value {
        Duration::ZERO if or_zero => Ok(value),
        _ if value < min || value > max => Err(format!("must be {allowed}")),
        _ => Ok(value),
    }
}

/// A duration in the largest unit that divides it.
#[must_use]
pub fn written(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, size) = TIME_UNITS
        .iter()
        .rev()
        .find(|(_, size)| milliseconds > 0 && milliseconds.is_multiple_of(*size))
        .unwrap_or(&("s", 1_000));
    format!("{}{unit}", milliseconds / size)
}

/// Digits and a unit in any case; `None` if it is not that or too large.
fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let (_, size) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

/// Reads an address to listen on: `10.0.0.1:80`, `[::]:8080`, `localhost:8080`, `:8080` (every
/// IPv4 address), `8080` (127.0.0.1).
///
/// # Errors
/// What is allowed.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let allowed = "must be ADDRESS:PORT such as 127.0.0.1:8080, [::]:8080 or localhost:8080; :8080 \
                   stands for every IPv4 address, 8080 for 127.0.0.1. Other names are not looked up";
    let port = |digits: &str| digits.parse::<u16>().map_err(|_| allowed.to_string());
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (ip, digits) = match text.rsplit_once(':') {
        None => (Ipv4Addr::LOCALHOST, text),
        Some(("", digits)) => (Ipv4Addr::UNSPECIFIED, digits),
        Some((name, digits)) if name.eq_ignore_ascii_case("localhost") => {
            (Ipv4Addr::LOCALHOST, digits)
        }
        Some(_) => return Err(allowed.into()),
    };
    // A sign would be parsed as part of a number.
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(allowed.into());
    }
    Ok(SocketAddr::new(IpAddr::V4(ip), port(digits)?))
}

/// The admin address, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin(pub Option<SocketAddr>);

/// Reads an address or `off`.
///
/// # Errors
/// What is allowed.
pub fn admin(text: &str) -> Result<Admin, String> {
    match text {
        "off" => Ok(Admin(None)),
        _ => address(text).map(|a| Admin(Some(a))).map_err(|why| format!("{why}; or `off`")),
    }
}

/// A set of CPUs in the order given, written `0`, `0-3,6`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus(pub Vec<usize>);

/// The highest CPU number of a Linux kernel (`NR_CPUS` of the largest distribution kernels).
const CPU_MAX: usize = 8_191;

/// Reads a list of CPUs.
///
/// # Errors
/// What is allowed.
pub fn cpus(text: &str) -> Result<Cpus, String> {
    let allowed = format!("must be a list of CPUs from 0 to {CPU_MAX}, such as 0 or 0-3,6");
    let number = |digits: &str| -> Result<usize, String> {
        let cpu = number_with_unit(digits, &[("", 1)]).and_then(|n| usize::try_from(n).ok());
        cpu.filter(|cpu| *cpu <= CPU_MAX).ok_or_else(|| allowed.clone())
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(format!("{part} runs backwards; {allowed}"));
        }
        for cpu in first..=last {
            if cpus.contains(&cpu) {
                return Err(format!("CPU {cpu} is named twice; {allowed}"));
            }
            cpus.push(cpu);
        }
    }
    Ok(Cpus(cpus))
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        while let Some(&first) = rest.first() {
            let run = (0..rest.len()).take_while(|&i| rest[i] == first + i).count();
            let comma = if rest.len() == self.0.len() { "" } else { "," };
            match run {
                1 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{}", first + run - 1)?,
            }
            rest = &rest[run..];
        }
        Ok(())
    }
}

/// Reads an origin as a browser writes it in its `Origin` header (RFC 6454, section 6.1), or `*`.
///
/// # Errors
/// What is allowed.
pub fn origin(text: &str) -> Result<String, String> {
    let allowed = "must be * or an origin as browsers send it: scheme://host, then :port unless it \
                   is the scheme's own; lower case, no path, no slash at the end";
    if text == "*" {
        return Ok(text.into());
    }
    let (scheme, authority) = text.split_once("://").ok_or(allowed)?;
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b"0123456789+-.".contains(&b));
    let authority_is_valid = !authority.is_empty()
        && authority
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b))
        && (default_port.is_empty() || !authority.ends_with(default_port));
    if scheme_is_valid && authority_is_valid { Ok(text.into()) } else { Err(allowed.into()) }
}

/// Reads the URL of a JWK set: https, or http on this machine.
///
/// # Errors
/// What is allowed.
pub fn key_url(text: &str) -> Result<String, String> {
    let allowed = "must be https://HOST/PATH, or http:// where the host is loopback: keys that \
                   come in the clear are anybody's keys";
    let url = url::Url::parse(text).map_err(|_| allowed)?;
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let has_password = !url.username().is_empty() || url.password().is_some();
    match url.scheme() {
        _ if has_password => Err(format!("must have no password in it; {allowed}")),
        "https" => Ok(text.to_owned()),
        "http" if is_loopback => Ok(text.to_owned()),
        _ => Err(allowed.to_owned()),
    }
}

/// Reads a host name as it stands in a URL, without its port; gives it in lower case.
///
/// # Errors
/// What is allowed.
pub fn host_name(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    match text.len() <= 253 && text.split('.').all(is_label) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("must be a host name without scheme and port, such as hub.internal".into()),
    }
}

/// Reads the name of a cookie (RFC 6265, section 4.1.1).
///
/// # Errors
/// What is allowed.
pub fn cookie(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_token) {
        true => Ok(text.to_owned()),
        false => Err("must be letters, digits and !#$%&'*+-.^_`|~".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for url in [
            "https://id.example/.well-known/jwks.json",
            "https://id.example:8443/keys?tenant=a",
            "http://127.0.0.1:8000/keys",
            "http://localhost/keys",
            "http://[::1]:1/keys",
        ] {
            assert_eq!(key_url(url).as_deref(), Ok(url));
        }
        for url in [
            "",
            "keys.json",
            "/etc/keys.json",
            "http://id.example/keys",
            "http://localhost.id.example/keys",
            "http://127.0.0.1.id.example/keys",
            "https://me:secret@id.example/keys",
            "file:///etc/keys.json",
            "ftp://id.example/keys",
        ] {
            assert!(key_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_host_name_has_labels_and_nothing_else() {
        assert_eq!(host_name("Hub.Internal").as_deref(), Ok("hub.internal"));
        for name in ["", ".", "a..b", "a:80", "http://a", "a/b", "*", "a.", "ä.example"] {
            assert!(host_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_cookie_is_a_token() {
        for name in ["mercureAuthorization", "__Host-token", "a"] {
            assert_eq!(cookie(name).as_deref(), Ok(name));
        }
        for name in ["", "a b", "a=b", "a;b", "a,b", "\"a\"", "ä"] {
            assert!(cookie(name).is_err(), "{name}");
        }
    }

    fn size(text: &str) -> Result<usize, String> {
        bytes(text, Bytes(1), Bytes(1 << 40), false).map(|b| b.0)
    }

    fn time(text: &str) -> Result<u128, String> {
        let (min, max) = (Duration::from_millis(1), Duration::from_hours(24 * 365));
        duration(text, min, max, false).map(|d| d.as_millis())
    }

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, expected) in [
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("16 MiB", 16_777_216),
            ("1GiB", 1 << 30),
            ("1TiB", 1 << 40),
            ("64KB", 64_000),
            ("5mb", 5_000_000),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "KiB",
            "-1",
            "+1",
            "1.5MiB",
            "1K",
            "1 K i B",
            "0x10",
            "1e3",
            "0",
            "2TiB",
            "99999999999999999999",
            "18446744073709551615GiB",
        ] {
            let error = size(text).expect_err(text);
            assert!(error.contains("from 1 to 1TiB"), "{text}: {error}");
        }
    }

    #[test]
    fn a_size_prints_as_what_it_is_read_from() {
        for (count, text) in [
            (0, "0"),
            (1, "1"),
            (1_000, "1000"),
            (1_024, "1KiB"),
            (1_536, "1536"),
            (3 << 20, "3MiB"),
        ] {
            assert_eq!(Bytes(count).to_string(), text);
            assert_eq!(bytes(text, Bytes(0), Bytes(usize::MAX), true), Ok(Bytes(count)));
        }
    }

    #[test]
    fn times_are_read_with_a_unit() {
        for (text, expected) in [
            ("250ms", 250),
            ("15s", 15_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("2 D", 172_800_000),
        ] {
            assert_eq!(time(text), Ok(expected), "{text}");
        }
        for text in ["", "15", "s", "-1s", "1.5s", "1h30m", "0", "0s", "366d", "1us"] {
            let error = time(text).expect_err(text);
            assert!(error.contains("from 1ms to 365d"), "{text}: {error}");
        }
        let off = duration("0", Duration::from_secs(1), Duration::from_secs(9), true);
        assert_eq!(off, Ok(Duration::ZERO));
        assert_eq!(written(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(written(Duration::from_secs(90)), "90s");
        assert_eq!(written(Duration::ZERO), "0s");
    }

    #[test]
    fn addresses_are_read_in_every_usual_spelling() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LocalHost:1", "127.0.0.1:1"),
            ("[::]:8080", "[::]:8080"),
            ("[::1]:0", "[::1]:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
        ] {
            assert_eq!(address(text), Ok(expected.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            ":",
            "localhost",
            "127.0.0.1",
            "x:80",
            "::1:80",
            "[::1]",
            ":65536",
            ":+80",
            ":-1",
            "1.2.3:80",
            "http://x:80",
            "example.com:80",
        ] {
            let error = address(text).expect_err(text);
            assert!(error.contains("127.0.0.1:8080"), "{text}: {error}");
        }
        assert_eq!(admin("off"), Ok(Admin(None)));
        assert_eq!(admin("9090"), Ok(Admin(Some("127.0.0.1:9090".parse().unwrap()))));
        assert!(admin("no").unwrap_err().contains("`off`"));
    }

    #[test]
    fn cpu_lists_keep_their_order_and_print_as_written() {
        for (text, expected) in [
            ("0", vec![0]),
            ("0-3,6", vec![0, 1, 2, 3, 6]),
            ("3,1,2", vec![3, 1, 2]),
            ("5-5", vec![5]),
        ] {
            assert_eq!(cpus(text), Ok(Cpus(expected)), "{text}");
        }
        assert_eq!(cpus("0-3,6").unwrap().to_string(), "0-3,6");
        assert_eq!(cpus("3,1,2").unwrap().to_string(), "3,1-2");
        for text in ["", ",", "0,", "a", "3-1", "0,0", "0-2,1", "8192", "-1", "1-", "0-9999999999"]
        {
            assert!(cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_what_a_browser_would_send() {
        for text in [
            "*",
            "https://app.example",
            "http://localhost:3000",
            "https://[::1]:8443",
            "chrome-extension://abcdef",
            "http://app.example:443",
        ] {
            assert_eq!(origin(text), Ok(text.into()));
        }
        for text in [
            "",
            "null",
            "app.example",
            "https://app.example/",
            "https://app.example/x",
            "HTTPS://app.example",
            "https://App.example",
            "https://app.example:443",
            "http://app.example:80",
            "https://*.example",
            "https://a b",
            "https://a\r\nX: y",
            "://x",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
