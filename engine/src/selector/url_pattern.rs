//! URL Patterns (WHATWG) that are resolved against a base URL.
//!
//! The `urlpattern` crate does the work. What is added here are bounds: its regular expressions are
//! those of `regexes.rs`, of which none is large and few are kept.
//!
//! A pattern and a topic have a **key** each, a text such as `https://example.com:/books/`: the key of
//! every topic that a pattern selects starts with the pattern's. So patterns can be indexed.

use std::sync::Arc;

use regex::Regex;
use url::Url;
use urlpattern::regexp::RegExp;
use urlpattern::{
    RegexSyntax, UrlPattern, UrlPatternInit, UrlPatternMatchInput, UrlPatternOptions,
};

use super::{SelectorError, regexes};

/// Characters that mean more than themselves in a pattern.
const SPECIAL: &str = "*:(){}?+\\[]";

/// See the module.
#[derive(Debug)]
pub(super) struct Pattern {
    pattern: UrlPattern<LazyRegex>,
    base: Arc<Url>,
    key: Box<str>,
}

impl Pattern {
    pub(super) fn parse(text: &str, base: &str) -> Result<Pattern, SelectorError> {
        let base = Url::parse(base).map_err(|error| SelectorError::Base(error.to_string()))?;
        if has_stray_bracket(text) {
            return Err(SelectorError::UrlPattern(
                "a `]` or a `(` is alone of its kind; write `%5D` or `%28`".into(),
            ));
        }
        let fail = |error: urlpattern::Error| SelectorError::UrlPattern(error.to_string());
        let options = || UrlPatternOptions { regex_syntax: RegexSyntax::Rust, ignore_case: false };
        let init =
            || UrlPatternInit::parse_constructor_string::<LazyRegex>(text, Some(base.clone()));
        let pattern = UrlPattern::parse(init().map_err(fail)?, options()).map_err(fail)?;
        if pattern.has_regexp_groups() {
            // What its author wrote may be wrong or too large; what the crate writes is not.
            let init = init().map_err(fail)?;
            <UrlPattern<CheckedRegex>>::parse(init, options()).map_err(fail)?;
        }
        let key = key_of_pattern(&pattern).into();
        Ok(Pattern { pattern, base: Arc::new(base), key })
    }

    /// The URL that it and its topics are resolved against.
    pub(super) fn base(&self) -> &str {
        self.base.as_str()
    }

    pub(super) fn literal_bytes(&self) -> usize {
        self.key.len()
    }

    /// The text that the keys of its topics start with.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn parts(&self) -> [&str; 8] {
        let pattern = &self.pattern;
        [
            pattern.protocol(),
            pattern.username(),
            pattern.password(),
            pattern.hostname(),
            pattern.port(),
            pattern.pathname(),
            pattern.search(),
            pattern.hash(),
        ]
    }

    /// Whether matching may take a regular expression: all but a text with one plain group in it.
    pub(super) fn takes_regexes(&self) -> bool {
        let takes_one = |part: &str| {
            part.contains(['(', '{', '?', '+']) || part.matches([':', '*']).count() > 1
        };
        self.parts().into_iter().any(takes_one)
    }

    /// What matching depends on: the same for patterns that differ in the names of groups only.
    pub(super) fn shape(&self) -> Box<[u8]> {
        let mut shape = Vec::new();
        for part in self.parts() {
            put_without_names(&mut shape, part);
            // No component of a URL has this byte.
            shape.push(0);
        }
        shape.into()
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        self.resolve(topic).is_some_and(|url| self.matches_url(url))
    }

    /// The URL that a topic stands for.
    pub(super) fn resolve(&self, topic: &str) -> Option<Url> {
        Url::options().base_url(Some(&self.base)).parse(topic).ok()
    }

    pub(super) fn matches_url(&self, url: Url) -> bool {
        self.pattern.test(UrlPatternMatchInput::Url(url)).unwrap_or(false)
    }
}

/// The key of a topic that was resolved.
pub(super) fn key_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    format!("{}://{host}:{}{}", url.scheme(), url::quirks::port(url), url.path())
}

fn key_of_pattern(pattern: &UrlPattern<LazyRegex>) -> String {
    let mut key = String::new();
    for (part, behind) in
        [(pattern.protocol(), "://"), (pattern.hostname(), ":"), (pattern.port(), "")]
    {
        if part.contains(|char| SPECIAL.contains(char)) {
            return key;
        }
        key.push_str(part);
        key.push_str(behind);
    }
    let path = pattern.pathname();
    match path.find(|char| SPECIAL.contains(char)) {
        // A slash before a group is part of it, and may be missing with it.
        Some(end) => key.push_str(path[..end].trim_end_matches('/')),
        None => key.push_str(path),
    }
    key
}

/// True when a `]` outside regular expressions closes no `[`. `urlpattern` 0.6.0 counts brackets of
/// host names, escaped ones too, and below zero where there is one too many. Only behind a colon that
/// begins no name can there be a host name. What only begins like a regular expression is an error of
/// every pattern, and here already: its brackets would count.
fn has_stray_bracket(text: &str) -> bool {
    let (mut open, mut has_colon, mut chars) = (0_usize, false, text.chars());
    while let Some(char) = chars.next() {
        let is_escaped = char == '\\';
        match if is_escaped { chars.next().unwrap_or(char) } else { char } {
            '(' if !is_escaped && !skip_group(&mut chars) => return true,
            ':' => has_colon |= is_escaped || !chars.clone().next().is_some_and(begins_name),
            '[' | ']' if is_escaped && !has_colon => {}
            // What opens before a host name does not count in it.
            '/' | '@' => open = 0,
            '[' => open += 1,
            ']' if open == 0 => return true,
            ']' => open -= 1,
            _ => {}
        }
    }
    false
}

/// Whether a name begins so for certain (WHATWG URL Pattern, "is a valid name code point").
fn begins_name(char: char) -> bool {
    char.is_ascii_alphabetic() || "_$".contains(char)
}

/// Skips a regular expression behind its `(`; false when it is none that URL Patterns know (WHATWG
/// URL Pattern, "tokenize": of ASCII, not empty, no groups that capture, closed).
fn skip_group(chars: &mut std::str::Chars<'_>) -> bool {
    let (mut depth, mut is_first) = (1, true);
    while let Some(char) = chars.next() {
        let holds = match char {
            '?' | ')' if is_first => false,
            '\\' => chars.next().is_some_and(|escaped| escaped.is_ascii()),
            '(' => chars.clone().next() == Some('?'),
            char => char.is_ascii(),
        };
        match char {
            _ if !holds => return false,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return true;
        }
        is_first = false;
    }
    false
}

/// A part of a pattern as the crate writes it, without the names of its groups.
fn put_without_names(shape: &mut Vec<u8>, part: &str) {
    let is_name = |char: char| char.is_alphanumeric() || !char.is_ascii() || "_$".contains(char);
    let (mut depth, mut chars) = (0, part.chars().peekable());
    while let Some(char) = chars.next() {
        shape.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        match char {
            '\\' => chars.next().into_iter().for_each(|escaped| {
                shape.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
            }),
            '(' => depth += 1,
            ')' => depth -= 1,
            // Within parentheses it is a regular expression's.
            ':' if depth == 0 => while chars.next_if(|char| is_name(*char)).is_some() {},
            _ => {}
        }
    }
}

/// A regular expression that is looked for when it is needed. One that cannot be compiled matches
/// nothing; [`Pattern::parse`] has refused patterns with such.
#[derive(Debug)]
struct LazyRegex(Arc<str>);

/// A regular expression that is compiled at once, to see whether it can be.
#[derive(Debug)]
struct CheckedRegex(Regex);

impl RegExp for LazyRegex {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<LazyRegex, ()> {
        Ok(LazyRegex(pattern.into()))
    }

    /// Nobody asks for the groups.
    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        regexes::is_match(&self.0, text).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        &self.0
    }
}

impl RegExp for CheckedRegex {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<CheckedRegex, ()> {
        regexes::compile(pattern).map(CheckedRegex).ok_or(())
    }

    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        self.0.is_match(text).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        self.0.as_str()
    }
}
