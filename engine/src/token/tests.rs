use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair,
};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{AlgorithmFamily, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::key::{KEYS_MAX, KeySet};
use super::*;

mod claims;
mod forged;
mod keys;
mod sources;

/// The time of all tests, in seconds of Unix time.
const NOW: u64 = 1_800_000_000;
const HUB: &str = "https://hub.example/.well-known/mercure";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const ALGORITHMS: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// A key pair of one algorithm.
struct Signer {
    algorithm: Algorithm,
    private: EncodingKey,
    /// SubjectPublicKeyInfo; empty for a secret.
    spki: Vec<u8>,
}

impl Signer {
    /// The pair that all tests share: making one for RSA takes its time.
    fn of(algorithm: Algorithm) -> &'static Signer {
        static SIGNERS: OnceLock<Vec<Signer>> = OnceLock::new();
        let all = SIGNERS.get_or_init(|| ALGORITHMS.into_iter().map(Signer::new).collect());
        all.iter().find(|signer| signer.algorithm == algorithm).expect("all are made")
    }

    fn new(algorithm: Algorithm) -> Signer {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let (private, spki) = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => {
                let curve = match algorithm {
                    Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
                    _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
                };
                let der = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(curve, der.as_ref()).unwrap();
                let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
                (EncodingKey::from_ec_der(der.as_ref()), spki)
            }
            Algorithm::EdDSA => {
                let der = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
                let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
                (EncodingKey::from_ed_der(der.as_ref()), spki)
            }
            _ if algorithm.family() == AlgorithmFamily::Rsa => rsa(KeySize::Rsa2048),
            _ => (EncodingKey::from_secret(SECRET), Vec::new()),
        };
        Signer { algorithm, private, spki }
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.private).unwrap()
    }

    /// The public key as a JWK, or the secret as one, with these further members.
    fn jwk(&self, members: &Value) -> Value {
        let algorithm = match self.algorithm {
            // Of a PKCS#8 key of Ed25519 the library makes no JWK.
            Algorithm::EdDSA => {
                let x = base64url(&self.spki[self.spki.len() - 32..]);
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
            algorithm => {
                let jwk = Jwk::from_encoding_key(&self.private, algorithm).unwrap();
                serde_json::to_value(jwk.algorithm).unwrap()
            }
        };
        let mut jwk = algorithm;
        let more = members.as_object().expect("an object").clone();
        jwk.as_object_mut().expect("an object").extend(more);
        jwk
    }

    fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    /// What an engine is given: the PEM or the secret, with this algorithm.
    fn keys(&self) -> KeySet {
        let text = if self.spki.is_empty() { SECRET.to_vec() } else { self.pem().into_bytes() };
        KeySet::from_file_text(&text, Some(self.algorithm)).unwrap()
    }
}

fn rsa(size: KeySize) -> (EncodingKey, Vec<u8>) {
    use aws_lc_rs::encoding::Pkcs8V1Der;
    let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    // The library wants PKCS#1, which it takes out of PEM by itself.
    let private = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", pkcs8.as_ref()).as_bytes());
    (private.unwrap(), pair.public_key().as_der().unwrap().as_ref().to_vec())
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = base64(der, b'+', b'/');
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn base64url(bytes: &[u8]) -> String {
    base64(bytes, b'-', b'_').trim_end_matches('=').to_owned()
}

fn base64(bytes: &[u8], c62: u8, c63: u8) -> String {
    let letters: Vec<u8> =
        (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain([c62, c63]).collect();
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let letter = letters[(word >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// A verifier of one nameless issuer, without audience, that needs no expiry.
fn verifier(dialect: Dialect, keys: KeySet) -> Verifier {
    let issuer = Issuer { name: None, keys };
    Verifier::new(dialect, vec![issuer], Audiences::Any, false)
}

fn verify(verifier: &Verifier, token: &str) -> Result<Rights, TokenError> {
    verifier.verify(token.as_bytes(), NOW, HUB)
}

/// A token of HS256 with exactly this header and payload, as text.
fn raw(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// The verdict on a signed payload in the dialect of Mercure 0.x.
fn verdict(payload: &str) -> Result<Rights, TokenError> {
    let token = raw(r#"{"alg":"HS256","typ":"JWT"}"#, payload);
    verify(&verifier(Dialect::V0, Signer::of(Algorithm::HS256).keys()), &token)
}

fn texts(selectors: &[Selector]) -> Vec<&str> {
    selectors.iter().map(Selector::as_str).collect()
}
