//! Slow and obvious readers that the targets compare the engine with.
//!
//! The idea: written from the standards alone, with the whole input at hand; nothing of the
//! engine is used. What the inputs of some targets are made of is
//! `grammar` and `claims`.

pub mod claims;
pub mod grammar;

/// One event as a client would dispatch it (WHATWG HTML, section 9.2.6).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Dispatched {
    pub event: String,
    pub data: String,
    pub last_event_id: String,
}

/// What a client makes of a whole stream: the events it dispatches, the reconnection time it was
/// told last, and the id it would resume from.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pub events: Vec<Dispatched>,
    pub retry: Option<u64>,
    pub last_event_id: String,
}

/// Reads a whole stream.
pub fn read_stream(text: &str) -> Stream {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut stream, mut event, mut data) = (Stream::default(), String::new(), None::<String>);
    // What stands behind the last line end is not a line.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.split('\n') {
        if line.is_empty() {
            let event = std::mem::take(&mut event);
            if let Some(mut data) = data.take().filter(|data| !data.is_empty()) {
                data.pop();
                let last_event_id = stream.last_event_id.clone();
                stream.events.push(Dispatched { event, data, last_event_id });
            }
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => event = value.into(),
            "data" => *data.get_or_insert_default() += &format!("{value}\n"),
            "id" if !value.contains('\0') => stream.last_event_id = value.into(),
            "retry" if value.bytes().all(|b| b.is_ascii_digit()) => {
                stream.retry = value.parse().ok().or(stream.retry);
            }
            _ => {}
        }
    }
    stream
}

/// Decodes a whole chunked body (RFC 9112, section 7.1): its content and its length on the wire.
/// `None` if it is not one, or not all of one.
pub fn decode_chunked(mut input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (total, mut content) = (input.len(), Vec::new());
    loop {
        let end = input.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = (&input[..end], &input[end + 2..]);
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&line[..digits]).ok()?;
        let size = u64::from_str_radix(size, 16).ok().filter(|_| digits <= 16)?;
        let blanks = line[digits..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let after = &line[digits + blanks..];
        let is_extension = after.starts_with(b";") && after.iter().all(is_field_byte);
        if !(line.len() == digits || is_extension) {
            return None;
        }
        if size == 0 {
            input = rest;
            break;
        }
        let size = usize::try_from(size).ok()?;
        content.extend_from_slice(rest.get(..size)?);
        input = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let end = input.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = (&input[..end], &input[end + 2..]);
        input = rest;
        if line.is_empty() {
            return Some((content, total - input.len()));
        }
        let name = &line[..line.iter().position(|byte| *byte == b':')?];
        let is_named = !name.is_empty() && name.iter().all(is_name_byte);
        if !is_named || !line.iter().all(is_field_byte) {
            return None;
        }
    }
}

/// What may stand in a field's name (RFC 9110, section 5.6.2): visible, and no delimiter.
pub fn is_name_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte)
}

/// What may stand in a field value (RFC 9110, section 5.5).
pub fn is_field_byte(byte: &u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7E | 0x80..)
}
