//! One connection's bytes, from the response head to numbered events.
//!
//! Invariant: what is kept across connections (id, reconnection time) changes only with whole
//! blocks of the stream, as a browser's does; a block that the cut fell into leaves no trace.

use std::time::Duration;

use super::member::Unusable;
use super::payload::Payloads;
use crate::decoder::{Decoder, Item};
use crate::http::{Body, Head, Malformed};

/// What a stream said that the proof needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// An event of this storm, by its number.
    Event(u64),
    /// An event of this storm whose bytes are not what was published.
    Corrupt,
    /// An announced hole, with the count of missing events if it says one.
    Gap(Option<u64>),
}

/// The reader of one connection.
#[derive(Debug, Default)]
pub(super) struct Reader {
    phase: Phase,
    decoder: Decoder,
    last_event_id: Option<String>,
    retry: Option<Duration>,
}

#[derive(Debug)]
enum Phase {
    /// What has come of the response head.
    Head(Vec<u8>),
    Body(Body),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Reader {
    /// Whether the response head is complete, and a stream.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Body(_))
    }

    /// The id to come back with, if this connection set one.
    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// The reconnection time, if this connection set one.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// If the connection is of no use, and whether it is worth coming back.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        payloads: &Payloads,
        mut seen: impl FnMut(Seen),
    ) -> Result<(), Unusable> {
        match &mut self.phase {
            Phase::Body(body) => {
                let mut input = bytes;
                while let Some(content) = body.next(&mut input).map_err(malformed)? {
                    let (id, retry) = (&mut self.last_event_id, &mut self.retry);
                    self.decoder.feed(content, |item| match item {
                        Item::Id(new) => *id = Some(String::from_utf8_lossy(new).into_owned()),
                        Item::Retry(millis) => *retry = Some(Duration::from_millis(millis)),
                        Item::Event { name, data } => {
                            if let Some(what) = recognise(name, data, payloads) {
                                seen(what);
                            }
                        }
                        Item::Comment => {}
                    });
                }
                Ok(())
            }
            Phase::Head(input) => {
                input.extend_from_slice(bytes);
                let Some(head) = Head::parse(input).map_err(malformed)? else {
                    return Ok(());
                };
                if head.status != 200 || !head.is_event_stream {
                    let kind = if head.is_event_stream { "" } else { ", not an event stream" };
                    return Err(Unusable::Refused(format!("status {}{kind}", head.status)));
                }
                let rest = input.split_off(head.bytes);
                self.phase = Phase::Body(head.body);
                self.read(&rest, payloads, seen)
            }
        }
    }
}

fn malformed(error: Malformed) -> Unusable {
    Unusable::Malformed(error.to_string())
}

fn recognise(name: &[u8], data: &[u8], payloads: &Payloads) -> Option<Seen> {
    if name == b"gap" {
        let said: Option<serde_json::Value> = serde_json::from_slice(data).ok();
        return Some(Seen::Gap(said.and_then(|said| said["missing"].as_u64())));
    }
    payloads.read(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

    /// What a reader saw of `text`, cut off behind byte `cut`, and its id then.
    fn read(payloads: &Payloads, text: &str, cut: usize) -> (Vec<Seen>, Option<String>) {
        let (mut reader, mut seen) = (Reader::default(), Vec::new());
        for byte in &text.as_bytes()[..cut] {
            reader.read(&[*byte], payloads, |what| seen.push(what)).expect("a stream");
        }
        (seen, reader.last_event_id().map(str::to_owned))
    }

    #[test]
    fn wherever_the_cut_falls_the_id_is_that_of_the_last_event_seen() {
        let payloads = Payloads::new();
        let event = |number| {
            let data = payloads.sample(number);
            format!("id: {number}\ndata: {data}\n\n")
        };
        let text = [HEAD.to_owned(), event(1), event(2), event(3)].concat();
        for cut in 0..=text.len() {
            let (seen, id) = read(&payloads, &text, cut);
            let expected: Vec<Seen> = (1..=seen.len() as u64).map(Seen::Event).collect();
            assert_eq!(seen, expected, "cut at {cut}");
            let last = (!seen.is_empty()).then(|| seen.len().to_string());
            assert_eq!(id, last, "cut at {cut}");
        }
        assert_eq!(read(&payloads, &text, text.len()).0.len(), 3);
    }

    #[test]
    fn a_gap_is_seen_with_and_without_a_count() {
        let payloads = Payloads::new();
        for (data, missing) in
            [("{\"missing\":3}", Some(3)), ("{\"missing\":null}", None), ("", None)]
        {
            let text = format!("{HEAD}event: gap\ndata: {data}\n\n");
            assert_eq!(read(&payloads, &text, text.len()).0, [Seen::Gap(missing)]);
        }
    }

    #[test]
    fn any_answer_but_an_event_stream_with_200_ends_it_for_good() {
        for (status, kind) in [(204, "text/event-stream"), (503, "text/plain"), (200, "text/html")]
        {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n\r\n");
            let result = Reader::default().read(text.as_bytes(), &Payloads::new(), |_| {});
            assert!(matches!(result, Err(Unusable::Refused(_))), "{status} {kind}");
        }
    }
}
