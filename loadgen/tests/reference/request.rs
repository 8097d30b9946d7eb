//! Requests as the reference server reads them: strictly, and within a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(1);
/// How long anything may take of a peer that no rule is about.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A request, its body included.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) is_1_0: bool,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The connection is over.
    Over,
    /// It is answered with this status and ends.
    Status(u16),
    /// The preface of HTTP/2 came.
    Http2,
}

impl Request {
    /// The value of a field; empty if there is none.
    pub(super) fn field(&self, name: &str) -> &str {
        let mut fields = self.fields.iter();
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// The value of a parameter, if it is there.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.query.iter();
        parameters.find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A connection and what was read of it ahead.
pub(super) struct Reader<'a> {
    pub(super) socket: &'a TcpStream,
    pub(super) input: Vec<u8>,
    pub(super) breaks: &'a dyn Fn(&str) -> bool,
}

impl Reader<'_> {
    fn fill(&mut self, deadline: Instant, late: Refusal) -> Result<(), Refusal> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late);
        }
        self.socket.set_read_timeout(Some(left)).map_err(|_| Refusal::Over)?;
        let mut piece = vec![0; 64 * 1024];
        match self.socket.read(&mut piece) {
            Ok(0) => Err(Refusal::Over),
            Ok(count) => {
                self.input.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err(late),
            Err(_) => Err(Refusal::Over),
        }
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Result<Request, Refusal> {
        let mut deadline = Instant::now() + IDLE_TIMEOUT;
        let mut begun = false;
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.input, b"\r\n\r\n") {
                break end + 4;
            }
            if begun && (self.breaks)("H16a") {
                return Err(Refusal::Status(400));
            }
            if self.input.len() > HEAD_BYTES_MAX {
                return Err(Refusal::Status(431));
            }
            if !begun && !self.input.is_empty() {
                begun = true;
                let time = if (self.breaks)("H17a") { IDLE_TIMEOUT } else { HEAD_TIMEOUT };
                deadline = Instant::now() + time;
            }
            self.fill(deadline, Refusal::Status(408))?;
            begun |= (self.breaks)("H16a");
        };
        let head: Vec<u8> = self.input.drain(..end).collect();
        if head.starts_with(b"PRI * HTTP/2.0\r\n") {
            return Err(Refusal::Http2);
        }
        let mut request = parse(&head, self.breaks).ok_or(Refusal::Status(400))?;
        if !request.field("expect").is_empty() {
            let _ = (&*self.socket).write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let length = request.field("content-length").parse().unwrap_or(0);
        let deadline = Instant::now() + IDLE_TIMEOUT;
        while self.input.len() < length {
            self.fill(deadline, Refusal::Over)?;
        }
        request.body = self.input.drain(..length).collect();
        Ok(request)
    }
}

fn parse(head: &[u8], breaks: &dyn Fn(&str) -> bool) -> Option<Request> {
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !method.bytes().all(|byte| byte.is_ascii_uppercase()) || words.next().is_some() {
        return None;
    }
    let mut request = Request {
        method: method.to_owned(),
        is_1_0: match version {
            "HTTP/1.0" => true,
            "HTTP/1.1" => false,
            _ => return None,
        },
        ..Request::default()
    };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let odd = name.contains([' ', '\t']) && !breaks("H13c");
        if name.is_empty() || odd || value.contains('\0') {
            return None;
        }
        request.fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let lengths =
        request.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let lengths: Vec<&String> = lengths.map(|(_, value)| value).collect();
    let sound = |value: &String| value.bytes().all(|byte| byte.is_ascii_digit());
    let framed = !request.field("transfer-encoding").is_empty();
    if lengths.len() > 1 || !lengths.iter().all(|value| sound(value)) || framed {
        return None;
    }
    if !request.is_1_0 && request.field("host").is_empty() && !breaks("H13a") {
        return None;
    }
    let target = match target.strip_prefix("http://") {
        Some(_) if breaks("H13b") => return None,
        Some(rest) => &rest[rest.find('/')?..],
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    request.path = path.to_owned();
    request.query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    Some(request)
}

/// Percent-decoding.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, width) = match escaped.filter(|_| first == b'%') {
            Some(byte) => (byte, 3),
            None => (first, 1),
        };
        out.push(byte);
        rest = &rest[width..];
    }
    String::from_utf8_lossy(&out).into_owned()
}
