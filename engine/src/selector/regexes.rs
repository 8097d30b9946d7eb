//! Regular expressions of URL patterns: compiled when they are first needed, and of each thread no
//! more kept than [`KEPT_MAX`], so that a hundred thousand patterns do not take gigabytes.
//!
//! Most patterns never need one: what they ask for is a text with at most one group in it. Those that
//! differ in the names of their groups share one.
//!
//! They are those of the `regex` crate, which takes linear time.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// Memory that a compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 128 << 10;
/// Patterns with regular expressions that every topic may meet, at most.
pub(super) const REGEXES_CROWD_MAX: usize = 256;
/// Compiled regular expressions of one thread: those of a crowd, and as many of patterns that begin
/// as a topic does. If one more were met by each topic, all would be compiled for each, which takes
/// some ten microseconds, and a millisecond for the largest.
const KEPT_MAX: usize = REGEXES_CROWD_MAX + 64;
/// Memory of all compiled regular expressions of one thread, in bytes: each, and as much again for
/// what matching notes down.
pub const REGEXES_BYTES_MAX: usize = KEPT_MAX * 2 * REGEX_BYTES_MAX;

/// Those of one thread; none for a text that cannot be compiled.
#[derive(Debug, Default)]
struct Compiled {
    by_text: HashMap<Arc<str>, Option<Regex>>,
    /// Oldest first.
    order: VecDeque<Arc<str>>,
}

thread_local! {
    static COMPILED: RefCell<Compiled> = RefCell::default();
}

/// The regular expression, if it is one and not too large.
pub(super) fn compile(text: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build().ok()
}

/// True when `text` is a regular expression that matches `input`.
pub(super) fn is_match(text: &Arc<str>, input: &str) -> bool {
    COMPILED.with_borrow_mut(|compiled| {
        if !compiled.by_text.contains_key(text) {
            if compiled.order.len() == KEPT_MAX {
                let oldest = compiled.order.pop_front().expect("it is full");
                compiled.by_text.remove(&oldest);
            }
            compiled.order.push_back(Arc::clone(text));
            compiled.by_text.insert(Arc::clone(text), compile(text));
        }
        compiled.by_text[text].as_ref().is_some_and(|regex| regex.is_match(input))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_kept_than_the_bound_and_all_match_as_they_should() {
        for round in 0..3 {
            for n in 0..2 * KEPT_MAX {
                let text: Arc<str> = format!("^a{n}$").into();
                assert!(is_match(&text, &format!("a{n}")), "{round}");
                assert!(!is_match(&text, "b"));
            }
        }
        assert!(!is_match(&"(".into(), "("));
        COMPILED.with_borrow(|compiled| {
            assert_eq!((compiled.order.len(), compiled.by_text.len()), (KEPT_MAX, KEPT_MAX));
        });
    }
}
