//! JSON objects and lines: what is accepted is what a general JSON parser reads.

#![no_main]

use downpour::event::{Draft, Epoch, EventId};
use downpour::fuzzing::{LineSplitter, LineTooLong, draft, drafts};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const DATA_BYTES_MAX: usize = 200;
const LINE_BYTES_MAX: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(draft) = draft(bytes, DATA_BYTES_MAX) {
        // A general parser may refuse what is skipped over as text: deep nesting, 1e999.
        if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
            compare(draft, &value);
        }
    }
    match drafts(bytes, DATA_BYTES_MAX) {
        Ok(drafts) => {
            if let Ok(Value::Array(values)) = serde_json::from_slice::<Value>(bytes) {
                assert_eq!(drafts.len(), values.len());
                drafts.into_iter().zip(&values).for_each(|(draft, value)| compare(draft, value));
            }
        }
        Err(error) => assert!(error.to_string().len() < 1_200, "{error}"),
    }
    let whole = lines(&[bytes]);
    let singles: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(lines(&singles), whole, "one byte at a time");
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_eq!(lines(&[first, second]), whole, "in two halves");
    if let Ok(lines) = whole {
        assert_eq!(lines, naive_lines(bytes));
    }
});

fn compare(draft: Draft, value: &Value) {
    assert_eq!(value["topic"], draft.topic());
    let frame = draft.number(EventId { epoch: Epoch::new(7), sequence: 7 }, 0);
    let wire = std::str::from_utf8(frame.wire()).expect("valid UTF-8");
    let stream = oracle::read_stream(wire);
    assert_eq!(stream.retry, value["retry"].as_u64());
    assert_eq!(stream.last_event_id, value["id"].as_str().unwrap_or("000000000007-7"));
    let [event] = stream.events.as_slice() else { panic!("{} events", stream.events.len()) };
    assert_eq!(event.event, value["event"].as_str().unwrap_or_default());
    match &value["data"] {
        Value::String(data) => {
            assert_eq!(event.data, data.replace("\r\n", "\n").replace('\r', "\n"));
        }
        other => assert_eq!(&serde_json::from_str::<Value>(&event.data).expect("JSON"), other),
    }
}

fn lines(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, LineTooLong> {
    let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
    let mut lines = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while let (Some(line), used) = splitter.next_line(rest)? {
            lines.push(line.to_vec());
            rest = &rest[used..];
        }
    }
    lines.extend(splitter.finish().map(<[u8]>::to_vec));
    Ok(lines)
}

fn naive_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let blank = |line: &&[u8]| line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'));
    let lines = bytes.split(|&b| b == b'\n').filter(|line| !blank(line));
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect()
}
