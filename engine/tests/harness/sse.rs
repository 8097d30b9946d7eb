//! A subscriber of its own: reads a stream by the rules of WHATWG HTML, section 9.2.6, and holds
//! the engine to stricter ones of its own.
//!
//! The stricter ones: lines end with LF alone, no byte order mark, no NUL, valid UTF-8 only.

use super::wire::{End, Response, Wire};

/// An open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) wire: Wire,
    pub(crate) head: Response,
    /// What the greeting says, in this order: reconnection time in milliseconds, priming id.
    pub(crate) retry_ms: u64,
    pub(crate) primed: String,
    pub(crate) reader: Reader,
}

/// What a browser's script would be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The name, `message` if it has none.
    pub(crate) event: String,
    pub(crate) data: String,
    /// The stream's last event id at that moment.
    pub(crate) id: String,
}

/// The state of a stream between blocks.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reader {
    pub(crate) last_event_id: String,
    pub(crate) retry_ms: Option<u64>,
    pub(crate) comments: u64,
}

impl Reader {
    /// Reads one block, its blank line left out; gives the event if it dispatches one.
    pub(crate) fn block(&mut self, block: &str) -> Option<Event> {
        let (mut event, mut data) = (String::new(), None::<String>);
        for line in block.split('\n') {
            assert!(!line.contains(['\r', '\0', '\u{feff}']), "{block:?}");
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "" => self.comments += 1,
                "event" => event = value.into(),
                "id" => self.last_event_id = value.into(),
                "retry" => self.retry_ms = Some(value.parse().expect("digits")),
                "data" => match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => data = Some(value.into()),
                },
                _ => panic!("a field that nobody knows: {block:?}"),
            }
        }
        let data = data?;
        let event = if event.is_empty() { "message".into() } else { event };
        Some(Event { event, data, id: self.last_event_id.clone() })
    }
}

impl Event {
    /// The content of a gap.
    #[track_caller]
    pub(crate) fn gap(&self) -> Gap {
        assert_eq!(self.event, "gap", "{self:?}");
        let json: serde_json::Value = serde_json::from_str(&self.data).expect("JSON");
        let members: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["lost_through", "missing", "reason", "resumes_after"]);
        assert_eq!(json["resumes_after"], self.id.as_str(), "the id moves the cursor there");
        Gap {
            reason: json["reason"].as_str().expect("a reason").into(),
            missing: json["missing"].as_u64(),
            resumes_after: self.id.clone(),
            lost_through: json["lost_through"].as_str().expect("an id").into(),
        }
    }

    /// The number within the engine's own id.
    #[track_caller]
    pub(crate) fn sequence(&self) -> u64 {
        sequence(&self.id)
    }
}

/// Events that were not delivered, as the stream says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) reason: String,
    pub(crate) missing: Option<u64>,
    pub(crate) resumes_after: String,
    pub(crate) lost_through: String,
}

/// The number within an id of the engine's own: twelve lower-case hex digits, a dash, a number.
#[track_caller]
pub(crate) fn sequence(id: &str) -> u64 {
    let (epoch, sequence) = id.split_once('-').unwrap_or_else(|| panic!("not an id: {id:?}"));
    assert_eq!(epoch.len(), 12, "{id}");
    assert!(epoch.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    sequence.parse().unwrap_or_else(|_| panic!("not an id: {id:?}"))
}

impl Stream {
    /// Reads the head and the greeting of a stream that was asked for.
    #[track_caller]
    pub(crate) fn open(mut wire: Wire) -> Stream {
        let head = wire.head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("Content-Type"), Some("text/event-stream"));
        let mut stream =
            Stream { wire, head, retry_ms: 0, primed: String::new(), reader: Reader::default() };
        let greeting = stream.block();
        assert_eq!(stream.read(&greeting), None, "a greeting dispatches nothing");
        assert_eq!(stream.reader.comments, 1, "{greeting:?}");
        stream.retry_ms = stream.reader.retry_ms.take().expect("a reconnection time");
        stream.primed = stream.reader.last_event_id.clone();
        // Only a stream that begins with a gap leaves the id to that.
        if !stream.primed.is_empty() {
            sequence(&stream.primed);
        }
        stream.reader.comments = 0;
        stream
    }

    /// The next block as text, without its blank line.
    #[track_caller]
    pub(crate) fn block(&mut self) -> String {
        let mut block = self.wire.take_through(b"\n\n");
        block.truncate(block.len() - 2);
        String::from_utf8(block).expect("a stream is UTF-8")
    }

    fn read(&mut self, block: &str) -> Option<Event> {
        self.reader.block(block)
    }

    /// The next event, comments and other blocks passed over.
    #[track_caller]
    pub(crate) fn event(&mut self) -> Event {
        loop {
            let block = self.block();
            if let Some(event) = self.read(&block) {
                return event;
            }
        }
    }

    /// The data of the next `count` events.
    #[track_caller]
    pub(crate) fn data(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event().data).collect()
    }

    /// Everything up to the end of the stream, block by block.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        let (rest, end) = self.wire.take_all();
        assert_eq!(end, End::Closed, "after {:?}", rest.escape_ascii().to_string());
        let rest = String::from_utf8(rest).expect("a stream is UTF-8");
        assert!(rest.is_empty() || rest.ends_with("\n\n"), "the last block is whole: {rest:?}");
        rest.split_terminator("\n\n").filter_map(|block| self.reader.block(block)).collect()
    }
}
