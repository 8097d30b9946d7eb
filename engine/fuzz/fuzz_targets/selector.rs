//! Selectors: a template matches what trying every way to split the topic finds, the index finds what
//! matches, and nothing panics or grows beyond its bounds, whatever the text; a template matches what
//! it expands to, and a URL pattern the URLs that it was made for.
//!
//! The input is texts as they came, and selectors made by a grammar, from few literals, so that an
//! index has many that share them.

#![no_main]

use downpour::selector::index::Index;
use downpour::selector::{Kind, SELECTOR_BYTES_MAX, Selector};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use oracle::grammar::{Pattern, Template};

const BASE: &str = "https://example.com/.well-known/mercure";
/// Trying every split is exponential in both.
const TRIED_BYTES_MAX: usize = 14;
const TRIED_EXPRESSIONS_MAX: usize = 3;
/// Selectors of one index.
const MADE_MAX: usize = 12;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    text: &'a str,
    other: &'a str,
    topic: &'a str,
    /// A topic made of the template's own characters matches more often.
    picks: Vec<u8>,
    templates: Vec<Template>,
    patterns: Vec<Pattern>,
}

fuzz_target!(|input: Input<'_>| {
    check_made(&input.templates, &input.patterns);
    let Input { text, other, topic, picks, .. } = input;
    let chars: Vec<char> = text.chars().filter(|char| !"{}*".contains(*char)).collect();
    let picked =
        picks.iter().take(TRIED_BYTES_MAX).filter_map(|pick| chars.get(usize::from(*pick)));
    let picked: String = picked.collect();
    let parsed = Selector::parse(text);
    assert!(text.len() <= SELECTOR_BYTES_MAX || parsed.is_err());
    if let Ok(selector) = &parsed {
        for topic in [topic, &picked, text] {
            check(selector, topic);
        }
    }
    let selectors = [parsed, Selector::parse(other), Selector::url_pattern(text, BASE)];
    check_index(selectors.iter().flatten(), &[topic, &picked]);
});

/// Selectors with a topic each that must match, all of them in one index.
fn check_made(templates: &[Template], patterns: &[Pattern]) {
    let mut selectors = Vec::new();
    let mut topics = Vec::new();
    for template in templates.iter().take(MADE_MAX) {
        let (text, topic) = (template.text(), template.expansion());
        let selector = Selector::parse(&text).expect("short, and with few expressions");
        assert!(selector.matches(&topic), "{text:?} expands to {topic:?}");
        check(&selector, &topic);
        selectors.push(selector);
        topics.push(topic);
    }
    for pattern in patterns.iter().take(MADE_MAX) {
        let (text, topic) = (pattern.text(), pattern.url());
        // Two groups of one name.
        let Ok(selector) = Selector::url_pattern(&text, BASE) else { continue };
        let matches = selector.matches(&topic);
        assert!(matches || !pattern.has_path(), "{text:?} is for {topic:?}");
        selectors.push(selector);
        topics.push(topic);
    }
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    check_index(selectors.iter(), &topics);
}

fn check(selector: &Selector, topic: &str) {
    let text = selector.as_str();
    let matches = selector.matches(topic);
    match (selector.kind(), parts(text)) {
        (Kind::Everything, _) => assert!(matches && text == "*"),
        (Kind::Template, Some(parts)) => {
            let expressions = parts.iter().filter(|part| matches!(part, Part::Expression(..)));
            if expressions.count() <= TRIED_EXPRESSIONS_MAX && topic.len() <= TRIED_BYTES_MAX {
                let expected = text == topic || tries(&parts, topic.as_bytes());
                assert_eq!(matches, expected, "{text:?} on {topic:?}");
            }
        }
        (Kind::Exact, None) => assert_eq!(matches, text == topic),
        (kind, parts) => panic!("{text:?} is {kind:?}, read as {parts:?}"),
    }
}

fn check_index<'a>(selectors: impl Iterator<Item = &'a Selector>, topics: &[&str]) {
    let selectors: Vec<&Selector> = selectors.collect();
    let mut index = Index::default();
    (0..).zip(&selectors).for_each(|(value, selector)| index.insert(selector, value));
    // All of them, then every other one: what stood for several may be gone.
    for step in [1, 2] {
        let there = || (0_u32..).zip(&selectors).filter(|(value, _)| value % step == 0);
        for topic in topics {
            let mut found = Vec::new();
            index.find(topic, &mut found);
            found.sort_unstable();
            let matching = there().filter(|(_, selector)| selector.matches(topic));
            assert_eq!(found, matching.map(|(value, _)| value).collect::<Vec<u32>>());
        }
        let leaves = |value: &u32| if step == 1 { value % 2 == 1 } else { value % 2 == 0 };
        let gone = (0..).zip(&selectors).filter(|(value, _)| leaves(value));
        gone.for_each(|(value, selector)| index.remove(selector, value));
    }
    assert!(index.is_empty() && index.crowd() == 0);
}

#[derive(Debug)]
enum Part<'a> {
    Literal(&'a str),
    /// Operator, and whether each variable is exploded.
    Expression(char, Vec<bool>),
}

/// RFC 6570 2, read from its grammar; none when the text is no template with an expression.
fn parts(text: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let open = rest.find('{').unwrap_or(rest.len());
        let (literal, behind) = rest.split_at(open);
        is_spelled(literal, is_literal).then_some(())?;
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        rest = behind;
        if let Some(inner) = behind.strip_prefix('{') {
            let (inner, behind) = inner.split_once('}')?;
            parts.push(expression(inner)?);
            rest = behind;
        }
    }
    parts.iter().any(|part| matches!(part, Part::Expression(..))).then_some(parts)
}

fn expression(inner: &str) -> Option<Part<'_>> {
    let first = inner.chars().next()?;
    let operator = if "+#./;?&=,!@|".contains(first) { first } else { ' ' };
    if "=,!@|".contains(operator) {
        return None;
    }
    let list = inner.strip_prefix(operator).unwrap_or(inner);
    let mut exploded = Vec::new();
    for variable in list.split(',') {
        let explodes = variable.ends_with('*');
        let name = match variable.split_once(':') {
            _ if explodes => &variable[..variable.len() - 1],
            Some((name, digits)) => {
                let number: u32 = digits.parse().ok()?;
                let plain = number.to_string() == digits && (1..10_000).contains(&number);
                plain.then_some(name)?
            }
            None => variable,
        };
        let is_char = |char: char| char == '_' || char.is_ascii_alphanumeric();
        let is_part = |part: &str| !part.is_empty() && is_spelled(part, is_char);
        name.split('.').all(is_part).then_some(())?;
        exploded.push(explodes);
    }
    Some(Part::Expression(operator, exploded))
}

/// Triplets and characters that are allowed.
fn is_spelled(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let bytes = rest.as_bytes();
        let triplet = char == '%'
            && bytes.len() >= 3
            && bytes[1].is_ascii_hexdigit()
            && bytes[2].is_ascii_hexdigit();
        if !triplet && (char == '%' || !allowed(char)) {
            return false;
        }
        rest = &rest[if triplet { 3 } else { char.len_utf8() }..];
    }
    true
}

fn is_literal(char: char) -> bool {
    let code = char as u32;
    let forbidden = char.is_ascii_control() || " \"'<>\\^`{|}%".contains(char);
    let private_or_used = (0xa0..=0xd7ff).contains(&code)
        || (0xe000..=0xfdcf).contains(&code)
        || (0xfdf0..=0xffef).contains(&code)
        || (code > 0xffff && code % 0x10000 < 0xfffe && !(0xe0000..0xe1000).contains(&code));
    if char.is_ascii() { !forbidden } else { private_or_used }
}

/// Tries every way in which the parts may have become the topic.
fn tries(parts: &[Part<'_>], topic: &[u8]) -> bool {
    let Some((part, rest)) = parts.split_first() else { return topic.is_empty() };
    match part {
        Part::Literal(literal) => {
            topic.strip_prefix(literal.as_bytes()).is_some_and(|topic| tries(rest, topic))
        }
        Part::Expression(operator, exploded) => {
            let begins =
                if " +".contains(*operator) { String::new() } else { operator.to_string() };
            tries(rest, topic)
                || topic
                    .strip_prefix(begins.as_bytes())
                    .is_some_and(|topic| tries_value(*operator, exploded, 0, rest, topic))
        }
    }
}

fn tries_value(
    operator: char,
    exploded: &[bool],
    number: usize,
    rest: &[Part<'_>],
    topic: &[u8],
) -> bool {
    let any = exploded.contains(&true);
    let separator = match operator {
        ' ' | '+' | '#' => b',',
        '?' | '&' => b'&',
        other => other as u8,
    };
    let assigns = "?&;".contains(operator) || if number == 0 { exploded[0] } else { any };
    let mut end = 0;
    loop {
        let behind = &topic[end..];
        if tries(rest, behind) {
            return true;
        }
        if (any || number + 1 < exploded.len())
            && behind.first() == Some(&separator)
            && tries_value(operator, exploded, number + 1, rest, &behind[1..])
        {
            return true;
        }
        let Some(length) = unit(behind, operator, assigns) else { return false };
        end += length;
    }
}

/// Length of the character or triplet that a value may go on with.
fn unit(topic: &[u8], operator: char, assigns: bool) -> Option<usize> {
    let first = *topic.first()?;
    if first == b'%' {
        let digits = topic.get(1..3)?;
        return digits.iter().all(u8::is_ascii_hexdigit).then_some(3);
    }
    let plain = first.is_ascii_alphanumeric() || b"-._~,".contains(&first);
    let reserved = b":/?#[]@!$&'()*+;=".contains(&first) && "+#".contains(operator);
    (plain || reserved || (first == b'=' && assigns)).then_some(1)
}
