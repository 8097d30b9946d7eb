//! URLs as what a connection needs: an address, a path, a host.

use std::net::{SocketAddr, ToSocketAddrs};

use super::fleet::Target;
use super::member::Back;
use super::payload::Payloads;
use super::publisher::Publishing;

/// The topic of a storm, where the URL names none.
const DEFAULT_PATH: &str = "/events/storm";

/// What to subscribe to.
///
/// # Errors
///
/// What is wrong with the URL or a header field.
pub(super) fn subscribing(
    url: &str,
    headers: &[String],
    back: Back,
    payloads: Payloads,
) -> Result<Target, String> {
    let Parts { address, path, host } = parts(url)?;
    Ok(Target { address, path, host, headers: checked(headers)?, back, payloads })
}

/// What to publish to.
///
/// # Errors
///
/// As [`subscribing`].
pub(super) fn publishing(
    url: &str,
    headers: &[String],
    events_per_second: f64,
) -> Result<Publishing, String> {
    let Parts { address, path, host } = parts(url)?;
    Ok(Publishing { address, target: path, host, headers: checked(headers)?, events_per_second })
}

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    address: SocketAddr,
    /// Path and query.
    path: String,
    host: String,
}

fn parts(url: &str) -> Result<Parts, String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("{url:?}: give an address like http://127.0.0.1:8080/events/t"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = path.split('#').next().unwrap_or_default();
    let path = match path {
        "" | "/" => DEFAULT_PATH.to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        query => format!("/{query}"),
    };
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let with_port = if port.is_some() { host.to_owned() } else { format!("{host}:80") };
    let mut found = with_port.to_socket_addrs().map_err(|error| format!("{host:?}: {error}"))?;
    let address = found.next().ok_or_else(|| format!("{host:?} has no address"))?;
    Ok(Parts { address, path, host: host.to_owned() })
}

fn checked(headers: &[String]) -> Result<Vec<String>, String> {
    for header in headers {
        let named = header.split_once(':').is_some_and(|(name, _)| !name.trim().is_empty());
        if !named || header.contains(['\r', '\n']) {
            return Err(format!("{header:?} is no header field; give one as 'Name: value'"));
        }
    }
    Ok(headers.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_address_path_and_host() {
        for (url, address, path, host) in [
            ("http://127.0.0.1:8080/events/t", "127.0.0.1:8080", "/events/t", "127.0.0.1:8080"),
            ("http://127.0.0.1/a?b=c:1#d", "127.0.0.1:80", "/a?b=c:1", "127.0.0.1"),
            ("http://127.0.0.1?x", "127.0.0.1:80", "/?x", "127.0.0.1"),
            ("http://[::1]:81", "[::1]:81", DEFAULT_PATH, "[::1]:81"),
        ] {
            let parts = parts(url).expect(url);
            assert_eq!(parts.address.to_string(), address, "{url}");
            assert_eq!((parts.path.as_str(), parts.host.as_str()), (path, host), "{url}");
        }
        assert!(parts("127.0.0.1:8080/events/t").is_err());
        assert!(parts("https://127.0.0.1/").is_err());
    }

    #[test]
    fn a_header_field_has_a_name_and_no_line_ends() {
        assert!(checked(&["A: b".to_owned()]).is_ok());
        for header in ["A", ": b", "A: b\r\nC: d"] {
            assert!(checked(&[header.to_owned()]).is_err(), "{header:?}");
        }
    }
}
