//! What requests mean: subscribe, publish, or a refusal that says what would have been right.
//!
//! `GET /events/{topic}` subscribes; `POST /events/{topic}` publishes its body as one event;
//! `POST /events` publishes objects `{"topic","data","event"}`: one or an array of them
//! (`application/json`), or one per line (`application/x-ndjson`), each as soon as it is there.

use std::io;
use std::time::Instant;

use serde::Deserialize;

use super::connection::{Connection, Publication, Role};
use super::history::Start;
use super::injector::{Admission, Injected, Tap};
use super::request::{BODY_BYTES_MAX, Request};
use super::server::{Server, Timer};

/// One event of a body that carries its topic.
#[derive(Debug, Deserialize)]
struct Item {
    topic: String,
    data: String,
    event: Option<String>,
}

impl Server {
    /// Consumes what has arrived on a connection, as far as it goes.
    pub(super) fn serve_input(
        &mut self,
        place: usize,
        connection: &mut Connection,
    ) -> io::Result<()> {
        while connection.closing.is_none() {
            let refusal = match &mut connection.role {
                Role::Streaming { .. } => {
                    connection.input.clear();
                    return Ok(());
                }
                Role::HeldBack { .. } => return Ok(()),
                Role::Idle => match Request::take(&mut connection.input) {
                    Ok(None) => return Ok(()),
                    Ok(Some(request)) => {
                        self.route(place, connection, request)?;
                        continue;
                    }
                    Err(refusal) => refusal,
                },
                Role::Publishing(_) => match self.take_body(connection)? {
                    Ok(true) => continue,
                    Ok(false) => return Ok(()),
                    Err(refusal) => refusal,
                },
            };
            answer(connection, 400, &refusal);
            connection.closing = Some(false);
        }
        Ok(())
    }

    fn route(
        &mut self,
        place: usize,
        connection: &mut Connection,
        request: Request,
    ) -> io::Result<()> {
        let topic = request.path.strip_prefix("/events/").filter(|topic| !topic.is_empty());
        match (request.method.as_str(), topic) {
            ("GET", Some(_)) => self.subscribe(place, connection, &request)?,
            ("POST", _) if topic.is_some() || request.path == "/events" => {
                if request.expects_continue {
                    connection.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                connection.role = Role::Publishing(Publication {
                    request,
                    body: Vec::new(),
                    accepted: 0,
                    last_id: None,
                });
            }
            ("OPTIONS", _) => connection.output.extend_from_slice(
                b"HTTP/1.1 204 No Content\r\n\
                  Access-Control-Allow-Origin: *\r\n\
                  Access-Control-Allow-Methods: GET, POST\r\n\
                  Access-Control-Allow-Headers: *\r\n\r\n",
            ),
            _ => {
                answer(connection, 404, "GET or POST /events/{topic}, or POST /events");
                // A body that nobody will read must not be taken for a request.
                connection.closing = Some(false);
            }
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        place: usize,
        connection: &mut Connection,
        request: &Request,
    ) -> io::Result<()> {
        let named = request.parameter("subscriber").and_then(|text| text.parse().ok());
        let number = named.unwrap_or(self.subscriptions);
        let fault = match self.injector.admit(number) {
            Admission::Accept { head_delay: None } => {
                return self.start_stream(place, connection, request, number);
            }
            Admission::Accept { head_delay: Some(delay) } => {
                let timer = Timer::Head { place, serial: connection.serial };
                self.set_timer(Instant::now() + delay, timer);
                connection.role = Role::HeldBack { request: request.clone(), number };
                "slow-head"
            }
            Admission::Refuse { status } => {
                answer(connection, status, "refused by script");
                "status"
            }
        };
        let topic = request.path.trim_start_matches("/events/");
        let injected = Injected { fault, event: None, missing: None, told: None };
        self.record(topic, number, connection.peer, &injected)
    }

    /// Starts a stream whose head was held back.
    pub(super) fn start_held_back(
        &mut self,
        place: usize,
        connection: &mut Connection,
    ) -> io::Result<()> {
        let Role::HeldBack { request, number } = &connection.role else {
            return Ok(());
        };
        let (request, number) = (request.clone(), *number);
        self.start_stream(place, connection, &request, number)
    }

    fn start_stream(
        &mut self,
        place: usize,
        connection: &mut Connection,
        request: &Request,
        number: u32,
    ) -> io::Result<()> {
        let topic = request.path.trim_start_matches("/events/").to_owned();
        let id = request.last_event_id.as_deref();
        let id = id.or_else(|| request.parameter("last_event_id")).unwrap_or_default();
        let history = self.topics.history(&topic);
        let resume = history.resume(Start::from_id(id, &self.writer.epoch));
        let replay: Vec<_> = history.behind(resume.after).cloned().collect();
        let framing = self.writer.framing_for(request.http_minor);
        self.writer.head(request.http_minor, &mut connection.output);
        let prime = resume.hole.is_none().then_some(resume.after);
        self.writer.opening(framing, self.options.retry, prime, &mut connection.output);
        let arrival = self.topics.subscribe(&topic, place);
        let mut tap = Tap::new(number, arrival);
        self.subscriptions += 1;
        self.journal.summary.subscriptions += 1;
        if let Some(hole) = resume.hole {
            let mut pieces = Vec::new();
            let injected = self.injector.resume(&mut tap, hole, resume.after, &mut pieces);
            connection.role = Role::Streaming { topic: topic.clone(), framing, tap };
            self.write_pieces(connection, &mut pieces);
            if let Some(injected) = injected {
                self.record(&topic, number, connection.peer, &injected)?;
            }
        } else {
            connection.role = Role::Streaming { topic, framing, tap };
        }
        for event in replay {
            self.deliver_to(connection, &event)?;
        }
        Ok(())
    }

    /// Takes what has arrived of a body; true when the publication is complete and answered.
    fn take_body(&mut self, connection: &mut Connection) -> io::Result<Result<bool, String>> {
        let Role::Publishing(publication) = &mut connection.role else {
            return Ok(Ok(true));
        };
        let Publication { request, body, .. } = publication;
        let done = match request.body.take(&mut connection.input, body) {
            Ok(done) => done,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let accepted = if request.content_type == "application/x-ndjson" {
            self.take_lines(publication, done)?
        } else if done {
            self.take_whole(publication)?
        } else {
            Ok(())
        };
        if let Err(refusal) = accepted {
            return Ok(Err(refusal));
        }
        if publication.body.len() > BODY_BYTES_MAX {
            return Ok(Err(format!("body: over {BODY_BYTES_MAX} bytes")));
        }
        if done {
            let Publication { accepted, last_id, .. } = publication;
            let text = serde_json::json!({ "accepted": accepted, "id": last_id }).to_string();
            connection.role = Role::Idle;
            respond(connection, 200, "application/json", &text);
        }
        Ok(Ok(done))
    }

    fn take_lines(
        &mut self,
        publication: &mut Publication,
        done: bool,
    ) -> io::Result<Result<(), String>> {
        let body = std::mem::take(&mut publication.body);
        let mut rest = &body[..];
        loop {
            let end = memchr::memchr(b'\n', rest);
            if end.is_none() && (!done || rest.is_empty()) {
                break;
            }
            let line = &rest[..end.unwrap_or(rest.len())];
            rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Item>(line) {
                Ok(item) => self.take_item(publication, item)?,
                Err(error) => {
                    let line = publication.accepted + 1;
                    return Ok(Err(format!("event {line} of the body: {error}")));
                }
            }
        }
        publication.body = rest.to_vec();
        Ok(Ok(()))
    }

    fn take_whole(&mut self, publication: &mut Publication) -> io::Result<Result<(), String>> {
        let body = std::mem::take(&mut publication.body);
        if let Some(topic) = publication.request.path.strip_prefix("/events/") {
            let name = publication.request.parameter("event").map(str::to_owned);
            publication.last_id = Some(self.publish(topic, name, body)?);
            publication.accepted = 1;
            return Ok(Ok(()));
        }
        let items = match body.trim_ascii_start().first() {
            Some(b'[') => serde_json::from_slice::<Vec<Item>>(&body),
            _ => serde_json::from_slice::<Item>(&body).map(|item| vec![item]),
        };
        match items {
            Err(error) => return Ok(Err(format!("body: {error}"))),
            Ok(items) => {
                for item in items {
                    self.take_item(publication, item)?;
                }
            }
        }
        Ok(Ok(()))
    }

    fn take_item(&mut self, publication: &mut Publication, item: Item) -> io::Result<()> {
        let id = self.publish(&item.topic, item.event, item.data.into_bytes())?;
        publication.accepted += 1;
        publication.last_id = Some(id);
        Ok(())
    }
}

fn answer(connection: &mut Connection, status: u16, detail: &str) {
    let text = serde_json::json!({ "status": status, "detail": detail }).to_string();
    respond(connection, status, "application/problem+json", &text);
}

fn respond(connection: &mut Connection, status: u16, content_type: &str, text: &str) {
    let reason = match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "As Scripted",
    };
    // These two must not have a body (RFC 9110, sections 15.3.5 and 15.4.5).
    let text = if matches!(status, 204 | 304) { "" } else { text };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    );
    connection.output.extend_from_slice(head.as_bytes());
}
