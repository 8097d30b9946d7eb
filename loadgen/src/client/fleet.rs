//! All subscribers of a run: the threads that hold them, and what comes of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::course::{Course, Gauges};
use super::deal::Deal;
use super::life::Life;
use super::reader::{Reader, Report};
use super::record::Outcome;
use super::socket::Setup;
use super::source::Sources;
use crate::clock;
use crate::profile::Tokens;
use crate::topics::Topics;

/// What one thread is given.
#[derive(Debug, Clone)]
pub(crate) struct Pack {
    /// Its place among the threads.
    pub(crate) thread: usize,
    /// The number of the first subscriber of this machine, among those of all.
    pub(crate) first: u32,
    /// Which subscribers are its own.
    pub(crate) deal: Deal,
    /// Sockets of one ring: the limit on descriptors is the limit of its table.
    pub(crate) slots_max: usize,
    pub(crate) targets: Vec<SocketAddr>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) setup: Setup,
    pub(crate) request: Arc<Request>,
    pub(crate) topics: Topics,
    /// Connects per second of all threads together; `None` = as fast as they succeed.
    pub(crate) connect_rate: Option<f64>,
    pub(crate) connect_timeout_ns: u64,
    /// Whether failed connects are tried again.
    pub(crate) retry: bool,
    /// How long a wait may gather arrivals; only where the kernel stamps them.
    pub(crate) gather_ns: u64,
    /// Data of an event, at most, as far as that is known: what receive buffers are made for.
    pub(crate) event_bytes: usize,
    /// One subscriber of this thread is closed and started anew every so often.
    pub(crate) churn_every_ns: Option<u64>,
    /// How long each subscriber stays before it leaves and comes anew.
    pub(crate) life: Option<Life>,
    /// Subscribers that read slowly.
    pub(crate) slow: Option<Slow>,
    pub(crate) seed: u64,
}

impl Pack {
    /// Subscribers of this thread.
    pub(crate) fn count(&self) -> usize {
        self.deal.count(self.thread)
    }

    /// Whether its subscribers are the probes.
    pub(crate) fn is_probing(&self) -> bool {
        self.deal.is_probing(self.thread)
    }

    /// The topic of a subscriber, by its place in the connect order.
    pub(crate) fn topic(&self, order: usize) -> u32 {
        self.topics.of(self.first as usize + order)
    }

    /// Whether a subscriber, by its place in the connect order, reads slowly. Slow ones are
    /// spread evenly over the order.
    pub(crate) fn is_slow(&self, order: usize) -> bool {
        self.slow.is_some_and(|slow| {
            let before = |order: usize| order * slow.count / slow.of;
            before(order + 1) > before(order)
        })
    }
}

/// Subscribers that read slowly or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slow {
    /// So many ...
    pub(crate) count: usize,
    /// ... of so many subscribers.
    pub(crate) of: usize,
    /// What it reads; 0 = nothing.
    pub(crate) bytes_per_second: u64,
}

/// The request that opens a stream, but for the topic and the subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) parts: Vec<Part>,
    /// What topic names begin with; the number follows if there are several.
    pub(crate) topic: TopicName,
    /// What subscribers show to be let in; there where a part is a token.
    pub(crate) tokens: Option<Tokens>,
}

/// A part of a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(Vec<u8>),
    /// The name of the topic.
    Topic,
    /// The subscriber's place in the connect order, from 0.
    Subscriber,
    /// The subscriber's token.
    Token,
}

impl Request {
    /// Writes the request of a subscriber, by its place in the connect order, for a topic.
    pub(crate) fn write(&self, topic: u32, subscriber: u32, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Topic => self.topic.write(topic, out),
                Part::Subscriber => out.extend_from_slice(subscriber.to_string().as_bytes()),
                Part::Token => {
                    let tokens = self.tokens.as_ref().expect("made with tokens");
                    out.extend_from_slice(tokens.of(subscriber).as_bytes());
                }
            }
        }
    }
}

/// How topics are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicName {
    pub(crate) name: String,
    /// Whether the topic's number is part of its name.
    pub(crate) numbered: bool,
}

impl TopicName {
    /// Writes a topic's name.
    pub(crate) fn write(&self, topic: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        if self.numbered {
            out.push(b'-');
            out.extend_from_slice(topic.to_string().as_bytes());
        }
    }
}

/// The running fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    threads: Vec<JoinHandle<Outcome>>,
    /// One for each thread.
    pub(crate) gauges: Vec<Arc<Gauges>>,
    /// The intervals of all threads as they end.
    pub(crate) reports: Receiver<Report>,
}

impl Fleet {
    /// Starts the threads. `cpus` pins thread `n` to the `n`-th of them, in turn.
    ///
    /// # Errors
    ///
    /// If a thread could not set up its rings.
    pub(crate) fn start(
        course: &Arc<Course>,
        packs: Vec<Pack>,
        cpus: &[usize],
    ) -> Result<Fleet, String> {
        let (send, reports) = crossbeam_channel::unbounded();
        let (ready, up) = crossbeam_channel::unbounded();
        let mut threads = Vec::new();
        let mut gauges = Vec::new();
        let count = packs.len();
        for pack in packs {
            let shown = Arc::new(Gauges::default());
            gauges.push(shown.clone());
            let cpu = (!cpus.is_empty()).then(|| cpus[pack.thread % cpus.len()]);
            let (course, send, ready) = (course.clone(), send.clone(), ready.clone());
            let thread = std::thread::Builder::new()
                .name(format!("reader-{}", pack.thread))
                .spawn(move || read(course, pack, shown, cpu, &send, &ready))
                .map_err(|error| format!("cannot start a thread: {error}"))?;
            threads.push(thread);
        }
        let failures: Vec<String> = up.iter().take(count).filter_map(Result::err).collect();
        match failures.first() {
            None => Ok(Fleet { threads, gauges, reports }),
            Some(failure) => {
                course.stop();
                Err(failure.clone())
            }
        }
    }

    /// The sum of a gauge over all threads.
    pub(crate) fn sum(&self, gauge: impl Fn(&Gauges) -> &std::sync::atomic::AtomicU64) -> u64 {
        let one = |gauges: &Arc<Gauges>| gauge(gauges).load(std::sync::atomic::Ordering::Relaxed);
        self.gauges.iter().map(one).sum()
    }

    /// Waits for the threads to end (the course must have been stopped) and gives what each had,
    /// in order.
    ///
    /// # Panics
    ///
    /// If a thread panicked: its figures are gone.
    pub(crate) fn finish(self) -> Vec<Outcome> {
        let join = |thread: JoinHandle<Outcome>| thread.join().expect("a reading thread panicked");
        self.threads.into_iter().map(join).collect()
    }
}

fn read(
    course: Arc<Course>,
    pack: Pack,
    gauges: Arc<Gauges>,
    cpu: Option<usize>,
    reports: &Sender<Report>,
    ready: &Sender<Result<(), String>>,
) -> Outcome {
    clock::sharpen_timers();
    let pinned = cpu.map_or(Ok(()), |cpu| {
        clock::pin(cpu).map_err(|error| format!("--cpus: processor {cpu}: {error}"))
    });
    match pinned.and_then(|()| Reader::new(course, pack, gauges)) {
        Ok(reader) => {
            let _ = ready.send(Ok(()));
            reader.run(reports)
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            Outcome::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_topic_and_its_subscriber_wherever_the_profile_says() {
        let topic = TopicName { name: "load".to_owned(), numbered: true };
        let text = |text: &[u8]| Part::Text(text.to_vec());
        let parts = vec![text(b"a/"), Part::Topic, text(b"?"), Part::Subscriber, text(b"!")];
        let request = Request { parts, topic, tokens: None };
        let mut out = Vec::new();
        request.write(12, 7, &mut out);
        assert_eq!(out, b"a/load-12?7!");
    }
}
