//! Request heads: one verdict for all splits, and an accepted head is beyond doubt.

#![no_main]

use downpour::http::request::{BodyKind, Limits, Parsed, Version, parse};
use downpour::http::route::{Rules, route};
use libfuzzer_sys::fuzz_target;
use oracle::is_field_byte;

/// Small, so that the fuzzer reaches the limits.
const LIMITS: Limits = Limits { head_bytes_max: 300, target_bytes_max: 100 };

/// Enough of a verdict to compare: partial, length of the head, or the refusal.
fn verdict(bytes: &[u8]) -> Option<Result<usize, String>> {
    match parse(bytes, &LIMITS) {
        Ok(Parsed::Partial) => None,
        Ok(Parsed::Complete { head_bytes, .. }) => Some(Ok(head_bytes)),
        Err(refusal) => Some(Err(format!("{} {}", refusal.status.code(), refusal.detail))),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(400)];
    let whole = verdict(bytes);
    let mut decided = false;
    for end in 0..bytes.len() {
        let prefix = verdict(&bytes[..end]);
        assert!(prefix.is_some() || !decided, "undecided again at {end}");
        decided |= prefix.is_some();
        assert!(prefix.is_none() || prefix == whole, "{prefix:?} at {end}, whole: {whole:?}");
    }
    assert!(bytes.len() < LIMITS.head_bytes_max || whole.is_some(), "no end to it");
    let Ok(Parsed::Complete { request, head_bytes }) = parse(bytes, &LIMITS) else { return };
    let head = &bytes[..head_bytes];
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let text: Vec<u8> = head.strip_suffix(b"\r\n\r\n").expect("ends with an empty line").into();
    let lines: Vec<String> = String::from_utf8_lossy(&text).split("\r\n").map(Into::into).collect();
    let raw_lines = text.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    assert!(raw_lines.into_iter().all(|line| line.iter().all(is_field_byte)), "{lines:?}");
    let named = |name: &str| -> Vec<&str> {
        let fields = lines[1..].iter().map(|line| line.split_once(':').expect("name: value"));
        let fields = fields.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
    };
    let hosts = named("host").len();
    assert!(hosts == 1 || hosts == 0 && request.version == Version::Http10);
    match (named("content-length").as_slice(), named("transfer-encoding").as_slice()) {
        ([], []) => assert_eq!(request.body, BodyKind::None),
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case("chunked"));
            assert_eq!((request.body, request.version), (BodyKind::Chunked, Version::Http11));
        }
        ([length], []) => match length.parse::<u64>().expect("a number") {
            0 => assert_eq!(request.body, BodyKind::None),
            bytes => assert_eq!(request.body, BodyKind::Length(bytes)),
        },
        both => panic!("two framings: {both:?}"),
    }
    let rules = Rules { topics_per_subscriber_max: 3, start_page: true, native: true };
    if let Err(refusal) = route(&request, &rules) {
        assert!(refusal.detail.len() < 400, "a refusal as long as its request");
    }
});
