//! Keys that tokens are checked with: from a secret, PEM, or a JWK set (RFC 7517).
//!
//! The idea: a key has exactly one algorithm, fixed when it is read. A token that names another is
//! not checked at all; so no public key is ever used as a secret, whatever the token says.
//!
//! Invariants: a secret is at least as long as its hash (RFC 7518, section 3.2) unless an operator of
//! Mercure has it shorter already; an RSA key has 2,048 bits at least (section 3.3); what comes over
//! the network is never a secret; no key is printed.
//!
//! Knows nothing of files and URLs; it is given their text.

use std::fmt;

use aws_lc_rs::hmac;
use jsonwebtoken::crypto::verify;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::TokenError;
use super::compact::{Compact, decoded};

/// Keys of one text, at most: what an issuer has who rotates them daily.
pub const KEYS_MAX: usize = 64;

/// Text of one set in bytes, at most: 64 RSA keys of 4,096 bits with their certificates.
pub const KEYS_BYTES_MAX: usize = 1 << 20;

/// Smallest modulus of an RSA key, in bytes (RFC 7518, section 3.3).
const RSA_BYTES_MIN: usize = 2048 / 8;

const ALLOWED: &str = "It may hold a JWK set, public keys in PEM, or one line of secret (for \
                       example the output of: openssl rand -hex 32).";

/// One key.
#[derive(Clone)]
pub struct Key {
    /// What tokens name it by (`kid`).
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    key: DecodingKey,
    /// A secret, made ready: that costs as much as checking a signature with it.
    secret: Option<hmac::Key>,
}

impl Key {
    /// Whether this key has signed a token.
    ///
    /// # Errors
    /// It has not, or what should be a signature is none.
    pub(super) fn check(&self, token: &Compact<'_>) -> Result<(), TokenError> {
        if let Some(secret) = &self.secret {
            let signature = decoded(token.signature).ok_or(TokenError::Malformed)?;
            let checked = hmac::verify(secret, token.message, &signature);
            return checked.map_err(|_| TokenError::Signature);
        }
        let signature = str::from_utf8(token.signature).map_err(|_| TokenError::Malformed)?;
        let signed = verify(signature, token.message, &self.key, self.algorithm);
        match signed.as_ref().map_err(Error::kind) {
            Ok(true) => Ok(()),
            Err(ErrorKind::Base64(_)) => Err(TokenError::Malformed),
            // Or the key itself cannot check a signature.
            Ok(false) | Err(_) => Err(TokenError::Signature),
        }
    }
}

/// The keys of an issuer.
#[derive(Clone, Default)]
pub struct KeySet(Vec<Key>);

/// What is wrong with the text of a key, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError(String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl KeySet {
    /// Reads the text of a key file: a JWK set or one JWK, public keys in PEM, or a line of secret.
    /// `algorithm` is for keys that do not say theirs; without it that is HS256, RS256, or what the
    /// curve is for.
    ///
    /// # Errors
    /// What the file has to hold.
    pub fn from_file_text(text: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let text = text_of(text)?;
        match text.as_bytes().first() {
            None => refuse(format!("The file is empty. {ALLOWED}")),
            Some(b'{') => Self::from_jwk_text(text, algorithm, Secrets::Allowed),
            _ if text.starts_with("-----BEGIN") => Self::from_pem(text, algorithm),
            _ => {
                let algorithm = algorithm.unwrap_or(Algorithm::HS256);
                if text.lines().count() > 1 {
                    return refuse(format!("The file has several lines. {ALLOWED}"));
                }
                let bytes_min = hash_bytes(algorithm);
                if text.len() < bytes_min {
                    return refuse(format!(
                        "A secret for {algorithm:?} has at least {bytes_min} bytes; this one has \
                         {}. {ALLOWED}",
                        text.len()
                    ));
                }
                Self::secret(text.as_bytes(), algorithm)
            }
        }
    }

    /// Reads a JWK set that came over the network.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_url_text(text: &[u8], algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        Self::from_jwk_text(text_of(text)?, algorithm, Secrets::Refused)
    }

    /// Reads a key as Mercure's settings have it: a secret of any length for HS256 to HS512, else
    /// one public key in PEM.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_mercure(text: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        if algorithm.family() != AlgorithmFamily::Hmac {
            return Self::from_pem(text_of(text)?, Some(algorithm));
        }
        if text.is_empty() {
            return refuse("The key is empty.");
        }
        Self::secret(text, algorithm)
    }

    /// Whether a secret in it is shorter than its hash, so that it might be guessed.
    #[must_use]
    pub fn has_short_secret(&self) -> bool {
        self.0.iter().any(|key| {
            key.key.family() == AlgorithmFamily::Hmac
                && key.key.try_get_as_bytes().is_ok_and(|k| k.len() < hash_bytes(key.algorithm))
        })
    }

    /// Keeps the keys of these algorithms.
    pub fn retain(&mut self, algorithms: &[Algorithm]) {
        self.0.retain(|key| algorithms.contains(&key.algorithm));
    }

    /// Adds the keys of another set.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    fn secret(bytes: &[u8], algorithm: Algorithm) -> Result<Self, KeyError> {
        // A public key is known to all: as a secret, it would let everybody sign.
        let looks_public = [&b"-----BEGIN"[..], b"ssh-", b"{"];
        if looks_public.iter().any(|start| bytes.trim_ascii_start().starts_with(start)) {
            return refuse("A public key cannot be a secret; name the algorithm that it is for.");
        }
        let key = DecodingKey::from_secret(bytes);
        Ok(Self(vec![pinned(None, key, Some(algorithm), Algorithm::HS256)?]))
    }

    fn from_pem(text: &str, algorithm: Option<Algorithm>) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("-----BEGIN ") {
            let block = &rest[at..];
            let end = block.find("-----END ").and_then(|end| {
                block[end..].find('\n').map(|line| end + line).or(Some(block.len()))
            });
            let Some(end) = end else { return refuse("A PEM block has no end.") };
            keys.push(pem_key(&block[..end], algorithm)?);
            rest = &block[end..];
        }
        if keys.is_empty() {
            return refuse(format!("There is no public key in it. {ALLOWED}"));
        }
        match keys.len() {
            0..=KEYS_MAX => Ok(Self(keys)),
            count => refuse(format!("There are {count} keys; at most {KEYS_MAX} are allowed.")),
        }
    }

    fn from_jwk_text(
        text: &str,
        algorithm: Option<Algorithm>,
        secrets: Secrets,
    ) -> Result<Self, KeyError> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum SetOrKey {
            Set(JwkSet),
            Key(Box<Jwk>),
        }
        // What serde says would quote the text.
        let parsed = serde_json::from_str(text)
            .map_err(|_| KeyError("It is not a JWK set (RFC 7517).".into()))?;
        let jwks = match parsed {
            SetOrKey::Set(set) => set.keys,
            SetOrKey::Key(jwk) => vec![*jwk],
        };
        if jwks.len() > KEYS_MAX {
            return refuse(format!("It has {} keys; at most {KEYS_MAX} are allowed.", jwks.len()));
        }
        let mut keys = Vec::new();
        for jwk in jwks {
            keys.extend(jwk_key(&jwk, algorithm, secrets)?);
        }
        if keys.is_empty() {
            return refuse(
                "It has no key that tokens could be checked with: RSA, EC of P-256 or P-384, \
                 Ed25519, or a secret in a file.",
            );
        }
        Ok(Self(keys))
    }
}

/// Whether a set may have secrets in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    Allowed,
    Refused,
}

fn refuse<T>(text: impl Into<String>) -> Result<T, KeyError> {
    Err(KeyError(text.into()))
}

fn text_of(text: &[u8]) -> Result<&str, KeyError> {
    if text.len() > KEYS_BYTES_MAX {
        return refuse(format!("It is longer than {KEYS_BYTES_MAX} bytes. {ALLOWED}"));
    }
    let text = std::str::from_utf8(text).map_err(|_| KeyError(format!("It is no text. {ALLOWED}")));
    text.map(str::trim)
}

/// The key of one PEM block. Its label is looked at here: the library takes a private key as well.
fn pem_key(block: &str, algorithm: Option<Algorithm>) -> Result<Key, KeyError> {
    let label = block.trim_start_matches("-----BEGIN ").split("-----").next().unwrap_or_default();
    if label.contains("PRIVATE") {
        return refuse(
            "It is a private key, which should not leave its owner; tokens are checked with the \
             public one (openssl pkey -in FILE -pubout).",
        );
    }
    if label != "PUBLIC KEY" && label != "RSA PUBLIC KEY" {
        return refuse(format!("A PEM block is not a PUBLIC KEY. {ALLOWED}"));
    }
    let bytes = block.as_bytes();
    let read = DecodingKey::from_ec_pem(bytes)
        .or_else(|_| DecodingKey::from_ed_pem(bytes))
        .or_else(|_| DecodingKey::from_rsa_pem(bytes));
    let Ok(key) = read else {
        return refuse("A PEM block is not a key of RSA, EC or Ed25519.");
    };
    let natural = match (key.family(), key.try_get_as_bytes().map_or(0, <[u8]>::len)) {
        (AlgorithmFamily::Rsa, _) => Algorithm::RS256,
        // An uncompressed point: a byte and two coordinates.
        (AlgorithmFamily::Ec, 65) => Algorithm::ES256,
        (AlgorithmFamily::Ec, 97) => Algorithm::ES384,
        (AlgorithmFamily::Ed, 32) => Algorithm::EdDSA,
        _ => return refuse("The key's curve is none of P-256, P-384 and Ed25519."),
    };
    pinned(None, key, algorithm, natural)
}

/// The key of a JWK; none for one that is meant for something else.
fn jwk_key(
    jwk: &Jwk,
    algorithm: Option<Algorithm>,
    secrets: Secrets,
) -> Result<Option<Key>, KeyError> {
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature);
    let operations = common.key_operations.as_ref();
    if !signs || operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return Ok(None);
    }
    let natural = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => {
            Algorithm::ES384
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        AlgorithmParameters::OctetKey(_) if secrets == Secrets::Allowed => Algorithm::HS256,
        _ => return Ok(None),
    };
    let stated = match common.key_algorithm.map(Algorithm::try_from) {
        None => None,
        Some(Ok(stated)) => Some(stated),
        Some(Err(_)) => return Ok(None),
    };
    let key = DecodingKey::from_jwk(jwk)
        .map_err(|_| KeyError("A key of the set is not in base64url.".into()))?;
    let fitting = algorithm.filter(|algorithm| algorithm.family() == key.family());
    let key = pinned(common.key_id.clone(), key, stated.or(fitting), natural)?;
    let bytes = key.key.try_get_as_bytes().map_or(usize::MAX, <[u8]>::len);
    if key.key.family() == AlgorithmFamily::Hmac && bytes < hash_bytes(key.algorithm) {
        return refuse(format!("A secret of the set is shorter than {:?} needs.", key.algorithm));
    }
    Ok(Some(key))
}

/// Fixes the algorithm of a key: the wanted one if the key can be used with it.
fn pinned(
    id: Option<String>,
    key: DecodingKey,
    wanted: Option<Algorithm>,
    natural: Algorithm,
) -> Result<Key, KeyError> {
    let algorithm = wanted.unwrap_or(natural);
    // The hash of ECDSA belongs to the curve, so a curve has one algorithm (RFC 7518, section 3.4).
    let is_other_curve = key.family() == AlgorithmFamily::Ec && algorithm != natural;
    if algorithm.family() != key.family() || is_other_curve {
        return refuse(format!("The key cannot be used with {algorithm:?}."));
    }
    if key.family() == AlgorithmFamily::Rsa && modulus_bytes(&key) < RSA_BYTES_MIN {
        return refuse("An RSA key has fewer than 2,048 bits.");
    }
    let hash = match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    };
    let secret = hash.zip(key.try_get_as_bytes().ok());
    let secret = secret.map(|(hash, secret)| hmac::Key::new(hash, secret));
    Ok(Key { id, algorithm, key, secret })
}

fn modulus_bytes(key: &DecodingKey) -> usize {
    if let DecodingKeyKind::RsaModulusExponent { n, .. } = key.kind() {
        return n.iter().skip_while(|byte| **byte == 0).count();
    }
    match Jwk::from_decoding_key(key, None).map(|jwk| jwk.algorithm) {
        // Base64url without padding: four letters are three bytes.
        Ok(AlgorithmParameters::RSA(rsa)) => rsa.n.len() * 3 / 4,
        _ => 0,
    }
}

/// Length of an algorithm's hash, which is the shortest secret for it.
fn hash_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}
