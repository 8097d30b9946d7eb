//! Tokens that nobody with the key has made, or that were changed on the way.

use super::*;

const CLAIMS: &str = r#"{"mercure":{"publish":["*"],"subscribe":["*"]}}"#;

fn claims() -> Value {
    serde_json::from_str(CLAIMS).unwrap()
}

#[test]
fn each_algorithm_is_accepted_by_a_key_for_it_and_by_no_other() {
    for signed in ALGORITHMS {
        let token = Signer::of(signed).sign(&Header::new(signed), &claims());
        for pinned in ALGORITHMS {
            let keys = Signer::of(pinned).keys();
            let outcome = verify(&verifier(Dialect::V0, keys), &token);
            if signed == pinned {
                assert!(outcome.unwrap().may_publish("any"), "{signed:?}");
            } else {
                assert_eq!(outcome.unwrap_err(), TokenError::Algorithm, "{signed:?} {pinned:?}");
            }
        }
    }
}

#[test]
fn another_key_of_the_same_algorithm_is_refused() {
    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::RS256] {
        let stranger = Signer::new(algorithm);
        let token = stranger.sign(&Header::new(algorithm), &claims());
        let outcome = verify(&verifier(Dialect::V0, Signer::of(algorithm).keys()), &token);
        assert_eq!(outcome.unwrap_err(), TokenError::Signature, "{algorithm:?}");
    }
}

#[test]
fn a_token_without_a_signature_is_refused_however_it_is_spelt() {
    let payload = base64url(CLAIMS.as_bytes());
    for algorithm in ALGORITHMS {
        let verifier = verifier(Dialect::V0, Signer::of(algorithm).keys());
        for none in ["none", "None", "NONE", "nOnE", "none ", "", "null", "hs256", "HS256 "] {
            let header = base64url(json!({ "alg": none }).to_string().as_bytes());
            for end in ["", ".", ".AAAA"] {
                let token = format!("{header}.{payload}{end}");
                let outcome = verify(&verifier, &token);
                assert_eq!(outcome.unwrap_err(), TokenError::Malformed, "{none:?} {end:?}");
            }
        }
        for alg in ["null", "1", "[]", r#"["none"]"#, r#"{"HS256":null}"#] {
            let header = base64url(format!(r#"{{"alg":{alg}}}"#).as_bytes());
            assert!(verify(&verifier, &format!("{header}.{payload}.")).is_err(), "{alg}");
        }
    }
}

#[test]
fn an_empty_signature_is_refused_for_every_algorithm() {
    for algorithm in ALGORITHMS {
        let header = serde_json::to_vec(&Header::new(algorithm)).unwrap();
        let token = format!("{}.{}.", base64url(&header), base64url(CLAIMS.as_bytes()));
        let outcome = verify(&verifier(Dialect::V0, Signer::of(algorithm).keys()), &token);
        assert_eq!(outcome.unwrap_err(), TokenError::Signature, "{algorithm:?}");
    }
}

#[test]
fn signatures_of_nothing_but_zeros_are_refused() {
    // ECDSA with r = s = 0 was once accepted by others (CVE-2022-21449).
    for (algorithm, bytes) in [
        (Algorithm::ES256, 64),
        (Algorithm::ES384, 96),
        (Algorithm::EdDSA, 64),
        (Algorithm::RS256, 256),
        (Algorithm::PS256, 256),
        (Algorithm::HS256, 32),
    ] {
        let header = serde_json::to_vec(&Header::new(algorithm)).unwrap();
        let message = format!("{}.{}", base64url(&header), base64url(CLAIMS.as_bytes()));
        let token = format!("{message}.{}", base64url(&vec![0; bytes]));
        let outcome = verify(&verifier(Dialect::V0, Signer::of(algorithm).keys()), &token);
        assert_eq!(outcome.unwrap_err(), TokenError::Signature, "{algorithm:?}");
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
        let signer = Signer::of(algorithm);
        let pem = signer.pem();
        let jwk = signer.jwk(&json!({})).to_string();
        let known: [&[u8]; 5] = [
            pem.as_bytes(),
            pem.trim().as_bytes(),
            &signer.spki,
            jwk.as_bytes(),
            &signer.spki[signer.spki.len() - 32..],
        ];
        for secret in known {
            for hash in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let forged =
                    encode(&Header::new(hash), &claims(), &EncodingKey::from_secret(secret));
                let outcome = verify(&verifier(Dialect::V0, signer.keys()), &forged.unwrap());
                assert_eq!(outcome.unwrap_err(), TokenError::Algorithm, "{algorithm:?} {hash:?}");
            }
        }
    }
}

#[test]
fn what_the_header_says_of_its_own_key_is_not_believed() {
    let stranger = Signer::new(Algorithm::ES256);
    let jwk: Jwk = serde_json::from_value(stranger.jwk(&json!({ "kid": "mine" }))).unwrap();
    let plain = Header::new(Algorithm::ES256);
    let chain = Some(vec!["MIIB".to_owned()]);
    let headers = [
        Header { jwk: Some(jwk), ..plain.clone() },
        Header { jku: Some("https://evil.example/keys".into()), ..plain.clone() },
        Header { x5u: Some("https://evil.example/chain".into()), ..plain.clone() },
        Header { x5c: chain, ..plain.clone() },
        plain,
    ];
    let verifier = verifier(Dialect::V0, Signer::of(Algorithm::ES256).keys());
    for header in headers {
        let outcome = verify(&verifier, &stranger.sign(&header, &claims()));
        assert_eq!(outcome.unwrap_err(), TokenError::Signature);
        let honest = Signer::of(Algorithm::ES256).sign(&header, &claims());
        assert!(verify(&verifier, &honest).is_ok(), "it does no harm either");
    }
}

#[test]
fn a_kid_only_picks_among_the_keys_there_are() {
    let (ours, theirs) = (Signer::of(Algorithm::ES256), Signer::new(Algorithm::ES256));
    let set = json!({ "keys": [
        ours.jwk(&json!({ "kid": "ours" })),
        Signer::of(Algorithm::EdDSA).jwk(&json!({ "kid": "other" })),
    ] });
    let keys = KeySet::from_url_text(set.to_string().as_bytes(), None).unwrap();
    let verifier = verifier(Dialect::V0, keys);
    let token = |signer: &Signer, kid: Option<&str>| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        verify(&verifier, &signer.sign(&header, &claims()))
    };
    assert!(token(ours, Some("ours")).is_ok());
    assert!(token(ours, None).is_ok());
    assert_eq!(token(&theirs, Some("ours")).unwrap_err(), TokenError::Signature);
    assert_eq!(token(ours, Some("other")).unwrap_err(), TokenError::Algorithm);
    for kid in ["", "Ours", "ours ", "../../dev/null", "' OR 1=1", "ours\0", "*"] {
        assert_eq!(token(ours, Some(kid)).unwrap_err(), TokenError::UnknownKey, "{kid:?}");
    }
}

#[test]
fn a_key_without_a_name_serves_tokens_that_name_one() {
    let ours = Signer::of(Algorithm::HS256);
    let header = Header { kid: Some("2026-11".into()), ..Header::new(Algorithm::HS256) };
    let outcome = verify(&verifier(Dialect::V0, ours.keys()), &ours.sign(&header, &claims()));
    assert!(outcome.is_ok());
}

#[test]
fn only_so_many_keys_are_tried_for_one_token() {
    let last = Signer::of(Algorithm::HS256);
    for (others, accepted) in [(TRIES_MAX - 1, true), (TRIES_MAX, false)] {
        let mut keys = KeySet::default();
        for other in 0..others {
            let secret = format!("{other:064}");
            keys.extend(KeySet::from_file_text(secret.as_bytes(), None).unwrap());
        }
        keys.extend(last.keys());
        let token = last.sign(&Header::new(Algorithm::HS256), &claims());
        assert_eq!(verify(&verifier(Dialect::V0, keys), &token).is_ok(), accepted);
    }
}

#[test]
fn a_token_cut_short_or_changed_in_any_letter_is_refused() {
    for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::EdDSA] {
        let signer = Signer::of(algorithm);
        let verifier = verifier(Dialect::V0, signer.keys());
        let token = signer.sign(&Header::new(algorithm), &claims()).into_bytes();
        for end in 0..token.len() {
            assert!(verifier.verify(&token[..end], NOW, HUB).is_err(), "cut at {end}");
        }
        for at in 0..token.len() {
            for letter in *b"Aa0-_.=+/ \n\0\xff" {
                let mut changed = token.clone();
                changed[at] = letter;
                if changed != token {
                    assert!(verifier.verify(&changed, NOW, HUB).is_err(), "{letter} at {at}");
                }
                let mut longer = token.clone();
                longer.insert(at, letter);
                assert!(verifier.verify(&longer, NOW, HUB).is_err(), "{letter} before {at}");
            }
        }
    }
}

#[test]
fn only_three_parts_in_base64url_without_padding_are_a_token() {
    let token = raw(r#"{"alg":"HS256"}"#, CLAIMS);
    let verifier = verifier(Dialect::V0, Signer::of(Algorithm::HS256).keys());
    assert!(verify(&verifier, &token).is_ok());
    let parts: Vec<&str> = token.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        head.to_string(),
        format!("{head}.{body}"),
        format!(".{body}.{signature}"),
        format!("{head}..{signature}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!(".{token}"),
        // As long as an encrypted token.
        format!("{token}.AAAA.AAAA"),
        format!("{head}=.{body}.{signature}"),
        format!("{head}.{body}.{signature}="),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\r\n"),
        format!("Bearer {token}"),
        format!(r#"{{"protected":"{head}","payload":"{body}","signature":"{signature}"}}"#),
    ] {
        assert!(verify(&verifier, &bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_header_that_says_something_twice_or_has_extensions_is_refused() {
    for (header, error) in [
        (r#"{"alg":"HS256","alg":"HS256"}"#, TokenError::Malformed),
        (r#"{"alg":"none","alg":"HS256"}"#, TokenError::Malformed),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, TokenError::Malformed),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, TokenError::Critical),
        (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, TokenError::Critical),
        (r#"{"alg":"HS256","crit":["unknown"],"unknown":true}"#, TokenError::Critical),
        (r#"{"alg":"HS256","crit":[]}"#, TokenError::Critical),
        (r#"{"alg":"HS256","crit":"b64"}"#, TokenError::Malformed),
        (r#"{"alg":"HS256","kid":7}"#, TokenError::Malformed),
        (r#"{"alg":"HS256"}{}"#, TokenError::Malformed),
        (r#"[{"alg":"HS256"}]"#, TokenError::Malformed),
        (r#"{"typ":"JWT"}"#, TokenError::Malformed),
        ("", TokenError::Malformed),
    ] {
        let verifier = verifier(Dialect::V0, Signer::of(Algorithm::HS256).keys());
        let outcome = verify(&verifier, &raw(header, CLAIMS));
        assert_eq!(outcome.unwrap_err(), error, "{header}");
    }
}

#[test]
fn a_token_longer_than_a_request_head_is_not_even_read() {
    let verifier = verifier(Dialect::V0, Signer::of(Algorithm::HS256).keys());
    let padded = |bytes: usize| {
        let token = |pad: usize| {
            let payload = format!(r#"{{"pad":"{}"}}"#, "x".repeat(pad));
            raw(r#"{"alg":"HS256"}"#, &payload)
        };
        let mut pad = 1;
        while token(pad).len() < bytes {
            pad += (bytes - token(pad).len()).div_ceil(2);
        }
        token(pad)
    };
    let long = padded(TOKEN_BYTES_MAX - 4);
    assert!(long.len() <= TOKEN_BYTES_MAX && verify(&verifier, &long).is_ok());
    let longer = padded(TOKEN_BYTES_MAX + 1);
    assert_eq!(verify(&verifier, &longer).unwrap_err(), TokenError::TooLong);
    let garbage = "a".repeat(1 << 20);
    assert_eq!(verify(&verifier, &garbage).unwrap_err(), TokenError::TooLong);
}

#[test]
fn no_error_quotes_a_token() {
    let token = raw(r#"{"alg":"HS256","kid":"canary"}"#, r#"{"exp":"canary"}"#);
    let verifier = verifier(Dialect::V0, Signer::of(Algorithm::HS256).keys());
    let error = verify(&verifier, &token).unwrap_err();
    assert!(!error.to_string().contains("canary") && !format!("{error:?}").contains("canary"));
    assert!(!format!("{verifier:?}").contains("012345"), "{verifier:?}");
}
