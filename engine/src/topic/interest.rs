//! What a subscriber wants and may see, as members of a set.
//!
//! An event is for a subscriber when one of its topics matches a selector, and, if it is private, one
//! of its topics matches a claim; not necessarily the same. Which events these are is decided here,
//! once for each stream: public events by the histories of public ones, private events by others, so
//! they cost nothing to those who may not see them.
//!
//! Private events that match both a selector `s` and a claim `c` are
//! - those that match `s`, when `c` covers `s`;
//! - those that match `c`, when `s` covers `c`;
//! - otherwise those of the view of the one that leaves less open, sifted by the other.

use std::collections::HashSet;
use std::rc::Rc;

use super::Topics;
use super::member::Member;
use super::view::ViewKey;
use crate::selector::{Kind, Selector};

/// Pairs of a selector and a claim that one stream may have to be compared, at most. Each costs less
/// than a microsecond, all while the stream starts, and a sieve may keep it.
pub const PAIRS_MAX: usize = 100_000;
/// Fewer pairs are taken as they are: looking up which do not count takes longer than they are worth.
const COUNTED_PAIRS_MIN: usize = 64;

/// What a subscriber wants and may see.
#[derive(Clone, Copy, Debug)]
pub enum Interest<'a> {
    /// The public events of the topics of these names.
    Topics(&'a [String]),
    /// Events of topics that match a selector.
    Selectors {
        /// What it wants.
        selectors: &'a [Selector],
        /// What it may see of private events.
        claims: &'a [Selector],
    },
}

impl Interest<'_> {
    /// How many topics and views it may add to `topics`, and bytes of their names and selectors; at
    /// most, as which of them are known is seen only when they are joined.
    #[must_use]
    pub fn new_upper_bound(&self, topics: &Topics) -> (usize, usize) {
        let sum = |(count, bytes): (usize, usize), name: &str| (count + 1, bytes + name.len());
        match self {
            Interest::Topics(names) => {
                let new = names.iter().map(String::as_str);
                new.filter(|name| !topics.contains(name, false)).fold((0, 0), sum)
            }
            Interest::Selectors { selectors, claims } => {
                let new = |of: &[Selector], private: bool, from: (usize, usize)| {
                    let is_known = |selector: &Selector| {
                        selector.kind() == Kind::Exact
                            && topics.contains(selector.as_str(), private)
                    };
                    let new = of.iter().filter(|selector| !is_known(selector));
                    new.fold(from, |(count, bytes), selector| {
                        (count + 1, bytes + selector.memory_bytes())
                    })
                };
                let public = new(selectors, false, (0, 0));
                if claims.is_empty() {
                    return public;
                }
                let (count, bytes) = new(claims, true, new(selectors, true, public));
                // Either half may be the sieve of views of the other.
                let pairs = match selectors.len() * claims.len() {
                    few @ ..=COUNTED_PAIRS_MIN => few,
                    _ => pairs(selectors, claims),
                };
                (count, bytes + pairs * size_of::<Selector>())
            }
        }
    }

    /// The same, exactly; it costs as much as joining does.
    #[must_use]
    pub fn new_count(&self, topics: &Topics) -> (usize, usize) {
        let mut new = HashSet::new();
        for need in self.needs() {
            if !need.is_met(topics) {
                new.insert(need);
            }
        }
        (new.len(), new.iter().map(Need::bytes).sum())
    }

    /// The topics and views that it is made of, some twice.
    fn needs(&self) -> Vec<Need> {
        match *self {
            Interest::Topics(names) => {
                names.iter().map(|name| Need::Topic(name.as_str().into(), false)).collect()
            }
            Interest::Selectors { selectors, claims } => {
                let mut needs: Vec<Need> =
                    selectors.iter().map(|selector| Need::of(selector, false)).collect();
                if !claims.is_empty() {
                    private_needs(selectors, claims, &mut needs);
                }
                needs
            }
        }
    }

    /// True when an event of this topic alone may be for it.
    pub(super) fn may_match(&self, topic: &str, private: bool) -> bool {
        let any = |selectors: &[Selector]| crate::selector::any_matches(selectors, topic);
        match self {
            Interest::Topics(names) => !private && names.iter().any(|name| name == topic),
            // One of another topic may match the other half.
            Interest::Selectors { selectors, claims } if private => any(selectors) || any(claims),
            Interest::Selectors { selectors, .. } => any(selectors),
        }
    }
}

/// Pairs that must be compared for a stream. Names that are claimed as they are wanted are found by
/// looking them up, and do not count.
#[must_use]
pub fn pairs(selectors: &[Selector], claims: &[Selector]) -> usize {
    let names = |of: &[Selector]| -> HashSet<Selector> { exact(of).cloned().collect() };
    let (wanted, claimed) = (names(selectors), names(claims));
    let others = |of: &[Selector], found: &HashSet<Selector>| {
        of.iter().filter(|selector| !found.contains(*selector)).count()
    };
    others(selectors, &claimed) * others(claims, &wanted)
}

fn exact(selectors: &[Selector]) -> impl Iterator<Item = &Selector> {
    selectors.iter().filter(|selector| selector.kind() == Kind::Exact)
}

/// Whether some of several selectors cover others.
struct Cover<'a> {
    names: HashSet<&'a Selector>,
    patterns: Vec<&'a Selector>,
}

impl<'a> Cover<'a> {
    fn new(selectors: &'a [Selector]) -> Self {
        let patterns = selectors.iter().filter(|selector| selector.kind() != Kind::Exact);
        Cover { names: exact(selectors).collect(), patterns: patterns.collect() }
    }

    fn covers(&self, other: &Selector) -> bool {
        self.names.contains(other) || self.patterns.iter().any(|pattern| pattern.covers(other))
    }
}

/// A topic or a view.
#[derive(PartialEq, Eq, Hash)]
enum Need {
    /// By its name, and whether it is that of private events.
    Topic(Rc<str>, bool),
    View(ViewKey),
}

impl Need {
    /// All events of one kind that match `selector`.
    fn of(selector: &Selector, private: bool) -> Need {
        if selector.kind() == Kind::Exact {
            return Need::Topic(selector.as_str().into(), private);
        }
        Need::View(ViewKey { private, selector: selector.clone(), sieve: None })
    }

    fn is_met(&self, topics: &Topics) -> bool {
        match self {
            Need::Topic(name, private) => topics.contains(name, *private),
            Need::View(key) => topics.has_view(key),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Need::Topic(name, _) => name.len(),
            Need::View(key) => key.memory_bytes(),
        }
    }
}

fn private_needs(selectors: &[Selector], claims: &[Selector], needs: &mut Vec<Need>) {
    let (by_claims, by_selectors) = (Cover::new(claims), Cover::new(selectors));
    let (granted, open): (Vec<_>, Vec<_>) =
        selectors.iter().partition(|selector| by_claims.covers(selector));
    let (wanted, rest): (Vec<_>, Vec<_>) =
        claims.iter().partition(|claim| by_selectors.covers(claim));
    needs.extend(granted.into_iter().chain(wanted).map(|selector| Need::of(selector, true)));
    for selector in &open {
        let bytes = selector.literal_bytes();
        let sieve = rest.iter().filter(|claim| claim.literal_bytes() <= bytes);
        needs.extend(sifted(selector, sieve));
    }
    for claim in &rest {
        let bytes = claim.literal_bytes();
        let sieve = open.iter().filter(|selector| selector.literal_bytes() < bytes);
        needs.extend(sifted(claim, sieve));
    }
}

/// Private events that match `selector` and one of `sieve`.
fn sifted<'a>(selector: &Selector, sieve: impl Iterator<Item = &'a &'a Selector>) -> Option<Need> {
    let sieve: Rc<[Selector]> = sieve.map(|selector| (*selector).clone()).collect();
    let key = ViewKey { private: true, selector: selector.clone(), sieve: Some(sieve) };
    key.sieve.as_ref().is_some_and(|sieve| !sieve.is_empty()).then_some(Need::View(key))
}

impl Topics {
    /// The members of a set for `interest`, created if need be; in no order, some twice.
    pub(super) fn members(&mut self, interest: Interest<'_>) -> Vec<Member> {
        if let Interest::Topics(names) = interest {
            return names.iter().map(|name| Member::topic(self.topic(name, false))).collect();
        }
        let members = interest.needs().into_iter().map(|need| match need {
            Need::Topic(name, private) => Member::topic(self.topic(&name, private)),
            Need::View(key) => Member::view(self.view(key)),
        });
        members.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: impl Iterator<Item = String>) -> Vec<Selector> {
        texts.map(|text| Selector::parse(&text).expect("a selector")).collect()
    }

    #[test]
    fn only_what_is_not_found_by_its_name_is_compared() {
        let names = parsed((0..1_000).map(|n| format!("n{n}")));
        let others = parsed((0..1_000).map(|n| format!("o{n}")));
        let templates = parsed((0..1_000).map(|n| format!("t{n}/{{id}}")));
        assert_eq!(pairs(&names, &names), 0);
        assert_eq!(pairs(&names, &[]), 0);
        assert_eq!(pairs(&names, &others), 1_000_000);
        assert_eq!(pairs(&templates, &templates), 1_000_000);
        assert_eq!(pairs(&names, &[names.clone(), templates].concat()), 0, "all are granted");
        assert_eq!(pairs(&parsed(["*".into()].into_iter()), &names), 1_000);
    }

    #[test]
    fn what_a_stream_may_add_is_never_less_than_what_it_adds() {
        let bounds = super::super::Bounds {
            events_max: 10,
            bytes_max: usize::MAX,
            bytes_total_max: usize::MAX,
            views_bytes_max: usize::MAX,
            age_ns_max: u64::MAX,
            forgotten_max: 10,
        };
        let mut topics = Topics::new(bounds);
        let selectors = parsed(["a", "b/{id}", "c", "*"].map(String::from).into_iter());
        let claims = parsed(["a", "x/{id}", "c/{id}"].map(String::from).into_iter());
        for wanted in 1..=selectors.len() {
            for granted in 0..=claims.len() {
                let (selectors, claims) = (&selectors[..wanted], &claims[..granted]);
                let interest = Interest::Selectors { selectors, claims };
                let before = (topics.count() + topics.view_count(), topics.name_bytes());
                let (count, bytes) = interest.new_upper_bound(&topics);
                let exactly = interest.new_count(&topics);
                topics.join(interest);
                let after = (topics.count() + topics.view_count(), topics.name_bytes());
                assert_eq!(after.0 - before.0, exactly.0);
                assert!(after.1 - before.1 <= exactly.1 && exactly.1 <= bytes);
                assert_eq!(interest.new_count(&topics), (0, 0));
                assert!(topics.count() + topics.view_count() <= before.0 + count);
                assert!(topics.name_bytes() <= before.1 + bytes);
            }
        }
    }
}
