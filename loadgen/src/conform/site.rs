//! The server under test: how it is asked and how an event is published on it.
//!
//! The idea: each check takes a topic number of its own, so that no event of one check is seen
//! by another. Where the address has no `{topic}` all share one topic; checks run one after the
//! other for that reason.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use super::asked::Asked;
use super::inside::Hooks;
use super::point::Broken;
use super::probe::{Answer, Probe};
use super::stream::Stream;
use crate::client::fleet::{Request, TopicName};
use crate::profile::{Profile, Recipe, Url, Wishes};

/// Why points about events are passed over.
const NO_RECIPE: &str = "nothing can be published: give --profile or --publish";

/// The server, and what the user said of it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) url: Url,
    pub(super) subscribe: Request,
    pub(super) recipe: Option<Recipe>,
    pub(super) profile: Profile,
    pub(super) wishes: Wishes,
    pub(super) topic: TopicName,
    /// How long something that must come may take.
    pub(super) patience: Duration,
    /// What counts as at once.
    pub(super) prompt: Duration,
    /// How long a stream that begins with nothing may take before it is sure to get events.
    pub(super) settle: Duration,
    /// How long to listen to a quiet stream.
    pub(super) idle: Duration,
    /// An origin whose pages may read the stream.
    pub(super) origin: Option<String>,
    /// What is known of the server beyond its requests.
    pub(super) hooks: Hooks,
    pub(super) next_topic: Cell<u32>,
}

/// A field of an event beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// Its type.
    Name,
    /// Its id.
    Id,
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
        Asked::read(&text)
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

    /// Where subscribers go, without the rest of the site: it may go to another thread.
    pub(super) fn door(&self) -> Target {
        Target { address: self.url.address, patience: self.patience }
    }

    /// Publishes one event; the status and the connection that show what came of it.
    pub(super) fn publish(&self, topic: u32, payload: &[u8]) -> Result<(Probe, u16), Broken> {
        self.target().answer(&self.publication(topic, payload)?)
    }

    /// Publishes one event with a field of a value.
    pub(super) fn publish_with(
        &self,
        topic: u32,
        payload: &[u8],
        (field, value): (Field, &str),
    ) -> Result<(Probe, u16), Broken> {
        let wishes = self.wishes_with(field, value)?;
        let recipe = Recipe::new(&self.profile, &self.url, &wishes, self.topic.clone());
        // A field that HTTP itself cannot carry cannot be put to the server.
        let recipe = recipe.map_err(Broken::absent)?.ok_or_else(|| Broken::absent(NO_RECIPE))?;
        self.target().answer(&written(&recipe, topic, payload)?)
    }

    /// Where the servers that are known by name take the fields of an event.
    fn wishes_with(&self, field: Field, value: &str) -> Result<Wishes, Broken> {
        if self.recipe.is_none() {
            return Err(Broken::absent(NO_RECIPE));
        }
        let mut wishes = self.wishes.clone();
        let encoded = escaped_for_a_form(value.as_bytes());
        let encoded = String::from_utf8_lossy(&encoded);
        if wishes.publish.is_some() || wishes.publish_body.is_some() {
            return Err(Broken::absent("where --publish takes a name or an id is not known"));
        }
        match (&self.profile, field) {
            (Profile::Downpour, _) => {
                let name = if field == Field::Name { "event" } else { "id" };
                let authority = &self.url.authority;
                let target = format!("POST http://{authority}/events/{{topic}}?{name}={encoded}");
                wishes.publish = Some(target);
            }
            (Profile::Mercure, _) => {
                let name = if field == Field::Name { "type" } else { "id" };
                wishes.publish_body =
                    Some(format!("topic={{topic}}&data={{data}}&{name}={encoded}"));
            }
            (Profile::Nchan, Field::Name) if value.contains(['\r', '\n', '\0']) => {
                return Err(Broken::absent(
                    "Nchan takes names from a header field, which can carry no such byte",
                ));
            }
            (Profile::Nchan, Field::Name) => {
                wishes.publish_headers.push(format!("X-EventSource-Event: {value}"));
            }
            (profile, _) => {
                let (name, which) =
                    (profile.name(), if field == Field::Name { "a name" } else { "an id" });
                return Err(Broken::absent(format!(
                    "the profile {name} publishes no event with {which}"
                )));
            }
        }
        Ok(wishes)
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
        let address = self.recipe.as_ref().map_or(self.url.address, |recipe| recipe.address);
        Target { address, patience: self.patience }
    }

    /// Publishes one event that the server has to take.
    pub(super) fn accepted(&self, topic: u32, payload: &[u8]) -> Result<(), Broken> {
        self.target().send(&self.publication(topic, payload)?)
    }

    fn publication(&self, topic: u32, payload: &[u8]) -> Result<Vec<u8>, Broken> {
        written(self.recipe.as_ref().ok_or_else(|| Broken::absent(NO_RECIPE))?, topic, payload)
    }
}

/// The request that publishes an event.
fn written(recipe: &Recipe, topic: u32, payload: &[u8]) -> Result<Vec<u8>, Broken> {
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

/// An address and how long it may take to answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) patience: Duration,
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
        let mut probe = Probe::connect_to(self)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_escaped_for_what_they_are_wrapped_in() {
        assert_eq!(escaped_for_a_form(b"a b\n\xc3"), b"a%20b%0A%C3");
        assert_eq!(escaped_for_json(b"a\"\n"), Ok(b"a\\\"\\n".to_vec()));
        assert!(matches!(escaped_for_json(b"\xc3"), Err(Broken::Absent(_))));
    }
}
