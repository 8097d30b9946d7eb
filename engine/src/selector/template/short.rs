//! Short topics: all places of a topic as the bits of one number, so that an expression is passed by
//! a few additions and not by a walk over the topic.
//!
//! What is read of the topic is read once and serves all templates that it is held against. Only
//! topics without triplets (`%41`) are short: a triplet is a step of three places.
//!
//! Invariant: it finds what the walk in `template.rs` finds.

use super::{Characters, Expression, Part, slice};

/// One bit of the number is the place behind the last byte.
const TOPIC_BYTES_MAX: usize = 127;
/// What begins an expression or separates its variables.
const SIGNS: [u8; 7] = *b",./;&#?";

/// Where in a topic what stands.
#[derive(Debug)]
pub(in crate::selector) struct Short {
    /// By class of characters, in the order of its bits.
    classes: [u128; 4],
    /// By [`SIGNS`].
    signs: [u128; 7],
}

impl Short {
    /// None for a topic that is too long, or has a triplet.
    pub(in crate::selector) fn new(topic: &str) -> Option<Short> {
        let bytes = topic.as_bytes();
        if bytes.len() > TOPIC_BYTES_MAX || bytes.contains(&b'%') {
            return None;
        }
        let mut short = Short { classes: [0; 4], signs: [0; 7] };
        for (place, &byte) in bytes.iter().enumerate() {
            let class = Characters::class(byte);
            if class != 0 {
                short.classes[class.trailing_zeros() as usize] |= 1 << place;
            }
            if let Some(sign) = SIGNS.iter().position(|sign| *sign == byte) {
                short.signs[sign] |= 1 << place;
            }
        }
        Some(short)
    }

    /// True when `parts` of a template may have become `topic` from byte `start` to byte `end`.
    pub(super) fn matches(
        &self,
        parts: &[Part],
        text: &str,
        topic: &str,
        (start, end): (usize, usize),
    ) -> bool {
        let mut reached: u128 = 1 << start;
        for part in parts {
            reached = match part {
                Part::Literal(range) => behind_literal(reached, slice(text, range), topic),
                Part::Expression(expression) => self.pass(expression, reached),
            };
            if reached == 0 {
                return false;
            }
        }
        reached >> end & 1 == 1
    }

    /// All places where an expression may end that begins at one of `reached`.
    fn pass(&self, expression: &Expression, reached: u128) -> u128 {
        let begun = match expression.begins {
            None => reached,
            Some(begins) => (reached & self.sign(begins)) << 1,
        };
        let mut variable = run(begun, self.characters(expression.first));
        let mut passed = reached | variable;
        let (separator, others) = (self.sign(expression.separator), expression.others);
        let others = self.characters(others);
        let mut left = expression.others_max;
        while left > 0 {
            variable = run((variable & separator) << 1, others);
            if variable & !passed == 0 && variable & separator == 0 {
                break;
            }
            passed |= variable;
            left -= u16::from(left != u16::MAX);
        }
        passed
    }

    fn sign(&self, sign: u8) -> u128 {
        let index = SIGNS.iter().position(|other| *other == sign);
        self.signs[index.expect("operators begin and separate with these")]
    }

    fn characters(&self, characters: Characters) -> u128 {
        let classes = self.classes.iter().enumerate();
        let has =
            |(bit, mask): (usize, &u128)| if characters.0 >> bit & 1 == 1 { *mask } else { 0 };
        classes.map(has).fold(0, |all, mask| all | mask)
    }
}

/// The places `from`, and all that any number of steps over `allowed` characters lead to. The carry
/// of an addition runs through the characters that follow each other.
fn run(from: u128, allowed: u128) -> u128 {
    ((from & allowed).wrapping_add(allowed) ^ allowed) | from
}

fn behind_literal(mut reached: u128, literal: &str, topic: &str) -> u128 {
    let mut behind = 0;
    while reached != 0 {
        let place = reached.trailing_zeros() as usize;
        reached &= reached - 1;
        let rest = topic.as_bytes().get(place..).unwrap_or_default();
        if rest.starts_with(literal.as_bytes()) {
            behind |= 1 << (place + literal.len());
        }
    }
    behind
}
