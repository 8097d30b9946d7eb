//! A server described in a file: `--profile ./my-server.toml`.
//!
//! The idea: what the profiles of known servers are made of, written down as TOML, so that a new
//! server needs ten lines and no flags. Everything is checked when the file is read: a key that
//! means nothing is refused by its name, and so is a template that could not become a request.

use std::path::Path;

use serde::Deserialize;

use super::{Batch, Known, Resume, field};

/// A server as its file describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    name: String,
    subscribe: String,
    subscribe_fields: String,
    resume: Resume,
    publish: Option<Publish>,
}

#[derive(Debug, Clone, PartialEq)]
struct Publish {
    method: String,
    url: String,
    content_type: String,
    /// Each with its line end.
    fields: String,
    body: String,
    batch: Option<WrittenBatch>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    name: Option<String>,
    subscribe: WrittenSubscribe,
    publish: Option<WrittenPublish>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenSubscribe {
    url: String,
    #[serde(default)]
    headers: Vec<String>,
    resume: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenPublish {
    method: Option<String>,
    url: String,
    content_type: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
    body: Option<String>,
    batch: Option<WrittenBatch>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenBatch {
    url: String,
    content_type: String,
    line: String,
}

/// The type of a body that nothing is said about.
const PLAIN: &str = "text/plain; charset=utf-8";

impl Described {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What about it is not a profile, and what would be.
    pub(super) fn read(path: &str) -> Result<Described, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Described::of(&text, stem).map_err(|error| format!("{path}: {error}"))
    }

    fn of(text: &str, stem: String) -> Result<Described, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        let Written { name, subscribe, publish } = written;
        is_path("subscribe.url", &subscribe.url)?;
        Ok(Described {
            name: name.unwrap_or(stem),
            subscribe_fields: fields("subscribe.headers", &subscribe.headers)?,
            resume: resume(subscribe.resume.as_deref())?,
            subscribe: subscribe.url,
            publish: publish.map(Publish::of).transpose()?,
        })
    }

    /// Its name: the file's, unless the file says another.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its parts.
    pub(super) fn known(&self) -> Known<'_> {
        let publish = self.publish.as_ref();
        Known {
            subscribe: &self.subscribe,
            subscribe_fields: &self.subscribe_fields,
            resume: self.resume.clone(),
            method: publish.map_or("POST", |publish| &publish.method),
            publish: publish.map(|publish| publish.url.as_str()),
            content_type: publish.map_or(PLAIN, |publish| &publish.content_type),
            fields: publish.map_or("", |publish| &publish.fields),
            body: publish.map_or("{data}", |publish| &publish.body),
            batch: publish.and_then(|publish| publish.batch.as_ref()).map(|batch| Batch {
                path: &batch.url,
                content_type: &batch.content_type,
                line: &batch.line,
            }),
        }
    }
}

impl Publish {
    fn of(written: WrittenPublish) -> Result<Publish, String> {
        let method = written.method.unwrap_or_else(|| "POST".to_owned());
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("publish.method {method:?}: write it in capitals, as PUT"));
        }
        if written.url.starts_with("http://") {
            super::Url::check(&written.url).map_err(|error| format!("publish.url {error}"))?;
        } else {
            is_path("publish.url", &written.url)?;
        }
        let content_type = written.content_type.unwrap_or_else(|| PLAIN.to_owned());
        is_line("publish.content-type", &content_type)?;
        let body = written.body.unwrap_or_else(|| "{data}".to_owned());
        has_data("publish.body", &body)?;
        if let Some(batch) = &written.batch {
            is_path("publish.batch.url", &batch.url)?;
            is_line("publish.batch.content-type", &batch.content_type)?;
            has_data("publish.batch.line", &batch.line)?;
        }
        let fields = fields("publish.headers", &written.headers)?;
        Ok(Publish { method, url: written.url, content_type, fields, body, batch: written.batch })
    }
}

/// Where a subscriber that comes back says how far it has read.
fn resume(text: Option<&str>) -> Result<Resume, String> {
    match text {
        None | Some("header") => Ok(Resume::Header),
        Some("none") => Ok(Resume::Nowhere("its profile says resume = \"none\"")),
        Some(text) => match text.strip_prefix("query:").filter(|name| !name.is_empty()) {
            Some(name)
                if name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._".contains(&it)) =>
            {
                Ok(Resume::Query(name.to_owned()))
            }
            _ => Err(format!(
                "subscribe.resume {text:?}: give \"header\" (Last-Event-ID), \"query:NAME\" or \
                 \"none\""
            )),
        },
    }
}

fn is_path(key: &str, text: &str) -> Result<(), String> {
    if !text.starts_with('/') || text.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err(format!(
            "{key} {text:?}: give a path as it stands in a request, from its slash on"
        ));
    }
    Ok(())
}

fn is_line(key: &str, text: &str) -> Result<(), String> {
    match text.is_empty() || text.contains(|c: char| c.is_ascii_control()) {
        true => Err(format!("{key} {text:?}: give one line of text")),
        false => Ok(()),
    }
}

fn has_data(key: &str, text: &str) -> Result<(), String> {
    match text.matches("{data}").count() {
        1 => Ok(()),
        _ => Err(format!("{key} {text:?} must hold {{data}} exactly once")),
    }
}

fn fields(key: &str, given: &[String]) -> Result<String, String> {
    field::lines(given).map_err(|error| format!("{key}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
        name = 'mine'
        [subscribe]
        url = '/s/{topic}'
        headers = ['X-A: 1']
        resume = 'query:from'
        [publish]
        method = 'PUT'
        url = '/p'
        content-type = 'application/json'
        headers = ['X-B: 2']
        body = '<{data}>'
        [publish.batch]
        url = '/many'
        content-type = 'application/x-ndjson'
        line = '{topic} {data}'
    ";

    #[test]
    fn a_file_says_all_that_is_known_of_a_server_and_may_leave_most_of_it_out() {
        let whole = Described::of(WHOLE, "file".to_owned()).unwrap();
        let known = whole.known();
        assert_eq!((whole.name(), known.subscribe, known.method), ("mine", "/s/{topic}", "PUT"));
        assert_eq!((known.subscribe_fields, known.fields), ("X-A: 1\r\n", "X-B: 2\r\n"));
        assert_eq!((known.publish, known.body), (Some("/p"), "<{data}>"));
        assert_eq!(known.resume, Resume::Query("from".to_owned()));
        assert_eq!(known.batch.expect("it has one").line, "{topic} {data}");

        let short = Described::of("[subscribe]\nurl = '/live'", "file".to_owned()).unwrap();
        let known = short.known();
        assert_eq!((short.name(), known.publish, known.resume), ("file", None, Resume::Header));
    }

    #[test]
    fn what_is_no_profile_is_refused_by_its_key() {
        for (before, after, answer) in [
            ("name = 'mine'", "nome = 'mine'", "nome"),
            ("resume = 'query:from'", "retry = 'x'", "retry"),
            ("method = 'PUT'", "verb = 'PUT'", "verb"),
            ("line = '{topic} {data}'", "lines = 'x'", "lines"),
            ("url = '/s/{topic}'", "", "url"),
            ("url = '/s/{topic}'", "url = 's'", "subscribe.url"),
            ("url = '/s/{topic}'", "url = 'http://h/s'", "subscribe.url"),
            ("url = '/p'", "url = '/p q'", "publish.url"),
            ("url = '/p'", "url = 'http://h:0/'", "publish.url"),
            ("url = '/many'", "url = ''", "publish.batch.url"),
            ("'X-A: 1'", "'X-A'", "subscribe.headers"),
            ("'X-B: 2'", "'X-B'", "publish.headers"),
            ("'query:from'", "'query:'", "subscribe.resume"),
            ("'query:from'", "'body'", "subscribe.resume"),
            ("method = 'PUT'", "method = 'put'", "publish.method"),
            ("'application/json'", "\"a\\nb\"", "publish.content-type"),
            ("<{data}>", "<>", "publish.body"),
            ("{topic} {data}", "{data}{data}", "publish.batch.line"),
        ] {
            assert!(WHOLE.contains(before), "{before}");
            let text = WHOLE.replacen(before, after, 1);
            let error = Described::of(&text, "file".to_owned()).unwrap_err();
            assert!(error.contains(answer), "{after}: {error}");
        }
        let none = WHOLE.replace("query:from", "none");
        let none = Described::of(&none, "file".to_owned()).unwrap();
        assert!(matches!(none.known().resume, Resume::Nowhere(_)));
    }
}
