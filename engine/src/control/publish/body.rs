//! A whole body, within bounds of bytes and time.
//!
//! Invariant: what all bodies of a worker hold is counted, and given back however reading ends.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Failed;
use crate::close::CloseReason;
use crate::control::Control;
use crate::control::connection::Call;
use crate::control::socket::Socket;
use crate::delivery::lane::Lane;
use crate::http::body::Body;
use crate::http::refusal::Refusal;
use crate::http::response::CONTINUE;

/// Slowest body that is waited for, in bytes a second, after the time a head may take.
const BODY_RATE_MIN: u64 = 1024;

/// Reads a whole body of at most `content_max` bytes.
pub(in crate::control) async fn read_body<L: Lane>(
    control: &Rc<Control<L>>,
    socket: &Socket,
    buffer: &mut Vec<u8>,
    call: &Call,
    content_max: usize,
) -> Result<Vec<u8>, Failed> {
    call.publisher.clone()?;
    let mut body = Body::new(call.body, Some(content_max as u64))?;
    say_continue(control, socket, buffer, call).await?;
    let mut content = Vec::new();
    let mut held = Held::new(control);
    let began = Instant::now();
    loop {
        let decoded = body.decode(buffer, &mut content)?;
        buffer.drain(..decoded.consumed);
        if decoded.done {
            return Ok(content);
        }
        held.set(content.capacity())?;
        let grace = Duration::from_millis(content.len() as u64 * 1000 / BODY_RATE_MIN);
        let deadline = began + control.config.handshake_timeout + grace;
        match socket.read(buffer, deadline).await? {
            0 => return Err(Failed::Ended(CloseReason::PeerClosed)),
            count => control.turnstile.spend(count).await,
        }
    }
}

/// Bytes of one body, counted against those of all bodies of the worker.
pub(in crate::control) struct Held<'a, L> {
    control: &'a Control<L>,
    bytes: usize,
}

impl<'a, L> Held<'a, L> {
    pub(in crate::control) fn new(control: &'a Control<L>) -> Self {
        Held { control, bytes: 0 }
    }

    /// Counts so many bytes instead of those before.
    ///
    /// # Errors
    /// When all together are more than the worker may hold; they are counted all the same.
    pub(in crate::control) fn set(&mut self, bytes: usize) -> Result<(), Refusal> {
        let all = &self.control.body_bytes;
        all.set(all.get() - self.bytes + bytes);
        self.control.stats().body_bytes.set(all.get() as u64);
        self.bytes = bytes;
        if all.get() > self.control.config.bodies_bytes_max() {
            let detail = "Too many large bodies are arriving at once.";
            return Err(Refusal::overloaded(detail, 1));
        }
        Ok(())
    }
}

impl<L> Drop for Held<'_, L> {
    fn drop(&mut self) {
        let all = &self.control.body_bytes;
        all.set(all.get() - self.bytes);
        self.control.stats().body_bytes.set(all.get() as u64);
    }
}

/// A client that waits to be asked for its body is asked (RFC 9110, section 10.1.1).
pub(super) async fn say_continue<L: Lane>(
    control: &Control<L>,
    socket: &Socket,
    buffer: &[u8],
    call: &Call,
) -> Result<(), Failed> {
    if call.expects_continue && buffer.is_empty() {
        socket.write(CONTINUE, Instant::now() + control.config.write_timeout).await?;
    }
    Ok(())
}
