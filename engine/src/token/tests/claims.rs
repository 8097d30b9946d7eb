//! What the claims of a good signature mean, and which of them void the token.

use super::*;

fn native() -> Verifier {
    let issuer = Issuer { name: None, keys: Signer::of(Algorithm::HS256).keys() };
    Verifier::new(Dialect::Either, vec![issuer], Audiences::Listed(Vec::new()), true)
}

fn access_token(claims: &Value) -> String {
    raw(r#"{"alg":"HS256","typ":"at+jwt"}"#, &claims.to_string())
}

/// The verdict of Mercure 1.0 on these authorization details.
fn details(details: &Value) -> Result<Rights, TokenError> {
    let claims = json!({ "exp": NOW + 60, "aud": HUB, "authorization_details": details });
    let issuer = Issuer { name: None, keys: Signer::of(Algorithm::HS256).keys() };
    let verifier = Verifier::new(Dialect::V1, vec![issuer], Audiences::HubUrl, true);
    verify(&verifier, &access_token(&claims))
}

fn detail(topics: &Value) -> Value {
    json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["publish", "subscribe"],
        "topics": topics,
    })
}

#[test]
fn a_date_that_is_no_number_voids_the_token() {
    // A string once was as good as no date at all: CVE-2026-25537.
    for bad in [
        r#""4102444800""#,
        r#""never""#,
        r#""""#,
        "null",
        "true",
        "[]",
        "[4102444800]",
        "{}",
        "-1",
        "-0.5",
        "1e999",
        "0x10",
    ] {
        for claim in ["exp", "nbf"] {
            let outcome = verdict(&format!(r#"{{"{claim}":{bad}}}"#));
            assert_eq!(outcome.unwrap_err(), TokenError::Claims, "{claim} {bad}");
        }
    }
}

#[test]
fn a_token_ends_at_its_second_and_not_later() {
    for (exp, good) in [
        ("0", false),
        ("1", false),
        ("1799999999", false),
        ("1800000000", false),
        ("1800000000.999", false),
        ("1800000001", true),
        ("1800000001.5", true),
        ("1.800000001e9", true),
        ("4102444800", true),
        ("9223372036854775808", true),
        ("18446744073709551615", true),
        ("1e300", true),
    ] {
        let outcome = verdict(&format!(r#"{{"exp":{exp}}}"#));
        match good {
            true => assert!(outcome.unwrap().expires_at > Some(NOW), "{exp}"),
            false => assert_eq!(outcome.unwrap_err(), TokenError::Expired, "{exp}"),
        }
    }
}

#[test]
fn a_token_begins_at_its_second_give_or_take_a_clock() {
    let last = NOW + NOT_BEFORE_LEEWAY_SECONDS;
    for (nbf, good) in [(0, true), (NOW, true), (last, true), (last + 1, false), (u64::MAX, false)]
    {
        let outcome = verdict(&format!(r#"{{"nbf":{nbf}}}"#));
        assert_eq!(outcome.err(), (!good).then_some(TokenError::NotYet), "{nbf}");
    }
}

#[test]
fn a_token_without_an_end_is_refused_where_one_is_needed() {
    let claims = json!({ "mercure": { "publish": ["*"] } });
    let without = raw(r#"{"alg":"HS256"}"#, &claims.to_string());
    assert_eq!(verify(&native(), &without).unwrap_err(), TokenError::NoExpiry);
    assert!(verdict(&claims.to_string()).unwrap().expires_at.is_none());
    let v1 = verifier(Dialect::V1, Signer::of(Algorithm::HS256).keys());
    assert_eq!(verify(&v1, &access_token(&claims)).unwrap_err(), TokenError::NoExpiry);
}

#[test]
fn a_claim_that_stands_twice_voids_the_token() {
    for payload in [
        r#"{"exp":1900000000,"exp":4102444800}"#,
        r#"{"nbf":1,"nbf":1}"#,
        r#"{"iss":"a","iss":"b"}"#,
        r#"{"aud":"a","aud":"b"}"#,
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"mercure":{},"mercure":{"publish":["*"]}}"#,
        r#"{"mercure":{"publish":[],"publish":["*"]}}"#,
        r#"{"mercure":{"subscribe":[],"subscribe":["*"]}}"#,
        r#"{"\u0065xp":1,"exp":4102444800}"#,
    ] {
        assert_eq!(verdict(payload).unwrap_err(), TokenError::Claims, "{payload}");
    }
}

#[test]
fn what_is_no_set_of_claims_voids_the_token() {
    for payload in [
        "",
        " ",
        "null",
        "1",
        r#""mercure""#,
        "[]",
        "{",
        "{}}",
        "{} {}",
        "\u{feff}{}",
        r#"{"iss":1}"#,
        r#"{"sub":["a"]}"#,
        r#"{"aud":7}"#,
        r#"{"aud":[7]}"#,
        r#"{"aud":null}"#,
        r#"{"mercure":1}"#,
        r#"{"mercure":"publish"}"#,
        r#"{"mercure":{"publish":"*"}}"#,
        r#"{"mercure":{"publish":[1]}}"#,
        r#"{"mercure":{"subscribe":{}}}"#,
        r#"{"mercure":{"subscribe":[null]}}"#,
        r#"{"mercure":{"subscribe":[["*"]]}}"#,
    ] {
        assert_eq!(verdict(payload).unwrap_err(), TokenError::Claims, "{payload}");
    }
}

#[test]
fn claims_nested_without_end_take_no_stack() {
    let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
    for claim in ["aud", "iss", "exp", "mercure"] {
        let outcome = verdict(&format!(r#"{{"{claim}":{deep}}}"#));
        assert_eq!(outcome.unwrap_err(), TokenError::Claims, "{claim}");
    }
    assert!(verdict(&format!(r#"{{"unknown":{deep}}}"#)).is_ok());
}

#[test]
fn rights_are_what_the_claim_of_mercure_lists() {
    let rights = verdict(
        r#"{"sub":"me","mercure":{"publish":["https://a.example/{id}","b"],"subscribe":["c"]}}"#,
    )
    .unwrap();
    assert_eq!(texts(rights.publish.as_deref().unwrap()), ["https://a.example/{id}", "b"]);
    assert_eq!(texts(&rights.subscribe), ["c"]);
    assert!(rights.may_publish("b") && rights.may_publish("https://a.example/1"));
    assert!(!rights.may_publish("c") && !rights.may_publish("https://a.example/1/2"));
    assert!(rights.may_subscribe("c") && !rights.may_subscribe("b"));
    assert_eq!(rights.subject.as_deref(), Some("me"));
}

#[test]
fn a_token_that_says_nothing_of_publishing_is_not_one_that_grants_nothing() {
    for payload in [
        "{}",
        r#"{"mercure":null}"#,
        r#"{"mercure":{}}"#,
        r#"{"mercure":{"publish":null,"subscribe":null}}"#,
    ] {
        let rights = verdict(payload).unwrap();
        assert!(rights.publish.is_none() && rights.subscribe.is_empty(), "{payload}");
        assert!(!rights.may_publish("any"));
    }
    let rights = verdict(r#"{"mercure":{"publish":[]}}"#).unwrap();
    assert_eq!(rights.publish.as_deref(), Some(&[][..]));
    assert!(!rights.may_publish("any"));
}

#[test]
fn the_claim_by_url_goes_before_the_short_one() {
    let both = r#"{"mercure":{"publish":["*"]},"https://mercure.rocks/":{"publish":["a"]}}"#;
    let rights = verdict(both).unwrap();
    assert!(rights.may_publish("a") && !rights.may_publish("b"));
}

#[test]
fn a_claim_has_a_thousand_selectors_at_most() {
    // They are as short as can be: a token is bounded as well.
    let list = |count: usize| format!(r#"["*"{}]"#, r#","*""#.repeat(count - 1));
    for claim in ["publish", "subscribe"] {
        let payload = |count| format!(r#"{{"mercure":{{"{claim}":{}}}}}"#, list(count));
        assert!(verdict(&payload(SELECTORS_PER_CLAIM_MAX)).is_ok());
        let outcome = verdict(&payload(SELECTORS_PER_CLAIM_MAX + 1));
        assert_eq!(outcome.unwrap_err(), TokenError::TooMany);
    }
}

#[test]
fn the_audience_is_one_of_ours() {
    let issuer = || vec![Issuer { name: None, keys: Signer::of(Algorithm::HS256).keys() }];
    let listed = Audiences::Listed(vec!["downpour".into(), "other".into()]);
    for (audiences, aud, good) in [
        (&Audiences::Any, json!(null), true),
        (&Audiences::Any, json!("else"), true),
        (&listed, json!(null), false),
        (&listed, json!("downpour"), true),
        (&listed, json!(["else", "other"]), true),
        (&listed, json!([]), false),
        (&listed, json!("Downpour"), false),
        (&listed, json!("downpour "), false),
        (&listed, json!(["else"]), false),
        (&Audiences::Listed(Vec::new()), json!(null), true),
        (&Audiences::Listed(Vec::new()), json!("downpour"), false),
        (&Audiences::HubUrl, json!(HUB), true),
        (&Audiences::HubUrl, json!([HUB]), true),
        (&Audiences::HubUrl, json!("https://hub.example"), false),
        (&Audiences::HubUrl, json!(null), false),
    ] {
        let claims = if aud.is_null() { json!({}) } else { json!({ "aud": aud }) };
        let verifier = Verifier::new(Dialect::V0, issuer(), audiences.clone(), false);
        let outcome = verify(&verifier, &raw(r#"{"alg":"HS256"}"#, &claims.to_string()));
        assert_eq!(outcome.err(), (!good).then_some(TokenError::Audience), "{audiences:?} {aud}");
    }
}

#[test]
fn a_named_issuer_signs_with_its_own_keys_only() {
    let (a, b) = (Signer::of(Algorithm::ES256), Signer::new(Algorithm::ES256));
    let issuer =
        |name: &str, signer: &Signer| Issuer { name: Some(name.into()), keys: signer.keys() };
    let issuers = vec![issuer("https://a.example", a), issuer("https://b.example", &b)];
    let verifier = Verifier::new(Dialect::V0, issuers, Audiences::Any, false);
    for (signer, iss, good) in [
        (a, json!("https://a.example"), true),
        (&b, json!("https://b.example"), true),
        (a, json!("https://b.example"), false),
        (&b, json!("https://a.example"), false),
        (a, json!("https://c.example"), false),
        (a, json!("https://a.example/"), false),
        (a, json!(null), false),
    ] {
        let claims = if iss.is_null() { json!({}) } else { json!({ "iss": iss }) };
        let outcome = verify(&verifier, &signer.sign(&Header::new(Algorithm::ES256), &claims));
        assert_eq!(outcome.err(), (!good).then_some(TokenError::Issuer), "{iss}");
    }
}

#[test]
fn only_an_access_token_grants_by_authorization_details() {
    let claims = json!({
        "exp": NOW + 60,
        "authorization_details": [detail(&json!([{ "match": "a" }]))],
    });
    for (typ, good) in [
        (r#","typ":"at+jwt""#, true),
        (r#","typ":"AT+JWT""#, true),
        (r#","typ":"application/at+jwt""#, true),
        (r#","typ":"JWT""#, false),
        (r#","typ":"at+jwt ""#, false),
        ("", false),
    ] {
        for dialect in [Dialect::V1, Dialect::Either] {
            let verifier = verifier(dialect, Signer::of(Algorithm::HS256).keys());
            let token = raw(&format!(r#"{{"alg":"HS256"{typ}}}"#), &claims.to_string());
            let outcome = verify(&verifier, &token);
            assert_eq!(outcome.err(), (!good).then_some(TokenError::Kind), "{dialect:?} {typ}");
        }
    }
}

#[test]
fn each_dialect_reads_its_own_claims() {
    let claims = json!({
        "exp": NOW + 60,
        "mercure": { "publish": ["old"] },
        "authorization_details": [detail(&json!([{ "match": "new" }]))],
    });
    let keys = || Signer::of(Algorithm::HS256).keys();
    for (dialect, topic) in [(Dialect::V0, "old"), (Dialect::V1, "new"), (Dialect::Either, "new")] {
        let rights = verify(&verifier(dialect, keys()), &access_token(&claims)).unwrap();
        for other in ["old", "new"] {
            assert_eq!(rights.may_publish(other), other == topic, "{dialect:?} {other}");
        }
    }
    let old = json!({ "exp": NOW + 60, "mercure": { "publish": ["old"] } });
    let rights = verify(&verifier(Dialect::V1, keys()), &access_token(&old)).unwrap();
    assert!(!rights.may_publish("old"));
    let rights = verify(&verifier(Dialect::Either, keys()), &access_token(&old)).unwrap();
    assert!(rights.may_publish("old"));
}

#[test]
fn details_grant_their_actions_on_their_topics() {
    let rights = details(&json!([
        { "type": "https://other.example/payment", "topics": "none of ours", "actions": 7 },
        {
            "type": "https://mercure.rocks/authorization-detail",
            "actions": ["publish"],
            "topics": [{ "match": "p" }, { "match": "/books/:id", "match_type": "urlpattern" }],
        },
        {
            "type": "https://mercure.rocks/authorization-detail",
            "actions": ["subscribe"],
            "topics": [{ "match": "s", "match_type": "exact", "unknown": 1 }],
            "payload": { "of": "s" },
        },
        {
            "type": "https://mercure.rocks/authorization-detail",
            "actions": ["subscribe", "subscribe"],
            "topics": [{ "match": "*" }],
            "payload": { "of": "all" },
        },
    ]))
    .unwrap();
    assert!(rights.may_publish("p") && rights.may_publish("https://hub.example/books/7"));
    assert!(!rights.may_publish("s") && !rights.may_publish("https://hub.example/books/7/8"));
    assert!(rights.may_subscribe("s") && rights.may_subscribe("anything"));
    let payload = |selector| rights.payload_of(selector).map(RawValue::get);
    assert_eq!(payload("s"), Some(r#"{"of":"s"}"#), "the first that matches");
    assert_eq!(payload("else"), Some(r#"{"of":"all"}"#));
}

#[test]
fn the_payload_of_mercure_0_is_for_every_subscription() {
    let rights = verdict(r#"{"mercure":{"subscribe":[],"payload":{"user":[1, 2]}}}"#).unwrap();
    assert_eq!(rights.payload_of("any").map(RawValue::get), Some(r#"{"user":[1, 2]}"#));
    assert!(verdict(r#"{"mercure":{"payload":null}}"#).unwrap().payload_of("any").is_none());
}

#[test]
fn a_token_without_details_of_ours_grants_nothing() {
    for none in [json!([]), json!([{ "type": "else" }])] {
        let rights = details(&none).unwrap();
        assert!(!rights.may_publish("any") && !rights.may_subscribe("any"), "{none}");
    }
}

#[test]
fn one_bad_detail_voids_the_token() {
    let good = detail(&json!([{ "match": "a" }]));
    let with = |member: &str, value: Value| {
        let mut bad = good.clone();
        bad[member] = value;
        bad
    };
    let mut bad = vec![
        json!(1),
        json!(null),
        json!("https://mercure.rocks/authorization-detail"),
        json!({}),
        json!({ "type": 1 }),
        json!({ "type": "https://mercure.rocks/authorization-detail" }),
    ];
    let actions = [json!([]), json!("publish"), json!([7]), json!(null)];
    bad.extend(actions.map(|value| with("actions", value)));
    let topics = [
        json!([]),
        json!("a"),
        json!(["a"]),
        json!([null]),
        json!([{}]),
        json!([{ "match": null }]),
        json!([{ "match": "" }]),
        json!([{ "match": 1 }]),
        json!([{ "match": "a", "match_type": "Exact" }]),
        json!([{ "match": "a", "match_type": "regexp" }]),
        json!([{ "match": "a", "match_type": null }]),
        json!([{ "match": "a", "match": "\u{1}" }]),
        json!([{ "match": "http://[", "match_type": "urlpattern" }]),
        json!([{ "match": "a" }, { "match": "" }]),
    ];
    bad.extend(topics.map(|value| with("topics", value)));
    bad.extend([json!(1), json!("text"), json!([]), json!(null)].map(|v| with("payload", v)));
    for bad in bad {
        for list in [json!([bad]), json!([good, bad]), json!([bad, good])] {
            assert_eq!(details(&list).unwrap_err(), TokenError::Details, "{list}");
        }
    }
    for no_list in [json!({}), json!("a"), json!(1), good.clone()] {
        assert_eq!(details(&no_list).unwrap_err(), TokenError::Details, "{no_list}");
    }
    assert_eq!(details(&json!(null)).unwrap_err(), TokenError::Details);
}

#[test]
fn details_and_their_matchers_are_bounded() {
    let matchers = |count: usize| json!([detail(&json!(vec![json!({ "match": "*" }); count]))]);
    assert!(details(&matchers(DETAILS_MAX)).is_ok());
    assert_eq!(details(&matchers(DETAILS_MAX + 1)).unwrap_err(), TokenError::TooMany);
    let one = json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["publish"],
        "topics": [{ "match": "*" }],
    });
    // A hundred whole details do not fit a token; a few with a third of the matchers each do.
    let third = detail(&json!(vec![json!({ "match": "*" }); 50]));
    assert!(details(&json!([third, third])).is_ok());
    assert_eq!(details(&json!([third, third, one])).unwrap_err(), TokenError::TooMany);
}
