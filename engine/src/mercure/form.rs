//! Names and values as forms send them (`application/x-www-form-urlencoded`, WHATWG URL).
//!
//! The idea: the same pairs stand in a query and in a body, and are read the same way, once and
//! strictly. What cannot be decoded is refused instead of being left out: a selector that went
//! missing would be a subscriber who waits for ever.
//!
//! Invariants: names and values are UTF-8; their number is bounded.
//!
//! Knows nothing of what they mean.

use crate::http::target::query_pairs;

/// Pairs of one form, at most: a thousand topics, and the other parameters.
pub const PAIRS_MAX: usize = 1_100;

/// A form that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Names and values, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a query, or a body.
    ///
    /// # Errors
    /// When an escape is wrong, a byte is not UTF-8, or there are too many pairs.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
        let mut pairs = Vec::new();
        for pair in query_pairs(Some(text)) {
            let (name, value) = pair.map_err(|_| Malformed)?;
            if pairs.len() == PAIRS_MAX {
                return Err(Malformed);
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// These pairs, and behind them those of another form.
    ///
    /// # Errors
    /// When there are too many pairs.
    pub fn with(&self, other: Self) -> Result<Self, Malformed> {
        if self.0.len() + other.0.len() > PAIRS_MAX {
            return Err(Malformed);
        }
        Ok(Self(self.0.iter().cloned().chain(other.0).collect()))
    }

    /// The first value of a name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The values of a name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether a body is such a form, by its type; parameters such as `charset` do not matter.
#[must_use]
pub fn is_form(content_type: Option<&str>) -> bool {
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Whether the type of a body is one that cannot be read: a parameter without a value.
#[must_use]
pub fn is_malformed_type(content_type: Option<&str>) -> bool {
    let parameters = content_type.unwrap_or_default().split(';').skip(1).map(str::trim);
    let has_value = |parameter: &str| parameter.split_once('=').is_some_and(|(_, v)| !v.is_empty());
    parameters.filter(|parameter| !parameter.is_empty()).any(|parameter| !has_value(parameter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let form =
            Form::parse(b"topic=a+b&topic=c%26d&data=x%0Ay&private&=n&&id=%F0%9F%8C%A7").unwrap();
        assert_eq!(form.all("topic").collect::<Vec<_>>(), ["a b", "c&d"]);
        assert_eq!(form.first("data"), Some("x\ny"));
        assert_eq!(form.first("private"), Some(""));
        assert_eq!(form.first("id"), Some("🌧"));
        assert_eq!(form.first(""), Some("n"));
        assert_eq!(form.first("Topic"), None);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused_wherever_it_stands() {
        for text in
            [&b"topic=%"[..], b"topic=%4", b"%zz=1", b"a=%C3%28", b"a=\xff", b"topic=a&b=%0"]
        {
            assert_eq!(Form::parse(text), Err(Malformed), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn the_number_of_pairs_is_bounded() {
        assert!(Form::parse("a&".repeat(PAIRS_MAX).as_bytes()).is_ok());
        assert!(Form::parse("a&".repeat(PAIRS_MAX + 1).as_bytes()).is_err());
    }

    #[test]
    fn a_form_is_known_by_its_type() {
        for (kind, expected) in [
            (Some("application/x-www-form-urlencoded"), true),
            (Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), true),
            (Some("application/json"), false),
            (Some("multipart/form-data"), false),
            (None, false),
        ] {
            assert_eq!(is_form(kind), expected, "{kind:?}");
        }
    }
}
