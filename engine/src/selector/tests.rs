//! Selectors against the plainest matcher there is, and the index against asking each.

use super::index::Index;
use super::*;

/// What stands between two braces: an operator or none, and whether each variable is exploded.
#[derive(Clone, Copy, Debug)]
struct Braces {
    operator: &'static str,
    exploded: &'static [bool],
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    Literal(&'static str),
    Braces(Braces),
}

fn text_of(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Braces(braces) => {
                let variable = |exploded: &bool| if *exploded { "v*" } else { "v" };
                let variables: Vec<&str> = braces.exploded.iter().map(variable).collect();
                text += &format!("{{{}{}}}", braces.operator, variables.join(","));
            }
        }
    }
    text
}

/// Tries everything.
fn naive(pieces: &[Piece], topic: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return topic.is_empty() };
    match first {
        Piece::Literal(literal) => {
            topic.strip_prefix(literal).is_some_and(|topic| naive(rest, topic))
        }
        Piece::Braces(braces) => {
            let begins = if braces.operator == "+" { "" } else { braces.operator };
            let expanded = topic.strip_prefix(begins);
            naive(rest, topic) || expanded.is_some_and(|topic| naive_value(*braces, 0, rest, topic))
        }
    }
}

/// Variable `number` stands at the start of `topic`, or its end.
fn naive_value(braces: Braces, number: usize, rest: &[Piece], topic: &str) -> bool {
    let Braces { operator, exploded } = braces;
    let any_exploded = exploded.contains(&true);
    let explodes = if number == 0 { exploded[0] } else { any_exploded };
    let separator = match operator {
        "" | "+" | "#" => ",",
        "?" => "&",
        own => own,
    };
    let may_follow = any_exploded || number + 1 < exploded.len();
    (0..=topic.len()).filter(|end| topic.is_char_boundary(*end)).any(|end| {
        let (value, behind) = topic.split_at(end);
        let next = behind.strip_prefix(separator).filter(|_| may_follow);
        is_value(value, operator, explodes)
            && (naive(rest, behind)
                || next.is_some_and(|topic| naive_value(braces, number + 1, rest, topic)))
    })
}

fn is_value(value: &str, operator: &str, explodes: bool) -> bool {
    let reserved = ":/?#[]@!$&'()*+,;=";
    let allowed = match operator {
        "+" | "#" => reserved,
        ";" | "?" | "&" => ",=",
        _ if explodes => ",=",
        _ => ",",
    };
    let mut rest = value;
    while let Some(char) = rest.chars().next() {
        let is_hex = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
        let length = match char {
            '%' if is_hex(1) && is_hex(2) => 3,
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => 1,
            other if allowed.contains(other) => 1,
            _ => return false,
        };
        rest = &rest[length..];
    }
    true
}

/// All texts of up to `length` of these.
fn texts(alphabet: &[&str], length: u32) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..length {
        last =
            last.iter().flat_map(|text| alphabet.iter().map(move |a| text.clone() + a)).collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[test]
fn every_short_template_matches_what_trying_everything_finds() {
    const OPERATORS: [&str; 8] = ["", "+", "#", ".", "/", ";", "?", "&"];
    const LISTS: [&[bool]; 6] =
        [&[false], &[true], &[false, false], &[false, true], &[true, false], &[false; 3]];
    let topics = texts(&["a", "/", ",", "=", "&", "%41", "?"], 4);
    let topics: Vec<String> =
        topics.into_iter().chain(texts(&[".", "#", ";", "%", "4", "\u{e9}"], 3)).collect();
    for operator in OPERATORS {
        for exploded in LISTS {
            let braces = Piece::Braces(Braces { operator, exploded });
            for pieces in [
                vec![braces],
                vec![Piece::Literal("a"), braces],
                vec![braces, Piece::Literal("/")],
                vec![braces, Piece::Literal("a"), braces],
            ] {
                check_template(&pieces, &topics);
            }
        }
    }
}

fn check_template(pieces: &[Piece], topics: &[String]) {
    let text = text_of(pieces);
    let selector = Selector::parse(&text).expect("within bounds");
    assert_eq!(selector.kind(), Kind::Template, "{text}");
    for topic in topics {
        assert_eq!(selector.matches(topic), naive(pieces, topic), "{text} on {topic}");
    }
}

#[test]
fn random_templates_match_what_trying_everything_finds() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut pieces: Vec<Piece> = Vec::new();
        for _ in 0..random.usize(1..6) {
            let after_literal = matches!(pieces.last(), Some(Piece::Literal(_)));
            let literal = ["a", "/", "a/b", "%41", ",", "é"][random.usize(..6)];
            let operator = ["", "+", "#", ".", "/", ";", "?", "&"][random.usize(..8)];
            let exploded =
                [&[false][..], &[true], &[false, false], &[false, true]][random.usize(..4)];
            match random.bool() && !after_literal {
                true => pieces.push(Piece::Literal(literal)),
                false => pieces.push(Piece::Braces(Braces { operator, exploded })),
            }
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Braces(_))) {
            continue;
        }
        let parts = ["a", "b", "/", ",", "=", "&", "%41", "%", "4", "é", ";", "?", ".", "#"];
        let topic: String =
            (0..random.usize(..9)).map(|_| parts[random.usize(..parts.len())]).collect();
        check_template(&pieces, &[topic]);
    }
}

/// Topics around the length up to which all places are bits of one number.
#[test]
fn short_and_long_topics_are_matched_alike() {
    let mut random = fastrand::Rng::with_seed(3);
    for length in (110..140).chain([0, 1, 63, 64, 65]) {
        for _ in 0..300 {
            let parts = ["{a}", "{+b}", "{/c,d}", "{;e*}", "{?f,g}", "{&h*}", "{.i}", "{#j}", "ab"];
            let text: String =
                (0..random.usize(1..9)).map(|_| random.choice(parts).unwrap()).collect();
            if !text.contains('{') {
                continue;
            }
            let chars = ["a", "b", "a", "b", "/", ",", ";", "=", "?", "&", ".", "#", "\""];
            let chars = &chars[..random.usize(1..=chars.len())];
            let topic: String =
                (0..length).map(|_| random.choice(chars.iter()).unwrap().to_string()).collect();
            let selector = Selector::parse(&text).unwrap();
            // A literal behind both makes the second long, and changes nothing else.
            let tail = "x".repeat(130);
            let longer = Selector::parse(&(text + &tail)).unwrap();
            assert_eq!(
                selector.matches(&topic),
                longer.matches(&(topic.clone() + &tail)),
                "{topic}"
            );
        }
    }
}

#[test]
fn selectors_that_differ_in_names_are_found_together_and_go_one_by_one() {
    let mut index = Index::default();
    let templates = (0..50).map(|n| Selector::parse(&format!("/x{{y{n}}}")).unwrap());
    let patterns =
        (0..50).map(|n| Selector::url_pattern(&format!("/:y{n}(\\w+)/:z"), BASE).unwrap());
    let all: Vec<Selector> = templates.chain(patterns).collect();
    (0..).zip(&all).for_each(|(value, selector)| index.insert(selector, value));
    let find = |index: &Index, topic: &str| {
        let mut found = Vec::new();
        index.find(topic, &mut found);
        found.sort_unstable();
        found
    };
    assert_eq!(find(&index, "/x1"), (0..50).collect::<Vec<u32>>());
    assert_eq!(find(&index, "/x{y7}"), [7], "by its text");
    assert_eq!(find(&index, "/a/b"), (50..100).collect::<Vec<u32>>());
    for (value, selector) in (0..).zip(&all) {
        index.remove(selector, value);
        assert!(!find(&index, "/x1").contains(&value) && !find(&index, "/a/b").contains(&value));
    }
    assert!(index.is_empty() && find(&index, "/x1").is_empty());
}

#[test]
fn a_crowd_is_of_those_that_only_going_one_by_one_tells_apart() {
    let parsed = |text: &str| Selector::parse(text).expect("a selector");
    let pattern = |text: &str| Selector::url_pattern(text, BASE).expect("a pattern");
    let steps = |selectors: &[Selector]| {
        let mut index = Index::default();
        (0..).zip(selectors).for_each(|(value, selector)| index.insert(selector, value));
        let crowd = index.crowd();
        (0..).zip(selectors).for_each(|(value, selector)| index.remove(selector, value));
        assert_eq!((index.crowd(), index.is_empty()), (0, true));
        crowd
    };
    let own: Vec<Selector> = (0..100).map(|n| parsed(&format!("/{n}{{x}}"))).collect();
    assert_eq!(steps(&own), 0, "each has a literal of its own");
    assert_eq!(steps(&["/{x}", "/{y}", "/{z:3}", "a", "*"].map(parsed)), 0, "names only differ");
    assert_eq!(steps(&["/{x}", "/{+x}", "/{x,y}", "b{x}"].map(parsed)), 3);
    assert_eq!(steps(&["/{x}/a{y}", "/{+x}/a{y}", "/{x}/b{y}"].map(parsed)), 2);
    assert_eq!(steps(&["/a/:x", "/b/:x", "/c/(d|e)/:x"].map(pattern)), 0);
    assert_eq!(steps(&["/a/:x", "/a/:y", "/a/*"].map(pattern)), 2 * 8);
    assert_eq!(steps(&["/a/:x", r"/a/:y(\d+)", "/a/*/b/*"].map(pattern)), 8 + 2 * 16);
}

#[test]
fn what_is_a_template_is_read_to_the_letter() {
    const TEMPLATES: &str = "{a} {+a,b_1} {a.b} {%41} {a:1} {a:9999} {a*} {?a,b*} x{a}\u{e9}{b} \
         https://example.com/{?a} %41{a} {1} {_} {a:3,b*}";
    for text in TEMPLATES.split(' ') {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.kind(), Kind::Template, "{text}");
        assert!(selector.matches(text), "a topic may have the template's text as its name");
    }
    const NONE: &str = "{ } {} {a a} {a}} {{a}} {=a} {,a} {!a} {@a} {|a} {a,} {,} {+} {a:0} {a:01} \
         {a:10000} {a:} {a:3*} {a*:3} {.} {a..b} {a.} {+.a} {a-b} {%4} {%zz} %{a} %4{a} \"{a} '{a} \
         <{a}> \\{a} ^{a} `{a} a|b{a} {a}\u{7f} {a}\u{fffd} {a}\u{e0001} a x*";
    for text in NONE.split(' ').chain(["", "{a b}", " {a}"]) {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.kind(), Kind::Exact, "{text}");
        assert!(selector.matches(text) && !selector.matches("other"), "{text}");
    }
    assert_eq!(Selector::parse("*").unwrap().kind(), Kind::Everything);
    assert!(Selector::parse("*").unwrap().matches("{"));
}

#[test]
fn selectors_are_bounded_and_say_how() {
    let long = "a".repeat(SELECTOR_BYTES_MAX + 1);
    assert!(Selector::exact(&long[1..]).is_ok());
    let error = Selector::exact(&long).unwrap_err();
    assert_eq!(error, SelectorError::TooLong(4097));
    assert_eq!(error.to_string(), "the selector has 4097 bytes; at most 4096 are allowed");
    assert_eq!(Selector::parse(&format!("{long}{{a}}")), Err(SelectorError::TooLong(4100)));
    assert_eq!(Selector::url_pattern(&long, BASE), Err(SelectorError::TooLong(4097)));
    assert!(Selector::parse(&"{a}".repeat(EXPRESSIONS_MAX)).is_ok());
    let many = Selector::parse(&"{a}".repeat(EXPRESSIONS_MAX + 1));
    assert_eq!(many, Err(SelectorError::Expressions(65)));
    // A thousand variables in one expression are one pass all the same.
    let many = Selector::parse(&format!("{{/{}a}}", "a,".repeat(1000))).unwrap();
    assert!(many.matches(&"/x".repeat(1001)) && !many.matches(&"/x".repeat(1002)));
}

#[test]
fn a_selector_knows_what_it_covers() {
    let parse = |text| Selector::parse(text).unwrap();
    for (wide, narrow, covers) in [
        ("*", "a", true),
        ("*", "{a}", true),
        ("{a}", "*", false),
        ("a{/x}", "a/b", true),
        ("a{/x}", "a{/x}", true),
        ("a{/x}", "a{/x,y}", false),
        ("a", "a", true),
        ("a", "b", false),
    ] {
        assert_eq!(parse(wide).covers(&parse(narrow)), covers, "{wide} {narrow}");
    }
}

const BASE: &str = "https://example.com/.well-known/mercure";

#[test]
fn url_patterns_and_their_topics_are_resolved_against_the_hub() {
    for (pattern, topic, matches) in [
        ("https://example.com/books/:id", "https://example.com/books/1", true),
        ("https://example.com/books/:id", "https://example.com/books/1/x", false),
        ("https://example.com/books/:id", "/books/1", true),
        ("/books/:id", "https://example.com/books/1", true),
        ("/books/:id", "https://example.com:443/books/1", true),
        ("/books/:id", "https://example.org/books/1", false),
        ("/books/:id?", "/books", true),
        ("/books/:id(\\d+)", "/books/12", true),
        ("/books/:id(\\d+)", "/books/x", false),
        ("/books/*", "/books/a/b", true),
        ("https://*.example.com/*", "https://a.example.com/x", true),
        ("https://*.example.com/*", "https://example.org/x", false),
        ("/books/%41", "/books/%41", true),
        ("*", "anything at all", true),
        ("http{s}?://example.com/a", "http://example.com/a", true),
        ("/a", "http://[", false),
        ("https://[\\:\\:1]:*/a", "https://[::1]:8443/a", true),
        ("/a([\\]x])", "/ax", true),
    ] {
        let selector = Selector::url_pattern(pattern, BASE).unwrap();
        assert_eq!(selector.matches(topic), matches, "{pattern} on {topic}");
        let mut index = Index::default();
        index.insert(&selector, 1);
        let mut found = Vec::new();
        index.find(topic, &mut found);
        assert_eq!(!found.is_empty(), matches, "{pattern} on {topic} by the index");
    }
}

#[test]
fn url_patterns_that_are_wrong_or_too_large_are_refused() {
    for (pattern, base) in [
        ("/books/:id(", BASE),
        ("/books/:", BASE),
        ("/(\\w{1000}\\w{1000})", BASE),
        ("/([)", BASE),
        ("https://e]x/", BASE),
        ("https://e\\]x/", BASE),
        ("*KKa:\\//\\]\\", BASE),
        ("https://[u@e]/", BASE),
        ("https://exam{/books*}id(3exa]e", BASE),
        ("https://(a([)]b)/", BASE),
        ("/a", "no URL"),
    ] {
        assert!(Selector::url_pattern(pattern, base).is_err(), "{pattern}");
    }
    for pattern in
        ["/([a-z/]+)", "/(a(?:[b]|\\])+)", "/\\(\\]", "/:id/\\]", "https://e.com:8080/:id(\\d+)"]
    {
        assert!(Selector::url_pattern(pattern, BASE).is_ok(), "{pattern}");
    }
    let other = Selector::url_pattern("/a", "https://example.org/hub").unwrap();
    assert_ne!(Selector::url_pattern("/a", BASE).unwrap(), other);
    assert!(other.matches("https://example.org/a") && !other.matches("https://example.com/a"));
}

/// Random selectors that come and go, and topics: the index finds what asking each finds.
#[test]
fn the_index_finds_exactly_what_matches() {
    let parts = ["a", "b/", "{x}", "{+y}", "/{z}", "ab", "{/p*}", "c", "{?q,r}", "d/e"];
    let patterns = ["/a/:x", "/a/*", "/*", "https://example.com/b/:y", "https://*/a", "/b{/:z}?"];
    let mut random = fastrand::Rng::with_seed(11);
    let mut index = Index::default();
    let mut all: Vec<(Selector, u32)> = Vec::new();
    for value in 0..6_000 {
        let selector = match random.u8(0..10) {
            0 => Selector::exact("*"),
            1 | 2 => Selector::url_pattern(patterns[random.usize(..patterns.len())], BASE),
            _ => {
                let count = random.usize(1..5);
                let parts = (0..count).map(|_| parts[random.usize(..parts.len())]);
                Selector::parse(&parts.collect::<String>())
            }
        };
        let selector = selector.expect("valid");
        index.insert(&selector, value);
        all.push((selector, value));
        while all.len() > 150 {
            let (gone, value) = all.swap_remove(random.usize(..all.len()));
            index.remove(&gone, value);
        }
        let topic = ["a", "b/", "/", "ab", "c", "d/e", "é", "?q=1", "{x}"];
        let topic: String =
            (0..random.usize(..5)).map(|_| topic[random.usize(..topic.len())]).collect();
        let mut found = Vec::new();
        index.find(&topic, &mut found);
        found.sort_unstable();
        let matching = all.iter().filter(|(selector, _)| selector.matches(&topic));
        let mut expected: Vec<u32> = matching.map(|(_, value)| *value).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{topic}");
        assert_eq!(index.len(), all.len());
    }
    all.drain(..).for_each(|(selector, value)| index.remove(&selector, value));
    assert!(index.is_empty());
    let mut found = Vec::new();
    index.find("a", &mut found);
    assert!(found.is_empty());
}
