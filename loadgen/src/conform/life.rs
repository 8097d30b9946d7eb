//! Points about streams that are open for long, and about many of them.

use std::time::{Duration, Instant};

use super::point::{Broken, Checked, Level, Point};
use super::site::{Site, Target};
use super::stream::Stream;

/// Streams that are open while another request is made.
const STREAMS_COUNT: usize = 64;

/// Pause between two small events, below the 40 ms that a delayed acknowledgement costs.
const PAUSE: Duration = Duration::from_millis(5);

/// More than this between the two is what Nagle's algorithm makes of it.
const NAGLE_DELAY: Duration = Duration::from_millis(35);

/// Pairs of small events: one late pair may be the machine's fault, most of them are not.
const PAIRS_COUNT: usize = 9;

/// Events that are sent through a proxy, one behind the other.
const PROXIED_COUNT: usize = 3;

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "H15",
        level: Level::Should,
        rule: "small events are not held back by Nagle's algorithm",
        source: "RFC 9293 3.7.4",
        check: no_nagle,
    },
    Point {
        id: "L6",
        level: Level::Should,
        rule: "other requests are answered while streams are open",
        source: "WHATWG HTML 9.2.7: connections are limited",
        check: other_requests,
    },
    Point {
        id: "L7",
        level: Level::Must,
        rule: "every stream of a topic gets an event",
        source: "WHATWG HTML 9.2.6",
        check: everybody,
    },
    Point {
        id: "L8",
        level: Level::Should,
        rule: "events pass the proxies in front at once",
        source: "WHATWG HTML 9.2.7; RFC 9110 7.6",
        check: proxies,
    },
    Point {
        id: "S10",
        level: Level::Should,
        rule: "a quiet stream sends a comment every 15 seconds or so",
        source: "WHATWG HTML 9.2.7",
        check: keep_alive,
    },
];

/// RFC 9293 3.7.4: with Nagle a second small segment waits for the acknowledgement of the first.
fn no_nagle(site: &Site) -> Checked {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    let mut gaps = Vec::new();
    for _ in 0..PAIRS_COUNT {
        site.accepted(topic, b"first")?;
        stream.event()?;
        let first = Instant::now();
        std::thread::sleep(PAUSE);
        site.accepted(topic, b"second")?;
        stream.event()?;
        gaps.push(first.elapsed());
    }
    gaps.sort_unstable();
    let median = gaps[PAIRS_COUNT / 2];
    if median > NAGLE_DELAY {
        return Err(stream.broken(format!("5 ms apart became {} ms", median.as_millis())));
    }
    Ok(format!("5 ms apart stay {} ms", median.as_millis()))
}

fn open_many(site: &Site, topic: u32) -> Result<Vec<Stream>, Broken> {
    (0..STREAMS_COUNT).map(|_| site.open(topic)).collect()
}

/// WHATWG HTML 9.2.7 warns of it: a server that gives each stream a thread of few has none left.
fn other_requests(site: &Site) -> Checked {
    let topic = site.topic();
    let _streams = open_many(site, topic)?;
    let (probe, answer) = site.answer(&site.ask(topic).method("OPTIONS"))?;
    let took = answer.took.as_millis();
    if answer.took > site.prompt {
        return Err(probe.broken(format!("beside {STREAMS_COUNT} streams: {took} ms")));
    }
    Ok(format!("{took} ms beside {STREAMS_COUNT} streams"))
}

/// Nobody is left out, first or last connected.
fn everybody(site: &Site) -> Checked {
    let topic = site.topic();
    let mut streams = open_many(site, topic)?;
    site.accepted(topic, b"to all")?;
    for stream in &mut streams {
        stream.event()?;
    }
    Ok(format!("{STREAMS_COUNT} streams"))
}

/// WHATWG HTML 9.2.7: proxies drop connections that are quiet for long.
fn keep_alive(site: &Site) -> Checked {
    if site.idle.is_zero() {
        return Err(Broken::absent("--idle 0: nobody listens"));
    }
    let mut stream = site.open(site.topic())?;
    // What opens a stream is no sign of life of a quiet one.
    stream.until(Duration::from_millis(500), |_| false)?;
    let before = stream.comments_count;
    let start = Instant::now();
    if !stream.until(site.idle, |stream| stream.comments_count > before)? {
        let waited = site.idle.as_secs_f64();
        return Err(stream.broken(format!("no comment within {waited} s")));
    }
    Ok(format!("after {:.1} s", start.elapsed().as_secs_f64()))
}

/// WHATWG HTML 9.2.7: what stands between may hold back what it is given, to make fewer, larger
/// pieces of it. Each event has to be there before the next is published.
fn proxies(site: &Site) -> Checked {
    if site.hooks.via.is_empty() {
        return Err(Broken::absent("a proxy in front of the server: give --via"));
    }
    for url in &site.hooks.via {
        let topic = site.topic();
        let authority = &url.authority;
        let asked = site.ask(topic).instead(&format!("Host: {authority}"));
        let door = Target { address: url.address, patience: site.patience };
        let mut stream = Stream::open_at(door, &asked)?;
        for number in 0..PROXIED_COUNT {
            site.accepted(topic, number.to_string().as_bytes())?;
            if stream.next_within(site.prompt)?.is_none() {
                return Err(
                    stream.broken(format!("behind {authority} event {number} is held back"))
                );
            }
        }
    }
    Ok(format!("{} of them", site.hooks.via.len()))
}
