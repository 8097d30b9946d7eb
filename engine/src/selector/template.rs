//! URI Templates (RFC 6570) as patterns: which texts a template may have expanded to.
//!
//! The rules are those of the matcher that Mercure's hub has always used, because that is what
//! subscribers rely on:
//!
//! - A literal stands for itself, byte for byte, percent-encoded triplets included.
//! - An expression stands for nothing, or for what its operator begins with (none, or one of
//!   `# . / ; ? &`), then the first variable, then the others, each behind the operator's separator
//!   (`,`, or `. / ; & &`). At most as many others as it lists; any number if one is exploded (`*`).
//! - A variable stands for any number, even none, of its operator's characters and of triplets: for
//!   `+` and `#` the unreserved and the reserved ones (RFC 3986 2.2, 2.3); for all other operators the
//!   unreserved ones and the comma, and the equals sign too where names are written (`; ? &`) or a
//!   variable is exploded (the first decides for the first, any for the others).
//! - Names of variables and prefixes (`:3`) do not count.
//!
//! **Matching** is one pass over the topic for each part, carrying all places at once where the parts
//! before may have ended. So nothing is ever tried twice. A pass needs no table of the template's
//! own: a hundred thousand templates as compiled regular expressions would take gigabytes. In topics
//! of usual length a pass is a few additions (`short.rs`).
//!
//! Invariant: parts lie in the template's text in order; two literals never follow each other.

use std::ops::Range;

pub(super) mod short;

use short::Short;

/// Bytes of a middle literal that are looked up, its last: each length that occurs costs a look-up at
/// every place of a topic.
const MIDDLE_BYTES_MAX: usize = 32;

/// See the module. It is kept beside its text, which it refers to.
#[derive(Debug)]
pub(super) struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug)]
enum Part {
    /// Where in the text it stands.
    Literal(Range<u16>),
    Expression(Expression),
}

/// What an expression may have expanded to.
#[derive(Clone, Copy, Debug)]
struct Expression {
    /// What stands before the first variable.
    begins: Option<u8>,
    /// What stands before each other.
    separator: u8,
    first: Characters,
    others: Characters,
    /// Variables after the first at most; `u16::MAX` for any number.
    others_max: u16,
}

/// A set of characters, as the classes it consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Characters(u8);

impl Characters {
    const UNRESERVED: u8 = 1;
    const COMMA: u8 = 2;
    const EQUALS: u8 = 4;
    /// Reserved characters but for comma and equals sign.
    const RESERVED: u8 = 8;

    /// The class of a byte; 0 for one that no variable expands to.
    fn class(byte: u8) -> u8 {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                Characters::UNRESERVED
            }
            b',' => Characters::COMMA,
            b'=' => Characters::EQUALS,
            b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'('
            | b')' | b'*' | b'+' | b';' => Characters::RESERVED,
            _ => 0,
        }
    }

    /// Length of the character or triplet at the start of `text`, if it is one of these.
    fn length(self, text: &[u8]) -> Option<usize> {
        match text {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => Some(3),
            [byte, ..] => (Characters::class(*byte) & self.0 != 0).then_some(1),
            [] => None,
        }
    }
}

/// What is known of one place of the topic while a part is gone through.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The parts so far may end here.
    reached: bool,
    /// The first variable may end here.
    first: bool,
    /// Least number of other variables, counted from 1, the last of which may end here; 0 for none.
    others: u16,
}

impl Place {
    fn reach_other(&mut self, count: u16) {
        if self.others == 0 || count < self.others {
            self.others = count;
        }
    }
}

impl Template {
    /// The template that `text`, of less than 64 KiB, is; none when it is not one.
    pub(super) fn parse(text: &str) -> Option<Template> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let length = match rest.strip_prefix('{') {
                Some(inner) => {
                    let end = inner.find('}')?;
                    parts.push(Part::Expression(expression(&inner[..end])?));
                    end + "{}".len()
                }
                None => {
                    let length = rest.find('{').unwrap_or(rest.len());
                    if !is_literal(&rest[..length]) {
                        return None;
                    }
                    parts.push(Part::Literal(at as u16..(at + length) as u16));
                    length
                }
            };
            at += length;
        }
        Some(Template { parts: parts.into() })
    }

    pub(super) fn expression_count(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part, Part::Expression(_))).count()
    }

    /// Memory of its parts, and of their shape.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.len() * (size_of::<Part>() + size_of::<Expression>())
    }

    /// Bytes of all its literals.
    pub(super) fn literal_bytes(&self) -> usize {
        self.literals().map(|range| range.len()).sum()
    }

    fn literals(&self) -> impl Iterator<Item = &Range<u16>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(range) => Some(range),
            Part::Expression(_) => None,
        })
    }

    /// The literal that all its topics start with; may be empty. `text` is the template's.
    pub(super) fn prefix<'a>(&self, text: &'a str) -> &'a str {
        match self.parts.first() {
            Some(Part::Literal(range)) => slice(text, range),
            _ => "",
        }
    }

    /// The literal that all its topics end with, behind the prefix; may be empty.
    pub(super) fn suffix<'a>(&self, text: &'a str) -> &'a str {
        match self.parts.last() {
            Some(Part::Literal(range)) if self.parts.len() > 1 => slice(text, range),
            _ => "",
        }
    }

    /// The end of the longest literal between its expressions, which all its topics have between
    /// prefix and suffix; may be empty.
    pub(super) fn middle<'a>(&self, text: &'a str) -> &'a str {
        let last = self.parts.len().saturating_sub(1);
        let inner = self.parts.get(1..last).unwrap_or_default().iter();
        let literals = inner.filter_map(|part| match part {
            Part::Literal(range) => Some(slice(text, range)),
            Part::Expression(_) => None,
        });
        let longest = literals.max_by_key(|literal| literal.len()).unwrap_or("");
        let start = longest.ceil_char_boundary(longest.len().saturating_sub(MIDDLE_BYTES_MAX));
        &longest[start..]
    }

    /// What matching depends on: the same for templates that differ in names and prefixes only.
    pub(super) fn shape(&self, text: &str) -> Box<[u8]> {
        let mut shape = Vec::with_capacity(text.len());
        for part in &self.parts {
            match part {
                Part::Literal(range) => shape.extend_from_slice(slice(text, range).as_bytes()),
                // No literal has this byte.
                Part::Expression(expression) => {
                    let Expression { begins, separator, first, others, others_max } = expression;
                    shape.extend([1, begins.unwrap_or(0), *separator, first.0, others.0]);
                    shape.extend(others_max.to_ne_bytes());
                }
            }
        }
        shape.into()
    }

    /// True when the template may expand to `topic`, of which `short` is known if it is short.
    pub(super) fn matches(&self, text: &str, topic: &str, short: Option<&Short>) -> bool {
        let (prefix, suffix) = (self.prefix(text), self.suffix(text));
        // What lies between is what the parts between must take whole.
        let rest = topic.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        let Some(rest) = rest else { return false };
        let first = usize::from(!prefix.is_empty());
        let last = self.parts.len() - usize::from(!suffix.is_empty());
        let parts = self.parts.get(first..last).unwrap_or_default();
        match short {
            Some(short) => {
                short.matches(parts, text, topic, (prefix.len(), prefix.len() + rest.len()))
            }
            None => walk(parts, text, rest.as_bytes()),
        }
    }
}

/// True when `parts` may have become `topic`.
fn walk(parts: &[Part], text: &str, topic: &[u8]) -> bool {
    let mut places = vec![Place::default(); topic.len() + 1];
    places[0].reached = true;
    for part in parts {
        match part {
            Part::Literal(range) => {
                pass_literal(&mut places, slice(text, range).as_bytes(), topic);
            }
            Part::Expression(expression) => expression.pass(&mut places, topic),
        }
    }
    places.last().is_some_and(|place| place.reached)
}

fn slice<'a>(text: &'a str, range: &Range<u16>) -> &'a str {
    &text[usize::from(range.start)..usize::from(range.end)]
}

/// Moves each reached place behind the literal that stands there.
fn pass_literal(places: &mut [Place], literal: &[u8], topic: &[u8]) {
    // From the end, so that each place is read before it is written.
    for at in (0..places.len()).rev() {
        let from = at.checked_sub(literal.len());
        let reached =
            from.is_some_and(|from| places[from].reached && topic[from..].starts_with(literal));
        places[at].reached = reached;
    }
}

impl Expression {
    /// Marks as reached all places where it may end that began at a reached one.
    fn pass(&self, places: &mut [Place], topic: &[u8]) {
        places.iter_mut().for_each(|place| (place.first, place.others) = (false, 0));
        for at in 0..places.len() {
            let rest = &topic[at..];
            let next = rest.first().copied();
            if places[at].reached {
                match self.begins {
                    None => places[at].first = true,
                    Some(begins) if next == Some(begins) => places[at + 1].first = true,
                    Some(_) => {}
                }
            }
            let Place { first, others, .. } = places[at];
            places[at].reached |= first || others > 0;
            let separated = next == Some(self.separator);
            if first {
                if let Some(length) = self.first.length(rest) {
                    places[at + length].first = true;
                }
                if separated && self.others_max > 0 {
                    places[at + 1].reach_other(1);
                }
            }
            if others > 0 {
                if let Some(length) = self.others.length(rest) {
                    places[at + length].reach_other(others);
                }
                let unbounded = self.others_max == u16::MAX;
                let count = if unbounded { others } else { others + 1 };
                if separated && count <= self.others_max {
                    places[at + 1].reach_other(count);
                }
            }
        }
    }
}

/// The expression between a pair of braces (RFC 6570 2.2, 2.3, 2.4).
fn expression(inner: &str) -> Option<Expression> {
    use Characters as C;
    let operator = inner.bytes().next()?;
    let (begins, separator, named) = match operator {
        b'+' => (None, b',', false),
        b'#' => (Some(b'#'), b',', false),
        b'.' | b'/' => (Some(operator), operator, false),
        b';' => (Some(b';'), b';', true),
        b'?' | b'&' => (Some(operator), b'&', true),
        b'=' | b',' | b'!' | b'@' | b'|' => return None,
        _ => (None, b',', false),
    };
    let is_simple = begins.is_none() && operator != b'+';
    let list = if is_simple { inner } else { &inner[1..] };
    let mut count = 0;
    let mut exploded = (false, false);
    for variable in list.split(',') {
        let explodes = variable_explodes(variable)?;
        if count == 0 {
            exploded.0 = explodes;
        }
        exploded.1 |= explodes;
        count += 1;
    }
    let characters = |equals: bool| match operator {
        b'+' | b'#' => Characters(C::UNRESERVED | C::COMMA | C::EQUALS | C::RESERVED),
        _ => Characters(C::UNRESERVED | C::COMMA | if equals { C::EQUALS } else { 0 }),
    };
    Some(Expression {
        begins,
        separator,
        first: characters(named || exploded.0),
        others: characters(named || exploded.1),
        others_max: if exploded.1 { u16::MAX } else { count - 1 },
    })
}

/// Whether a variable is exploded; none when it is not a variable.
fn variable_explodes(variable: &str) -> Option<bool> {
    let (name, explodes) = match variable.strip_suffix('*') {
        Some(name) => (name, true),
        None => match variable.split_once(':') {
            Some((name, length)) if is_prefix_length(length) => (name, false),
            Some(_) => return None,
            None => (variable, false),
        },
    };
    let is_name = name.split('.').all(|part| {
        !part.is_empty() && with_triplets(part, |char| char.is_ascii_alphanumeric() || char == '_')
    });
    is_name.then_some(explodes)
}

/// 1 to 9999, without leading zeros.
fn is_prefix_length(length: &str) -> bool {
    (1..=4).contains(&length.len())
        && !length.starts_with('0')
        && length.bytes().all(|byte| byte.is_ascii_digit())
}

/// True when `text` consists of triplets and characters that are allowed.
fn with_triplets(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let is_fine = match char {
            '%' => (0..2).all(|_| chars.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            other => allowed(other),
        };
        if !is_fine {
            return false;
        }
    }
    true
}

/// RFC 6570 2.1, with the characters of IRIs (RFC 3987: `ucschar`, `iprivate`).
fn is_literal(text: &str) -> bool {
    with_triplets(text, |char| match char as u32 {
        0x21 | 0x23..=0x24 | 0x26 | 0x28..=0x3b | 0x3d | 0x3f..=0x5b | 0x5d | 0x5f => true,
        0x61..=0x7a | 0x7e => true,
        0xa0..=0xd7ff | 0xe000..=0xfdcf | 0xfdf0..=0xffef => true,
        0xe0000..=0xe0fff => false,
        0x10000..=0x10ffff => char as u32 & 0xffff <= 0xfffd,
        _ => false,
    })
}
