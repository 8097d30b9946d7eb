//! Stamps as a storm uses them: one stream, numbered from 1.

use memchr::memmem::Finder;

use super::reader::Seen;
use crate::clock;
use crate::stamp::{Found, Stamp};

/// Writes and recognises the payloads of one storm.
#[derive(Debug, Clone)]
pub(super) struct Payloads {
    /// Tells this storm's events from those of an earlier one on the same topic.
    run: u32,
    finder: Finder<'static>,
}

impl Payloads {
    /// The payloads of a new storm.
    pub(super) fn new() -> Self {
        Self { run: fastrand::u32(..), finder: Stamp::finder() }
    }

    /// Writes the payload of event `number`, which counts from 1, over all of `payload`.
    ///
    /// # Panics
    ///
    /// Behind some four billion events, and if `payload` is shorter than a stamp.
    pub(super) fn write(&self, number: u64, payload: &mut [u8]) {
        let stamp = Stamp {
            run: self.run,
            stream: 0,
            sequence: u32::try_from(number - 1).expect("a storm ends long before"),
            intended_ns: clock::now_ns(),
            slip_ns: 0,
        };
        stamp.write(payload);
    }

    /// A payload as text.
    #[cfg(test)]
    pub(super) fn sample(&self, number: u64) -> String {
        let mut payload = vec![0; 64];
        self.write(number, &mut payload);
        String::from_utf8(payload).expect("digits")
    }

    /// What an event's data is to this storm; nothing if it is not of this storm.
    pub(super) fn read(&self, data: &[u8]) -> Option<Seen> {
        match Stamp::find(&self.finder, data) {
            Found::Stamp(stamp) if stamp.run == self.run => {
                Some(Seen::Event(u64::from(stamp.sequence) + 1))
            }
            Found::Corrupt => Some(Seen::Corrupt),
            Found::Stamp(_) | Found::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_knows_its_own_events_and_no_others() {
        let (ours, theirs) = (Payloads::new(), Payloads { run: 0, ..Payloads::new() });
        for number in [1, 2, u64::from(u32::MAX)] {
            let data = ours.sample(number);
            assert_eq!(ours.read(data.as_bytes()), Some(Seen::Event(number)));
            assert_eq!(theirs.read(data.as_bytes()), None);
        }
        let mut changed = ours.sample(1).into_bytes();
        changed[30] ^= 1;
        assert_eq!(ours.read(&changed), Some(Seen::Corrupt));
        assert_eq!(ours.read(b"hello"), None);
    }
}
