//! Waiting for several rings at once.
//!
//! The idea: a ring whose work is deferred does not show it on its own descriptor, but signals an
//! eventfd; edge-triggered, so that nobody has to read the eventfds. A wake-up says only that some
//! ring has work: which ones, the rings' own flags say, so a thread with fifty rings enters the
//! kernel for those few of them where something happened.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::ring::Ring;

/// Rings that announce their work at one place.
#[derive(Debug)]
pub(super) struct Watch {
    poll: mio::Poll,
    events: mio::Events,
    /// Held open: the rings signal them.
    _signals: Vec<OwnedFd>,
}

impl Watch {
    /// Watches these rings.
    ///
    /// # Errors
    ///
    /// If this machine is out of descriptors.
    pub(super) fn new(rings: &[Ring]) -> io::Result<Watch> {
        let poll = mio::Poll::new()?;
        let signals: Vec<OwnedFd> = rings.iter().map(Ring::signal).collect::<io::Result<_>>()?;
        for (token, signal) in signals.iter().enumerate() {
            let descriptor = signal.as_raw_fd();
            poll.registry().register(
                &mut mio::unix::SourceFd(&descriptor),
                mio::Token(token),
                mio::Interest::READABLE,
            )?;
        }
        Ok(Watch { poll, events: mio::Events::with_capacity(64), _signals: signals })
    }

    /// Waits until a ring has work, or the time is over.
    pub(super) fn wait(&mut self, timeout_ns: u64) {
        // Interrupted or not, the rings are looked at next.
        let _ = self.poll.poll(&mut self.events, Some(Duration::from_nanos(timeout_ns)));
    }
}
