//! An open event stream under observation: framing taken off, events read, bytes kept.
//!
//! Invariant: what `next` gives depends on the bytes alone, because framing and decoder do. The
//! content is kept up to a bound, for the checks that look at bytes rather than at events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::asked::Asked;
use super::point::Broken;
use super::probe::{Answer, Probe, Progress};
use super::site::{Site, Target};
use crate::decoder::{Decoder, Item};
use crate::http::Body;

/// Bytes of content that are kept for the checks of bytes.
const CONTENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An event as a browser would dispatch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Empty for `message`.
    pub(super) name: Vec<u8>,
    pub(super) data: Vec<u8>,
    /// The last event id at that moment, if any was ever sent.
    pub(super) id: Option<Vec<u8>>,
}

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) probe: Probe,
    pub(super) answer: Answer,
    body: Body,
    decoder: Decoder,
    events: VecDeque<Event>,
    /// The last event id that was sent.
    pub(super) id: Option<Vec<u8>>,
    /// The last reconnection time that was sent, in milliseconds.
    pub(super) retry: Option<u64>,
    /// Comments so far.
    pub(super) comments_count: usize,
    /// The content so far, up to a bound.
    pub(super) content: Vec<u8>,
    patience: Duration,
    ending: Option<Ending>,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As its framing has it.
    Proper,
    /// By the end of the connection, within its framing.
    Cut,
    /// By a reset of the connection.
    Reset,
}

impl Stream {
    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// If the answer is no event stream (WHATWG HTML, section 9.2.2): what a browser would not
    /// open cannot be judged further.
    pub(super) fn open(site: &Site, asked: &Asked) -> Result<Stream, Broken> {
        let mut stream = Stream::open_at(site.door(), asked)?;
        // Many servers send the head before they have entered the subscriber.
        stream.until(site.settle, |stream| !stream.content.is_empty())?;
        Ok(stream)
    }

    /// The same at any address, and as soon as the head is there.
    pub(super) fn open_at(target: Target, asked: &Asked) -> Result<Stream, Broken> {
        Stream::open_on(Probe::connect_to(target)?, target.patience, asked)
    }

    /// The same on a connection that is there.
    pub(super) fn open_on(
        mut probe: Probe,
        patience: Duration,
        asked: &Asked,
    ) -> Result<Stream, Broken> {
        let answer = probe.exchange(&asked.bytes(), false)?;
        Stream::answered(probe, answer, patience)
    }

    /// The stream that an answer opens.
    pub(super) fn answered(
        probe: Probe,
        answer: Answer,
        patience: Duration,
    ) -> Result<Stream, Broken> {
        if answer.head.status != 200 || !answer.head.is_event_stream {
            let kind = answer.field("content-type").unwrap_or_else(|| "no type".to_owned());
            let status = answer.head.status;
            return Err(probe.broken(format!("no event stream: {status}, {kind}")));
        }
        Ok(Stream {
            probe,
            body: answer.head.body,
            answer,
            decoder: Decoder::default(),
            events: VecDeque::new(),
            id: None,
            retry: None,
            comments_count: 0,
            content: Vec::new(),
            patience,
            ending: None,
        })
    }

    /// The next event, or nothing if the stream stays silent or ends.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Broken> {
        self.next_within(self.patience)
    }

    /// The next event, if there is one in a given time.
    pub(super) fn next_within(&mut self, time: Duration) -> Result<Option<Event>, Broken> {
        let deadline = Instant::now() + time;
        loop {
            self.take_input()?;
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.ending.is_some() || !self.wait(deadline)? {
                return Ok(None);
            }
        }
    }

    /// The next event, which has to come.
    pub(super) fn event(&mut self) -> Result<Event, Broken> {
        let event = self.next()?;
        event.ok_or_else(|| {
            let ended = if self.ending.is_some() { "the stream ended" } else { "nothing came" };
            self.broken(format!("{ended} where an event was due"))
        })
    }

    /// Reads until something other than an event holds, or the time is over.
    pub(super) fn until(
        &mut self,
        time: Duration,
        holds: impl Fn(&Stream) -> bool,
    ) -> Result<bool, Broken> {
        let deadline = Instant::now() + time;
        loop {
            self.take_input()?;
            if holds(self) {
                return Ok(true);
            }
            if self.ending.is_some() || !self.wait(deadline)? {
                return Ok(false);
            }
        }
    }

    /// A broken rule, with what was on this connection.
    pub(super) fn broken(&self, what: impl Into<String>) -> Broken {
        self.probe.broken(what)
    }

    /// The next event, or nothing if the stream stays silent or ends, however it ends.
    pub(super) fn next_before_end(&mut self) -> Result<Option<Event>, Broken> {
        let next = self.next();
        if next.is_err() && self.ending.is_some() { Ok(None) } else { next }
    }

    /// Whether the server ended the stream.
    pub(super) fn has_ended(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether it ended, or ends in a given time, and how.
    pub(super) fn ending(&mut self, time: Duration) -> Result<Option<Ending>, Broken> {
        match self.until(time, Stream::has_ended) {
            Err(broken) if self.ending.is_none() => Err(broken),
            _ => Ok(self.ending),
        }
    }

    /// What was received behind the last blank line and is no comment: an event that is not
    /// closed.
    pub(super) fn unfinished(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.content).replace("\r\n", "\n").replace('\r', "\n");
        let rest = text.rsplit("\n\n").next().unwrap_or_default();
        let open = rest.lines().any(|line| !line.is_empty() && !line.starts_with(':'));
        open.then(|| rest.to_owned())
    }

    /// Waits for more bytes; false when there are none in time.
    fn wait(&mut self, deadline: Instant) -> Result<bool, Broken> {
        match self.probe.receive(deadline)? {
            Progress::More => Ok(true),
            Progress::Silent => Ok(false),
            Progress::Ended if self.body.may_end_here() => {
                self.ending = Some(Ending::Proper);
                Ok(true)
            }
            Progress::Ended => {
                self.ending = Some(Ending::Cut);
                Err(self.broken("the connection ended within its framing"))
            }
            Progress::Reset => {
                self.ending = Some(Ending::Reset);
                Err(self.broken("the connection was reset"))
            }
        }
    }

    fn take_input(&mut self) -> Result<(), Broken> {
        let input = std::mem::take(&mut self.probe.input);
        let mut rest = &input[..];
        loop {
            let run = match self.body.next(&mut rest) {
                Ok(Some(run)) => run,
                Ok(None) => break,
                Err(error) => return Err(self.broken(error.to_string())),
            };
            let room = (CONTENT_BYTES_MAX - self.content.len()).min(run.len());
            self.content.extend_from_slice(&run[..room]);
            let Stream { decoder, events, id, retry, comments_count, .. } = self;
            decoder.feed(run, |item| match item {
                Item::Id(new) => *id = Some(new.to_vec()),
                Item::Retry(milliseconds) => *retry = Some(milliseconds),
                Item::Comment => *comments_count += 1,
                Item::Event { name, data } => {
                    let (name, data) = (name.to_vec(), data.to_vec());
                    events.push_back(Event { name, data, id: id.clone() });
                }
            });
        }
        if self.body.is_done() {
            self.ending = Some(Ending::Proper);
        }
        Ok(())
    }
}
