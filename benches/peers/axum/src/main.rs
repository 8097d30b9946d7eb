//! Peer: fan-out in axum as its documentation teaches it, tuned where that costs nothing.
//!
//! One tokio broadcast channel per topic, one `Sse` response per subscriber. An event is formatted
//! once and its buffer cloned per subscriber, which is cheaper than formatting it each time. A
//! subscriber that lags more than the channel holds loses events unsaid: that is the idiom.
//! Routes: `GET /events/{topic}`, `POST /events/{topic}`, and JSON lines on `POST /events`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use clap::Parser;
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio::net::TcpSocket;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events a topic's channel holds for its slowest subscriber.
const CHANNEL_EVENT_COUNT: usize = 4_096;
const BACKLOG_COUNT: u32 = 65_535;

#[derive(Parser)]
struct Args {
    #[arg(long)]
    port: u16,
    /// Threads of the runtime; 1 is tokio's current-thread scheduler, the faster one on one CPU.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

#[derive(Clone, Default)]
struct Topics(Arc<Mutex<HashMap<String, broadcast::Sender<Event>>>>);

#[derive(Deserialize)]
struct Line {
    topic: String,
    data: String,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let runtime = match args.threads {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        threads => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()?,
    };
    runtime.block_on(serve(args.port))
}

async fn serve(port: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let listener = socket.listen(BACKLOG_COUNT)?.tap_io(|stream| {
        // Without it the second small event waits for a delayed acknowledgement.
        stream.set_nodelay(true).expect("a fresh socket takes the option");
    });
    let router = Router::new()
        .route("/events/{topic}", get(subscribe).post(publish))
        .route("/events", post(publish_lines))
        .with_state(Topics::default());
    axum::serve(listener, router).await
}

impl Topics {
    fn channel(&self, topic: &str) -> broadcast::Sender<Event> {
        let mut topics = self.0.lock().expect("no holder of the lock panics");
        if let Some(channel) = topics.get(topic) {
            return channel.clone();
        }
        topics.entry(topic.to_owned()).or_insert(broadcast::channel(CHANNEL_EVENT_COUNT).0).clone()
    }

    fn send(&self, topic: &str, data: &str) {
        // An error says that nobody listens, which is no error here.
        let _ = self.channel(topic).send(Event::default().data(data));
    }
}

async fn subscribe(
    State(topics): State<Topics>,
    Path(topic): Path<String>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = BroadcastStream::new(topics.channel(&topic).subscribe());
    Sse::new(events.filter_map(async |event| event.ok().map(Ok)))
}

async fn publish(
    State(topics): State<Topics>,
    Path(topic): Path<String>,
    data: String,
) -> &'static str {
    topics.send(&topic, &data);
    "{}"
}

async fn publish_lines(
    State(topics): State<Topics>,
    body: Body,
) -> Result<&'static str, StatusCode> {
    let mut unfinished = Vec::new();
    // The last line may come without its line break.
    let end = stream::iter([Ok(Bytes::from_static(b"\n"))]);
    let mut chunks = body.into_data_stream().chain(end);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
        unfinished.extend_from_slice(&chunk);
        let Some(end) = unfinished.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        for line in unfinished[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(|_| StatusCode::BAD_REQUEST)?;
            topics.send(&line.topic, &line.data);
        }
        unfinished.drain(..=end);
    }
    Ok("{}")
}
