use super::*;

/// What a stream said, in memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Id(String),
    Event(String, String),
    Retry(u64),
    Comment,
}

fn said(item: &Item<'_>) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match item {
        Item::Id(id) => Said::Id(text(id)),
        Item::Event { name, data } => Said::Event(text(name), text(data)),
        Item::Retry(milliseconds) => Said::Retry(*milliseconds),
        Item::Comment => Said::Comment,
    }
}

fn decode(pieces: &[&[u8]]) -> Vec<Said> {
    let mut decoder = Decoder::default();
    let mut all = Vec::new();
    for piece in pieces {
        decoder.feed(piece, |item| all.push(said(&item)));
    }
    all
}

fn event(data: &str) -> Said {
    Said::Event(String::new(), data.to_owned())
}

fn named(name: &str, data: &str) -> Said {
    Said::Event(name.to_owned(), data.to_owned())
}

fn id(id: &str) -> Said {
    Said::Id(id.to_owned())
}

/// The rules of the standard, each with a stream that shows it.
fn rules() -> Vec<(&'static str, &'static [u8], Vec<Said>)> {
    vec![
        ("a block with data is an event", b"data: a\n\n", vec![event("a")]),
        ("lines are joined by LF", b"data: a\ndata: b\ndata:\n\n", vec![event("a\nb\n")]),
        ("an empty data line is an event", b"data:\n\n", vec![event("")]),
        ("a field without a colon has an empty value", b"data\n\n", vec![event("")]),
        ("two of them are one LF", b"data\ndata\n\n", vec![event("\n")]),
        ("exactly one space is taken off", b"data:  a \ndata:b\n\n", vec![event(" a \nb")]),
        ("a tab is not a space", b"data:\ta\n\n", vec![event("\ta")]),
        ("CR ends a line", b"data: a\rdata: b\r\r", vec![event("a\nb")]),
        ("CRLF is one end", b"data: a\r\ndata: b\r\n\r\n", vec![event("a\nb")]),
        ("ends may be mixed", b"data: a\rdata: b\ndata: c\r\n\n", vec![event("a\nb\nc")]),
        ("LF CR is two ends", b"data: a\n\rdata: b\n\n", vec![event("a"), event("b")]),
        (
            "the name goes with its event only",
            b"event: x\ndata: a\n\ndata: b\n\n",
            vec![named("x", "a"), event("b")],
        ),
        ("the last name counts", b"event: x\nevent: y\ndata: a\n\n", vec![named("y", "a")]),
        ("an empty name is no name", b"event: x\nevent\ndata: a\n\n", vec![event("a")]),
        ("a name without data is no event", b"event: x\n\ndata: a\n\n", vec![event("a")]),
        ("an id stands before its event", b"data: a\nid: 7\n\n", vec![id("7"), event("a")]),
        ("an id alone is stored, not dispatched", b"id: 7\n\n", vec![id("7")]),
        ("an empty id is an id", b"id\ndata: a\n\n", vec![id(""), event("a")]),
        ("an id with NUL is ignored", b"id: 7\0\ndata: a\n\n", vec![event("a")]),
        ("... and leaves the one before", b"id: 7\nid: 8\0\n\n", vec![id("7")]),
        ("a number sets the retry", b"retry: 1500\n\n", vec![Said::Retry(1500)]),
        ("retry counts without a block end", b"retry:3\ndata: a", vec![Said::Retry(3)]),
        ("retry is digits only", b"retry: 1x\nretry: -1\nretry\nretry: 1 \nretry:+5\n\n", vec![]),
        ("an endless retry is ignored", b"retry: 99999999999999999999999\n\n", vec![]),
        ("a comment is not a field", b":data: a\n:\n\n", vec![Said::Comment, Said::Comment]),
        (
            "a comment leaves the block open",
            b"data: a\n: c\ndata: b\n\n",
            vec![Said::Comment, event("a\nb")],
        ),
        ("unknown fields are ignored", b"Data: a\ndata : b\n data: c\nx: d\n\n", vec![]),
        ("one byte order mark is skipped", b"\xEF\xBB\xBFdata: a\n\n", vec![event("a")]),
        ("a second one is content", b"\xEF\xBB\xBF\xEF\xBB\xBFdata: a\n\n", vec![]),
        ("a later one is content", b"\n\xEF\xBB\xBFdata: a\n\n", vec![]),
        ("a mark alone makes no event", b"\xEF\xBB\xBF\n\n", vec![]),
        ("half a mark is content", b"\xEF\xBBdata: a\n\n", vec![]),
        ("blank lines alone say nothing", b"\n\r\r\n\n", vec![]),
        ("what is not closed is discarded", b"data: a\n\ndata: b\n", vec![event("a")]),
        ("... the id too", b"data: a\nid: 7\n", vec![]),
        ("a colon in a value is content", b"data: a:b: c\n\n", vec![event("a:b: c")]),
        (
            "Unicode line ends are content",
            "data: a\u{2028}b\u{85}c\u{b}d\u{c}e\n\n".as_bytes(),
            vec![event("a\u{2028}b\u{85}c\u{b}d\u{c}e")],
        ),
        ("NUL in data is content", b"data: a\0b\n\n", vec![event("a\0b")]),
        (
            "many events in one piece",
            b"data: 1\n\ndata: 2\n\nid: 3\n\ndata: 4\n\n",
            vec![event("1"), event("2"), id("3"), event("4")],
        ),
    ]
}

#[test]
fn every_rule_holds_in_one_piece() {
    for (rule, stream, expected) in rules() {
        assert_eq!(decode(&[stream]), expected, "{rule}");
    }
}

#[test]
fn every_rule_holds_at_every_pair_of_splits() {
    for (rule, stream, expected) in rules() {
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                assert_eq!(decode(&pieces), expected, "{rule}, split at {first} and {second}");
            }
        }
    }
}

#[test]
fn every_rule_holds_in_pieces_of_every_size() {
    for (rule, stream, expected) in rules() {
        for size in 1..=stream.len() {
            let pieces: Vec<&[u8]> = stream.chunks(size).collect();
            assert_eq!(decode(&pieces), expected, "{rule}, in pieces of {size}");
        }
    }
}

#[test]
fn nothing_is_carried_once_an_event_is_closed() {
    let mut decoder = Decoder::default();
    decoder.feed(b"data: a\r\n\r", |_| {});
    assert!(decoder.carry.is_none());
    decoder.feed(b"\ndata: b", |_| {});
    assert!(decoder.carry.is_some());
    decoder.feed(b"\n\n", |_| {});
    assert!(decoder.carry.is_none());
}

#[test]
fn a_decoder_at_rest_is_sixteen_bytes() {
    assert_eq!(size_of::<Decoder>(), 16);
}

#[test]
fn an_event_of_a_megabyte_comes_through_in_small_pieces() {
    let data = "x".repeat(1 << 20);
    let stream = format!("data: {data}\n\n");
    let pieces: Vec<&[u8]> = stream.as_bytes().chunks(997).collect();
    assert_eq!(decode(&pieces), [event(&data)]);
}
