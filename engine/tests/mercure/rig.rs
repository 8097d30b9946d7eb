//! A hub for one test, its tokens, and a reader of its streams.

use std::io::Write;

use tempfile::NamedTempFile;

use crate::harness::engine::Engine;
use crate::harness::wire::{Response, Wire, request};
use crate::harness::{Backend, sse::Reader};

/// The key of every tutorial.
pub(crate) const KEY: &str = "!ChangeThisMercureHubJWTSecretKey!";
pub(crate) const HUB: &str = "/.well-known/mercure";
/// What the tokens of version 1 are for.
pub(crate) const RESOURCE: &str = "https://hub.example/.well-known/mercure";
/// Seconds of Unix time in the year 2100.
pub(crate) const FAR: u64 = 4_102_444_800;

/// A hub with the tutorials' key for both roles.
pub(crate) struct Hub {
    pub(crate) engine: Engine,
    _file: NamedTempFile,
}

impl Hub {
    /// A hub that speaks `which` (8, 1 or both), with further directives.
    #[track_caller]
    pub(crate) fn start(backend: Backend, which: &str, directives: &str) -> Hub {
        Hub::start_with(backend, which, directives, &[])
    }

    /// The same with further flags.
    #[track_caller]
    pub(crate) fn start_with(
        backend: Backend,
        which: &str,
        directives: &str,
        flags: &[&str],
    ) -> Hub {
        let mut file = NamedTempFile::new().expect("a file");
        let keys = format!("publisher_jwt {KEY} HS256\nsubscriber_jwt {KEY} HS256\n");
        write!(file, "mercure {{\n{keys}{directives}\n}}\n").expect("room on the disk");
        let path = file.path().to_str().expect("UTF-8");
        let own = ["--mercure", which, "--mercure-file", path];
        let engine = Engine::start(backend, &[&own[..], flags].concat());
        Hub { engine, _file: file }
    }

    /// Posts a form with a token; the body is encoded already.
    pub(crate) fn post(&self, token: &str, form: &str) -> Response {
        let headers = [FORM.to_owned(), bearer(token)];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        self.engine.ask(request("POST", HUB, &headers, form.as_bytes()))
    }

    /// Publishes; gives the id.
    #[track_caller]
    pub(crate) fn publish(&self, form: &str) -> String {
        let answer = self.post(&all(), form);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().to_owned()
    }

    pub(crate) fn get(&self, target: &str, headers: &[&str]) -> Response {
        self.engine.ask(request("GET", target, headers, b""))
    }

    /// Opens a stream; `query` is encoded already.
    #[track_caller]
    pub(crate) fn stream(&self, query: &str, headers: &[&str]) -> Stream {
        let mut wire = self.engine.connect();
        wire.send(request("GET", &format!("{HUB}?{query}"), headers, b""));
        Stream::open(wire)
    }
}

/// An open stream of the hub.
pub(crate) struct Stream {
    pub(crate) wire: Wire,
    pub(crate) head: Response,
    reader: Reader,
}

impl Stream {
    #[track_caller]
    pub(crate) fn open(mut wire: Wire) -> Stream {
        let head = wire.head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(wire.take_through(b"\n"), b":\n", "what begins every stream");
        Stream { wire, head, reader: Reader::default() }
    }

    /// The next block as it is, without its empty line.
    #[track_caller]
    pub(crate) fn block(&mut self) -> String {
        let mut block = self.wire.take_through(b"\n\n");
        block.truncate(block.len() - 2);
        String::from_utf8(block).expect("a stream is UTF-8")
    }

    /// The next event: its type, its data and its id.
    #[track_caller]
    pub(crate) fn event(&mut self) -> (String, String, String) {
        loop {
            let block = self.block();
            if let Some(event) = self.reader.block(&block) {
                return (event.event, event.data, event.id);
            }
        }
    }

    #[track_caller]
    pub(crate) fn data(&mut self) -> String {
        self.event().1
    }
}

pub(crate) const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// A token of these claims, with this header, signed with `key`.
pub(crate) fn sign(header: &str, claims: &str, key: &str) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", base64url(tag.as_ref()))
}

/// RFC 4648, section 5, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        for place in 0..=chunk.len() {
            text.push(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize].into());
        }
    }
    text
}

/// A token of protocol 8 with this `mercure` claim.
pub(crate) fn token(claim: &str) -> String {
    sign(r#"{"alg":"HS256","typ":"JWT"}"#, &format!(r#"{{"mercure":{claim}}}"#), KEY)
}

/// One that may do everything.
pub(crate) fn all() -> String {
    token(r#"{"publish":["*"],"subscribe":["*"]}"#)
}

/// A token of version 1 with these authorization details.
pub(crate) fn access(details: &str) -> String {
    let claims = format!(
        r#"{{"iss":"i","aud":"{RESOURCE}","exp":{FAR},"authorization_details":{details}}}"#
    );
    sign(r#"{"alg":"HS256","typ":"at+jwt"}"#, &claims, KEY)
}

/// One detail of version 1.
pub(crate) fn detail(actions: &str, topics: &str) -> String {
    format!(
        r#"[{{"type":"https://mercure.rocks/authorization-detail","actions":[{actions}],"topics":[{topics}]}}]"#
    )
}

/// A token of version 1 that may do everything.
pub(crate) fn access_all() -> String {
    access(&detail(r#""publish","subscribe""#, r#"{"match":"*"}"#))
}
