//! Points about events: what is published is what every conforming parser reads.

use std::collections::BTreeSet;

use super::point::{Broken, Checked, Level, Point};
use super::site::{Field, Site};
use super::stream::{Event, Stream};

/// Sizes of large events, in bytes.
const LARGE_BYTES: [usize; 3] = [64 * 1024, 1024 * 1024, 16 * 1024 * 1024];

/// Publishers at once, and events of each.
const PUBLISHERS_COUNT: usize = 8;
const EVENTS_COUNT: usize = 8;

/// What is published behind the event under test, to see what came between.
const MARK: &[u8] = b"behind it";

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "S1",
        level: Level::Must,
        rule: "text of every kind arrives as it was published",
        source: "WHATWG HTML 9.2.5, 9.2.6: the stream is UTF-8",
        check: text,
    },
    Point {
        id: "S2",
        level: Level::Must,
        rule: "LF, CRLF and a bare CR in a payload become line breaks of the data",
        source: "WHATWG HTML 9.2.5",
        check: line_breaks,
    },
    Point {
        id: "S3a",
        level: Level::Must,
        rule: "a payload cannot inject fields or events",
        source: "WHATWG HTML 9.2.5, 9.2.6",
        check: injection,
    },
    Point {
        id: "S3b",
        level: Level::Must,
        rule: "an event's name and id cannot inject fields or events",
        source: "WHATWG HTML 9.2.5, 9.2.6",
        check: field_injection,
    },
    Point {
        id: "S4",
        level: Level::Must,
        rule: "blanks at both ends of a payload are kept",
        source: "WHATWG HTML 9.2.6: one space behind the colon is removed",
        check: blanks,
    },
    Point {
        id: "S5",
        level: Level::Must,
        rule: "an empty payload is an event, or is refused",
        source: "WHATWG HTML 9.2.6",
        check: empty,
    },
    Point {
        id: "S6",
        level: Level::Must,
        rule: "U+2028, U+2029, U+0085, VT, FF, NUL and DEL are no line breaks",
        source: "WHATWG HTML 9.2.5",
        check: separators,
    },
    Point {
        id: "S7",
        level: Level::Must,
        rule: "events of publishers at the same time are not mixed",
        source: "WHATWG HTML 9.2.6: a blank line ends each",
        check: concurrent,
    },
    Point {
        id: "S8a",
        level: Level::Must,
        rule: "an event without a name is a message",
        source: "WHATWG HTML 9.2.6",
        check: unnamed,
    },
    Point {
        id: "S8b",
        level: Level::Must,
        rule: "an event's name arrives as it was published",
        source: "WHATWG HTML 9.2.6: names are compared literally",
        check: named,
    },
    Point {
        id: "S11",
        level: Level::Should,
        rule: "large events arrive whole or are refused with 413",
        source: "RFC 9110 15.5.14",
        check: large,
    },
    Point {
        id: "S12",
        level: Level::Must,
        rule: "a payload that is not UTF-8 is refused or mended",
        source: "WHATWG HTML 9.2.5: the stream is UTF-8",
        check: not_utf_8,
    },
];

/// Publishes a payload and holds what arrives against what may arrive; a server may also refuse
/// it. Nothing else may stand between it and the event that follows.
fn carried(site: &Site, payload: &[u8], allowed: &[&[u8]]) -> Checked {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    let (probe, status) = site.publish(topic, payload)?;
    match status {
        200..300 => {
            let event = stream.event()?;
            exact(site, &stream, &event, payload, allowed)?;
        }
        400..500 => {}
        status => return Err(probe.broken(format!("the publish was answered {status}"))),
    }
    site.accepted(topic, MARK)?;
    let next = stream.event()?;
    if !contains(&next.data, MARK) {
        let data = next.data.escape_ascii();
        return Err(stream.broken(format!("an event that nobody published: \"{data}\"")));
    }
    Ok(if status < 300 { "delivered" } else { "refused" }.to_owned())
}

fn exact(
    site: &Site,
    stream: &Stream,
    event: &Event,
    payload: &[u8],
    allowed: &[&[u8]],
) -> Result<(), Broken> {
    if std::str::from_utf8(&event.data).is_err() {
        return Err(stream.broken("the data is not UTF-8"));
    }
    if allowed.is_empty() || allowed.contains(&event.data.as_slice()) {
        return Ok(());
    }
    if wraps(site)? {
        return Err(Broken::absent("the server puts the payload into data of its own"));
    }
    let (sent, seen) = (payload.escape_ascii(), event.data.escape_ascii());
    Err(stream.broken(format!("published \"{sent}\", received \"{seen}\"")))
}

/// Whether the data of an event is more than its payload.
fn wraps(site: &Site) -> Result<bool, Broken> {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    site.accepted(topic, MARK)?;
    let event = stream.event()?;
    Ok(event.data != MARK && contains(&event.data, MARK))
}

fn contains(data: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(data, part).is_some()
}

/// Each payload with all that may come of it; says how many were delivered.
fn all_carried(site: &Site, payloads: &[(&[u8], &[&[u8]])]) -> Checked {
    let mut delivered_count = 0;
    for (payload, allowed) in payloads {
        delivered_count += usize::from(carried(site, payload, allowed)? == "delivered");
    }
    let refused_count = payloads.len() - delivered_count;
    Ok(format!("{delivered_count} delivered, {refused_count} refused"))
}

fn as_published(site: &Site, texts: &[&str]) -> Checked {
    let texts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    let payloads: Vec<(&[u8], &[&[u8]])> =
        texts.iter().map(|text| (*text, std::slice::from_ref(text))).collect();
    all_carried(site, &payloads)
}

/// WHATWG HTML 9.2.6: decoded as UTF-8; only the first byte order mark of a stream is removed.
fn text(site: &Site) -> Checked {
    let texts =
        ["plain", "\u{1f327} and \u{10ffff}", "e\u{301}", "a\u{feff}b", "\u{feff}at the front"];
    as_published(site, &texts)
}

/// WHATWG HTML 9.2.5: all three end a line; each becomes LF in the data.
fn line_breaks(site: &Site) -> Checked {
    all_carried(
        site,
        &[
            (b"a\nb", &[b"a\nb"]),
            (b"a\r\nb", &[b"a\nb"]),
            (b"a\rb", &[b"a\nb"]),
            (b"a\n\nb", &[b"a\n\nb"]),
            (b"a\r\rb", &[b"a\n\nb"]),
        ],
    )
}

/// WHATWG HTML 9.2.6: a blank line ends an event, a line with a name begins a field.
fn injection(site: &Site) -> Checked {
    all_carried(
        site,
        &[
            (b"x\n\nevent: evil\ndata: y", &[b"x\n\nevent: evil\ndata: y"]),
            (b"x\r\revent: evil\rdata: y", &[b"x\n\nevent: evil\ndata: y"]),
            (b"x\r\n\r\nid: evil\r\n\r\ndata: y", &[b"x\n\nid: evil\n\ndata: y"]),
            (b"retry: 1\n\n", &[b"retry: 1\n\n", b"retry: 1\n", b"retry: 1"]),
        ],
    )
}

/// Whether a publisher's own name or id reaches subscribers.
fn takes(site: &Site, field: Field) -> Result<bool, Broken> {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    let (_, status) = site.publish_with(topic, MARK, (field, "mine"))?;
    if !(200..300).contains(&status) {
        return Ok(false);
    }
    let event = stream.event()?;
    Ok(match field {
        Field::Name => event.name == b"mine",
        Field::Id => event.id.as_deref() == Some(b"mine"),
    })
}

/// A line end in a name or an id would begin a field; NUL in an id makes it none at all. Either
/// the publisher is refused, or the event comes as if the name were harmless.
fn field_injection(site: &Site) -> Checked {
    let mut refused_count = 0;
    let evil = ["x\ndata: evil", "x\revent: evil\rdata: evil", "x\r\n\r\ndata: evil", "x\0y"];
    let mut fields = Vec::new();
    for field in [Field::Name, Field::Id] {
        match takes(site, field) {
            Ok(true) => fields.push(field),
            Ok(false) | Err(Broken::Absent(_)) => {}
            Err(broken) => return Err(broken),
        }
    }
    if fields.is_empty() {
        takes(site, Field::Name)?;
        return Err(Broken::absent("the server takes neither names nor ids from publishers"));
    }
    let values = fields.iter().flat_map(|field| evil.map(|value| (*field, value)));
    let values: Vec<(Field, &str)> = values.collect();
    for &(field, value) in &values {
        let topic = site.topic();
        let mut stream = site.open(topic)?;
        let (probe, status) = site.publish_with(topic, b"innocent", (field, value))?;
        match status {
            200..300 => {
                let event = stream.event()?;
                if event.data != b"innocent" || event.name.starts_with(b"evil") {
                    let data = event.data.escape_ascii();
                    return Err(
                        stream.broken(format!("{field:?} {value:?} makes data of \"{data}\""))
                    );
                }
            }
            400..500 => refused_count += 1,
            status => return Err(probe.broken(format!("{field:?} {value:?} is answered {status}"))),
        }
        site.accepted(topic, MARK)?;
        let next = stream.event()?;
        if next.data != MARK {
            let data = next.data.escape_ascii();
            return Err(stream.broken(format!("{field:?} {value:?} makes an event \"{data}\"")));
        }
    }
    Ok(format!("{refused_count} of {} refused", values.len()))
}

/// WHATWG HTML 9.2.6: exactly one space behind the colon, and exactly one LF at the end of the
/// data, are removed. A server may take one line end at the end of a body for the end of the text.
fn blanks(site: &Site) -> Checked {
    all_carried(
        site,
        &[
            (b" x", &[b" x"]),
            (b"  x", &[b"  x"]),
            (b"x ", &[b"x "]),
            (b"\tx\t", &[b"\tx\t"]),
            (b": x", &[b": x"]),
            (b"x\n", &[b"x\n", b"x"]),
            (b"x\n\n", &[b"x\n\n", b"x\n"]),
        ],
    )
}

/// WHATWG HTML 9.2.6: one empty `data` line is an event with empty data.
fn empty(site: &Site) -> Checked {
    carried(site, b"", &[b""])
}

/// WHATWG HTML 9.2.5: LF, CR and CRLF end a line and nothing else does.
fn separators(site: &Site) -> Checked {
    let texts = ["a\u{2028}b", "a\u{2029}b", "a\u{85}b", "a\u{b}b", "a\u{c}b", "a\0b", "a\u{7f}b"];
    as_published(site, &texts)
}

/// WHATWG HTML 9.2.6, with several lines in each event, from several connections.
fn concurrent(site: &Site) -> Checked {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    let publication = |number: usize| {
        let line = format!("{number:04}").repeat(512);
        [line.as_str(); 4].join("\n").into_bytes()
    };
    let requests = site.publications(topic, PUBLISHERS_COUNT * EVENTS_COUNT, publication)?;
    std::thread::scope(|scope| {
        let parts = requests.chunks(EVENTS_COUNT).map(<[_]>::to_vec);
        let threads: Vec<_> = parts
            .map(|part| {
                let target = site.target();
                scope.spawn(move || part.iter().try_for_each(|one| target.send(one)))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    let mut missing: BTreeSet<Vec<u8>> =
        (0..PUBLISHERS_COUNT * EVENTS_COUNT).map(publication).collect();
    while !missing.is_empty() {
        let event = stream.event()?;
        let found = missing.iter().find(|one| event.data == **one).cloned();
        match found {
            Some(one) => missing.remove(&one),
            None if wraps(site)? => return Err(Broken::absent("the server wraps payloads")),
            None => return Err(stream.broken("an event is not one that was published")),
        };
    }
    Ok(format!("{} events of {PUBLISHERS_COUNT} publishers", PUBLISHERS_COUNT * EVENTS_COUNT))
}

/// WHATWG HTML 9.2.6: an empty event type is `message`; browsers call `onmessage` for no other.
fn unnamed(site: &Site) -> Checked {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    site.accepted(topic, b"no name")?;
    let event = stream.event()?;
    match event.name.as_slice() {
        b"" | b"message" => Ok("message".to_owned()),
        name => Err(stream.broken(format!("the event is called {}", name.escape_ascii()))),
    }
}

/// WHATWG HTML 9.2.6: whatever is no line end may stand in a name.
fn named(site: &Site) -> Checked {
    if !takes(site, Field::Name)? {
        return Err(Broken::absent("the server takes no names from publishers"));
    }
    let mut delivered_count = 0;
    let names = ["tick", "Tick", "a:b", "two words", "na\u{ef}ve"];
    for name in names {
        let topic = site.topic();
        let mut stream = site.open(topic)?;
        let (probe, status) = site.publish_with(topic, b"named", (Field::Name, name))?;
        match status {
            200..300 => {
                let event = stream.event()?;
                if event.name != name.as_bytes() {
                    let seen = event.name.escape_ascii();
                    return Err(stream.broken(format!("{name:?} arrives as \"{seen}\"")));
                }
                delivered_count += 1;
            }
            400..500 => {}
            status => return Err(probe.broken(format!("the name {name:?} is answered {status}"))),
        }
    }
    Ok(format!("{delivered_count} of {} names, the others refused", names.len()))
}

/// RFC 9110 15.5.14: 413 says that it is too large; silence says nothing.
fn large(site: &Site) -> Checked {
    let mut seen = Vec::new();
    for bytes in LARGE_BYTES {
        let topic = site.topic();
        let mut stream = site.open(topic)?;
        let kib = bytes / 1024;
        let (probe, status) = site.publish(topic, &vec![b'x'; bytes])?;
        match status {
            200..300 => {
                let event = stream.event()?;
                if event.data.iter().filter(|&&byte| byte == b'x').count() < bytes {
                    return Err(stream.broken(format!("an event of {kib} KiB is cut short")));
                }
                seen.push(format!("{kib} KiB whole"));
            }
            413 => seen.push(format!("{kib} KiB refused")),
            status => return Err(probe.broken(format!("{kib} KiB are answered {status}"))),
        }
    }
    Ok(seen.join(", "))
}

/// WHATWG HTML 9.2.5: streams are encoded as UTF-8, and there is no way to say otherwise.
fn not_utf_8(site: &Site) -> Checked {
    all_carried(site, &[(b"\xc3\x28", &[]), (b"a\xff", &[]), (b"\xed\xa0\x80", &[])])
}
