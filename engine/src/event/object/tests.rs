use serde_json::json;

use super::*;
use crate::event::{Epoch, EventId};

const MAX: usize = 1_000;

/// The event as subscribers would see it, without its id line unless it brings its own.
fn wire(draft: Draft) -> String {
    let frame = draft.number(EventId { epoch: Epoch::new(0), sequence: 1 }, 0);
    let text = String::from_utf8(frame.wire().to_vec()).unwrap();
    text.strip_prefix("id: 000000000000-1\n").unwrap_or(&text).into()
}

fn one(json: &str) -> String {
    let draft = draft(json.as_bytes(), MAX).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(drafts(json.as_bytes(), MAX).map(|d| d.len()), Ok(1), "{json}");
    assert_eq!(draft.topic(), "t", "{json}");
    wire(draft)
}

fn error(json: &str) -> String {
    let error = draft(json.as_bytes(), MAX).expect_err(json);
    let in_array = drafts(format!("[{json}]").as_bytes(), MAX).expect_err(json);
    assert!(matches!(in_array.index, None | Some(0 | 1)), "{json}: {in_array}");
    error.to_string()
}

#[test]
fn all_members_reach_the_event() {
    let json = r#" { "retry" : 2500, "id":"i-1", "event":"e", "data":"d", "topic":"t" } "#;
    assert_eq!(one(json), "id: i-1\nevent: e\nretry: 2500\ndata: d\n\n");
    assert_eq!(one(r#"{"topic":"t","data":""}"#), "data: \n\n");
    let nulls = r#"{"topic":"t","data":"d","event":null,"id":null,"retry":null}"#;
    assert_eq!(one(nulls), "data: d\n\n", "null is as if absent");
}

#[test]
fn escapes_are_decoded_in_names_and_values() {
    let json =
        r#"{"\u0074opic":"\u0074","data":"\"\\\/\b\f\n\r\t\u00e9\ud83c\udf27","event":"\u0065"}"#;
    assert_eq!(one(json), "event: e\ndata: \"\\/\u{8}\u{c}\ndata: \ndata: \té🌧\n\n");
    assert_eq!(one(r#"{"topic":"t","data":"\u0000"}"#), "data: \0\n\n");
}

#[test]
fn data_that_is_not_a_string_is_its_text_as_given() {
    for text in [
        "{}",
        "[]",
        "null",
        "true",
        "-1.50e+3",
        r#"{"b": 1,  "a":[1,2 ,{"x":"\u00e9\""}]}"#,
        "0",
        "123456789012345678901234567890",
    ] {
        let json = format!(r#"{{"topic":"t","data": {text} }}"#);
        assert_eq!(one(&json), format!("data: {text}\n\n"));
    }
    let pretty = "{\"topic\":\"t\",\"data\":{\n  \"a\": 1\r\n}}";
    assert_eq!(one(pretty), "data: {\ndata:   \"a\": 1\ndata: }\n\n");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (json, says) in [
        (r#"{"data":"d"}"#, "`topic` is missing"),
        (r#"{"topic":"t"}"#, "`data` is missing"),
        ("{}", "`topic` is missing"),
        (r#"{"topic":null,"data":"d"}"#, "`topic` is null; name one (column 13)"),
        (
            r#"{"topic":"t","data":"d","evnet":"e"}"#,
            "`evnet` is not a member of an event; allowed: topic, data, event, id, retry (column 31)",
        ),
        (
            r#"{"topic":"t","Data":"d"}"#,
            "`Data` is not a member of an event; allowed: topic, data, event, id, retry (column 19)",
        ),
        (r#"{"topic":"t","topic":"t","data":"d"}"#, "`topic` is given twice (column 24)"),
        (r#"{"topic":"t","data":"d","data":1}"#, "`data` is given twice (column 33)"),
        (r#"{"topic":"t","data":"d","id":null,"id":"x"}"#, "`id` is given twice (column 43)"),
        (
            r#"{"topic":5,"data":"d"}"#,
            "invalid type: integer `5`, expected `topic` to be a string (column 10)",
        ),
        (
            r#"{"topic":"t","data":"d","event":["e"]}"#,
            "invalid type: sequence, expected `event` to be a string (column 33)",
        ),
        (
            r#"{"topic":"t","data":"d","retry":"1"}"#,
            "invalid type: string \"1\", expected `retry` to be a whole number of milliseconds \
             (column 35)",
        ),
        (
            r#"{"topic":"t","data":"d","retry":1.5}"#,
            "invalid type: floating point `1.5`, expected `retry` to be a whole number of \
             milliseconds (column 35)",
        ),
        (
            r#"{"topic":"t","data":"d","retry":-1}"#,
            "invalid type: integer `-1`, expected `retry` to be a whole number of milliseconds \
             (column 34)",
        ),
        (r#"{"topic":"t","data":"d","retry":0}"#, "`retry` must be 1 to 86400000 milliseconds"),
        (
            r#"{"topic":"","data":"d"}"#,
            "`topic` must be 1 to 255 bytes of UTF-8 without control characters",
        ),
        (
            r#"{"topic":"t","data":"d","event":"a\nb"}"#,
            "`event` must be at most 256 bytes without NUL, CR or LF",
        ),
        (
            r#"{"topic":"t","data":"\ud800"}"#,
            "`data` has a `\\u` escape that is not a character (column 29)",
        ),
        ("\"x\"", NOT_AN_OBJECT),
        (r#"{"topic":"t","data":"d""#, "EOF while parsing an object (column 23)"),
        (r#"{"topic":"t","data":"d"} x"#, "trailing characters (column 26)"),
        (r#"{"topic":"t","data":"d"}{"topic":"t","data":"d"}"#, "trailing characters (column 25)"),
        (r#"{"topic":"t","data":"d",}"#, "trailing comma (column 25)"),
        (r#"{"topic":"t","data":d}"#, "expected value (column 21)"),
        (r#"{topic:"t","data":"d"}"#, "key must be a string (column 2)"),
    ] {
        assert_eq!(error(json), says, "{json}");
    }
    let nothing = draft(b"", MAX).unwrap_err().to_string();
    assert_eq!(nothing, NOT_AN_OBJECT);
    let pretty = "{\n  \"topic\": \"t\",\n  \"dat\": 1\n}";
    assert!(error(pretty).ends_with("(line 3, column 7)"), "{}", error(pretty));
}

#[test]
fn a_raw_control_character_is_not_json() {
    for byte in [0, 1, b'\n', b'\r', b'\t', 0x1F] {
        for name in ["topic", "data", "event", "id"] {
            let byte = char::from(byte);
            let json = format!(r#"{{"topic":"t","data":"d","{name}":"a{byte}b"}}"#);
            let says = draft(json.as_bytes(), MAX).unwrap_err().to_string();
            assert!(says.starts_with("control character"), "{name}: {says}");
        }
    }
}

#[test]
fn invalid_utf_8_is_refused_wherever_it_stands() {
    let json = br#"{"topic":"t","data":"d"}"#;
    for at in 0..json.len() {
        let mut broken = json.to_vec();
        broken[at] = 0xFF;
        let error = draft(&broken, MAX).unwrap_err();
        assert_eq!(error.to_string(), format!("not valid UTF-8 (column {})", at + 1));
    }
}

#[test]
fn data_at_the_bound_is_an_event_and_one_byte_more_is_too_long() {
    let json = |bytes: usize| json!({"topic": "t", "data": "x".repeat(bytes)}).to_string();
    assert!(draft(json(MAX).as_bytes(), MAX).is_ok());
    let error = draft(json(MAX + 1).as_bytes(), MAX).unwrap_err();
    assert!(error.too_long);
    assert_eq!(
        error.to_string(),
        "`data` has 1001 bytes; at most 1000 are allowed (--event-bytes-max)"
    );
    assert!(!draft(b"{", MAX).unwrap_err().too_long);
}

#[test]
fn the_longest_spelling_of_the_longest_data_fits_a_line() {
    let data = "\\u0041".repeat(MAX);
    let name = "\\u0041".repeat(255);
    let line = format!(r#"{{"topic":"{name}","data":"{data}","retry":86400000}}"#);
    assert!(line.len() < line_bytes_max(MAX), "{} bytes", line.len());
    assert!(draft(line.as_bytes(), MAX).is_ok());
}

#[test]
fn an_array_is_taken_whole_and_in_order() {
    let array = r#" [ {"topic":"a","data":1} , {"topic":"b","data":2} ] "#;
    let drafts = drafts(array.as_bytes(), MAX).unwrap();
    let got: Vec<_> = drafts.into_iter().map(|d| (d.topic().to_string(), wire(d))).collect();
    assert_eq!(got, [("a".into(), "data: 1\n\n".into()), ("b".into(), "data: 2\n\n".into())]);
    assert_eq!(super::drafts(b"[]", MAX).unwrap().len(), 0);
}

#[test]
fn one_bad_object_refuses_the_array_and_is_named() {
    let good = r#"{"topic":"t","data":"d"}"#;
    for (bad, says) in [
        (r#"{"topic":"t"}"#, "`data` is missing"),
        (r#"{"topic":"t","data":1,"x":1}"#, "`x` is not a member"),
        ("5", "invalid type: integer `5`, expected an object"),
        ("[]", "invalid type: sequence, expected an object"),
        (r#"{"topic":"","data":1}"#, "`topic` must be"),
        ("", "trailing comma"),
    ] {
        let array = format!("[{good},{good},{bad}]");
        let error = drafts(array.as_bytes(), MAX).unwrap_err();
        assert_eq!(error.index, Some(2), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("array[2]: {says}")), "{text}");
    }
    let behind = format!("[{good}] x");
    assert_eq!(drafts(behind.as_bytes(), MAX).unwrap_err().index, None);
}

#[test]
fn an_error_is_short_however_long_the_input() {
    let long = "y".repeat(100_000);
    for json in
        [format!(r#"{{"{long}":1}}"#), format!(r#"{{"retry":"{long}"}}"#), format!("\"{long}\"")]
    {
        let text = draft(json.as_bytes(), MAX).unwrap_err().to_string();
        assert!(text.len() < 400, "{} bytes", text.len());
    }
}

#[test]
fn deep_nesting_is_data_like_any_other_and_does_not_overflow() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let json = format!(r#"{{"topic":"t","data":{deep}}}"#);
    assert!(draft(json.as_bytes(), 1 << 20).is_ok());
    assert!(draft("[".repeat(100_000).as_bytes(), MAX).is_err());
    assert!(drafts("[".repeat(100_000).as_bytes(), MAX).is_err());
}
