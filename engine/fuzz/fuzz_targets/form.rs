//! Forms: what a naive decoder reads is what is read or refused; an update that is accepted becomes
//! exactly the event that its fields say, and no field of it becomes a line of its own.
//!
//! The input is a form as it came, and one made of fields, which gets behind the percent-encoding.

#![no_main]

use std::fmt::Write;

use downpour::event::{Epoch, EventId, RETRY_MS_MAX};
use downpour::mercure::form::{Form, PAIRS_MAX};
use downpour::mercure::update::Update;
use downpour::mercure::{Speaks, Version};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

const HUB: &str = "https://hub.example/.well-known/mercure";
const NAMES: [&str; 7] = ["topic", "topic", "data", "id", "type", "retry", "private"];

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    raw: &'a [u8],
    /// Fields by the number of their name.
    fields: Vec<(u8, &'a str)>,
}

fuzz_target!(|input: Input<'_>| {
    check(input.raw);
    let mut text = String::new();
    for (name, value) in input.fields {
        _ = write!(text, "&{}=", NAMES[usize::from(name) % NAMES.len()]);
        value.bytes().for_each(|byte| _ = write!(text, "%{byte:02x}"));
    }
    check(text.as_bytes());
});

fn check(text: &[u8]) {
    let form = Form::parse(text);
    let expected = decoded(text);
    let read = form.as_ref().ok().map(|form| {
        form.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    });
    assert_eq!(read, expected, "{}", text.escape_ascii());
    let (Ok(form), Some(pairs)) = (form, expected) else { return };
    for version in [Version::V0, Version::V1] {
        let update = Update::read(&form, version);
        let taken = update.ok().filter(|update| update.check(version, Speaks::Both, HUB).is_ok());
        if let Some(update) = taken {
            let is_own = |topic: &String| topic.contains("/.well-known/mercure");
            assert!(version == Version::V1 || !update.topics.iter().any(is_own));
            check_update(&update, version, &pairs);
        }
    }
}

/// The pairs of a form, read byte by byte; none when something of it is wrong.
fn decoded(text: &[u8]) -> Option<Vec<(String, String)>> {
    std::str::from_utf8(text).ok()?;
    let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let pairs: Option<Vec<_>> = pairs
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            Some((unescaped(&pair[..at])?, unescaped(pair.get(at + 1..).unwrap_or_default())?))
        })
        .collect();
    pairs.filter(|pairs| pairs.len() <= PAIRS_MAX)
}

fn unescaped(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let digits = std::str::from_utf8(text.get(at + 1..at + 3)?).ok()?;
                let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                bytes.push(is_hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()?);
                at += 2;
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
        at += 1;
    }
    String::from_utf8(bytes).ok()
}

/// What an update became, against the pairs it was made of.
fn check_update(update: &Update, version: Version, pairs: &[(String, String)]) {
    let first = |name: &str| {
        pairs.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
    };
    let mut topics: Vec<&str> = Vec::new();
    for (_, topic) in pairs.iter().filter(|(name, _)| name == "topic") {
        assert!(version == Version::V0 || !topic.chars().any(char::is_control));
        if !topics.contains(&topic.as_str()) {
            topics.push(topic);
        }
    }
    assert_eq!(update.private, pairs.iter().any(|(name, _)| name == "private"));
    let alternates: Vec<&str> = update.topics[1..].iter().map(String::as_str).collect();
    let Ok(draft) = update.event(&alternates).encode() else { return };
    let frame = draft.number(EventId { epoch: Epoch::new(1), sequence: 1 }, 0);
    assert_eq!(frame.topics().collect::<Vec<_>>(), topics);
    assert_eq!(frame.is_private(), update.private);
    let wire = std::str::from_utf8(frame.wire()).expect("text");
    let text = wire.strip_suffix("\n\n").expect("ends with an empty line");
    assert!(!text.contains('\r'));
    let mut lines = text.split('\n').peekable();
    let mut field = |name: &str| lines.next_if(|line| line.starts_with(name));
    let value = |line: Option<&str>, name: &str| line.map(|line| line[name.len()..].to_owned());
    let event = value(field("event: "), "event: ").unwrap_or_default();
    assert_eq!(event, first("type"));
    let retry = value(field("retry: "), "retry: ").unwrap_or("0".into());
    let wanted = first("retry").parse().map_or(0, |wanted: u64| wanted.min(RETRY_MS_MAX));
    assert_eq!(retry.parse(), Ok(wanted));
    let id = value(field("id: "), "id: ").expect("each has one");
    assert!(if first("id").is_empty() { id.starts_with("urn:uuid:") } else { id == first("id") });
    let data: Option<Vec<&str>> = lines.map(|line| line.strip_prefix("data: ")).collect();
    let sent = first("data").replace("\r\n", "\n").replace('\r', "\n");
    assert_eq!(data.expect("nothing but data").join("\n"), sent);
}
