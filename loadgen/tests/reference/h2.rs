//! The reference server over HTTP/2: as much of RFC 9113 as two streams and an event need.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::topic::{Topic, block};

/// How long a read waits before events are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// The preface behind what looked like the head of a request.
const REST_OF_PREFACE: &[u8] = b"SM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A stream: its number, its topic, what it has had, and what may be sent on it.
struct Stream {
    number: u32,
    topic: Arc<Topic>,
    cursor: usize,
    window: usize,
}

/// Serves a connection whose preface has begun; `input` is what stands behind it.
pub(super) fn serve(server: &Server, mut socket: &TcpStream, mut input: Vec<u8>) {
    let _ = socket.set_read_timeout(Some(LOOK_INTERVAL));
    let mut streams: Vec<Stream> = Vec::new();
    let mut sent = frame(SETTINGS, 0, 0, &[]);
    let mut begun = false;
    loop {
        if !begun && input.len() >= REST_OF_PREFACE.len() {
            input.drain(..REST_OF_PREFACE.len());
            begun = true;
        }
        while let Some((kind, flags, number, payload)) = take(&mut input).filter(|_| begun) {
            match kind {
                HEADERS => {
                    sent.extend(frame(HEADERS, END_HEADERS, number, &response(server)));
                    let topic = server.topic(&topic_of(&payload));
                    streams.push(Stream { number, cursor: topic.count(), topic, window: 0 });
                }
                WINDOW_UPDATE => {
                    let more = u32::from_be_bytes(payload[..4].try_into().expect("four bytes"));
                    let opened = streams.iter_mut().filter(|it| it.number == number);
                    opened.for_each(|it| it.window += more as usize);
                }
                SETTINGS if flags & ACK == 0 => sent.extend(frame(SETTINGS, ACK, 0, &[])),
                _ => {}
            }
        }
        deliver(server, &mut streams, &mut sent);
        if socket.write_all(&sent).is_err() {
            return;
        }
        sent.clear();
        let mut piece = [0; 4096];
        match socket.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => input.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn deliver(server: &Server, streams: &mut [Stream], sent: &mut Vec<u8>) {
    for stream in streams {
        while let Some(event) = stream.topic.behind(stream.cursor) {
            let block = block(&event, "h2", |rule| server.breaks(rule)).unwrap_or_default();
            if block.len() > stream.window {
                if server.breaks("H7b") {
                    return;
                }
                break;
            }
            stream.window -= block.len();
            stream.cursor += 1;
            sent.extend(frame(DATA, 0, stream.number, &block));
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Takes a whole frame from the front: kind, flags, stream, payload.
fn take(input: &mut Vec<u8>) -> Option<(u8, u8, u32, Vec<u8>)> {
    let head: [u8; 9] = input.get(..9)?.try_into().ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    if input.len() < 9 + length {
        return None;
    }
    let payload = input[9..9 + length].to_vec();
    input.drain(..9 + length);
    let stream = u32::from_be_bytes(head[5..].try_into().expect("four bytes"));
    Some((head[3], head[4], stream, payload))
}

/// `:status: 200` by its number, and the type; plain literals (RFC 7541, 6.2.2).
fn response(server: &Server) -> Vec<u8> {
    let mut block = vec![0x88];
    let mut fields = vec![("content-type", "text/event-stream")];
    if server.breaks("H7a") {
        fields.push(("connection", "keep-alive"));
    }
    for (name, value) in fields {
        block.extend([0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// The topic of a request whose fields are plain literals.
fn topic_of(block: &[u8]) -> String {
    let path = memchr::memmem::find(block, b"/events/").expect("a path") + b"/events/".len();
    let end = block[path..].iter().position(|byte| !byte.is_ascii_graphic());
    String::from_utf8_lossy(&block[path..][..end.unwrap_or(0)]).into_owned()
}
