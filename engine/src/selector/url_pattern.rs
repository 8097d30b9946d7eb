//! URL Patterns (WHATWG) that are resolved against a base URL.
//!
//! The `urlpattern` crate does the work. What is added here are bounds: regular expressions are
//! compiled when they are first needed, because most patterns never need one, and never become
//! larger than [`REGEX_BYTES_MAX`]. They are those of the `regex` crate, which takes linear time.
//!
//! A pattern and a topic have a **key** each, a text such as `https://example.com:/books/`: the key of
//! every topic that a pattern selects starts with the pattern's. So patterns can be indexed.

use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use url::Url;
use urlpattern::regexp::RegExp;
use urlpattern::{
    RegexSyntax, UrlPattern, UrlPatternInit, UrlPatternMatchInput, UrlPatternOptions,
};

use super::SelectorError;

/// Memory that a compiled regular expression may take, and again that of its lazy automaton.
const REGEX_BYTES_MAX: usize = 128 << 10;
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

/// A regular expression that is compiled when it is first needed. One that cannot be compiled matches
/// nothing; [`Pattern::parse`] has refused patterns with such.
#[derive(Debug)]
struct LazyRegex {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

/// A regular expression that is compiled at once, to see whether it can be.
#[derive(Debug)]
struct CheckedRegex(Regex);

fn compile(text: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build().ok()
}

fn captures<'a>(regex: &Regex, text: &'a str) -> Option<Vec<Option<&'a str>>> {
    let captures = regex.captures(text)?;
    Some(captures.iter().skip(1).map(|group| group.map(|found| found.as_str())).collect())
}

impl RegExp for LazyRegex {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<LazyRegex, ()> {
        Ok(LazyRegex { text: pattern.into(), compiled: OnceLock::new() })
    }

    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        captures(self.compiled.get_or_init(|| compile(&self.text)).as_ref()?, text)
    }

    fn pattern_string(&self) -> &str {
        &self.text
    }
}

impl RegExp for CheckedRegex {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<CheckedRegex, ()> {
        compile(pattern).map(CheckedRegex).ok_or(())
    }

    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        captures(&self.0, text)
    }

    fn pattern_string(&self) -> &str {
        self.0.as_str()
    }
}
