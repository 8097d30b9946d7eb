//! Who gets what: every selection with every grant and every update, against a table of what each
//! selector matches that is written by hand; live, from the earliest, and from the middle.
//!
//! The rule of both versions is one: an update comes to who selects one of its topics, and if it is
//! private only to who is granted one of its topics, which may be another.

use crate::harness::{Backend, on_both_backends};
use crate::rig::{Hub, RESOURCE, Stream, access, access_all, all, bearer, detail, token};

on_both_backends![
    updates_of_version_0_come_to_those_who_select_and_may_see_them,
    updates_of_version_1_come_to_those_who_select_and_may_see_them,
];

const TOPICS: [&str; 3] =
    ["https://e.example/a", "https://e.example/b", "https://e.example/users/1/x"];
/// A topic of the last update only, by which those who get nothing learn that it is the last.
const LAST: &str = "https://e.example/last/of/all";

#[derive(Clone, Copy, Debug)]
struct Selector {
    /// Its spelling in version 0, and in version 1 with whether it is a URL pattern there.
    old: &'static str,
    new: (&'static str, bool),
    /// Which of `TOPICS` it matches.
    matches: &'static [usize],
}

const SELECTORS: [Selector; 7] = [
    Selector { old: TOPICS[0], new: (TOPICS[0], false), matches: &[0] },
    Selector { old: TOPICS[1], new: (TOPICS[1], false), matches: &[1] },
    Selector { old: "*", new: ("*", false), matches: &[0, 1, 2] },
    Selector {
        old: "https://e.example/{id}",
        new: ("https://e.example/:id", true),
        matches: &[0, 1],
    },
    Selector {
        old: "https://e.example/users/{id}/x",
        new: ("https://e.example/users/:id/x", true),
        matches: &[2],
    },
    Selector { old: "{+any}", new: ("https://*.example/*", true), matches: &[0, 1, 2] },
    Selector { old: "none", new: ("none", false), matches: &[] },
];

#[derive(Debug)]
struct Update {
    topics: Vec<usize>,
    is_private: bool,
}

#[derive(Debug)]
struct Subscriber {
    selects: Vec<Selector>,
    granted: Option<Selector>,
}

#[derive(Clone, Copy)]
enum Version {
    Old,
    New,
}

/// All but letters and digits escaped.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

impl Subscriber {
    fn gets(&self, update: &Update) -> bool {
        let has = |selector: &Selector| update.topics.iter().any(|t| selector.matches.contains(t));
        self.selects.iter().any(has) && (!update.is_private || self.granted.iter().any(has))
    }

    fn query(&self, version: Version) -> String {
        let of = |selector: &Selector| match (version, selector.new) {
            (Version::Old, _) => format!("topic={}", escaped(selector.old)),
            (Version::New, (text, false)) => format!("match={}", escaped(text)),
            (Version::New, (text, true)) => format!("match_urlpattern={}", escaped(text)),
        };
        let mut names: Vec<String> = self.selects.iter().map(of).collect();
        let last = if matches!(version, Version::Old) { "topic" } else { "match" };
        names.push(format!("{last}={}", escaped(LAST)));
        names.join("&")
    }

    fn headers(&self, version: Version) -> Vec<String> {
        let Some(granted) = self.granted else { return Vec::new() };
        let token = match (version, granted.new) {
            (Version::Old, _) => token(&format!(r#"{{"subscribe":["{}"]}}"#, granted.old)),
            (Version::New, (text, is_pattern)) => {
                let kind = if is_pattern { "urlpattern" } else { "exact" };
                let topic = format!(r#"{{"match":"{text}","match_type":"{kind}"}}"#);
                access(&detail(r#""subscribe""#, &topic))
            }
        };
        vec![bearer(&token)]
    }
}

/// Every set of topics, in both orders, public and private.
fn updates() -> Vec<Update> {
    let mut updates = Vec::new();
    for set in 1_usize..8 {
        let topics: Vec<usize> = (0..3).filter(|topic| set >> topic & 1 == 1).collect();
        for is_private in [false, true] {
            updates.push(Update { topics: topics.clone(), is_private });
            updates.push(Update { topics: topics.iter().rev().copied().collect(), is_private });
        }
    }
    updates
}

/// Each selector, and two together, with each grant and without one.
fn subscribers() -> Vec<Subscriber> {
    let mut selections: Vec<Vec<Selector>> = SELECTORS.iter().map(|one| vec![*one]).collect();
    selections.push(vec![SELECTORS[0], SELECTORS[4]]);
    let grants = || SELECTORS.into_iter().map(Some).chain([None]);
    let with = |selects: &Vec<Selector>| {
        let selects = selects.clone();
        grants().map(move |granted| Subscriber { selects: selects.clone(), granted })
    };
    selections.iter().flat_map(with).collect()
}

/// The numbers of the updates that come before the last.
fn until_last(stream: &mut Stream) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        match stream.data().as_str() {
            "last" => return numbers,
            number => numbers.push(number.parse().expect("a number")),
        }
    }
}

fn who_gets_what(hub: &Hub, version: Version, publisher: &str) {
    let (updates, subscribers) = (updates(), subscribers());
    let open = |subscriber: &Subscriber, more: &str| {
        let headers = subscriber.headers(version);
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        hub.stream(&format!("{}{more}", subscriber.query(version)), &headers)
    };
    let live: Vec<Stream> = subscribers.iter().map(|subscriber| open(subscriber, "")).collect();
    for (number, update) in updates.iter().enumerate() {
        let topics = update.topics.iter().map(|topic| format!("topic={}", escaped(TOPICS[*topic])));
        let private = if update.is_private { "&private=on" } else { "" };
        let topics = topics.collect::<Vec<String>>().join("&");
        let form = format!("{topics}{private}&data={number}&id=update-{number}");
        assert_eq!(hub.post(publisher, &form).status, 200, "{form}");
    }
    let last = format!("topic={}&data=last", escaped(LAST));
    assert_eq!(hub.post(publisher, &last).status, 200);
    let cursor = if matches!(version, Version::Old) { "lastEventID" } else { "last_event_id" };
    let middle = updates.len() / 2;
    for (subscriber, mut live) in subscribers.iter().zip(live) {
        let numbers = 0..updates.len();
        let gets: Vec<usize> = numbers.filter(|n| subscriber.gets(&updates[*n])).collect();
        assert_eq!(until_last(&mut live), gets, "live: {subscriber:?}");
        let mut earliest = open(subscriber, &format!("&{cursor}=earliest"));
        assert_eq!(until_last(&mut earliest), gets, "from the earliest: {subscriber:?}");
        let mut later = open(subscriber, &format!("&{cursor}=update-{middle}"));
        let rest: Vec<usize> = gets.into_iter().filter(|number| *number > middle).collect();
        assert_eq!(until_last(&mut later), rest, "from the middle: {subscriber:?}");
    }
}

fn updates_of_version_0_come_to_those_who_select_and_may_see_them(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    who_gets_what(&hub, Version::Old, &all());
}

fn updates_of_version_1_come_to_those_who_select_and_may_see_them(backend: Backend) {
    let hub = Hub::start(backend, "1", &format!("anonymous\nresource_identifier {RESOURCE}"));
    who_gets_what(&hub, Version::New, &access_all());
}
