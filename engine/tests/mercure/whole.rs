//! Nothing is lost, doubled or shown to others while streams come and go.

use std::collections::BTreeMap;
use std::thread;

use crate::harness::wire::{Wire, request};
use crate::harness::{Backend, on_both_backends};
use crate::rig::{FORM, HUB, Hub, all, bearer, token};

on_both_backends![
    a_stream_taken_up_again_and_again_is_whole,
    secrets_stay_with_their_owners_while_streams_come_and_go,
    the_list_is_what_the_events_say,
    every_control_character_stays_where_it_was_put_or_is_refused,
];

const LIST: &str = "/.well-known/mercure/subscriptions";

/// Publishes on a connection of its own.
fn publish(wire: &mut Wire, form: &str) -> u16 {
    wire.send(request("POST", HUB, &[FORM, &bearer(&all())], form.as_bytes()));
    wire.response().status
}

fn a_stream_taken_up_again_and_again_is_whole(backend: Backend) {
    const UPDATES: usize = 400;
    /// Events between two reconnections; not a divisor of anything.
    const PIECE: usize = 7;
    let hub = Hub::start(backend, "8", "anonymous");
    let mut last = hub.publish("topic=t&data=before");
    let mut wire = hub.engine.connect();
    let publisher = thread::spawn(move || {
        for number in 0..UPDATES {
            // Ids of both kinds.
            let id = if number % 2 == 0 { String::new() } else { format!("&id=own-{number}") };
            assert_eq!(publish(&mut wire, &format!("topic=t&data={number}{id}")), 200);
        }
    });
    let mut seen = Vec::new();
    while seen.len() < UPDATES {
        let selector = ["t", "%7Bt%7D", "*"][seen.len() % 3];
        let mut stream = hub.stream(&format!("topic={selector}&lastEventID={last}"), &[]);
        for _ in 0..PIECE.min(UPDATES - seen.len()) {
            let (event, data, id) = stream.event();
            assert_eq!(event, "message", "{data}");
            seen.push(data);
            last = id;
        }
    }
    let expected: Vec<String> = (0..UPDATES).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
    publisher.join().expect("all were taken");
}

fn secrets_stay_with_their_owners_while_streams_come_and_go(backend: Backend) {
    const OWNERS: usize = 12;
    const UPDATES: usize = 600;
    let hub = Hub::start(backend, "8", "anonymous\nsubscriptions");
    let header = |owner: usize| bearer(&token(&format!(r#"{{"subscribe":["users/{owner}"]}}"#)));
    // They ask for more than they may see.
    let query = |owner: usize| format!("topic=users/{owner}&topic=users/%7Bid%7D&topic=*");
    let mut owners: Vec<_> =
        (0..OWNERS).map(|owner| hub.stream(&query(owner), &[&header(owner)])).collect();
    let mut stranger = hub.stream("topic=*", &[]);
    let mut wire = hub.engine.connect();
    let publisher = thread::spawn(move || {
        for number in 0..UPDATES {
            let owner = number % OWNERS;
            let form = format!("topic=users/{owner}&data=secret-{owner}&private=on");
            assert_eq!(publish(&mut wire, &form), 200);
        }
        assert_eq!(publish(&mut wire, "topic=end&data=end"), 200);
    });
    let mut round = 0;
    while !publisher.is_finished() {
        let owner = round % OWNERS;
        let earliest = format!("{}&lastEventID=earliest", query(owner));
        let mut stream = hub.stream(&earliest, &[&header(owner)]);
        let data = stream.data();
        assert!(data == format!("secret-{owner}") || data == "end", "{owner} sees {data}");
        round += 1;
    }
    publisher.join().expect("all were taken");
    assert_eq!(stranger.data(), "end");
    for (owner, stream) in owners.iter_mut().enumerate() {
        for _ in 0..UPDATES / OWNERS {
            assert_eq!(stream.data(), format!("secret-{owner}"));
        }
        assert_eq!(stream.data(), "end");
    }
}

fn the_list_is_what_the_events_say(backend: Backend) {
    const SUBSCRIBERS: usize = 60;
    let hub = Hub::start(backend, "8", "anonymous\nsubscriptions");
    let header = bearer(&all());
    let mut watcher = hub.stream("topic=*", &[&header]);
    let streams: Vec<_> = (0..SUBSCRIBERS)
        .map(|number| hub.stream(&format!("topic=even&topic=t{}", number % 5), &[]))
        .collect();
    // Every other one leaves, wherever it was served.
    let stay: Vec<_> = streams.into_iter().skip(1).step_by(2).collect();
    let mut active = BTreeMap::new();
    let (mut begun, mut ended) = (0, 0);
    while (begun, ended) != (2 * SUBSCRIBERS, SUBSCRIBERS) {
        let told: serde_json::Value = serde_json::from_str(&watcher.data()).expect("JSON");
        if told["topic"] == "*" {
            continue;
        }
        let id = told["id"].as_str().expect("an id").to_owned();
        if told["active"] == true {
            begun += 1;
            assert!(active.insert(id, told["topic"].clone()).is_none(), "begun twice: {told}");
        } else {
            ended += 1;
            assert!(active.remove(&id).is_some(), "ended before it began: {told}");
        }
    }
    let answer = hub.get(LIST, &[&header]);
    let list: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let listed = list["subscriptions"].as_array().expect("a list").iter();
    let listed: BTreeMap<String, serde_json::Value> = listed
        .filter(|one| one["topic"] != "*")
        .map(|one| (one["id"].as_str().expect("an id").to_owned(), one["topic"].clone()))
        .collect();
    assert_eq!(listed, active);
    assert_eq!(listed.len(), 2 * stay.len());
}

fn every_control_character_stays_where_it_was_put_or_is_refused(backend: Backend) {
    let hub = Hub::start(backend, "8", "anonymous");
    let mut stream = hub.stream("topic=t", &[]);
    let mut wire = hub.engine.connect();
    let characters = (0..0x20).chain([0x7F, 0x85, 0xA0, 0x200B, 0x2028, 0x2029, 0xFEFF]);
    for character in characters.filter_map(char::from_u32) {
        let escaped: String =
            character.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let ends_a_line = matches!(character, '\0' | '\r' | '\n');
        for field in ["id", "type"] {
            let status = publish(&mut wire, &format!("topic=t&data=x&{field}=a{escaped}b"));
            assert_eq!(status, if ends_a_line { 400 } else { 200 }, "{field} {character:?}");
            if !ends_a_line {
                let line = if field == "id" { "id" } else { "event" };
                let block = stream.block();
                assert!(
                    block.split('\n').any(|l| l == format!("{line}: a{character}b")),
                    "{block}"
                );
                assert_eq!(block.matches('\n').count(), if field == "id" { 1 } else { 2 });
            }
        }
        assert_eq!(publish(&mut wire, &format!("topic=t&id=i&data=a{escaped}b")), 200);
        let is_line_end = matches!(character, '\r' | '\n');
        let data = if is_line_end { "a\ndata: b".into() } else { format!("a{character}b") };
        assert_eq!(stream.block(), format!("id: i\ndata: {data}"), "{character:?}");
    }
}
