//! Points about the head of a stream: what opens it, and what keeps proxies from holding it.

use super::point::{Broken, Checked, Level, Point};
use super::probe::{Answer, Probe};
use super::site::{Site, Target};
use super::stream::Stream;
use crate::profile::Url;

/// Redirects that a client follows (WHATWG Fetch, HTTP-redirect fetch, has 20).
const REDIRECTS_COUNT_MAX: usize = 20;

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "H1",
        level: Level::Must,
        rule: "a stream is answered 200 with the type text/event-stream",
        source: "WHATWG HTML 9.2.2",
        check: opens,
    },
    Point {
        id: "H2",
        level: Level::Should,
        rule: "the head comes at once, before any event",
        source: "WHATWG HTML 9.2.3: open is fired at the head",
        check: head_at_once,
    },
    Point {
        id: "H3",
        level: Level::Should,
        rule: "Cache-Control keeps caches and compressing proxies away",
        source: "RFC 9111 5.2.2.4 to 5.2.2.6",
        check: cache_control,
    },
    Point {
        id: "H4",
        level: Level::Should,
        rule: "X-Accel-Buffering: no keeps nginx from buffering",
        source: "nginx, proxy_buffering",
        check: accel_buffering,
    },
    Point {
        id: "H5a",
        level: Level::Must,
        rule: "the stream is chunked, or ends with its connection, and has no length",
        source: "RFC 9112 6.1, 6.2, 6.3",
        check: framing,
    },
    Point {
        id: "H5b",
        level: Level::Should,
        rule: "a stream that ends with its connection says so in its head",
        source: "RFC 9112 9.6",
        check: close_is_said,
    },
    Point {
        id: "H6",
        level: Level::Must,
        rule: "an HTTP/1.0 request gets a stream without chunks",
        source: "RFC 9112 6.1",
        check: http_1_0,
    },
    Point {
        id: "H12",
        level: Level::Should,
        rule: "every usual Accept, and none, gets the stream",
        source: "RFC 9110 12.5.1",
        check: accept,
    },
    Point {
        id: "H14",
        level: Level::Should,
        rule: "with Accept-Encoding the stream is not compressed, and events come at once",
        source: "RFC 9110 12.5.3; identity is always acceptable",
        check: accept_encoding,
    },
    Point {
        id: "S13",
        level: Level::Should,
        rule: "padding=true in the query, as polyfills send it, does no harm",
        source: "Yaffle/EventSource",
        check: padding,
    },
    Point {
        id: "H18a",
        level: Level::Should,
        rule: "a stream that is over for good is answered 204",
        source: "WHATWG HTML 9.2.1; RFC 9110 15.3.5",
        check: over_for_good,
    },
    Point {
        id: "H18b",
        level: Level::Should,
        rule: "a stream that has moved is found by its redirect",
        source: "RFC 9110 15.4, 10.2.2; WHATWG HTML 9.2.1",
        check: moved,
    },
];

/// WHATWG HTML 9.2.2: any other status or type fails the connection for good.
fn opens(site: &Site) -> Checked {
    let stream = site.open(site.topic())?;
    Ok(stream.answer.field("content-type").unwrap_or_default())
}

/// WHATWG HTML 9.2.3: the connection is announced when the head is there.
fn head_at_once(site: &Site) -> Checked {
    let stream = site.open(site.topic())?;
    let took = stream.answer.took;
    if took > site.prompt {
        return Err(stream.broken(format!("the head took {} ms", took.as_millis())));
    }
    Ok(format!("{} ms", took.as_millis()))
}

/// RFC 9111 5.2.2: no-store or no-cache, and no-transform against compression on the way.
fn cache_control(site: &Site) -> Checked {
    let stream = site.open(site.topic())?;
    let lists = |member| stream.answer.lists("cache-control", member);
    let value = stream.answer.field("cache-control").unwrap_or_else(|| "absent".to_owned());
    if !lists("no-store") && !lists("no-cache") {
        return Err(stream.broken(format!("Cache-Control is {value}: no-cache is missing")));
    }
    if !lists("no-transform") {
        return Err(stream.broken(format!("Cache-Control is {value}: no-transform is missing")));
    }
    Ok(value)
}

/// nginx buffers every answer of an upstream that does not say otherwise.
fn accel_buffering(site: &Site) -> Checked {
    let stream = site.open(site.topic())?;
    match stream.answer.field("x-accel-buffering") {
        Some(value) if value.eq_ignore_ascii_case("no") => Ok("no".to_owned()),
        Some(value) => Err(stream.broken(format!("X-Accel-Buffering is {value}"))),
        None => Err(stream.broken("X-Accel-Buffering is absent")),
    }
}

/// RFC 9112 6.1 and 6.3 name the framings; a stream has no length (6.2).
fn framing(site: &Site) -> Checked {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    if let Some(length) = stream.answer.field("content-length") {
        return Err(stream.broken(format!("Content-Length is {length}")));
    }
    if site.recipe.is_some() {
        // A broken chunk shows only when it is read.
        site.accepted(topic, b"framed")?;
        stream.event()?;
    }
    let chunked = stream.answer.lists("transfer-encoding", "chunked");
    Ok(if chunked { "chunked" } else { "until the connection ends" }.to_owned())
}

/// RFC 9112 9.6: who intends to end the connection behind an answer says so.
fn close_is_said(site: &Site) -> Checked {
    let stream = site.open(site.topic())?;
    if stream.answer.lists("transfer-encoding", "chunked") {
        return Ok("chunked: nothing has to be said".to_owned());
    }
    match stream.answer.head.closes {
        true => Ok("Connection: close".to_owned()),
        false => Err(stream.broken("neither chunked nor Connection: close")),
    }
}

/// RFC 9112 6.1: no Transfer-Encoding unless the request shows HTTP/1.1. nginx asked its
/// upstreams by HTTP/1.0 for years.
fn http_1_0(site: &Site) -> Checked {
    for connection in [None, Some("Connection: close"), Some("Connection: keep-alive")] {
        let topic = site.topic();
        let mut asked = site.ask(topic);
        asked.version = "1.0";
        if let Some(field) = connection {
            asked = asked.field(field);
        }
        let shown = connection.unwrap_or("no Connection field");
        let mut stream = Stream::open(site, &asked).map_err(|broken| broken.behind(shown))?;
        for name in ["transfer-encoding", "content-length"] {
            if let Some(value) = stream.answer.field(name) {
                return Err(stream.broken(format!("{name}: {value} in answer to HTTP/1.0")));
            }
        }
        if site.recipe.is_some() {
            site.accepted(topic, b"one")?;
            stream.event()?;
        }
        if stream.has_ended() {
            return Err(stream.broken("the stream ended at once"));
        }
    }
    Ok("streams with and without keep-alive".to_owned())
}

/// RFC 9110 12.5.1: without Accept any type will do; `EventSource` names its own.
fn accept(site: &Site) -> Checked {
    for value in [Some("text/event-stream"), Some("*/*"), Some("text/*;q=0.5, */*;q=0.1"), None] {
        let mut asked = site.ask(site.topic()).without("accept");
        if let Some(value) = value {
            asked = asked.field(format!("Accept: {value}"));
        }
        let shown = value.map_or("no Accept".to_owned(), |value| format!("Accept: {value}"));
        Stream::open(site, &asked).map_err(|broken| broken.behind(&shown))?;
    }
    let other = site.ask(site.topic()).without("accept").field("Accept: application/json");
    let (probe, answer) = site.answer(&other)?;
    match answer.head.status {
        status @ (200 | 406) => Ok(format!("application/json is answered {status}")),
        status => Err(probe.broken(format!("Accept: application/json is answered {status}"))),
    }
}

/// RFC 9110 12.5.3: identity is acceptable unless excluded; an encoder that is not flushed at
/// each event holds it back.
fn accept_encoding(site: &Site) -> Checked {
    let topic = site.topic();
    let asked = site.ask(topic).field("Accept-Encoding: gzip, deflate, br, zstd");
    let mut stream = Stream::open(site, &asked)?;
    let encoding = stream.answer.field("content-encoding").unwrap_or_default();
    if !matches!(encoding.to_ascii_lowercase().as_str(), "" | "identity") {
        // What this program does not decode it cannot judge.
        return Err(Broken::absent(format!("the stream is encoded with {encoding}")));
    }
    if site.recipe.is_some() {
        site.accepted(topic, b"small")?;
        if stream.next_within(site.prompt)?.is_none() {
            return Err(stream.broken("a small event is held back"));
        }
    }
    Ok("identity".to_owned())
}

/// Polyfills ask for 2 KiB of comment in front; who does not know the parameter ignores it.
fn padding(site: &Site) -> Checked {
    let topic = site.topic();
    let mut stream = Stream::open(site, &site.ask(topic).query("padding=true"))?;
    if site.recipe.is_some() {
        site.accepted(topic, b"behind")?;
        stream.event()?;
    }
    Ok(format!("{} comments in front", stream.comments_count))
}

/// WHATWG HTML 9.2.1: 204 is how a client is told to stop reconnecting.
fn over_for_good(site: &Site) -> Checked {
    let url = site.hooks.ended.as_ref();
    let url =
        url.ok_or_else(|| Broken::absent("an address that is over for good: give --ended"))?;
    let (probe, answer) = answer_at(site, url)?;
    match answer.head.status {
        204 => Ok("204".to_owned()),
        status => Err(probe.broken(format!("a stream that is over is answered {status}"))),
    }
}

/// WHATWG HTML 9.2.1: redirects are followed as in any request.
fn moved(site: &Site) -> Checked {
    let url = site.hooks.moved.as_ref();
    let url = url.ok_or_else(|| Broken::absent("an address that has moved: give --moved"))?;
    let (mut url, mut statuses) = (url.clone(), Vec::new());
    for _ in 0..=REDIRECTS_COUNT_MAX {
        let (probe, answer) = answer_at(site, &url)?;
        let status = answer.head.status;
        match status {
            301 | 302 | 307 | 308 => statuses.push(status.to_string()),
            200 if !statuses.is_empty() && answer.head.is_event_stream => {
                return Ok(format!("{} to a stream", statuses.join(", ")));
            }
            _ => return Err(probe.broken(format!("{status} where a redirect or a stream was due"))),
        }
        let place = answer.field("location");
        let place = place.ok_or_else(|| probe.broken(format!("{status} without Location")))?;
        url =
            target_of(&url, &place).map_err(|error| probe.broken(format!("Location: {error}")))?;
    }
    Err(Broken::fails(format!("{REDIRECTS_COUNT_MAX} redirects lead to no stream")))
}

/// Where a Location leads, as servers write it: an address, or a path (RFC 9110 10.2.2).
fn target_of(from: &Url, place: &str) -> Result<Url, String> {
    match place.strip_prefix('/') {
        Some(path) if !path.starts_with('/') => Ok(Url { path: place.to_owned(), ..from.clone() }),
        _ => Ok(Url::parse(place)?),
    }
}

/// The stream's request, sent to another address.
fn answer_at(site: &Site, url: &Url) -> Result<(Probe, Answer), Broken> {
    let mut asked = site.ask(site.topic()).instead(&format!("Host: {}", url.authority));
    asked.target = if url.path.is_empty() { "/".to_owned() } else { url.path.clone() };
    let mut probe = Probe::connect_to(Target { address: url.address, patience: site.patience })?;
    let answer = probe.exchange(&asked.bytes(), false)?;
    Ok((probe, answer))
}
