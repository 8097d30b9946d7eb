//! An open-loop plan: event k is due at `start + k / rate`, whatever became of those before it.
//!
//! Due times are computed from k, never summed, so rounding does not drift. Latency counted from
//! the due time keeps the delay of a late publisher in the result (no coordinated omission).

/// When events are due. Times are nanoseconds of the monotonic clock.
#[derive(Clone, Debug)]
pub struct Pace {
    start_ns: u64,
    rate_per_s: u64,
    taken_count: u64,
}

impl Pace {
    /// A plan of `rate_per_s` events per second from `start_ns` on; a rate of 0 has no events.
    pub fn new(start_ns: u64, rate_per_s: u64) -> Self {
        Self { start_ns, rate_per_s, taken_count: 0 }
    }

    /// When the next event is due, or `None` if the plan has no events.
    pub fn next_ns(&self) -> Option<u64> {
        let offset_ns = u128::from(self.taken_count) * 1_000_000_000;
        let offset_ns = offset_ns.checked_div(u128::from(self.rate_per_s))?;
        Some(self.start_ns + offset_ns as u64)
    }

    /// Takes one event if it is due at `now_ns`: its number, from 0, and its due time.
    pub fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let due_ns = self.next_ns().filter(|due_ns| *due_ns <= now_ns)?;
        let number = self.taken_count;
        self.taken_count += 1;
        Some((number, due_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_an_uneven_rate_ends_on_the_second() {
        let mut pace = Pace::new(5, 7);
        let hour_ns = 3_600_000_000_000;
        let mut last = None;
        while let Some(taken) = pace.take(5 + hour_ns) {
            last = Some(taken);
        }
        assert_eq!(last, Some((7 * 3_600, 5 + hour_ns)));
    }

    #[test]
    fn an_event_is_taken_at_its_due_time_and_not_before() {
        let mut pace = Pace::new(1_000, 1_000_000);
        assert_eq!(pace.take(999), None);
        assert_eq!(pace.take(1_000), Some((0, 1_000)));
        assert_eq!(pace.take(1_999), None);
        assert_eq!(pace.take(9_000), Some((1, 2_000)), "late, yet counted from its due time");
    }

    #[test]
    fn a_rate_of_zero_never_has_an_event() {
        assert_eq!(Pace::new(0, 0).take(u64::MAX), None);
    }
}
