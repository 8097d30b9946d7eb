//! The directives of a hub's configuration, as lines of words and blocks.
//!
//! The idea: what stands in a `mercure` block of a Caddyfile, or in `MERCURE_EXTRA_DIRECTIVES`, is
//! read by the rules that people wrote it by: a directive a line, words separated by blanks, quotes
//! around words with blanks, `#` for comments, a block in braces, `{env.NAME}` for the environment
//! and `{file.PATH}` for the content of a file.
//!
//! Invariants: nesting and size are bounded; a text is read whole or not at all; no message repeats
//! a value, for it may be a key.
//!
//! Knows no directive's meaning, no environment and no files: it is given a way to look them up.

use std::fmt;

/// Blocks within blocks, at most: a hub's configuration has two.
const DEPTH_MAX: usize = 4;

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    pub name: String,
    pub words: Vec<String>,
    /// Whether there were words at all, before variables without a value went.
    pub has_words: bool,
    /// Variables of `{env.NAME}` that are not set.
    pub unset: Vec<String>,
    pub block: Vec<Directive>,
    /// Line of the text, from 1.
    pub line: usize,
}

/// Where the text is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub line: usize,
    pub what: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for SyntaxError {}

/// What a placeholder stands for: the environment and files, as far as the caller lets them be seen.
pub trait Lookup {
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// The names of all variables of the environment.
    fn variables(&self) -> Vec<String>;
    /// The content of a file, its last line end left out.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// Reads directives. A text that is one `mercure { … }` block is the directives in it.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(text: &str, lookup: &dyn Lookup) -> Result<Vec<Directive>, SyntaxError> {
    let text = filled(text, lookup);
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let mut directives = block(&mut lines, lookup, 0, 1)?;
    match directives.as_mut_slice() {
        [only] if only.name == "mercure" && only.words.is_empty() => {
            Ok(std::mem::take(&mut only.block))
        }
        _ => Ok(directives),
    }
}

/// The text with `{$NAME}` and `{$NAME:default}` filled in, before it is read: one variable may have
/// several directives. A line that ends with a backslash goes on in the next.
fn filled(text: &str, lookup: &dyn Lookup) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{$") {
        let Some((name, tail)) = behind.split_once('}') else { break };
        let (name, default) = name.split_once(':').unwrap_or((name, ""));
        out.push_str(before);
        out.push_str(&lookup.variable(name).unwrap_or_else(|| default.into()));
        rest = tail;
    }
    out.push_str(rest);
    out.replace("\\\r\n", " ").replace("\\\n", " ")
}

/// Directives up to the end of the text, or of the block that begins in line `first`.
fn block(
    lines: &mut dyn Iterator<Item = (usize, &str)>,
    lookup: &dyn Lookup,
    depth: usize,
    first: usize,
) -> Result<Vec<Directive>, SyntaxError> {
    let mut directives = Vec::new();
    let mut last = first;
    while let Some((line, text)) = lines.next() {
        last = line;
        let wrong = |what: &str| SyntaxError { line, what: what.into() };
        let mut unset = Vec::new();
        let (mut words, mut count) = words(text, line, lookup, &mut unset)?;
        let Some(first) = words.first() else { continue };
        if first.as_opening().is_some_and(|word| word == "}") {
            return match (depth, words.len()) {
                (0, _) => Err(wrong("a `}` that closes nothing")),
                (_, 1) => Ok(directives),
                _ => Err(wrong("a `}` stands on a line of its own")),
            };
        }
        let opens = words.last().and_then(Word::as_opening).is_some_and(|word| word == "{");
        if opens {
            words.pop();
            count -= 1;
        }
        if words.is_empty() {
            return Err(wrong(
                "a block needs a name before its `{`; of a Caddyfile, only the `mercure` block is \
                 read",
            ));
        }
        if opens && depth == DEPTH_MAX {
            return Err(wrong("too many blocks within blocks"));
        }
        let inner = if opens { block(lines, lookup, depth + 1, line)? } else { Vec::new() };
        let mut words = words.into_iter().map(|word| word.text);
        let name = words.next().expect("it was looked at");
        let (words, has_words) = (words.collect(), count > 1);
        directives.push(Directive { name, words, has_words, unset, block: inner, line });
    }
    match depth {
        0 => Ok(directives),
        _ => Err(SyntaxError { line: last, what: "a block has no `}`".into() }),
    }
}

/// A word; one that was quoted is no brace.
struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    fn as_opening(&self) -> Option<&str> {
        (!self.quoted).then_some(self.text.as_str())
    }
}

/// The words of a line, and how many there were with those that came to nothing.
fn words(
    line: &str,
    number: usize,
    lookup: &dyn Lookup,
    unset: &mut Vec<String>,
) -> Result<(Vec<Word>, usize), SyntaxError> {
    let (mut words, mut count) = (Vec::new(), 0);
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '`'));
        let (raw, tail) = match quote {
            Some(quote) => quoted(&rest[1..], quote).ok_or_else(|| SyntaxError {
                line: number,
                what: "a quote has no end on its line".into(),
            })?,
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let text = replace(&raw, number, lookup, unset)?;
        count += 1;
        // What a variable without a value leaves behind is no word.
        if !text.is_empty() || quote.is_some() || raw.is_empty() {
            words.push(Word { text, quoted: quote.is_some() });
        }
        rest = tail.trim_start();
    }
    Ok((words, count))
}

/// A quoted word and what follows it. A backslash keeps a double quote.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                word.push('"');
                characters.next();
            }
            _ if character == quote => return Some((word, &text[at + 1..])),
            _ => word.push(character),
        }
    }
    None
}

/// Fills in `{env.NAME}` and `{file.PATH}`. Other braces stay: URI templates have them too.
fn replace(
    word: &str,
    line: usize,
    lookup: &dyn Lookup,
    unset: &mut Vec<String>,
) -> Result<String, SyntaxError> {
    let mut out = String::new();
    let mut rest = word;
    while let Some(start) = rest.find('{') {
        let Some(end) = rest[start..].find('}').map(|end| start + end) else { break };
        let inner = &rest[start + 1..end];
        let value = if let Some(name) = inner.strip_prefix("env.") {
            let value = lookup.variable(name);
            unset.extend(value.is_none().then(|| name.to_owned()));
            Some(value.unwrap_or_default())
        } else if let Some(path) = inner.strip_prefix("file.") {
            let content = lookup.file(path);
            Some(content.map_err(|what| SyntaxError { line, what })?)
        } else {
            None
        };
        out.push_str(&rest[..start]);
        match value {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[start..=end]),
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
