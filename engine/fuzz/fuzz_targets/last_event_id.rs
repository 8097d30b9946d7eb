//! Ids: one spelling each, on their own and through a request head.

#![no_main]

use downpour::event::EventId;
use downpour::http::request::{Limits, Parsed, parse};
use downpour::http::route::{Route, Rules, route};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(id) = text.parse::<EventId>()
    {
        assert_eq!(id.to_string(), text, "a second spelling");
        assert!(text.len() <= 128 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'));
    }
    let head =
        [b"GET /events/a HTTP/1.1\r\nHost: x\r\nLast-Event-ID: ", bytes, b"\r\n\r\n"].concat();
    let Ok(Parsed::Complete { request, head_bytes }) = parse(&head, &Limits::default()) else {
        return;
    };
    let rules = Rules { topics_per_subscriber_max: 1, start_page: false, native: true };
    // A value may carry a line end and further headers; then it is not one value any more.
    let is_one = head_bytes == head.len() && !bytes.contains(&b'\n');
    match route(&request, &rules) {
        Ok(Route::Subscribe(subscription)) if is_one => {
            let value = String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
            let expected = Some(value).filter(|value| !value.is_empty());
            assert_eq!(subscription.last_event_id, expected);
        }
        Err(refusal) => assert!(!is_one, "a subscriber was refused for its id: {refusal:?}"),
        _ => {}
    }
});
