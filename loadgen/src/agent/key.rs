//! The key that a coordinator and its agents share.
//!
//! The idea: an agent opens connections to wherever it is told, so who may tell it proves that he
//! has the key, without sending it: by HMAC-SHA-256 (RFC 2104) over a number that each side has
//! drawn for this connection alone. The agent proves it as well, before it is given a plan.
//!
//! It keeps strangers out. It neither encrypts what follows nor protects it from somebody who can
//! change what is on the wire; a tunnel does.

use std::fmt;

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Bytes of a key at least: 128 bits, if they are random.
const KEY_BYTES_MIN: usize = 16;

/// Random bytes of a nonce: never drawn twice.
const NONCE_BYTES: usize = 32;

/// A shared key.
pub(crate) struct Key(hmac::Key);

/// Never shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Who proves that he has the key: the proof of one side is none of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Coordinator,
    Agent,
}

/// What both sides have drawn for a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nonces<'a> {
    pub(crate) agent: &'a str,
    pub(crate) coordinator: &'a str,
}

impl Key {
    /// Reads a key from a file; white space around it does not count.
    ///
    /// # Errors
    ///
    /// If there is none, or one that can be guessed.
    pub(crate) fn read(path: &str) -> Result<Key, String> {
        let text = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let key = text.trim_ascii();
        if key.len() < KEY_BYTES_MIN {
            return Err(format!(
                "{path}: a key has at least {KEY_BYTES_MIN} bytes, and this one {}; make one with \
                 'openssl rand -hex 32'",
                key.len()
            ));
        }
        Ok(Key(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The proof of having this key.
    pub(crate) fn proof(&self, role: Role, nonces: Nonces<'_>) -> String {
        BASE64_STANDARD.encode(hmac::sign(&self.0, &message(role, nonces)))
    }

    /// Whether somebody else has proved it; takes as long for a wrong proof as for a right one.
    pub(crate) fn is_proved(&self, role: Role, nonces: Nonces<'_>, proof: Option<&str>) -> bool {
        let proof = proof.and_then(|proof| BASE64_STANDARD.decode(proof).ok());
        proof.is_some_and(|proof| hmac::verify(&self.0, &message(role, nonces), &proof).is_ok())
    }
}

/// What is signed. Nonces have a fixed length, so no two connections have the same.
fn message(role: Role, nonces: Nonces<'_>) -> Vec<u8> {
    let role = match role {
        Role::Coordinator => "downpour-load coordinator",
        Role::Agent => "downpour-load agent",
    };
    [role, nonces.agent, nonces.coordinator].join("\n").into_bytes()
}

/// A new nonce.
///
/// # Errors
///
/// If the system gives no random bytes.
pub(crate) fn nonce() -> Result<String, String> {
    let mut bytes = [0; NONCE_BYTES];
    rand::fill(&mut bytes).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(BASE64_STANDARD.encode(bytes))
}

/// Whether this can be a nonce.
pub(crate) fn is_nonce(text: &str) -> bool {
    BASE64_STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == NONCE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<Key, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Key::read(file.path().to_str().unwrap())
    }

    #[test]
    fn a_proof_holds_for_its_key_its_role_and_its_nonces_alone() {
        let (ours, other) = (key("0123456789abcdef").unwrap(), key("0123456789abcdeg").unwrap());
        let (one, two) = (nonce().unwrap(), nonce().unwrap());
        assert!(one != two && is_nonce(&one) && is_nonce(&two));
        let nonces = Nonces { agent: &one, coordinator: &two };
        let turned = Nonces { agent: &two, coordinator: &one };
        let proof = ours.proof(Role::Coordinator, nonces);
        assert!(ours.is_proved(Role::Coordinator, nonces, Some(&proof)));
        assert!(!other.is_proved(Role::Coordinator, nonces, Some(&proof)));
        assert!(!ours.is_proved(Role::Agent, nonces, Some(&proof)));
        assert!(!ours.is_proved(Role::Coordinator, turned, Some(&proof)));
        for wrong in [None, Some(""), Some("=="), Some(&proof[4..])] {
            assert!(!ours.is_proved(Role::Coordinator, nonces, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn keys_that_can_be_guessed_are_refused_and_no_key_is_shown() {
        let error = key("secret\n").unwrap_err();
        assert!(error.contains("at least 16 bytes") && !error.contains("secret"), "{error}");
        let kept = key("0123456789abcdef\n").unwrap();
        assert_eq!(format!("{kept:?}"), "Key");
        assert!(Key::read("/nonexistent").unwrap_err().contains("/nonexistent"));
        for text in ["", "AAAA", "not base64 at all, whatever its length may be"] {
            assert!(!is_nonce(text), "{text}");
        }
    }
}
