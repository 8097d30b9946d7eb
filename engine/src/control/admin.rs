//! The admin interface: metrics, health, and what is going on.
//!
//! A thread of its own, so that it answers while the workers are busy. It asks the workers by
//! commands and waits for two seconds at most; a worker that does not answer is named. It keeps a few
//! descriptors in reserve, so that it answers while connections hold all others.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use monoio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use serde::Serialize;

use super::accept::contained;
use super::command::{Command, WorkerHandle};
use super::crowd::Crowd;
use super::socket::Socket;
use super::{Room, metrics};
use crate::backend::Backend;
use crate::config::Config;
use crate::delivery::SubscriberView;
use crate::delivery::descriptor::descriptor;
use crate::delivery::survey::TopicsReport;
use crate::event::{Epoch, EventId};
use crate::http::cors::{Cors, is_own_host};
use crate::http::refusal::{Refusal, Status};
use crate::http::request::{self, BodyKind, Method, Parsed, Request};
use crate::http::response::{Connection, Content, Reply};
use crate::http::target::query_pairs;
use crate::limits::Limits;
use crate::stats::Stats;

const ALLOW: &str = "GET, HEAD";
/// A worker that has not turned its loop for so long hangs.
const HUNG_NS: u64 = 5_000_000_000;
/// How long the workers have to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often is looked for their answers.
const ANSWER_PAUSE: Duration = Duration::from_millis(1);
/// A request head has to arrive, and an answer to be taken, in this time.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Exchanges at a time; beyond them those make room whose peers say nothing.
const EXCHANGES_MAX: usize = 64;
/// Descriptors in reserve, each for one exchange.
const RESERVE: usize = 4;
/// How long is waited for a place or a descriptor before the next look.
const DESK_PAUSE: Duration = Duration::from_millis(20);
/// Rows of a listing, unless asked otherwise, and at most.
const ROWS: usize = 100;
const ROWS_MAX: usize = 10_000;

/// What the admin interface can see.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) config: Arc<Config>,
    pub(crate) backend: Backend,
    pub(crate) stats: Arc<Stats>,
    pub(crate) room: Arc<Room>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) handles: Vec<WorkerHandle>,
    pub(crate) epoch: Epoch,
}

impl Admin {
    pub(crate) fn is_draining(&self) -> bool {
        // Relaxed: a figure for people.
        self.stats.draining.load(Ordering::Relaxed)
    }
}

/// Serves for ever, on a runtime of its own.
///
/// # Panics
/// When the runtime's driver cannot watch the listener.
pub(crate) async fn serve(admin: Admin, listener: TcpListener) {
    let admin = Rc::new(admin);
    let desk = Rc::new(Desk::default());
    // It opens its file while there are descriptors.
    metrics::resident_bytes();
    let listener = TcpStream::from_std(OwnedFd::from(listener).into());
    let listener = listener.expect("the runtime's driver watches a listener");
    desk.refill();
    loop {
        if desk.exchanges.get() >= EXCHANGES_MAX {
            desk.crowd.thin(1, Instant::now());
            monoio::time::sleep(DESK_PAUSE).await;
            continue;
        }
        let _ = listener.readable(false).await;
        let accepted = rustix::net::accept_with(descriptor(&listener), SocketFlags::CLOEXEC);
        match accepted.map(Socket::new) {
            Ok(Ok(socket)) => {
                desk.exchanges.set(desk.exchanges.get() + 1);
                let (admin, desk) = (Rc::clone(&admin), Rc::clone(&desk));
                monoio::spawn(async move {
                    contained(desk.crowd.wait(exchange(admin, socket))).await;
                    desk.exchanges.set(desk.exchanges.get() - 1);
                    desk.refill();
                });
            }
            Err(Errno::AGAIN) => {}
            // The next try has the descriptor that is given up here.
            Err(Errno::MFILE | Errno::NFILE) if desk.reserve.borrow_mut().pop().is_some() => {}
            Ok(Err(_)) | Err(_) => monoio::time::sleep(DESK_PAUSE).await,
        }
    }
}

/// What the exchanges share.
#[derive(Debug, Default)]
struct Desk {
    exchanges: Cell<usize>,
    crowd: Crowd,
    /// Descriptors that nobody else can take.
    reserve: RefCell<Vec<File>>,
}

impl Desk {
    /// Takes descriptors into the reserve as far as there are any: at the start, and when an exchange
    /// has ended, so that what is given up for one is not taken back before it.
    fn refill(&self) {
        let mut reserve = self.reserve.borrow_mut();
        while reserve.len() < RESERVE {
            match File::open("/dev/null") {
                Ok(file) => reserve.push(file),
                Err(_) => return,
            }
        }
    }
}

/// Answers one request and closes.
async fn exchange(admin: Rc<Admin>, socket: Socket) {
    let deadline = Instant::now() + EXCHANGE_TIMEOUT;
    let mut buffer = Vec::new();
    let out = loop {
        match request::parse(&buffer, &request::Limits::default()) {
            Ok(Parsed::Complete { request, .. }) => break answer(&admin, &request).await,
            Ok(Parsed::Partial) => {}
            Err(refusal) => break refused(&refusal, Content::Sent),
        }
        match socket.read(&mut buffer, deadline).await {
            Ok(count) if count > 0 => {}
            _ => return,
        }
    };
    if socket.write(&out, Instant::now() + EXCHANGE_TIMEOUT).await.is_ok() {
        socket.linger(64 << 10, Instant::now() + Duration::from_secs(1)).await;
    }
}

fn reply(content: Content) -> Reply<'static> {
    const CORS: &Cors = &Cors::SameOrigin;
    Reply { connection: Connection::Close, content, cors: CORS, origin: None }
}

fn refused(refusal: &Refusal, content: Content) -> Vec<u8> {
    let mut out = Vec::new();
    reply(content).problem(refusal, &mut out);
    out
}

async fn answer(admin: &Admin, request: &Request<'_>) -> Vec<u8> {
    let content =
        if matches!(request.method, Method::Head) { Content::Omitted } else { Content::Sent };
    if !matches!(request.method, Method::Get | Method::Head) {
        return refused(&Refusal::method_not_allowed(ALLOW), content);
    }
    if request.body != BodyKind::None {
        return refused(&Refusal::bad("The admin interface takes no bodies."), content);
    }
    let own = |host: &str| is_own_host(host, &admin.config.admin_hosts);
    if !request.header("host").is_none_or(own) {
        let detail = "The admin interface answers under IP addresses, loopback names, names \
                      without a dot, and those of --admin-host.";
        return refused(&Refusal::new(Status::Forbidden, detail), content);
    }
    let mut out = Vec::new();
    match page(admin, request).await {
        Ok((kind, body)) => reply(content).ok(kind, body.as_bytes(), &mut out),
        Err(refusal) => reply(content).problem(&refusal, &mut out),
    }
    out
}

const JSON: &str = "application/json";

async fn page(admin: &Admin, request: &Request<'_>) -> Result<(&'static str, String), Refusal> {
    match request.path {
        "/metrics" => Ok(("text/plain; version=0.0.4; charset=utf-8", metrics::render(admin))),
        "/healthz" => health(admin).map(|body| (JSON, body)),
        "/readyz" => ready(admin).map(|body| (JSON, body)),
        path if is_hub_path(admin, path, "live") => health(admin).map(|body| (JSON, body)),
        path if is_hub_path(admin, path, "ready") => ready(admin).map(|body| (JSON, body)),
        "/topics" => topics(admin, request.query).await.map(|body| (JSON, body)),
        "/subscribers" => subscribers(admin, request.query).await.map(|body| (JSON, body)),
        _ => Err(Refusal::new(
            Status::NotFound,
            "The admin interface has /metrics, /healthz, /readyz, /topics and \
             /subscribers?top=lag.",
        )),
    }
}

/// Whether this is where the admin interface of Mercure's hub says how it is, of all hubs or of one.
fn is_hub_path(admin: &Admin, path: &str, what: &str) -> bool {
    let behind = path.strip_prefix("/mercure/health/").and_then(|rest| rest.strip_prefix(what));
    admin.config.mercure.is_some()
        && behind.is_some_and(|name| name.is_empty() || name.starts_with('/'))
}

/// Alive: every worker turns its loop.
fn health(admin: &Admin) -> Result<String, Refusal> {
    let now_ns = admin.stats.now_ns();
    let hung =
        |stats: &crate::stats::WorkerStats| now_ns.saturating_sub(stats.turned_at.get()) > HUNG_NS;
    match admin.stats.workers.iter().position(hung) {
        // A worker that has drained has ended and hangs no more.
        Some(worker) if !admin.is_draining() => {
            let detail = format!("Worker {worker} has not turned its loop for 5 s.");
            Err(Refusal::new(Status::ServiceUnavailable, detail))
        }
        _ => Ok("{\"status\":\"ok\"}".to_owned()),
    }
}

/// Ready: alive, and taking connections.
fn ready(admin: &Admin) -> Result<String, Refusal> {
    if admin.is_draining() {
        return Err(Refusal::new(Status::ServiceUnavailable, "The engine is draining."));
    }
    health(admin)
}

/// One topic in a listing.
#[derive(Serialize)]
struct TopicRow {
    name: String,
    /// Said only of topics of private events.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    private: bool,
    subscribers: usize,
    history_events: usize,
    history_bytes: usize,
    /// Id of the newest event that is kept.
    last_id: Option<String>,
}

async fn topics(admin: &Admin, query: Option<&str>) -> Result<String, Refusal> {
    let mut prefix = String::new();
    let mut count_max = ROWS;
    for pair in query_pairs(query) {
        let (name, value) = pair?;
        match name.as_ref() {
            "prefix" => prefix = value.into_owned(),
            "limit" => count_max = rows(&value)?,
            other => return Err(unknown(other, "prefix, limit")),
        }
    }
    let reports =
        gather(admin, |reply| Command::Topics { prefix: prefix.clone(), count_max, reply });
    let mut reports: Vec<TopicsReport> = reports.await?;
    let kept = reports.iter().map(|report| report.kept).max().unwrap_or(0);
    let unkept: HashSet<u64> =
        reports.iter_mut().flat_map(|report| report.unkept.drain(..).flatten()).collect();
    let mut rows = merged(admin, reports);
    rows.truncate(count_max);
    // A worker's own list may not reach down to what is high on another's, and has none of those
    // that listen through a selector.
    let names: Arc<[(String, bool)]> =
        rows.iter().map(|row| (row.name.clone(), row.private)).collect();
    let command = |reply| Command::TopicSubscribers { names: Arc::clone(&names), reply };
    let counts: Vec<Vec<usize>> = gather(admin, command).await?;
    for (index, row) in rows.iter_mut().enumerate() {
        row.subscribers = counts.iter().map(|counts| counts[index]).sum();
    }
    sort(&mut rows);
    let count = kept + unkept.len();
    Ok(serde_json::json!({ "count": count, "topics": rows }).to_string())
}

/// The rows of all workers, a topic once, those with most subscribers first.
fn merged(admin: &Admin, reports: Vec<TopicsReport>) -> Vec<TopicRow> {
    let mut rows: HashMap<(String, bool), TopicRow> = HashMap::new();
    for topic in reports.into_iter().flat_map(|report| report.topics) {
        let id = |sequence| EventId { epoch: admin.epoch, sequence }.to_string();
        let name = topic.name.0;
        let key = (name.clone(), topic.private);
        // Workers keep the same events and have subscribers of their own.
        let row = rows.entry(key).or_insert_with(|| TopicRow {
            name,
            private: topic.private,
            subscribers: 0,
            history_events: topic.events,
            history_bytes: topic.bytes,
            last_id: topic.newest.map(id),
        });
        row.subscribers += topic.subscribers;
    }
    let mut rows: Vec<TopicRow> = rows.into_values().collect();
    sort(&mut rows);
    rows
}

fn sort(rows: &mut [TopicRow]) {
    rows.sort_unstable_by(|a, b| {
        let by_name = || (&a.name, a.private).cmp(&(&b.name, b.private));
        b.subscribers.cmp(&a.subscribers).then_with(by_name)
    });
}

async fn subscribers(admin: &Admin, query: Option<&str>) -> Result<String, Refusal> {
    let mut count_max = ROWS;
    for pair in query_pairs(query) {
        let (name, value) = pair?;
        match (name.as_ref(), value.as_ref()) {
            ("top", "lag") => {}
            ("top", other) => {
                let detail = format!("`top` must be `lag`, not `{other}`.");
                return Err(Refusal::bad(detail));
            }
            ("limit", value) => count_max = rows(value)?,
            (other, _) => return Err(unknown(other, "top, limit")),
        }
    }
    let reports = gather(admin, |reply| Command::Subscribers { count_max, reply }).await?;
    let count: usize = reports.iter().map(|report| report.count).sum();
    let mut views: Vec<SubscriberView> =
        reports.into_iter().flat_map(|report| report.subscribers).collect();
    views.sort_unstable_by_key(|view| std::cmp::Reverse(view.lag));
    views.truncate(count_max);
    let row = |view: &SubscriberView| {
        serde_json::json!({
            "worker": view.worker,
            "slot": view.slot,
            "topics": view.topics,
            "last_id": EventId { epoch: admin.epoch, sequence: view.cursor }.to_string(),
            "lag": view.lag,
            "blocked": view.blocked,
            "quiet_seconds": view.quiet_ns as f64 / 1e9,
        })
    };
    let rows: Vec<_> = views.iter().map(row).collect();
    Ok(serde_json::json!({ "count": count, "subscribers": rows }).to_string())
}

fn rows(text: &str) -> Result<usize, Refusal> {
    let rows = text.parse().ok().filter(|rows| (1..=ROWS_MAX).contains(rows));
    rows.ok_or_else(|| Refusal::bad(format!("`limit` must be a number from 1 to {ROWS_MAX}.")))
}

fn unknown(name: &str, allowed: &str) -> Refusal {
    Refusal::bad(format!("`{name}` is not known here; allowed are: {allowed}."))
}

/// Asks every worker and waits for all answers.
async fn gather<T>(
    admin: &Admin,
    command: impl Fn(Sender<T>) -> Command,
) -> Result<Vec<T>, Refusal> {
    let (reply, answers) = crossbeam_channel::bounded(admin.handles.len());
    for handle in &admin.handles {
        handle.send(command(reply.clone()));
    }
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut all = Vec::new();
    loop {
        all.extend(answers.try_iter());
        if all.len() == admin.handles.len() {
            return Ok(all);
        }
        if Instant::now() >= deadline {
            let detail = format!("Only {} of {} workers answered.", all.len(), admin.handles.len());
            return Err(Refusal::new(Status::ServiceUnavailable, detail));
        }
        monoio::time::sleep(ANSWER_PAUSE).await;
    }
}
