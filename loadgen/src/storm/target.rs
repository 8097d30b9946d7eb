//! URLs as what a connection needs: an address, a path, a host.

use std::net::SocketAddr;

use super::fleet::Target;
use super::member::Back;
use super::payload::Payloads;
use super::publisher::Publishing;
use crate::failure::Failure;
use crate::profile::Url;
use crate::profile::field::{self, Fields};

/// The topic of a storm, where the URL names none.
const DEFAULT_PATH: &str = "/events/storm";

/// What to subscribe to.
///
/// # Errors
///
/// What is wrong with the URL.
pub(super) fn subscribing(
    url: &str,
    headers: &[Fields],
    back: Back,
    payloads: Payloads,
) -> Result<Target, Failure> {
    let Parts { address, path, host } = parts(url)?;
    Ok(Target { address, path, host, headers: field::all(headers), back, payloads })
}

/// What to publish to.
///
/// # Errors
///
/// As [`subscribing`].
pub(super) fn publishing(
    url: &str,
    headers: &[Fields],
    events_per_second: f64,
) -> Result<Publishing, Failure> {
    let Parts { address, path, host } = parts(url)?;
    Ok(Publishing { address, target: path, host, headers: field::all(headers), events_per_second })
}

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    address: SocketAddr,
    /// Path and query.
    path: String,
    host: String,
}

fn parts(url: &str) -> Result<Parts, Failure> {
    let Url { authority, address, path } = Url::parse(url)?;
    let path = match path.as_str() {
        "" | "/" => DEFAULT_PATH.to_owned(),
        _ => path,
    };
    Ok(Parts { address, path, host: authority })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_means_the_topic_of_storms() {
        for (url, path) in [
            ("http://127.0.0.1:8080/events/t", "/events/t"),
            ("http://127.0.0.1?x", "/?x"),
            ("http://[::1]:81", DEFAULT_PATH),
            ("http://127.0.0.1/", DEFAULT_PATH),
        ] {
            assert_eq!(parts(url).expect(url).path, path, "{url}");
        }
    }
}
