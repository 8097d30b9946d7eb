//! The faults: which there are, what each takes, and how one is written in a line.
//!
//! A fault names its deliveries by number, never by chance and never by the clock, so that the
//! same script against the same traffic injects the same faults. The one exception is
//! [`Stall::at`], which is a time because a stall in idle time has no event to hang on.
//!
//! Subscribers are numbered from 0 in the order in which they subscribed (or by `subscriber=` in
//! the query of their request), events from 1 in the order in which their topic accepted them.

use serde::Deserialize;

use super::Span;

/// One fault, armed from the start of the server to its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// Every event is delivered this much later than it was accepted.
    Delay(Delay),
    /// The whole server stands still once: no accept, no answer, no delivery.
    Stall(Stall),
    /// A delivery is left out.
    Drop(Which),
    /// A delivery is made twice.
    Duplicate(Which),
    /// A delivery is held back and made right after the next one to the same subscriber.
    Swap(Which),
    /// One byte of the payload of a delivery is another.
    Corrupt(Corrupt),
    /// A run of deliveries is left out and announced by `event: gap`, in time, late or never.
    Gap(Gap),
    /// The connection is closed after a delivery.
    Close(Close),
    /// A subscription is refused with a status.
    Status(Status),
    /// The head of the response to a subscription is written late.
    SlowHead(SlowHead),
}

/// See [`Fault::Delay`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delay {
    pub(in crate::serve) by: Span,
}

/// See [`Fault::Stall`]. Exactly one of `event` and `at` is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stall {
    pub(in crate::serve) by: Span,
    /// Stand still when this event was accepted and before it is delivered.
    pub(in crate::serve) event: Option<u64>,
    /// Stand still this long after the first event was accepted.
    pub(in crate::serve) at: Option<Span>,
}

/// Which deliveries a fault meets: those that fit all the given fields; of these, every N-th.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Which {
    pub(in crate::serve) subscriber: Option<u32>,
    pub(in crate::serve) event: Option<u64>,
    pub(in crate::serve) every: Option<u64>,
}

/// See [`Fault::Corrupt`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Corrupt {
    pub(in crate::serve) subscriber: Option<u32>,
    pub(in crate::serve) event: Option<u64>,
    pub(in crate::serve) every: Option<u64>,
    /// Offset into the payload; past its end means its last byte.
    #[serde(default)]
    pub(in crate::serve) byte: usize,
}

/// See [`Fault::Gap`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gap {
    /// All subscribers when left out.
    pub(in crate::serve) subscriber: Option<u32>,
    /// The first event left out.
    pub(in crate::serve) event: u64,
    /// How many events are left out.
    #[serde(default = "one")]
    pub(in crate::serve) missing: u64,
    /// How many events are delivered after the hole before it is announced.
    #[serde(default)]
    pub(in crate::serve) late: u64,
    /// Never announce it.
    #[serde(default)]
    pub(in crate::serve) silent: bool,
}

/// See [`Fault::Close`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Close {
    pub(in crate::serve) subscriber: Option<u32>,
    pub(in crate::serve) event: Option<u64>,
    /// After every N deliveries on one connection.
    pub(in crate::serve) every: Option<u64>,
    /// Reset the connection instead of ending it.
    #[serde(default)]
    pub(in crate::serve) reset: bool,
}

/// See [`Fault::Status`]. Meets the first N subscriptions, or every N-th, or all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    pub(in crate::serve) code: u16,
    pub(in crate::serve) first: Option<u64>,
    pub(in crate::serve) every: Option<u64>,
}

/// See [`Fault::SlowHead`]. Meets one subscriber, or every N-th subscription, or all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowHead {
    pub(in crate::serve) by: Span,
    pub(in crate::serve) subscriber: Option<u32>,
    pub(in crate::serve) every: Option<u64>,
}

fn one() -> u64 {
    1
}

impl Fault {
    /// The name that scripts and the journal use.
    pub(in crate::serve) fn name(&self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Stall(_) => "stall",
            Self::Drop(_) => "drop",
            Self::Duplicate(_) => "duplicate",
            Self::Swap(_) => "swap",
            Self::Corrupt(_) => "corrupt",
            Self::Gap(_) => "gap",
            Self::Close(_) => "close",
            Self::Status(_) => "status",
            Self::SlowHead(_) => "slow-head",
        }
    }

    /// Refuses what the reader cannot: fields that contradict each other, and zeros.
    pub(super) fn check(&self) -> Result<(), String> {
        let name = self.name();
        let some = |subscriber: Option<u32>, event: Option<u64>, every: Option<u64>| {
            if every == Some(0) {
                return Err(format!("{name}: every=0 names no delivery; give 1 or more"));
            }
            if subscriber.is_none() && event.is_none() && every.is_none() {
                return Err(format!(
                    "{name}: which deliveries? give one or more of subscriber, event, every"
                ));
            }
            Ok(())
        };
        match self {
            Self::Drop(which) | Self::Duplicate(which) | Self::Swap(which) => {
                some(which.subscriber, which.event, which.every)
            }
            Self::Corrupt(fault) => some(fault.subscriber, fault.event, fault.every),
            Self::Close(fault) => some(fault.subscriber, fault.event, fault.every),
            Self::Stall(stall) if stall.event.is_some() == stall.at.is_some() => Err(format!(
                "{name}: when? give either event (a number) or at (a time after the first event)"
            )),
            Self::Gap(gap) if gap.missing == 0 => {
                Err(format!("{name}: missing=0 leaves nothing out; give 1 or more"))
            }
            Self::Status(status) if !(200..=599).contains(&status.code) => {
                Err(format!("{name}: code={} is not in 200..=599", status.code))
            }
            Self::Status(Status { every: Some(0), .. })
            | Self::SlowHead(SlowHead { every: Some(0), .. }) => {
                Err(format!("{name}: every=0 names no subscription; give 1 or more"))
            }
            _ => Ok(()),
        }
    }
}

impl std::str::FromStr for Fault {
    type Err = String;

    /// Reads `kind:key=value,key=value` as the table it stands for.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, fields) = text.split_once(':').unwrap_or((text, ""));
        let mut table = toml::Table::new();
        table.insert("kind".into(), kind.into());
        for field in fields.split(',').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').ok_or_else(|| {
                format!("`{field}` has no `=`; a fault is kind:key=value,key=value")
            })?;
            table.insert(key.into(), scalar(value));
        }
        let fault: Self = table.try_into().map_err(|error| error.to_string())?;
        fault.check()?;
        Ok(fault)
    }
}

/// The TOML value that a bare word stands for.
fn scalar(text: &str) -> toml::Value {
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Script;
    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_flag_and_a_table_mean_the_same_fault() {
        let pairs = [
            ("delay:by=5ms", "kind='delay'\nby='5ms'"),
            ("stall:by=100ms,event=50", "kind='stall'\nby='100ms'\nevent=50"),
            ("stall:by=1s,at=2s", "kind='stall'\nby='1s'\nat='2s'"),
            ("drop:every=1000", "kind='drop'\nevery=1000"),
            ("swap:subscriber=3,event=17", "kind='swap'\nsubscriber=3\nevent=17"),
            ("corrupt:event=9,byte=40", "kind='corrupt'\nevent=9\nbyte=40"),
            ("gap:event=5,missing=3,silent=true", "kind='gap'\nevent=5\nmissing=3\nsilent=true"),
            ("close:every=7,reset=true", "kind='close'\nevery=7\nreset=true"),
            ("status:code=503,first=2", "kind='status'\ncode=503\nfirst=2"),
            ("slow-head:by=2s,every=2", "kind='slow-head'\nby='2s'\nevery=2"),
        ];
        for (flag, table) in pairs {
            let script = Script::from_toml(&format!("[[fault]]\n{table}")).expect(table);
            assert_eq!(script.faults, [fault(flag)], "{flag}");
        }
    }

    #[test]
    fn a_fault_that_cannot_be_meant_is_refused_with_the_way_out() {
        let cases = [
            ("burn:event=1", "burn"),
            ("drop", "give one or more"),
            ("drop:evry=3", "every"),
            ("drop:every=0", "1 or more"),
            ("drop:event", "no `=`"),
            ("stall:by=1s", "either event"),
            ("stall:by=1s,event=1,at=1s", "either event"),
            ("stall:by=100,event=1", "expected a string"),
            ("delay:by=5", "expected a string"),
            ("delay:by=5x", "known are"),
            ("gap:event=5,missing=0", "1 or more"),
            ("status:code=99", "200..=599"),
        ];
        for (flag, hint) in cases {
            let error = flag.parse::<Fault>().expect_err(flag);
            assert!(error.contains(hint), "{flag}: `{error}` does not say `{hint}`");
        }
    }
}
