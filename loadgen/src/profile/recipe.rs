//! How events are published: requests made of templates.
//!
//! The idea: head and body are templates that are taken apart once. A request is written with the
//! payloads left blank and their places told, so that the stamp goes in at the last moment, when
//! the time of the send is known.

use std::net::SocketAddr;

use super::{Profile, Url, Wishes, field};
use crate::client::fleet::TopicName;
use crate::clock;
use crate::failure::Failure;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Data,
}

fn template(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let next = [("{topic}", Piece::Topic), ("{data}", Piece::Data)]
            .into_iter()
            .filter_map(|(name, piece)| rest.find(name).map(|at| (at, name.len(), piece)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, length, piece)) = next else {
            pieces.push(Piece::Text(rest.as_bytes().to_vec()));
            return pieces;
        };
        pieces.push(Piece::Text(rest.as_bytes()[..at].to_vec()));
        pieces.push(piece);
        rest = &rest[at + length..];
    }
}

/// How events are published.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// The address in words, placeholders included.
    pub(crate) url: String,
    topic: TopicName,
    /// The request line up to the end of the header fields, without Content-Length.
    head: Vec<Piece>,
    body: Vec<Piece>,
    /// Head and line of a request with several events, if the server has one.
    batch: Option<(Vec<Piece>, Vec<Piece>)>,
    gather_ns: u64,
}

/// Method and address of `POST http://host/path`; the method may be left out.
///
/// # Errors
///
/// If the method is none, or the address is not one of HTTP.
pub(crate) fn destination(text: &str) -> Result<(&str, &str), String> {
    let (method, address) = text.split_once(' ').unwrap_or(("POST", text));
    if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("--publish {text:?}: write it as 'POST http://host/path'"));
    }
    Url::check(address).map_err(|error| format!("--publish {error}"))?;
    Ok((method, address))
}

/// The path of one topic, where the address to subscribe to names it: events go there by POST.
fn own_topic(profile: Profile, url: &Url) -> Option<&str> {
    let path = url.path.split('?').next().unwrap_or_default();
    let named = profile == Profile::Downpour
        && path.len() > "/events/".len()
        && path.starts_with("/events/")
        && !path.contains("{subscriber}");
    named.then_some(path)
}

impl Recipe {
    /// The recipe of a profile and the user's wishes; `None` when nothing is to be published.
    ///
    /// # Errors
    ///
    /// If an address, a method or a body is not what it must be, or a host is not known.
    pub(crate) fn new(
        profile: Profile,
        url: &Url,
        wishes: &Wishes,
        topic: TopicName,
    ) -> Result<Option<Recipe>, Failure> {
        let known = profile.known();
        let (method, target) = match (&wishes.publish, known.publish) {
            (Some(text), _) => {
                let (method, address) = destination(text).map_err(Failure::Usage)?;
                (method.to_owned(), Url::parse(address)?)
            }
            (None, Some(path)) => {
                let path = own_topic(profile, url).unwrap_or(path).to_owned();
                ("POST".to_owned(), Url { path, ..url.clone() })
            }
            (None, None) => return Ok(None),
        };
        let body = wishes.publish_body.as_deref().unwrap_or(known.body);
        if body.matches("{data}").count() != 1 {
            let text = format!("--publish-body {body:?} must hold {{data}} exactly once");
            return Err(Failure::Usage(text));
        }
        let fields = field::lines(&wishes.publish_headers).map_err(Failure::Usage)?;
        let head = |path: &str, content_type: &str| {
            template(&format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\n{}{fields}",
                target.authority, known.fields
            ))
        };
        let may_batch =
            wishes.batch.is_some() && wishes.publish.is_none() && wishes.publish_body.is_none();
        let batch = known.batch.filter(|_| may_batch);
        if wishes.batch.is_some() && batch.is_none() {
            return Err(Failure::Usage(format!(
                "--publish-batch: the profile {} has no request for several events",
                profile.name()
            )));
        }
        Ok(Some(Recipe {
            address: target.address,
            url: format!("{method} http://{}{}", target.authority, target.path),
            head: head(&target.path, known.content_type),
            body: template(body),
            batch: batch.map(|batch| (head(batch.path, batch.content_type), template(batch.line))),
            gather_ns: wishes.batch.map_or(0, clock::ns),
            topic,
        }))
    }

    /// Whether several events go in one request.
    pub(crate) fn batches(&self) -> bool {
        self.batch.is_some()
    }

    /// How long events are gathered for one request, from when the first of them is due.
    pub(crate) fn gather_ns(&self) -> u64 {
        self.gather_ns
    }

    /// Writes a request for events given as (topic, payload bytes). The payloads are left blank;
    /// their places in `out` are added to `places`.
    ///
    /// # Panics
    ///
    /// If it is given several events and does not batch.
    pub(crate) fn write(
        &self,
        events: &[(u32, usize)],
        out: &mut Vec<u8>,
        places: &mut Vec<std::ops::Range<usize>>,
    ) {
        let (head, body) = match &self.batch {
            Some((head, line)) => (head, line),
            None => (&self.head, &self.body),
        };
        assert!(events.len() == 1 || self.batch.is_some(), "one request for one event");
        let mut content = Vec::new();
        let first = places.len();
        for &(topic, bytes) in events {
            self.fill(body, topic, bytes, &mut content, places);
        }
        self.fill(head, events[0].0, 0, out, &mut Vec::new());
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
        for place in &mut places[first..] {
            *place = place.start + out.len()..place.end + out.len();
        }
        out.extend_from_slice(&content);
    }

    fn fill(
        &self,
        pieces: &[Piece],
        topic: u32,
        bytes: usize,
        out: &mut Vec<u8>,
        places: &mut Vec<std::ops::Range<usize>>,
    ) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Topic => self.topic.write(topic, out),
                Piece::Data => {
                    places.push(out.len()..out.len() + bytes);
                    out.resize(out.len() + bytes, b'0');
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn topic() -> TopicName {
        TopicName { name: "t".to_owned(), numbered: true }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn request(profile: Profile, wishes: &Wishes, events: &[(u32, usize)]) -> String {
        let recipe = Recipe::new(profile, &url("http://127.0.0.1:8080"), wishes, topic());
        let (mut out, mut places) = (Vec::new(), Vec::new());
        recipe.unwrap().unwrap().write(events, &mut out, &mut places);
        assert_eq!(places.len(), events.len());
        for (place, &(_, bytes)) in places.iter().zip(events) {
            assert_eq!(place.len(), bytes);
            assert!(out[place.clone()].iter().all(|&byte| byte == b'0'));
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_publish_has_the_length_it_says() {
        for (profile, body) in [
            (Profile::Downpour, "0000"),
            (Profile::Mercure, "topic=t-7&data=0000"),
            (Profile::Centrifugo, r#"{"channel":"t-7","data":{"value":"0000"}}"#),
        ] {
            let text = request(profile, &Wishes::default(), &[(7, 4)]);
            let (head, got) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(got, body);
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        }
    }

    #[test]
    fn a_topic_in_the_address_is_the_one_that_is_published_to() {
        for (path, target) in [
            ("/events/prices?last_event_id=earliest", "/events/prices"),
            ("/events/{topic}", "/events/t-0"),
            ("/events/{subscriber}", "/events/t-0"),
            ("/events?topic={topic}", "/events/t-0"),
            ("", "/events/t-0"),
        ] {
            let url = url(&format!("http://127.0.0.1{path}"));
            let recipe = Recipe::new(Profile::Downpour, &url, &Wishes::default(), topic());
            let mut out = Vec::new();
            recipe.unwrap().unwrap().write(&[(0, 1)], &mut out, &mut Vec::new());
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(&format!("POST {target} HTTP/1.1")), "{path}: {text}");
        }
    }

    #[test]
    fn a_batch_is_one_line_for_each_event() {
        let wishes = Wishes { batch: Some(Duration::ZERO), ..Wishes::default() };
        let text = request(Profile::Downpour, &wishes, &[(7, 4), (8, 2)]);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /events HTTP/1.1\r\n"), "{head}");
        assert_eq!(
            body,
            "{\"topic\":\"t-7\",\"data\":\"0000\"}\n{\"topic\":\"t-8\",\"data\":\"00\"}\n"
        );
    }

    #[test]
    fn a_server_is_described_by_flags() {
        let wishes = Wishes {
            publish: Some("PUT http://127.0.0.1:81/in/{topic}".to_owned()),
            publish_headers: vec!["X-Key: 1".to_owned()],
            publish_body: Some("<{data}>".to_owned()),
            ..Wishes::default()
        };
        let text = request(Profile::Generic, &wishes, &[(0, 1)]);
        assert!(text.starts_with("PUT /in/t-0 HTTP/1.1\r\nHost: 127.0.0.1:81\r\n"), "{text}");
        assert!(text.contains("X-Key: 1\r\nContent-Length: 3\r\n\r\n<0>"), "{text}");
    }

    #[test]
    fn a_wrong_description_is_answered_with_what_is_right() {
        let base = url("http://127.0.0.1");
        let new = |wishes: &Wishes| Recipe::new(Profile::Nchan, &base, wishes, topic());
        let body = Wishes { publish_body: Some("x".to_owned()), ..Wishes::default() };
        assert!(new(&body).unwrap_err().to_string().contains("{data}"));
        let header = Wishes { publish_headers: vec!["x".to_owned()], ..Wishes::default() };
        assert!(new(&header).unwrap_err().to_string().contains("Name: value"));
        let batch = Wishes { batch: Some(Duration::ZERO), ..Wishes::default() };
        assert!(new(&batch).unwrap_err().to_string().contains("no request for several"));
        for publish in ["ftp://x", "PATCH it http://x", "post http://x", "PUT  http://x", "PUT "] {
            let elsewhere = Wishes { publish: Some(publish.to_owned()), ..Wishes::default() };
            assert!(matches!(new(&elsewhere), Err(Failure::Usage(_))), "{publish}");
        }
        let silent = Recipe::new(Profile::Generic, &base, &Wishes::default(), topic());
        assert!(silent.unwrap().is_none());
    }
}
