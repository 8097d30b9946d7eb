//! The publish key: one line of a file, shown by publishers as `Authorization: Bearer KEY`.
//!
//! The idea: the key is compared in constant time and never printed.
//!
//! Knows nothing of files and requests; it is given their text.

use std::fmt;

use subtle::ConstantTimeEq;

/// Fewer bytes can be guessed over the network.
pub const KEY_BYTES_MIN: usize = 16;

/// More bytes would crowd the request head.
pub const KEY_BYTES_MAX: usize = 1_024;

/// What a publisher has to show.
#[derive(Clone, PartialEq, Eq)]
pub struct PublishKey(Box<[u8]>);

impl PublishKey {
    /// Takes the key from the text of its file. One line end behind it is not part of it.
    ///
    /// # Errors
    /// What a key file has to hold.
    pub fn from_file_text(text: &[u8]) -> Result<Self, String> {
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let fits = (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&line.len());
        if fits && line.iter().all(is_token68) {
            return Ok(Self(line.into()));
        }
        Err(format!(
            "must hold one line of {KEY_BYTES_MIN} to {KEY_BYTES_MAX} letters, digits and -._~+/= \
             (for example the output of: openssl rand -hex 32)"
        ))
    }

    /// Whether an `Authorization` header shows this key (RFC 6750, section 2.1). Takes the same
    /// time for every wrong key of the right length.
    #[must_use]
    pub fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let Some((scheme, rest)) = authorization.split_at_checked("Bearer ".len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(rest.ct_eq(&self.0))
    }
}

impl fmt::Debug for PublishKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishKey(..)")
    }
}

/// The alphabet of a bearer token (RFC 9110, section 11.2).
fn is_token68(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_key_is_accepted() {
        let key = PublishKey::from_file_text(b"0123456789abcdef\n").unwrap();
        for shown in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef"] {
            assert!(key.is_shown_by(shown.as_bytes()), "{shown}");
        }
        for shown in [
            "",
            "Bearer",
            "Bearer ",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer  0123456789abcdef",
            "Bearer 0123456789abcdef ",
        ] {
            assert!(!key.is_shown_by(shown.as_bytes()), "{shown:?}");
        }
    }

    #[test]
    fn a_key_file_holds_one_line_of_a_certain_length() {
        let longest = "k".repeat(KEY_BYTES_MAX);
        for text in ["0123456789abcdef", "0123456789abcdef\r\n", "AZaz09-._~+/AZaz==\n", &longest] {
            assert!(PublishKey::from_file_text(text.as_bytes()).is_ok(), "{text:?}");
        }
        let too_long = "k".repeat(KEY_BYTES_MAX + 1);
        for text in [
            "",
            "\n",
            "0123456789abcde\n",
            "0123456789abcdef\n\n",
            "0123456789 abcdef",
            "0123456789abcdef\nsecond",
            " 0123456789abcdef",
            "0123456789abcdéf",
            &too_long,
        ] {
            let error = PublishKey::from_file_text(text.as_bytes()).unwrap_err();
            assert!(error.contains("openssl rand"), "{error}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = PublishKey::from_file_text(b"0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "PublishKey(..)");
    }
}
