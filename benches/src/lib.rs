//! Floors and benches.
