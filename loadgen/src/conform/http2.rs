//! Points about HTTP/2 without TLS, as a proxy speaks it to a server behind it.
//!
//! The idea: the frames are written by hand, because what is asked for no client library does: a
//! stream whose window never opens beside one whose window does. Where a server does not answer
//! the preface with a SETTINGS frame it speaks no HTTP/2, and the points do not apply.

mod field;

use std::time::Instant;

use super::asked::{self, Asked};
use super::point::{Broken, Checked, Level, Point};
use super::probe::{Probe, Progress};
use super::site::Site;

/// What opens a connection whose client knows that the server speaks HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head (RFC 9113, 4.1).
const FRAME_HEAD_BYTES: usize = 9;

/// Kinds of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Flags of frames.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// The two streams: the first is never given a window.
const HELD: u32 = 1;
const READ: u32 = 3;

/// A window larger than all that a check publishes.
const WINDOW_BYTES: u32 = 65_535;

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "H7a",
        level: Level::Must,
        rule: "over HTTP/2 no field of the connection is sent",
        source: "RFC 9113 8.2.2",
        check: connection_fields,
    },
    Point {
        id: "H7b",
        level: Level::Must,
        rule: "over HTTP/2 a stream that is not read holds up no other",
        source: "RFC 9113 5.2, 6.9",
        check: flow_control,
    },
];

/// RFC 9113 8.2.2: an endpoint MUST NOT generate them.
fn connection_fields(site: &Site) -> Checked {
    let mut session = Session::open(site)?;
    session.ask(&site.ask(site.topic()), READ)?;
    let block = session.head(READ)?;
    let fields = field::read(&block)
        .ok_or_else(|| session.probe.broken("the header block is not HPACK (RFC 7541)"))?;
    if !fields.iter().any(field::Field::is_ok) {
        return Err(Broken::absent("over HTTP/2 the stream is not answered 200"));
    }
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        if fields.iter().any(|field| field.is_named(name)) {
            return Err(session.probe.broken(format!("{name} is in the head")));
        }
    }
    Ok(format!("{} fields", fields.len()))
}

/// RFC 9113 6.9: each stream has a window of its own; that of one is left at nothing.
fn flow_control(site: &Site) -> Checked {
    let topic = site.topic();
    let mut session = Session::open(site)?;
    session.ask(&site.ask(topic), HELD)?;
    session.head(HELD)?;
    session.ask(&site.ask(topic), READ)?;
    session.send(WINDOW_UPDATE, 0, READ, &WINDOW_BYTES.to_be_bytes())?;
    session.head(READ)?;
    site.accepted(topic, b"over the second")?;
    let mut content = Vec::new();
    while memchr::memmem::find(&content, b"over the second").is_none() {
        let frame = session.next()?.ok_or_else(|| {
            session.probe.broken("beside a stream without a window nothing came on another")
        })?;
        match (frame.kind, frame.stream) {
            (DATA, HELD) if !frame.payload.is_empty() => {
                return Err(session.probe.broken("data on a stream whose window is 0"));
            }
            (DATA, READ) => content.extend_from_slice(&frame.payload),
            _ => {}
        }
    }
    Ok("an event passes a stream that stands still".to_owned())
}

/// A frame, its head taken off.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A connection that speaks HTTP/2.
#[derive(Debug)]
struct Session {
    probe: Probe,
    deadline: Instant,
}

impl Session {
    /// Opens a connection whose streams all begin without a window, and without a table of
    /// header fields: so each block can be read alone (RFC 7541, 4.2).
    fn open(site: &Site) -> Result<Session, Broken> {
        let mut probe = Probe::connect(site)?;
        let setting =
            |name: u16, value: u32| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
        let settings = [setting(1, 0), setting(2, 0), setting(4, 0)].concat();
        probe.send(PREFACE)?;
        let mut session = Session { probe, deadline: Instant::now() + site.patience };
        // Who speaks HTTP/1.1 only may have refused the preface and gone.
        let none = || Broken::absent("the server speaks no HTTP/2 without TLS");
        session.send(SETTINGS, 0, 0, &settings).map_err(|_| none())?;
        match session.frame() {
            Ok(Some(frame)) if frame.kind == SETTINGS => session.send(SETTINGS, ACK, 0, &[])?,
            _ => return Err(none()),
        }
        Ok(session)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Broken> {
        let length = u32::try_from(payload.len()).expect("what a check sends is short");
        let mut frame = length.to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags]);
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.probe.send(&frame)
    }

    /// Sends a request: its fields become those of HTTP/2 (RFC 9113, 8.3.1).
    fn ask(&mut self, asked: &Asked, stream: u32) -> Result<(), Broken> {
        let mut block = Vec::new();
        let host =
            asked.fields.iter().find(|field| asked::name(field).eq_ignore_ascii_case("host"));
        let value = |field: &str| {
            field.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let authority = host.map(|field| value(field)).unwrap_or_default();
        let pseudo = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", &asked.target),
            (":authority", &authority),
        ];
        pseudo.iter().for_each(|(name, value)| field::write(name, value, &mut block));
        for field in &asked.fields {
            let name = asked::name(field).to_ascii_lowercase();
            if !["host", "connection"].contains(&name.as_str()) {
                field::write(&name, &value(field), &mut block);
            }
        }
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &block)
    }

    /// The header block that opens a stream.
    fn head(&mut self, stream: u32) -> Result<Vec<u8>, Broken> {
        let mut block = Vec::new();
        loop {
            let frame = self.next()?.ok_or_else(|| self.probe.broken("no head within the time"))?;
            if frame.stream != stream || ![HEADERS, CONTINUATION].contains(&frame.kind) {
                continue;
            }
            block.extend_from_slice(&frame.fragment());
            if frame.flags & END_HEADERS != 0 {
                return Ok(block);
            }
        }
    }

    /// The next frame that is not about the connection; nothing when none comes in time.
    fn next(&mut self) -> Result<Option<Frame>, Broken> {
        loop {
            let Some(frame) = self.frame()? else { return Ok(None) };
            match frame.kind {
                PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload)?,
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[])?,
                GOAWAY => {
                    return Err(self.probe.broken("the server ended the connection (GOAWAY)"));
                }
                RST_STREAM => return Err(self.probe.broken("the server reset the stream")),
                _ => return Ok(Some(frame)),
            }
        }
    }

    fn frame(&mut self) -> Result<Option<Frame>, Broken> {
        loop {
            let input = &mut self.probe.input;
            if input.len() >= FRAME_HEAD_BYTES {
                let length = usize::from(input[0]) << 16
                    | usize::from(input[1]) << 8
                    | usize::from(input[2]);
                let stream =
                    u32::from_be_bytes([input[5], input[6], input[7], input[8]]) & (u32::MAX >> 1);
                let (kind, flags) = (input[3], input[4]);
                if input.len() >= FRAME_HEAD_BYTES + length {
                    let payload = input[FRAME_HEAD_BYTES..][..length].to_vec();
                    input.drain(..FRAME_HEAD_BYTES + length);
                    return Ok(Some(Frame { kind, flags, stream, payload }));
                }
            }
            match self.probe.receive(self.deadline)? {
                Progress::More => {}
                Progress::Silent => return Ok(None),
                Progress::Ended | Progress::Reset => {
                    return Err(self.probe.broken("the connection ended"));
                }
            }
        }
    }
}

impl Frame {
    /// The part of a header block in it, without padding and priority (RFC 9113, 6.2).
    fn fragment(&self) -> Vec<u8> {
        if self.kind == CONTINUATION {
            return self.payload.clone();
        }
        let padded = self.flags & PADDED != 0;
        let padding =
            if padded { usize::from(self.payload.first().copied().unwrap_or(0)) } else { 0 };
        let before = usize::from(padded) + if self.flags & PRIORITY != 0 { 5 } else { 0 };
        let end = self.payload.len().saturating_sub(padding);
        self.payload.get(before..end).unwrap_or_default().to_vec()
    }
}
