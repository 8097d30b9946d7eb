//! Where tokens are found, and what is refused in their place.

use super::source::{Places, Presented, SourceError, presented};
use super::*;
use crate::http::request::{Limits, Parsed, parse};

const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn places(dialect: Dialect) -> Places<'static> {
    Places { dialect, query: Some("authorization"), cookies: &["new", "old"] }
}

/// Where the token of a request with this target and these header lines stands, and the token.
fn found(target: &str, lines: &str, places: Places<'_>) -> Result<(char, String), SourceError> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let limits = Limits::default();
    let Ok(Parsed::Complete { request, .. }) = parse(head.as_bytes(), &limits) else {
        panic!("not a head: {head:?}");
    };
    let presented = presented(&request, places)?;
    let place = match presented {
        Presented::Nothing => '-',
        Presented::Header(_) => 'h',
        Presented::Query(_) => 'q',
        Presented::Cookie(_) => 'c',
    };
    let token = presented.token().unwrap_or_default().to_vec();
    assert!(!format!("{presented:?}").contains("aaaa"), "never printed");
    Ok((place, String::from_utf8(token).unwrap()))
}

#[test]
fn the_header_goes_before_the_query_and_the_query_before_the_cookie() {
    let (header, cookie) =
        (format!("Authorization: Bearer h{LONG}\r\n"), format!("Cookie: old=c{LONG}\r\n"));
    let query = format!("/?authorization=q{LONG}");
    let all = format!("{header}{cookie}");
    for dialect in [Dialect::V0, Dialect::V1, Dialect::Either] {
        for (target, lines, place) in [
            (query.as_str(), all.as_str(), 'h'),
            (&query, &cookie, 'q'),
            ("/", &all, 'h'),
            ("/", &cookie, 'c'),
            ("/", "", '-'),
        ] {
            let (found, token) = found(target, lines, places(dialect)).unwrap();
            assert_eq!(found, place, "{target} {lines}");
            assert_eq!(token.chars().next().unwrap_or('-'), place);
        }
    }
}

#[test]
fn a_bad_header_is_not_made_good_by_what_comes_after_it() {
    let good = format!("Bearer {LONG}");
    let cookie = format!("Cookie: old={LONG}\r\n");
    for (lines, error) in [
        ("Authorization:\r\n".into(), SourceError::HeaderIsNotBearer),
        (format!("Authorization: {LONG}\r\n"), SourceError::HeaderIsNotBearer),
        (format!("Authorization: Basic {LONG}\r\n"), SourceError::HeaderIsNotBearer),
        (format!("Authorization: Bearer:{LONG}\r\n"), SourceError::HeaderIsNotBearer),
        ("Authorization: Bearer\r\n".into(), SourceError::HeaderIsNotBearer),
        (
            format!("Authorization: {good}\r\nAuthorization: {good}\r\n"),
            SourceError::HeaderRepeated,
        ),
        (format!("Authorization: {good}\r\nauthorization:\r\n"), SourceError::HeaderRepeated),
    ] {
        for dialect in [Dialect::V0, Dialect::V1] {
            let query = format!("/?authorization={LONG}");
            let outcome = found(&query, &format!("{lines}{cookie}"), places(dialect));
            assert_eq!(outcome.unwrap_err(), error, "{lines}");
        }
    }
    let lower = format!("authorization: bearer {LONG}\r\n");
    assert_eq!(found("/", &lower, places(Dialect::V1)).unwrap(), ('h', LONG.into()));
}

#[test]
fn mercure_0_wants_a_header_of_48_bytes_and_a_query_of_41() {
    let header = |bytes: usize| {
        let lines = format!("Authorization: Bearer {}\r\n", "a".repeat(bytes - 7));
        found("/", &lines, places(Dialect::V0)).map(|found| found.0)
    };
    assert_eq!((header(48), header(47)), (Ok('h'), Err(SourceError::HeaderIsNotBearer)));
    let query = |bytes: usize| {
        let target = format!("/?authorization={}", "a".repeat(bytes));
        found(&target, "", places(Dialect::V0)).map(|found| found.0)
    };
    assert_eq!((query(41), query(40)), (Ok('q'), Err(SourceError::QueryIsShort)));
}

#[test]
fn the_query_is_looked_at_only_where_it_is_allowed() {
    let target = format!("/?authorization={LONG}");
    let without = Places { query: None, ..places(Dialect::Either) };
    assert_eq!(found(&target, "", without).unwrap().0, '-');
    let twice = format!("/?authorization={LONG}&a=b&authorization={LONG}");
    let outcome = found(&twice, "", places(Dialect::V0));
    assert_eq!(outcome.unwrap_err(), SourceError::QueryRepeated);
    let encoded = format!("/?%61uthorization=%61{LONG}");
    assert_eq!(found(&encoded, "", places(Dialect::V0)).unwrap(), ('q', format!("a{LONG}")));
    let outcome = found("/?authorization=%zz", "", places(Dialect::V0));
    assert_eq!(outcome.unwrap_err(), SourceError::QueryIsMalformed);
}

#[test]
fn cookies_are_found_by_their_whole_name() {
    for (lines, expected) in [
        ("Cookie: old=a\r\n", Some("a")),
        ("Cookie: a=b; old=x; c=d\r\n", Some("x")),
        ("Cookie: old=x; new=y\r\n", Some("y")),
        ("Cookie: a=b;old=\"x\"\r\n", Some("x")),
        ("Cookie: old=x=y\r\n", Some("x=y")),
        ("Cookie: a=b\r\nCookie: old=x\r\n", Some("x")),
        ("Cookie: older=x; xold=y; OLD=z\r\n", None),
        ("Cookie: old\r\n", None),
        ("Cookie: a=\"; old=x\"\r\n", Some("x\"")),
        ("Cookie: \r\n", None),
    ] {
        let (place, token) = found("/", lines, places(Dialect::V1)).unwrap();
        let expected = expected.map_or(('-', ""), |token| ('c', token));
        assert_eq!((place, token.as_str()), expected, "{lines}");
    }
}

#[test]
fn two_cookies_of_one_name_are_refused_unless_they_are_the_same() {
    let tossed = "Cookie: old=a; old=b\r\n";
    assert_eq!(found("/", tossed, places(Dialect::V0)).unwrap().1, "a");
    for dialect in [Dialect::V1, Dialect::Either] {
        let outcome = found("/", tossed, places(dialect));
        assert_eq!(outcome.unwrap_err(), SourceError::CookieRepeated);
        assert!(found("/", "Cookie: old=a; old=a\r\n", places(dialect)).is_ok());
    }
}
