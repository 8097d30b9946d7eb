//! Topics of the reference server: everything that was ever published to each, in order.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a stream waits before it looks at its socket.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What was published.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) name: String,
    /// The publisher's own; empty if it gave none.
    pub(super) id: String,
    pub(super) data: Vec<u8>,
}

/// The events of a topic.
#[derive(Debug, Default)]
pub(super) struct Topic {
    events: Mutex<Vec<Arc<Event>>>,
    news: Condvar,
}

impl Topic {
    fn events(&self) -> MutexGuard<'_, Vec<Arc<Event>>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; its number, from 1.
    pub(super) fn publish(&self, event: Event) -> usize {
        let mut events = self.events();
        events.push(Arc::new(event));
        self.news.notify_all();
        events.len()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.events().len()
    }

    /// The event behind a number, if it comes within a moment.
    pub(super) fn behind(&self, number: usize) -> Option<Arc<Event>> {
        let events = self.events();
        let waited = self.news.wait_timeout_while(events, LOOK_INTERVAL, |it| it.len() <= number);
        let (events, _) = waited.unwrap_or_else(PoisonError::into_inner);
        events.get(number).cloned()
    }
}

/// The block of an event. The rules about its text are kept, or broken, here.
pub(super) fn block(event: &Event, id: &str, breaks: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let mut data = event.data.clone();
    if data.is_empty() && breaks("S5") {
        return None;
    }
    let is = |text: &str| event.data == text.as_bytes();
    if breaks("S1")
        && !event.data.is_ascii()
        && String::from_utf8_lossy(&data).contains('\u{1f327}')
    {
        data = b"?".to_vec();
    }
    if breaks("S4") {
        data = data.trim_ascii_start().to_vec();
    }
    if breaks("S6") {
        data = String::from_utf8_lossy(&data).replace('\u{2028}', "\n").into_bytes();
    }
    if breaks("S7") && data.starts_with(b"00050005") {
        data[0] = b'9';
    }
    if breaks("S11") && data.len() > 100_000 {
        data.truncate(1_000);
    }
    let name = match event.name.as_str() {
        "" if breaks("S8a") => "update".to_owned(),
        name if breaks("S8b") => name.to_ascii_lowercase(),
        name => name.to_owned(),
    };
    let id = if event.id.is_empty() { id } else { &event.id };
    let mut block = format!("id: {id}\n").into_bytes();
    if !name.is_empty() {
        block.extend_from_slice(format!("event: {name}\n").as_bytes());
    }
    let raw = (breaks("S2") && is("a\rb"))
        || (breaks("S3a") && memchr::memmem::find(&data, b"evil").is_some());
    let lines = if raw { vec![&data[..]] } else { lines(&data) };
    for line in lines {
        block.extend_from_slice(b"data: ");
        block.extend_from_slice(line);
        block.push(b'\n');
    }
    block.push(b'\n');
    Some(block)
}

/// The lines of a payload, whatever ends them.
fn lines(data: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), data);
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        lines.push(&rest[..end]);
        let width = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + width..];
    }
    lines.push(rest);
    lines
}
