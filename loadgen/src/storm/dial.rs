//! How a subscriber reaches its server: a connection that does not wait, and a request.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, SockAddr, Socket, Type};

use super::fleet::Target;
use crate::profile::Resume;

/// Local addresses that loopback connections are spread over. One address has 28,000 ports, and
/// each orderly close keeps one for a minute; this many never run out.
const LOOPBACK_SOURCES: usize = 250;

/// Starts a connection that does not wait.
pub(super) fn connect(address: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let IpAddr::V4(ip) = address.ip()
        && ip.is_loopback()
    {
        let last = u8::try_from(1 + index % LOOPBACK_SOURCES).expect("at most 250");
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0));
        socket.bind(&SockAddr::from(source))?;
    }
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// The request of a subscriber, by its place in the fleet, that has read up to an id.
pub(super) fn request(target: &Target, index: usize, last_event_id: &str) -> Vec<u8> {
    let mut request = Vec::new();
    let subscriber = u32::try_from(index).expect("no machine has so many");
    target.request.write(0, subscriber, &mut request);
    resume(&target.resume, request, last_event_id)
}

/// A request that says how far its subscriber has read, if it has read anything (WHATWG HTML,
/// section 9.2.3).
fn resume(resume: &Resume, mut request: Vec<u8>, last_event_id: &str) -> Vec<u8> {
    if last_event_id.is_empty() {
        return request;
    }
    match resume {
        Resume::Header => {
            assert!(request.ends_with(b"\r\n\r\n"), "a head ends with an empty line");
            request.truncate(request.len() - 2);
            request.extend_from_slice(format!("Last-Event-ID: {last_event_id}\r\n\r\n").as_bytes());
        }
        Resume::Query(name) => {
            let at = memchr::memmem::find(&request, b" HTTP/1.1\r\n").expect("a request line");
            let mark = if request[..at].contains(&b'?') { '&' } else { '?' };
            let parameter = format!("{mark}{name}={}", encoded(last_event_id));
            request.splice(at..at, parameter.into_bytes());
        }
        Resume::Nowhere(_) => {}
    }
    request
}

/// Text as it may stand in a query: all but what is unreserved (RFC 3986, section 2.3) in percents.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_says_how_far_it_has_read_where_the_server_takes_it() {
        let head = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let resumed = |how: &Resume, target: &str, id: &str| {
            String::from_utf8(resume(how, head(target).into_bytes(), id)).unwrap()
        };
        let query = Resume::Query("from".to_owned());
        for (how, target, id, expected) in [
            (&Resume::Header, "/s", "", head("/s")),
            (&query, "/s", "", head("/s")),
            (&query, "/s", "7", head("/s?from=7")),
            (&query, "/s?a=b", "e:1/ü", head("/s?a=b&from=e%3A1%2F%C3%BC")),
            (&Resume::Nowhere("x"), "/s", "7", head("/s")),
        ] {
            assert_eq!(resumed(how, target, id), expected);
        }
        let expected = "GET /s HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 7\r\n\r\n";
        assert_eq!(resumed(&Resume::Header, "/s", "7"), expected);
    }
}
