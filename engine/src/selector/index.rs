//! Which of very many selectors match a topic, without asking each.
//!
//! Exact selectors are looked up. Templates are found by the literal that they start with, then by
//! the one they end with, then by the longest between: for each length that occurs, one look-up. URL
//! Patterns are found in the same way by their key. Only those are matched whose literals are all
//! there.
//!
//! Selectors that differ in the names of their variables only, such as `{+a}` and `{+b}`, are matched
//! once for all. Those that share all their literals and differ in more are gone through one by one:
//! they are a **crowd**, which [`Index::crowd`] counts by what going through it costs, so that whoever
//! fills the index can keep it below [`CROWD_MAX`]. The group `hostile` of the bench `matching` has
//! what it costs.
//!
//! Invariants: each value stands for one selector; what is found is exactly what matches.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use super::regexes::REGEXES_CROWD_MAX;
use super::template::short::Short;
use super::url_pattern::key_of;
use super::{Matcher, Selector};

/// How many literals may be sought in a text for each look-up that would find all of one length at
/// one of its places: as many as seeking one costs.
const SOUGHT_PER_LOOKUP: usize = 2;

/// What going through one selector of a crowd costs, in steps of matching a template: 0.2 µs for one of
/// six expressions on a topic of usual length.
const TEMPLATE_STEPS: usize = 1;
/// A URL pattern has eight parts, each a text of its own.
const PATTERN_STEPS: usize = 8;
/// A regular expression has to be among those that are kept: of no more than that is there room.
const REGEX_STEPS: usize = CROWD_MAX / REGEXES_CROWD_MAX;

/// Most steps of a crowd: a millisecond for each topic that is met, if its name is of usual length.
/// That is 4,096 templates, 512 URL patterns, or 256 of these with regular expressions, which differ in
/// nothing that they could be found by.
pub const CROWD_MAX: usize = 4 << 10;

/// Selectors by what they match. A value of the caller's stands for each.
#[derive(Debug, Default)]
pub struct Index {
    everything: Vec<u32>,
    exact: HashMap<Box<str>, Vec<u32>>,
    templates: Literals,
    /// By the URL they are resolved against; nearly always there is one.
    patterns: BTreeMap<Box<str>, Literals>,
    count: usize,
    crowd: usize,
}

/// Selectors by the literal they start with.
type Literals = Keyed<Keyed<Group>>;

/// Selectors with the same literals at both ends.
#[derive(Debug, Default)]
struct Group {
    /// Those with a literal between.
    by_middle: Keyed<Shapes>,
    others: Shapes,
}

/// Selectors by what matching them depends on.
#[derive(Debug, Default)]
struct Shapes {
    by_shape: HashMap<Box<[u8]>, Alike>,
    steps: usize,
}

/// Selectors that match the same topics, but for their own texts.
#[derive(Debug)]
struct Alike {
    /// One of them, which may have been removed since.
    selector: Selector,
    values: Vec<u32>,
}

/// Things by a literal, and the lengths that these literals have.
#[derive(Debug)]
struct Keyed<T> {
    by_literal: HashMap<Box<str>, T>,
    /// Literals of each length.
    lengths: BTreeMap<usize, usize>,
}

impl Shapes {
    /// What it adds to the crowd: one alone is none.
    fn crowd(&self) -> usize {
        if self.by_shape.len() > 1 { self.steps } else { 0 }
    }

    fn insert(&mut self, shape: Box<[u8]>, selector: &Selector, value: u32) {
        let alike = self.by_shape.entry(shape).or_insert_with(|| {
            self.steps += steps(selector);
            Alike { selector: selector.clone(), values: Vec::new() }
        });
        alike.values.push(value);
    }

    fn remove(&mut self, shape: &[u8], value: u32) {
        let alike = self.by_shape.get_mut(shape).expect("it was inserted");
        remove_value(&mut alike.values, value);
        if alike.values.is_empty() {
            self.steps -= steps(&alike.selector);
            self.by_shape.remove(shape);
        }
    }
}

/// The same for selectors of the same shape.
fn steps(selector: &Selector) -> usize {
    match &selector.0.matcher {
        Matcher::UrlPattern(pattern) if pattern.takes_regexes() => REGEX_STEPS,
        Matcher::UrlPattern(_) => PATTERN_STEPS,
        _ => TEMPLATE_STEPS,
    }
}

impl<T> Default for Keyed<T> {
    fn default() -> Keyed<T> {
        Keyed { by_literal: HashMap::new(), lengths: BTreeMap::new() }
    }
}

impl<T: Default> Keyed<T> {
    fn entry(&mut self, literal: &str) -> &mut T {
        if !self.by_literal.contains_key(literal) {
            *self.lengths.entry(literal.len()).or_insert(0) += 1;
            self.by_literal.insert(literal.into(), T::default());
        }
        self.by_literal.get_mut(literal).expect("it is there by now")
    }

    fn remove(&mut self, literal: &str) {
        self.by_literal.remove(literal);
        let count = self.lengths.get_mut(&literal.len()).expect("it was counted");
        *count -= 1;
        if *count == 0 {
            self.lengths.remove(&literal.len());
        }
    }

    fn is_empty(&self) -> bool {
        self.by_literal.is_empty()
    }

    /// Things whose literal `text` starts with, and what follows it.
    fn at_start<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'a T, &'a str)> {
        self.lengths.range(..=text.len()).filter_map(move |(length, _)| {
            let (start, rest) = text.split_at_checked(*length)?;
            Some((self.by_literal.get(start)?, rest))
        })
    }

    /// Things whose literal `text` ends with, and what stands before it.
    fn at_end<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (&'a T, &'a str)> {
        self.lengths.range(..=text.len()).filter_map(move |(length, _)| {
            let (rest, end) = text.split_at_checked(text.len() - length)?;
            Some((self.by_literal.get(end)?, rest))
        })
    }

    /// Calls `found` with the things whose literal stands somewhere in `text`, each once.
    fn within<'a>(&'a self, text: &str, mut found: impl FnMut(&'a T)) {
        let lookups = self.lengths.len() * text.len();
        if self.by_literal.len() <= lookups / SOUGHT_PER_LOOKUP {
            let all = self.by_literal.iter();
            all.filter(|(literal, _)| text.contains(&***literal)).for_each(|(_, it)| found(it));
            return;
        }
        let mut known = HashSet::new();
        for &length in self.lengths.keys().take_while(|length| **length <= text.len()) {
            for start in 0..=text.len() - length {
                let Some(part) = text.get(start..start + length) else { continue };
                if let Some((literal, it)) = self.by_literal.get_key_value(part)
                    && known.insert(literal)
                {
                    found(it);
                }
            }
        }
    }
}

impl Index {
    /// Number of selectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Steps that finding what matches one topic may take beyond what it looks up.
    #[must_use]
    pub fn crowd(&self) -> usize {
        self.crowd
    }

    /// Adds `selector`, for which `value` stands.
    pub fn insert(&mut self, selector: &Selector, value: u32) {
        self.count += 1;
        let text = selector.as_str();
        let (group, middle, shape) = match &selector.0.matcher {
            Matcher::Everything => return self.everything.push(value),
            Matcher::Exact => return self.exact.entry(text.into()).or_default().push(value),
            Matcher::Template(template) => {
                // A topic may equal the text of a template.
                self.exact.entry(text.into()).or_default().push(value);
                let by_end = self.templates.entry(template.prefix(text));
                let group = by_end.entry(template.suffix(text));
                (group, template.middle(text), template.shape(text))
            }
            Matcher::UrlPattern(pattern) => {
                let of_base = self.patterns.entry(pattern.base().into()).or_default();
                (of_base.entry(pattern.key()).entry(""), "", pattern.shape())
            }
        };
        let shapes = match middle {
            "" => &mut group.others,
            middle => group.by_middle.entry(middle),
        };
        self.crowd -= shapes.crowd();
        shapes.insert(shape, selector, value);
        self.crowd += shapes.crowd();
    }

    /// Removes `selector`, which was inserted with `value`.
    ///
    /// # Panics
    /// When it was not.
    pub fn remove(&mut self, selector: &Selector, value: u32) {
        self.count -= 1;
        let text = selector.as_str();
        match &selector.0.matcher {
            Matcher::Everything => remove_value(&mut self.everything, value),
            Matcher::Exact => remove_keyed(&mut self.exact, text, value),
            Matcher::Template(template) => {
                remove_keyed(&mut self.exact, text, value);
                let ends = [template.prefix(text), template.suffix(text)];
                let (middle, shape) = (template.middle(text), template.shape(text));
                remove_alike(&mut self.templates, ends, middle, &shape, value, &mut self.crowd);
            }
            Matcher::UrlPattern(pattern) => {
                let of_base = self.patterns.get_mut(pattern.base()).expect("it was inserted");
                let ends = [pattern.key(), ""];
                remove_alike(of_base, ends, "", &pattern.shape(), value, &mut self.crowd);
                if of_base.is_empty() {
                    self.patterns.remove(pattern.base());
                }
            }
        }
    }

    /// Appends the values of all selectors that match `topic`, each once, in no order.
    pub fn find(&self, topic: &str, values: &mut Vec<u32>) {
        values.extend_from_slice(&self.everything);
        let start = values.len();
        if let Some(exact) = self.exact.get(topic) {
            values.extend_from_slice(exact);
        }
        if !self.templates.is_empty() {
            self.find_templates(topic, values);
        }
        // Only the text of a template has a brace, and a topic that equals one may match it too.
        if topic.contains('{') {
            let mut found = values.split_off(start);
            found.sort_unstable();
            found.dedup();
            values.append(&mut found);
        }
        self.patterns.values().for_each(|of_base| find_patterns(of_base, topic, values));
    }

    fn find_templates(&self, topic: &str, values: &mut Vec<u32>) {
        let short = Short::new(topic);
        let mut take = |shapes: &Shapes| {
            for alike in shapes.by_shape.values() {
                if let Matcher::Template(template) = &alike.selector.0.matcher
                    && template.matches(alike.selector.as_str(), topic, short.as_ref())
                {
                    values.extend_from_slice(&alike.values);
                }
            }
        };
        for (by_end, rest) in self.templates.at_start(topic) {
            for (group, rest) in by_end.at_end(rest) {
                take(&group.others);
                group.by_middle.within(rest, &mut take);
            }
        }
    }
}

/// Finds patterns that are resolved against the same URL: the topic is resolved once for all.
fn find_patterns(of_base: &Literals, topic: &str, values: &mut Vec<u32>) {
    let any =
        of_base.by_literal.values().next().and_then(|by_end| by_end.by_literal.values().next());
    let Some(Matcher::UrlPattern(any)) = any
        .and_then(|group| group.others.by_shape.values().next())
        .map(|alike| &alike.selector.0.matcher)
    else {
        return;
    };
    let Some(url) = any.resolve(topic) else { return };
    let key = key_of(&url);
    let groups = of_base.at_start(&key).flat_map(|(by_end, _)| by_end.by_literal.values());
    for alike in groups.flat_map(|group| group.others.by_shape.values()) {
        if let Matcher::UrlPattern(pattern) = &alike.selector.0.matcher
            && pattern.matches_url(url.clone())
        {
            values.extend_from_slice(&alike.values);
        }
    }
}

fn remove_value(values: &mut Vec<u32>, value: u32) {
    let at = values.iter().position(|other| *other == value).expect("it was inserted");
    values.swap_remove(at);
}

fn remove_keyed<K, Q>(map: &mut HashMap<K, Vec<u32>>, key: &Q, value: u32)
where
    K: Borrow<Q> + Hash + Eq,
    Q: Hash + Eq + ?Sized,
{
    let values = map.get_mut(key).expect("it was inserted");
    remove_value(values, value);
    if values.is_empty() {
        map.remove(key);
    }
}

fn remove_alike(
    literals: &mut Literals,
    [start, end]: [&str; 2],
    middle: &str,
    shape: &[u8],
    value: u32,
    crowd: &mut usize,
) {
    let by_end = literals.entry(start);
    let group = by_end.entry(end);
    let shapes = match middle {
        "" => &mut group.others,
        middle => group.by_middle.entry(middle),
    };
    *crowd -= shapes.crowd();
    shapes.remove(shape, value);
    *crowd += shapes.crowd();
    if !middle.is_empty() && shapes.by_shape.is_empty() {
        group.by_middle.remove(middle);
    }
    if group.others.by_shape.is_empty() && group.by_middle.is_empty() {
        by_end.remove(end);
    }
    if by_end.is_empty() {
        literals.remove(start);
    }
}
