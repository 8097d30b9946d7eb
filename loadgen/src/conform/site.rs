//! The server under test: how it is asked and how an event is published on it.
//!
//! The idea: each check takes a topic number of its own, so that no event of one check is seen
//! by another. Where the address has no `{topic}` all share one topic; checks run one after the
//! other for that reason.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use super::point::Broken;
use super::probe::{Answer, Probe};
use super::stream::Stream;
use crate::client::fleet::Request;
use crate::profile::Recipe;

/// Why points about events are passed over.
const NO_RECIPE: &str = "nothing can be published: give --profile or --publish";

/// The server, and what the user said of it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) address: SocketAddr,
    pub(super) authority: String,
    pub(super) subscribe: Request,
    pub(super) recipe: Option<Recipe>,
    /// How long something that must come may take.
    pub(super) patience: Duration,
    /// How long to listen to a quiet stream.
    pub(super) idle: Duration,
    /// An origin whose pages may read the stream.
    pub(super) origin: Option<String>,
    pub(super) next_topic: Cell<u32>,
}

impl Site {
    /// A topic that no other check uses.
    pub(super) fn topic(&self) -> u32 {
        self.next_topic.replace(self.next_topic.get() + 1)
    }

    /// The request that opens a stream of a topic.
    pub(super) fn ask(&self, topic: u32) -> Asked {
        let mut text = Vec::new();
        self.subscribe.write(topic, 0, &mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("/");
        Asked {
            method: "GET",
            target: target.to_owned(),
            version: "1.1",
            fields: lines.map(str::to_owned).collect(),
        }
    }

    /// Opens the stream of a topic.
    pub(super) fn open(&self, topic: u32) -> Result<Stream, Broken> {
        Stream::open(self, &self.ask(topic))
    }

    /// Sends a request on a connection of its own and reads the head of the answer.
    pub(super) fn answer(&self, asked: &Asked) -> Result<(Probe, Answer), Broken> {
        let mut probe = Probe::connect(self)?;
        let answer = probe.exchange(&asked.bytes(), asked.method == "HEAD")?;
        Ok((probe, answer))
    }

    /// Publishes one event; the status and the connection that show what came of it.
    pub(super) fn publish(&self, topic: u32, payload: &[u8]) -> Result<(Probe, u16), Broken> {
        let request = self.publication(topic, payload)?;
        self.target().answer(&request)
    }

    /// The requests of several events, to be sent from several threads.
    pub(super) fn publications(
        &self,
        topic: u32,
        count: usize,
        payload: impl Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<Vec<u8>>, Broken> {
        (0..count).map(|number| self.publication(topic, &payload(number))).collect()
    }

    /// Where events are published, without the rest of the site: it may go to another thread.
    pub(super) fn target(&self) -> Target {
        let address = self.recipe.as_ref().map_or(self.address, |recipe| recipe.address);
        Target { address, patience: self.patience }
    }

    /// Publishes one event that the server has to take.
    pub(super) fn accepted(&self, topic: u32, payload: &[u8]) -> Result<(), Broken> {
        self.target().send(&self.publication(topic, payload)?)
    }

    fn publication(&self, topic: u32, payload: &[u8]) -> Result<Vec<u8>, Broken> {
        let recipe = self.recipe.as_ref().ok_or_else(|| Broken::absent(NO_RECIPE))?;
        let write = |bytes: usize| {
            let (mut out, mut places) = (Vec::new(), Vec::new());
            recipe.write(&[(topic, bytes)], &mut out, &mut places);
            (out, places.remove(0))
        };
        // The head alone says in what the payload is wrapped.
        let head = String::from_utf8_lossy(&write(0).0).to_ascii_lowercase();
        let payload = match head.lines().rfind(|line| line.starts_with("content-type:")) {
            Some(line) if line.contains("x-www-form-urlencoded") => escaped_for_a_form(payload),
            Some(line) if line.contains("json") => escaped_for_json(payload)?,
            _ => payload.to_vec(),
        };
        let (mut out, place) = write(payload.len());
        out[place].copy_from_slice(&payload);
        Ok(out)
    }
}

/// Where events are published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    address: SocketAddr,
    patience: Duration,
}

impl Target {
    /// Sends a request that has to be accepted.
    pub(super) fn send(self, request: &[u8]) -> Result<(), Broken> {
        match self.answer(request)? {
            (_, 200..300) => Ok(()),
            (probe, status) => Err(probe.broken(format!("the publish was answered {status}"))),
        }
    }

    fn answer(self, request: &[u8]) -> Result<(Probe, u16), Broken> {
        let mut probe = Probe::connect_to(self.address, self.patience)?;
        let answer = probe.exchange(request, false)?;
        Ok((probe, answer.head.status))
    }
}

/// Percent-encoding of all but letters and digits (WHATWG URL, section 5.2).
fn escaped_for_a_form(payload: &[u8]) -> Vec<u8> {
    let one = |&byte: &u8| match byte {
        byte if byte.is_ascii_alphanumeric() => vec![byte],
        byte => format!("%{byte:02X}").into_bytes(),
    };
    payload.iter().flat_map(one).collect()
}

/// The inside of a JSON string (RFC 8259, section 7).
fn escaped_for_json(payload: &[u8]) -> Result<Vec<u8>, Broken> {
    let text = std::str::from_utf8(payload)
        .map_err(|_| Broken::absent("JSON cannot hold what is not UTF-8"))?;
    let quoted = serde_json::Value::from(text).to_string();
    Ok(quoted.as_bytes()[1..quoted.len() - 1].to_vec())
}

/// A request that can be changed before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) version: &'static str,
    pub(super) fields: Vec<String>,
}

impl Asked {
    /// The same with another method.
    pub(super) fn method(self, method: &'static str) -> Asked {
        Asked { method, ..self }
    }

    /// The same with one more header field.
    pub(super) fn field(mut self, field: impl Into<String>) -> Asked {
        self.fields.push(field.into());
        self
    }

    /// The same without a header field.
    pub(super) fn without(mut self, name: &str) -> Asked {
        let named = |field: &String| {
            field.split(':').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(name))
        };
        self.fields.retain(|field| !named(field));
        self
    }

    /// The same with one more query parameter.
    pub(super) fn query(mut self, parameter: &str) -> Asked {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        self.target = format!("{}{joint}{parameter}", self.target);
        self
    }

    /// The request as it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let fields: String = self.fields.iter().map(|field| format!("{field}\r\n")).collect();
        let Asked { method, target, version, .. } = self;
        format!("{method} {target} HTTP/{version}\r\n{fields}\r\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_changed_field_by_field() {
        let asked = Asked {
            method: "GET",
            target: "/t".to_owned(),
            version: "1.1",
            fields: vec!["Host: x".to_owned(), "accept: y".to_owned()],
        };
        let asked = asked.without("Accept").field("A: b").query("c=d").query("e=f").method("HEAD");
        assert_eq!(asked.bytes(), b"HEAD /t?c=d&e=f HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n");
    }

    #[test]
    fn payloads_are_escaped_for_what_they_are_wrapped_in() {
        assert_eq!(escaped_for_a_form(b"a b\n\xc3"), b"a%20b%0A%C3");
        assert_eq!(escaped_for_json(b"a\"\n"), Ok(b"a\\\"\\n".to_vec()));
        assert!(matches!(escaped_for_json(b"\xc3"), Err(Broken::Absent(_))));
    }
}
