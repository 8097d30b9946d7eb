//! Points about ids and coming back: who was cut off misses nothing and gets nothing twice.

use std::collections::BTreeSet;

use super::asked::{self, Asked};
use super::point::{Broken, Checked, Level, Point};
use super::probe::Probe;
use super::site::Site;
use super::stream::Stream;

/// Events of a topic where a few show the rule.
const FEW_COUNT: usize = 6;

/// Events while a subscriber is cut off again and again.
const MANY_COUNT: usize = 200;

/// A subscriber is cut off after at most this many events.
const CUT_EVENTS_MAX: usize = 7;

/// Bytes of an id that a browser sends without asking first (WHATWG Fetch 2.2.2).
const SAFE_ID_BYTES_MAX: usize = 128;

/// Bytes of an id that no server gives.
const LONG_ID_BYTES: usize = 8 * 1024;

/// An id that no server has given.
const UNKNOWN_ID: &str = "no-such-event";

/// Streams that are opened to see whether reconnection times differ.
const STREAMS_COUNT: usize = 8;

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "S9a",
        level: Level::Must,
        rule: "ids have no NUL, and a browser can send them back",
        source: "WHATWG HTML 9.2.6, 9.2.4",
        check: sound_ids,
    },
    Point {
        id: "S9b",
        level: Level::Should,
        rule: "ids are short and free of bytes that cost a preflight",
        source: "WHATWG Fetch 2.2.2: CORS-safelisted request-header",
        check: safe_ids,
    },
    Point {
        id: "R1",
        level: Level::Must,
        rule: "ids are unique",
        source: "WHATWG HTML 9.2.4: the id is where to go on",
        check: unique_ids,
    },
    Point {
        id: "R2a",
        level: Level::Must,
        rule: "Last-Event-ID goes on behind that event",
        source: "WHATWG HTML 9.2.4",
        check: goes_on,
    },
    Point {
        id: "R2b",
        level: Level::Must,
        rule: "cut off again and again under publishing, nothing is missing or doubled",
        source: "WHATWG HTML 9.2.4",
        check: cut_off,
    },
    Point {
        id: "R3",
        level: Level::Should,
        rule: "the id may stand in the query, as polyfills send it",
        source: "Yaffle/EventSource, Mercure",
        check: query_names,
    },
    Point {
        id: "R4a",
        level: Level::Should,
        rule: "an id that the server does not know is no error of the server",
        source: "WHATWG HTML 9.2.2: any status but 200 ends the client for good",
        check: odd_ids,
    },
    Point {
        id: "R4b",
        level: Level::Should,
        rule: "a stream says so when it cannot go on where its client was",
        source: "WHATWG HTML 9.2.4: only who knows of a loss can mend it",
        check: told_of_unknown,
    },
    Point {
        id: "R7a",
        level: Level::Should,
        rule: "a reconnection time is sent",
        source: "WHATWG HTML 9.2.6",
        check: retry,
    },
    Point {
        id: "R7b",
        level: Level::Should,
        rule: "reconnection times are spread",
        source: "WHATWG HTML 9.2.3: EventSource has no jitter of its own",
        check: retry_spread,
    },
    Point {
        id: "R8",
        level: Level::Should,
        rule: "an id without data is a place to go on from",
        source: "WHATWG HTML 9.2.6: the id is set although nothing is dispatched",
        check: id_alone,
    },
    Point {
        id: "R9",
        level: Level::Must,
        rule: "replay is for those who may read the topic, and for nobody else",
        source: "RFC 9110 15.5.2, 15.5.4, 11.6.2",
        check: authorised_replay,
    },
];

/// Publishes numbers, reads them, and gives the ids behind each.
pub(super) fn ids(site: &Site, topic: u32, count: usize) -> Result<(Stream, Vec<Vec<u8>>), Broken> {
    let mut stream = site.open(topic)?;
    let mut ids = Vec::new();
    for number in 0..count {
        site.accepted(topic, number.to_string().as_bytes())?;
        let id = stream.event()?.id;
        ids.push(id.ok_or_else(|| Broken::absent("events have no ids"))?);
    }
    Ok((stream, ids))
}

/// WHATWG HTML 9.2.6 ignores an id with NUL; RFC 9110 5.5 lets no control byte into a field.
fn sound_ids(site: &Site) -> Checked {
    let (stream, ids) = ids(site, site.topic(), FEW_COUNT)?;
    let lines = stream.content.split(|byte| matches!(byte, b'\r' | b'\n'));
    let mut fields = lines.filter(|line| line.starts_with(b"id:"));
    if let Some(line) = fields.find(|line| line.iter().any(u8::is_ascii_control)) {
        return Err(stream.broken(format!("a control byte in \"{}\"", line.escape_ascii())));
    }
    Ok(format!("as \"{}\"", ids[0].escape_ascii()))
}

/// WHATWG Fetch 2.2.2: at most 128 bytes and none of the unsafe ones.
fn safe_ids(site: &Site) -> Checked {
    let (stream, ids) = ids(site, site.topic(), FEW_COUNT)?;
    let unsafe_byte = |byte: &u8| b"\"():<>?@[\\]{}\x7f".contains(byte) || *byte < 0x20;
    for id in &ids {
        if id.len() > SAFE_ID_BYTES_MAX || id.iter().any(unsafe_byte) {
            let id = id.escape_ascii();
            return Err(stream.broken(format!("\"{id}\" costs a preflight from another origin")));
        }
    }
    Ok(format!("{} bytes", ids[0].len()))
}

/// Two events with one id leave open which of them a client has seen.
fn unique_ids(site: &Site) -> Checked {
    let (stream, ids) = ids(site, site.topic(), MANY_COUNT)?;
    let different: BTreeSet<&Vec<u8>> = ids.iter().collect();
    if different.len() < ids.len() {
        let doubled_count = ids.len() - different.len();
        return Err(stream.broken(format!("{doubled_count} ids of {} were there", ids.len())));
    }
    Ok(format!("{} ids", ids.len()))
}

/// The field as bytes would be needed for ids beyond ASCII; those are passed over.
pub(super) fn as_text(id: &[u8]) -> Result<&str, Broken> {
    std::str::from_utf8(id).map_err(|_| Broken::absent("the ids are not UTF-8"))
}

/// WHATWG HTML 9.2.4: the header tells where the client stands.
fn goes_on(site: &Site) -> Checked {
    let topic = site.topic();
    let (_, ids) = ids(site, topic, FEW_COUNT)?;
    for (place, id) in ids.iter().enumerate() {
        let asked = site.ask(topic).field(format!("Last-Event-ID: {}", as_text(id)?));
        let mut stream = Stream::open(site, &asked)?;
        for (wanted, next) in ids.iter().enumerate().skip(place + 1) {
            let event = stream.event()?;
            if event.id.as_ref() != Some(next) {
                let data = event.data.escape_ascii();
                let what = format!("behind event {place} comes \"{data}\", not event {wanted}");
                return Err(stream.broken(what));
            }
        }
    }
    Ok(format!("from each of {FEW_COUNT} places"))
}

/// WHATWG HTML 9.2.4, where replay and live events meet: the race that servers lose.
fn cut_off(site: &Site) -> Checked {
    let topic = site.topic();
    let (mut stream, mut last) = ids(site, topic, 1)?;
    let number = |number: usize| format!("<{number}>").into_bytes();
    let requests = site.publications(topic, MANY_COUNT, number)?;
    let target = site.target();
    let mut draws = fastrand::Rng::with_seed(1);
    let mut cuts_count = 0;
    std::thread::scope(|scope| {
        let publisher = scope.spawn(move || requests.iter().try_for_each(|one| target.send(one)));
        let mut next = 0;
        while next < MANY_COUNT {
            for _ in 0..draws.usize(1..=CUT_EVENTS_MAX).min(MANY_COUNT - next) {
                let event = stream.event()?;
                if memchr::memmem::find(&event.data, &number(next)).is_none() {
                    let data = event.data.escape_ascii();
                    return Err(stream.broken(format!("\"{data}\" came where <{next}> was due")));
                }
                next += 1;
                last[0] = event.id.unwrap_or_default();
            }
            // What has arrived but was not taken is lost with the connection, as in real life.
            let field = format!("Last-Event-ID: {}", as_text(&last[0])?);
            stream = Stream::open(site, &site.ask(topic).field(field))?;
            cuts_count += 1;
        }
        publisher.join().expect("the publisher does not panic")
    })?;
    Ok(format!("{MANY_COUNT} events, cut off {cuts_count} times"))
}

/// Who cannot set header fields puts the id into the query.
fn query_names(site: &Site) -> Checked {
    let topic = site.topic();
    let (_, ids) = ids(site, topic, 2)?;
    let mut known = Vec::new();
    for name in ["last_event_id", "lastEventId", "Last-Event-ID"] {
        let asked = site.ask(topic).query(&format!("{name}={}", as_text(&ids[0])?));
        let mut stream = Stream::open(site, &asked)?;
        site.accepted(topic, b"live")?;
        if stream.event()?.id.as_ref() == Some(&ids[1]) {
            known.push(name);
        }
    }
    match known.first() {
        None => Err(Broken::fails("none of last_event_id, lastEventId, Last-Event-ID is known")),
        Some(name) => Ok(format!("{}; {}", known.join(", "), precedence(site, name)?)),
    }
}

/// Which of two ids wins. `EventSource` keeps its URL when it reconnects, so the header is the
/// newer one.
fn precedence(site: &Site, name: &str) -> Result<&'static str, Broken> {
    let topic = site.topic();
    let (_, ids) = ids(site, topic, 3)?;
    let asked = site.ask(topic).query(&format!("{name}={}", as_text(&ids[0])?));
    let asked = asked.field(format!("Last-Event-ID: {}", as_text(&ids[1])?));
    let event = Stream::open(site, &asked)?.next()?;
    Ok(match event.and_then(|event| event.id) {
        Some(id) if id == ids[2] => "the header goes before the query",
        Some(id) if id == ids[1] => "the query goes before the header",
        _ => "both together are neither",
    })
}

/// Unknown, empty, long, of other forms: none may end in 5xx or in silence.
fn odd_ids(site: &Site) -> Checked {
    let mut statuses = BTreeSet::new();
    let long = "9".repeat(LONG_ID_BYTES);
    let huge = "18446744073709551616";
    for id in ["", "0", "-1", "unknown", huge, "a b", "\u{e4}", "%00", "\0", &long] {
        let asked = site.ask(site.topic()).field(format!("Last-Event-ID: {id}"));
        let shown: String = id.escape_default().take(32).collect();
        let mut probe = Probe::connect(site)?;
        let answer = match probe.exchange(&asked.bytes(), false) {
            Ok(answer) => answer,
            // RFC 9110 5.5: a field with NUL is no field, and RFC 9112 lets a server hang up.
            Err(_) if id == "\0" => continue,
            Err(broken) => return Err(broken),
        };
        let status = answer.head.status;
        if status >= 500 {
            return Err(probe.broken(format!("Last-Event-ID: {shown} is answered {status}")));
        }
        statuses.insert(status.to_string());
    }
    site.open(site.topic())?;
    Ok(format!("answered {}", Vec::from_iter(statuses).join(", ")))
}

/// What a header field tells of an id that the stream does not go on from.
pub(super) fn told_by_field(stream: &Stream, asked: &str) -> Option<String> {
    ["mercure-last-event-id", "last-event-id"].into_iter().find_map(|name| {
        let value = stream.answer.field(name).filter(|value| value != asked)?;
        Some(format!("told by {name}: {value}"))
    })
}

/// By an event of the server's own, by a header field, or by all that there is.
fn told_of_unknown(site: &Site) -> Checked {
    let topic = site.topic();
    let (stream, _) = ids(site, topic, 2)?;
    drop(stream);
    let asked = site.ask(topic).field(format!("Last-Event-ID: {UNKNOWN_ID}"));
    let (probe, answer) = site.answer(&asked)?;
    if answer.head.status != 200 {
        return Ok(format!("refused with {}", answer.head.status));
    }
    let mut stream = Stream::answered(probe, answer, site.patience)?;
    if let Some(told) = told_by_field(&stream, UNKNOWN_ID) {
        return Ok(told);
    }
    site.accepted(topic, b"live")?;
    let event = stream.event()?;
    let holds = |part: &[u8]| memchr::memmem::find(&event.data, part).is_some();
    match () {
        () if holds(b"live") => {
            Err(stream.broken("an unknown id gets live events only, and nothing says so"))
        }
        () if event.data == b"0" => Ok("all that is kept is sent".to_owned()),
        () if event.data == b"1" => {
            Err(stream.broken("an unknown id gets the last event, and nothing says so"))
        }
        () => Ok(format!("told by an event \"{}\"", event.name.escape_ascii())),
    }
}

/// WHATWG HTML 9.2.6: the last event id is set at a blank line, whether or not there is data. So
/// a client that is cut off before its first event still misses nothing.
fn id_alone(site: &Site) -> Checked {
    let topic = site.topic();
    // An id may be worth nothing while nothing was ever published.
    let (stream, _) = ids(site, topic, 1)?;
    drop(stream);
    let mut stream = site.open(topic)?;
    stream.until(site.prompt / 2, |stream| stream.id.is_some())?;
    let id = stream.id.clone().filter(|id| !id.is_empty());
    let id =
        id.ok_or_else(|| Broken::absent("an id alone: the server sends none at the beginning"))?;
    drop(stream);
    site.accepted(topic, b"missed")?;
    let asked = site.ask(topic).field(format!("Last-Event-ID: {}", as_text(&id)?));
    let mut stream = Stream::open(site, &asked)?;
    let event = stream.event()?;
    match memchr::memmem::find(&event.data, b"missed") {
        Some(_) => Ok(format!("as \"{}\"", id.escape_ascii())),
        None => {
            Err(stream
                .broken(format!("behind \"{}\" the missed event is missing", id.escape_ascii())))
        }
    }
}

/// Somebody who may not read must get nothing of what is kept, whatever id is given.
fn authorised_replay(site: &Site) -> Checked {
    if site.hooks.stranger.is_empty() {
        return Err(Broken::absent("somebody who may not read: give --stranger"));
    }
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    let secret = |number: usize| format!("secret {number}").into_bytes();
    site.accepted(topic, &secret(0))?;
    let id = stream.event()?.id.ok_or_else(|| Broken::absent("events have no ids"))?;
    site.accepted(topic, &secret(1))?;
    stream.event()?;
    let mut statuses = BTreeSet::new();
    for id in [as_text(&id)?, UNKNOWN_ID, "earliest"] {
        let own = |asked: Asked, field: &String| asked.without(asked::name(field));
        let asked = site.wishes.headers.iter().fold(site.ask(topic), own);
        let asked = site.hooks.stranger.iter().fold(asked, |asked, field| asked.instead(field));
        let (probe, answer) = site.answer(&asked.field(format!("Last-Event-ID: {id}")))?;
        statuses.insert(answer.head.status.to_string());
        if answer.head.status != 200 {
            continue;
        }
        let mut stream = Stream::answered(probe, answer, site.patience)?;
        while let Some(event) = stream.next_within(site.prompt)? {
            if memchr::memmem::find(&event.data, b"secret").is_some() {
                return Err(
                    stream.broken(format!("a stranger with the id {id} is sent what is kept"))
                );
            }
        }
    }
    Ok(format!("answered {}", Vec::from_iter(statuses).join(", ")))
}

/// The reconnection time of a stream, if it sends one before or with an event.
fn retry_of(site: &Site) -> Result<(Stream, Option<u64>), Broken> {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    if site.recipe.is_some() {
        site.accepted(topic, b"one")?;
        stream.event()?;
    } else {
        stream.until(site.patience, |stream| stream.retry.is_some())?;
    }
    let retry = stream.retry;
    Ok((stream, retry))
}

/// WHATWG HTML 9.2.6; without it each browser waits as it likes (3 s or 5 s).
fn retry(site: &Site) -> Checked {
    match retry_of(site)? {
        (_, Some(milliseconds)) => Ok(format!("{milliseconds} ms")),
        (stream, None) => Err(stream.broken("no retry field")),
    }
}

/// `EventSource` has no jitter of its own: it has to come from the server.
fn retry_spread(site: &Site) -> Checked {
    let mut times = Vec::new();
    for _ in 0..STREAMS_COUNT {
        match retry_of(site)?.1 {
            Some(milliseconds) => times.push(milliseconds),
            None => return Err(Broken::absent("no retry field")),
        }
    }
    let least = times.iter().min().copied().unwrap_or_default();
    let most = times.iter().max().copied().unwrap_or_default();
    if least == most {
        let what =
            format!("{STREAMS_COUNT} streams are all told {least} ms: they come back together");
        return Err(Broken::fails(what));
    }
    Ok(format!("{least} to {most} ms"))
}
