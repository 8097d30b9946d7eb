//! Requests that come too soon after others of their address or token.
//!
//! They are answered before anything else of them is looked at, a token's signature too: what is
//! refused costs little. A subscriber is told when to come back in the one way that `EventSource`
//! understands, everybody else by a 429 with `Retry-After` (RFC 6585, section 4).

use std::time::Duration;

use super::connection::{After, Call, refused};
use super::socket::Socket;
use super::subscribe::shed;
use super::{Control, mercure};
use crate::close::CloseReason;
use crate::delivery::lane::Lane;
use crate::http::refusal::Refusal;

/// A request that came too soon.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooSoon {
    /// How long to wait before it would not.
    pub(super) wait: Duration,
    /// Who asks too often.
    pub(super) who: Who,
}

/// What requests are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Address,
    Token,
}

/// Counts a request of an address.
pub(super) fn by_address<L>(control: &Control<L>, network: u64) -> Option<TooSoon> {
    let asked = control.limits.ask_network(network, control.stats.now_ns());
    asked.err().map(|wait| TooSoon { wait, who: Who::Address })
}

/// Counts a request of whoever shows a good token.
pub(super) fn by_token<L>(control: &Control<L>, token: &[u8]) -> Option<TooSoon> {
    let asked = control.limits.ask_token(token, control.stats.now_ns());
    asked.err().map(|wait| TooSoon { wait, who: Who::Token })
}

/// Answers a request that came too soon.
pub(super) async fn answer<L: Lane>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    too_soon: TooSoon,
) -> After {
    let stats = control.stats();
    match too_soon.who {
        Who::Address => stats.too_soon_by_address.add(1),
        Who::Token => stats.too_soon_by_token.add(1),
    }
    match (call.is_for_hub, call.wants_stream) {
        (true, true) => {
            mercure::send_away(control, socket, call, too_soon.wait, CloseReason::RateMax).await
        }
        (true, false) => mercure::too_soon(control, socket, call, too_soon).await,
        (false, true) => shed(control, socket, call, too_soon.wait, CloseReason::RateMax).await,
        (false, false) => refused(control, socket, call, &too_soon.refusal()).await,
    }
}

impl TooSoon {
    pub(super) fn refusal(self) -> Refusal {
        let detail = match self.who {
            Who::Address => {
                "More requests come from this address than this server takes from one \
                 (--requests-per-address-max); wait as long as Retry-After says."
            }
            Who::Token => {
                "More requests come with this token than this server takes with one \
                 (--requests-per-token-max); wait as long as Retry-After says."
            }
        };
        Refusal::too_soon(detail, self.seconds())
    }

    /// Whole seconds, at least one: `Retry-After` has no smaller unit (RFC 9110, section 10.2.3).
    fn seconds(self) -> u32 {
        let seconds = self.wait.as_nanos().div_ceil(1_000_000_000).max(1);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_that_are_enough() {
        for (ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            let too_soon = TooSoon { wait: Duration::from_millis(ms), who: Who::Address };
            assert_eq!(too_soon.refusal().retry_after_seconds, Some(seconds), "{ms} ms");
        }
    }
}
