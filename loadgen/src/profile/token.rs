//! Tokens of many users: a file with one on each line, dealt out to the subscribers in turn.
//!
//! The idea: a server that knows its users does other work for a thousand tokens than for a
//! thousand streams of one, and may hold each to rights and limits of its own. So subscriber `n`
//! (its place in the connect order, from 0) always comes with line `n`, and from the beginning
//! again where the lines are fewer.
//!
//! Invariants: there is at least one; each is what may stand in a header field or a query; none is
//! shown by anything here, errors and `Debug` included.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Where a subscriber's token stands in a request.
pub(crate) const PLACEHOLDER: &str = "{token}";

/// Tokens, at least one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tokens(Arc<[Box<str>]>);

impl Tokens {
    /// The token of a subscriber, by its place in the connect order.
    pub(crate) fn of(&self, subscriber: u32) -> &str {
        &self.0[subscriber as usize % self.0.len()]
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl FromStr for Tokens {
    type Err = String;

    /// Reads the file of that name.
    fn from_str(path: &str) -> Result<Tokens, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        tokens(&text).map_err(|error| format!("{path}: {error}"))
    }
}

fn tokens(text: &str) -> Result<Tokens, String> {
    let lines = text.lines().enumerate().map(|(place, line)| (place + 1, line.trim()));
    let mut found: Vec<Box<str>> = Vec::new();
    for (number, token) in lines.filter(|(_, token)| !token.is_empty()) {
        // b64token of RFC 6750, section 2.1.
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !token.bytes().all(sound) {
            return Err(format!(
                "line {number} is no token: one is of letters, digits and -._~+/= only, without \
                 the word Bearer"
            ));
        }
        found.push(token.into());
    }
    if found.is_empty() {
        return Err("there is no token in it; write one on each line".to_owned());
    }
    Ok(Tokens(found.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_dealt_out_in_turn_and_shown_to_nobody() {
        let tokens = tokens("one\n\n two.x-y_z \r\nthree==\n").expect("three tokens");
        assert_eq!(tokens.count(), 3);
        let dealt: Vec<&str> = (0..5).map(|subscriber| tokens.of(subscriber)).collect();
        assert_eq!(dealt, ["one", "two.x-y_z", "three==", "one", "two.x-y_z"]);
        assert_eq!(format!("{tokens:?}"), "Tokens(3)");
    }

    #[test]
    fn what_is_no_token_is_refused_by_its_line_alone() {
        let error = tokens("one\nBearer s3cret\n").unwrap_err();
        assert!(error.contains("line 2") && !error.contains("s3cret"), "{error}");
        assert!(tokens("\n\n").unwrap_err().contains("one on each line"));
        assert!("/nonexistent".parse::<Tokens>().unwrap_err().contains("/nonexistent"));
    }
}
