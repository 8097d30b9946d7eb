//! One subscriber: from the bytes of its connection to the items of its stream.
//!
//! The idea: a state machine without I/O that is fed what arrives, in pieces that end anywhere.
//! At rest it owns no memory beyond its 48 bytes: what only a connect needs is boxed and goes
//! when the stream opens.
//!
//! It knows nothing of sockets or stamps, and reads no clock.

use super::super::decoder::{Decoder, Item};
use super::super::http::{Body, Head, Malformed};

/// One subscriber, over all of its sessions.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    pub(super) stage: Stage,
    /// When the stream opened.
    pub(super) opened_ns: u64,
    /// From the planned start to that, in microseconds: `connect.first_event` counts from there.
    pub(super) ready_us: u32,
    /// Counts sessions, to tell a late completion from one of this session.
    pub(super) session: u16,
    /// Whether this session has received an event.
    pub(super) has_event: bool,
}

/// Where a session is.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// Not started, or over.
    #[default]
    Idle,
    /// The connection is being made.
    Connecting(Box<Opening>),
    /// The request is sent, and the answer's head not yet complete.
    Head(Box<Opening>),
    /// The stream is open.
    Streaming { body: Body, decoder: Decoder },
    /// The request is sent, and the answer is read slowly or not at all.
    Slow,
}

/// A session before its stream is open.
#[derive(Debug, Clone, Default)]
pub(super) struct Opening {
    /// When it was to start; also where `connect.ready` counts from.
    pub(super) planned_ns: u64,
    /// When it did start.
    pub(super) since_ns: u64,
    /// What has come of the answer's head, if that took more than one piece.
    text: Vec<u8>,
}

/// What a piece of input led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing but items.
    Going,
    /// The head is complete: the stream is open.
    Opened,
    /// The session is over.
    Ended(End),
}

/// Why a session ended. Every session ends with exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// This program wanted it.
    Wanted,
    /// The server closed it as HTTP says.
    Closed,
    /// The server closed it within a chunk or before the announced length.
    Cut,
    /// The connection was reset.
    Reset,
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    Timeout,
    /// A status other than 200.
    Status(u16),
    /// 200, but no event stream.
    Mime,
    /// HTTP framing or head that cannot be read.
    Malformed,
    /// This machine could not: ports, descriptors, memory.
    Local,
}

impl Opening {
    pub(super) fn new(planned_ns: u64, since_ns: u64) -> Box<Opening> {
        Box::new(Opening { planned_ns, since_ns, text: Vec::new() })
    }
}

impl Subscriber {
    /// Takes what arrived and gives the items that it completes to `out`.
    pub(super) fn take(&mut self, bytes: &[u8], mut out: impl FnMut(Item<'_>)) -> Progress {
        match &mut self.stage {
            Stage::Idle | Stage::Connecting(_) | Stage::Slow => Progress::Going,
            Stage::Streaming { body, decoder } => match stream(body, decoder, bytes, &mut out) {
                Ok(()) if body.is_done() => Progress::Ended(End::Closed),
                Ok(()) => Progress::Going,
                Err(_) => Progress::Ended(End::Malformed),
            },
            Stage::Head(opening) => {
                // Nearly every head comes in one piece and is read where it lies.
                let in_pieces = !opening.text.is_empty();
                if in_pieces {
                    opening.text.extend_from_slice(bytes);
                }
                let text = if in_pieces { &opening.text } else { bytes };
                let head = match Head::parse(text) {
                    Ok(None) if in_pieces => return Progress::Going,
                    Ok(None) => {
                        opening.text.extend_from_slice(bytes);
                        return Progress::Going;
                    }
                    Ok(Some(head)) => head,
                    Err(_) => return Progress::Ended(End::Malformed),
                };
                if head.status != 200 {
                    return Progress::Ended(End::Status(head.status));
                }
                if !head.is_event_stream {
                    return Progress::Ended(End::Mime);
                }
                let (mut body, mut decoder) = (head.body, Decoder::default());
                let result = stream(&mut body, &mut decoder, &text[head.bytes..], &mut out);
                self.stage = Stage::Streaming { body, decoder };
                if result.is_ok() { Progress::Opened } else { Progress::Ended(End::Malformed) }
            }
        }
    }

    /// How a session ends whose connection the server closed here.
    pub(super) fn end_of_input(&self) -> End {
        match &self.stage {
            Stage::Streaming { body, .. } if body.may_end_here() => End::Closed,
            Stage::Streaming { .. } => End::Cut,
            _ => End::Closed,
        }
    }

    /// The session as long as its stream is not open.
    pub(super) fn opening(&self) -> Option<&Opening> {
        match &self.stage {
            Stage::Connecting(opening) | Stage::Head(opening) => Some(opening),
            Stage::Idle | Stage::Streaming { .. } | Stage::Slow => None,
        }
    }

    /// Whether the request is sent and nothing of the answer has come.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(&self.stage, Stage::Head(opening) if opening.text.is_empty())
    }

    /// The connection is there: from now on bytes are the answer.
    pub(super) fn connected(&mut self) {
        self.stage = match std::mem::take(&mut self.stage) {
            Stage::Connecting(opening) => Stage::Head(opening),
            other => other,
        };
    }

    /// Whether the stream is open, and already over: head and end came in one piece.
    pub(super) fn is_over(&self) -> bool {
        matches!(&self.stage, Stage::Streaming { body, .. } if body.is_done())
    }

    /// Whether the stream is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Streaming { .. })
    }
}

fn stream(
    body: &mut Body,
    decoder: &mut Decoder,
    mut bytes: &[u8],
    out: &mut impl FnMut(Item<'_>),
) -> Result<(), Malformed> {
    while let Some(content) = body.next(&mut bytes)? {
        decoder.feed(content, &mut *out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session whose request is sent.
    fn waiting() -> Subscriber {
        Subscriber { stage: Stage::Head(Opening::new(0, 0)), ..Subscriber::default() }
    }

    /// Feeds pieces to a fresh session; what came out, and how it went.
    fn run(pieces: &[&[u8]]) -> (Vec<String>, Vec<Progress>) {
        let mut subscriber = waiting();
        let (mut data, mut steps) = (Vec::new(), Vec::new());
        for piece in pieces {
            let step = subscriber.take(piece, |item| {
                if let Item::Event { data: bytes, .. } = item {
                    data.push(String::from_utf8(bytes.to_vec()).unwrap());
                }
            });
            if step != Progress::Going {
                steps.push(step);
            }
            if step == Progress::Opened && subscriber.is_over() {
                steps.push(Progress::Ended(End::Closed));
            }
        }
        (data, steps)
    }

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

    #[test]
    fn a_session_reads_the_same_at_every_split_in_either_framing() {
        let chunked = [
            HEAD,
            b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n".as_slice(),
            b"6\r\ndata: \r\n3\r\nb\n\n\r\n0\r\n\r\n",
        ]
        .concat();
        let plain = [HEAD, b"\r\ndata: a\n\ndata: b\n\n".as_slice()].concat();
        for (text, end) in [(chunked, true), (plain, false)] {
            for split in 0..=text.len() {
                let (data, mut steps) = run(&[&text[..split], &text[split..]]);
                // The empty piece behind the last split finds the session ended already.
                steps.dedup();
                assert_eq!(data, ["a", "b"], "split at {split}");
                let mut expected = vec![Progress::Opened];
                expected.extend(end.then_some(Progress::Ended(End::Closed)));
                assert_eq!(steps, expected, "split at {split}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_no_stream_ends_the_session() {
        for (head, end) in [
            ("HTTP/1.1 503 No\r\n\r\n", End::Status(503)),
            ("HTTP/1.1 204 No\r\n\r\n", End::Status(204)),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", End::Mime),
            ("HELLO\r\n", End::Malformed),
        ] {
            assert_eq!(run(&[head.as_bytes()]).1, [Progress::Ended(end)], "{head:?}");
        }
        let broken = [HEAD, b"Transfer-Encoding: chunked\r\n\r\nzz"].concat();
        assert_eq!(run(&[&broken]).1, [Progress::Ended(End::Malformed)]);
    }

    #[test]
    fn an_end_within_a_chunk_is_a_cut() {
        let mut subscriber = waiting();
        subscriber.take(&[HEAD, b"Transfer-Encoding: chunked\r\n\r\n"].concat(), |_| {});
        assert_eq!(subscriber.end_of_input(), End::Cut);
        let mut subscriber = waiting();
        subscriber.take(&[HEAD, b"\r\n"].concat(), |_| {});
        assert_eq!(subscriber.end_of_input(), End::Closed);
    }

    #[test]
    fn a_subscriber_is_at_most_48_bytes() {
        assert!(size_of::<Subscriber>() <= 48, "{}", size_of::<Subscriber>());
    }
}
