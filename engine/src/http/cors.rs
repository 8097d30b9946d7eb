//! Which web pages may use this server (the CORS protocol of the WHATWG Fetch standard, section
//! 3.2).
//!
//! The idea: an origin is allowed by exact match or all are, and only an origin that was named may
//! bring credentials. What is answered to an origin follows from that alone.
//!
//! Invariants: never `*` together with credentials; a reply that depends on the origin says so in
//! `Vary`.
//!
//! Knows nothing of requests; it is given the value of the `Origin` header.

/// The origins whose pages may read replies and publish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cors {
    /// Only pages of this server itself.
    #[default]
    SameOrigin,
    /// Pages of any origin, without credentials.
    Any,
    /// Pages of these origins, as a browser writes them: scheme, host, port unless default.
    Listed(Vec<String>),
}

/// The methods and headers that a page may use. `Last-Event-ID` is asked for when an id is long
/// or has bytes outside the safe list; `Cache-Control` is sent by `EventSource` itself and by
/// polyfills.
const PREFLIGHT: &[u8] = b"Access-Control-Allow-Methods: GET, HEAD, POST\r\n\
    Access-Control-Allow-Headers: last-event-id, authorization, content-type, cache-control\r\n\
    Access-Control-Max-Age: 7200\r\n";

impl Cors {
    /// Appends the headers for a reply to a request with this `Origin`.
    pub fn write(&self, origin: Option<&str>, out: &mut Vec<u8>) {
        match self {
            Self::SameOrigin => {}
            Self::Any => out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n"),
            Self::Listed(origins) => {
                if let Some(known) = origin.and_then(|o| origins.iter().find(|known| *known == o)) {
                    out.extend_from_slice(b"Access-Control-Allow-Origin: ");
                    out.extend_from_slice(known.as_bytes());
                    out.extend_from_slice(b"\r\nAccess-Control-Allow-Credentials: true\r\n");
                }
                out.extend_from_slice(b"Vary: Origin\r\n");
            }
        }
    }

    /// Appends the headers for a reply to OPTIONS.
    pub fn write_preflight(&self, origin: Option<&str>, out: &mut Vec<u8>) {
        self.write(origin, out);
        let allowed = match (self, origin) {
            (Self::Any, Some(_)) => true,
            (Self::Listed(origins), Some(origin)) => origins.iter().any(|known| known == origin),
            _ => false,
        };
        if allowed {
            out.extend_from_slice(PREFLIGHT);
        }
    }

    /// Whether a page of `origin` may publish. A browser sends some POSTs of foreign pages without
    /// asking first, so the reply's headers cannot prevent them. No `Origin` means no page.
    pub fn may_publish(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let is_same = || {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some() && authority == host
        };
        match self {
            Self::SameOrigin => is_same(),
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|known| known == origin) || is_same(),
        }
    }
}

/// Whether a Host header names this machine's loopback. A server that only listens there and asks
/// for no key refuses other names: a foreign name that resolves to 127.0.0.1 is a web page's way
/// around the same-origin rule (DNS rebinding).
pub fn is_loopback_host(host: &str) -> bool {
    let name = host_without_port(host);
    let is_localhost =
        name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    is_localhost || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a Host header may name a server that asks for no key: an address, this machine, a name
/// without a dot (which no stranger can own), or one of `known`, in lower case. Any other name may be
/// a stranger's that resolves to this server (DNS rebinding).
pub fn is_own_host(host: &str, known: &[String]) -> bool {
    let name = host_without_port(host).to_ascii_lowercase();
    is_loopback_host(host)
        || name.parse::<std::net::IpAddr>().is_ok()
        || !name.contains('.')
        || known.contains(&name)
}

fn host_without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    name.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://app.example";

    fn headers(cors: &Cors, origin: Option<&str>) -> String {
        let mut out = Vec::new();
        cors.write(origin, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn listed() -> Cors {
        Cors::Listed(vec!["https://other.example".into(), PAGE.into()])
    }

    #[test]
    fn a_listed_origin_gets_its_own_name_and_credentials() {
        assert_eq!(
            headers(&listed(), Some(PAGE)),
            "Access-Control-Allow-Origin: https://app.example\r\n\
             Access-Control-Allow-Credentials: true\r\nVary: Origin\r\n"
        );
    }

    #[test]
    fn an_unlisted_origin_learns_nothing_but_that_the_reply_varies() {
        for origin in [
            None,
            Some("null"),
            Some("http://app.example"),
            Some("https://app.example:8443"),
            Some("https://app.example.evil"),
            Some("https://APP.example"),
            Some(""),
        ] {
            assert_eq!(headers(&listed(), origin), "Vary: Origin\r\n", "{origin:?}");
            let mut preflight = Vec::new();
            listed().write_preflight(origin, &mut preflight);
            assert_eq!(preflight, b"Vary: Origin\r\n", "{origin:?}");
        }
    }

    #[test]
    fn any_origin_is_a_star_and_never_credentials() {
        for origin in [None, Some("null"), Some(PAGE)] {
            let got = headers(&Cors::Any, origin);
            assert_eq!(got, "Access-Control-Allow-Origin: *\r\n", "{origin:?}");
        }
    }

    #[test]
    fn without_allowed_origins_nothing_is_said() {
        assert_eq!(headers(&Cors::SameOrigin, Some(PAGE)), "");
        let mut preflight = Vec::new();
        Cors::SameOrigin.write_preflight(Some(PAGE), &mut preflight);
        assert!(preflight.is_empty());
    }

    #[test]
    fn a_preflight_allows_what_an_event_source_and_a_publisher_send() {
        for cors in [Cors::Any, listed()] {
            let mut out = Vec::new();
            cors.write_preflight(Some(PAGE), &mut out);
            let text = String::from_utf8(out).unwrap();
            for header in ["last-event-id", "authorization", "content-type", "cache-control"] {
                assert!(text.contains(header), "{header}");
            }
            assert!(text.contains("Allow-Methods: GET, HEAD, POST\r\n"));
            assert!(text.contains("Max-Age: "));
        }
    }

    #[test]
    fn a_foreign_page_publishes_only_if_its_origin_is_allowed() {
        let host = Some("hub.example:8080");
        let own = Some("http://hub.example:8080");
        for (cors, origin, expected) in [
            (Cors::SameOrigin, None, true),
            (Cors::SameOrigin, own, true),
            (Cors::SameOrigin, Some(PAGE), false),
            (Cors::SameOrigin, Some("null"), false),
            (Cors::SameOrigin, Some("http://hub.example"), false),
            (Cors::Any, Some(PAGE), true),
            (listed(), Some(PAGE), true),
            (listed(), own, true),
            (listed(), Some("https://evil.example"), false),
        ] {
            assert_eq!(cors.may_publish(origin, host), expected, "{cors:?} {origin:?}");
        }
    }

    #[test]
    fn a_name_with_a_dot_is_a_strangers_unless_it_is_known() {
        let known = ["hub.internal".to_owned()];
        for host in [
            "10.0.0.1:9090",
            "[2001:db8::1]:9090",
            "[2001:db8::1]",
            "localhost:9090",
            "downpour:9090",
            "hub.internal",
            "HUB.internal:9090",
        ] {
            assert!(is_own_host(host, &known), "{host}");
        }
        for host in ["evil.example", "10.0.0.1.evil.example:9090", "hub.internal.evil.example"] {
            assert!(!is_own_host(host, &known), "{host}");
        }
        assert!(!is_own_host("hub.internal", &[]));
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "app.localhost:1",
            "127.0.0.1",
            "127.9.9.9:8080",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "10.0.0.1:80", "[::]:80", "notlocalhost"]
        {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
