//! Texts that are nearly always valid: URI templates with texts that they expand to, and URL patterns
//! with URLs that they match.
//!
//! The idea: random bytes rarely get behind the first brace. Here a fuzzer's bytes choose among
//! productions of the grammar instead, from few literals, names and values, so that selectors share
//! them and topics match.
//!
//! Written from RFC 6570 and the WHATWG's URL Pattern alone; nothing of the engine is used.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// Bounded, so that a text stays within what an engine takes, and a naive reader gets done.
const PIECES_MAX: usize = 8;
const VARIABLES_MAX: usize = 3;

const LITERALS: [&str; 8] = ["a", "b", "/", "/users", "https://example.com/", ".", "%41", "x=1&"];
const OPERATORS: [&str; 8] = ["", "+", "#", ".", "/", ";", "?", "&"];
const NAMES: [&str; 4] = ["id", "b", "x_1", "v.w"];
const VALUES: [&str; 10] = ["", "a", "b1", "x-y", "a/b", "\u{e4}", "100%", "k=v", "a,b", "q?z#"];
/// Regular expressions, and what each matches.
const REGEXES: [(&str, &str); 6] = [
    (r"\d+", "42"),
    ("a|b", "a"),
    ("[a-c]{2}", "ab"),
    ("(?:x|yz)+", "yzx"),
    (".*", "q"),
    (r"\w*", "w"),
];
/// What patterns begin with, and what a URL of theirs does. A host goes on through braces, so behind
/// one stands the first part of a path.
const HOSTS: [(&str, &str); 4] = [
    ("", "https://example.com"),
    ("https://example.com/p", "https://example.com/p"),
    ("https://:sub.example.com/p", "https://a.example.com/p"),
    ("http{s}?://example.com/p", "http://example.com/p"),
];

/// A URI template, and values for its variables.
#[derive(Debug, Arbitrary)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Arbitrary)]
enum Piece {
    Literal(u8),
    Expression { operator: u8, variables: Vec<Variable> },
}

#[derive(Debug, Arbitrary)]
struct Variable {
    name: u8,
    modifier: Modifier,
    values: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
enum Modifier {
    None,
    Exploded,
    Prefix(u8),
}

/// A URL pattern, and what stands in a URL for its parts.
#[derive(Debug, Arbitrary)]
pub struct Pattern {
    host: u8,
    segments: Vec<Segment>,
}

#[derive(Debug, Arbitrary)]
struct Segment {
    kind: Kind,
    /// None, `?`, `*` or `+`.
    modifier: u8,
    repeated: bool,
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Literal(u8),
    Named(u8),
    NamedRegex(u8, u8),
    Regex(u8),
    Wildcard,
}

fn pick<T: Copy>(from: &[T], number: u8) -> T {
    from[usize::from(number) % from.len()]
}

impl Template {
    /// The template.
    pub fn text(&self) -> String {
        self.0.iter().take(PIECES_MAX).map(Piece::text).collect()
    }

    /// What it expands to (RFC 6570, section 3).
    pub fn expansion(&self) -> String {
        self.0.iter().take(PIECES_MAX).map(Piece::expansion).collect()
    }
}

impl Piece {
    fn text(&self) -> String {
        match self {
            Piece::Literal(literal) => pick(&LITERALS, *literal).into(),
            Piece::Expression { variables, .. } if variables.is_empty() => "{id}".into(),
            Piece::Expression { operator, variables } => {
                let list = variables.iter().take(VARIABLES_MAX).map(Variable::text);
                let list: Vec<String> = list.collect();
                format!("{{{}{}}}", pick(&OPERATORS, *operator), list.join(","))
            }
        }
    }

    fn expansion(&self) -> String {
        match self {
            Piece::Literal(literal) => pick(&LITERALS, *literal).into(),
            Piece::Expression { operator, variables } => {
                let operator = pick(&OPERATORS, *operator);
                let defined = variables.iter().take(VARIABLES_MAX);
                let defined = defined.filter(|variable| !variable.values.is_empty());
                let separator = match operator {
                    "" | "+" | "#" => ",",
                    "?" => "&",
                    other => other,
                };
                let list: Vec<String> =
                    defined.map(|variable| variable.expansion(operator, separator)).collect();
                let begins = if operator == "+" || list.is_empty() { "" } else { operator };
                format!("{begins}{}", list.join(separator))
            }
        }
    }
}

impl Variable {
    fn text(&self) -> String {
        let name = pick(&NAMES, self.name);
        match self.modifier {
            Modifier::None => name.into(),
            Modifier::Exploded => format!("{name}*"),
            Modifier::Prefix(length) => format!("{name}:{}", u16::from(length) * 39 + 1),
        }
    }

    fn expansion(&self, operator: &str, separator: &str) -> String {
        let name = pick(&NAMES, self.name);
        let named = |value: &str| match operator {
            ";" if value.is_empty() => name.to_owned(),
            ";" | "?" | "&" => format!("{name}={value}"),
            _ => value.to_owned(),
        };
        let values = self.values.iter().take(VARIABLES_MAX).map(|value| pick(&VALUES, *value));
        let values: Vec<String> = values.map(|value| self.encoded(value, operator)).collect();
        match self.modifier {
            Modifier::Exploded => {
                let all: Vec<String> = values.iter().map(|value| named(value)).collect();
                all.join(separator)
            }
            // A prefix is that of one string.
            Modifier::Prefix(_) => named(&values[0]),
            Modifier::None => named(&values.join(",")),
        }
    }

    fn encoded(&self, value: &str, operator: &str) -> String {
        let length = match self.modifier {
            Modifier::Prefix(length) => usize::from(length) * 39 + 1,
            _ => usize::MAX,
        };
        let mut text = String::new();
        for char in value.chars().take(length) {
            let is_plain = char.is_ascii_alphanumeric() || "-._~".contains(char);
            let is_reserved = ":/?#[]@!$&'()*+,;=".contains(char);
            if is_plain || is_reserved && ["+", "#"].contains(&operator) {
                text.push(char);
            } else {
                let bytes = char.to_string().into_bytes();
                bytes.iter().for_each(|byte| text += &format!("%{byte:02X}"));
            }
        }
        text
    }
}

impl Pattern {
    /// The pattern; two groups of one name make it wrong.
    pub fn text(&self) -> String {
        let segments = self.segments.iter().take(PIECES_MAX).map(Segment::text);
        pick(&HOSTS, self.host).0.to_owned() + &segments.collect::<String>()
    }

    /// A URL that it matches.
    pub fn url(&self) -> String {
        let segments = self.segments.iter().take(PIECES_MAX).map(Segment::path);
        pick(&HOSTS, self.host).1.to_owned() + &segments.collect::<String>()
    }

    /// Whether the URL has a path: one without has `/`, which no segment stands for.
    pub fn has_path(&self) -> bool {
        self.segments.iter().take(PIECES_MAX).any(|segment| !segment.path().is_empty())
    }
}

impl Segment {
    fn modifier(&self) -> &'static str {
        pick(&["", "", "?", "*", "+"], self.modifier)
    }

    fn text(&self) -> String {
        let part = match &self.kind {
            Kind::Literal(literal) => return format!("{{/{}}}{}", word(*literal), self.modifier()),
            Kind::Named(name) => format!(":{}", word(*name)),
            Kind::NamedRegex(name, regex) => {
                format!(":{}({})", word(*name), pick(&REGEXES, *regex).0)
            }
            Kind::Regex(regex) => format!("({})", pick(&REGEXES, *regex).0),
            Kind::Wildcard => "*".into(),
        };
        format!("/{part}{}", self.modifier())
    }

    fn path(&self) -> String {
        let one = match &self.kind {
            Kind::Literal(literal) => format!("/{}", word(*literal)),
            Kind::Named(_) | Kind::Wildcard => "/v1".into(),
            Kind::NamedRegex(_, regex) | Kind::Regex(regex) => {
                format!("/{}", pick(&REGEXES, *regex).1)
            }
        };
        match (self.modifier(), self.repeated) {
            ("?" | "*", false) => String::new(),
            ("*" | "+", true) => one.repeat(2),
            _ => one,
        }
    }
}

fn word(number: u8) -> &'static str {
    pick(&["a", "b", "users", "books", "x1", "y"], number)
}
