//! What the ring is asked for, and what comes back: requests named by number.
//!
//! The idea: the kernel carries 64 bits with every request. They hold what was asked for, the slot
//! and the slot's session, so that a completion which comes after its session is over is told from
//! one of the next. Knows nothing of rings.

/// Whose completion it is: carried through the kernel as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    /// What was asked for.
    pub(crate) kind: Kind,
    /// The session of the slot that asked: slots are used again.
    pub(crate) session: u16,
    /// The slot.
    pub(crate) slot: u32,
}

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Connect = 1,
    Send = 2,
    Receive = 3,
    Read = 4,
    Cancel = 5,
    Close = 6,
    Unread = 7,
}

impl Tag {
    pub(super) fn pack(self) -> u64 {
        (self.kind as u64) << 48 | u64::from(self.session) << 32 | u64::from(self.slot)
    }

    pub(super) fn unpack(data: u64) -> Tag {
        let kind = match data >> 48 {
            1 => Kind::Connect,
            2 => Kind::Send,
            3 => Kind::Receive,
            4 => Kind::Read,
            5 => Kind::Cancel,
            6 => Kind::Close,
            7 => Kind::Unread,
            other => unreachable!("a completion of unknown kind {other}"),
        };
        Tag { kind, session: (data >> 32) as u16, slot: data as u32 }
    }
}

/// A finished request, or one piece of a receive that goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Completion {
    /// Whose it is.
    pub(crate) tag: Tag,
    /// Bytes, or a negated errno.
    pub(crate) result: i32,
    /// Whether more completions of this request will come.
    pub(crate) more: bool,
    /// The buffer it brings, to be recycled.
    pub(crate) buffer: Option<u16>,
}
