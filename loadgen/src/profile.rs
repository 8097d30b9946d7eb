//! How a server is spoken to: where subscribers go, and how an event is published.
//!
//! The idea: a server is a handful of templates with `{topic}` and `{data}` in them (and
//! `{subscriber}`, for servers that want to know who comes). The profiles of known servers are
//! filled in here, and any other server is described by flags, or in a file (`file`).

pub(crate) mod field;
mod file;
pub(crate) mod recipe;
mod token;
mod url;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::client::fleet::{Part, Request, TopicName};

use file::Described;
pub(crate) use recipe::Recipe;
pub(crate) use token::Tokens;
pub(crate) use url::Url;

/// How a server is spoken to.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Profile {
    /// GET and POST /events/{topic}; batches as NDJSON to /events.
    #[default]
    Downpour,
    /// The hub of a Mercure server; tokens by --publish-header and -H, best as @FILE.
    Mercure,
    /// Nchan with subscribers at /sub/{topic} and publishers at /pub/{topic}.
    Nchan,
    /// Centrifugo's uni_sse and its HTTP API; the key by --publish-header, best as @FILE.
    Centrifugo,
    /// Any event stream: the URL as it is; publishes only what --publish says.
    Generic,
    /// What a file says.
    File(Arc<Described>),
}

/// The profiles that need no file.
const NAMED: [Profile; 5] =
    [Profile::Downpour, Profile::Mercure, Profile::Nchan, Profile::Centrifugo, Profile::Generic];

/// The parts of a profile: templates.
struct Known<'a> {
    subscribe: &'a str,
    /// Further fields of a subscribe request, each with its line end.
    subscribe_fields: &'a str,
    resume: Resume,
    method: &'a str,
    /// A path, or an address elsewhere.
    publish: Option<&'a str>,
    content_type: &'a str,
    /// Further fields of a publish, each with its line end.
    fields: &'a str,
    body: &'a str,
    batch: Option<Batch<'a>>,
}

/// How several events go into one request: one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch<'a> {
    path: &'a str,
    content_type: &'a str,
    line: &'a str,
}

/// Where a subscriber that comes back says how far it has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resume {
    /// In the `Last-Event-ID` field (WHATWG HTML, section 9.2.3).
    Header,
    /// In a parameter of the query.
    Query(String),
    /// Nowhere, and why.
    Nowhere(&'static str),
}

/// What the profiles of known servers have in common, and all that is known of any stream.
const ANY: Known<'static> = Known {
    subscribe: "/",
    subscribe_fields: "",
    resume: Resume::Header,
    method: "POST",
    publish: None,
    content_type: "text/plain; charset=utf-8",
    fields: "",
    body: "{data}",
    batch: None,
};

impl FromStr for Profile {
    type Err = String;

    /// A name, or the path of a file.
    fn from_str(text: &str) -> Result<Profile, String> {
        if let Some(named) = NAMED.into_iter().find(|profile| profile.name() == text) {
            return Ok(named);
        }
        if Profile::is_file(text) {
            return Ok(Profile::File(Arc::new(Described::read(text)?)));
        }
        let names: Vec<String> = NAMED.iter().map(|profile| profile.name().to_owned()).collect();
        Err(format!(
            "{text:?} is no profile: give {}, or the path of a file that describes the server, as \
             ./my-server.toml",
            names.join(", ")
        ))
    }
}

impl Profile {
    /// Whether a text names a file rather than a profile that is built in.
    pub(crate) fn is_file(text: &str) -> bool {
        text.contains('/') || text.ends_with(".toml")
    }

    fn known(&self) -> Known<'_> {
        match self {
            Profile::Downpour => Known {
                subscribe: "/events/{topic}",
                publish: Some("/events/{topic}"),
                batch: Some(Batch {
                    path: "/events",
                    content_type: "application/x-ndjson",
                    line: "{\"topic\":\"{topic}\",\"data\":\"{data}\"}\n",
                }),
                ..ANY
            },
            Profile::Mercure => Known {
                subscribe: "/.well-known/mercure?topic={topic}",
                publish: Some("/.well-known/mercure"),
                content_type: "application/x-www-form-urlencoded",
                body: "topic={topic}&data={data}",
                ..ANY
            },
            Profile::Nchan => {
                Known { subscribe: "/sub/{topic}", publish: Some("/pub/{topic}"), ..ANY }
            }
            Profile::Centrifugo => Known {
                subscribe: "/connection/uni_sse?cf_connect=%7B%22subs%22%3A%7B%22{topic}%22%3A%7B%7D%7D%7D",
                resume: Resume::Nowhere("Centrifugo's uni_sse takes no Last-Event-ID"),
                publish: Some("/api/publish"),
                content_type: "application/json",
                // Unless asked for a status, its API answers 200 and tells errors in the body.
                fields: "X-Centrifugo-Error-Mode: transport\r\n",
                body: "{\"channel\":\"{topic}\",\"data\":{\"value\":\"{data}\"}}",
                ..ANY
            },
            Profile::Generic => ANY,
            Profile::File(described) => described.known(),
        }
    }

    /// How a subscriber of this server says how far it has read when it comes back.
    pub(crate) fn resume(&self) -> Resume {
        self.known().resume
    }

    /// The profile's name, as on the command line; that of a file is its own.
    pub(crate) fn name(&self) -> &str {
        match self {
            Profile::Downpour => "downpour",
            Profile::Mercure => "mercure",
            Profile::Nchan => "nchan",
            Profile::Centrifugo => "centrifugo",
            Profile::Generic => "generic",
            Profile::File(described) => described.name(),
        }
    }
}

/// What the user said about the server beyond its profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// Fields of the subscribe request.
    pub(crate) headers: Vec<String>,
    /// What subscribers show to be let in, each its own.
    pub(crate) tokens: Option<Tokens>,
    /// Method and address of the publish request: `POST http://host/path`.
    pub(crate) publish: Option<String>,
    /// Fields of the publish request.
    pub(crate) publish_headers: Vec<String>,
    /// Body of the publish request.
    pub(crate) publish_body: Option<String>,
    /// How long events are gathered that go in one request; `None` = each in one of its own.
    pub(crate) batch: Option<Duration>,
}

/// The request that opens a stream of a server.
///
/// # Errors
///
/// If a header field is none, or tokens and their place do not come together.
pub(crate) fn subscribe_request(
    profile: &Profile,
    url: &Url,
    wishes: &Wishes,
    topic: TopicName,
) -> Result<Request, String> {
    let known = profile.known();
    let path = match url.path.as_str() {
        "" | "/" => known.subscribe,
        path => path,
    };
    let mut fields = known.subscribe_fields.to_owned() + &field::lines(&wishes.headers)?;
    let is_placed = path.contains(token::PLACEHOLDER) || fields.contains(token::PLACEHOLDER);
    match wishes.tokens.is_some() {
        true if !is_placed => fields.push_str("Authorization: Bearer {token}\r\n"),
        false if is_placed => {
            return Err("{token} stands for the lines of --token-file; give that too".to_owned());
        }
        _ => {}
    }
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\
         Cache-Control: no-cache\r\n{fields}\r\n",
        url.authority
    );
    Ok(Request { parts: request_parts(&text), topic, tokens: wishes.tokens.clone() })
}

/// A request in parts: `{topic}`, `{subscriber}` and `{token}` stand for themselves.
fn request_parts(text: &str) -> Vec<Part> {
    let names = [
        ("{topic}", Part::Topic),
        ("{subscriber}", Part::Subscriber),
        (token::PLACEHOLDER, Part::Token),
    ];
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let found = names.iter().filter_map(|(name, part)| Some((rest.find(name)?, name, part)));
        let Some((at, name, part)) = found.min_by_key(|(at, ..)| *at) else {
            parts.push(Part::Text(rest.as_bytes().to_vec()));
            return parts;
        };
        parts.push(Part::Text(rest.as_bytes()[..at].to_vec()));
        parts.push(part.clone());
        rest = &rest[at + name.len()..];
    }
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

    #[test]
    fn the_profile_names_the_paths_unless_the_address_does() {
        let subscribe = |profile, address: &str| {
            let request =
                subscribe_request(&profile, &url(address), &Wishes::default(), topic()).unwrap();
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
    fn each_subscriber_shows_its_own_token_where_the_flags_put_it() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"aa\nbb\n").unwrap();
        let tokens: Tokens = file.path().to_str().unwrap().parse().unwrap();
        let head = |address: &str, header: Option<&str>, tokens: Option<&Tokens>| {
            let headers = header.map(str::to_owned).into_iter().collect();
            let wishes = Wishes { headers, tokens: tokens.cloned(), ..Wishes::default() };
            let request = subscribe_request(&Profile::Generic, &url(address), &wishes, topic())?;
            let mut out = Vec::new();
            request.write(0, 3, &mut out);
            Ok::<String, String>(String::from_utf8(out).unwrap())
        };
        let plain = head("http://127.0.0.1/x", None, Some(&tokens)).unwrap();
        assert!(plain.ends_with("\r\nAuthorization: Bearer bb\r\n\r\n"), "{plain}");
        let cookie = head("http://127.0.0.1/x", Some("Cookie: a={token}"), Some(&tokens)).unwrap();
        assert!(cookie.contains("Cookie: a=bb\r\n") && !cookie.contains("Bearer"), "{cookie}");
        let query = head("http://127.0.0.1/x?t={token}", None, Some(&tokens)).unwrap();
        assert!(query.starts_with("GET /x?t=bb ") && !query.contains("Bearer"), "{query}");
        let error = head("http://127.0.0.1/x?t={token}", None, None).unwrap_err();
        assert!(error.contains("--token-file"), "{error}");
    }
}
