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

use std::rc::Rc;

use super::Topics;
use super::member::Member;
use super::view::ViewKey;
use crate::selector::{Kind, Selector};

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

impl Topics {
    /// The members of a set for `interest`, created if need be; in no order, some twice.
    pub(super) fn members(&mut self, interest: Interest<'_>) -> Vec<Member> {
        match interest {
            Interest::Topics(names) => {
                names.iter().map(|name| Member::topic(self.topic(name, false))).collect()
            }
            Interest::Selectors { selectors, claims } => {
                let mut members: Vec<Member> =
                    selectors.iter().map(|selector| self.member(selector, false)).collect();
                if !claims.is_empty() {
                    self.private_members(selectors, claims, &mut members);
                }
                members
            }
        }
    }

    /// All events of one kind that match `selector`.
    fn member(&mut self, selector: &Selector, private: bool) -> Member {
        if selector.kind() == Kind::Exact {
            return Member::topic(self.topic(selector.as_str(), private));
        }
        let key = ViewKey { private, selector: selector.clone(), sieve: None };
        Member::view(self.view(key))
    }

    fn private_members(
        &mut self,
        selectors: &[Selector],
        claims: &[Selector],
        members: &mut Vec<Member>,
    ) {
        let covered = |by: &[Selector], it: &Selector| by.iter().any(|other| other.covers(it));
        let (granted, open): (Vec<_>, Vec<_>) =
            selectors.iter().partition(|selector| covered(claims, selector));
        let (wanted, rest): (Vec<_>, Vec<_>) =
            claims.iter().partition(|claim| covered(selectors, claim));
        for selector in granted.into_iter().chain(wanted) {
            members.push(self.member(selector, true));
        }
        for selector in &open {
            let bytes = selector.literal_bytes();
            let sieve = rest.iter().filter(|claim| claim.literal_bytes() <= bytes);
            self.sifted_member(selector, sieve, members);
        }
        for claim in &rest {
            let bytes = claim.literal_bytes();
            let sieve = open.iter().filter(|selector| selector.literal_bytes() < bytes);
            self.sifted_member(claim, sieve, members);
        }
    }

    /// Private events that match `selector` and one of `sieve`.
    fn sifted_member<'a>(
        &mut self,
        selector: &Selector,
        sieve: impl Iterator<Item = &'a &'a Selector>,
        members: &mut Vec<Member>,
    ) {
        let sieve: Rc<[Selector]> = sieve.map(|selector| (*selector).clone()).collect();
        if !sieve.is_empty() {
            let key = ViewKey { private: true, selector: selector.clone(), sieve: Some(sieve) };
            members.push(Member::view(self.view(key)));
        }
    }
}
