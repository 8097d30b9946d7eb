//! Frames: read by a parser of its own, a frame is exactly the event that went in.

#![no_main]

use downpour::event::{Epoch, Event, EventId};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    topic: &'a str,
    data: &'a str,
    event: Option<&'a str>,
    id: Option<&'a str>,
    retry: Option<u64>,
    epoch: u64,
    sequence: u64,
}

fuzz_target!(|input: Input<'_>| {
    let Input { topic, data, event, id, retry, epoch, sequence } = input;
    let members = Event { topic, data, event, id, retry, ..Event::default() };
    let Ok(draft) = members.encode() else { return };
    assert_eq!(draft.topic(), topic);
    let own = EventId { epoch: Epoch::new(epoch), sequence };
    let bound = draft.wire_bytes_max();
    let frame = draft.number(own, 1);
    assert_eq!((frame.topic(), frame.own_id(), frame.sequence), (topic, id, sequence));
    let wire = std::str::from_utf8(frame.wire()).expect("valid UTF-8");
    assert!(wire.len() <= bound, "longer than it said");
    // Between two others, as in a stream: it must neither run into them nor they into it.
    let before = "data: before\n\n";
    let stream = oracle::read_stream(&format!("{before}{wire}data: after\n\n"));
    let [_, got, after] = stream.events.as_slice() else {
        panic!("{} events instead of 3", stream.events.len())
    };
    assert_eq!(got.event, event.unwrap_or_default());
    assert_eq!(got.data, data.replace("\r\n", "\n").replace('\r', "\n"));
    assert_eq!(got.last_event_id, id.map_or(own.to_string(), Into::into));
    assert_eq!(stream.retry, retry);
    assert_eq!((after.data.as_str(), after.event.as_str()), ("after", ""));
});
