//! What a receive brought: bytes, and the kernel's stamp beside them.
//!
//! The idea: a multishot RECVMSG fills a buffer with a header, a control area and the payload. The
//! areas are of fixed sizes, so the payload begins where it always does, and what is read here is
//! checked before it is believed.

use io_uring::types::RecvMsgOut;

/// Bytes that the kernel needs for one SCM_TIMESTAMPNS control message: header and timespec.
pub(super) const CONTROL_BYTES: usize = 32;

/// What a receive brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    /// The bytes.
    pub(crate) bytes: &'a [u8],
    /// When the kernel received the last of them, if it stamps.
    pub(crate) stamp_ns: Option<u64>,
}

impl Content<'_> {
    /// What a plain receive put into a buffer.
    pub(super) fn plain(buffer: &[u8]) -> Content<'_> {
        Content { bytes: buffer, stamp_ns: None }
    }

    /// What a receive with control data, asked for by `message`, put into a buffer; `None` if it
    /// brought no payload.
    pub(super) fn stamped<'a>(buffer: &'a [u8], message: &libc::msghdr) -> Option<Content<'a>> {
        let message = RecvMsgOut::parse(buffer, message).ok()?;
        let stamp_ns = stamp(message.control_data());
        // The payload starts behind a header and a control area of fixed sizes.
        let start = buffer.len() - message.payload_data().len();
        Some(Content { bytes: &buffer[start..], stamp_ns }).filter(|c| !c.bytes.is_empty())
    }
}

/// The receive stamp in a control area: SCM_TIMESTAMPNS, a timespec of CLOCK_REALTIME
/// (socket(7), SO_TIMESTAMPNS).
fn stamp(control: &[u8]) -> Option<u64> {
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_ne_bytes(control.get(at..at + 8)?.try_into().expect("eight bytes")))
    };
    let level = i32::from_ne_bytes(control.get(8..12)?.try_into().expect("four bytes"));
    let kind = i32::from_ne_bytes(control.get(12..16)?.try_into().expect("four bytes"));
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    let stamp_ns = number(16)? * 1_000_000_000 + number(24)?;
    (stamp_ns > 0).then_some(stamp_ns)
}
