//! Points about readers that stop: what they cost the others, the server, and themselves.
//!
//! The idea: a stream with a narrow receive buffer that nobody reads, while more is published
//! than the kernel's buffers of both ends hold.

use super::point::{Broken, Checked, Level, Point};
use super::probe::Probe;
use super::site::Site;
use super::stream::Stream;

/// Receive buffer of a reader that stops.
const RECEIVE_BYTES: usize = 4 * 1024;

/// Size and number of events that fill what is between server and reader. Linux lets a send
/// buffer grow to 4 MiB (tcp_wmem), so three times that is felt by the server itself.
const EVENT_BYTES: usize = 64 * 1024;
const EVENTS_COUNT: usize = 192;

/// Readers that stop at a time.
const STOPPED_COUNT: usize = 8;

/// Of what stopped readers leave unread, what a server may keep in memory: half of it would be a
/// copy for every second reader.
const KEPT_PART: u64 = 4;

/// What the kernel takes of what a stopped reader leaves unread.
const KERNEL_BYTES: u64 = 6 * 1024 * 1024;

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "L2a",
        level: Level::Should,
        rule: "readers that stop hold up neither publishers nor other readers",
        source: "RFC 9293 3.8.6: a receiver may close its window for as long as it likes",
        check: others_go_on,
    },
    Point {
        id: "L2b",
        level: Level::Should,
        rule: "what a stopped reader leaves unread is not kept for it in memory",
        source: "RFC 9293 3.8.6",
        check: bounded_memory,
    },
    Point {
        id: "L2c",
        level: Level::Should,
        rule: "a reader that takes nothing is cut off in time",
        source: "RFC 9112 9.5",
        check: cut_in_time,
    },
    Point {
        id: "L4",
        level: Level::Must,
        rule: "a reader that was too slow gets every event, or is told, or is cut off",
        source: "WHATWG HTML 9.2.4: only who knows of a loss can mend it",
        check: no_silent_loss,
    },
];

/// A stream that is not read from.
fn stopped(site: &Site, topic: u32) -> Result<Stream, Broken> {
    let probe = Probe::connect_narrow(site.door(), RECEIVE_BYTES)?;
    Stream::open_on(probe, site.patience, &site.ask(topic))
}

/// An event that begins with its number and is large.
fn payload(number: usize) -> Vec<u8> {
    let mut payload = format!("<{number}>").into_bytes();
    payload.resize(EVENT_BYTES, b'x');
    payload
}

fn number_of(data: &[u8]) -> Option<usize> {
    let start = memchr::memchr(b'<', data)? + 1;
    let end = start + memchr::memchr(b'>', &data[start..])?;
    std::str::from_utf8(&data[start..end]).ok()?.parse().ok()
}

/// Publishes the events of some numbers while one reader reads them as they come.
fn fill(site: &Site, topic: u32, reader: &mut Stream, first: usize) -> Result<(), Broken> {
    for number in first..first + EVENTS_COUNT {
        site.accepted(topic, &payload(number))?;
        let event = reader.event()?;
        if number_of(&event.data) != Some(number) {
            return Err(reader.broken(format!("event {number} did not come when it was due")));
        }
    }
    Ok(())
}

/// RFC 9293 3.8.6: a window that stays shut is the reader's right and nobody else's loss.
fn others_go_on(site: &Site) -> Checked {
    let topic = site.topic();
    let mut reader = site.open(topic)?;
    let _stopped: Vec<Stream> =
        (0..STOPPED_COUNT).map(|_| stopped(site, topic)).collect::<Result<_, _>>()?;
    fill(site, topic, &mut reader, 0)?;
    Ok(format!("{EVENTS_COUNT} events of 64 KiB beside {STOPPED_COUNT} stopped readers"))
}

/// The history is filled first, so that what grows afterwards is the stopped readers' share.
fn bounded_memory(site: &Site) -> Checked {
    site.hooks.usage()?;
    let topic = site.topic();
    let mut reader = site.open(topic)?;
    fill(site, topic, &mut reader, 0)?;
    let _stopped: Vec<Stream> =
        (0..STOPPED_COUNT).map(|_| stopped(site, topic)).collect::<Result<_, _>>()?;
    let memory = || {
        let usage = site.hooks.usage()?;
        usage.pss_bytes.ok_or_else(|| Broken::absent("the memory of --pid cannot be read"))
    };
    let before = memory()?;
    fill(site, topic, &mut reader, EVENTS_COUNT)?;
    let grown = memory()?.saturating_sub(before);
    let published = (EVENT_BYTES * EVENTS_COUNT) as u64;
    let unread = STOPPED_COUNT as u64 * (published - KERNEL_BYTES);
    let (grown_mib, unread_mib) = (grown >> 20, unread >> 20);
    let seen =
        format!("{grown_mib} MiB more for {unread_mib} MiB unread by {STOPPED_COUNT} readers");
    // What was published may be kept once, for everybody.
    if grown > published + unread / KEPT_PART { Err(Broken::fails(seen)) } else { Ok(seen) }
}

/// A server has to give a socket back at some time; its history is not for who does not read.
fn cut_in_time(site: &Site) -> Checked {
    let time = site.hooks.stall_timeout;
    let time = time.ok_or_else(|| Broken::absent("within what time: give --stall-timeout"))?;
    let topic = site.topic();
    let mut reader = site.open(topic)?;
    let mut slow = stopped(site, topic)?;
    fill(site, topic, &mut reader, 0)?;
    // Nothing tells from here when it is cut off; what comes afterwards does.
    std::thread::sleep(time);
    site.accepted(topic, &payload(EVENTS_COUNT))?;
    while let Some(event) = slow.next_before_end()? {
        if number_of(&event.data) == Some(EVENTS_COUNT) {
            let waited = time.as_secs_f64();
            return Err(slow.broken(format!("after {waited} s without a read the stream goes on")));
        }
    }
    match slow.has_ended() {
        true => Ok("cut off".to_owned()),
        false => Err(slow.broken("the stream neither goes on nor ends")),
    }
}

/// Each event in its place; or between two that are not neighbours something that says so: an
/// event of the server's own, or the end of the stream.
fn no_silent_loss(site: &Site) -> Checked {
    let topic = site.topic();
    let mut reader = site.open(topic)?;
    let mut slow = stopped(site, topic)?;
    fill(site, topic, &mut reader, 0)?;
    // A server that gives up on slow readers may take a moment to see that this is one.
    std::thread::sleep(site.prompt / 2);
    let (mut next, mut told, mut name) = (0, false, None);
    while next < EVENTS_COUNT {
        let Some(event) = slow.next_before_end()? else {
            return match slow.has_ended() {
                true => Ok(format!("cut off behind {next} of {EVENTS_COUNT} events")),
                false => {
                    let last = EVENTS_COUNT - 1;
                    let what = format!("events {next} to {last} never came, and nothing says so");
                    Err(slow.broken(what))
                }
            };
        };
        match number_of(&event.data) {
            // A word counts for one hole.
            Some(number) if number == next || (number > next && told) => {
                (next, told) = (number + 1, false);
            }
            Some(number) => {
                return Err(
                    slow.broken(format!("event {number} where {next} was due, without a word"))
                );
            }
            None => (told, name) = (true, Some(event.name.escape_ascii().to_string())),
        }
    }
    Ok(match name {
        Some(name) => format!("told by an event \"{name}\""),
        None => format!("all {EVENTS_COUNT} events, later"),
    })
}
