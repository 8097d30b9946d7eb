//! The rows of a run over time, in bounded memory.
//!
//! The idea: a row for each interval, until there are [`ROWS_MAX`]. From then on every new row
//! makes room for itself: two neighbours become one, from the oldest on, until all rows are twice
//! as long, and so on. A day is then told in as many rows as ten minutes, and at no
//! moment of a run are many rows worked through at once.
//!
//! Invariants: never more than `ROWS_MAX` rows; rows of different phases stay apart; nothing that
//! was counted or recorded is lost, only when it was becomes coarser.

use crate::report::model::series::Interval;

/// Rows at most: ten minutes by the second, finer than a picture can show, and some megabytes of
/// JSON.
pub(super) const ROWS_MAX: usize = 600;

/// The rows so far.
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<Interval>,
    /// How long rows may become.
    length_ns: u64,
    /// The row that takes in its neighbours next, during a walk; those before it are done.
    at: Option<usize>,
}

impl Rows {
    /// No rows; new ones will be this long.
    pub(super) fn new(interval_ns: u64) -> Rows {
        Rows { rows: Vec::new(), length_ns: interval_ns, at: None }
    }

    /// Adds the row behind all others.
    pub(super) fn push(&mut self, row: Interval) {
        // So many rows of five phases always have neighbours of the same phase.
        while self.rows.len() >= ROWS_MAX {
            self.step();
        }
        self.rows.push(row);
    }

    /// All rows, those of a phase alike in length but for its last.
    pub(super) fn finish(mut self) -> Vec<Interval> {
        while self.at.is_some() {
            self.step();
        }
        self.rows
    }

    /// All rows as they are.
    pub(super) fn all(&self) -> &[Interval] {
        &self.rows
    }

    /// One step of the walk from the oldest row to the last: merges two rows, or passes over one
    /// that is done. A walk that is over lets the next one make rows of twice the length.
    fn step(&mut self) {
        let at = self.at.unwrap_or_else(|| {
            self.length_ns *= 2;
            0
        });
        let [first, second, ..] = &mut self.rows[at..] else {
            self.at = None;
            return;
        };
        let length_ns = second.t_ns + second.length_ns - first.t_ns;
        if first.phase == second.phase && length_ns <= self.length_ns {
            first.absorb(second).expect("histograms that were encoded here");
            self.rows.remove(at + 1);
            self.at = Some(at);
        } else {
            self.at = Some(at + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::metric::{self, new_histogram};
    use crate::report::model::plan::Phase;

    const SECOND: u64 = 1_000_000_000;

    fn row(second: u64, phase: Phase) -> Interval {
        let mut row = Interval {
            t_ns: second * SECOND,
            length_ns: SECOND,
            phase,
            up: second,
            events: 3,
            deliveries: 300,
            wire_bytes: Some(40_000),
            client_cpu: Some(0.5),
            ..Interval::default()
        };
        let mut histogram = new_histogram();
        histogram.record_n(1_000 + second, 300).unwrap();
        row.record(metric::DELIVERY, &histogram);
        row
    }

    #[test]
    fn short_runs_keep_every_row() {
        let mut rows = Rows::new(SECOND);
        (0..ROWS_MAX as u64).for_each(|second| rows.push(row(second, Phase::Measure)));
        let kept = rows.finish();
        assert!(kept.len() == ROWS_MAX && kept.iter().all(|row| row.length_ns == SECOND));
    }

    #[test]
    fn long_runs_stay_bounded_and_lose_nothing() {
        let phase = |second| match second {
            0..10 => Phase::Connect,
            10..13 => Phase::Warmup,
            _ => Phase::Measure,
        };
        for seconds in [601, 900, 1_200, 3_600, 9_999] {
            let mut rows = Rows::new(SECOND);
            for second in 0..seconds {
                rows.push(row(second, phase(second)));
                assert!(rows.all().len() <= ROWS_MAX, "{seconds}");
            }
            let kept = rows.finish();
            assert!(kept.len() <= ROWS_MAX && kept.len() * 5 > ROWS_MAX * 2, "{}", kept.len());
            let mut next_ns = 0;
            let mut recorded = new_histogram();
            for row in &kept {
                assert_eq!(row.t_ns, next_ns, "no time is left out");
                assert_eq!(row.phase, phase(row.t_ns / SECOND));
                assert_eq!(row.up, (row.t_ns + row.length_ns) / SECOND - 1);
                assert_eq!((row.client_cpu, row.events), (Some(0.5), row.length_ns / SECOND * 3));
                next_ns += row.length_ns;
                recorded += &row.histograms[metric::DELIVERY].decode().unwrap();
            }
            assert_eq!(next_ns, seconds * SECOND);
            assert_eq!(recorded.len(), seconds * 300);
            let measured = kept.iter().filter(|row| row.phase == Phase::Measure);
            let lengths: Vec<u64> = measured.map(|row| row.length_ns).collect();
            let (_, all) = lengths.split_last().unwrap();
            assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{seconds}: {lengths:?}");
        }
    }

    /// What a run saves of an hour (or a year): the rows with five histograms as wide as those of
    /// a busy server.
    #[test]
    fn the_rows_of_an_hour_take_a_few_megabytes() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut histogram = || {
            let mut histogram = new_histogram();
            for _ in 0..1_000 {
                // Long-tailed around 10 ms.
                let value = -random.f64().max(1e-9).ln() * 1e7;
                histogram.record(value as u64 + 100_000).unwrap();
            }
            histogram
        };
        let some: Vec<_> = (0..20).map(|_| histogram()).collect();
        let names = [
            metric::DELIVERY,
            metric::DELIVERY_SENT,
            metric::DELIVERY_USER,
            metric::CLIENT_HOLD,
            metric::LAST,
        ];
        let mut rows = Rows::new(SECOND);
        for second in 0..3_600 {
            let mut row = row(second, Phase::Measure);
            for (place, name) in names.iter().enumerate() {
                row.record(name, &some[(second as usize + place) % some.len()]);
            }
            rows.push(row);
        }
        let bytes = serde_json::to_string(&rows.finish()).unwrap().len();
        println!("{bytes} bytes");
        assert!(bytes < 8 << 20, "{bytes} bytes");
    }
}
