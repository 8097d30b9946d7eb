//! Addresses: `http://host:port/path`, taken apart and resolved.

use std::net::{SocketAddr, ToSocketAddrs};

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

impl Url {
    /// Takes an address apart and resolves its host.
    ///
    /// # Errors
    ///
    /// If it is not `http://host[:port][/path]`, or the host is not known.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        let rest = Url::without_scheme(text)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| format!("{text:?}: {error}"))?
            .next()
            .ok_or_else(|| format!("{text:?}: the host has no address"))?;
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Url { authority: authority.to_owned(), address, path })
    }

    /// What follows the scheme; `http://` may be left out.
    ///
    /// # Errors
    ///
    /// If the scheme is another: wrong usage, which needs no look at the network to be seen.
    pub(crate) fn without_scheme(text: &str) -> Result<&str, String> {
        match text.split_once("://") {
            Some(("http", rest)) => Ok(rest),
            Some(("https", _)) => Err(format!(
                "{text:?}: TLS is not spoken here; measure the plain port behind the proxy"
            )),
            Some((scheme, _)) => Err(format!("{text:?}: {scheme} is not http")),
            None => Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, authority, port, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", 8080, ""),
            ("http://127.0.0.1/x?y={topic}", "127.0.0.1", 80, "/x?y={topic}"),
            ("127.0.0.1:9/", "127.0.0.1:9", 9, "/"),
            ("http://127.0.0.1?x", "127.0.0.1", 80, "/?x"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.authority, authority);
            assert_eq!((url.address.port(), url.path.as_str()), (port, path));
        }
        assert!(Url::parse("https://x/").unwrap_err().contains("TLS"));
        assert!(Url::parse("ftp://x/").is_err());
    }
}
