//! Points about a server that is restarted: how streams end, and what their ids are worth then.

use super::point::{Broken, Checked, Level, Point};
use super::resume;
use super::site::Site;
use super::stream::{Ending, Stream};

/// The points, in order.
pub(super) const POINTS: &[Point] = &[
    Point {
        id: "R6",
        level: Level::Should,
        rule: "a server that stops ends its streams behind whole events",
        source: "WHATWG HTML 9.2.6: an event that is not closed is dropped; RFC 9112 7.1, 9.6",
        check: ends_well,
    },
    Point {
        id: "R5",
        level: Level::Should,
        rule: "an id is good after a restart, or the stream says that it is not",
        source: "WHATWG HTML 9.2.4; no standard has a signal for it",
        check: id_after_restart,
    },
];

/// RFC 9112 7.1: a chunked body ends with its last chunk. WHATWG HTML 9.2.6: a block that no
/// blank line has closed is thrown away.
fn ends_well(site: &Site) -> Checked {
    let topic = site.topic();
    let mut stream = site.open(topic)?;
    if site.recipe.is_some() {
        site.accepted(topic, b"the last")?;
    }
    site.hooks.restart(site.url.address)?;
    if site.recipe.is_some() {
        stream.event()?;
    }
    match stream.ending(site.patience)? {
        None => return Err(Broken::absent("an end: the stream outlived the restart")),
        Some(Ending::Reset) => return Err(stream.broken("the connection was reset")),
        Some(Ending::Cut) => return Err(stream.broken("the last chunk is missing")),
        Some(Ending::Proper) => {}
    }
    match stream.unfinished() {
        Some(rest) => Err(stream.broken(format!("the end is within an event: {rest:?}"))),
        None => Ok("what was published before, then the end".to_owned()),
    }
}

/// Either the history has outlived the restart, or the stream says that it has not: by an event
/// of the server's own or by a header field.
fn id_after_restart(site: &Site) -> Checked {
    let topic = site.topic();
    let (stream, ids) = resume::ids(site, topic, 2)?;
    drop(stream);
    site.hooks.restart(site.url.address)?;
    let id = resume::as_text(&ids[0])?;
    let mut stream = Stream::open(site, &site.ask(topic).field(format!("Last-Event-ID: {id}")))?;
    site.accepted(topic, b"after the restart")?;
    if let Some(told) = resume::told_by_field(&stream, id) {
        return Ok(told);
    }
    let event = stream.event()?;
    let holds = |part: &[u8]| memchr::memmem::find(&event.data, part).is_some();
    if event.id.as_ref() == Some(&ids[1]) {
        return Ok("the history outlives the restart".to_owned());
    }
    if holds(b"after the restart") {
        return Err(stream.broken("what was missed is gone, and nothing says so"));
    }
    Ok(format!("told by an event \"{}\"", event.name.escape_ascii()))
}
