//! Settings of the reference hub that have no meaning here.
//!
//! The idea: each is named in a warning that says what holds instead. A value that could not be there
//! either is refused all the same: it is a slip that its author wants to hear of; and so is a
//! transport that joins several hubs, for without it each of them would have a part of the updates.
//!
//! Knows no setting that does mean something.

use super::super::directives::Directive;

/// What holds in place of variables without a meaning.
pub(super) const VARIABLES: [(&str, &str); 5] = [
    (
        TRANSPORT_URL,
        "history is kept in memory: --history-events, --history-age; its path is not opened, and \
         nothing is migrated",
    ),
    ("MERCURE_LICENSE", "there is no license to check"),
    ("GLOBAL_OPTIONS", "there is no Caddy; see the flags"),
    ("CADDY_EXTRA_CONFIG", "there is no Caddy; see the flags"),
    ("CADDY_SERVER_EXTRA_DIRECTIVES", "there is no Caddy; see the flags"),
];
const TRANSPORT_URL: &str = "MERCURE_TRANSPORT_URL";

/// What the words of a directive are.
#[derive(Clone, Copy)]
enum Words {
    Any,
    Time,
    Counts,
    Transport,
    TransportUrl,
}

const IN_MEMORY: &str = "history is kept in memory: --history-events, --history-age";
const NO_PAGE: &str = "there is no debugging page; see --start-page";

/// The same of directives.
const DIRECTIVES: [(&str, Words, &str); 17] = [
    ("transport", Words::Transport, IN_MEMORY),
    ("transport_url", Words::TransportUrl, IN_MEMORY),
    (
        "dispatch_timeout",
        Words::Time,
        "a subscriber that takes nothing is closed after --write-timeout",
    ),
    ("publish_timeout", Words::Time, "a publish waits for no subscriber"),
    (
        "write_timeout",
        Words::Time,
        "streams last until their token ends; they are not cut to spread them",
    ),
    (
        "subscriber_out_buffer",
        Words::Counts,
        "a subscriber is a position in the history and has no buffer",
    ),
    ("topic_selector_cache", Words::Counts, "selectors are indexed"),
    ("topic_matcher_cache", Words::Counts, "selectors are indexed"),
    ("subscriber_list_cache_size", Words::Counts, "subscribers are not listed to be matched"),
    ("name", Words::Any, "there is one hub"),
    ("ui", Words::Any, NO_PAGE),
    ("demo", Words::Any, NO_PAGE),
    ("debugger", Words::Any, NO_PAGE),
    ("playground", Words::Any, "there is no playground"),
    ("debug", Words::Any, "nothing is logged per connection or event"),
    ("metrics", Words::Any, "metrics are on the admin address; see --admin"),
    ("use_forwarded_headers", Words::Any, "addresses are those of connections"),
];

/// What holds in place of a directive.
///
/// # Errors
/// Why it cannot be: nobody knows it, or its value is none.
pub(super) fn instead_of(directive: &Directive) -> Result<&'static str, String> {
    let known = DIRECTIVES.iter().find(|(name, ..)| *name == directive.name);
    let (_, kind, instead) = known.ok_or("nobody knows this directive")?;
    let words: Vec<&str> = directive.words.iter().map(String::as_str).collect();
    match (kind, words.as_slice()) {
        (Words::Any, _) => {}
        (Words::Time, [word]) if seconds(word).is_some() => {}
        (Words::Time, _) => return Err("needs a time, such as 5s or 1m30s".into()),
        // Hubs before 0.18 had two.
        (Words::Counts, [_] | [_, _]) if words.iter().all(|word| word.parse::<i64>().is_ok()) => {}
        (Words::Counts, _) => return Err("needs a number".into()),
        (Words::Transport, [name]) => transport(name, &directive.block)?,
        (Words::TransportUrl, [url]) => transport_url(url)?,
        (Words::Transport | Words::TransportUrl, _) => return Err("needs one value".into()),
    }
    Ok(instead)
}

/// Looks at a variable without a meaning.
///
/// # Errors
/// Why its value cannot be.
pub(super) fn check_variable(name: &str, value: &str) -> Result<(), String> {
    if name == TRANSPORT_URL { transport_url(value) } else { Ok(()) }
}

fn known_transport(name: &str) -> Result<(), String> {
    match name {
        "bolt" | "local" | "null" => Ok(()),
        _ => Err(format!(
            "{name:?} is no transport here: bolt and local are taken, and stand for a history in \
             memory. Hubs do not share their updates: run one, or publish to each"
        )),
    }
}

fn transport(name: &str, block: &[Directive]) -> Result<(), String> {
    known_transport(name)?;
    for option in block {
        let is_known = match (option.name.as_str(), option.words.as_slice()) {
            _ if name != "bolt" => false,
            ("path" | "bucket_name", [_]) => true,
            ("size", [size]) => size.parse::<u64>().is_ok(),
            ("cleanup_frequency", [chance]) => {
                chance.parse().is_ok_and(|chance: f64| (0.0..=1.0).contains(&chance))
            }
            _ => false,
        };
        if !is_known {
            return Err(format!(
                "{} in its block: bolt has path, bucket_name, size (a number) and \
                 cleanup_frequency (0 to 1), local has nothing",
                option.name
            ));
        }
    }
    Ok(())
}

fn transport_url(url: &str) -> Result<(), String> {
    known_transport(url.split_once(':').map_or(url, |(scheme, _)| scheme))
}

/// Seconds of a time as Go and Caddy write it: numbers with units, one after the other.
pub(super) fn seconds(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = number.parse().ok().filter(|_| is_number)?;
        seconds += number * unit_seconds;
        rest = tail;
    }
    (!text.is_empty()).then_some(seconds)
}
