//! What goes to a subscriber, as bytes: response heads, events, comments, gap announcements.
//!
//! The idea: a [`Writer`] is the choice of line end, framing and epoch, and appends whole units
//! to a buffer. Chunked framing puts each unit into one chunk, so that a client that takes a
//! chunk for an event is not corrected by accident; the 1-byte writes of the server are what
//! separates the two.
//!
//! This module knows nothing of sockets, subscribers or faults.

use std::time::Duration;

use super::history::{Event, Hole};
use super::script::{Framing, LineEnd};

/// How the streams of this server are written.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) framing: Framing,
    pub(super) line_end: LineEnd,
    pub(super) epoch: String,
}

/// The byte that [`Writer::event`] replaces, as an offset into the payload.
pub(super) type Corrupted = Option<usize>;

impl Writer {
    /// Appends the head of a stream: 200 and the headers that keep proxies from buffering it.
    pub(super) fn head(&self, http_minor: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 200 OK\r\n\
              Content-Type: text/event-stream\r\n\
              Cache-Control: no-cache, no-transform\r\n\
              X-Accel-Buffering: no\r\n\
              Access-Control-Allow-Origin: *\r\n",
        );
        out.extend_from_slice(match self.framing_for(http_minor) {
            Framing::Close => b"Connection: close\r\n\r\n",
            Framing::Chunked => b"Transfer-Encoding: chunked\r\n\r\n",
        });
    }

    /// The framing of a response: an HTTP/1.0 client knows no chunks (RFC 9112, section 6.1).
    pub(super) fn framing_for(&self, http_minor: u8) -> Framing {
        if http_minor == 0 { Framing::Close } else { self.framing }
    }

    /// Appends what every stream starts with: a comment, the reconnection time, and the id to
    /// come back with should the stream be cut before its first event. A stream that starts with
    /// a hole gets no id here: cut off before the hole is announced, the client must come back
    /// with the id that makes it announced again.
    pub(super) fn opening(
        &self,
        framing: Framing,
        retry: Option<Duration>,
        after: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        let retry = retry.map(|retry| format!("retry: {}", retry.as_millis()));
        let id = after.map(|after| format!("id: {}", self.id(after)));
        let fields = retry.as_deref().into_iter().chain(id.as_deref());
        let lines = [":"].into_iter().chain(fields);
        frame(framing, &self.unit(lines.map(str::as_bytes)), out);
    }

    /// Appends one event; `corrupted` is the offset of a payload byte to falsify.
    pub(super) fn event(
        &self,
        framing: Framing,
        event: &Event,
        corrupted: Corrupted,
        out: &mut Vec<u8>,
    ) {
        match corrupted {
            None => {
                frame(framing, event.written.get_or_init(|| self.text(event, &event.data)), out);
            }
            Some(offset) => frame(framing, &self.text(event, &falsify(&event.data, offset)), out),
        }
    }

    /// Appends the announcement of a hole. Its id is that of the last event left out, so that a
    /// client cut off right behind it comes back for what follows.
    pub(super) fn gap(&self, framing: Framing, hole: Hole, after: u64, out: &mut Vec<u8>) {
        let id = self.id(after);
        let data = serde_json::json!({
            "reason": hole.reason.name(),
            "missing": hole.missing,
            "resume_id": id,
        });
        let lines = ["event: gap".to_owned(), format!("id: {id}"), format!("data: {data}")];
        frame(framing, &self.unit(lines.iter().map(String::as_bytes)), out);
    }

    /// Appends a comment, which tells a client and the proxies between that the stream lives.
    pub(super) fn heartbeat(&self, framing: Framing, out: &mut Vec<u8>) {
        frame(framing, &self.unit([&b":"[..]].into_iter()), out);
    }

    /// The id of the event with this number.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch)
    }

    fn text(&self, event: &Event, data: &[u8]) -> Vec<u8> {
        let id = format!("id: {}", self.id(event.number));
        let name = event.name.as_ref().map(|name| format!("event: {name}"));
        let data: Vec<Vec<u8>> =
            payload_lines(data).map(|line| [b"data: ", line].concat()).collect();
        let head = [Some(id.as_bytes()), name.as_deref().map(str::as_bytes)];
        self.unit(head.into_iter().flatten().chain(data.iter().map(Vec::as_slice)))
    }

    /// The lines and the empty one that ends them.
    fn unit<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let end: &[u8] = match self.line_end {
            LineEnd::Lf => b"\n",
            LineEnd::Cr => b"\r",
            LineEnd::Crlf => b"\r\n",
        };
        lines.chain([&b""[..]]).flat_map(|line| [line, end]).flatten().copied().collect()
    }
}

fn frame(framing: Framing, unit: &[u8], out: &mut Vec<u8>) {
    match framing {
        Framing::Close => out.extend_from_slice(unit),
        Framing::Chunked => {
            out.extend_from_slice(format!("{:x}\r\n", unit.len()).as_bytes());
            out.extend_from_slice(unit);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The lines of a payload: each CRLF, CR and LF separates two, as a client will read them.
fn payload_lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest?;
        let Some(end) = memchr::memchr2(b'\r', b'\n', data) else {
            rest = None;
            return Some(data);
        };
        let next = if data[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
        rest = Some(&data[next..]);
        Some(&data[..end])
    })
}

/// The payload with one byte replaced by a letter that it is not, so that neither the stream's
/// syntax nor its UTF-8 changes for an ASCII payload and only a checksum can tell.
fn falsify(data: &[u8], offset: usize) -> Vec<u8> {
    let mut falsified = data.to_vec();
    let offset = offset.min(data.len().saturating_sub(1));
    if let Some(byte) = falsified.get_mut(offset) {
        *byte = if *byte == b'x' { b'y' } else { b'x' };
    }
    falsified
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::history::Reason;

    fn writer(framing: Framing, line_end: LineEnd) -> Writer {
        Writer { framing, line_end, epoch: "e".into() }
    }

    fn event(data: &str) -> Event {
        Event::new(7, Some("tick".into()), data.into())
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text in, text out")
    }

    #[test]
    fn an_event_keeps_its_lines_whatever_ended_them() {
        let writer = writer(Framing::Close, LineEnd::Lf);
        let written =
            text(|out| writer.event(Framing::Close, &event("a\r\nb\rc\n\nd\n"), None, out));
        assert_eq!(
            written,
            "id: e-7\nevent: tick\ndata: a\ndata: b\ndata: c\ndata: \ndata: d\ndata: \n\n"
        );
    }

    #[test]
    fn every_line_end_and_framing_is_written_as_asked() {
        for (line_end, end) in [(LineEnd::Lf, "\n"), (LineEnd::Cr, "\r"), (LineEnd::Crlf, "\r\n")] {
            let plain = format!("id: e-7{end}event: tick{end}data: a{end}{end}");
            let writer = writer(Framing::Chunked, line_end);
            let close = text(|out| writer.event(Framing::Close, &event("a"), None, out));
            let chunked = text(|out| writer.event(Framing::Chunked, &event("a"), None, out));
            assert_eq!(close, plain);
            assert_eq!(chunked, format!("{:x}\r\n{plain}\r\n", plain.len()));
        }
    }

    #[test]
    fn a_corrupted_event_differs_in_exactly_one_byte_of_its_payload() {
        let writer = writer(Framing::Close, LineEnd::Lf);
        let good = text(|out| writer.event(Framing::Close, &event("axb"), None, out));
        for offset in 0..5 {
            let bad = text(|out| writer.event(Framing::Close, &event("axb"), Some(offset), out));
            let at: Vec<usize> =
                (0..good.len()).filter(|&at| good.as_bytes()[at] != bad.as_bytes()[at]).collect();
            let data_at = good.find("axb").expect("the payload");
            assert_eq!(at, [data_at + offset.min(2)]);
            assert_eq!(good.len(), bad.len());
        }
    }

    #[test]
    fn an_empty_payload_stays_an_event_even_if_it_is_to_be_corrupted() {
        let writer = writer(Framing::Close, LineEnd::Lf);
        let written = text(|out| writer.event(Framing::Close, &event(""), Some(0), out));
        assert_eq!(written, "id: e-7\nevent: tick\ndata: \n\n");
    }

    #[test]
    fn a_gap_says_why_how_many_and_where_the_stream_goes_on() {
        let writer = writer(Framing::Close, LineEnd::Lf);
        let hole = Hole { reason: Reason::Evicted, missing: Some(3) };
        let written = text(|out| writer.gap(Framing::Close, hole, 9, out));
        let data = written.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
        assert!(written.starts_with("event: gap\nid: e-9\n"), "{written}");
        assert_eq!(data["reason"], "evicted");
        assert_eq!(data["missing"], 3);
    }

    #[test]
    fn a_client_of_http_1_0_is_never_sent_chunks() {
        let writer = writer(Framing::Chunked, LineEnd::Lf);
        assert!(!text(|out| writer.head(0, out)).contains("chunked"));
        assert!(text(|out| writer.head(1, out)).contains("chunked"));
    }
}
