//! Points about streams that come and go: noticed at once, leaving nothing behind, all at a time.

use std::time::{Duration, Instant};

use super::inside::{holds_within, server_end_is_open};
use super::point::{Broken, Checked, Level, Point};
use super::resume;
use super::site::{Site, Target};
use super::stream::Stream;
use crate::run::procfs::Machine;

/// Streams that come and go before the server is asked again.
const CHURN_COUNT: usize = 500;

/// Rounds of them: memory that grows in each is not given back.
const ROUNDS_COUNT: usize = 4;

/// Memory that a stream that is over may seem to cost: allocators keep some of what they had.
const LEFT_BYTES_MAX: u64 = 4 * 1024;

/// Streams whose end has to be noticed.
const GONE_COUNT: usize = 16;

/// Streams of a storm: one half of them is cut off and comes back.
const STORM_COUNT: usize = 100;

/// Threads that come back at the same time.
const THREADS_COUNT: usize = 10;

/// How long a stream is left to say what it says at its beginning.
const GREETING_TIME: Duration = Duration::from_millis(100);

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "L1a",
        level: Level::Should,
        rule: "a client that leaves is noticed at once",
        source: "RFC 9293 3.6; RFC 9112 9.6",
        check: end_is_noticed,
    },
    Point {
        id: "L1b",
        level: Level::Should,
        rule: "a client whose connection is reset is noticed at once",
        source: "RFC 9293 3.5.3",
        check: reset_is_noticed,
    },
    Point {
        id: "L3a",
        level: Level::Should,
        rule: "streams that come and go leave the server able to answer",
        source: "WHATWG HTML 9.2.3: clients come back",
        check: churn,
    },
    Point {
        id: "L3b",
        level: Level::Should,
        rule: "streams that came and went leave no descriptors and no memory behind",
        source: "WHATWG HTML 9.2.3: clients come back",
        check: leak,
    },
    Point {
        id: "L5",
        level: Level::Should,
        rule: "clients that come back all at once are let in, and nobody else is cut off",
        source: "WHATWG HTML 9.2.3: EventSource has no jitter of its own",
        check: storm,
    },
];

/// The kernel holds the server's end until its process has closed it; it is looked for there,
/// because nothing else tells from outside.
fn end_is_noticed(site: &Site) -> Checked {
    let mut stream = site.open(site.topic())?;
    let client = stream.probe.local_address()?;
    let server = site.url.address;
    if !server_end_is_open(server, client) {
        return Err(Broken::absent("the server's sockets, which are not on this machine"));
    }
    // What is unread when a socket is closed would make a reset of the end.
    stream.until(GREETING_TIME, |_| false)?;
    let start = Instant::now();
    drop(stream);
    match holds_within(site.prompt, || !server_end_is_open(server, client)) {
        true => Ok(format!("after {} ms", start.elapsed().as_millis())),
        false => Err(Broken::fails(format!(
            "{} s after the client has left, its connection is still held",
            site.prompt.as_secs_f64()
        ))),
    }
}

/// A reset leaves no socket in the kernel; only the server knows what it still holds for it.
fn reset_is_noticed(site: &Site) -> Checked {
    let count = || site.hooks.open_count(site.patience);
    count()?;
    // Streams of the points before, and what stood between them and the server, are going yet.
    std::thread::sleep(site.prompt);
    let before = count()?;
    let topic = site.topic();
    let streams = (0..GONE_COUNT).map(|_| site.open(topic)).collect::<Result<Vec<_>, _>>()?;
    let wanted = before + GONE_COUNT as u64;
    if !holds_within(site.prompt, || count().is_ok_and(|now| now >= wanted)) {
        return Err(Broken::absent(
            "a figure that counts streams: --gauge or --pid do not show them",
        ));
    }
    streams.into_iter().for_each(|stream| stream.probe.reset());
    match holds_within(site.prompt, || count().is_ok_and(|now| now <= before)) {
        true => Ok(format!("{GONE_COUNT} streams")),
        false => {
            let held = count()?.saturating_sub(before);
            Err(Broken::fails(format!(
                "{held} of {GONE_COUNT} streams that were reset are still held"
            )))
        }
    }
}

/// Half of them leave in order, half in the middle of what they are sent.
fn come_and_go(site: &Site, topic: u32) -> Result<(), Broken> {
    let asked = site.ask(topic);
    for number in 0..CHURN_COUNT {
        let stream = Stream::open_at(site.door(), &asked)?;
        if number % 2 == 0 {
            stream.probe.end_sending();
        }
    }
    Ok(())
}

fn churn(site: &Site) -> Checked {
    let topic = site.topic();
    come_and_go(site, topic)?;
    let stream = Stream::open(site, &site.ask(topic))?;
    if stream.answer.took > site.prompt {
        let took = stream.answer.took.as_millis();
        return Err(stream.broken(format!("behind {CHURN_COUNT} streams a head takes {took} ms")));
    }
    Ok(format!("{CHURN_COUNT} streams"))
}

/// What grows once may be a pool; what grows in every round is a leak.
fn leak(site: &Site) -> Checked {
    site.hooks.usage()?;
    let topic = site.topic();
    come_and_go(site, topic)?;
    let mut looks = Vec::new();
    for _ in 0..=ROUNDS_COUNT {
        // Sockets that are being closed are not left behind.
        std::thread::sleep(GREETING_TIME);
        looks.push(site.hooks.usage()?);
        come_and_go(site, topic)?;
    }
    let least = |figure: fn(&[crate::run::procfs::Usage]) -> Option<u64>| {
        looks.windows(2).filter_map(figure).min()
    };
    let fds = least(|pair| Some(pair[1].fds?.saturating_sub(pair[0].fds?)));
    let memory = least(|pair| Some(pair[1].pss_bytes?.saturating_sub(pair[0].pss_bytes?)));
    let fds = fds.ok_or_else(|| Broken::absent("the descriptors of --pid cannot be read"))?;
    let each = memory.unwrap_or(0) / CHURN_COUNT as u64;
    let seen =
        format!("{fds} descriptors and {each} B a stream more after every {CHURN_COUNT} streams");
    if fds > 0 || each > LEFT_BYTES_MAX { Err(Broken::fails(seen)) } else { Ok(seen) }
}

/// Half of the streams are reset at a stroke and come back at once, while events are published.
fn storm(site: &Site) -> Checked {
    let topic = site.topic();
    let (witness, ids) = resume::ids(site, topic, 1)?;
    let mut streams = (0..STORM_COUNT).map(|_| site.open(topic)).collect::<Result<Vec<_>, _>>()?;
    let machine = Machine::look();
    streams.drain(STORM_COUNT / 2..).for_each(|stream| stream.probe.reset());
    site.accepted(topic, b"while they are away")?;
    let id = resume::as_text(&ids[0])?;
    let asked = site.ask(topic).field(format!("Last-Event-ID: {id}"));
    let start = Instant::now();
    let back = come_back(site.door(), &asked, STORM_COUNT / 2)?;
    let took = start.elapsed();
    streams.extend(back);
    // Who was cut off for them shows it by missing what comes a moment later.
    std::thread::sleep(GREETING_TIME);
    site.accepted(topic, b"when all are back")?;
    streams.push(witness);
    for stream in &mut streams {
        for due in ["while they are away", "when all are back"] {
            let event = stream.event()?;
            if memchr::memmem::find(&event.data, due.as_bytes()).is_none() {
                let data = event.data.escape_ascii();
                return Err(stream.broken(format!("\"{data}\" came where \"{due}\" was due")));
            }
        }
    }
    let overflows = Machine::look().net_since(&machine, "ListenOverflows").unwrap_or(0);
    let half = STORM_COUNT / 2;
    Ok(format!("{half} back within {} ms, {overflows} refused by a full queue", took.as_millis()))
}

fn come_back(
    door: Target,
    asked: &super::asked::Asked,
    count: usize,
) -> Result<Vec<Stream>, Broken> {
    std::thread::scope(|scope| {
        let open = move || {
            let each = count / THREADS_COUNT;
            (0..each).map(|_| Stream::open_at(door, asked)).collect::<Result<Vec<_>, _>>()
        };
        let threads: Vec<_> = (0..THREADS_COUNT).map(|_| scope.spawn(open)).collect();
        let mut back = Vec::new();
        for thread in threads {
            back.extend(thread.join().expect("opening a stream does not panic")?);
        }
        Ok(back)
    })
}
