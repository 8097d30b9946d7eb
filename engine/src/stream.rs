//! The parts of a stream that are not events: its greeting, a gap, a heartbeat, a farewell.
//!
//! All of them are legal between two events at any place (WHATWG HTML 9.2.5): comments and blocks
//! without data dispatch nothing in a browser.
//!
//! This module knows events and topics.

use std::fmt::Write;

use bytes::Bytes;

use crate::event::{Epoch, EventId, GAP_EVENT};
use crate::topic::Gap;

/// A comment: keeps proxies from closing a quiet connection (WHATWG HTML 9.2.7).
pub const HEARTBEAT: &[u8] = b":\n\n";

/// The last words to a stream whose token has expired. An event, so that a page can fetch a new
/// token; nothing depends on it, so its name is not reserved.
pub const EXPIRED: &[u8] =
    b"event: token_expired\ndata: {\"reason\":\"the token of this stream has expired\"}\n\n";

/// What stands at the start of every stream.
///
/// A comment, so that proxies pass the response on at once; the reconnection time; and an id
/// without data, which EventSource stores without dispatching, so that a client that is cut off
/// before its first event resumes without loss as well. No id where a gap follows at once: the gap
/// brings it, and a client that is cut off between the two must not come back behind the gap.
#[must_use]
pub fn greeting(retry_ms: u64, id: Option<EventId>) -> String {
    match id {
        Some(id) => format!(":\nretry: {retry_ms}\nid: {id}\n\n"),
        None => format!(":\nretry: {retry_ms}\n\n"),
    }
}

/// Says in the stream that events are missing: a browser's script cannot read response headers.
#[must_use]
pub fn gap(gap: &Gap, epoch: Epoch) -> Bytes {
    let id = EventId { epoch, sequence: gap.resumes_after };
    let mut text = format!(
        "id: {id}\nevent: {GAP_EVENT}\ndata: {{\"reason\":\"{}\",\"missing\":",
        gap.reason.name()
    );
    match gap.missing {
        Some(missing) => write!(text, "{missing}"),
        None => write!(text, "null"),
    }
    .expect("a string takes all");
    let lost = EventId { epoch, sequence: gap.lost_through };
    let rest = format!(",\"resumes_after\":\"{id}\",\"lost_through\":\"{lost}\"}}\n\n");
    text.push_str(&rest);
    text.into()
}

/// The last words before the engine closes a stream that the client is to open again.
#[must_use]
pub fn farewell(retry_ms: u64) -> Bytes {
    format!("retry: {retry_ms}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::GapReason;

    #[test]
    fn the_texts_are_blocks_of_their_own() {
        let epoch = Epoch::new(0xabc);
        let id = EventId { epoch, sequence: 7 };
        assert_eq!(greeting(3000, Some(id)), ":\nretry: 3000\nid: 000000000abc-7\n\n");
        assert_eq!(greeting(3000, None), ":\nretry: 3000\n\n");
        let known =
            Gap { reason: GapReason::Lapped, missing: Some(3), resumes_after: 7, lost_through: 9 };
        assert_eq!(
            gap(&known, epoch),
            "id: 000000000abc-7\nevent: gap\ndata: {\"reason\":\"lapped\",\"missing\":3,\
             \"resumes_after\":\"000000000abc-7\",\"lost_through\":\"000000000abc-9\"}\n\n"
        );
        let unknown =
            Gap { reason: GapReason::Evicted, missing: None, resumes_after: 7, lost_through: 7 };
        assert!(gap(&unknown, epoch).windows(14).any(|part| part == b"\"missing\":null"));
        assert_eq!(farewell(5), "retry: 5\n\n");
    }
}
