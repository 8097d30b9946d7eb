//! How long subscribers stay before they leave and come anew.
//!
//! The idea: `--churn` replaces so many a second, whoever they are; here each has a life of its own,
//! as users have. When events begin to flow, everybody is in the middle of one: what is left of it
//! is drawn so that as many end in any second as ever will (a constant life is over after a uniform
//! part of it, an exponential one has no memory). So there is no herd at the end of the first.
//!
//! Invariant: a life belongs to one session; where that ended otherwise, nothing happens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use crate::amount::Span;
use crate::clock;

/// The law of the lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Each as long, in nanoseconds.
    Constant(u64),
    /// Exponential with this mean, in nanoseconds.
    Exponential(u64),
}

impl Life {
    /// A whole life.
    fn draw(self, random: &mut fastrand::Rng) -> u64 {
        match self {
            Life::Constant(ns) => ns,
            // 1 - u is never 0.
            Life::Exponential(ns) => (-(1.0 - random.f64()).ln() * ns as f64) as u64,
        }
    }

    /// What is left of a life at a moment that has nothing to do with it.
    fn rest(self, random: &mut fastrand::Rng) -> u64 {
        match self {
            Life::Constant(ns) => (random.f64() * ns as f64) as u64,
            Life::Exponential(_) => self.draw(random),
        }
    }
}

impl fmt::Display for Life {
    /// As on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Life::Constant(ns) => write!(f, "{}s", *ns as f64 / 1e9),
            Life::Exponential(ns) => write!(f, "exp:{}s", *ns as f64 / 1e9),
        }
    }
}

impl FromStr for Life {
    type Err = String;

    fn from_str(text: &str) -> Result<Life, String> {
        let (law, span): (fn(u64) -> Life, &str) = match text.strip_prefix("exp:") {
            Some(mean) => (Life::Exponential, mean),
            None => (Life::Constant, text),
        };
        let Span(span) = span.parse().map_err(|error| {
            format!("{error}; a life is a time, as 120s, or exp:MEAN, as exp:120s")
        })?;
        match clock::ns(span) {
            0 => Err(format!("{text:?}: nobody lives for no time; give a time above 0, as 120s")),
            ns => Ok(law(ns)),
        }
    }
}

/// Whose life ends when, on one thread.
#[derive(Debug)]
pub(super) struct Lives {
    law: Life,
    random: fastrand::Rng,
    /// End, subscriber, session.
    ends: BinaryHeap<Reverse<(u64, u32, u16)>>,
    /// Whether lives have begun to end.
    began: bool,
}

impl Lives {
    pub(super) fn new(law: Life, seed: u64) -> Lives {
        let random = fastrand::Rng::with_seed(seed);
        Lives { law, random, ends: BinaryHeap::new(), began: false }
    }

    /// Begins, with the sessions that are open already; once.
    pub(super) fn begin(&mut self, now_ns: u64, open: impl Iterator<Item = (u32, u16)>) {
        if !std::mem::replace(&mut self.began, true) {
            for (local, session) in open {
                self.ends.push(Reverse((now_ns + self.law.rest(&mut self.random), local, session)));
            }
        }
    }

    /// Enters a session that has just opened.
    pub(super) fn opened(&mut self, now_ns: u64, local: u32, session: u16) {
        if self.began {
            self.ends.push(Reverse((now_ns + self.law.draw(&mut self.random), local, session)));
        }
    }

    /// The next session whose life is over by now.
    pub(super) fn over(&mut self, now_ns: u64) -> Option<(u32, u16)> {
        let Reverse((end_ns, local, session)) = *self.ends.peek()?;
        (end_ns <= now_ns).then(|| {
            self.ends.pop();
            (local, session)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn lives_are_read_and_written_alike() {
        for (text, life) in
            [("120s", Life::Constant(120 * SECOND)), ("exp:0.5s", Life::Exponential(SECOND / 2))]
        {
            assert_eq!(text.parse(), Ok(life));
            assert_eq!(life.to_string(), text);
        }
        assert_eq!("2m".parse(), Ok(Life::Constant(120 * SECOND)));
        for (text, answer) in
            [("0s", "above 0"), ("exp:0", "above 0"), ("exp:", "exp:MEAN"), ("soon", "exp:MEAN")]
        {
            let error = text.parse::<Life>().unwrap_err();
            assert!(error.contains(answer), "{text}: {error}");
        }
    }

    /// A thousand subscribers that come anew at once: as many leave in any two seconds.
    #[test]
    fn as_many_leave_at_any_time_from_the_first_moment_on() {
        for law in [Life::Constant(10 * SECOND), Life::Exponential(10 * SECOND)] {
            let mut lives = Lives::new(law, 5);
            lives.opened(0, 0, 0);
            assert!(lives.ends.is_empty(), "nobody leaves before it begins");
            lives.begin(SECOND, (0..1_000).map(|local| (local, 1)));
            lives.begin(SECOND, (0..1_000).map(|local| (local, 1)));
            let mut left = Vec::new();
            for tick in 0..3_000 {
                let now_ns = SECOND + tick * SECOND / 100;
                while let Some((local, session)) = lives.over(now_ns) {
                    assert_eq!(session, 1);
                    left.push(now_ns - SECOND);
                    lives.opened(now_ns, local, 1);
                }
            }
            // 100 a second; six standard deviations of a count of 200.
            for from in (0..30).step_by(2) {
                let span = from * SECOND..(from + 2) * SECOND;
                let count = left.iter().filter(|at_ns| span.contains(at_ns)).count();
                assert!(count.abs_diff(200) < 85, "{law}: {count} from second {from} on");
            }
        }
    }

    #[test]
    fn exponential_lives_have_their_mean() {
        let mut random = fastrand::Rng::with_seed(1);
        let law = Life::Exponential(SECOND);
        let sum: u64 = (0..100_000).map(|_| law.draw(&mut random)).sum();
        assert!((sum / 100_000).abs_diff(SECOND) < SECOND / 50, "{sum}");
    }
}
