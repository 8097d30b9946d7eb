//! Selectors: which topics a subscriber wants, or a token grants.
//!
//! A selector is one topic by its name, everything (`*`), a URI Template (RFC 6570) or a URL
//! Pattern (WHATWG). [`index::Index`] finds those of very many that match a topic.
//!
//! **Templates** match as Mercure's hub has them match: a topic that equals the template's text, or
//! that the template may have expanded to, where names, prefixes (`:3`) and the order of variables do
//! not count (`template.rs` has the rules). A text with `{` that is no template names a topic.
//!
//! **URL Patterns** and the topics they are held against are resolved against a base URL, the hub's.
//!
//! Invariants: matching takes time linear in the topic for each expression of the selector, whatever
//! either contains; a selector's size, its expressions and its compiled form are bounded.
//!
//! This module knows nothing else of the engine.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub mod index;
mod regexes;
mod template;
pub mod unseen;
mod url_pattern;

#[cfg(test)]
mod tests;

pub use regexes::REGEXES_BYTES_MAX;
use template::Template;
use template::short::Short;
use url_pattern::Pattern;

/// Longest selector, in bytes: what Mercure's hub takes.
pub const SELECTOR_BYTES_MAX: usize = 4096;
/// Most expressions of a template. Matching takes one pass over the topic for each.
pub const EXPRESSIONS_MAX: usize = 64;

/// Memory of a URL Pattern whose parts are empty: eight components, of which those that it does not
/// speak of come from the URL it is resolved against or match everything.
const PATTERN_BYTES: usize = 4096;

/// The selector of everything.
const EVERYTHING: &str = "*";

/// See the module. A clone is another handle.
#[derive(Clone)]
pub struct Selector(Arc<Inner>);

struct Inner {
    text: Box<str>,
    matcher: Matcher,
}

enum Matcher {
    Everything,
    Exact,
    Template(Template),
    UrlPattern(Box<Pattern>),
}

/// What a selector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `*`.
    Everything,
    /// The name of one topic.
    Exact,
    /// A URI Template.
    Template,
    /// A URL Pattern.
    UrlPattern,
}

/// Why a text is no selector. `Display` says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorError {
    /// Longer than [`SELECTOR_BYTES_MAX`].
    TooLong(usize),
    /// More expressions than [`EXPRESSIONS_MAX`].
    Expressions(usize),
    /// Not a URL Pattern, or one whose regular expressions are too large.
    UrlPattern(String),
    /// The URL to resolve patterns against is none.
    Base(String),
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SelectorError::TooLong(bytes) => write!(
                f,
                "the selector has {bytes} bytes; at most {SELECTOR_BYTES_MAX} are allowed"
            ),
            SelectorError::Expressions(count) => write!(
                f,
                "the URI template has {count} expressions; at most {EXPRESSIONS_MAX} are allowed"
            ),
            SelectorError::UrlPattern(why) => write!(f, "not a URL pattern: {why}"),
            SelectorError::Base(why) => write!(
                f,
                "patterns are resolved against an absolute URL such as \
                 https://example.com/.well-known/mercure: {why}"
            ),
        }
    }
}

impl std::error::Error for SelectorError {}

impl Selector {
    /// The selector that Mercure's protocol up to version 8 reads in a text: `*`, a URI Template, or
    /// the name of a topic, which is also what a text with `{` is that is no template.
    ///
    /// # Errors
    /// When it is too long or has too many expressions.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        if !text.contains('{') {
            return Selector::exact(text);
        }
        check_length(text)?;
        let matcher = match Template::parse(text) {
            Some(template) if template.expression_count() > EXPRESSIONS_MAX => {
                return Err(SelectorError::Expressions(template.expression_count()));
            }
            Some(template) => Matcher::Template(template),
            None => Matcher::Exact,
        };
        Ok(Selector::new(text, matcher))
    }

    /// The topic of this name, or everything for `*`.
    ///
    /// # Errors
    /// When it is too long.
    pub fn exact(text: &str) -> Result<Selector, SelectorError> {
        check_length(text)?;
        let matcher = if text == EVERYTHING { Matcher::Everything } else { Matcher::Exact };
        Ok(Selector::new(text, matcher))
    }

    /// The URL Pattern `text`, it and the topics resolved against the URL `base`; everything for `*`.
    ///
    /// # Errors
    /// When it is too long or no pattern, or `base` no URL.
    pub fn url_pattern(text: &str, base: &str) -> Result<Selector, SelectorError> {
        check_length(text)?;
        let matcher = if text == EVERYTHING {
            Matcher::Everything
        } else {
            Matcher::UrlPattern(Box::new(Pattern::parse(text, base)?))
        };
        Ok(Selector::new(text, matcher))
    }

    fn new(text: &str, matcher: Matcher) -> Selector {
        Selector(Arc::new(Inner { text: text.into(), matcher }))
    }

    /// The text it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.0.matcher {
            Matcher::Everything => Kind::Everything,
            Matcher::Exact => Kind::Exact,
            Matcher::Template(_) => Kind::Template,
            Matcher::UrlPattern(_) => Kind::UrlPattern,
        }
    }

    /// True when it selects the topic of this name.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        match &self.0.matcher {
            Matcher::Everything => true,
            Matcher::Exact => *self.0.text == *topic,
            Matcher::Template(template) => {
                *self.0.text == *topic
                    || template.matches(&self.0.text, topic, Short::new(topic).as_ref())
            }
            Matcher::UrlPattern(pattern) => pattern.matches(topic),
        }
    }

    /// Memory that it takes at most with its place in an [`index::Index`], in bytes, that of handles
    /// and tables not included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let text = self.0.text.len();
        match &self.0.matcher {
            Matcher::Everything | Matcher::Exact => text,
            // Its text, as the key of the topic that it names, its literals, and its shape.
            Matcher::Template(template) => 4 * text + template.memory_bytes(),
            // A component of a URL stands in it as pattern, regular expression and matcher.
            Matcher::UrlPattern(pattern) => PATTERN_BYTES + 12 * text + 2 * pattern.base().len(),
        }
    }

    /// Bytes of literal text that it asks for: the more, the fewer topics it selects.
    #[must_use]
    pub fn literal_bytes(&self) -> usize {
        match &self.0.matcher {
            Matcher::Everything => 0,
            Matcher::Exact => self.0.text.len(),
            Matcher::Template(template) => template.literal_bytes(),
            Matcher::UrlPattern(pattern) => pattern.literal_bytes(),
        }
    }

    /// True when every topic that `other` selects is known to be selected by this as well.
    #[must_use]
    pub fn covers(&self, other: &Selector) -> bool {
        match (&self.0.matcher, &other.0.matcher) {
            (Matcher::Everything, _) => true,
            (_, Matcher::Exact) => self.matches(other.as_str()),
            _ => self == other,
        }
    }

    /// What tells it from others of the same kind and text.
    fn base(&self) -> &str {
        match &self.0.matcher {
            Matcher::UrlPattern(pattern) => pattern.base(),
            _ => "",
        }
    }
}

/// True when one of `selectors` selects the topic.
#[must_use]
pub fn any_matches(selectors: &[Selector], topic: &str) -> bool {
    selectors.iter().any(|selector| selector.matches(topic))
}

fn check_length(text: &str) -> Result<(), SelectorError> {
    match text.len() {
        0..=SELECTOR_BYTES_MAX => Ok(()),
        bytes => Err(SelectorError::TooLong(bytes)),
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Selector) -> bool {
        let same = |a: &Selector, b: &Selector| a.kind() == b.kind() && a.base() == b.base();
        Arc::ptr_eq(&self.0, &other.0) || (self.0.text == other.0.text && same(self, other))
    }
}

impl Eq for Selector {}

impl Hash for Selector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
        self.0.text.hash(state);
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.kind(), self.as_str())
    }
}
