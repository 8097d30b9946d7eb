//! The delivery lane under any order of operations: what every client reads is complete, or says
//! where it is not, at that moment and not only in the end.

#![no_main]

use downpour::fuzzing::Rig;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const TOPICS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 7;

#[derive(Debug, Arbitrary)]
struct Play {
    kept: u8,
    pins_little: bool,
    disconnects: bool,
    operations: Vec<Operation>,
}

#[derive(Debug, Arbitrary)]
enum Operation {
    Publish {
        topic: u8,
        bytes: u8,
    },
    /// Connects a client that is away; the highest room is endless.
    Connect {
        client: u8,
        room: u8,
    },
    Room {
        client: u8,
        bytes: u8,
    },
    End {
        client: u8,
        told: bool,
    },
    Turn,
}

/// A client over all its connections.
#[derive(Debug)]
struct Client {
    topics: Vec<String>,
    connection: Option<usize>,
    /// True while its socket takes everything: the engine must not lap it.
    is_attentive: bool,
    /// What has come of a block that is not whole yet.
    piece: String,
    last_id: Option<u64>,
    /// Complete up to here, by events and gaps.
    through: u64,
    /// Up to where it was told that events are lost.
    told: u64,
}

struct World {
    rig: Rig,
    clients: Vec<Client>,
    /// Topic of every event, by sequence less one.
    all: Vec<usize>,
    kept: usize,
}

fuzz_target!(|play: Play| {
    let kept = usize::from(play.kept % 8) + 1;
    let pinned_bytes_max = if play.pins_little { 300 } else { usize::MAX };
    let rig = Rig::new(kept, pinned_bytes_max, play.disconnects);
    let mut world = World { rig, clients: clients(), all: Vec::new(), kept };
    for operation in play.operations.iter().take(2_000) {
        world.perform(operation);
        world.read();
        world.rig.check();
    }
    world.finish();
});

/// One for each set of topics.
fn clients() -> Vec<Client> {
    let topics = |set: usize| (0..TOPICS.len()).filter(move |topic| set >> topic & 1 == 1);
    let client = |set| Client {
        topics: topics(set).map(|topic| TOPICS[topic].to_owned()).collect(),
        connection: None,
        is_attentive: false,
        piece: String::new(),
        last_id: None,
        through: 0,
        told: 0,
    };
    (1..=CLIENTS).map(client).collect()
}

impl World {
    fn perform(&mut self, operation: &Operation) {
        let index = |client: u8| usize::from(client) % CLIENTS;
        match *operation {
            Operation::Publish { topic, bytes } => self.publish(topic, bytes),
            Operation::Connect { client, room } => self.connect(index(client), room),
            Operation::Room { client, bytes } => {
                if let Some(connection) = self.clients[index(client)].connection {
                    self.rig.give_room(connection, usize::from(bytes) * 4);
                }
            }
            Operation::End { client, told } => {
                if let Some(connection) = self.clients[index(client)].connection {
                    self.rig.end(connection, told);
                }
            }
            Operation::Turn => _ = self.rig.turn(),
        }
    }

    fn publish(&mut self, topic: u8, bytes: u8) {
        let topic = usize::from(topic) % TOPICS.len();
        let data = "x".repeat(usize::from(bytes));
        let mut taken = self.rig.publish(TOPICS[topic], &data);
        while !taken {
            let more = self.rig.turn();
            self.read();
            taken = self.rig.publish(TOPICS[topic], &data);
            assert!(taken || more, "an event waits only while there is something to send");
        }
        self.all.push(topic);
    }

    fn connect(&mut self, index: usize, room: u8) {
        let client = &mut self.clients[index];
        if client.connection.is_some() {
            return;
        }
        let id = client.last_id.map(|sequence| format!("000000000abc-{sequence}"));
        let room = if room == u8::MAX { usize::MAX } else { usize::from(room) * 4 };
        let subscribed = self.rig.subscribe(&client.topics, id.as_deref(), room);
        // Connections that have broken silently keep their places until something is sent.
        let Some((connection, start)) = subscribed else { return };
        client.connection = Some(connection);
        client.is_attentive = room == usize::MAX;
        if client.last_id.is_none() {
            (client.last_id, client.through) = (Some(start), start);
        }
    }

    /// All clients read what has come.
    fn read(&mut self) {
        for index in 0..CLIENTS {
            let Some(connection) = self.clients[index].connection else { continue };
            let bytes = self.rig.take(connection);
            let text = std::str::from_utf8(&bytes).expect("the engine and its clients write ASCII");
            self.clients[index].piece.push_str(text);
            while let Some(end) = self.clients[index].piece.find("\n\n") {
                let block: String = self.clients[index].piece.drain(..end + 2).collect();
                self.block(index, &block[..end]);
            }
            if !self.rig.is_open(connection) {
                self.clients[index].connection = None;
                self.clients[index].piece.clear();
            }
        }
    }

    fn block(&mut self, index: usize, block: &str) {
        let field = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(other, _)| *other == name).map(|(_, value)| value)
        };
        if block == ":" || field("retry").is_some() {
            return;
        }
        let sequence = sequence(field("id").expect("events have ids"));
        let data = field("data").expect("events have data, be it none");
        if field("event") == Some("gap") {
            self.gap(index, sequence, data);
        } else {
            assert!(data.bytes().all(|byte| byte == b'x'), "torn: {block}");
            self.event(index, sequence);
        }
        let client = &mut self.clients[index];
        client.through = sequence;
        client.last_id = Some(sequence);
    }

    /// Sequences that a client wants.
    fn wanted(&self, index: usize, mut sequences: std::ops::Range<u64>) -> Vec<u64> {
        sequences.end = sequences.end.min(self.all.len() as u64 + 1);
        let topics = &self.clients[index].topics;
        let topic = |sequence: &u64| TOPICS[self.all[*sequence as usize - 1]];
        sequences.filter(|sequence| topics.iter().any(|name| name == topic(sequence))).collect()
    }

    /// True when the history has moved past an event.
    fn is_lost(&self, sequence: u64) -> bool {
        let topic = self.all[sequence as usize - 1];
        let newer = self.all[sequence as usize..].iter().filter(|other| **other == topic);
        newer.count() >= self.kept
    }

    /// What is kept is never skipped, what was lost was told before.
    fn event(&self, index: usize, sequence: u64) {
        let client = &self.clients[index];
        assert!(sequence > client.through, "{sequence} again or out of order");
        assert_eq!(self.wanted(index, sequence..sequence + 1), [sequence], "of another topic");
        for skipped in self.wanted(index, client.through + 1..sequence) {
            assert!(self.is_lost(skipped), "{skipped} is kept and was skipped");
            assert!(skipped <= client.told, "{skipped} was lost silently");
        }
    }

    /// A gap says what is lost, and its id passes over nothing that is kept.
    fn gap(&mut self, index: usize, sequence: u64, data: &str) {
        let member = |name: &str| {
            let (_, rest) = data.split_once(&format!("\"{name}\":")).expect("a gap has it");
            rest.split([',', '}']).next().expect("a value").trim_matches('"')
        };
        let lost = self::sequence(member("lost_through"));
        let client = &self.clients[index];
        assert!(sequence >= client.through && lost > client.through, "told twice: {data}");
        assert!(self.is_lost(lost), "{lost} is kept: {data}");
        for passed in self.wanted(index, client.through + 1..sequence + 1) {
            assert!(self.is_lost(passed), "{passed} is kept and the gap passes over it");
        }
        let missing = self.wanted(index, client.through + 1..lost + 1).len();
        let said = member("missing");
        assert!(
            said == "null" || said.parse::<usize>().is_ok_and(|said| said <= missing),
            "{data}"
        );
        match member("reason") {
            "lapped" => assert!(!client.is_attentive, "an attentive client was lapped: {data}"),
            reason => assert_eq!(reason, "evicted", "its ids can be placed"),
        }
        self.clients[index].told = lost.max(self.clients[index].told);
    }

    /// Everybody who is there reads to the end and has everything.
    fn finish(mut self) {
        for index in 0..CLIENTS {
            if let Some(connection) = self.clients[index].connection {
                self.rig.give_room(connection, usize::MAX);
            }
        }
        while self.rig.turn() {
            self.read();
        }
        self.read();
        self.rig.check();
        for index in 0..CLIENTS {
            let client = &self.clients[index];
            if client.connection.is_some() {
                let missing = self.wanted(index, client.through + 1..u64::MAX);
                assert!(missing.iter().all(|sequence| *sequence <= client.told), "{missing:?}");
            }
        }
        while !self.rig.drain() {
            self.rig.check();
        }
        self.rig.check();
    }
}

fn sequence(id: &str) -> u64 {
    let (epoch, sequence) = id.split_once('-').expect("an id of the engine");
    assert_eq!(epoch, "000000000abc");
    sequence.parse().expect("a number")
}
