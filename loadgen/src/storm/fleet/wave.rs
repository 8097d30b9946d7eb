//! Waves: who of the fleet is cut off, when, and how.
//!
//! The idea: a cut is armed on members whose stream is open, and made at a byte of that stream,
//! which is where `Fleet::read` meets it, or at a time, if the byte does not come.
//!
//! What becomes of the members afterwards is the fleet's business.

use std::io;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Due, Fleet};
use crate::storm::account::WaveAccount;
use crate::storm::member::{Part, State};
use crate::storm::plan::Cut;

/// A cut whose bytes have not come by then is made all the same: the stream is idle.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);

/// How connections are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::storm) enum CutBy {
    /// By a reset (RST), as a crashed client or a broken path
    Rst,
    /// By an orderly end (FIN), as a closed page
    Fin,
    /// By the server: it is killed and started again, and everybody loses the connection
    Server,
}

impl Fleet {
    /// From now on everybody connects when its time has come, however many others do.
    pub(in crate::storm) fn release_herd(&mut self) {
        self.connecting_max = usize::MAX;
    }

    /// Begins a wave: arms the cuts on those members whose stream is open.
    pub(in crate::storm) fn arm(&mut self, cuts: &[Cut]) -> io::Result<()> {
        let now = Instant::now();
        for cut in cuts {
            let index = cut.subscriber;
            if !self.choose(index) {
                continue;
            }
            if cut.after_bytes == 0 {
                self.cut(index, now)?;
            } else {
                self.members[index].cut_after = Some(cut.after_bytes);
                self.set_timer(now + CUT_TIMEOUT, index, Due::CutTimeout);
            }
        }
        Ok(())
    }

    /// Begins a wave in which every open stream is about to end by itself.
    pub(in crate::storm) fn expect_all_lost(&mut self) {
        for index in 0..self.members.len() {
            self.choose(index);
        }
    }

    /// Ends a wave, finished or not.
    pub(in crate::storm) fn end_wave(&mut self) -> WaveAccount {
        for member in &mut self.members {
            member.part = Part::None;
        }
        std::mem::take(&mut self.wave)
    }

    fn choose(&mut self, index: usize) -> bool {
        let member = &mut self.members[index];
        let chosen = member.state == State::Open && member.part == Part::None;
        if chosen {
            member.part = Part::Chosen;
            self.wave.pending += 1;
        }
        chosen
    }

    /// Cuts a member off in the way of this storm.
    pub(super) fn cut(&mut self, index: usize, now: Instant) -> io::Result<()> {
        if let Some(socket) = &self.sockets[index] {
            match self.cut_by {
                CutBy::Rst => SockRef::from(socket).set_linger(Some(Duration::ZERO))?,
                // The end goes out before the close, which would be a reset if bytes are unread.
                // A peer that has gone already is as good as cut.
                CutBy::Fin => drop(socket.shutdown(std::net::Shutdown::Write)),
                CutBy::Server => {}
            }
        }
        self.disconnect(index, now);
        Ok(())
    }
}
