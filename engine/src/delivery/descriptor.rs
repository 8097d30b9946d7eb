//! The descriptor of a connection, as the lanes take it.

#![expect(unsafe_code, reason = "monoio's TcpStream implements AsRawFd only, not AsFd")]

use std::os::fd::{AsRawFd, BorrowedFd};

use monoio::net::TcpStream;

/// The descriptor of `stream`.
pub(crate) fn descriptor(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the descriptor must stay open while it is borrowed. A `TcpStream` owns its descriptor
    // and closes it when it is dropped, which the borrow of `stream` prevents.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}
