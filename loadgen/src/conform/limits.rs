//! Points about what a server does not put up with: heads that do not end, too many connections.

use std::time::{Duration, Instant};

use super::inside::holds_within;
use super::point::{Broken, Checked, Level, Point};
use super::probe::{Probe, Progress};
use super::site::Site;
use super::stream::Stream;

/// Pause between two bytes of a head that trickles in.
const TRICKLE_INTERVAL: Duration = Duration::from_millis(200);

/// Connections beyond the limit that are tried: a server may count a few of its own.
const BEYOND_COUNT: usize = 8;

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "H17a",
        level: Level::Should,
        rule: "a request head that trickles in is not waited for without end",
        source: "RFC 9110 15.5.9; RFC 9112 9.5",
        check: slow_head,
    },
    Point {
        id: "H17b",
        level: Level::Should,
        rule: "beyond its limit a server tells who comes when to come back, and cuts nobody off",
        source: "RFC 9110 15.6.4, 10.2.3; WHATWG HTML 9.2.2: browsers give up at any status but 200",
        check: full_house,
    },
];

/// RFC 9112 9.5 leaves the time to the server; without one, a few bytes hold a connection for
/// ever. 408 and an end of the connection are both proper.
fn slow_head(site: &Site) -> Checked {
    let time = site.hooks.head_timeout;
    let time =
        time.ok_or_else(|| Broken::absent("how long a head may take: give --head-timeout"))?;
    let mut probe = Probe::connect(site)?;
    let asked = site.ask(site.topic()).bytes();
    let start = Instant::now();
    // All but the end of the request, and then a field that goes on and on.
    probe.send(&asked[..asked.len() - 2])?;
    probe.send(b"X-Slow: ")?;
    while start.elapsed() < time {
        let gone = match probe.receive(Instant::now() + TRICKLE_INTERVAL)? {
            Progress::More => "an answer",
            Progress::Ended => "the end of the connection",
            Progress::Reset => "a reset",
            Progress::Silent if probe.send(b"x").is_err() => "the end of the connection",
            Progress::Silent => continue,
        };
        return Ok(format!("{gone} after {:.1} s", start.elapsed().as_secs_f64()));
    }
    let waited = time.as_secs_f64();
    Err(probe.broken(format!("a head that trickles in is still waited for after {waited} s")))
}

/// How the one beyond the limit was refused.
enum Refusal {
    /// By a status and `Retry-After`.
    Status(u16),
    /// By a stream that only says when to come back.
    Shed,
}

/// RFC 9110 15.6.4: 503, with Retry-After. A stream that has only `retry` and ends is kinder to
/// `EventSource`, which takes any other status for final.
fn full_house(site: &Site) -> Checked {
    let most = site.hooks.connections_max;
    let most = most.ok_or_else(|| Broken::absent("its limit: give --connections-max"))?;
    let topic = site.topic();
    let mut streams = Vec::new();
    let refusal = loop {
        if streams.len() >= most + BEYOND_COUNT {
            return Err(Broken::fails(format!("{} streams are open at a time", streams.len())));
        }
        match refused_or_open(site, topic, streams.len() + BEYOND_COUNT >= most)? {
            Ok(stream) => streams.push(stream),
            Err(refusal) => break refusal,
        }
    };
    let count = streams.len();
    let cut = streams.iter_mut().position(|stream| {
        stream.until(Duration::from_millis(1), Stream::has_ended).unwrap_or(true)
    });
    if let Some(place) = cut {
        return Err(
            streams[place].broken(format!("stream {place} of {count} was cut off for a new one"))
        );
    }
    drop(streams);
    if !holds_within(site.patience, || site.open(topic).is_ok()) {
        return Err(Broken::fails("when all others have left nobody is let in"));
    }
    Ok(match refusal {
        Refusal::Status(status) => {
            format!("{status} with Retry-After beyond {count} (browsers do not come back)")
        }
        Refusal::Shed => format!("a stream with only a reconnection time beyond {count}"),
    })
}

/// One more stream, or how it was refused. Near the limit it is waited for whether the stream
/// lasts.
fn refused_or_open(site: &Site, topic: u32, near: bool) -> Result<Result<Stream, Refusal>, Broken> {
    let asked = site.ask(topic);
    let mut probe = Probe::connect(site)?;
    let answer = probe.exchange(&asked.bytes(), false)?;
    let status = answer.head.status;
    if status != 200 {
        if !matches!(status, 429 | 503) {
            return Err(probe.broken(format!("beyond the limit: {status} and not 503")));
        }
        return match answer.field("retry-after") {
            Some(_) => Ok(Err(Refusal::Status(status))),
            None => Err(probe.broken(format!("{status} without Retry-After"))),
        };
    }
    let mut stream = Stream::answered(probe, answer, site.patience)?;
    if near && stream.until(site.prompt / 4, Stream::has_ended)? {
        return match stream.retry {
            Some(_) => Ok(Err(Refusal::Shed)),
            None => {
                Err(stream.broken("a stream that ends at once and does not say when to come back"))
            }
        };
    }
    Ok(Ok(stream))
}
