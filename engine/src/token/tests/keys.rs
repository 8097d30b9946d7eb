//! What may be a key, and what may not.

use super::*;

fn file(text: impl AsRef<[u8]>, algorithm: Option<Algorithm>) -> Result<KeySet, String> {
    KeySet::from_file_text(text.as_ref(), algorithm).map_err(|error| error.to_string())
}

fn url(set: &Value) -> Result<KeySet, String> {
    let text = set.to_string();
    KeySet::from_url_text(text.as_bytes(), None).map_err(|error| error.to_string())
}

/// The algorithms of a set.
fn algorithms(keys: &KeySet) -> Vec<Algorithm> {
    keys.iter().map(|key| key.algorithm).collect()
}

#[test]
fn a_key_without_an_algorithm_gets_the_one_that_it_is_for() {
    for (signer, natural) in [
        (Algorithm::RS512, Algorithm::RS256),
        (Algorithm::ES256, Algorithm::ES256),
        (Algorithm::ES384, Algorithm::ES384),
        (Algorithm::EdDSA, Algorithm::EdDSA),
    ] {
        let signer = Signer::of(signer);
        assert_eq!(algorithms(&file(signer.pem(), None).unwrap()), [natural]);
        let jwk = signer.jwk(&json!({}));
        assert_eq!(algorithms(&file(jwk.to_string(), None).unwrap()), [natural]);
        let set = json!({ "keys": [jwk] });
        assert_eq!(algorithms(&url(&set).unwrap()), [natural]);
    }
    assert_eq!(algorithms(&file("s".repeat(32), None).unwrap()), [Algorithm::HS256]);
}

#[test]
fn the_algorithm_of_a_jwk_is_its_own() {
    let signer = Signer::of(Algorithm::RS256);
    let jwk = signer.jwk(&json!({ "alg": "PS384" }));
    let keys = file(jwk.to_string(), Some(Algorithm::RS512)).unwrap();
    assert_eq!(algorithms(&keys), [Algorithm::PS384]);
    let keys = file(signer.jwk(&json!({})).to_string(), Some(Algorithm::RS512)).unwrap();
    assert_eq!(algorithms(&keys), [Algorithm::RS512]);
}

#[test]
fn several_keys_of_pem_are_one_set() {
    let text =
        format!("{}\n{}", Signer::of(Algorithm::ES256).pem(), Signer::of(Algorithm::EdDSA).pem());
    let keys = file(text, None).unwrap();
    assert_eq!(algorithms(&keys), [Algorithm::ES256, Algorithm::EdDSA]);
}

#[test]
fn a_key_cannot_be_pinned_to_an_algorithm_of_another_kind() {
    for key in [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
        for algorithm in ALGORITHMS {
            let same_family = algorithm.family() == Signer::of(key).algorithm.family();
            let other_curve = key.family() == AlgorithmFamily::Ec && algorithm != key;
            let outcome = file(Signer::of(key).pem(), Some(algorithm));
            assert_eq!(outcome.is_ok(), same_family && !other_curve, "{key:?} {algorithm:?}");
        }
    }
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        assert!(file("s".repeat(64), Some(algorithm)).is_err(), "{algorithm:?}");
    }
}

#[test]
fn a_public_key_in_place_of_a_secret_is_refused() {
    let pem = Signer::of(Algorithm::RS256).pem();
    for text in [pem.as_str(), &format!("\n {pem}"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@here"]
    {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            let outcome = KeySet::from_mercure(text.as_bytes(), algorithm);
            assert!(outcome.unwrap_err().to_string().contains("public key"), "{text}");
            assert!(file(text, Some(algorithm)).is_err(), "{text}");
        }
    }
}

#[test]
fn a_private_key_is_sent_back_to_its_owner() {
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
        let error = file(pem(label, b"anything"), None).unwrap_err();
        assert!(error.contains("private key"), "{error}");
    }
}

#[test]
fn a_secret_is_as_long_as_its_hash() {
    for (algorithm, bytes) in
        [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)]
    {
        assert!(file("s".repeat(bytes), Some(algorithm)).is_ok());
        assert!(file(format!("{}\r\n", "s".repeat(bytes)), Some(algorithm)).is_ok());
        let error = file("s".repeat(bytes - 1), Some(algorithm)).unwrap_err();
        assert!(error.contains("openssl rand"), "{error}");
        let short = json!({ "kty": "oct", "k": base64url(&vec![7; bytes - 1]),
            "alg": format!("{algorithm:?}") });
        assert!(file(short.to_string(), None).is_err(), "{algorithm:?}");
    }
    let dev = KeySet::from_mercure(b"!ChangeThisMercureHubJWTSecretKey!", Algorithm::HS256);
    assert!(!dev.unwrap().has_short_secret());
    let short = KeySet::from_mercure(b"!ChangeMe!", Algorithm::HS256).unwrap();
    assert!(short.has_short_secret());
    assert!(KeySet::from_mercure(b"", Algorithm::HS256).is_err());
}

#[test]
fn what_came_over_the_network_is_never_a_secret() {
    let oct = json!({ "kty": "oct", "kid": "s", "k": base64url(SECRET), "alg": "HS256" });
    let ec = Signer::of(Algorithm::ES256).jwk(&json!({ "kid": "e" }));
    assert!(url(&json!({ "keys": [oct] })).is_err());
    assert_eq!(algorithms(&url(&json!({ "keys": [oct, ec] })).unwrap()), [Algorithm::ES256]);
    assert!(KeySet::from_url_text(SECRET, None).is_err());
    assert!(file(oct.to_string(), None).is_ok());
}

#[test]
fn keys_for_other_uses_are_passed_over() {
    let signer = Signer::of(Algorithm::RS256);
    let good = signer.jwk(&json!({ "kid": "good", "use": "sig", "key_ops": ["verify"] }));
    for other in [
        signer.jwk(&json!({ "use": "enc" })),
        signer.jwk(&json!({ "key_ops": ["encrypt"] })),
        signer.jwk(&json!({ "alg": "RSA-OAEP" })),
        signer.jwk(&json!({ "alg": "ES512" })),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": "AA" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
    ] {
        let keys = url(&json!({ "keys": [other, good] })).unwrap();
        assert_eq!(keys.len(), 1, "{other}");
        assert!(url(&json!({ "keys": [other] })).is_err(), "{other}");
    }
}

#[test]
fn an_rsa_key_has_two_thousand_bits_at_least() {
    // 1,024 bits, made by: openssl genrsa 1024 | openssl rsa -pubout
    let modulus = [&[0xc5_u8][..], &[0x11; 127]].concat();
    let short = json!({ "kty": "RSA", "n": base64url(&modulus), "e": "AQAB" });
    let padded = [vec![0; 128], modulus].concat();
    let padded = json!({ "kty": "RSA", "n": base64url(&padded), "e": "AQAB" });
    for key in [short, padded] {
        assert!(url(&json!({ "keys": [key] })).unwrap_err().contains("2,048"), "{key}");
    }
    assert!(file(Signer::of(Algorithm::RS256).pem(), None).is_ok());
}

#[test]
fn a_set_is_bounded() {
    let jwk = Signer::of(Algorithm::EdDSA).jwk(&json!({}));
    assert_eq!(url(&json!({ "keys": vec![jwk.clone(); KEYS_MAX] })).unwrap().len(), KEYS_MAX);
    assert!(url(&json!({ "keys": vec![jwk; KEYS_MAX + 1] })).is_err());
    assert!(file(vec![b's'; key::KEYS_BYTES_MAX + 1], None).is_err());
}

#[test]
fn what_is_no_key_is_refused_and_not_quoted() {
    for text in [
        "",
        "\n",
        "canary",
        "canary-canary-canary-canary-canary\nsecond line",
        "{canary",
        r#"{"keys":"canary"}"#,
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"RSA","n":"!canary!","e":"AQAB"}]}"#,
        "-----BEGIN PUBLIC KEY-----\ncanary",
        "-----BEGIN PUBLIC KEY-----\ncanary\n-----END PUBLIC KEY-----\n",
        "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n",
        "-----BEGIN",
    ] {
        let error = file(text, None).unwrap_err();
        assert!(!error.contains("canary") && !error.is_empty(), "{text:?}: {error}");
    }
    assert!(file(b"\xff\xfe".repeat(40), None).is_err());
}
