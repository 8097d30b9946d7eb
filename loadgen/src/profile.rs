//! How a server is spoken to: where subscribers go, and how an event is published.
//!
//! The idea: a server is a handful of templates with `{topic}` and `{data}` in them (and
//! `{subscriber}`, for servers that want to know who comes). The profiles of known servers are
//! filled in here, and any other server is described by flags.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::client::fleet::{Part, Request, TopicName};

/// Servers known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Profile {
    /// GET and POST /events/{topic}; batches as NDJSON to /events
    #[default]
    Downpour,
    /// The hub of a Mercure server; give the publisher's JWT by --publish-header
    Mercure,
    /// Nchan with subscribers at /sub/{topic} and publishers at /pub/{topic}
    Nchan,
    /// Centrifugo's uni_sse and its HTTP API; give the key by --publish-header
    Centrifugo,
    /// Any event stream: the URL as it is; publishes only what --publish says
    Generic,
}

/// The parts of a profile: templates.
struct Known {
    subscribe: &'static str,
    publish: Option<&'static str>,
    content_type: &'static str,
    body: &'static str,
    batch: Option<Batch>,
}

/// How several events go into one request: one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch {
    path: &'static str,
    content_type: &'static str,
    line: &'static str,
}

impl Profile {
    fn known(self) -> Known {
        let plain = "text/plain; charset=utf-8";
        match self {
            Profile::Downpour => Known {
                subscribe: "/events/{topic}",
                publish: Some("/events/{topic}"),
                content_type: plain,
                body: "{data}",
                batch: Some(Batch {
                    path: "/events",
                    content_type: "application/x-ndjson",
                    line: "{\"topic\":\"{topic}\",\"data\":\"{data}\"}\n",
                }),
            },
            Profile::Mercure => Known {
                subscribe: "/.well-known/mercure?topic={topic}",
                publish: Some("/.well-known/mercure"),
                content_type: "application/x-www-form-urlencoded",
                body: "topic={topic}&data={data}",
                batch: None,
            },
            Profile::Nchan => Known {
                subscribe: "/sub/{topic}",
                publish: Some("/pub/{topic}"),
                content_type: plain,
                body: "{data}",
                batch: None,
            },
            Profile::Centrifugo => Known {
                subscribe: "/connection/uni_sse?cf_connect=%7B%22subs%22%3A%7B%22{topic}%22%3A%7B%7D%7D%7D",
                publish: Some("/api/publish"),
                content_type: "application/json",
                body: "{\"channel\":\"{topic}\",\"data\":{\"value\":\"{data}\"}}",
                batch: None,
            },
            Profile::Generic => Known {
                subscribe: "/",
                publish: None,
                content_type: plain,
                body: "{data}",
                batch: None,
            },
        }
    }

    /// The profile's name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Downpour => "downpour",
            Profile::Mercure => "mercure",
            Profile::Nchan => "nchan",
            Profile::Centrifugo => "centrifugo",
            Profile::Generic => "generic",
        }
    }
}

/// An address of HTTP, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port as in a Host field.
    pub(crate) authority: String,
    /// Where it resolves to.
    pub(crate) address: SocketAddr,
    /// Path and query, placeholders included; empty if the address has none.
    pub(crate) path: String,
}

impl Url {
    /// Takes an address apart and resolves its host.
    ///
    /// # Errors
    ///
    /// If it is not `http://host[:port][/path]`, or the host is not known.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        let rest = Url::without_scheme(text)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| format!("{text:?}: {error}"))?
            .next()
            .ok_or_else(|| format!("{text:?}: the host has no address"))?;
        let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
        Ok(Url { authority: authority.to_owned(), address, path })
    }

    /// What follows the scheme; `http://` may be left out.
    ///
    /// # Errors
    ///
    /// If the scheme is another: wrong usage, which needs no look at the network to be seen.
    pub(crate) fn without_scheme(text: &str) -> Result<&str, String> {
        match text.split_once("://") {
            Some(("http", rest)) => Ok(rest),
            Some(("https", _)) => Err(format!(
                "{text:?}: TLS is not spoken here; measure the plain port behind the proxy"
            )),
            Some((scheme, _)) => Err(format!("{text:?}: {scheme} is not http")),
            None => Ok(text),
        }
    }
}

/// What the user said about the server beyond its profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// Fields of the subscribe request.
    pub(crate) headers: Vec<String>,
    /// Method and address of the publish request: `POST http://host/path`.
    pub(crate) publish: Option<String>,
    /// Fields of the publish request.
    pub(crate) publish_headers: Vec<String>,
    /// Body of the publish request.
    pub(crate) publish_body: Option<String>,
    /// Whether events that are due together may go in one request.
    pub(crate) batch: bool,
}

/// The request that opens a stream of a server.
///
/// # Errors
///
/// If a header field is none.
pub(crate) fn subscribe_request(
    profile: Profile,
    url: &Url,
    wishes: &Wishes,
    topic: TopicName,
) -> Result<Request, String> {
    let path = match url.path.as_str() {
        "" | "/" => profile.known().subscribe,
        path => path,
    };
    let fields = fields(&wishes.headers)?;
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\
         Cache-Control: no-cache\r\n{fields}\r\n",
        url.authority
    );
    Ok(Request { parts: request_parts(&text), topic })
}

/// A request in parts: `{topic}` and `{subscriber}` stand for themselves.
fn request_parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for (place, between) in text.split("{topic}").enumerate() {
        if place > 0 {
            parts.push(Part::Topic);
        }
        for (place, text) in between.split("{subscriber}").enumerate() {
            if place > 0 {
                parts.push(Part::Subscriber);
            }
            parts.push(Part::Text(text.as_bytes().to_vec()));
        }
    }
    parts
}

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
}

impl Recipe {
    /// The recipe of a profile and the user's wishes; `None` when nothing is to be published.
    ///
    /// # Errors
    ///
    /// If an address, a method or a body is not what it must be.
    pub(crate) fn new(
        profile: Profile,
        url: &Url,
        wishes: &Wishes,
        topic: TopicName,
    ) -> Result<Option<Recipe>, String> {
        let known = profile.known();
        let (method, target) = match (&wishes.publish, known.publish) {
            (Some(text), _) => {
                let (method, address) = text.split_once(' ').unwrap_or(("POST", text));
                (method.to_owned(), Url::parse(address)?)
            }
            (None, Some(path)) => ("POST".to_owned(), Url { path: path.to_owned(), ..url.clone() }),
            (None, None) => return Ok(None),
        };
        let body = wishes.publish_body.as_deref().unwrap_or(known.body);
        if body.matches("{data}").count() != 1 {
            return Err(format!("--publish-body {body:?} must hold {{data}} exactly once"));
        }
        let fields = fields(&wishes.publish_headers)?;
        let head = |path: &str, content_type: &str| {
            template(&format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\n{fields}",
                target.authority
            ))
        };
        let may_batch = wishes.batch && wishes.publish.is_none() && wishes.publish_body.is_none();
        let batch = known.batch.filter(|_| may_batch);
        if wishes.batch && batch.is_none() {
            return Err(format!(
                "--publish-batch: the profile {} has no request for several events",
                profile.name()
            ));
        }
        Ok(Some(Recipe {
            address: target.address,
            url: format!("{method} http://{}{}", target.authority, target.path),
            head: head(&target.path, known.content_type),
            body: template(body),
            batch: batch.map(|batch| (head(batch.path, batch.content_type), template(batch.line))),
            topic,
        }))
    }

    /// Whether several events go in one request.
    pub(crate) fn batches(&self) -> bool {
        self.batch.is_some()
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

/// Header fields as they stand in a request.
fn fields(given: &[String]) -> Result<String, String> {
    let mut text = String::new();
    for field in given {
        let sound = field.split_once(':').is_some_and(|(name, _)| !name.trim().is_empty());
        if !sound || field.contains(['\r', '\n']) {
            return Err(format!("{field:?} is no header field; write it as 'Name: value'"));
        }
        text.push_str(field);
        text.push_str("\r\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
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
    fn addresses_are_taken_apart() {
        for (text, authority, port, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", 8080, ""),
            ("http://127.0.0.1/x?y={topic}", "127.0.0.1", 80, "/x?y={topic}"),
            ("127.0.0.1:9/", "127.0.0.1:9", 9, "/"),
            ("http://127.0.0.1?x", "127.0.0.1", 80, "/?x"),
        ] {
            let url = url(text);
            assert_eq!(url.authority, authority);
            assert_eq!((url.address.port(), url.path.as_str()), (port, path));
        }
        assert!(Url::parse("https://x/").unwrap_err().contains("TLS"));
        assert!(Url::parse("ftp://x/").is_err());
    }

    #[test]
    fn the_profile_names_the_paths_unless_the_address_does() {
        let subscribe = |profile, address: &str| {
            let request =
                subscribe_request(profile, &url(address), &Wishes::default(), topic()).unwrap();
            let mut out = Vec::new();
            request.write(3, 41, &mut out);
            String::from_utf8(out).unwrap().lines().next().unwrap().to_owned()
        };
        let base = "http://127.0.0.1:8080/";
        assert_eq!(subscribe(Profile::Downpour, base), "GET /events/t-3 HTTP/1.1");
        assert_eq!(
            subscribe(Profile::Nchan, "http://127.0.0.1/s?id={topic}"),
            "GET /s?id=t-3 HTTP/1.1"
        );
        assert_eq!(subscribe(Profile::Generic, "http://127.0.0.1/live"), "GET /live HTTP/1.1");
        assert_eq!(
            subscribe(Profile::Generic, "http://127.0.0.1/{topic}/{subscriber}?as={subscriber}"),
            "GET /t-3/41?as=41 HTTP/1.1"
        );
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
    fn a_batch_is_one_line_for_each_event() {
        let wishes = Wishes { batch: true, ..Wishes::default() };
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
        assert!(new(&body).unwrap_err().contains("{data}"));
        let header = Wishes { publish_headers: vec!["x".to_owned()], ..Wishes::default() };
        assert!(new(&header).unwrap_err().contains("Name: value"));
        let batch = Wishes { batch: true, ..Wishes::default() };
        assert!(new(&batch).unwrap_err().contains("no request for several"));
        let silent = Recipe::new(Profile::Generic, &base, &Wishes::default(), topic());
        assert!(silent.unwrap().is_none());
    }
}
