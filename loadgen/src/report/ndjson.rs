//! Intervals as newline-delimited JSON: one object per interval, written while the run goes on.
//!
//! The objects are those of `series` in the run's JSON (see its schema), so that a reader of one
//! is a reader of the other.

use std::io::{self, Write};

use super::model::series::Interval;

/// Writes one interval and its newline, then flushes, so that a reader at the other end of a
/// pipe has it at once. Without `histograms` the encoded histograms are left out.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write(out: &mut impl Write, row: &Interval, histograms: bool) -> io::Result<()> {
    let line = if histograms {
        serde_json::to_string(row)
    } else {
        let bare = Interval { histograms: std::collections::BTreeMap::new(), ..row.clone() };
        serde_json::to_string(&bare)
    };
    let mut line = line.map_err(io::Error::other)?;
    line.push('\n');
    out.write_all(line.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;

    #[test]
    fn every_interval_is_one_line_and_reads_back() {
        let run = Sample::default().run();
        let mut out = Vec::new();
        for row in &run.series {
            write(&mut out, row, true).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<Interval> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(rows == run.series, "the series changed on its way");
    }

    #[test]
    fn histograms_can_be_left_out() {
        let run = Sample::default().run();
        let row = run.series.iter().find(|row| !row.histograms.is_empty()).unwrap();
        let mut out = Vec::new();
        write(&mut out, row, false).unwrap();
        let read: Interval = serde_json::from_slice(&out).unwrap();
        assert!(read.histograms.is_empty());
        assert_eq!(read.p99_ns, row.p99_ns);
    }
}
