use std::collections::HashMap;

use super::answer::{Answer, Fault, header_id};
use super::directives::{self, Lookup};
use super::form::Form;
use super::origin::Origins;
use super::settings::{Settings, asked_for, hub_url};
use super::subscribe::Ask;
use super::subscription::{Filter, Subscription, escape, etag, query_escape};
use super::update::Update;
use super::{PATH, Speaks, Version, is_ours};
use crate::config::token::TokenCheck;
use crate::http::refusal::Status;
use crate::http::response::{Connection, Content};

const URL: &str = "https://hub.example/.well-known/mercure";

/// An environment and files.
struct Given(HashMap<&'static str, &'static str>);

impl Lookup for Given {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }

    fn variables(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let found = self.0.get(path).map(|value| (*value).to_owned());
        found.ok_or_else(|| format!("{path} is not there"))
    }
}

fn given(pairs: &[(&'static str, &'static str)]) -> Given {
    Given(pairs.iter().copied().collect())
}

fn form(text: &str) -> Form {
    Form::parse(text.as_bytes()).unwrap()
}

#[test]
fn the_hubs_paths_are_its_own_and_no_others() {
    for (path, ours) in [
        (PATH, true),
        ("/.well-known/mercure/subscriptions", true),
        ("/.well-known/oauth-protected-resource/.well-known/mercure", true),
        ("/.well-known/mercure2", false),
        ("/.well-known/mercur", false),
        ("/.well-known/oauth-protected-resource", false),
        ("/", false),
    ] {
        assert_eq!(is_ours(path), ours, "{path}");
    }
}

/// What becomes of an update of this topic: its status if it is refused.
fn verdict(topic: &str, version: Version, speaks: Speaks) -> Option<u16> {
    let update = Update::read(&form(&format!("topic={}", escape(topic))), version).unwrap();
    update.check(version, speaks, URL).err().map(|fault| fault.status.code())
}

#[test]
fn topics_of_the_hub_itself_are_reserved_however_they_are_written() {
    for topic in [
        "/.well-known/mercure",
        "/.well-known/mercure/",
        "/.well-known/mercure/subscriptions/exact/a/b",
        "https://x.example/.well-known/mercure/a",
        "ftp://x.example//.well-known//mercure",
        "/a/../.well-known/mercure",
        "/a/%2e%2e/.well-known/mercure",
        "/%2Ewell-known/mercure",
        "/%252Ewell-known/mercure",
        "/.well-known%2Fmercure",
        "/.well-known\\mercure",
        "mercure",
        "./mercure/x",
        "?x",
        "",
    ] {
        assert_eq!(verdict(topic, Version::V1, Speaks::V1), Some(400), "{topic:?}");
        assert_eq!(verdict(topic, Version::V0, Speaks::Both), Some(403), "{topic:?}");
        let is_plain = topic.contains(PATH);
        assert_eq!(verdict(topic, Version::V0, Speaks::V0), is_plain.then_some(403), "{topic:?}");
    }
    for topic in
        ["/.well-known/mercure2", "/x/y", "https://x.example/a", "urn:a:b", "/%2Fa%zz", "é"]
    {
        assert_eq!(verdict(topic, Version::V1, Speaks::V1), None, "{topic}");
    }
}

#[test]
fn what_cannot_be_seen_is_in_no_field_of_version_1() {
    let check = |field: &str, character: char, version| {
        let update = form(&format!("topic=a&{field}=x{}", escape(&character.to_string())));
        Update::read(&update, version).unwrap().check(version, Speaks::from(version), URL).is_ok()
    };
    for character in
        ['\u{0}', '\n', '\u{1F}', '\u{7F}', '\u{85}', '\u{AD}', '\u{200B}', '\u{E0041}']
    {
        for field in ["topic", "id", "type"] {
            assert!(!check(field, character, Version::V1), "{field} {character:?}");
        }
        let breaks_line = matches!(character, '\0' | '\n');
        assert_eq!(check("id", character, Version::V0), !breaks_line, "{character:?}");
        assert!(check("topic", character, Version::V0), "{character:?}");
    }
    for character in ['a', ' ', 'é', '\u{A0}', '\u{FFFD}', '🌧'] {
        assert!(check("id", character, Version::V1) && check("topic", character, Version::V1));
    }
}

#[test]
fn a_retry_of_any_length_is_taken_for_a_day_at_most() {
    let read = |text: &str| Update::read(&form(&format!("topic=a&retry={text}")), Version::V0);
    for (text, expected) in [
        ("0", None),
        ("1", Some(1)),
        ("0010", Some(10)),
        ("86400001", Some(86_400_000)),
        ("18446744073709551615", Some(86_400_000)),
    ] {
        assert_eq!(read(text).unwrap().retry, expected, "{text}");
    }
    for text in ["18446744073709551616", "-1", "%2B1", "1.5", "0x1", "1%20"] {
        assert_eq!(read(text).unwrap_err().text, "Invalid \"retry\" parameter", "{text}");
    }
}

#[test]
fn what_a_subscriber_asks_for_is_read_by_its_version() {
    let read = |text: &str, speaks| Ask::read(&form(text), None, speaks, URL);
    let old = read("topic=a&topic=a&topic=%7Bx%7D&match=b", Speaks::V0).unwrap();
    assert_eq!((old.version, old.wanted.len()), (Version::V0, 2));
    let new = read("topic=a&match=b&match_exact=b&match_urlpattern=/c/:d", Speaks::V1).unwrap();
    assert_eq!((new.version, new.wanted.len()), (Version::V1, 2));
    assert_eq!(new.wanted[1].match_type, "urlpattern");
    let both = read("topic=a&match=b", Speaks::Both).unwrap();
    assert_eq!((both.version, both.wanted.len()), (Version::V1, 2));
    assert_eq!(read("topic=a", Speaks::Both).unwrap().version, Version::V0);
    assert!(read("", Speaks::Both).is_err());
    assert!(read("topic=a&matchX=b", Speaks::Both).is_err());
    assert!(read("topic=a&matchX=b", Speaks::V0).is_ok());
    assert!(read("topic=a&ma%C3%A9tch=b", Speaks::Both).is_ok());
}

#[test]
fn an_empty_id_counts_in_version_1_only() {
    for (text, header, speaks, expected) in [
        ("topic=a&lastEventID=x", None, Speaks::V0, Some("x")),
        ("topic=a&lastEventID=x", Some("y"), Speaks::V0, Some("y")),
        ("topic=a&lastEventID=x", Some(""), Speaks::V0, Some("x")),
        ("topic=a&lastEventID=", Some(""), Speaks::V0, None),
        ("topic=a&last_event_id=x", None, Speaks::V0, None),
        ("match=a&last_event_id=x", Some("y"), Speaks::V1, Some("y")),
        ("match=a&last_event_id=", None, Speaks::V1, Some("")),
        ("match=a", Some(""), Speaks::V1, Some("")),
        ("match=a&lastEventID=x", None, Speaks::V1, None),
    ] {
        let ask = Ask::read(&form(text), header, speaks, URL).unwrap();
        assert_eq!(ask.last_event_id.as_deref(), expected, "{text} {header:?}");
    }
}

fn subscription(version: Version) -> Subscription {
    Subscription {
        version,
        selector: "https://e.example/{a b}?c=é&d+e".into(),
        match_type: "exact",
        subscriber: "urn:uuid:1".into(),
        payload: None,
    }
}

#[test]
fn a_subscriptions_path_is_encoded_once_and_found_again() {
    let old = subscription(Version::V0);
    assert_eq!(
        old.path(),
        "/.well-known/mercure/subscriptions/https%3A%2F%2Fe.example%2F%7Ba+b%7D%3Fc%3D%C3%A9%26d%2Be\
         /urn%3Auuid%3A1"
    );
    let new = subscription(Version::V1);
    assert_eq!(
        new.path(),
        "/.well-known/mercure/subscriptions/exact/https%3A%2F%2Fe.example%2F%7Ba%20b%7D%3Fc%3D%C3%A9\
         %26d%2Be/urn%3Auuid%3A1"
    );
    for one in [old, new] {
        let filter = Filter::read(&one.path(), Version::V0, true).unwrap();
        assert!(filter.has(&one) && filter.subscriber.is_some());
        let collection = one.path().rsplit_once('/').unwrap().0.to_owned();
        let filter = Filter::read(&collection, Version::V0, true).unwrap();
        assert!(filter.has(&one) && filter.subscriber.is_none());
        let other = Subscription { subscriber: "urn:uuid:2".into(), ..one.clone() };
        assert!(filter.has(&other));
        assert!(!Filter::read(&one.path(), Version::V0, true).unwrap().has(&other));
    }
    for path in ["/x", "/.well-known/mercure/subscriptionsx", "/.well-known/mercure/subscriptions/"]
    {
        assert_eq!(Filter::read(path, Version::V0, true), None, "{path}");
    }
    assert_eq!(query_escape("a b~-_.*"), "a+b~-_.%2A");
    assert_eq!(etag("a\"b%c"), "\"a%22b%25c\"");
}

#[test]
fn an_id_stands_in_a_header_only_as_what_it_is() {
    for (id, fits) in [
        ("urn:uuid:1", true),
        ("id-[\"x\"]", true),
        ("a b", true),
        ("", false),
        (" a", false),
        ("a\r\nX: y", false),
        ("a\tb", false),
        ("a\u{85}", false),
        ("with space/ü\"", true),
    ] {
        assert_eq!(header_id(id).is_some(), fits, "{id:?}");
    }
}

#[test]
fn challenges_are_version_1s_and_have_no_code_without_a_token() {
    let answer = Answer {
        connection: Connection::KeepAlive,
        content: Content::Sent,
        cors: &Origins::default(),
        origin: None,
        metadata_url: Some("https://hub.example/m"),
    };
    let challenge = |fault: &Fault| {
        let mut out = Vec::new();
        answer.fault(fault, &mut out);
        let text = String::from_utf8(out).unwrap();
        let line = text.lines().find(|line| line.starts_with("WWW-Authenticate"));
        line.map(|line| line["WWW-Authenticate: ".len()..].to_owned())
    };
    let metadata = "resource_metadata=\"https://hub.example/m\"";
    assert_eq!(challenge(&Fault::no_token(Version::V1)), Some(format!("Bearer {metadata}")));
    let bad = format!("Bearer error=\"invalid_token\", {metadata}");
    assert_eq!(challenge(&Fault::bad_token(Version::V1)), Some(bad));
    assert_eq!(challenge(&Fault::bad_token(Version::V0)), None);
    assert_eq!(challenge(&Fault::bare(Version::V1, Status::BadRequest)), None);
}

#[test]
fn directives_are_read_as_caddy_reads_them() {
    let lookup = given(&[("KEY", "s3cret key"), ("/run/key", "of a file")]);
    let text = "# a comment\nanonymous\n\ncors_origins a \"b c\" `d\"e` # more\n\
                publisher_jwt {env.KEY} HS256\nissuer \"x\" {\n  publisher {\n    jwt {file./run/key}\n  }\n}\n\
                topic {$NONE:default} {$NONE} {id} {$KEY}\n\"{\" x\n";
    let parsed = directives::parse(text, &lookup).unwrap();
    let words: Vec<(&str, Vec<&str>)> = parsed
        .iter()
        .map(|one| (one.name.as_str(), one.words.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(
        words,
        [
            ("anonymous", vec![]),
            ("cors_origins", vec!["a", "b c", "d\"e"]),
            ("publisher_jwt", vec!["s3cret key", "HS256"]),
            ("issuer", vec!["x"]),
            ("topic", vec!["default", "{id}", "s3cret", "key"]),
            ("{", vec!["x"]),
        ]
    );
    let several = given(&[("MORE", "anonymous\nsubscriptions")]);
    let parsed_several = directives::parse("{$MORE}\ncors_origins a \\\n b", &several).unwrap();
    let names: Vec<&str> = parsed_several.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["anonymous", "subscriptions", "cors_origins"]);
    assert_eq!(parsed_several[2].words, ["a", "b"], "a backslash joins lines");
    assert_eq!(parsed[3].block[0].block[0].words, ["of a file"]);
    assert_eq!((parsed[3].line, parsed[3].block[0].line), (6, 7));
    let wrapped = directives::parse("mercure {\nanonymous\n}", &lookup).unwrap();
    assert_eq!(wrapped[0].name, "anonymous");
    for (text, line) in [
        ("a {\nb", 2),
        ("a\n}", 2),
        ("{\n}", 1),
        ("a\n\nb \"c", 3),
        ("a {\n} b\n", 2),
        ("a {file./nowhere}", 1),
        ("a {\na {\na {\na {\na {\n}\n}\n}\n}\n}", 5),
    ] {
        assert_eq!(directives::parse(text, &lookup).unwrap_err().line, line, "{text}");
    }
}

#[test]
fn the_environment_of_a_hub_asks_for_one() {
    assert_eq!(asked_for(&given(&[])), None);
    assert_eq!(asked_for(&given(&[("MERCURE_PUBLISHER_JWT_KEY", " ")])), None);
    assert_eq!(asked_for(&given(&[("MERCURE_PUBLISHER_JWT_KEY", "k")])), Some(Speaks::V0));
    assert_eq!(asked_for(&given(&[("MERCURE_SUBSCRIBER_JWT_KEY_FILE", "/k")])), Some(Speaks::V0));
    assert_eq!(asked_for(&given(&[("MERCURE_TRUSTED_ISSUERS", "x")])), Some(Speaks::Both));
}

#[test]
fn keys_come_from_variables_files_and_directives() {
    let key = "!ChangeThisMercureHubJWTSecretKey!";
    for lookup in [
        given(&[("MERCURE_PUBLISHER_JWT_KEY", key), ("MERCURE_SUBSCRIBER_JWT_KEY", key)]),
        given(&[
            ("MERCURE_PUBLISHER_JWT_KEY_FILE", "/run/p"),
            ("/run/p", key),
            ("MERCURE_EXTRA_DIRECTIVES", "anonymous"),
        ]),
        given(&[(
            "MERCURE_EXTRA_DIRECTIVES",
            "publisher_jwt !ChangeThisMercureHubJWTSecretKey!\nanonymous",
        )]),
    ] {
        let settings = Settings::read(Speaks::Both, None, &lookup).unwrap();
        assert!(settings.publishers.v0.is_some() && settings.publishers.v1.is_some());
    }
    let short =
        given(&[("MERCURE_PUBLISHER_JWT_KEY", "short"), ("MERCURE_EXTRA_DIRECTIVES", "anonymous")]);
    let settings = Settings::read(Speaks::V0, None, &short).unwrap();
    assert!(settings.warnings.iter().any(|warning| warning.contains("can be guessed")));
    assert!(settings.publishers.v1.is_none() && settings.subscribers.v0.is_none());
}

fn read(pairs: &[(&'static str, &'static str)], speaks: Speaks) -> Result<Settings, String> {
    Settings::read(speaks, None, &given(pairs)).map_err(|error| error.to_string())
}

#[test]
fn key_sets_are_named_by_url_or_file() {
    let settings = read(
        &[(
            "MERCURE_EXTRA_DIRECTIVES",
            "publisher_jwks_url https://id.example/keys\nsubscriber_jwks_url file:///run/keys ES256",
        )],
        Speaks::Both,
    )
    .unwrap();
    for check in [&settings.publishers.v0, &settings.publishers.v1] {
        assert_eq!(check.as_ref().unwrap().issuers[0].urls, ["https://id.example/keys"]);
    }
    let issuer = &settings.subscribers.v0.as_ref().unwrap().issuers[0];
    assert_eq!(issuer.files, [std::path::PathBuf::from("/run/keys")]);
    assert_eq!(issuer.allowed, [jsonwebtoken::Algorithm::ES256]);
    for (text, said) in [
        ("publisher_jwks_url http://id.example/keys", "must be https"),
        ("publisher_jwks_url file://keys", "whole path"),
        ("publisher_jwks_url https://id.example/keys none", "the algorithm is one of"),
        ("issuer a {\npublisher {\njwt k\njwks_uri https://b.example/\n}\n}", "one of `jwt`"),
        ("issuer a {\nfriend {\n}\n}", "has publisher, subscriber"),
    ] {
        let error = read(&[("MERCURE_EXTRA_DIRECTIVES", text)], Speaks::V1).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn the_issuer_of_the_environment_is_whose_its_keys_are() {
    let keys = [
        ("MERCURE_PUBLISHER_JWT_KEY", "!ChangeThisMercureHubJWTSecretKey!"),
        ("MERCURE_SUBSCRIBER_JWT_KEY", "!ChangeThisMercureHubJWTSecretKey!"),
        ("MERCURE_TRUSTED_ISSUERS", "https://id.example"),
    ];
    let settings = read(&keys, Speaks::Both).unwrap();
    let named = |check: &Option<TokenCheck>| check.as_ref().unwrap().issuers[0].name.clone();
    assert_eq!(named(&settings.publishers.v1).as_deref(), Some("https://id.example"));
    assert_eq!(named(&settings.publishers.v0), None, "version 0 knows no issuers");
    let block =
        "issuer x {\nauthorization_server\npublisher {\njwt 0123456789abcdef0123456789abcdef\n}\n}";
    let blocks = [&keys[..], &[("MERCURE_EXTRA_DIRECTIVES", block)]].concat();
    let settings = read(&blocks, Speaks::Both).unwrap();
    assert_eq!(named(&settings.publishers.v1).as_deref(), Some("x"));
    assert!(settings.subscribers.v1.is_none(), "the block has no keys of subscribers");
    assert_eq!(settings.authorization_servers, ["x"]);
    assert!(
        read(&[("MERCURE_TRUSTED_ISSUERS", "a b")], Speaks::V1).unwrap_err().contains("one issuer")
    );
}

#[test]
fn what_is_forgotten_or_too_much_in_a_directive_is_said() {
    let with = |text: &'static str| {
        let key = ("MERCURE_PUBLISHER_JWT_KEY", "!ChangeThisMercureHubJWTSecretKey!");
        read(&[key, ("MERCURE_EXTRA_DIRECTIVES", text)], Speaks::Both)
    };
    for (text, said) in [
        ("anonymous\npublisher_jwt", "needs a value"),
        ("anonymous\ncors_origins", "needs a value"),
        ("anonymous\npublish_origins", "needs a value"),
        ("anonymous\nissuer x {\npublisher {\njwt\n}\n}", "jwt needs a value"),
        ("anonymous extra", "takes no value"),
        ("anonymous\nheartbeat 500ms", "from 1s to 1h"),
        ("anonymous\nheartbeat 1x", "from 1s to 1h"),
        ("anonymous\npublisher_jwt k NOPE", "\"NOPE\" is none"),
        ("anonymous\ntransport bolt {", "line 2"),
        ("anonymous\ntransport bolt {\nfoo bar\n}", "foo in its block"),
        ("anonymous\ntransport bolt {\nsize many\n}", "size in its block"),
        ("anonymous\ntransport bolt {\ncleanup_frequency 2\n}", "cleanup_frequency in its block"),
        ("anonymous\ntransport local {\npath x\n}", "path in its block"),
        ("anonymous\ntransport redis {\naddress x\n}", "\"redis\" is no transport here"),
        ("anonymous\ntransport", "transport: needs one value"),
        ("anonymous\ntransport_url kafka://x", "\"kafka\" is no transport here"),
        ("anonymous\ndispatch_timeout abc", "dispatch_timeout: needs a time"),
        ("anonymous\nwrite_timeout", "write_timeout: needs a time"),
        ("anonymous\nwrite_timeout 1s 2s", "write_timeout: needs a time"),
        ("anonymous\ntopic_selector_cache x", "topic_selector_cache: needs a number"),
        ("anonymous\nsubscriber_list_cache_size", "needs a number"),
        ("example.com {\n{\n", "only the `mercure` block"),
    ] {
        let error = with(text).unwrap_err();
        assert!(error.contains(said), "{text:?}: {error}");
    }
    for (text, seconds) in [("1m30s", 90.0), ("1.5s", 1.5), ("0", 0.0), ("0s", 0.0), ("1h", 3600.0)]
    {
        let text: &'static str = format!("anonymous\nheartbeat {text}").leak();
        assert_eq!(with(text).unwrap().heartbeat.unwrap().as_secs_f64(), seconds, "{text}");
    }
    for text in [
        "transport bolt {\npath x.db\nbucket_name b\nsize 1000\ncleanup_frequency 0.3\n}",
        "transport local",
        "transport_url bolt://x.db?size=1",
        "dispatch_timeout 5s\nwrite_timeout 1m30s\npublish_timeout 0",
        "topic_selector_cache 1000 -1\nsubscriber_list_cache_size 100000\nui\ndemo",
    ] {
        let settings = with(format!("anonymous\n{text}").leak()).unwrap();
        assert!(settings.warnings.iter().any(|said| said.contains("has no meaning")), "{text}");
    }
    assert!(with("anonymous\nsubscriber_jwt {env.NONE}").is_ok(), "a variable may be empty");
    assert!(with("subscriber_jwt {env.NONE}").unwrap_err().contains("in directives: NONE)"));
    let url = [("MERCURE_TRANSPORT_URL", "redis://x"), ("MERCURE_PUBLISHER_JWT_KEY", "k")];
    assert!(read(&url, Speaks::V0).unwrap_err().starts_with("MERCURE_TRANSPORT_URL: \"redis\""));
    let both = [("MERCURE_PUBLISHER_JWT_KEY", "k"), ("MERCURE_PUBLISHER_JWT_KEY_FILE", "/k")];
    assert!(read(&both, Speaks::V0).unwrap_err().contains("is set as well"));
    let wrong = [("MERCURE_PUBLISHER_JWT_KEY", "k"), ("MERCURE_PUBLISHER_JWT_ALG", "NOPE")];
    let error = read(&wrong, Speaks::V0).unwrap_err();
    assert!(error.starts_with("MERCURE_PUBLISHER_JWT_ALG: \"NOPE\""), "{error}");
}

#[test]
fn the_mode_of_the_environment_says_which_keys_count() {
    let of = |mode: &'static str| {
        read(
            &[
                ("MERCURE_ISSUER_MODE", mode),
                ("MERCURE_PUBLISHER_JWT_KEY", "!ChangeThisMercureHubJWTSecretKey!"),
                ("MERCURE_PUBLISHER_JWKS_URI", "https://id.example/p"),
                ("MERCURE_SUBSCRIBER_JWKS_URI", "https://id.example/s"),
                ("MERCURE_EXTRA_DIRECTIVES", "anonymous"),
            ],
            Speaks::V1,
        )
    };
    let publisher = |mode| of(mode).unwrap().publishers.v1.unwrap().issuers.remove(0);
    let by_set = publisher("jwks");
    assert!(by_set.given.is_empty() && by_set.urls.len() == 1);
    let by_key = publisher("keys");
    assert!(!by_key.given.is_empty() && by_key.urls.is_empty());
    assert!(of("").unwrap_err().contains("MERCURE_ISSUER_MODE"));
    let missing = read(&[("MERCURE_ISSUER_MODE", "jwks")], Speaks::V1).unwrap_err();
    assert!(missing.contains("MERCURE_PUBLISHER_JWKS_URI"), "{missing}");
}

#[test]
fn the_hubs_url_is_what_clients_use() {
    let of = |directives: &'static str, host| {
        let lookup = given(&[
            ("MERCURE_PUBLISHER_JWT_KEY", "!ChangeThisMercureHubJWTSecretKey!"),
            ("MERCURE_EXTRA_DIRECTIVES", directives),
        ]);
        hub_url(&Settings::read(Speaks::V1, None, &lookup).unwrap(), host)
    };
    assert_eq!(of("anonymous", Some("A.example:1")), "http://a.example:1/.well-known/mercure");
    assert_eq!(
        of("anonymous\nresource_identifier https://r.example/m", Some("a")),
        "https://r.example/m"
    );
    let named = "anonymous\npublic_urls https://a.example http://b.example";
    assert_eq!(of(named, Some("a.example")), "https://a.example/.well-known/mercure");
}
