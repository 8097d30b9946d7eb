//! Who cannot be served now is told when to come back: a subscriber in the one way that `EventSource`
//! understands, everybody else by a status.

use std::time::{Duration, Instant};

use super::{fault_of, hub, refuse};
use crate::close::CloseReason;
use crate::control::Control;
use crate::control::connection::{After, Call};
use crate::control::pace::TooSoon;
use crate::control::socket::{Socket, SocketError};
use crate::delivery::lane::Lane;
use crate::http::response::{Connection, Content};
use crate::mercure::answer::Answer;

/// Says only when to come back, never by another status: an EventSource would give up for ever.
pub(in crate::control) async fn send_away<L: Lane>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    wait: Duration,
    reason: CloseReason,
) -> After {
    let settings = &hub(control).settings;
    let mut out = Vec::new();
    let answer = Answer {
        connection: Connection::Close,
        content: call.content,
        cors: &settings.cors_origins,
        origin: call.origin.as_deref(),
        metadata_url: None,
    };
    answer.stream(settings.speaks.by_default(), None, &mut out);
    if call.content == Content::Sent {
        let retry_ms = control.delivery.borrow_mut().retry_ms() + wait.as_millis() as u64;
        out.extend_from_slice(format!("retry: {retry_ms}\n\n").as_bytes());
    }
    match socket.write(&out, Instant::now() + control.config.write_timeout).await {
        Ok(()) => After::Ended(reason),
        Err(SocketError::Late) => After::Ended(CloseReason::WriteTimeout),
        Err(SocketError::Broken) => After::Ended(CloseReason::PeerReset),
    }
}

/// Refuses what came too soon after other requests.
pub(in crate::control) async fn too_soon<L>(
    control: &Control<L>,
    socket: &Socket,
    call: &Call,
    too_soon: TooSoon,
) -> After {
    let version = hub(control).settings.speaks.by_default();
    let fault = fault_of(version, too_soon.refusal());
    refuse(control, socket, call, &fault, false).await
}
