//! One subscriber: its connections one after the other, and everything it got on each.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::agenda::{Cut, cuts};
use crate::harness::sse::{Reader, sequence};
use crate::harness::wire::request;
use crate::{TOPICS, name};

/// What one subscriber gets on one connection.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The sequence it came back with; none on its first visits.
    pub(crate) came_with: Option<u64>,
    /// The sequence of the priming id; none when it was cut off before that.
    pub(crate) primed: Option<u64>,
    pub(crate) items: Vec<Item>,
}

/// One thing that a visit brought.
#[derive(Debug)]
pub(crate) enum Item {
    Event {
        sequence: u64,
        data: String,
    },
    /// With the number of events that had been submitted to each topic when it arrived.
    Gap {
        sequence: u64,
        lost_through: u64,
        submitted: Box<[usize; TOPICS]>,
    },
}

impl Item {
    pub(crate) fn sequence(&self) -> u64 {
        match self {
            Item::Event { sequence, .. } | Item::Gap { sequence, .. } => *sequence,
        }
    }
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Subscriber {
    /// Sorted, none twice.
    pub(crate) topics: Vec<usize>,
    pub(crate) cuts: VecDeque<Cut>,
    pub(crate) visits: Vec<Visit>,
    pub(crate) link: Option<Link>,
    /// The id of the last whole event, gap or greeting.
    last_event_id: String,
    /// The sequence of that id.
    pub(crate) position: Option<u64>,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    /// What has arrived and is not yet a whole block.
    text: Vec<u8>,
    head_read: bool,
    reader: Reader,
}

impl Subscriber {
    /// A subscriber of one topic, or of some.
    pub(crate) fn new(random: &mut fastrand::Rng) -> Subscriber {
        let count = if random.bool() { 1 } else { random.usize(2..=6) };
        let mut topics: Vec<usize> = (0..count).map(|_| random.usize(0..TOPICS)).collect();
        topics.sort_unstable();
        topics.dedup();
        Subscriber { topics, cuts: cuts(random), ..Subscriber::of_one_topic(0) }
    }

    /// A subscriber that is never cut off.
    pub(crate) fn of_one_topic(topic: usize) -> Subscriber {
        Subscriber {
            topics: vec![topic],
            cuts: VecDeque::new(),
            visits: Vec::new(),
            link: None,
            last_event_id: String::new(),
            position: None,
        }
    }

    /// Comes, or comes back with the id of the last whole event it has seen.
    pub(crate) fn connect(&mut self, address: SocketAddr) -> &TcpStream {
        let mut stream = TcpStream::connect(address).expect("the engine takes connections");
        let header = format!("Last-Event-ID: {}", self.last_event_id);
        let headers: &[&str] = if self.last_event_id.is_empty() { &[] } else { &[&header] };
        let request = request("GET", &self.target(), headers, b"");
        stream.write_all(&request).expect("a fresh connection takes a request");
        stream.set_nonblocking(true).expect("a TCP socket");
        self.visits.push(Visit { came_with: self.position, primed: None, items: Vec::new() });
        let (text, reader) = (Vec::new(), Reader::default());
        &self.link.insert(Link { stream, text, head_read: false, reader }).stream
    }

    fn target(&self) -> String {
        if let [topic] = self.topics[..] {
            return format!("/events/{}", name(topic));
        }
        let topics: Vec<String> =
            self.topics.iter().map(|topic| format!("topic={}", name(*topic))).collect();
        format!("/events?{}", topics.join("&"))
    }

    /// Takes in what has arrived, `bytes_max` at most.
    ///
    /// # Errors
    /// When the engine has ended the stream, which it has no reason to.
    pub(crate) fn hear(
        &mut self,
        bytes_max: usize,
        submitted: &[usize; TOPICS],
    ) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let mut piece = [0; 64 << 10];
        let room = bytes_max.min(piece.len());
        match link.stream.read(&mut piece[..room]) {
            Ok(0) => return Err(format!("the engine closed the stream of {self:#?}")),
            Ok(count) => link.text.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(format!("{error}: {self:#?}")),
        }
        if self.take_head() {
            while let Some(block) = self.take_block() {
                self.read(&block, submitted);
            }
        }
        Ok(())
    }

    /// Takes the head off what has arrived; true when it was or is taken.
    fn take_head(&mut self) -> bool {
        let link = self.link.as_mut().expect("it hears");
        if !link.head_read
            && let Some(at) = memchr::memmem::find(&link.text, b"\r\n\r\n")
        {
            assert!(link.text.starts_with(b"HTTP/1.1 200 "), "{}", link.text.escape_ascii());
            link.text.drain(..at + 4);
            link.head_read = true;
        }
        link.head_read
    }

    fn take_block(&mut self) -> Option<String> {
        let link = self.link.as_mut().expect("it hears");
        let at = memchr::memmem::find(&link.text, b"\n\n")?;
        let block: Vec<u8> = link.text.drain(..at + 2).take(at).collect();
        Some(String::from_utf8(block).expect("a stream is UTF-8"))
    }

    /// Writes down what a block says.
    fn read(&mut self, block: &str, submitted: &[usize; TOPICS]) {
        let link = self.link.as_mut().expect("it hears");
        let event = link.reader.block(block);
        if link.reader.last_event_id.is_empty() {
            return;
        }
        self.last_event_id.clone_from(&link.reader.last_event_id);
        let now_at = sequence(&self.last_event_id);
        self.position = Some(now_at);
        let visit = self.visits.last_mut().expect("it is on one");
        match event {
            None => {
                visit.primed.get_or_insert(now_at);
            }
            Some(event) if event.event == "gap" => {
                let gap = event.gap();
                assert_eq!(gap.reason, "evicted", "nobody here reads slowly");
                let (lost_through, submitted) = (sequence(&gap.lost_through), Box::new(*submitted));
                visit.items.push(Item::Gap { sequence: now_at, lost_through, submitted });
            }
            Some(event) => visit.items.push(Item::Event { sequence: now_at, data: event.data }),
        }
    }
}
