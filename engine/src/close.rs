//! Every way a connection ends: one reason each, counted, and documented in `docs/OPERATIONS.md`.
//!
//! This module knows no other.

/// Why a connection ended. Each ends with exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum CloseReason {
    /// The peer closed its side, or the whole connection, in order.
    PeerClosed,
    /// The peer reset the connection, or the kernel gave it up (`TCP_USER_TIMEOUT`).
    PeerReset,
    /// The request was answered and the connection was not to be kept.
    Answered,
    /// The request was refused as malformed or too large, and framing is no longer certain.
    Refused,
    /// No complete request head in `--handshake-timeout`.
    HandshakeTimeout,
    /// No further request in `--idle-timeout` on a kept connection.
    IdleTimeout,
    /// It said nothing for a while, and others were waiting for its place among the requests.
    Crowded,
    /// The subscriber took no byte for `--write-timeout`.
    WriteTimeout,
    /// The subscriber fell behind the history and `--lag disconnect` is set.
    Lapped,
    /// Too many half-sent events were pinned in memory by stalled subscribers.
    PinnedBytes,
    /// Refused at `--connections-max`.
    ConnectionsMax,
    /// Refused at `--connections-per-address-max`.
    AddressMax,
    /// Refused at `--streams-per-token-max`.
    TokenMax,
    /// Sent away at `--requests-per-address-max` or `--requests-per-token-max`.
    RateMax,
    /// Refused at `--topics-max`.
    TopicsMax,
    /// Refused because its selectors match more kept events than there is room to list: a quarter of
    /// `--history-bytes-total`, for all selectors together; or because too many of all selectors
    /// differ in nothing that they could be found by.
    SelectorsMax,
    /// The token that the stream was opened with has expired.
    Expired,
    /// The engine is stopping.
    Drained,
    /// The task of the connection panicked; a defect of the engine.
    Panicked,
    /// The kernel refused an operation on the socket for a reason not named above.
    Failed,
}

impl CloseReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [CloseReason; 20] = [
        CloseReason::PeerClosed,
        CloseReason::PeerReset,
        CloseReason::Answered,
        CloseReason::Refused,
        CloseReason::HandshakeTimeout,
        CloseReason::IdleTimeout,
        CloseReason::Crowded,
        CloseReason::WriteTimeout,
        CloseReason::Lapped,
        CloseReason::PinnedBytes,
        CloseReason::ConnectionsMax,
        CloseReason::AddressMax,
        CloseReason::TokenMax,
        CloseReason::RateMax,
        CloseReason::TopicsMax,
        CloseReason::SelectorsMax,
        CloseReason::Expired,
        CloseReason::Drained,
        CloseReason::Panicked,
        CloseReason::Failed,
    ];

    /// The reason's name in metrics and docs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::PeerReset => "peer_reset",
            CloseReason::Answered => "answered",
            CloseReason::Refused => "refused",
            CloseReason::HandshakeTimeout => "handshake_timeout",
            CloseReason::IdleTimeout => "idle_timeout",
            CloseReason::Crowded => "crowded",
            CloseReason::WriteTimeout => "write_timeout",
            CloseReason::Lapped => "lapped",
            CloseReason::PinnedBytes => "pinned_bytes",
            CloseReason::ConnectionsMax => "connections_max",
            CloseReason::AddressMax => "address_max",
            CloseReason::TokenMax => "token_max",
            CloseReason::RateMax => "rate_max",
            CloseReason::TopicsMax => "topics_max",
            CloseReason::SelectorsMax => "selectors_max",
            CloseReason::Expired => "expired",
            CloseReason::Drained => "drained",
            CloseReason::Panicked => "panicked",
            CloseReason::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_in_the_order_of_the_list() {
        for (number, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
