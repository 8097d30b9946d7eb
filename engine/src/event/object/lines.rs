//! A stream of bytes into lines (NDJSON), however it is cut.
//!
//! The idea: a line that lies whole in the input is lent from there; only one that is cut is
//! copied together.
//!
//! Invariants: LF ends a line, a CR before it does not belong to it, blank lines are skipped but
//! counted. Never more than one line is kept, and none longer than its bound.

use std::fmt;

use memchr::memchr;

/// A buffer that has grown beyond this for one long line is given back after it.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// The longest line for events with at most `data_bytes_max` bytes of data: every byte of it
/// written as `\u0000`, and 4 KiB for the rest of the object.
#[must_use]
pub fn line_bytes_max(data_bytes_max: usize) -> usize {
    data_bytes_max * 6 + (4 << 10)
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub struct LineSplitter {
    /// The start of a line whose end has not arrived, or the line lent last.
    kept: Vec<u8>,
    /// Whether `kept` was lent and is to be emptied.
    lent: bool,
    number: u64,
    line_bytes_max: usize,
}

/// A line is longer than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineTooLong {
    /// Which line, counted from 1.
    pub number: u64,
    /// The bound, in bytes.
    pub line_bytes_max: usize,
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, line_bytes_max } = self;
        write!(f, "line {number} is longer than {line_bytes_max} bytes (see --event-bytes-max)")
    }
}

impl std::error::Error for LineTooLong {}

impl LineSplitter {
    /// For lines of at most `line_bytes_max` bytes, line end included.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        Self { kept: Vec::new(), lent: false, number: 0, line_bytes_max }
    }

    /// The next line that is not blank, and how many bytes of `input` were used up. Call it again
    /// with the rest until there is no line; then the input is used up.
    ///
    /// # Errors
    /// A line longer than the bound; the stream cannot be continued.
    pub fn next_line<'s>(
        &'s mut self,
        input: &'s [u8],
    ) -> Result<(Option<&'s [u8]>, usize), LineTooLong> {
        self.take_back();
        let mut used = 0;
        while let Some(length) = memchr(b'\n', &input[used..]) {
            let piece = &input[used..used + length];
            self.check(length + 1)?;
            used += length + 1;
            self.number += 1;
            if !is_blank(piece) || !is_blank(&self.kept) {
                return Ok((Some(self.lend(piece)), used));
            }
            self.kept.clear();
        }
        self.check(input.len() - used)?;
        self.kept.extend_from_slice(&input[used..]);
        Ok((None, input.len()))
    }

    /// The last line, if it has no line end.
    pub fn finish(&mut self) -> Option<&[u8]> {
        self.take_back();
        if is_blank(&self.kept) {
            return None;
        }
        self.number += 1;
        Some(self.lend(&[]))
    }

    /// Memory that the start of an unfinished line takes.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.kept.capacity()
    }

    /// The number of the line given last, counted from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    fn lend<'s>(&'s mut self, piece: &'s [u8]) -> &'s [u8] {
        let line = if self.kept.is_empty() {
            piece
        } else {
            self.kept.extend_from_slice(piece);
            self.lent = true;
            &self.kept
        };
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn take_back(&mut self) {
        if !std::mem::take(&mut self.lent) {
            return;
        }
        self.kept.clear();
        if self.kept.capacity() > KEPT_BYTES_MAX {
            self.kept = Vec::new();
        }
    }

    fn check(&self, more: usize) -> Result<(), LineTooLong> {
        if self.kept.len() + more > self.line_bytes_max {
            let number = self.number + 1;
            return Err(LineTooLong { number, line_bytes_max: self.line_bytes_max });
        }
        Ok(())
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines with their numbers, from input in pieces.
    fn split(pieces: &[&[u8]], max: usize) -> Result<Vec<(u64, Vec<u8>)>, LineTooLong> {
        let mut splitter = LineSplitter::new(max);
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let (line, used) = splitter.next_line(rest)?;
                let line = line.map(<[u8]>::to_vec);
                rest = &rest[used..];
                match line {
                    Some(line) => lines.push((splitter.number(), line)),
                    None => break,
                }
            }
            assert!(rest.is_empty(), "input was left");
        }
        if let Some(line) = splitter.finish().map(<[u8]>::to_vec) {
            lines.push((splitter.number(), line));
        }
        Ok(lines)
    }

    /// The naive model: the whole input at hand.
    fn model(input: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let lines = input.split(|&b| b == b'\n').zip(1..);
        let lines = lines.filter(|(line, _)| !is_blank(line));
        lines.map(|(l, n)| (n, l.strip_suffix(b"\r").unwrap_or(l).to_vec())).collect()
    }

    #[test]
    fn every_cut_in_three_gives_the_lines_of_the_model() {
        for input in [
            &b""[..],
            b"a",
            b"a\n",
            b"\n",
            b"\r\n",
            b"a\r\nbc\n\n\r\n \t\nd\re\n",
            b" \n a \n\n\n",
            b"a\n\r\r\nb\r",
            b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}",
        ] {
            let expected = model(input);
            for first in 0..=input.len() {
                for second in first..=input.len() {
                    let pieces = [&input[..first], &input[first..second], &input[second..]];
                    assert_eq!(split(&pieces, 100).unwrap(), expected, "{first} {second}");
                }
            }
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            assert_eq!(split(&bytes, 100).unwrap(), expected);
        }
    }

    #[test]
    fn a_line_at_the_bound_is_given_and_a_longer_one_refused_under_every_cut() {
        for first in 0..=12 {
            let fits = b"a\n123456789\nb";
            let pieces = [&fits[..first], &fits[first..]];
            assert_eq!(split(&pieces, 10).unwrap().len(), 3, "cut at {first}");
            let over = b"a\n1234567890\nb";
            let pieces = [&over[..first], &over[first..]];
            let error = split(&pieces, 10).unwrap_err();
            assert_eq!(error, LineTooLong { number: 2, line_bytes_max: 10 }, "cut at {first}");
        }
        let endless: Vec<&[u8]> = vec![b"xxx"; 4];
        assert!(split(&endless, 10).is_err(), "refused before its end has arrived");
    }

    #[test]
    fn the_room_of_a_long_line_is_given_back() {
        let mut splitter = LineSplitter::new(1 << 20);
        let half = vec![b'x'; 200_000];
        assert_eq!(splitter.next_line(&half), Ok((None, 200_000)));
        assert_eq!(splitter.next_line(b"\n").unwrap().0.unwrap().len(), 200_000);
        assert_eq!(splitter.next_line(b"y"), Ok((None, 1)));
        assert!(splitter.kept.capacity() < 100, "{} bytes kept", splitter.kept.capacity());
    }
}
