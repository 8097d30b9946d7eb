//! How a server is spoken to: where subscribers go, and how an event is published.
//!
//! The idea: a server is a handful of templates with `{topic}` and `{data}` in them (and
//! `{subscriber}`, for servers that want to know who comes). The profiles of known servers are
//! filled in here, and any other server is described by flags.

pub(crate) mod field;
pub(crate) mod recipe;
mod url;

use std::time::Duration;

use crate::client::fleet::{Part, Request, TopicName};

pub(crate) use recipe::Recipe;
pub(crate) use url::Url;

/// Servers known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Profile {
    /// GET and POST /events/{topic}; batches as NDJSON to /events
    #[default]
    Downpour,
    /// The hub of a Mercure server; tokens by --publish-header and -H, best as @FILE
    Mercure,
    /// Nchan with subscribers at /sub/{topic} and publishers at /pub/{topic}
    Nchan,
    /// Centrifugo's uni_sse and its HTTP API; the key by --publish-header, best as @FILE
    Centrifugo,
    /// Any event stream: the URL as it is; publishes only what --publish says
    Generic,
}

/// The parts of a profile: templates.
struct Known {
    subscribe: &'static str,
    publish: Option<&'static str>,
    content_type: &'static str,
    /// Further fields of a publish, each with its line end.
    fields: &'static str,
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
                fields: "",
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
                fields: "",
                body: "topic={topic}&data={data}",
                batch: None,
            },
            Profile::Nchan => Known {
                subscribe: "/sub/{topic}",
                publish: Some("/pub/{topic}"),
                content_type: plain,
                fields: "",
                body: "{data}",
                batch: None,
            },
            Profile::Centrifugo => Known {
                subscribe: "/connection/uni_sse?cf_connect=%7B%22subs%22%3A%7B%22{topic}%22%3A%7B%7D%7D%7D",
                publish: Some("/api/publish"),
                content_type: "application/json",
                // Unless asked for a status, its API answers 200 and tells errors in the body.
                fields: "X-Centrifugo-Error-Mode: transport\r\n",
                body: "{\"channel\":\"{topic}\",\"data\":{\"value\":\"{data}\"}}",
                batch: None,
            },
            Profile::Generic => Known {
                subscribe: "/",
                publish: None,
                content_type: plain,
                fields: "",
                body: "{data}",
                batch: None,
            },
        }
    }

    /// Whether a subscriber of this server can say how far it has read when it comes back.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub(crate) fn resumes(self) -> Result<(), &'static str> {
        match self {
            Profile::Centrifugo => {
                Err("Centrifugo's uni_sse takes no Last-Event-ID: who comes back has missed what \
                     was published meanwhile")
            }
            Profile::Downpour | Profile::Mercure | Profile::Nchan | Profile::Generic => Ok(()),
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
    /// How long events are gathered that go in one request; `None` = each in one of its own.
    pub(crate) batch: Option<Duration>,
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
    let fields = field::lines(&wishes.headers)?;
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
}
