//! A subscriber's socket before it goes into a ring: options, source address.
//!
//! The idea: everything that must be set before the connect is set here, with plain calls, while
//! the socket still has a descriptor.

#![expect(unsafe_code, reason = "these socket options exist only in libc")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// How a subscriber's socket is set up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup {
    /// Let the kernel stamp received data.
    pub(crate) stamped: bool,
    /// End with RST (SO_LINGER 0), which leaves no TIME_WAIT behind on this side.
    pub(crate) reset_on_close: bool,
    /// Receive buffer; it must be set before the connect to bound the window.
    pub(crate) receive_bytes: Option<usize>,
}

/// A socket ready to connect to `target`, from `source` if given.
///
/// # Errors
///
/// If this machine is out of descriptors or memory, or does not own the source address.
pub(crate) fn open(
    setup: &Setup,
    target: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(bytes) = setup.receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if setup.reset_on_close {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    if setup.stamped {
        switch(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, true)?;
    }
    // The last step of the handshake then goes out with the request, which follows at once, and
    // not as a packet of its own: less of the rig in the rate of connects (tcp(7), TCP_QUICKACK).
    switch(&socket, libc::IPPROTO_TCP, libc::TCP_QUICKACK, false)?;
    if let Some(source) = source {
        // The port is then chosen at the connect, where the target is known and the same port
        // may serve many connections; binding a port here would use each up once.
        switch(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, true)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(socket)
}

fn switch(socket: &Socket, level: i32, option: i32, on: bool) -> io::Result<()> {
    let on = libc::c_int::from(on);
    // SAFETY: setsockopt reads an int of the size given; the descriptor is open while `socket`
    // is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Raises the soft limit on descriptors to the hard one, and returns it.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write one rlimit at a valid, exclusive place.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 1_024;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_socket_leaves_from_the_source_it_was_given() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let source = IpAddr::V4(Ipv4Addr::new(127, 9, 8, 7));
        let setup = Setup { stamped: true, reset_on_close: true, receive_bytes: Some(4_096) };
        let socket = open(&setup, target, Some(source)).unwrap();
        socket.connect(&target.into()).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), source);
        assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    }
}
