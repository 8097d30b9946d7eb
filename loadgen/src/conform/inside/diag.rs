//! The kernel's word on one TCP connection of this machine (sock_diag(7)).
//!
//! The idea: the kernel is asked for exactly one socket, which costs the same however many others
//! there are; /proc/net/tcp takes seconds where there are very many.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Values of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const ALL_STATES: u32 = u32::MAX;
/// "Whatever its cookie is."
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Bytes of the head of a message, and of the request behind it.
const HEAD_BYTES: usize = 16;
const REQUEST_BYTES: usize = 56;

/// How long the kernel may take: it answers in the call that asks.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The state of a socket between two addresses, as tcp_states.h numbers it; nothing if the kernel
/// has none, or does not say.
pub(super) fn state(local: SocketAddr, remote: SocketAddr) -> Option<u8> {
    let (domain, kind) = (Domain::from(libc::AF_NETLINK), Type::from(libc::SOCK_RAW));
    let mut socket = Socket::new(domain, kind, Some(Protocol::from(NETLINK_SOCK_DIAG))).ok()?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    socket.send(&request(local, remote)).ok()?;
    let mut answer = [0; 512];
    let length = socket.read(&mut answer).ok()?;
    let answer = &answer[..length];
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    // An error has another type; the state stands behind the family.
    (kind == SOCK_DIAG_BY_FAMILY).then(|| answer.get(HEAD_BYTES + 1).copied()).flatten()
}

/// A netlink head and an `inet_diag_req_v2`. Ports and addresses are in network order, all else
/// in this machine's.
fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let length = (HEAD_BYTES + REQUEST_BYTES) as u32;
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    out.extend([0; 8]);
    let family = if local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    out.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    out.extend(ALL_STATES.to_ne_bytes());
    out.extend(local.port().to_be_bytes());
    out.extend(remote.port().to_be_bytes());
    out.extend(address(local.ip()));
    out.extend(address(remote.ip()));
    // Any interface.
    out.extend([0; 4]);
    out.extend(NO_COOKIE);
    out
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut out = [0; 16];
            out[..4].copy_from_slice(&ip.octets());
            out
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}
