//! One subscriber of the fleet: where it is, what it has read, when it will be back.
//!
//! The idea: it behaves as a browser's EventSource does (WHATWG HTML, section 9.2.3): it keeps
//! the last event id and the reconnection time across connections, comes back after a lost
//! connection, and gives up for good on any answer but 200 with `text/event-stream`. What it
//! decides with is here; sockets and clocks are the fleet's.

use std::time::{Duration, Instant};

use super::payload::Payloads;
use super::reader::{Reader, Seen};
use super::tracker::{Proof, Tracker};

/// Reconnection time of a browser that was told none: Chromium's three seconds.
pub(super) const RETRY_DEFAULT: Duration = Duration::from_secs(3);

/// When a subscriber comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// After the reconnection time that the server gave, or the default of a browser.
    Retry,
    /// After this long.
    After(Duration),
}

/// A subscriber.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) state: State,
    pub(super) reader: Reader,
    pub(super) last_event_id: String,
    pub(super) retry: Option<Duration>,
    pub(super) tracker: Option<Tracker>,
    /// Bytes that it still reads before it is cut off.
    pub(super) cut_after: Option<u64>,
    /// When it lost its connection, until its stream is open again.
    pub(super) lost_at: Option<Instant>,
    pub(super) part: Part,
    /// The number to reach to be called caught up, and since when its stream is open.
    pub(super) catching_up: Option<(u64, Instant)>,
    /// The highest number seen.
    pub(super) newest: u64,
}

/// Where a subscriber is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Without a connection.
    Away,
    /// Waiting for the TCP connection.
    Connecting,
    /// Waiting for the response head.
    Opening,
    /// Reading its stream.
    Open,
    /// It was told never to come back, and does not.
    GoneForGood,
}

/// A subscriber's part in the wave at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    None,
    /// It is to lose its connection.
    Chosen,
    /// It has lost it, and is not back.
    Dropped,
}

/// Why a stream cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The answer ends it for a browser.
    Refused(String),
    /// The bytes are no HTTP.
    Malformed(String),
}

impl Member {
    pub(super) fn new() -> Self {
        Self {
            state: State::Away,
            reader: Reader::default(),
            last_event_id: String::new(),
            retry: None,
            tracker: None,
            cut_after: None,
            lost_at: None,
            part: Part::None,
            catching_up: None,
            newest: 0,
        }
    }

    /// Takes bytes from its connection. `again` holds the numbers that may come twice.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        payloads: &Payloads,
        again: impl Fn(u64) -> bool,
        proof: &mut Proof,
    ) -> Result<(), Unusable> {
        let (tracker, newest) = (&mut self.tracker, &mut self.newest);
        self.reader.read(bytes, payloads, |seen| match seen {
            Seen::Event(number) => {
                if number <= *newest && again(number) {
                    return;
                }
                tracker.get_or_insert_with(|| Tracker::from(number)).event(number, proof);
                *newest = number.max(*newest);
            }
            Seen::Corrupt => proof.corrupt += 1,
            // Before the first event there is nothing that could be missing.
            Seen::Gap(missing) => {
                if let Some(tracker) = tracker {
                    tracker.gap(missing, proof);
                }
            }
        })?;
        if self.reader.is_open() && self.state == State::Opening {
            self.state = State::Open;
        }
        Ok(())
    }

    /// Whether it has seen an event, or never will.
    pub(super) fn has_begun(&self) -> bool {
        self.tracker.is_some() || self.state == State::GoneForGood
    }

    /// Whether it may still see event `last` and has not.
    pub(super) fn is_behind(&self, last: u64) -> bool {
        self.newest < last && self.state != State::GoneForGood
    }

    /// Ends its connection: what was not a whole event is forgotten, id and time are kept.
    pub(super) fn disconnect(&mut self, now: Instant) {
        let ended = std::mem::take(&mut self.reader);
        if let Some(id) = ended.last_event_id() {
            self.last_event_id = id.to_owned();
        }
        self.retry = ended.retry().or(self.retry);
        if let Some(tracker) = &mut self.tracker {
            tracker.reconnected();
        }
        self.state = State::Away;
        self.cut_after = None;
        self.catching_up = None;
        self.lost_at.get_or_insert(now);
    }

    /// How long it stays away.
    pub(super) fn delay(&self, back: Back) -> Duration {
        match back {
            Back::Retry => self.retry.unwrap_or(RETRY_DEFAULT),
            Back::After(delay) => delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(stream: &str) -> Member {
        let mut member = Member::new();
        member.state = State::Opening;
        let text = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{stream}");
        let proof = &mut Proof::default();
        member.read(text.as_bytes(), &Payloads::new(), |_| false, proof).expect("a stream");
        member
    }

    #[test]
    fn id_and_reconnection_time_outlive_connections_that_set_none() {
        let mut member = opened("retry: 70\nid: 5\n\n");
        assert_eq!(member.state, State::Open);
        for _ in 0..2 {
            member.disconnect(Instant::now());
            assert_eq!(member.last_event_id, "5");
            assert_eq!(member.delay(Back::Retry), Duration::from_millis(70));
        }
    }

    #[test]
    fn an_empty_id_forgets_the_last_one() {
        let mut member = opened("id: 5\n\nid\n\n");
        member.disconnect(Instant::now());
        assert_eq!(member.last_event_id, "");
    }

    #[test]
    fn a_block_that_the_cut_fell_into_leaves_no_trace() {
        let mut member = opened("id: 5\n\nid: 6\ndata: half an ev");
        member.disconnect(Instant::now());
        assert_eq!(member.last_event_id, "5");
        assert_eq!(member.delay(Back::Retry), RETRY_DEFAULT);
    }

    #[test]
    fn the_time_away_counts_from_the_first_loss_and_not_from_failed_returns() {
        let mut member = opened("");
        let lost_at = Instant::now();
        member.disconnect(lost_at);
        member.disconnect(lost_at + Duration::from_secs(1));
        assert_eq!(member.lost_at, Some(lost_at));
    }

    #[test]
    fn a_number_that_was_published_twice_may_come_twice_and_no_other() {
        let (payloads, mut proof) = (Payloads::new(), Proof::default());
        let mut member = opened("");
        for number in [1, 2, 1, 2] {
            let data = payloads.sample(number);
            let event = format!("data: {data}\n\n");
            member.read(event.as_bytes(), &payloads, |it| it == 2, &mut proof).expect("a stream");
        }
        assert_eq!((proof.events, proof.duplicate), (2, 1));
    }
}
