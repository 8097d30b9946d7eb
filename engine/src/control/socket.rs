//! A connection before its stream: reads and writes with deadlines.
//!
//! What can be done at once is done at once, by a call that does not wait; only then is the runtime
//! asked to tell when more can be done. So a handshake whose request has arrived takes no round
//! through the ring, a waiting connection holds a poll and no buffer, and giving up on a wait leaves
//! no operation behind that owns memory.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use monoio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::delivery::descriptor::descriptor;

/// Bytes asked for in one read.
const READ_BYTES: usize = 16 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
}

/// Why a read or write has not been done.
#[derive(Debug)]
pub(crate) enum SocketError {
    /// The deadline has passed.
    Late,
    /// The connection is broken.
    Broken,
}

impl Socket {
    /// Takes over an accepted connection.
    ///
    /// # Errors
    /// When the runtime's driver cannot watch it.
    pub(crate) fn new(connection: OwnedFd) -> io::Result<Socket> {
        Ok(Socket { stream: TcpStream::from_std(connection.into())? })
    }

    /// Its descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        descriptor(&self.stream)
    }

    /// Appends what has arrived to `buffer`; gives the number of bytes, 0 at the peer's end.
    pub(crate) async fn read(
        &self,
        buffer: &mut Vec<u8>,
        deadline: Instant,
    ) -> Result<usize, SocketError> {
        loop {
            // What is there is filled first: a head that comes in pieces takes no more than its bound.
            if buffer.len() == buffer.capacity() {
                buffer.reserve(READ_BYTES);
            }
            let spare = rustix::buffer::spare_capacity(buffer);
            match rustix::net::recv(self.fd(), spare, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return Err(SocketError::Broken),
            }
            until(deadline, self.stream.readable(false)).await?;
        }
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write(&self, bytes: &[u8], deadline: Instant) -> Result<(), SocketError> {
        let mut left = bytes;
        while !left.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(self.fd(), left, flags) {
                Ok(count) => {
                    left = &left[count..];
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(Errno::INTR) => continue,
                Err(_) => return Err(SocketError::Broken),
            }
            until(deadline, self.stream.writable(false)).await?;
        }
        Ok(())
    }

    /// Ends our side, then reads what the peer still sends until its end, `bytes_max` or the
    /// deadline: closing with unread bytes would reset the connection, and the peer might lose the
    /// answer (RFC 9112, section 9.6).
    pub(crate) async fn linger(&self, bytes_max: usize, deadline: Instant) {
        if rustix::net::shutdown(self.fd(), rustix::net::Shutdown::Write).is_err() {
            return;
        }
        let mut buffer = Vec::new();
        let mut total = 0;
        while total < bytes_max {
            buffer.clear();
            match self.read(&mut buffer, deadline).await {
                Ok(count) if count > 0 => total += count,
                _ => return,
            }
        }
    }
}

/// Waits for readiness until the deadline.
async fn until(
    deadline: Instant,
    ready: impl Future<Output = io::Result<()>>,
) -> Result<(), SocketError> {
    match monoio::time::timeout_at(deadline.into(), ready).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(SocketError::Broken),
        Err(_) => Err(SocketError::Late),
    }
}
