//! The encoded parts of a request target, decoded once and strictly.
//!
//! The idea: a name is decoded exactly once, and whatever cannot be decoded is refused instead of
//! being passed on as it stands, so that two spellings of one topic are one topic and no spelling
//! is two.
//!
//! Knows nothing of which names exist.

use std::borrow::Cow;

use super::refusal::Refusal;
use crate::event::TOPIC_BYTES_MAX;

/// How `+` reads: as itself in a path (RFC 3986), as a space in a query (WHATWG URL,
/// application/x-www-form-urlencoded).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plus {
    Literal,
    Space,
}

/// Decodes the topic of a path, all of what stands behind `/events/`.
///
/// # Errors
/// 400 if it cannot be decoded or is not a topic name.
pub fn path_topic(raw: &str) -> Result<String, Refusal> {
    let topic = decode(raw, Plus::Literal)?;
    check_topic(&topic)?;
    Ok(topic.into_owned())
}

/// The names and values of a query, in order. Empty pieces are skipped, a missing `=` means an
/// empty value.
pub fn query_pairs(
    query: Option<&str>,
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), Refusal>> {
    query.unwrap_or_default().split('&').filter(|piece| !piece.is_empty()).map(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        Ok((decode(name, Plus::Space)?, decode(value, Plus::Space)?))
    })
}

/// A topic is 1 to 255 bytes of UTF-8 without control characters; beyond that it is opaque.
///
/// # Errors
/// 400 that says which of the rules does not hold.
pub fn check_topic(topic: &str) -> Result<(), Refusal> {
    if topic.is_empty() {
        return Err(Refusal::bad("The topic is empty; name one, as in /events/news."));
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(Refusal::bad(format!(
            "The topic has {} bytes; at most {TOPIC_BYTES_MAX} are allowed.",
            topic.len()
        )));
    }
    match topic.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, c)) => Err(Refusal::bad(format!(
            "The topic has the control character U+{:04X} at byte {at}; none is allowed.",
            u32::from(c)
        ))),
        None => Ok(()),
    }
}

fn decode(raw: &str, plus: Plus) -> Result<Cow<'_, str>, Refusal> {
    let special = |&b: &u8| b == b'%' || (b == b'+' && plus == Plus::Space);
    if !raw.as_bytes().iter().any(special) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let (value, tail) = escape(tail).ok_or_else(|| {
                    Refusal::bad("A '%' in the request target is not followed by two hex digits.")
                })?;
                decoded.push(value);
                rest = tail;
            }
            b'+' if plus == Plus::Space => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| Refusal::bad("The request target, percent-decoded, is not valid UTF-8."))
}

/// The byte that two hex digits name (RFC 3986, section 2.1), and what follows them.
fn escape(digits: &[u8]) -> Option<(u8, &[u8])> {
    let (pair, rest) = digits.split_first_chunk::<2>()?;
    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
    let value = u8::try_from(high? << 4 | low?).ok()?;
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(query: &str) -> Result<Vec<(String, String)>, Refusal> {
        query_pairs(Some(query))
            .map(|pair| pair.map(|(n, v)| (n.into_owned(), v.into_owned())))
            .collect()
    }

    #[test]
    fn every_byte_survives_encoding_and_one_decoding() {
        for byte in 0x20..0x7Fu8 {
            let encoded = format!("%{byte:02x}");
            let plain = char::from(byte).to_string();
            assert_eq!(path_topic(&encoded).unwrap(), plain);
            assert_eq!(path_topic(&encoded.to_uppercase()).unwrap(), plain);
            assert_eq!(pairs(&format!("a={encoded}")).unwrap()[0].1, plain);
        }
        assert_eq!(path_topic("%25%34%31").unwrap(), "%41");
        assert_eq!(path_topic("caf%C3%A9/%F0%9F%8C%A7").unwrap(), "café/🌧");
    }

    #[test]
    fn a_plus_is_a_space_in_a_query_only() {
        assert_eq!(path_topic("a+b").unwrap(), "a+b");
        assert_eq!(pairs("a+b=c+d%2B").unwrap(), [("a b".into(), "c d+".into())]);
    }

    #[test]
    fn query_pieces_without_a_name_or_value_are_understood() {
        assert_eq!(pairs("").unwrap(), []);
        assert_eq!(
            pairs("&&a&b=&=c&").unwrap(),
            [("a".into(), String::new()), ("b".into(), String::new()), (String::new(), "c".into()),]
        );
        assert_eq!(pairs("a=b=c").unwrap(), [("a".into(), "b=c".into())]);
        assert_eq!(query_pairs(None).count(), 0);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for raw in
            ["%", "a%", "%4", "%4g", "%g4", "% 4", "%+4", "%-1", "%C3", "%C3%28", "%ED%A0%80"]
        {
            assert!(path_topic(raw).is_err(), "{raw}");
            assert!(pairs(raw).is_err(), "{raw}");
            assert!(pairs(&format!("a={raw}")).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_topic_is_1_to_255_bytes_without_control_characters() {
        assert!(check_topic(&"é".repeat(127)).is_ok());
        assert!(check_topic(&"x".repeat(255)).is_ok());
        assert!(check_topic(&"é".repeat(128)).unwrap_err().detail.contains("256 bytes"));
        assert!(check_topic("").is_err());
        for raw in ["%00", "a%0Ab", "%0D", "%7F", "%C2%85"] {
            assert!(path_topic(raw).unwrap_err().detail.contains("control character"), "{raw}");
        }
        assert!(path_topic("%E2%80%A8").is_ok(), "U+2028 is not a control character");
    }
}
