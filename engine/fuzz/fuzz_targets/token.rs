//! Tokens: whatever the bytes, without the secret nothing is granted; with it, what the claims say.
//!
//! The first byte chooses: the rest is a token as it came, or a payload that is signed with the secret
//! first, so that the fuzzer gets behind the signature; or it chooses claims that are nearly right, of
//! which a reader of the rules says what they grant.

#![no_main]

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use downpour::selector::Selector;
use downpour::token::key::KeySet;
use downpour::token::{
    Audiences, Dialect, Issuer, NOT_BEFORE_LEEWAY_SECONDS, Rights, TOKEN_BYTES_MAX, TokenError,
    Verifier,
};
use jsonwebtoken::{Algorithm, EncodingKey};
use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use oracle::claims::{Claims, Granted};
use serde_json::Value;

const NOW: u64 = 1_800_000_000;
const HUB: &str = "https://hub.example/.well-known/mercure";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn verifiers() -> &'static [Verifier; 3] {
    static VERIFIERS: OnceLock<[Verifier; 3]> = OnceLock::new();
    VERIFIERS.get_or_init(|| {
        [Dialect::V0, Dialect::V1, Dialect::Either].map(|dialect| {
            let keys = KeySet::from_file_text(SECRET, None).expect("a secret");
            Verifier::new(dialect, vec![Issuer { name: None, keys }], Audiences::Any, true)
        })
    })
}

/// The token of this header and payload, signed with the secret.
fn sign(header: &[u8], payload: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", part(header), part(payload));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
    format!("{message}.{}", signature.expect("a secret signs everything"))
}

fn speaks_of_rights(claims: &Value) -> bool {
    ["mercure", "https://mercure.rocks/", "authorization_details"]
        .iter()
        .any(|name| claims.get(name).is_some_and(|claim| !claim.is_null()))
}

fn check(payload: &[u8], outcome: &Result<Rights, TokenError>) {
    let Ok(rights) = outcome else { return };
    // Claims that nobody reads are not looked into, so a reader of everything may refuse them.
    let Ok(claims) = serde_json::from_slice::<Value>(payload) else { return };
    let exp = claims["exp"].as_f64().expect("accepted, so it has an end");
    assert!(exp > NOW as f64 && rights.expires_at.is_some_and(|end| end > NOW));
    if let Some(nbf) = claims.get("nbf") {
        assert!(nbf.as_f64().expect("a number") < (NOW + NOT_BEFORE_LEEWAY_SECONDS + 1) as f64);
    }
    let granted = rights.publish.as_deref().unwrap_or_default().len() + rights.subscribe.len();
    assert!(granted == 0 || speaks_of_rights(&claims), "rights that no claim speaks of: {claims}");
}

/// Claims grant exactly what they say, in each dialect.
fn check_claims(claims: &Claims<'_>, header: &str, is_access: bool) {
    let token = sign(header.as_bytes(), &claims.payload(NOW));
    let is_pattern = |text: &str| Selector::url_pattern(text, HUB).is_ok();
    let v0 = || claims.granted_v0(NOW, NOT_BEFORE_LEEWAY_SECONDS);
    let v1 = || claims.granted_v1(NOW, NOT_BEFORE_LEEWAY_SECONDS, is_pattern).filter(|_| is_access);
    let either = if claims.has_details() { v1() } else { v0() };
    for (verifier, expected) in verifiers().iter().zip([v0(), v1(), either]) {
        let outcome = verifier.verify(token.as_bytes(), NOW, HUB).ok();
        assert_eq!(outcome.map(granted), expected, "{claims:?}");
    }
}

fn granted(rights: Rights) -> Granted {
    let texts = |selectors: &[Selector]| -> Vec<String> {
        selectors.iter().map(|selector| selector.as_str().to_owned()).collect()
    };
    Granted {
        publish: rights.publish.as_deref().map(texts),
        subscribe: texts(&rights.subscribe),
        expires_at: rights.expires_at.expect("accepted, so it has an end"),
        subject: rights.subject,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    if choice & 1 == 0 {
        for verifier in verifiers() {
            let outcome = verifier.verify(rest, NOW, HUB);
            assert!(outcome.is_err(), "granted without the secret");
            assert!(rest.len() <= TOKEN_BYTES_MAX || outcome.unwrap_err() == TokenError::TooLong);
        }
        return;
    }
    let is_access = choice & 2 != 0;
    let typ = if is_access { "at+jwt" } else { "JWT" };
    let header = format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#);
    if choice & 4 != 0 {
        if let Ok(claims) = Claims::arbitrary_take_rest(Unstructured::new(rest)) {
            check_claims(&claims, &header, is_access);
        }
        return;
    }
    let token = sign(header.as_bytes(), rest);
    for verifier in verifiers() {
        check(rest, &verifier.verify(token.as_bytes(), NOW, HUB));
    }
});
