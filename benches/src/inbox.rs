//! What one client of a floor says, from bytes: subscribe, or publish these events.
//!
//! Just enough HTTP/1.1 for a load generator: `GET /events/...` subscribes, `POST /events/...`
//! publishes its body as one event, `POST /events` publishes a stream of JSON lines. Bodies are
//! counted or chunked, connections are kept. Paths are not compared beyond that: a floor has one
//! topic. It does no I/O and holds no more than one unfinished head, line or body.

use httparse::Status;
use serde::Deserialize;

/// Bytes of a request head, an event or a chunk size that are not finished: more is refused.
const UNFINISHED_BYTES_MAX: usize = 1 << 20;
const HEADER_COUNT_MAX: usize = 64;
/// What closes a chunk.
const CRLF_BYTES: u64 = 2;

/// A thing a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// It wants the stream. Whatever else it sends is not read.
    Subscribe,
    /// It published an event with this data, which holds no line break.
    Event(Vec<u8>),
    /// Its publish request is complete and waits for an answer.
    Ask,
}

/// Why a client is refused, as the text of a 400 answer.
pub type Refusal = &'static str;

/// Reads what one client says, however its bytes are cut.
#[derive(Debug, Default)]
pub struct Inbox {
    unread: Vec<u8>,
    expects: Expects,
    body: Body,
}

#[derive(Clone, Copy, Debug, Default)]
enum Expects {
    #[default]
    Head,
    /// This many bytes of body, then the request is complete.
    Counted {
        left_bytes: u64,
    },
    ChunkSize,
    /// This many bytes of a chunk with its closing CRLF.
    Chunk {
        left_bytes: u64,
    },
    /// Lines after the last chunk, up to an empty one.
    Trailer,
}

/// The body of a publish request, as far as it is not yet an event.
#[derive(Debug, Default)]
struct Body {
    unfinished: Vec<u8>,
    is_lines: bool,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    data: std::borrow::Cow<'a, str>,
}

impl Inbox {
    /// Takes bytes and appends what they say to `said`.
    ///
    /// # Errors
    /// A refusal when the bytes are not such a request; the client must then be answered and cut.
    pub fn read(&mut self, bytes: &[u8], said: &mut Vec<Said>) -> Result<(), Refusal> {
        self.unread.extend_from_slice(bytes);
        let mut read_bytes = 0;
        while let Some(step_bytes) = self.step(read_bytes, said)? {
            read_bytes += step_bytes;
        }
        self.unread.drain(..read_bytes);
        let unfinished_bytes = self.unread.len().max(self.body.unfinished.len());
        if unfinished_bytes > UNFINISHED_BYTES_MAX {
            return Err("a head or an event is larger than 1 MiB");
        }
        Ok(())
    }

    /// Reads one thing at `from`; says how many bytes it had, or `None` if it is not complete.
    fn step(&mut self, from: usize, said: &mut Vec<Said>) -> Result<Option<usize>, Refusal> {
        if from == self.unread.len() {
            return Ok(None);
        }
        match self.expects {
            Expects::Head => {
                let Some((head_bytes, request)) = head(&self.unread[from..])? else {
                    return Ok(None);
                };
                self.begin(&request, said)?;
                Ok(Some(head_bytes))
            }
            Expects::Counted { left_bytes } => {
                let (read_bytes, left_bytes) = self.content(from, left_bytes, 0, said)?;
                self.expects = Expects::Counted { left_bytes };
                if left_bytes == 0 {
                    self.complete(said)?;
                }
                Ok(Some(read_bytes))
            }
            Expects::ChunkSize => self.chunk_size(from),
            Expects::Chunk { left_bytes } => {
                let (read_bytes, left_bytes) = self.content(from, left_bytes, CRLF_BYTES, said)?;
                self.expects = match left_bytes {
                    0 => Expects::ChunkSize,
                    left_bytes => Expects::Chunk { left_bytes },
                };
                Ok(Some(read_bytes))
            }
            Expects::Trailer => self.trailer(from, said),
        }
    }

    /// Takes what is there of the next `left_bytes` of a body, of which the last `framing_bytes` are
    /// not content. Returns how many bytes were read, and how many are left.
    fn content(
        &mut self,
        from: usize,
        left_bytes: u64,
        framing_bytes: u64,
        said: &mut Vec<Said>,
    ) -> Result<(usize, u64), Refusal> {
        let (part, left_bytes) = part(&self.unread[from..], left_bytes);
        let part_bytes = part.len();
        let past_content_bytes = framing_bytes.saturating_sub(left_bytes) as usize;
        self.body.take(&part[..part_bytes.saturating_sub(past_content_bytes)], said)?;
        Ok((part_bytes, left_bytes))
    }

    fn chunk_size(&mut self, from: usize) -> Result<Option<usize>, Refusal> {
        let size = httparse::parse_chunk_size(&self.unread[from..])
            .map_err(|_| "a chunk has no valid size")?;
        let Status::Complete((line_bytes, content_bytes)) = size else { return Ok(None) };
        self.expects = match content_bytes {
            0 => Expects::Trailer,
            _ => Expects::Chunk { left_bytes: content_bytes.saturating_add(CRLF_BYTES) },
        };
        Ok(Some(line_bytes))
    }

    fn trailer(&mut self, from: usize, said: &mut Vec<Said>) -> Result<Option<usize>, Refusal> {
        let Some(end) = memchr::memchr(b'\n', &self.unread[from..]) else { return Ok(None) };
        let is_last_line = end < CRLF_BYTES as usize; // "\r\n" or "\n" and nothing before it
        if is_last_line {
            self.complete(said)?;
        }
        Ok(Some(end + 1))
    }

    fn begin(&mut self, request: &Request, said: &mut Vec<Said>) -> Result<(), Refusal> {
        let Request::Publish { is_lines, framing } = request else {
            said.push(Said::Subscribe);
            return Ok(());
        };
        self.body.is_lines = *is_lines;
        match framing {
            Framing::Chunked => self.expects = Expects::ChunkSize,
            Framing::Counted(0) => self.complete(said)?,
            Framing::Counted(left_bytes) => {
                self.expects = Expects::Counted { left_bytes: *left_bytes };
            }
        }
        Ok(())
    }

    fn complete(&mut self, said: &mut Vec<Said>) -> Result<(), Refusal> {
        self.body.end(said)?;
        said.push(Said::Ask);
        self.expects = Expects::Head;
        Ok(())
    }
}

impl Body {
    fn take(&mut self, part: &[u8], said: &mut Vec<Said>) -> Result<(), Refusal> {
        self.unfinished.extend_from_slice(part);
        if !self.is_lines {
            return Ok(());
        }
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &self.unfinished) {
            publish_line(&self.unfinished[begin..end], said)?;
            begin = end + 1;
        }
        self.unfinished.drain(..begin);
        Ok(())
    }

    fn end(&mut self, said: &mut Vec<Said>) -> Result<(), Refusal> {
        let rest = std::mem::take(&mut self.unfinished);
        if self.is_lines { publish_line(&rest, said) } else { publish(rest, said) }
    }
}

fn publish_line(line: &[u8], said: &mut Vec<Said>) -> Result<(), Refusal> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let line: Line<'_> =
        serde_json::from_slice(line).map_err(|_| "a line is not JSON with a string `data`")?;
    publish(line.data.into_owned().into_bytes(), said)
}

fn publish(data: Vec<u8>, said: &mut Vec<Said>) -> Result<(), Refusal> {
    if memchr::memchr2(b'\n', b'\r', &data).is_some() {
        return Err("a floor publishes data of one line only");
    }
    said.push(Said::Event(data));
    Ok(())
}

#[derive(Clone, Copy)]
enum Request {
    Subscribe,
    Publish { is_lines: bool, framing: Framing },
}

#[derive(Clone, Copy)]
enum Framing {
    Counted(u64),
    Chunked,
}

/// Reads a request head: its bytes and what it asks, or `None` if it is not complete.
fn head(bytes: &[u8]) -> Result<Option<(usize, Request)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(bytes).map_err(|_| "this is not a request head")?;
    let Status::Complete(head_bytes) = status else {
        return Ok(None);
    };
    let path = parsed.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path != "/events" && !path.starts_with("/events/") {
        return Err("a floor serves /events and /events/{topic} only");
    }
    let request = match parsed.method {
        Some("GET") => Request::Subscribe,
        Some("POST") => {
            Request::Publish { is_lines: path == "/events", framing: framing(parsed.headers)? }
        }
        _ => return Err("a floor knows GET and POST only"),
    };
    Ok(Some((head_bytes, request)))
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, Refusal> {
    let value_of = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name));
    if value_of("transfer-encoding").is_some() {
        return Ok(Framing::Chunked);
    }
    let Some(length) = value_of("content-length") else {
        return Ok(Framing::Counted(0));
    };
    let length = std::str::from_utf8(length.value).ok().and_then(|text| text.trim().parse().ok());
    length.map(Framing::Counted).ok_or("content-length is not a number")
}

/// As much of `unread` as belongs to the next `left_bytes`, and how many are left after it.
fn part(unread: &[u8], left_bytes: u64) -> (&[u8], u64) {
    let part_bytes = left_bytes.min(unread.len() as u64);
    (&unread[..part_bytes as usize], left_bytes - part_bytes)
}

#[cfg(test)]
mod tests;
