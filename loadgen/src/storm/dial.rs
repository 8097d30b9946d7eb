//! How a subscriber reaches its server: a connection that does not wait, and a request.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use socket2::{Domain, SockAddr, Socket, Type};

use super::fleet::Target;

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
    // Sent only when there is one (WHATWG HTML, section 9.2.3).
    if !last_event_id.is_empty() {
        assert!(request.ends_with(b"\r\n\r\n"), "a head ends with an empty line");
        request.truncate(request.len() - 2);
        request.extend_from_slice(format!("Last-Event-ID: {last_event_id}\r\n\r\n").as_bytes());
    }
    request
}
