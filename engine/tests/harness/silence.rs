//! Ending a connection so that the peer hears nothing of it.
//!
//! Knows one system call that no safe wrapper has.
#![expect(unsafe_code, reason = "TCP_REPAIR has no safe wrapper in std, rustix or socket2")]

use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// A socket under repair says nothing when it is closed (tcp(7), TCP_REPAIR). False where the
/// kernel refuses.
pub(super) fn silence(stream: &TcpStream) -> bool {
    let on: libc::c_int = 1;
    // SAFETY: the call reads `optlen` bytes behind the pointer. It points to a `c_int` that lives
    // until the call returns, and the length is that of a `c_int`; another type or length on one
    // side only would break it.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    result == 0
}
