//! Addresses: `http://host:port/path`, taken apart and resolved.
//!
//! The idea: what is wrong with the text is told apart from what the network does not know, and
//! without asking it.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::failure::Failure;

/// An address of HTTP, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port as in a Host field.
    pub(crate) authority: String,
    /// Where it resolves to.
    pub(crate) address: SocketAddr,
    /// Path and query, placeholders included; empty if the address has none.
    pub(crate) path: String,
}

/// How long a server may take to say that it is there; one that says nothing may just be slow.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The port of an address that names none (RFC 9110, section 4.2.1).
const PORT: u16 = 80;

impl Url {
    /// Takes an address apart and resolves its host; `http://` may be left out.
    ///
    /// # Errors
    ///
    /// As [`Url::check`], or if the host is not known.
    pub(crate) fn parse(text: &str) -> Result<Url, Failure> {
        let Split { authority, port, path } = split(text).map_err(Failure::Usage)?;
        let with_port = match port {
            Some(_) => authority.to_owned(),
            None => format!("{authority}:{PORT}"),
        };
        let unknown = |why: String| Failure::Broken(format!("{text:?}: {why}"));
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| unknown(error.to_string()))?
            .next()
            .ok_or_else(|| unknown("the host has no address".to_owned()))?;
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Url { authority: authority.to_owned(), address, path })
    }

    /// Finds out at once that nobody listens, rather than after a ramp of refused connects.
    ///
    /// # Errors
    ///
    /// If the connection is refused.
    pub(crate) fn is_there(&self) -> Result<(), String> {
        match self.accepts() {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Err(format!(
                "nobody listens at {}; start the server first, or let --spawn do it",
                self.authority
            )),
            _ => Ok(()),
        }
    }

    /// Whether a server that is about to be started can have the address: another one that listens
    /// there would be measured in its place.
    ///
    /// # Errors
    ///
    /// If somebody listens.
    pub(crate) fn is_free_for(&self, command: &str) -> Result<(), String> {
        match self.accepts() {
            Err(_) => Ok(()),
            Ok(_) => Err(format!(
                "--spawn {command:?}: something listens at {} already; stop it, or measure it \
                 without --spawn",
                self.authority
            )),
        }
    }

    fn accepts(&self) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&self.address, PROBE_TIMEOUT)
    }

    /// Whether it is an address of HTTP; the host is not looked for.
    ///
    /// # Errors
    ///
    /// If it is not `http://host[:port][/path]`.
    pub(crate) fn check(text: &str) -> Result<(), String> {
        split(text).map(drop)
    }
}

/// The parts of an address.
struct Split<'a> {
    authority: &'a str,
    port: Option<u16>,
    /// Path and query as they are.
    path: &'a str,
}

fn split(text: &str) -> Result<Split<'_>, String> {
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Err(format!("{text:?}: {odd:?} cannot stand in an address; write it as %XX"));
    }
    let rest = without_scheme(text)?;
    // A fragment is for the reader of an answer, and never sent (RFC 3986, section 3.5).
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.is_empty() || authority.starts_with(':') {
        return Err(format!("{text:?} names no host; write it as http://host:port/path"));
    }
    if authority.contains('@') {
        return Err(format!("{text:?}: give a name and password by --header, as Authorization"));
    }
    // The colons of an IPv6 address stand in brackets.
    let port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => Some(number(text, port)?),
        _ => None,
    };
    Ok(Split { authority, port, path })
}

fn number(text: &str, port: &str) -> Result<u16, String> {
    let number = port.parse().ok().filter(|&number: &u16| number > 0);
    number.ok_or_else(|| format!("{text:?}: the port {port:?} is not in 1 to {}", u16::MAX))
}

/// What follows the scheme, if there is one.
fn without_scheme(text: &str) -> Result<&str, String> {
    match text.split_once("://") {
        Some(("http", rest)) => Ok(rest),
        Some(("https", _)) => Err(format!(
            "{text:?}: TLS is not spoken here; measure the plain port behind the proxy"
        )),
        Some((scheme, _)) if !scheme.contains(['/', '?']) => {
            Err(format!("{text:?}: {scheme} is not http"))
        }
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, authority, address, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1:8080", ""),
            ("http://127.0.0.1/x?y={topic}", "127.0.0.1", "127.0.0.1:80", "/x?y={topic}"),
            ("127.0.0.1:9/", "127.0.0.1:9", "127.0.0.1:9", "/"),
            ("http://127.0.0.1?x", "127.0.0.1", "127.0.0.1:80", "/?x"),
            ("http://127.0.0.1/a?b=c:1#d", "127.0.0.1", "127.0.0.1:80", "/a?b=c:1"),
            ("127.0.0.1/?topic=http://x/y", "127.0.0.1", "127.0.0.1:80", "/?topic=http://x/y"),
            ("http://[::1]:81", "[::1]:81", "[::1]:81", ""),
            ("http://[::1]/x", "[::1]", "[::1]:80", "/x"),
        ] {
            let url = Url::parse(text).expect(text);
            assert_eq!(url.authority, authority, "{text}");
            assert_eq!((url.address.to_string().as_str(), url.path.as_str()), (address, path));
        }
    }

    #[test]
    fn what_is_no_address_is_wrong_usage_and_a_host_that_nobody_knows_is_not() {
        for (text, word) in [
            ("https://x/", "TLS"),
            ("ftp://x/", "not http"),
            ("http://x:99999", "99999"),
            ("http://x:0", "1 to 65535"),
            ("http://x:", "1 to 65535"),
            ("http://:80/", "names no host"),
            ("http:///x", "names no host"),
            ("", "names no host"),
            ("http://me:secret@x/", "Authorization"),
            ("http://x/a b", "%XX"),
            ("http://x/ü", "%XX"),
        ] {
            let Err(Failure::Usage(error)) = Url::parse(text) else { panic!("{text} is taken") };
            assert!(error.contains(word), "{error}");
            assert_eq!(Url::check(text), Err(error));
        }
        // A host is not looked for.
        assert_eq!(Url::check("http://host.invalid"), Ok(()));
    }
}
